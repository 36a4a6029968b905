"""The shipped samples: complete, small, and strokes that agree with the truth."""

import json
from importlib.resources import files

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_unet.errors import FileError
from napari_unet.sample import SAMPLES, load_sample


@pytest.mark.parametrize(
    ("name", "shape"), [("nuclei", (512, 640)), ("tissue", (256, 320, 3))]
)
def test_shapes_and_classes(name, shape):
    sample = load_sample(name)
    assert sample.image.shape == shape
    assert sample.image.dtype == sample.truth.dtype == sample.strokes.dtype == np.uint8
    assert sample.truth.shape == sample.strokes.shape == shape[:2]
    assert set(np.unique(sample.truth)) == {1, 2} == set(sample.class_names)
    assert sample.licence == "CC0 1.0"
    assert sample.source.startswith("https://")


@pytest.mark.parametrize("name", SAMPLES)
def test_strokes_lie_inside_their_class(name):
    sample = load_sample(name)
    painted = sample.strokes > 0
    np.testing.assert_array_equal(sample.strokes[painted], sample.truth[painted])
    for value in (1, 2):
        # several separate ones, so that whole strokes can be held out
        _, n_strokes = ndi.label(sample.strokes == value, np.ones((3, 3)))
        assert n_strokes >= 4
    assert painted.mean() < 0.03


def test_a_sample_is_the_callers_own():
    first = load_sample("nuclei")
    first.strokes[:] = 7
    assert load_sample("nuclei").strokes.max() == 2


def test_unknown_sample():
    with pytest.raises(FileError, match=r"no sample 'brain'; choose nuclei or tissue"):
        load_sample("brain")


def test_folder_is_small_and_names_every_source():
    folder = files("napari_unet.sample")
    entries = json.loads((folder / "sources.json").read_text("utf-8"))["samples"]
    assert [entry["name"] for entry in entries] == list(SAMPLES)
    pictures = [f for f in folder.iterdir() if f.name.endswith(".png")]
    assert {f.name.split("-")[0] for f in pictures} == set(SAMPLES)
    assert sum(len(f.read_bytes()) for f in pictures) < 700_000
