"""Where a stroke of one class still fits in one plane, and the hand that paints it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["StrokeRoom", "StrokeSize"]

Pixels = tuple[np.ndarray, np.ndarray]

_STEP_PX = 0.9  # below 1, so that the pixels of two steps always touch
# radians, in order of preference: ways round an edge
_TURNS = (0.0, 0.3, -0.3, 0.6, -0.6, 0.9, -0.9, 1.2, -1.2)
_ANY_TURNS = tuple(math.pi * k / 8 for k in range(16))
_BEND = 0.04  # radians per step of new bend; with the next line, gentle curves
_BEND_KEPT = 0.8
_CENTRE_SHARE = 0.7  # of strokes start where it is deep, the others anywhere
_CENTRE_PX = 15  # beyond, a place counts as central as any
_SPREAD_PX = 8  # strokes keep this much more apart than they must, where possible


@dataclass(frozen=True)
class StrokeSize:
    """Ranges of a stroke's length and width in px, both ends included."""

    length_px: tuple[int, int] = (4, 40)
    width_px: tuple[int, int] = (1, 3)

    def at_most(self, length_px: int) -> StrokeSize:
        """Return the same with no stroke longer than ``length_px`` (at least 1)."""
        longest = max(1, length_px)
        low, high = (min(length, longest) for length in self.length_px)
        return StrokeSize((low, high), self.width_px)


class StrokeRoom:
    """The area of one class in one plane, and where strokes closed it.

    Parameters
    ----------
    area : numpy.ndarray
        (Y, X), bool, with at least one true pixel: strokes stay inside.
    painted : numpy.ndarray
        (Y, X), bool: strokes of the class that are there already.
    size : StrokeSize
        Of the strokes to come.
    """

    def __init__(self, area: np.ndarray, painted: np.ndarray, size: StrokeSize) -> None:
        self._area, self._size = area, size
        self._distance = _border_distance(area)
        self._inside = np.flatnonzero(area)
        depth = np.minimum(self._distance.ravel()[self._inside], _CENTRE_PX)
        centred = _CENTRE_SHARE * depth / depth.sum()
        self._chances = np.cumsum(centred + (1 - _CENTRE_SHARE) / len(depth))
        reach = size.width_px[1] // 2
        # how far a path's pixels keep from other strokes: spread out, apart with the
        # whole width, and just apart for a dot
        self._gaps = (reach + 1 + _SPREAD_PX, reach + 1, 1)
        self._closed = [np.zeros_like(area) for _ in self._gaps]
        if painted.any():
            ys, xs = np.nonzero(painted)
            self.close((ys, xs))

    def paint(self, rng: np.random.Generator) -> Pixels | None:
        """Return the pixels (ys, xs) of one more stroke, or None where none fits."""
        start = self._start(rng)
        if start is None:
            return None
        is_dot = bool(self._closed[1][start])
        widest = 1 if is_dot else 2 * int(self._distance[start]) - 1
        width = min(int(rng.integers(*self._size.width_px, endpoint=True)), widest)
        length = int(rng.integers(*self._size.length_px, endpoint=True))
        if is_dot:
            length = 1
        is_open = (self._distance > width // 2) & ~self._closed[2 if is_dot else 1]
        pixels = self._widened(_walk(start, length, is_open, rng), width)
        self.close(pixels)
        return pixels

    def close(self, pixels: Pixels) -> None:
        """Keep strokes to come away from these pixels (ys, xs)."""
        ys, xs = pixels
        if len(ys) == 0:
            return
        far = self._gaps[0]
        y0, x0 = max(0, ys.min() - far), max(0, xs.min() - far)
        window = (slice(y0, ys.max() + far + 1), slice(x0, xs.max() + far + 1))
        marks = np.zeros_like(self._area[window])
        marks[ys - y0, xs - x0] = True
        for closed, gap in zip(self._closed, self._gaps, strict=True):
            closed[window] |= ndimage.maximum_filter(
                marks, 2 * gap + 1, mode="constant", cval=0
            )

    def _start(self, rng: np.random.Generator) -> tuple[int, int] | None:
        draws = rng.random(64) * self._chances[-1]
        places = np.searchsorted(self._chances, draws).clip(max=len(self._inside) - 1)
        drawn = self._inside[places]
        for closed, candidates in (
            (self._closed[0], drawn),
            (self._closed[1], drawn),
            (self._closed[1], self._inside),
            (self._closed[2], self._inside),
        ):
            fitting = candidates[~closed.ravel()[candidates]]
            if len(fitting):
                is_drawn = candidates is drawn
                place = fitting[0 if is_drawn else rng.integers(len(fitting))]
                y, x = divmod(int(place), self._area.shape[1])
                return y, x
        return None

    def _widened(self, path: list[tuple[int, int]], width: int) -> Pixels:
        """Return the pixels of a round brush of some width (px) along the path."""
        offset = np.arange(width) - (width - 1) // 2
        centre = 0.0 if width % 2 else 0.5
        squared = (offset - centre) ** 2
        dy, dx = np.nonzero(squared[:, None] + squared <= (width / 2) ** 2)
        points = np.array(path)
        ys = (points[:, :1] + offset[dy]).ravel()
        xs = (points[:, 1:] + offset[dx]).ravel()
        height, width_px = self._area.shape
        is_in = (ys >= 0) & (xs >= 0) & (ys < height) & (xs < width_px)
        return ys[is_in], xs[is_in]


def _border_distance(area: np.ndarray) -> np.ndarray:
    """Return how many px a square around each pixel reaches to leave the area.

    The plane's own border is none: what lies beyond it is unknown.
    """
    if area.all():
        return np.full(area.shape, max(area.shape))
    distance: np.ndarray = ndimage.distance_transform_cdt(area, "chessboard")
    return distance


def _walk(
    start: tuple[int, int],
    length_px: int,
    is_open: np.ndarray,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Return the pixels of a smooth random path, from ``start`` both ways."""
    n_steps = round((length_px - 1) / _STEP_PX)
    bends = rng.normal(0, _BEND, n_steps)
    side = 1.0 if rng.random() < 0.5 else -1.0
    heading = rng.uniform(0, 2 * math.pi)
    n_first = int(rng.integers(n_steps + 1))
    path = [start]
    turns = _ANY_TURNS
    for n_arm in (n_first, n_steps):  # the second arm takes what the first left
        y, x = float(start[0]), float(start[1])
        angle, bend, first_angle = heading, 0.0, None
        while len(path) <= n_arm:
            bend = _BEND_KEPT * bend + bends[len(path) - 1]
            moved = _step(y, x, angle + bend, side, turns, is_open)
            if moved is None:
                break
            y, x, angle = moved
            first_angle = angle if first_angle is None else first_angle
            turns = _TURNS
            path.append((math.floor(y + 0.5), math.floor(x + 0.5)))
        heading = math.pi + (heading if first_angle is None else first_angle)
    return path


def _step(
    y: float,
    x: float,
    angle: float,
    side: float,
    turns: tuple[float, ...],
    is_open: np.ndarray,
) -> tuple[float, float, float] | None:
    """Return the next position and angle, turning only as far as it must."""
    height, width = is_open.shape
    for turn in turns:
        way = angle + side * turn
        new_y, new_x = y + _STEP_PX * math.sin(way), x + _STEP_PX * math.cos(way)
        row, column = math.floor(new_y + 0.5), math.floor(new_x + 0.5)
        if 0 <= row < height and 0 <= column < width and is_open[row, column]:
            return new_y, new_x, way
    return None
