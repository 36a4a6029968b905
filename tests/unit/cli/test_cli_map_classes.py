"""`train --map-classes`: other values for the same classes, the same model."""

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet.learning import load


@pytest.fixture
def train(cli, folder, tmp_path):
    """Train on strokes of other values: 7 for the background, 40 for the class."""
    strokes = iio.imread(folder / "strokes.png")
    other = np.zeros_like(strokes)
    other[strokes == 1], other[strokes == 2] = 7, 40
    other[0, :5] = 99
    iio.imwrite(tmp_path / "other.png", other)

    def run(*args):
        return cli(
            *("train", "--image", folder / "image.png"),
            *("--annotation", tmp_path / "other.png"),
            *("--out", tmp_path / "m.safetensors"),
            *("--config", folder / "small.json", "--seconds", 0, *args),
        )

    return run


def test_values_become_classes(train, folder, tmp_path):
    result = train("--map-classes", "7:1,40:2,*:0")
    assert result.code == 0, result.err
    labels = load(tmp_path / "m.safetensors").predict(iio.imread(folder / "image.png"))
    truth = iio.imread(folder / "truth.png")
    assert set(np.unique(labels)) == {1, 2}
    assert (labels == truth).mean() > 0.9


@pytest.mark.parametrize(
    ("text", "words"),
    [("7=1", "maps no value"), ("7:1,7:2", "names the value 7 twice")],
)
def test_what_it_cannot_read_is_one_line(train, text, words):
    result = train("--map-classes", text)
    assert result.code == 2
    assert words in result.sentence()


def test_nothing_left_and_objects_are_said(train):
    result = train("--map-classes", "*:0")
    assert result.code == 2
    assert "nothing is annotated any more" in result.err
    result = train("--map-classes", "7:1", "--annotation-mode", "objects")
    assert result.code == 2
    assert "each value is an object" in result.sentence()


def test_a_project_takes_mapped_annotations(cli, train, folder, tmp_path):
    train("--map-classes", "*:0")  # writes the file
    made = cli(
        *("project", "new", tmp_path / "p.unet-project"),
        *("--image", folder / "image.png", "--annotation", tmp_path / "other.png"),
        *("--map-classes", "7:1,40:2,*:0"),
    )
    assert made.code == 0, made.err
    from napari_unet.project import Project

    with Project.open(tmp_path / "p.unet-project") as project:
        (image,) = project.images
        kept = np.asarray(project.annotation(image.number, "strokes"))
    np.testing.assert_array_equal(kept, iio.imread(folder / "strokes.png"))
