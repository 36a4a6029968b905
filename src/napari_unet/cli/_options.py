"""Options that several commands share, and what their values must be."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

__all__ = [
    "IMAGE_FILES",
    "OBJECTS",
    "add_axes",
    "add_device",
    "add_dimensions",
    "add_downsample",
    "add_json",
    "add_level",
    "add_objects",
    "add_progress",
    "class_name",
    "count",
    "positive",
    "seconds",
    "several",
    "share",
]

IMAGE_FILES = ".tif .tiff .png .jpg .npy, zarr and OME-Zarr folders"
OBJECTS = {"auto": None, "small": 1, "medium": 2, "large": 3}
"""Sizes of the image that the network sees, by what the objects are called."""


def seconds(text: str) -> float:
    """Parse a duration of 0 or more seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return value


def count(text: str) -> int:
    """Parse a whole number of 0 or more."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 or more")
    return value


def positive(text: str) -> int:
    """Parse a whole number of 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return value


def several(text: str) -> int:
    """Parse a whole number of 2 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 2:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 2 or more")
    return value


def share(text: str) -> float:
    """Parse a number of 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:  # NaN too
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 0 to 1")
    return value


def class_name(text: str) -> tuple[int, str]:
    """Parse ``VALUE=NAME``."""
    value, equals, name = text.partition("=")
    if not (value.strip().isdecimal() and equals and name.strip()):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not VALUE=NAME, such as 2=nucleus"
        )
    return int(value), name.strip()


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        help="where to compute (default: auto, that is CUDA, then MPS, then the CPU)",
    )


def add_dimensions(parser: argparse.ArgumentParser) -> None:
    """Add ``--dimensions``."""
    parser.add_argument(
        "--dimensions",
        choices=("2d", "2.5d", "3d"),
        help="what the network learns to see of stacks with a z axis: 2d (default), "
        "each plane by itself; 2.5d, also the next planes, as channels; 3d, the planes "
        "around, with kernels as the voxels' sizes in the file want them",
    )


def add_downsample(parser: argparse.ArgumentParser) -> None:
    """Add ``--downsample``."""
    parser.add_argument(
        "--downsample",
        type=int,
        choices=(1, 2, 4, 8),
        help="learn and predict at a fraction of the resolution: so many pixels along "
        "Y and X become one, and labels fit the full image (default: 1); for slides "
        "and oversampled images",
    )


def add_axes(parser: argparse.ArgumentParser) -> None:
    """Add ``--axes``."""
    parser.add_argument(
        "--axes",
        metavar="LETTERS",
        help="axes of the images, such as ZYX or CYX, where the files do not say them",
    )


def add_level(parser: argparse.ArgumentParser) -> None:
    """Add ``--level``."""
    parser.add_argument(
        "--level",
        type=count,
        default=0,
        metavar="N",
        help="level of OME-Zarr images; 0 (default) is the finest",
    )


def add_objects(parser: argparse.ArgumentParser) -> None:
    """Add ``--objects``."""
    parser.add_argument(
        "--objects",
        choices=tuple(OBJECTS),
        help="how large the objects are: small, up to 50 px across; medium, up to 200 "
        "px; large, beyond; auto (default) suits most images",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Add ``--progress``."""
    parser.add_argument(
        "--progress",
        action="store_true",
        help="show the progress bar also where stderr is no terminal",
    )


def add_files(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    """Add an option for one or more image files."""
    parser.add_argument(
        name,
        nargs="+",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"{meaning} ({IMAGE_FILES})",
    )
