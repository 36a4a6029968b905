"""The list of a project's images by how unsure their predictions are."""

from dataclasses import replace

from napari_unet.project import Project
from napari_unet.project.notes import add_uncertainty, read_uncertainty
from napari_unet.widgets._project_list import ImageSection
from napari_unet.widgets._project_rows import ImageRow, ImagesListed, list_images

ROWS = (
    ImageRow(1, "a", "todo", False, "", 0, 0.2),
    ImageRow(2, "b", "done", False, "", 0, 0.9),
    ImageRow(3, "c", "todo", False, "", 0),
    ImageRow(4, "d", "todo", True, "", 0, 0.8),
    ImageRow(5, "e", "todo", False, "", 0, 0.5),
)


def test_next_goes_to_the_least_certain_unfinished_image(qtbot):
    section = ImageSection()
    qtbot.addWidget(section)
    opened, asked = [], []
    section.open_wanted.connect(opened.append)
    section.next_wanted.connect(lambda: asked.append(True))
    section.show_rows(ROWS)
    section.next.click()
    assert (opened, len(asked)) == ([], 1)  # as it always was
    section.by_uncertainty.click()
    assert [row.number for row in section._in_order()] == [2, 4, 5, 1, 3]
    section.next.click()
    assert opened == [5]  # 2 is done, and the file of 4 is missing
    section.show_current(5)
    section.next.click()
    assert opened == [5, 1]
    assert "unsure 0.20" in section._look(ROWS[0]).details_end
    assert "unsure" not in section._look(ROWS[2]).details_end


def test_it_is_offered_only_where_something_is_known(qtbot):
    section = ImageSection()
    qtbot.addWidget(section)
    section.show_rows(tuple(replace(row, unsure=None) for row in ROWS))
    assert section.by_uncertainty.isHidden()
    section.show_rows(ROWS)
    assert not section.by_uncertainty.isHidden()


def test_rows_tell_what_was_predicted_last(tmp_path):
    with Project.create(tmp_path / "p") as project:
        project.add_image(None, name="a")
        project.add_image(None, name="b")
        folder = project.folder / "predictions"
        folder.mkdir()
        for mean in (0.5, 0.25):
            add_uncertainty(folder, 2, mean)
        assert read_uncertainty(folder) == {2: 0.25}
        (listed,) = list_images(project)
        assert isinstance(listed, ImagesListed)
        assert [row.unsure for row in listed.rows] == [None, 0.25]
