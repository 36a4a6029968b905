"""Labels from elsewhere as annotation: which of their values is which class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import ConfigError

__all__ = ["ClassMap"]

_MAX_VALUE = 65_535
_HOW = (
    "write OLD:NEW for each value, such as 1:2,7:3,*:0: 0 is not annotated, 1 "
    "background, 2 and up are classes, and * stands for all other values"
)


@dataclass(frozen=True)
class ClassMap:
    """What becomes of the values of a label array.

    Attributes
    ----------
    values
        Value -> class: 0 not annotated, 1 background, 2 and up.
    rest
        Class of all values that are not named; None: they stay as they are.
    """

    values: Mapping[int, int] = field(default_factory=dict)
    rest: int | None = None

    @classmethod
    def parse(cls, text: str) -> ClassMap:
        """Read ``"1:2,7:3,*:0"``.

        Raises
        ------
        ConfigError
            If it is none, names a value twice, or a class that cannot be.
        """
        values: dict[str, int] = {}
        for part in text.split(","):
            old, colon, new = (piece.strip() for piece in part.partition(":"))
            if not colon or not new.isdecimal() or not (old == "*" or _is_whole(old)):
                raise ConfigError(f"'{part}' maps no value to a class: {_HOW}")
            if int(new) > _MAX_VALUE:
                raise ConfigError(
                    f"'{part}' names the class {new}: classes go up to {_MAX_VALUE}"
                )
            key = old if old == "*" else str(int(old))
            if key in values:
                raise ConfigError(f"'{text}' names the value {key} twice: {_HOW}")
            values[key] = int(new)
        rest = values.pop("*", None)
        return cls({int(old): new for old, new in values.items()}, rest)

    def apply(self, labels: NDArray[Any] | TiledLabels) -> NDArray[Any] | TiledLabels:
        """Return labels with their values as classes.

        Parameters
        ----------
        labels
            Integers or bool. Of tiled labels, where no tile is kept stays 0.

        Returns
        -------
        As given, of uint8 or uint16.

        Raises
        ------
        ConfigError
            If a value that is not named cannot be a class as it is.
        """
        if isinstance(labels, TiledLabels):
            tiles = {place: self._apply(t) for place, t in labels.tiles.items()}
            tiles = {place: t for place, t in tiles.items() if t.any()}
            for tile in tiles.values():
                tile.setflags(write=False)
            return TiledLabels(labels.shape, np.dtype(np.uint16), tiles)
        mapped = self._apply(np.asarray(labels))
        return mapped.astype(np.uint8) if mapped.max(initial=0) < 256 else mapped

    def _apply(self, labels: NDArray[Any]) -> NDArray[np.uint16]:
        """Map each value once, however many pixels have it."""
        if labels.dtype.kind == "b":
            labels = labels.astype(np.uint8)
        values, owner = np.unique(labels, return_inverse=True)
        classes = [
            self.values.get(value, value if self.rest is None else self.rest)
            for value in values.tolist()
        ]
        for value, new in zip(values.tolist(), classes, strict=True):
            if not 0 <= new <= _MAX_VALUE:
                raise ConfigError(
                    f"the labels hold the value {value}, which is no class and is not "
                    f"mapped to one: {_HOW}"
                )
        result: NDArray[np.uint16] = np.array(classes, np.uint16)[owner]
        return result.reshape(labels.shape)


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number, maybe negative."""
    return text.removeprefix("-").isdecimal()
