"""Learning curves as a picture, drawn with Pillow: no plotting package is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_unet.session import CANDIDATE_NAMES

if TYPE_CHECKING:
    from napari_unet.session import Curve

__all__ = ["curves_picture"]

# drawn twice as large and scaled down: smooth lines
_SCALE = 2
_SIZE = (960, 640)
_LEFT, _RIGHT, _GAP = 64, 200, 48
_INK, _FAINT = (40, 40, 40), (205, 205, 205)
# Okabe and Ito's colours, which colour-blind people tell apart
_COLOURS = {
    "forest": (0, 158, 115),
    "instant": (86, 180, 233),
    "instant+forest": (0, 114, 178),
    "fine-tuned": (230, 159, 0),
    "fine-tuned+forest": (213, 94, 0),
}
_LOSS_COLOUR = (110, 110, 110)

Points = Sequence[tuple[float, float]]


def curves_picture(
    curve: Curve, scores: Mapping[str, Points]
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw the loss and scores against seconds of training.

    Parameters
    ----------
    curve
        Losses, held-out scores of what was shown, and the moments of new strokes.
    scores
        For each candidate, (seconds, mean IoU against the truth); drawn with dots.

    Returns
    -------
    ndarray of uint8, shape (640, 960, 3)
    """
    image = Image.new("RGB", (_SIZE[0] * _SCALE, _SIZE[1] * _SCALE), "white")
    draw = ImageDraw.Draw(image)
    times = [s for s, _ in curve.losses] + [s for p in scores.values() for s, _ in p]
    end = max([1.0, *times])
    middle = _SIZE[1] // 2
    loss = [value for _, value in curve.losses if math.isfinite(value)]
    top = _Panel(draw, (40, middle - _GAP), end, (0.0, max([*loss, 1e-3]) * 1.05))
    top.frame("loss", curve.rounds)
    top.line(_smooth(curve.losses), _LOSS_COLOUR)
    top.legend(0, "loss", _LOSS_COLOUR)
    if curve.rounds:
        top.legend(1, "new strokes (dashed)", _INK)
    shown = [(p.seconds, p.score.mean_iou or 0.0) for p in curve.scores]
    values = [v for p in (*scores.values(), shown) for _, v in p]
    low = math.floor(min([0.9, *values]) * 10) / 10
    below = _Panel(draw, (middle + 16, _SIZE[1] - _GAP), end, (low, 1.0))
    below.frame(_score_title(curve), curve.rounds)
    below.line(shown, _LOSS_COLOUR)
    below.legend(0, "shown, held-out strokes", _LOSS_COLOUR)
    for number, (name, points) in enumerate(scores.items(), 1):
        colour = _COLOURS.get(name, _INK)
        below.line(points, colour, has_dots=True)
        below.legend(number, f"{CANDIDATE_NAMES.get(name, name)}, truth", colour)
    below.text(_SIZE[0] // 2 - 60, _SIZE[1] - 22, "seconds of training")
    return np.asarray(image.resize(_SIZE, Image.Resampling.LANCZOS), np.uint8)


def _score_title(curve: Curve) -> str:
    """Return the lower diagram's title, with what the newest score rests on."""
    newest = curve.scores[-1].score if curve.scores else None
    if newest is None or newest.mean_iou is None:
        return "mean IoU"
    return f"mean IoU (shown: {newest.held_out})"


def _smooth(points: Points, n: int = 150) -> Points:
    """Average neighbours, so that the loss of single steps does not hide its course."""
    if len(points) <= n:
        return points
    parts = np.array_split(np.array(points, float), n)
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]


class _Panel:
    """One diagram: maps seconds and values to pixels of the picture."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        rows: tuple[int, int],
        end: float,
        limits: tuple[float, float],
    ) -> None:
        self._draw, self._rows, self._end, self._limits = draw, rows, end, limits
        self._columns = (_LEFT, _SIZE[0] - _RIGHT)

    def frame(self, title: str, rounds: Sequence[float]) -> None:
        """Draw axes, their numbers, and a line wherever new strokes were taken up."""
        (top, bottom), (left, right) = self._rows, self._columns
        low, high = self._limits
        for value in _ticks(low, high):
            y = self._place(0, value)[1]
            self._segment((left, y), (right, y), _FAINT)
            self.text(left - 44, y - 7, f"{value:g}")
        for second in _ticks(0, self._end):
            x = self._place(second, low)[0]
            self.text(x - 6, bottom + 4, f"{second:g}")
        for second in rounds:
            x = self._place(second, low)[0]
            for y in range(top, bottom, 8):
                self._segment((x, y), (x, y + 4), _INK)
        self._segment((left, bottom), (right, bottom), _INK)
        self._segment((left, top), (left, bottom), _INK)
        self.text(left, top - 20, title)

    def line(
        self, points: Points, colour: tuple[int, int, int], has_dots: bool = False
    ) -> None:
        """Join points by a line."""
        places = [self._place(*point) for point in points if math.isfinite(point[1])]
        for start, stop in pairwise(places):
            self._segment(start, stop, colour, 2)
        for x, y in places if has_dots else places[:1]:
            box = [(v + d) * _SCALE for d in (-4, 4) for v in (x, y)]
            self._draw.ellipse(box, fill=colour)

    def legend(self, number: int, text: str, colour: tuple[int, int, int]) -> None:
        """Name a colour beside the diagram."""
        x, y = self._columns[1] + 12, self._rows[0] + 20 * number
        self._segment((x, y + 8), (x + 16, y + 8), colour, 3)
        self.text(x + 22, y, text, 11)

    def text(self, x: float, y: float, text: str, size: int = 12) -> None:
        """Write at the upper left corner (px)."""
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((x * _SCALE, y * _SCALE), text, _INK, font)

    def _segment(
        self,
        start: tuple[float, float],
        stop: tuple[float, float],
        colour: tuple[int, int, int],
        width: int = 1,
    ) -> None:
        ends = [v * _SCALE for v in (*start, *stop)]
        self._draw.line(ends, colour, width * _SCALE)

    def _place(self, second: float, value: float) -> tuple[float, float]:
        (top, bottom), (left, right) = self._rows, self._columns
        low, high = self._limits
        x = left + (right - left) * second / self._end
        y = bottom - (bottom - top) * (value - low) / (high - low)
        return x, y


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers from low to high."""
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step = next(step * m for m in (0.2, 0.5, 1, 2, 5) if (high - low) / (step * m) <= 6)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]
