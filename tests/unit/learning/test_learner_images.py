"""Images of every kind, and many of them, through the learner."""

import dask.array as da
import numpy as np
import pytest

from napari_unet.errors import ImageError
from napari_unet.jobs import (
    finish,
)
from napari_unet.learning import load
from napari_unet.learning.gate import ORDER

# -- kinds of images -----------------------------------------------------------------


def _learn(learner, image, strokes, **options):
    learner.annotate(image, strokes, **options)
    finish(learner.fine_tune(steps=1))
    return [learner.predict(image, candidate=name) for name in ORDER]


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.float16, np.float32, bool]
)
def test_any_real_dtype(learner, image, strokes, dtype, truth):
    scaled = np.clip(image + 0.3, 0, 1.4) * (1 if dtype is bool else 180)
    image = (scaled > 0.8) if dtype is bool else scaled.astype(dtype)
    for labels in _learn(learner, image, strokes)[:3]:
        assert (labels == truth).mean() > 0.9


def test_colour(learner, image, strokes):
    rgb = np.stack([image, 0 * image, -image], axis=-1)
    for labels in _learn(learner, rgb, strokes):
        assert labels.shape == (48, 48)
    assert learner.n_channels == 3
    np.testing.assert_array_equal(
        learner.predict(rgb, axes="YXC"), learner.predict(rgb)
    )


def test_channels_first_are_found_again_by_what_was_annotated(learner, image, strokes):
    two = np.stack([image, -image])
    learner.annotate(two, strokes)
    assert learner.predict(two).shape == (48, 48)
    other = np.stack([image[::-1], -image[::-1]])  # never annotated
    assert learner.predict(other).shape == (48, 48)


def test_one_channel_first(learner, image, strokes):
    learner.annotate(image[None], strokes)
    assert learner.predict(image[None]).shape == (48, 48)
    assert learner.predict(image[None, ::-1] + 1).shape == (48, 48)
    assert learner.predict(np.stack([image, image])).shape == (2, 48, 48)


def test_volumes(learner, image, strokes, truth):
    volume = np.stack([image, image[::-1], image, image.T])
    painted = np.zeros(volume.shape, np.uint8)
    painted[0], painted[2] = strokes, strokes
    for labels in _learn(learner, volume, painted):
        assert labels.shape == volume.shape
        assert (labels > 0).all()
    for labels in (learner.predict(volume, candidate=n) for n in ORDER[:3]):
        assert (labels == truth).mean() > 0.9


def test_thin_volumes_are_not_taken_for_colour(learner):
    volume = np.random.default_rng(0).random((20, 30, 3))
    volume[:, 15:] += 3
    painted = np.zeros(volume.shape, np.uint8)
    painted[3:9, 2:5, 1], painted[3:9, 20:25, 1] = 1, 2
    learner.annotate(volume, painted)
    assert learner.predict(volume).shape == volume.shape
    assert learner.predict(volume.copy()).shape == volume.shape


def test_colour_is_not_taken_for_a_volume(learner, image, strokes):
    volume, painted = np.stack([image] * 3), np.stack([strokes] * 3)
    learner.annotate(volume, painted)
    with pytest.raises(ImageError, match="3 channels"):
        learner.predict(np.random.default_rng(0).random((60, 50, 3)))


@pytest.mark.parametrize("shape", [(1, 48), (48, 1), (1, 48, 48), (48, 1, 48)])
def test_axes_of_one_pixel(learner, shape):
    rng = np.random.default_rng(0)
    image = rng.random(shape)
    painted = np.zeros(shape, np.uint8)
    painted.reshape(-1)[[3, 9]] = 1
    painted.reshape(-1)[[-3, -9]] = 2
    for labels in _learn(learner, image, painted):
        assert labels.shape == shape
        assert set(np.unique(labels)) <= {1, 2}


def test_two_pixels(learner):
    image, painted = np.array([[0.0, 1.0]]), np.array([[1, 2]])
    for labels in _learn(learner, image, painted):
        assert labels.shape == (1, 2)


def test_constant_images(learner, strokes):
    for labels in _learn(learner, np.full((48, 48), 7.0), strokes):
        assert set(np.unique(labels)) <= {1, 2}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_an_image_without_a_number_is_refused(learner, image, strokes, value):
    with pytest.raises(ImageError, match=r"\(48, 48\), float64, holds no number"):
        learner.annotate(np.full((48, 48), value), strokes)
    assert learner.n_classes_painted == 0
    learner.annotate(image, strokes)


