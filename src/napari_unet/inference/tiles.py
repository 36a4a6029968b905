"""The tile plan: rectangles that partition a plane, on one fixed grid."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Tile", "plan_tiles"]


@dataclass(frozen=True, order=True)
class Tile:
    """A rectangle of a plane (px), without its halo; stops are exclusive."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width (px)."""
        return self.y1 - self.y0, self.x1 - self.x0

    def grown(self, px: int) -> Tile:
        """Return the rectangle with so many pixels more on each side."""
        return Tile(self.y0 - px, self.y1 + px, self.x0 - px, self.x1 + px)

    def common(self, other: Tile) -> Tile:
        """Return what two rectangles have in common; where nothing, no rectangle."""
        return Tile(
            max(self.y0, other.y0),
            min(self.y1, other.y1),
            max(self.x0, other.x0),
            min(self.x1, other.x1),
        )

    def within(self, around: Tile) -> tuple[slice, slice]:
        """Return where it lies in the array of a rectangle that holds it."""
        return (
            slice(self.y0 - around.y0, self.y1 - around.y0),
            slice(self.x0 - around.x0, self.x1 - around.x0),
        )


def plan_tiles(
    plane_shape: tuple[int, int],
    tile_px: int,
    region: Tile | None = None,
) -> list[Tile]:
    """Cut a plane into tiles of side ``tile_px``, smaller at the far borders.

    The grid starts at the plane's corner whatever the region, so that a tile predicted
    for the visible field is the same tile that the whole image has.

    Parameters
    ----------
    plane_shape
        Height and width (px).
    tile_px
        Side of a tile (px); a multiple of the network's pooling grid.
    region
        Return only the tiles that meet this rectangle; None: all.

    Returns
    -------
    list of Tile
        Nearest to the region's centre first. Empty when nothing meets the region.
    """
    height, width = plane_shape
    region = region or Tile(0, height, 0, width)
    y0, y1 = max(region.y0, 0), min(region.y1, height)
    x0, x1 = max(region.x0, 0), min(region.x1, width)
    if y0 >= y1 or x0 >= x1:
        return []
    tiles = [
        Tile(y, min(y + tile_px, height), x, min(x + tile_px, width))
        for y in range(y0 // tile_px * tile_px, y1, tile_px)
        for x in range(x0 // tile_px * tile_px, x1, tile_px)
    ]
    centre = region.y0 + region.y1, region.x0 + region.x1

    def distance(tile: Tile) -> int:
        dy, dx = tile.y0 + tile.y1 - centre[0], tile.x0 + tile.x1 - centre[1]
        return dy * dy + dx * dx

    return sorted(tiles, key=lambda tile: (distance(tile), tile))
