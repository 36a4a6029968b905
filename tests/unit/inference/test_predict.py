import weakref

import numpy as np
import pytest
import torch

from napari_unet.errors import OutOfMemoryError
from napari_unet.inference.predict import predict_planes
from napari_unet.inference.prediction import label_dtype
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import CancelToken, Notice, Progress, TilePredicted, finish


class Fake:
    """Predicts from a pixel's place; memory runs out above ``max_px`` a side."""

    name = "fake"
    values = (1, 2, 300)
    generation = 7
    device = torch.device("cpu")

    def __init__(self, max_px=10**6, error=MemoryError):
        self.max_px, self.error = max_px, error
        self.tiles = []

    def planes_at_once(self, source, tile_px):
        return 1

    def probabilities(self, source, plane, tile, n_planes=1):
        self.tiles.append(tile)
        if max(tile.shape) > self.max_px:
            raise self.error("no more")
        y, x = np.mgrid[tile.y0 : tile.y1, tile.x0 : tile.x1]
        first = np.sin(y / 9 + plane) ** 2
        second = np.cos(x / 7) ** 2 * (1 - first)
        return np.stack([first, second, 1 - first - second]).astype(np.float32)


def _run(predictor, source, planes=(0,), tile_px=256, **options):
    """Return events, result and the planes put together of what was stored."""
    stored = {
        plane: np.full((3, *source.stack.plane_shape), np.nan, np.float32)
        for plane in planes
    }
    labels = {p: np.zeros(source.stack.plane_shape, int) for p in planes}

    def store(plane, tile, found):
        where = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
        stored[plane][(slice(None), *where)] = found.probabilities
        labels[plane][where] = found.labels

    job = predict_planes(predictor, source, planes, tile_px, store=store, **options)
    events = []
    while True:
        try:
            events.append(next(job))
        except StopIteration as stop:
            return events, stop.value, stored, labels


@pytest.mark.parametrize(
    ("values", "dtype"), [((), np.uint8), ((1, 255), np.uint8), ((1, 256), np.uint16)]
)
def test_labels_are_as_small_as_they_can_be(values, dtype):
    assert label_dtype(values) == dtype


def test_labels_are_the_values_of_the_likeliest_class(make_source):
    source = make_source((40, 50))
    _, done, stored, labels = _run(Fake(), source, tile_px=16)
    assert done
    expected = np.array([1, 2, 300])[stored[0].argmax(0)]
    np.testing.assert_array_equal(labels[0], expected)
    assert set(np.unique(expected)) == {1, 2, 300}


def test_every_tile_is_an_event_with_its_place(make_source):
    source = make_source((3, 40, 50), "ZYX")
    events, _, _, labels = _run(Fake(), source, planes=(0, 2), tile_px=32)
    tiles = [e for e in events if isinstance(e, TilePredicted)]
    whole = np.zeros((3, 40, 50), int)
    for tile in tiles:
        h, w = tile.labels.shape
        whole[(*tile.index, slice(tile.y, tile.y + h), slice(tile.x, tile.x + w))] = (
            tile.labels
        )
        assert (tile.key, tile.candidate, tile.generation) == ("image", "fake", 7)
        assert tile.labels.dtype == np.uint16
    np.testing.assert_array_equal(whole[2], labels[2])
    assert not whole[1].any()
    assert [t.is_last for t in tiles] == [False] * 7 + [True]
    progress = [(e.done, e.total) for e in events if isinstance(e, Progress)]
    assert progress == [(n, 8) for n in range(1, 9)]


def test_a_region_predicts_only_what_meets_it(make_source):
    source = make_source((100, 100))
    fake = Fake()
    events, _, _, _ = _run(fake, source, tile_px=32, region=Tile(40, 60, 5, 10))
    assert fake.tiles == [Tile(32, 64, 0, 32)]
    assert [e.is_last for e in events if isinstance(e, TilePredicted)] == [True]


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
@pytest.mark.parametrize("max_px", [64, 100, 128, 200])
def test_out_of_memory_goes_on_in_smaller_tiles_with_the_same_numbers(
    make_source, error, max_px
):
    source = make_source((300, 270))
    _, _, expected, _ = _run(Fake(), source)
    poor = Fake(max_px, error)
    events, done, stored, _ = _run(poor, source)
    assert done
    np.testing.assert_array_equal(stored[0], expected[0])
    notices = [e for e in events if isinstance(e, Notice)]
    assert notices
    assert all(n.level == "warning" and "Memory ran out" in n.message for n in notices)
    # smaller tiles stay on the grid of any network's pooling
    for tile in poor.tiles:
        assert tile.y0 % 64 == tile.x0 % 64 == 0


def test_memory_is_not_asked_for_in_vain_again_and_again(make_source):
    source = make_source((512, 512))
    poor = Fake(64)
    events, _, _, _ = _run(poor, source)
    n_failed = sum(max(tile.shape) > 64 for tile in poor.tiles)
    assert n_failed <= 3
    assert len([e for e in events if isinstance(e, Notice)]) == n_failed


def test_if_nothing_fits_one_sentence_says_what_to_do(make_source):
    with pytest.raises(OutOfMemoryError, match=r"64 px: close other") as error:
        _run(Fake(10), make_source((300, 300)))
    assert isinstance(error.value.__cause__, MemoryError)


def test_small_images_that_do_not_fit_are_refused_at_once(make_source):
    poor = Fake(10)
    with pytest.raises(OutOfMemoryError):
        _run(poor, make_source((40, 30)))
    assert len(poor.tiles) == 1


def test_our_own_out_of_memory_error_is_not_tried_again(make_source):
    poor = Fake(10, OutOfMemoryError)
    with pytest.raises(OutOfMemoryError, match="no more"):
        _run(poor, make_source((300, 300)))
    assert len(poor.tiles) == 1


def test_other_errors_are_bugs_and_come_through(make_source):
    with pytest.raises(RuntimeError, match="no more"):
        _run(Fake(10, RuntimeError), make_source((300, 300)))


def test_a_cancelled_prediction_stops_before_the_next_tile(make_source):
    token = CancelToken()
    fake = Fake()
    job = predict_planes(fake, make_source((100, 100)), [0], 32, token=token)
    assert isinstance(next(job), TilePredicted)
    token.cancel()
    assert finish(job) is False
    assert len(fake.tiles) == 1


def test_nothing_of_a_failed_tile_is_kept_alive(make_source):
    """A traceback that held the failed attempt's arrays would keep memory short."""

    class Large:
        pass

    attempts = weakref.WeakSet()

    class Greedy(Fake):
        def probabilities(self, source, plane, tile, n_planes=1):
            assert not attempts
            mine = Large()
            attempts.add(mine)
            return super().probabilities(source, plane, tile)

    _, done, _, _ = _run(Greedy(64), make_source((256, 256)))
    assert done
