"""Is it good enough? Predictions compared with what a person left of them.

Whenever a stroke lands where something was predicted, that prediction is compared with
it. What she looked at and did not paint counts as right: the corrective metrics of
RootPainter (Smith et al. 2022, doi:10.1111/nph.18387). They cost no strokes that are
held out, and are too high for whoever leaves errors standing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.tiled import TILE_PX, TiledLabels

__all__ = ["Correction", "Visit", "corrections_of", "verdict", "visits_of"]

VISIT_GAP_S = 300.0
"""Strokes on one region that are farther apart in time are two visits of it."""
_N_RECENT = 5
_MIN_VISITS = 3
_GOOD, _FAIR = 0.95, 0.8
_BACKGROUND = 1

ReadPrediction = Callable[[int, slice, slice], NDArray[np.integer]]
"""Reads rows and columns of a plane of a prediction; 0 where there is none."""


@dataclass(frozen=True)
class Correction:
    """New strokes in one region, a tile of `TILE_PX` a side, and what was there before.

    Attributes
    ----------
    time_s
        Seconds since 1970.
    image
        The image's name.
    number
        Its number in the project; None: not known yet.
    plane, y, x
        The region: number of the plane, first row and column (px).
    n_predicted
        Predicted pixels of each class in the region, before the strokes.
    n_painted
        Newly painted pixels, by (predicted class, painted class).
    """

    time_s: float
    image: str
    number: int | None
    plane: int
    y: int
    x: int
    n_predicted: dict[int, int]
    n_painted: dict[tuple[int, int], int]

    @property
    def is_correcting(self) -> bool:
        """Whether anything was painted as another class than the predicted one."""
        return any(predicted != painted for predicted, painted in self.n_painted)


@dataclass(frozen=True)
class Visit:
    """Corrections of one region that belong together, the first one's place and time.

    ``dice`` is that of the prediction with what was left of it, mean over the classes
    but the background that are there, 0..1; 1 where there is none and none was painted.
    ``work_s`` is the time of work since the first visit, without breaks.
    """

    first: Correction
    dice: float
    n_px: int
    work_s: float


def corrections_of(
    before: TiledLabels,
    after: TiledLabels,
    read: ReadPrediction,
    *,
    time_s: float,
    image: str,
    number: int | None = None,
    of_objects: bool = False,
) -> Iterator[Correction]:
    """Yield what new strokes say of the prediction they lie on, region by region.

    Parameters
    ----------
    before, after
        The annotation, of one shape; what was erased says nothing.
    read
        Reads the prediction as it was before the strokes.
    of_objects
        Whether values from 2 on are objects, which are predicted as one class.
    """
    for place, tile in after.tiles.items():
        old = before.tiles.get(place)
        if old is tile or (old is not None and np.array_equal(old, tile)):
            continue
        is_new = tile != 0 if old is None else (tile != 0) & (tile != old)
        plane, y, x = place[0], place[1] * TILE_PX, place[2] * TILE_PX
        height, width = tile.shape
        predicted = read(plane, slice(y, y + height), slice(x, x + width))
        on_new = is_new & (predicted != 0)
        if not on_new.any():
            continue
        painted = tile[on_new]
        if of_objects:
            painted = np.minimum(painted, 2)
        pairs = Counter(zip(predicted[on_new].tolist(), painted.tolist(), strict=True))
        yield Correction(
            time_s, image, number, plane, y, x, _counts(predicted), dict(pairs)
        )


def visits_of(corrections: Sequence[Correction]) -> list[Visit]:
    """Put corrections together by region and time; in the order of their first."""
    groups: list[tuple[float, list[Correction]]] = []
    newest: dict[tuple[str, int, int, int], list[Correction]] = {}
    ordered = sorted(corrections, key=lambda c: c.time_s)
    work_s, last_s = 0.0, ordered[0].time_s if ordered else 0.0
    for found in ordered:
        work_s += min(found.time_s - last_s, VISIT_GAP_S)
        last_s = found.time_s
        place = found.image, found.plane, found.y, found.x
        group = newest.get(place)
        if group is None or found.time_s - group[-1].time_s > VISIT_GAP_S:
            group = newest[place] = []
            groups.append((work_s, group))
        group.append(found)
    return [_visit(group, started_s) for started_s, group in groups]


def verdict(visits: Sequence[Visit]) -> str:
    """Answer "is it good enough?" in one sentence, with what it rests on."""
    n = len(visits)
    if n < _MIN_VISITS:
        return (
            f"Too few corrections to tell (n = {n}): look around, and correct what is "
            "wrong."
        )
    recent = visits[-_N_RECENT:]
    dice = fmean(visit.dice for visit in recent)
    if dice >= _GOOD:
        answer = "Good enough where you looked"
    elif dice >= _FAIR:
        answer = "Nearly good enough"
    else:
        answer = "Not good enough yet"
    n_px = sum(visit.n_px for visit in recent)
    return (
        f"{answer}: predictions of the last {len(recent)} regions had a Dice of "
        f"{dice:.2f} with what you left (n = {n} regions, {n_px:,} px painted in the "
        "last)."
    )


def _visit(group: list[Correction], work_s: float) -> Visit:
    pairs: Counter[tuple[int, int]] = Counter()
    for found in group:
        pairs.update(found.n_painted)
    n_predicted = group[0].n_predicted
    wrong = {pair: n for pair, n in pairs.items() if pair[0] != pair[1]}
    values = {*n_predicted, *(value for pair in pairs for value in pair)}
    scores = [
        score
        for value in sorted(values - {_BACKGROUND})
        if (score := _dice(value, n_predicted.get(value, 0), wrong)) is not None
    ]
    dice = fmean(scores) if scores else 1.0
    return Visit(group[0], dice, sum(pairs.values()), work_s)


def _dice(value: int, n_before: int, wrong: dict[tuple[int, int], int]) -> float | None:
    """Return a class's Dice of what was predicted with what was left of it."""
    n_lost = sum(n for (predicted, _), n in wrong.items() if predicted == value)
    n_gained = sum(n for (_, painted), n in wrong.items() if painted == value)
    n_kept = max(n_before - n_lost, 0)  # a pixel may be corrected twice
    total = n_before + n_kept + n_gained
    return 2 * n_kept / total if total else None


def _counts(predicted: NDArray[np.integer]) -> dict[int, int]:
    counts = np.bincount(predicted.ravel())
    return {int(v): int(counts[v]) for v in np.flatnonzero(counts) if v}
