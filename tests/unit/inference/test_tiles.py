import pytest

from napari_unet.inference.tiles import Tile, plan_tiles


def _pixels(tile):
    return {(y, x) for y in range(tile.y0, tile.y1) for x in range(tile.x0, tile.x1)}


def test_one_tile_for_a_small_plane():
    assert plan_tiles((30, 40), 64) == [Tile(0, 30, 0, 40)]


def test_tiles_share_nothing_and_leave_nothing_out():
    tiles = plan_tiles((70, 50), 32)
    assert len(tiles) == 6
    pixels = [px for tile in tiles for px in _pixels(tile)]
    assert len(pixels) == len(set(pixels)) == 70 * 50


def test_the_nearest_tile_comes_first():
    tiles = plan_tiles((320, 320), 32, Tile(100, 160, 200, 260))
    assert tiles[0] in (Tile(128, 160, 224, 256), Tile(96, 128, 224, 256))
    # the one under the centre
    assert _pixels(tiles[0]) & {(130, 230), (129, 229)}
    distances = [(t.y0 + t.y1 - 260) ** 2 + (t.x0 + t.x1 - 460) ** 2 for t in tiles]
    assert distances == sorted(distances)


@pytest.mark.parametrize(
    "region",
    [
        Tile(0, 1, 0, 1),
        Tile(31, 33, 10, 90),
        Tile(-50, 400, -50, 400),
        Tile(96, 97, 0, 9),
    ],
)
def test_a_region_gets_the_tiles_of_the_whole_that_meet_it(region):
    whole = plan_tiles((100, 90), 32)
    part = plan_tiles((100, 90), 32, region)
    meeting = [t for t in whole if _pixels(t) & _pixels(region)]
    assert sorted(part) == sorted(meeting)
    assert part


@pytest.mark.parametrize(
    "region",
    [Tile(100, 120, 0, 9), Tile(-9, 0, 0, 9), Tile(0, 9, 90, 99), Tile(5, 5, 5, 5)],
)
def test_nothing_meets_a_region_beside_the_plane(region):
    assert plan_tiles((100, 90), 32, region) == []


def test_planes_of_one_pixel():
    assert plan_tiles((1, 1), 32) == [Tile(0, 1, 0, 1)]
    assert len(plan_tiles((1, 100), 32)) == 4
