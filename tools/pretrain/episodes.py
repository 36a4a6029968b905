"""Episodes: strokes on one image, and both images' truth to be judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.annotation.strokes import Stroke, find_strokes
from napari_unet.core.start import to_bundled_channels
from napari_unet.learning.samples import balance
from tools.pretrain.fields import Floats
from tools.pretrain.procedural import Pair, View, draw_pair
from tools.pretrain.real import RealImages

__all__ = ["MAX_CLASSES", "Episode", "EpisodeSource", "draw_episode"]

MAX_CLASSES = 6
_MAX_SUPPORT_PX = 400
_N_STROKES = (1, 2, 3, 5, 8)
_CHANCES = (0.25, 0.15, 0.25, 0.15, 0.2)


@dataclass(frozen=True, eq=False)
class Episode:
    """What one ridge fit and its judgement need.

    Attributes
    ----------
    images
        (2, 3, S, S): the image with strokes, and the other one.
    truths
        (2, S, S), int64, class index from 0; -1 is unknown.
    yx, targets, weights
        Support pixels (n, 2) of the first image, classes (n,), weights (n,) of sum 1.
    n_classes, n_strokes
        Classes that have strokes, and strokes in all.
    """

    images: Floats
    truths: NDArray[np.int64]
    yx: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: Floats
    n_classes: int
    n_strokes: int


def draw_episode(rng: np.random.Generator, pair: Pair, size: int) -> Episode | None:
    """Crop, change exposure and paint strokes; None where fewer than two classes fit.

    Flips and turns are free for each view; strength of exposure changes is shared but
    for a small difference.
    """
    curve, invert = rng.uniform(-0.4, 0.4), rng.random() < 0.25
    is_restained = rng.random() < 0.3
    views = []
    for number, view in enumerate((pair.first, pair.second)):
        image, truth = _cut(rng, view, size)
        image = image.astype(np.float32)
        image = _expose(rng, -image if invert else image, curve)
        if number and is_restained:
            image = _restain(rng, image)
        views.append((_three_channels(image), truth))
    truth = views[0][1]
    n = int(rng.choice(_N_STROKES, p=_CHANCES))
    annotation = simulate_strokes(truth, n, int(rng.integers(2**31)))
    values = np.unique(annotation[annotation > 0])
    if not 2 <= len(values) <= MAX_CLASSES:
        return None
    table = np.full(256, -1, np.int64)
    table[values] = np.arange(len(values))
    parts, targets, weights = [], [], []
    strokes = _thin(rng, find_strokes(annotation))
    cap = max(4, _MAX_SUPPORT_PX // len(strokes))
    for stroke in strokes:
        k = min(cap, stroke.n_px)
        parts.append(stroke.yx[np.linspace(0, stroke.n_px - 1, k).astype(int)])
        targets.append(np.full(k, table[stroke.value]))
        weights.append(np.full(k, np.sqrt(stroke.n_px) / k))
    target, weight = np.concatenate(targets), np.concatenate(weights)
    weight = balance(weight, target) / len(values)
    return Episode(
        images=np.stack([image for image, _ in views]).astype(np.float32),
        truths=np.stack([table[t] for _, t in views]),
        yx=np.concatenate(parts).astype(np.int64),
        targets=target,
        weights=weight.astype(np.float32),
        n_classes=len(values),
        n_strokes=len(strokes),
    )


def _cut(
    rng: np.random.Generator, view: View, size: int
) -> tuple[Floats, NDArray[np.uint8]]:
    height, width = view.truth.shape
    y, x = rng.integers(0, height - size + 1), rng.integers(0, width - size + 1)
    image = view.image[:, y : y + size, x : x + size]
    truth = view.truth[y : y + size, x : x + size]
    turns = int(rng.integers(4))
    image, truth = np.rot90(image, turns, (1, 2)), np.rot90(truth, turns)
    if rng.random() < 0.5:
        image, truth = image[:, :, ::-1], truth[:, ::-1]
    return image, np.ascontiguousarray(truth)


def _expose(rng: np.random.Generator, image: Floats, curve: float) -> Floats:
    """Bend the grey values, and change contrast, brightness and noise a little."""
    inside = np.clip(image, -1, 1)
    image = image + (curve + rng.uniform(-0.1, 0.1)) * (1 - inside**2)
    image = image * rng.uniform(0.8, 1.1) + rng.uniform(-0.12, 0.12)
    if rng.random() < 0.3:
        sigma = rng.uniform(0, 0.08)
        image = image + sigma * rng.standard_normal(image.shape).astype(np.float32)
    return image.astype(np.float32)


def _restain(rng: np.random.Generator, image: Floats) -> Floats:
    """Change each channel by itself, as another staining or lamp does."""
    shape = (len(image), 1, 1)
    gain, shift = rng.uniform(0.7, 1.3, shape), rng.uniform(-0.25, 0.25, shape)
    return (image * gain + shift).astype(np.float32)


def _thin(rng: np.random.Generator, strokes: list[Stroke]) -> list[Stroke]:
    """Drop strokes now and then, so that classes have different numbers of them."""
    if rng.random() < 0.7:
        return strokes
    kept: list[Stroke] = []
    for value in sorted({stroke.value for stroke in strokes}):
        mine = [stroke for stroke in strokes if stroke.value == value]
        kept += mine[: int(rng.integers(1, len(mine) + 1))]
    return kept


def _three_channels(image: Floats) -> Floats:
    """Return (3, S, S), as images of any number of channels enter the network."""
    mixing = to_bundled_channels(len(image)).numpy()
    mixed: Floats = np.einsum("cs,chw->shw", mixing, image)
    return mixed


class EpisodeSource:
    """Draws procedural pairs, keeping a stock of them, and real ones."""

    def __init__(
        self, data: Path | None, real_share: float, seed: int, pair_px: int
    ) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._real = RealImages(data) if data else None
        self._real_share = real_share if data else 0.0
        self._pair_px = pair_px
        self._stock: list[Pair] = []

    def draw(self, size: int) -> Episode:
        """Return an episode with patches of so many px on a side."""
        rng = self._rng
        while True:
            if self._real is not None and rng.random() < self._real_share:
                pair = self._real.draw(rng, size)
            else:
                pair = self._procedural()
            episode = draw_episode(rng, pair, size)
            if episode is not None:
                return episode

    def _procedural(self) -> Pair:
        rng = self._rng
        if len(self._stock) < 64 or rng.random() < 0.5:
            pair = _half(draw_pair(int(rng.integers(2**62)), self._pair_px))
            if len(self._stock) < 1500:
                self._stock.append(pair)
            else:
                self._stock[rng.integers(len(self._stock))] = pair
            return pair
        return self._stock[rng.integers(len(self._stock))]


def _half(pair: Pair) -> Pair:
    """Return the pair in half precision: a stock of them is large."""
    views = (pair.first, pair.second)
    return Pair(*(View(view.image.astype(np.float16), view.truth) for view in views))
