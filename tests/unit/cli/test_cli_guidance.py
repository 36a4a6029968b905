"""What ``project status`` tells of uncertainty, and of minutes of painting."""

from napari_unet.project.notes import INTERACTIONS, add_lines


def test_predicting_ranks_images_by_how_unsure_they_are(run, project, status):
    assert [i["uncertainty"] for i in status()["images"]] == [None] * 3
    assert "unsure" not in run("status p").out
    assert run("train p --steps 0").code == 0
    assert run("predict p --image 2 3").code == 0
    first, second, third = (i["uncertainty"] for i in status()["images"])
    assert first is None
    assert 0 <= second <= 1
    assert 0 <= third <= 1
    assert run("predict p --image 1").code == 0
    images = status()["images"]
    assert [i["uncertainty"] for i in images][1:] == [second, third]
    assert images[0]["uncertainty"] is not None
    header = next(t for t in run("status p").out.splitlines() if "painted px" in t)
    assert header.split()[-1] == "unsure"


def test_minutes_of_painting_are_told_where_they_were_noted(run, project, status):
    assert "painting_s" not in status()["images"][0]
    stroke = {"event": "paint", "number": 1, "start": 100, "end": 190}
    add_lines(project / INTERACTIONS, [stroke])
    assert [i["painting_s"] for i in status()["images"]] == [90, 0, 0]
    told = run("status p").out
    assert "painting" in told
    assert "1.5 min" in told
