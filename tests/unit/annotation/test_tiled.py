import numpy as np
import pytest

from napari_unet.annotation.strokes import find_strokes, find_strokes_in
from napari_unet.annotation.tiled import TILE_PX, TiledLabels, box_around


def _marks(*places, shape=(1000, 1100), value=2):
    array = np.zeros(shape, np.uint8)
    for *index, y, x in places:
        array[(*index, slice(y, y + 5), slice(x, x + 5))] = value
    return array


@pytest.mark.parametrize(
    "array",
    [
        _marks((0, 0), (250, 250), (995, 1095)),
        _marks((1, 40, 700), (3, 300, 3), shape=(4, 400, 900)),
        _marks((1, 0, 1, 1), shape=(2, 2, 7, 9)),
        np.zeros((3, 5), np.uint16),
        np.full((2, 300, 300), -4, np.int64),
        np.eye(600, dtype=bool),
    ],
)
def test_holds_what_the_array_holds(array):
    tiled = TiledLabels.of(array)
    np.testing.assert_array_equal(np.asarray(tiled), array)
    assert np.asarray(tiled).dtype == tiled.dtype == array.dtype
    assert tiled.any() == array.any()
    assert tiled.max() == max(array.max(initial=0), 0)
    assert tiled.min() == min(array.min(initial=0), 0)
    assert all(not tile.flags.writeable for tile in tiled.tiles.values())


def test_keeps_only_tiles_that_hold_something():
    tiled = TiledLabels.of(_marks((0, 0), (600, 600)))
    assert set(tiled.tiles) == {(0, 0, 0), (0, 2, 2)}
    assert tiled.planes == (0,)


def test_is_a_copy():
    array = _marks((3, 3))
    tiled = TiledLabels.of(array)
    array[:] = 0
    assert tiled.max() == 2


@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 1000), slice(0, 1100)),
        (slice(254, 258), slice(255, 257)),
        (slice(300, 999), slice(1, 1100)),
        (slice(7, 7), slice(3, 9)),
    ],
)
def test_reads_any_rectangle(box):
    array = _marks((252, 254), (500, 30), (996, 1096))
    np.testing.assert_array_equal(TiledLabels.of(array).read(0, box), array[box])


def test_what_is_read_is_no_view():
    tiled = TiledLabels.of(_marks((0, 0)))
    tiled.read(0, (slice(0, TILE_PX), slice(0, TILE_PX)))[:] = 9
    assert tiled.max() == 2


def test_neighbouring_tiles_are_one_group_also_across_a_corner():
    array = _marks((254, 254), (900, 0))
    tiled = TiledLabels.of(array)
    assert tiled.boxes(0) == [
        (slice(0, 512), slice(0, 512)),
        (slice(768, 1000), slice(0, 256)),
    ]
    assert tiled.box(0) == (slice(0, 1000), slice(0, 512))
    assert tiled.boxes(1) == []
    assert tiled.box(1) == box_around([]) == (slice(0, 0), slice(0, 0))


def test_a_group_holds_nothing_of_another_whose_box_it_overlaps():
    # an L of tiles around one that is not its neighbour
    array = np.zeros((1300, 1300), np.uint8)
    array[:, 10], array[1290, :] = 1, 1
    array[100, 1200] = 7
    tiled = TiledLabels.of(array)
    (around, part), (inner, other) = tiled.groups(0)
    assert around[0].start <= inner[0].start < inner[0].stop <= around[0].stop
    assert around[1].start <= inner[1].start < inner[1].stop <= around[1].stop
    assert part.max() == 1
    assert other.max() == 7


def test_parts_go_where_they_were_read():
    array = _marks((1, 40, 700), (1, 600, 3), (3, 300, 3), shape=(4, 800, 900))
    tiled = TiledLabels.of(array)
    parts = [(p, tiled.box(p), tiled.read(p, tiled.box(p)) * 2) for p in tiled.planes]
    doubled = TiledLabels.of_parts(array.shape, np.uint16, parts)
    np.testing.assert_array_equal(np.asarray(doubled), array * 2)
    assert doubled.dtype == np.uint16


def test_equal_if_shape_and_values_are():
    one, two = _marks((0, 0)), _marks((0, 0), (600, 600))
    assert TiledLabels.of(one).is_same(TiledLabels.of(one.astype(np.uint16)))
    assert not TiledLabels.of(one).is_same(TiledLabels.of(two))
    assert not TiledLabels.of(one).is_same(TiledLabels.of(one[:-1]))
    assert not TiledLabels.of(one).is_same(TiledLabels.of(one * 2))


def test_strokes_of_the_groups_are_those_of_the_plane():
    rng = np.random.default_rng(0)
    array = np.zeros((1500, 1600), np.uint8)
    for _ in range(60):
        y, x = rng.integers(0, 1500), rng.integers(0, 1600)
        array[y : y + rng.integers(1, 40), x : x + rng.integers(1, 150)] = 1 + y % 3
    tiled = TiledLabels.of(
        np.where(
            rng.random((6, 7)).repeat(256, 0).repeat(256, 1)[:1500, :1600] < 0.5,
            array,
            0,
        )
    )
    parts = [((b[0].start, b[1].start), part) for b, part in tiled.groups(0)]
    assert len(parts) > 2
    found = find_strokes_in(parts, plane=3, region_px=32)
    expected = find_strokes(np.asarray(tiled), plane=3, region_px=32)
    assert [s.signature for s in found] == [s.signature for s in expected]
