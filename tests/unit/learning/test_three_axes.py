"""Volumes predicted along z, y and x."""

import numpy as np
import pytest

from napari_unet.errors import ImageError
from napari_unet.jobs import CancelToken, Progress, TilePredicted, finish
from napari_unet.learning import Learner


@pytest.fixture
def cube(scene):
    """A bright cube in a dark one, and strokes in two planes along z."""
    image = np.random.default_rng(0).normal(0, 0.05, (24, 24, 32))
    image[8:16, 8:16, 8:24] += 1
    # any sample of it has the same extremes, and so the same normalisation
    image = np.clip(image, 0, 1)
    strokes = np.zeros(image.shape, np.uint8)
    for z in (10, 13):
        strokes[z, 2, 2:12] = strokes[z, 20, 2:12] = 1
        strokes[z, 10, 10:20] = strokes[z, 14, 10:20] = 2
    return image, strokes


@pytest.fixture
def taught(new_learner, cube):
    learner = new_learner()
    learner.annotate(*cube)
    finish(learner.update())
    return learner


@pytest.mark.parametrize("candidate", ["instant", "forest"])
def test_it_is_the_mean_of_three_views(taught, cube, candidate):
    image, _ = cube

    def predict(turned):
        job = taught.predict_job(turned, probabilities=True, candidate=candidate)
        return finish(job)

    views = [
        predict(image),
        predict(image.swapaxes(0, 1)).swapaxes(1, 2),
        predict(image.swapaxes(0, 2)).swapaxes(1, 3),
    ]
    assert abs(views[0] - views[1]).max() > 0.01
    found = finish(taught.predict_maps_job(image, three_axes=True, candidate=candidate))
    np.testing.assert_allclose(found.probabilities, np.mean(views, axis=0), atol=1e-3)
    assert found.values == (1, 2)
    assert found.labels.shape == image.shape


def test_channels_and_time_points_keep_their_places(new_learner, cube):
    image, strokes = cube
    movie = np.stack([np.stack([image, 1 - image])] * 2, axis=-1)  # TZYXC
    learner = new_learner()
    learner.annotate(movie, np.stack([strokes, 0 * strokes]), axes="TZYXC")
    both, first = (
        finish(learner.predict_maps_job(part, axes="TZYXC", three_axes=True))
        for part in (movie, np.stack([movie[0]] * 2))
    )
    assert both.probabilities.shape == (2, 2, 24, 24, 32)
    np.testing.assert_allclose(
        both.probabilities[:, 0], first.probabilities[:, 1], atol=1e-3
    )
    assert abs(both.probabilities[:, 1] - both.probabilities[:, 0]).max() > 0.5


def test_what_is_reported_is_progress_and_no_plane_of_another_axis(taught, cube):
    events = list(taught.predict_maps_job(cube[0], three_axes=True))
    assert not any(isinstance(event, TilePredicted) for event in events)
    done = [event for event in events if isinstance(event, Progress)]
    assert [event.done == event.total for event in done].count(True) == 3


def test_cancelling_gives_no_half_view(taught, cube):
    token = CancelToken()
    token.cancel()
    job = taught.predict_maps_job(cube[0], three_axes=True, token=token)
    assert not finish(job).probabilities.any()


@pytest.mark.parametrize("scale", [(2.1, 1, 1), (1, 2.5, 2.5)])
def test_flat_voxels_are_refused(taught, cube, scale):
    with pytest.raises(ImageError, match="at most 2:1"):
        finish(taught.predict_maps_job(cube[0], three_axes=True, scale=scale))


def test_what_is_no_volume_is_refused(taught, cube):
    image, _ = cube
    with pytest.raises(ImageError, match="no z"):
        finish(taught.predict_maps_job(image[0], three_axes=True))


def test_a_network_that_sees_the_planes_around_needs_it_not(scene, cube):
    learner = Learner(scene.config.model_copy(update={"dimensions": "3d"}))
    learner.annotate(*cube)
    with pytest.raises(ImageError, match="sees the planes around already"):
        finish(learner.predict_maps_job(cube[0], three_axes=True))
