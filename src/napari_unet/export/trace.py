"""Outlines of labels along the edges of pixels, with holes, exact to the pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outline", "trace"]

Ring = NDArray[np.int64]
Polygon = list[Ring]

# steps along +x, +y, -x, -y; what is outlined lies to the right on a screen, where y
# points down
_STEPS = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])
# from a pixel corner, seen along each step: the pixels ahead, as (dy, dx) of the padded
# image, on the side that is not outlined and on the side that is
_AHEAD_OUTSIDE = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
_AHEAD_INSIDE = np.array([[1, 1], [1, 0], [0, 0], [0, 1]])


@dataclass(frozen=True)
class Outline:
    """A label in a plane, as polygons.

    Attributes
    ----------
    value
        Of the label.
    polygons
        One for each 4-connected part: its outer ring and its holes, each of shape
        (n, 2), corners of pixels as (x, y), (0, 0) at the top left of the image. Rings
        are not closed. Outer rings have a positive area where y points down (clockwise
        on a screen), holes a negative one.
    """

    value: int
    polygons: list[Polygon]

    @property
    def area_px(self) -> int:
        """Number of pixels, which is also the area of the polygons."""
        rings = (ring for polygon in self.polygons for ring in polygon)
        return sum(_doubled_area(ring) for ring in rings) // 2

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The pixels that it lies in, as (x0, y0, x1, y1), the last not included."""
        corners = np.concatenate([polygon[0] for polygon in self.polygons])
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        return int(x0), int(y0), int(x1), int(y1)

    @property
    def has_holes(self) -> bool:
        """Whether any part has a hole."""
        return any(len(polygon) > 1 for polygon in self.polygons)


def trace(plane: Any, apart: Literal["values", "pieces"] = "values") -> list[Outline]:
    """Outline every label but 0 of a plane.

    Polygons filled by any rule give the pixels back, and each is valid as OGC's simple
    features (JTS, shapely) have it: where pixels of one part meet at a corner only, its
    ring is led around what is between, so that no ring touches itself.

    Parameters
    ----------
    plane
        Integers of 0 or more, shape (Y, X).
    apart
        ``"values"``: one outline for each label value. ``"pieces"``: one for each
        8-connected piece of a value.

    Returns
    -------
    list of Outline
        In the order in which they appear in the plane, row by row.
    """
    plane = np.asarray(plane)
    parts = np.pad(_connected(plane, 1), 1)
    groups = _connected(plane, 2) if apart == "pieces" else plane
    found: dict[int, tuple[int, list[Polygon]]] = {}
    of_part: dict[int, Polygon] = {}
    for part, (y, x), ring in _rings(parts):
        if part in of_part:  # the first is the outer one: it has the uppermost edge
            of_part[part].append(ring)
            continue
        of_part[part] = [ring]
        group = int(groups[y, x])
        found.setdefault(group, (int(plane[y, x]), []))[1].append(of_part[part])
    return [Outline(value, polygons) for value, polygons in found.values()]


def _connected(plane: NDArray[Any], connectivity: int) -> NDArray[Any]:
    """Return parts of one value, numbered: joined by edges (1), or corners too (2)."""
    from skimage import measure

    # it has no type hints
    parts: NDArray[Any] = measure.label(  # type: ignore[no-untyped-call]
        plane, background=0, connectivity=connectivity
    )
    return parts


def _rings(parts: NDArray[Any]) -> Iterator[tuple[int, tuple[int, int], Ring]]:
    """Yield part, a pixel (y, x) in it, and corners (x, y) of every ring.

    ``parts`` has a border of one pixel of 0.
    """
    y, x, direction, of_part = _edges(parts)
    if not len(y):
        return
    code = (y * parts.shape[1] + x) * 4 + direction
    order = np.argsort(code, kind="stable")
    y, x, direction, of_part = (a[order] for a in (y, x, direction, of_part))
    code = code[order]
    end_y, end_x, turned = _followed(parts, y, x, direction, of_part)
    following = np.searchsorted(code, (end_y * parts.shape[1] + end_x) * 4 + turned)
    # the corner at which an edge ends belongs to the ring where it turns there
    is_corner = (turned != direction).tolist()
    ends = np.stack([end_x, end_y], axis=1)
    steps = following.tolist()
    is_open = [True] * len(steps)
    for start in range(len(steps)):
        if not is_open[start]:
            continue
        corners, edge = [], start
        while is_open[edge]:
            is_open[edge] = False
            if is_corner[edge]:
                corners.append(edge)
            edge = steps[edge]
        place = _pixel_of(int(y[start]), int(x[start]), int(direction[start]))
        yield int(of_part[start]), place, ends[corners]


def _edges(parts: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return y, x, direction and part of the edges around every part.

    y, x is the corner where an edge begins.
    """
    inner = parts[1:-1, 1:-1]
    neighbours = (parts[:-2, 1:-1], parts[1:-1, 2:], parts[2:, 1:-1], parts[1:-1, :-2])
    beginnings = ((0, 0), (0, 1), (1, 1), (1, 0))  # of a pixel's edges, clockwise
    found = []
    for direction, (other, (dy, dx)) in enumerate(
        zip(neighbours, beginnings, strict=True)
    ):
        y, x = np.nonzero((inner != 0) & (inner != other))
        of_part = inner[y, x]
        found.append((y + dy, x + dx, np.full(len(y), direction), of_part))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _followed(
    parts: NDArray[Any],
    y: NDArray[Any],
    x: NDArray[Any],
    direction: NDArray[Any],
    of_part: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return where edges end, and the direction of the edge that follows."""
    end_y, end_x = y + _STEPS[direction, 0], x + _STEPS[direction, 1]

    def is_ahead(places: NDArray[Any]) -> NDArray[np.bool_]:
        dy, dx = places[direction].T
        ahead: NDArray[np.bool_] = parts[end_y + dy, end_x + dx] == of_part
        return ahead

    # away from the part wherever it goes on there, also at a corner where two of its
    # pixels meet; straight on along it; else around its pixel
    turn = np.where(
        is_ahead(_AHEAD_OUTSIDE), -1, np.where(is_ahead(_AHEAD_INSIDE), 0, 1)
    )
    return end_y, end_x, (direction + turn) % 4


def _pixel_of(y: int, x: int, direction: int) -> tuple[int, int]:
    """Return the pixel whose edge begins at a corner and goes in a direction."""
    return y - (direction in (2, 3)), x - (direction in (1, 2))


def _doubled_area(ring: Ring) -> int:
    """Return twice the area of a ring, negative for a hole."""
    x, y = ring.T
    return int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
