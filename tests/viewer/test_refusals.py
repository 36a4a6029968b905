"""What cannot be an annotation is refused in one sentence, and counting is cheap."""

import numpy as np
import pytest

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.jobs import CancelToken
from napari_unet.widgets._classes import Painted, count_job


def test_annotation_of_another_shape_is_refused_in_one_sentence(open_dock, blobs):
    case = open_dock()
    case.viewer.add_image(blobs, name="blobs")
    case.viewer.add_labels(np.zeros((10, 10), np.uint8), name="small")
    case.state.book.annotate_in(case.state.book.annotation_choices()[0])
    case.dock.refresh()
    text = case.dock.message.text()
    assert text == "'small' has 10 × 10 px, but 'blobs' needs 96 × 128 px."
    assert case.dock.layers.annotation.value is None
    assert case.state.book.current.annotation is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_a_number_per_object_is_refused_before_a_row_is_made(open_dock, blobs, dtype):
    case = open_dock()
    case.viewer.add_image(blobs)
    numbers = np.arange(blobs.size).reshape(blobs.shape)
    numbers %= 256 if dtype == np.uint8 else 5000
    case.viewer.add_labels(numbers.astype(dtype), name="instances")
    case.state.book.annotate_in(case.state.book.annotation_choices()[0])
    assert "at most 254 can be learned" in case.state.session.message
    assert case.state.book.current.annotation is None
    case.state.painting.take()
    case.dock.refresh()
    assert len(case.dock.classes.rows) == 2
    assert case.dock.layers.annotation.value is None


def test_numbers_written_into_the_annotation_are_refused(painted, qtbot):
    case = painted()
    n_sent = len(case.live.inbox.calls("annotate"))
    case.layer.data = np.arange(case.layer.data.size).reshape(case.layer.data.shape)
    qtbot.waitUntil(lambda: "at most 254" in case.state.session.message)
    assert len(case.state.classes) == 2
    assert len(case.live.inbox.calls("annotate")) == n_sent


def test_counting_many_classes_looks_at_each_stroke_once(monkeypatch):
    from scipy import ndimage

    annotation = np.zeros((400, 400), np.uint8)
    for value in range(1, 201):
        y, x = divmod(value, 20)
        annotation[y * 20 : y * 20 + 9, x * 20 : x * 20 + 9] = value
    sizes = []
    label = ndimage.label

    def spied(marks, **options):
        sizes.append(marks.size)
        return label(marks, **options)

    monkeypatch.setattr(ndimage, "label", spied)
    [counted] = count_job(CancelToken(), {"k": Painted(TiledLabels.of(annotation))})
    assert counted.counts == dict.fromkeys(range(1, 201), (81, 1))
    n_tiles = 2  # neighbours among them are found in the same way
    assert sum(sizes) == np.count_nonzero(annotation) + n_tiles


def test_negative_values_are_refused_in_one_sentence(open_dock, blobs, qtbot):
    case = open_dock()
    case.viewer.add_image(blobs)
    labels = np.zeros(blobs.shape, np.int16)
    labels[3, 3] = -1
    case.viewer.add_labels(labels, name="mine")
    case.state.book.annotate_in(case.state.book.annotation_choices()[0])
    qtbot.waitUntil(lambda: "-1" in case.dock.message.text())
    assert not case.live.inboxes
