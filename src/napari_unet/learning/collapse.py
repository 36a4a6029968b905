"""Collapse: strokes of a class come out as another one, often all as background.

It is looked for in tiles that are predicted anyway, so that it costs no pass of a
network. A class that is rare and right on its strokes is no collapse, however few
pixels it has; a class that is wrong on its own strokes is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.advice import name_class
from napari_unet.annotation.annotations import AnnotatedImage, AnnotationSet
from napari_unet.annotation.objects import BACKGROUND
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import JobEvent, TilePredicted

__all__ = ["Collapse", "CollapseWatch", "find_collapse", "tiles_to_check"]

_MAX_RECALL = 0.1
"""A class is lost where at most this share of its strokes' pixels is right."""
_MIN_PAINTED_PX = 3
_TOTAL_SHARE = 0.995
"""From this share of the pixels on, one class is said to have taken everything."""
_MIN_PREDICTED_PX = 1000
_SEEN_SHARE = 0.75
"""So much of a class's strokes must have been seen, where no class took everything:
one stroke that is wrong in the visible field is what people are about to correct."""

Pairs = Mapping[tuple[int, int], int]


@dataclass(frozen=True)
class Collapse:
    """Classes ``lost`` whose strokes come out as other ones, most often ``taken_by``.

    ``is_total`` tells whether ``taken_by`` takes nearly every pixel.
    """

    lost: tuple[int, ...]
    taken_by: int
    is_total: bool

    def advice(self, names: Mapping[int, str]) -> str:
        """Return what is wrong and what to paint, with the classes' names."""
        lost = " and ".join(name_class(value, names) for value in self.lost)
        winner = name_class(self.taken_by, names)
        where = "also on small ones and near their borders"
        if self.lost == (BACKGROUND,):
            where = "also between objects and close to them"
        if self.is_total:
            return (
                f"Almost everything is predicted as {winner}: paint a few more strokes "
                f"of {lost}, {where}."
            )
        return (
            f"Strokes of {lost} come out as {winner}: paint a few more of them, "
            f"{where}, and erase what is on the wrong class."
        )


def find_collapse(
    n_predicted: Mapping[int, int], on_strokes: Pairs, n_painted: Mapping[int, int]
) -> Collapse | None:
    """Decide whether a prediction has collapsed.

    Parameters
    ----------
    n_predicted
        Predicted pixels of each class value, in what was seen of the prediction.
    on_strokes
        Annotated pixels seen there, by (painted value, predicted value).
    n_painted
        Annotated pixels in all of each class that the model knows.

    Returns
    -------
    Collapse or None
        None also where too little was seen to tell.
    """
    n_seen = sum(n_predicted.values())
    if not n_seen:
        return None
    winner = max(n_predicted, key=lambda value: n_predicted[value])
    is_total = n_seen >= _MIN_PREDICTED_PX
    is_total = is_total and n_predicted[winner] >= _TOTAL_SHARE * n_seen
    lost = []
    for value, n_all in sorted(n_painted.items()):
        n_mine = sum(n for (painted, _), n in on_strokes.items() if painted == value)
        is_enough = is_total or n_mine >= _SEEN_SHARE * n_all
        if n_mine < _MIN_PAINTED_PX or not is_enough:
            continue
        if on_strokes.get((value, value), 0) <= _MAX_RECALL * n_mine:
            lost.append(value)
    if not lost:
        return None
    if not is_total:
        takers: Counter[int] = Counter()
        for (painted, predicted), n in on_strokes.items():
            if painted in lost and predicted != painted:
                takers[predicted] += n
        winner = takers.most_common(1)[0][0]
    return Collapse(tuple(lost), winner, is_total)


