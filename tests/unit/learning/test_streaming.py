"""A learner's prediction into a store: the same pixels, and who may go on with it."""

import numpy as np
import pytest
import zarr

from napari_unet import Learner, LearnerConfig
from napari_unet.errors import FileError
from napari_unet.export import is_complete, open_store
from napari_unet.inference.stream import StreamPlan
from napari_unet.jobs import CancelToken, Progress, TilePredicted, finish

SMALL = {
    "base_channels": 4,
    "depth": 1,
    "device": "cpu",
    "instant": {"n_trees": 5},
    "tiling": {"tile_px": 32, "stream_tile_px": 64},
}


def _image(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, shape[-1])
    return (x + 0.3 * rng.random(shape)).astype(np.float32)


def _learner(mode="strokes", seed=0):
    image = _image((40, 60))
    strokes = np.zeros((40, 60), np.uint8)
    strokes[5, 3:12] = strokes[30, 2:10] = 1
    strokes[8, 40:55] = strokes[33, 45:58] = 2
    if mode == "objects":
        strokes[20:28, 40:50], strokes[20:28, 50:58] = 3, 4
    learner = Learner(LearnerConfig(**SMALL, annotation_mode=mode, seed=seed))
    learner.annotate(image, strokes)
    return learner


@pytest.fixture(scope="module")
def learner():
    return _learner()


def _stream(learner, path, image, axes=None, token=None, n_tiles=None, **options):
    """Run the job, or only until so many tiles are there; return its events."""
    events = []
    job = learner.stream_job(
        image,
        lambda plan: open_store(path, plan, **options),
        axes=axes,
        token=token,
    )
    for event in job:
        events.append(event)
        n_done = sum(isinstance(e, TilePredicted) for e in events)
        if n_tiles is not None and n_done == n_tiles:
            job.close()
    return events


@pytest.mark.parametrize(
    ("shape", "axes"), [((150, 170), "YX"), ((3, 70, 50), "ZYX"), ((2, 2, 9, 80), None)]
)
def test_the_same_pixels_as_predict(learner, tmp_path, shape, axes):
    path, image = tmp_path / "o.zarr", _image(shape)
    events = _stream(learner, path, image, axes, with_probabilities=True)
    assert is_complete(path)
    labels = zarr.open_group(path)["0"][...]
    np.testing.assert_array_equal(labels, learner.predict(image, axes=axes))
    assert len(np.unique(labels)) == 2
    found = zarr.open_group(tmp_path / "o-probabilities.zarr")["0"][...]
    found = np.moveaxis(found, 1 if len(shape) == 4 else 0, 0)
    expected = learner.predict_probabilities(image, axes=axes)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    tiles = [e for e in events if isinstance(e, TilePredicted)]
    assert max(max(tile.labels.shape) for tile in tiles) <= 64


def test_objects_are_merged_with_their_border(tmp_path):
    learner, path = _learner("objects"), tmp_path / "o.zarr"
    image = _image((100, 90))
    _stream(learner, path, image)
    labels = zarr.open_group(path)["0"][...]
    np.testing.assert_array_equal(labels, learner.predict(image))
    assert set(np.unique(labels)) <= {1, 2}


def test_a_lazy_image_is_never_read_as_a_whole(learner, tmp_path):
    image = _image((600, 700))
    largest = []

    class Watched:
        shape, dtype, ndim, size = image.shape, image.dtype, 2, 2**25

        def __getitem__(self, place):
            part = image[place]
            largest.append(part.size)
            return part

    _stream(learner, tmp_path / "o.zarr", Watched(), "YX")
    labels = zarr.open_group(tmp_path / "o.zarr")["0"][...]
    np.testing.assert_array_equal(labels, learner.predict(image))
    n_px = sorted(largest)
    assert n_px[-1] == image.size  # for them, as it is no larger than their sample
    assert n_px[-2] <= 70 * 700  # some rows, by which the image is known


def test_a_run_that_was_stopped_goes_on_with_the_same_pixels(learner, tmp_path):
    image = _image((150, 170))
    token = CancelToken()
    path = tmp_path / "o.zarr"
    _stream(learner, path, image, n_tiles=2)
    with pytest.raises(FileError, match="add --resume"):
        _stream(learner, path, image)
    token.cancel()
    assert not _stream(learner, path, image, token=token, resume=True)[1:]
    events = _stream(learner, path, image, resume=True)
    assert sum(isinstance(e, TilePredicted) for e in events) == 9 - 2
    progress = [e.done for e in events if isinstance(e, Progress)]
    assert progress == list(range(3, 10))
    labels = zarr.open_group(path)["0"][...]
    np.testing.assert_array_equal(labels, learner.predict(image))
    assert not any(
        isinstance(e, TilePredicted) for e in _stream(learner, path, image, resume=True)
    )


def test_another_model_or_image_is_told_apart(learner, tmp_path):
    image = _image((70, 80))
    path = tmp_path / "o.zarr"
    _stream(learner, path, image, n_tiles=1)
    with pytest.raises(FileError, match="begun with another image"):
        _stream(learner, path, _image((70, 80), seed=1), resume=True)
    with pytest.raises(FileError, match="begun with another model"):
        _stream(_learner(seed=1), path, image, resume=True)
    # the same strokes and settings make the same model
    _stream(_learner(), path, image, resume=True)
    assert is_complete(path)


def test_a_saved_model_goes_on(learner, tmp_path):
    image, path = _image((70, 80)), tmp_path / "o.zarr"
    _stream(learner, path, image, n_tiles=1)
    learner.save(tmp_path / "m.safetensors")
    _stream(Learner.load(tmp_path / "m.safetensors"), path, image, resume=True)
    assert is_complete(path)


def test_no_features_are_kept(learner, tmp_path):
    learner.predict(_image((70, 80)))
    before = learner._state.cache.n_bytes
    _stream(learner, tmp_path / "o.zarr", _image((100, 200), seed=5))
    assert learner._state.cache.n_bytes == before > 0


@pytest.mark.parametrize(
    ("tile", "stream", "expected"),
    [(32, 64, 64), (512, 1536, 1536), (512, 1008, 512), (512, 32, 512)],
)
def test_how_large_tiles_are(tile, stream, expected):
    tiling = {"tile_px": tile, "stream_tile_px": stream}
    learner = Learner(LearnerConfig(**{**SMALL, "tiling": tiling}))
    plans = []

    class Enough(Exception):
        pass

    def note(plan):
        plans.append(plan)
        raise Enough

    learner.annotate(*(_image((40, 60)), np.eye(40, 60, dtype=np.uint8) + _two()))
    with pytest.raises(Enough):
        finish(learner.stream_job(_image((50, 60)), note))
    (plan,) = plans
    assert isinstance(plan, StreamPlan)
    assert plan.tile_px == expected
    assert (plan.shape, plan.axes, plan.values) == ((50, 60), "YX", (1, 2))


def _two():
    strokes = np.zeros((40, 60), np.uint8)
    strokes[10:20, 45:50] = 2
    return strokes
