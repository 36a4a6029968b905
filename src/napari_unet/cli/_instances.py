"""``predict --instances``: its options, and what it says."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from napari_unet.cli._options import count, share
from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.cli._read import ReadImage
    from napari_unet.config import InstanceConfig

__all__ = [
    "add_instances",
    "instance_settings",
    "say_objects",
    "split_scale",
]


def add_instances(parser: argparse.ArgumentParser) -> None:
    """Add ``--instances``, ``--min-size`` and ``--split``."""
    parser.add_argument(
        "--instances",
        action="store_true",
        help="beside the labels, write a file ...-objects with an id for each object "
        "of class 2 and up; touching ones are cut apart, z stacks are volumes, time "
        "points (T, see --axes) are looked at one by one. In a store NAME.zarr, they "
        "are the labels image NAME.zarr/labels/objects",
    )
    parser.add_argument(
        "--min-size",
        type=count,
        metavar="PX",
        help="with --instances: leave out objects of fewer pixels (default: a quarter "
        "of the size that nearly all objects that the model learned from exceed; 10 "
        "where it learned from strokes)",
    )
    parser.add_argument(
        "--split",
        type=share,
        metavar="SHARE",
        help="with --instances: cut where the neck is narrower than this share of the "
        "slimmer object's width; 0 never, 1 at any dent (default: 0.8)",
    )


def instance_settings(args: argparse.Namespace) -> InstanceConfig | None:
    """Return what counts as an object; None without ``--instances``.

    Raises
    ------
    ConfigError
        If the other options are given without it, or a size is too large.
    """
    from napari_unet.config import InstanceConfig

    given = {"min_size_px": args.min_size, "split_strength": args.split}
    given = {name: value for name, value in given.items() if value is not None}
    if not args.instances:
        if given:
            raise ConfigError(
                "--min-size and --split say what an object is: add --instances"
            )
        return None
    if args.min_size is not None and args.min_size >= 2**31:
        raise ConfigError(f"--min-size {args.min_size} is more than any image has")
    return InstanceConfig(**given)


def split_scale(image: ReadImage, label_axes: str) -> Sequence[float] | None:
    """Return the scale to measure necks with: None unless known in every direction."""
    if not set(label_axes) - {"T"} <= image.steps.keys():
        return None
    return image.scale(label_axes)


def say_objects(result: dict[str, Any]) -> str:
    """Return how many objects were found and where they are, for a person to read."""
    n, min_size_px = sum(result["n_objects"].values()), result["min_size_px"]
    objects = f"{n:,} object{'' if n == 1 else 's'} of {min_size_px:,} px or more"
    return f"{objects} -> {result['objects']}"
