"""A prediction as users see it, also of a model that tells the border between objects.

Such a model has a class more than was painted. In labels and probabilities the border
is a part of the objects; only what cuts objects apart looks at it by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.objects import (
    BACKGROUND,
    BORDER,
    INSIDE,
    shown_value,
    shown_values,
)

__all__ = ["SHARES", "Prediction", "label_dtype", "merge_border"]

Floats = NDArray[np.float32]

# Every class weighs the same in training. Without this, a third of an image would be
# expected to be border, and cells that have none would fall to pieces.
SHARES = {BACKGROUND: 0.5, INSIDE: 0.35, BORDER: 0.15}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities of the classes that users know.

    Attributes
    ----------
    values
        The classes' values.
    probabilities
        Shape (K, ...), in the order of ``values``.
    border
        Shape (...): probability of the border between touching objects, which is part
        of that of the objects; None where the model knows none.
    """

    values: tuple[int, ...]
    probabilities: Floats
    border: Floats | None = None

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The likeliest class, shape (...), uint8 or uint16; the first of equals.

        Of the probabilities as they are when it is first asked for.
        """
        values = np.array(self.values, label_dtype(self.values))
        labels: NDArray[Any] = values[self.probabilities.argmax(axis=0)]
        return labels

    @property
    def evidence(self) -> Floats:
        """Probability of the label and of no border, shape (...): what cuts objects."""
        own: Floats = self.probabilities.max(axis=0)
        return own if self.border is None else np.maximum(own - self.border, 0)


def label_dtype(values: Sequence[int]) -> type[np.unsignedinteger[Any]]:
    """Return uint8 where every value fits, else uint16."""
    return np.uint8 if max(values, default=0) < 256 else np.uint16


def merge_border(probabilities: Floats, values: Sequence[int]) -> Prediction:
    """Return what users see of the probabilities of annotated objects' targets.

    Parameters
    ----------
    probabilities
        Shape (K, ...), 0..1, of a model for which all classes are equally frequent.
    values
        Targets (`napari_unet.annotation.objects`) in the order of the probabilities.
    """
    shown = shown_values(values)
    if BORDER not in values:
        return Prediction(shown, probabilities)
    shares = np.array([SHARES[value] for value in values], np.float32)
    scaled = probabilities * shares.reshape(-1, *[1] * (probabilities.ndim - 1))
    scaled /= scaled.sum(axis=0)
    merged = np.zeros((len(shown), *scaled.shape[1:]), np.float32)
    for value, part in zip(values, scaled, strict=True):
        merged[shown.index(int(shown_value(value)))] += part
    return Prediction(shown, merged, scaled[list(values).index(BORDER)])
