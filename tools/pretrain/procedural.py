"""Procedural tasks: two images of one invented kind, with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import Normaliser
from tools.pretrain.fields import Floats
from tools.pretrain.layouts import draw_layout
from tools.pretrain.render import Appearance

__all__ = ["Pair", "View", "draw_pair", "normalise"]


@dataclass(frozen=True, eq=False)
class View:
    """A normalised image (C, H, W) with truth (H, W): 1, 2, ...; 0 is unknown."""

    image: Floats
    truth: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two views of one task."""

    first: View
    second: View


def normalise(image: NDArray[np.generic]) -> Floats:
    """Normalise an image (H, W, C) as the product does; returns (C, H, W)."""
    stack = PlaneStack(image, "YXC")
    channels = np.moveaxis(np.asarray(image), -1, 0)
    return Normaliser.fit(stack).apply(channels)


def draw_pair(seed: int, size: int = 208) -> Pair:
    """Return two images of one random task; ``size`` in px decides nothing else.

    The parts of a layout are merged into two to four classes, so that a class may hold
    parts of different looks; parts of one class may look like parts of another only by
    chance.
    """
    rng = np.random.default_rng(seed)
    while True:
        layout, n_parts = draw_layout(rng)
        n_channels = int(rng.choice([1, 2, 3], p=[0.6, 0.1, 0.3]))
        look = Appearance.draw(rng, n_parts, n_channels)
        scenes = [layout(rng, size) for _ in range(2)]
        present = np.flatnonzero(
            np.bincount(scenes[0].parts.ravel(), minlength=n_parts) > 30
        )
        if len(present) < 2:
            continue
        merged = _merge(rng, present, n_parts)
        views = []
        for scene in scenes:
            image = normalise(look.render(rng, scene))
            views.append(View(image, merged[scene.parts]))
        return Pair(*views)


def _merge(
    rng: np.random.Generator, present: NDArray[np.intp], n_parts: int
) -> NDArray[np.uint8]:
    """Return the class (1, 2, ...) of each part; parts that are nowhere are unknown."""
    most = min(len(present), 4)
    chances = np.array([0.6, 0.3, 0.1])[: most - 1]
    n_classes = 2 + int(rng.choice(most - 1, p=chances / chances.sum()))
    shuffled = rng.permutation(present)
    classes = np.zeros(n_parts, np.uint8)
    classes[shuffled[:n_classes]] = np.arange(1, n_classes + 1)
    for part in shuffled[n_classes:]:
        classes[part] = rng.integers(1, n_classes + 1)
    return classes
