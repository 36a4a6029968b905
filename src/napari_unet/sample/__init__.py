"""Sample images: two real ones under CC0, each with its truth and some strokes.

``sources.json`` beside this file names where they come from and their licence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import FileError

__all__ = ["SAMPLES", "Sample", "load_sample"]

SAMPLES = ("nuclei", "tissue")
"""Names that `load_sample` knows."""


@dataclass(frozen=True)
class Sample:
    """An image with its truth and a first annotation.

    ``image`` has the shape (Y, X) or, for RGB, (Y, X, 3), dtype uint8; ``truth`` and
    ``strokes`` have the shape (Y, X), dtype uint8: 1 background, 2 and up the classes,
    and in the strokes 0 where nothing is painted. Each array is the caller's own.
    """

    name: str
    title: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    strokes: NDArray[np.uint8]
    class_names: dict[int, str]
    source: str
    licence: str


def load_sample(name: str = "nuclei") -> Sample:
    """Read a sample from the package.

    Parameters
    ----------
    name
        ``"nuclei"`` (fluorescence, grey, 512 x 640 px) or ``"tissue"`` (stained, RGB,
        256 x 320 px).

    Raises
    ------
    FileError
        If there is no sample of that name, or the installation is damaged.
    """
    if name not in SAMPLES:
        raise FileError(f"there is no sample '{name}'; choose {' or '.join(SAMPLES)}")
    entry = _sources()[name]
    return Sample(
        name=name,
        title=entry["title"],
        image=_read(f"{name}-image.png"),
        truth=_read(f"{name}-truth.png"),
        strokes=_read(f"{name}-strokes.png"),
        class_names={int(value): text for value, text in entry["class_names"].items()},
        source=entry["source"],
        licence=entry["licence"],
    )


@cache
def _sources() -> dict[str, dict[str, Any]]:
    text = (files(__name__) / "sources.json").read_text(encoding="utf-8")
    return {entry["name"]: entry for entry in json.loads(text)["samples"]}


def _read(file_name: str) -> NDArray[np.uint8]:
    import imageio.v3 as iio

    try:
        data = (files(__name__) / file_name).read_bytes()
    except OSError as error:
        raise FileError(
            f"the sample file {file_name} is missing; install napari-unet anew"
        ) from error
    return np.asarray(iio.imread(data, extension=".png"), np.uint8).copy()
