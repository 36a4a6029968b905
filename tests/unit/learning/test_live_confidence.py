"""How sure the model is of what is looked at, as the loop tells it."""

from types import SimpleNamespace

import numpy as np
import pytest
from scripted_loop import of, run

from napari_unet.config import LearnerConfig
from napari_unet.jobs import CancelToken, ConfidenceFound, Notice, TilePredicted
from napari_unet.learning.inbox import Inbox, ViewRequest
from napari_unet.learning.live_confidence import find_confidence

FIELD = ViewRequest("image", (), 5, 41, 0, 40)


def _ask(view=FIELD):
    return lambda inbox: inbox.find_confidence(view)


@pytest.fixture
def paint(image, strokes):
    return lambda inbox: inbox.annotate("image", image, strokes.copy())


def test_it_is_the_probability_of_what_the_overlay_shows(config, paint):
    events = run(config, paint, lambda inbox: inbox.show(FIELD), _ask())
    (found,) = of(events, ConfidenceFound)
    assert (found.key, found.index, found.y, found.x) == ("image", (), 5, 0)
    assert found.labels.shape == found.confidence.shape == (36, 40)
    assert found.confidence.dtype == np.float32
    assert found.confidence.min() >= 0.5 - 1e-6  # the likelier one of two classes
    assert found.confidence.max() <= 1 + 1e-6
    shown = np.zeros((48, 48), int)
    for t in of(events, TilePredicted):
        h, w = t.labels.shape
        shown[t.y : t.y + h, t.x : t.x + w] = t.labels
    np.testing.assert_array_equal(found.labels, shown[5:41, :40])


def test_of_objects_too(config: LearnerConfig, image):
    config = config.model_copy(update={"annotation_mode": "objects"})
    ids = np.zeros((48, 48), np.uint16)
    ids[18:30, 18:24], ids[18:30, 24:30], ids[2:5, 4:20] = 2, 3, 1
    events = run(config, lambda inbox: inbox.annotate("image", image, ids), _ask())
    (found,) = of(events, ConfidenceFound)
    assert set(np.unique(found.labels)) <= {1, 2}  # the border is a part of objects
    assert (found.confidence >= 0.5 - 1e-6).all()


def test_without_a_model_it_is_empty(config, paint):
    (found,) = of(run(config, _ask()), ConfidenceFound)
    assert found.labels.size == found.confidence.size == 0
    other = ViewRequest("other", (), 0, 48, 0, 48)
    (found,) = of(run(config, paint, _ask(other)), ConfidenceFound)
    assert found.labels.size == 0


def test_what_cannot_be_read_is_said_and_answered():
    class Broken:
        generation = 1

        def predict_tiles(self, *_args, **_words):
            from napari_unet.errors import FileError

            raise FileError("gone")

    inbox = Inbox()
    inbox.find_confidence(FIELD)
    images = {"image": SimpleNamespace(image=None, axes=None)}
    token = CancelToken()
    events = list(find_confidence(Broken(), images, inbox, token))
    assert [e.message for e in of(events, Notice)] == ["gone"]
    assert of(events, ConfidenceFound)[0].labels.size == 0
    assert list(find_confidence(Broken(), images, inbox, token)) == []  # asked once


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_it_ends_with_the_loop_and_not_with_the_field(how):
    inbox, token, n_tiles = Inbox(), CancelToken(), []
    inbox.find_confidence(FIELD)

    class Slow:
        generation = 1

        def predict_tiles(self, *_args, token, **_words):
            for number in range(100):
                n_tiles.append(number)
                yield Notice("a tile")
            return True

    images = {"image": SimpleNamespace(image=None, axes=None)}
    job = find_confidence(Slow(), images, inbox, token)
    next(job)
    inbox.close() if how == "closed" else token.cancel()
    (last,) = list(job)
    assert last.labels.size == 0  # half a field is none
    assert len(n_tiles) == 1