def test_a_channel_without_a_number_does_not_matter(learner, image, strokes):
    learner.annotate(np.stack([image, np.full_like(image, np.nan)]), strokes)
    assert learner.n_classes_painted == 2


def test_holes_in_the_image(learner, image, strokes, truth):
    image[40:42, 2:4] = np.nan
    image[40, 40], image[5, 41] = np.inf, -np.inf
    for labels in _learn(learner, image, strokes)[:3]:
        assert (labels == truth).mean() > 0.75


def test_lazy_images(learner, image, strokes):
    learner.annotate(da.from_array(image, chunks=20), strokes)
    lazy = learner.predict(da.from_array(image, chunks=20))
    np.testing.assert_array_equal(learner.predict(image), lazy)


def test_unpadded_architecture(new_learner, image, strokes, truth):
    learner = new_learner(architecture="unet2015")
    for labels in _learn(learner, image, strokes)[:3]:
        assert (labels == truth).mean() > 0.9


@pytest.mark.parametrize("depth", [1, 3])
def test_other_depths(new_learner, image, strokes, depth, tmp_path):
    learner = new_learner(depth=depth)
    labels = _learn(learner, image, strokes)
    learner.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(image), learner.predict(image))
    assert len(labels) == 5


# -- many images ---------------------------------------------------------------------


def test_the_same_image_replaces_its_annotation(learner, image, strokes):
    key = learner.annotate(image, strokes)
    fewer = strokes.copy()
    fewer[:10] = 0
    assert learner.annotate(image.copy(), fewer) == key
    assert learner.status.n_px == (fewer > 0).sum()
    assert learner.status.annotation_version == 2


def test_another_image_adds(learner, image, strokes, truth):
    first = np.where(strokes == 1, 1, 0)
    second = np.where(strokes == 2, 2, 0)
    one = learner.annotate(image, first)
    two = learner.annotate(image[:, ::-1], second)
    assert one != two
    assert learner.status.n_px == (strokes > 0).sum()
    assert (learner.predict(image) == truth).mean() > 0.9


def test_names_tell_images_apart(learner, image, strokes):
    learner.annotate(image, strokes, key="a")
    assert learner.annotate(image, strokes, key="b") == "b"
    assert learner.status.n_strokes == 8
    other = image + 1
    learner.annotate(other, strokes, key="a")
    assert learner.status.n_strokes == 8


def test_an_empty_annotation_removes_the_image(learner, image, strokes):
    learner.annotate(image, strokes)
    learner.annotate(image, np.zeros_like(strokes))
    assert learner.status.n_strokes == 0
    learner.annotate(image, strokes, key="a")
    learner.forget("a")
    assert learner.status.n_strokes == 0


def test_the_caller_s_array_may_change_afterwards(learner, image, strokes):
    learner.annotate(image, strokes)
    strokes[:] = 0
    assert set(np.unique(learner.predict(image))) == {1, 2}


def test_images_of_another_size_can_be_predicted(learner, image, strokes):
    learner.annotate(image, strokes)
    assert learner.predict(image[:17, :35]).shape == (17, 35)
    assert learner.predict(np.stack([image, image])).shape == (2, 48, 48)


@pytest.mark.parametrize("other", [(48, 48, 3), (2, 48, 48, 3)])
def test_images_with_other_channels_are_refused(learner, image, strokes, other):
    learner.annotate(image, strokes)
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        learner.predict(np.zeros(other))


def test_a_model_is_not_used_on_other_channels_than_its_own(learner, image, strokes):
    learner.annotate(image, strokes, key="grey")
    learner.predict(image)
    learner.annotate(image, 0 * strokes, key="grey")
    rgb = np.stack([image] * 3, axis=-1)
    learner.annotate(rgb, np.where(strokes == 1, 1, 0), key="colour")
    # the grey model is still there, for one class teaches no new one
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        learner.predict(rgb)
    assert learner.predict(image).shape == (48, 48)
    learner.annotate(rgb, strokes, key="colour")
    assert learner.predict(rgb).shape == (48, 48)
