"""Prediction into a store: the same tiles as in memory, threads that always end."""

import threading

import numpy as np
import pytest
import torch

from napari_unet.core.source import ImageSource
from napari_unet.errors import FileError, ImageError
from napari_unet.inference.predict import predict_planes
from napari_unet.inference.stream import stream_planes
from napari_unet.jobs import CancelToken, Notice, Progress, TilePredicted, finish


class Blur:
    """Predicts from what is around a pixel; remembers what it was given."""

    name = "blur"
    values = (1, 2)
    generation = 3
    device = torch.device("cpu")
    planes_around = 0

    def __init__(self, looks_px=4, max_px=10**6):
        self.looks_px, self.max_px = looks_px, max_px
        self.sources = []

    def planes_at_once(self, source, tile_px):
        return 1

    def window(self, source, tile):
        return source, tile.grown(4)

    def probabilities(self, source, plane, tile, n_planes=1):
        self.sources.append(source)
        if max(tile.shape) > self.max_px:
            raise MemoryError
        r = self.looks_px
        around = source.read(plane, tile.y0 - r, tile.y1 + r, tile.x0 - r, tile.x1 + r)
        h, w = tile.shape
        first = 0.5 + 0.01 * (around[0, :h, :w] + around[0, 2 * r :, 2 * r :])
        return np.stack([first, 1 - first]).astype(np.float32)


class Kept:
    """A store in memory."""

    tile_px = 32

    def __init__(self, source, done=(), error=None, n_parts=3):
        stack = source.stack
        self.labels = np.zeros(stack.spatial_shape, np.uint8)
        self.probabilities = np.zeros((2, *stack.spatial_shape), np.float32)
        self.done, self.error, self.n_parts = set(done), error, n_parts
        self.finished, self.threads = 0, set()

    def is_done(self, index, tile):
        return (index, tile) in self.done

    def write(self, index, tile, found):
        self.threads.add(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        where = (*index, slice(tile.y0, tile.y1), slice(tile.x0, tile.x1))
        self.labels[where] = found.labels
        self.probabilities[(slice(None), *where)] = found.probabilities
        self.done.add((index, tile))

    def finish(self):
        for _ in range(self.n_parts):
            self.finished += 1
            yield self.finished, self.n_parts


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("napari-unet")]


def _expected(predictor, source, tile_px=32):
    labels = np.zeros(source.stack.spatial_shape, np.uint8)
    probabilities = np.zeros((2, *labels.shape), np.float32)

    def store(plane, tile, found):
        rows, columns = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
        where = (*source.stack.index(plane), rows, columns)
        labels[where] = found.labels
        probabilities[(slice(None), *where)] = found.probabilities

    planes = range(source.stack.n_planes)
    finish(predict_planes(predictor, source, planes, tile_px, store=store))
    return labels, probabilities


@pytest.mark.parametrize("looks_px", [0, 3, 4, 9, 40])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((70, 100), "YX"), ((2, 3, 33, 20), "ZCYX"), ((40, 50, 3), None)],
)
def test_the_same_tiles_as_in_memory(make_source, shape, axes, looks_px):
    """Also where the predictor reads further than it says."""
    source = make_source(shape, axes)
    store = Kept(source)
    predictor = Blur(looks_px)
    events = list(stream_planes(predictor, source, store))
    labels, probabilities = _expected(Blur(looks_px), source)
    np.testing.assert_array_equal(store.labels, labels)
    np.testing.assert_array_equal(store.probabilities, probabilities)
    assert len(np.unique(labels)) == 2
    whole = np.zeros_like(labels)
    for tile in (e for e in events if isinstance(e, TilePredicted)):
        h, w = tile.labels.shape
        place = (*tile.index, slice(tile.y, tile.y + h), slice(tile.x, tile.x + w))
        whole[place] = tile.labels
    np.testing.assert_array_equal(whole, labels)
    total = len(store.done)
    found = [(e.done, e.total, e.what) for e in events if isinstance(e, Progress)]
    assert found == [
        *((n, total, "predict") for n in range(1, total + 1)),
        *((n, 3, "pyramid") for n in range(1, 4)),
    ]


def test_tiles_come_in_rows_and_are_read_ahead_on_another_thread(make_source):
    source = make_source((70, 70))
    threads, tiles = [], []

    class Noting(ImageSource):
        def read(self, *place):
            threads.append(threading.current_thread().name)
            return super().read(*place)

    noting = Noting(source.key, source.stack)
    predictor = Blur()
    store = Kept(source)
    for event in stream_planes(predictor, noting, store):
        if isinstance(event, TilePredicted):
            tiles.append((event.y, event.x))
    assert tiles == sorted(tiles)
    # what the predictor then reads is at hand
    assert len(threads) == 9
    assert all(name.startswith("napari-unet-read") for name in threads)
    assert all(name.startswith("napari-unet-write") for name in store.threads)