def tiles_to_check(
    annotations: AnnotationSet, tile_px: int, max_tiles: int
) -> list[tuple[AnnotatedImage, int, Tile]]:
    """Return image, plane and full tile where most of each class is painted.

    ``tile_px`` is a side of a tile of the image that the network sees. No more than
    ``max_tiles``, but at least one for each class.
    """
    images = {image.key: image for image in annotations.images}
    n_px: dict[int, Counter[tuple[str, int, int, int]]] = {}
    for image, stroke in annotations.strokes:
        cells, counts = np.unique(stroke.yx // tile_px, axis=0, return_counts=True)
        mine = n_px.setdefault(stroke.value, Counter())
        for (row, column), n in zip(cells.tolist(), counts.tolist(), strict=True):
            mine[image.key, stroke.plane, row, column] += n
    n_each = max(1, max_tiles // max(1, len(n_px)))
    full_px = tile_px * annotations.downsampling
    places = {place for mine in n_px.values() for place, _ in mine.most_common(n_each)}
    return [
        (images[key], plane, Tile(y, y + full_px, x, x + full_px))
        for key, plane, row, column in sorted(places)
        for y, x in [(row * full_px, column * full_px)]
    ]


class CollapseWatch:
    """Watches the tiles of the shown model pass by.

    Attributes
    ----------
    finding
        What the newest prediction showed when its last tile came; None: no collapse.
    """

    def __init__(self) -> None:
        self.finding: Collapse | None = None
        self._generation = -1
        self._tallies: dict[str, _Tally] = {}

    def reset(self) -> None:
        """Forget everything."""
        self.finding, self._generation, self._tallies = None, -1, {}

    def forget(self, key: str) -> None:
        """Forget what was seen of an image."""
        if self._tallies.pop(key, None) is not None and not self._tallies:
            self.finding = None

    def advice(self, values: Iterable[int], names: Mapping[int, str]) -> str:
        """Return what to paint, '' without a collapse of the painted ``values``."""
        if self.finding is None or not {*self.finding.lost} & {*values}:
            return ""
        return self.finding.advice(names)

    def follow(
        self,
        job: Generator[JobEvent, None, bool],
        annotations: AnnotationSet,
        values: Iterable[int],
    ) -> Generator[JobEvent, None, bool]:
        """Run a prediction; look at its tiles where they hold strokes.

        ``values`` are the classes that the model knows: the others it cannot predict.
        """
        painted = {image.key: image for image in annotations.images}
        n_painted = Counter[int]()
        for _, stroke in annotations.strokes:
            (value,) = annotations.shown((stroke.value,))
            n_painted[value] += stroke.n_px
        known = {value: n_painted[value] for value in values if n_painted[value]}
        while True:
            try:
                event = next(job)
            except StopIteration as stop:
                return bool(stop.value)
            if isinstance(event, TilePredicted) and event.key in painted:
                self._take(event, painted[event.key], known)
            yield event

    def _take(
        self,
        tile: TilePredicted,
        image: AnnotatedImage,
        n_painted: Mapping[int, int],
    ) -> None:
        """Count a tile, once; judge when its request is complete."""
        if tile.generation != self._generation:
            # the finding stays until as much was seen of the new model
            self._generation, self._tallies = tile.generation, {}
        self._tallies.setdefault(tile.key, _Tally()).add(tile, image)
        if tile.is_last:
            n_predicted, on_strokes = Counter[int](), Counter[tuple[int, int]]()
            for tally in self._tallies.values():
                n_predicted += tally.n_predicted
                on_strokes += tally.on_strokes
            self.finding = find_collapse(n_predicted, on_strokes, n_painted)


class _Tally:
    """Counts of one image."""

    def __init__(self) -> None:
        self.n_predicted = Counter[int]()
        self.on_strokes = Counter[tuple[int, int]]()
        self._places: set[tuple[int, ...]] = set()

    def add(self, tile: TilePredicted, image: AnnotatedImage) -> None:
        """Count the labels of a tile, and those on strokes by what is painted."""
        place = *tile.index, tile.y, tile.x
        if place in self._places:
            return
        self._places.add(place)
        stack = image.source.stack
        labels = _middles(tile.labels, stack.factor)
        y, x = tile.y // stack.factor, tile.x // stack.factor
        rows, columns = slice(y, y + labels.shape[0]), slice(x, x + labels.shape[1])
        painted = image.shown(stack.plane_of(tile.index), (rows, columns))
        self.n_predicted += _count(labels)
        for value in np.unique(painted[painted > 0]).tolist():
            for predicted, n in _count(labels[painted == value]).items():
                self.on_strokes[value, predicted] += n


def _middles(
    labels: NDArray[np.unsignedinteger], factor: int
) -> NDArray[np.unsignedinteger]:
    """Return the label in the middle of each block of a coarser annotation."""
    rows, columns = (
        np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in labels.shape
    )
    return labels[np.ix_(rows, columns)]


def _count(labels: NDArray[np.unsignedinteger]) -> Counter[int]:
    """Return how many pixels each label has."""
    counts = np.bincount(labels.ravel())
    return Counter({int(value): int(counts[value]) for value in np.flatnonzero(counts)})