def test_what_is_there_is_not_done_again(make_source):
    source = make_source((2, 70, 70), "ZYX")
    first = Kept(source)
    finish(stream_planes(Blur(), source, first))
    half = sorted(first.done)[::2]
    again = Kept(source, done=half)
    predictor = Blur()
    events = list(stream_planes(predictor, source, again))
    assert len(predictor.sources) == 18 - 9
    assert again.done == first.done
    (notice,) = (e for e in events if isinstance(e, Notice))
    assert notice.message == "9 of 18 tiles were there already."
    tiles = [e for e in events if isinstance(e, TilePredicted)]
    assert [t.is_last for t in tiles] == [False] * 8 + [True]


def test_a_finished_store_only_gets_what_remains(make_source):
    source = make_source((40, 40))
    store = Kept(source)
    finish(stream_planes(Blur(), source, store))
    predictor = Blur()
    assert finish(stream_planes(predictor, source, store)) is True
    assert not predictor.sources
    assert store.finished == 6


def test_cancelled_tiles_that_were_begun_are_written(make_source):
    source = make_source((100, 100))
    token, store = CancelToken(), Kept(source)
    job = stream_planes(Blur(), source, store, token=token)
    next(job)
    token.cancel()
    assert finish(job) is False
    assert len(store.done) == 1
    assert store.finished == 0


def test_cancelled_while_finishing(make_source):
    source = make_source((40, 40))
    token, store = CancelToken(), Kept(source)
    job = stream_planes(Blur(), source, store, token=token)
    for event in job:
        if isinstance(event, Progress) and event.what == "pyramid":
            token.cancel()
            break
    assert finish(job) is False
    assert store.finished == 1


def test_closing_the_job_ends_its_threads(make_source):
    store = Kept(make_source((100, 100)))
    job = stream_planes(Blur(), make_source((100, 100)), store)
    next(job)
    job.close()
    assert len(store.done) == 1


def test_a_full_disk_ends_the_job(make_source):
    source = make_source((200, 200))
    predictor = Blur()
    with pytest.raises(FileError, match="disk"):
        finish(stream_planes(predictor, source, Kept(source, error=FileError("disk"))))
    assert len(predictor.sources) <= 2


def test_a_full_disk_at_the_last_tile(make_source):
    source = make_source((20, 20))
    store = Kept(source, error=FileError("disk"))
    with pytest.raises(FileError, match="disk"):
        finish(stream_planes(Blur(), source, store))
    assert store.finished == 0


def test_what_cannot_be_read_ends_the_job(make_source):
    class Torn(ImageSource):
        def read(self, plane, y0, y1, x0, x1):
            if y0 > 0:
                raise ImageError("torn")
            return super().read(plane, y0, y1, x0, x1)

    source = make_source((100, 30))
    store = Kept(source)
    with pytest.raises(ImageError, match="torn"):
        finish(stream_planes(Blur(), Torn(source.key, source.stack), store))
    assert len(store.done) == 1


def test_where_memory_runs_out_tiles_are_put_together(make_source):
    source = make_source((300, 260))
    store, poor = Kept(source), Blur(max_px=100)
    store.tile_px = poor_px = 256
    events = list(stream_planes(poor, source, store))
    labels, _ = _expected(Blur(), source, poor_px)
    np.testing.assert_array_equal(store.labels, labels)
    assert len(store.done) == 4
    assert [e for e in events if isinstance(e, Notice)]


def test_where_memory_runs_out_in_a_slab_planes_are_computed_alone(make_source):
    class OfSlabs(Blur):
        planes_around = 1
        asked = ()

        def planes_at_once(self, source, tile_px):
            return 3

        def probabilities(self, source, plane, tile, n_planes=1):
            self.asked += (n_planes,)
            if n_planes > 1:
                raise MemoryError
            return super().probabilities(source, plane, tile)

    source = make_source((5, 90, 80))
    store, poor = Kept(source), OfSlabs()
    list(stream_planes(poor, source, store))
    labels, _ = _expected(Blur(), source, store.tile_px)
    np.testing.assert_array_equal(store.labels, labels)
    assert [n for n in poor.asked if n > 1] == [3]


def test_memory_that_runs_out_in_reading_ahead(make_source, monkeypatch):
    def fails(*_args):
        raise MemoryError

    source = make_source((200, 130))
    monkeypatch.setattr("napari_unet.inference.stream._Held.of", fails)
    store = Kept(source)
    list(stream_planes(Blur(), source, store))
    labels, _ = _expected(Blur(), source, store.tile_px)
    np.testing.assert_array_equal(store.labels, labels)
