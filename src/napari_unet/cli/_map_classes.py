"""``--map-classes``: which values of an annotation file are which class."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import complain, naming
from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from napari_unet.config import AnnotationMode

__all__ = ["add_map_classes", "mapped"]


def add_map_classes(parser: argparse.ArgumentParser) -> None:
    """Add ``--map-classes``."""
    parser.add_argument(
        "--map-classes",
        metavar="OLD:NEW,...",
        help="what the values in annotations mean, such as 1:2,7:3,*:0: 0 not "
        "annotated, 1 background, 2 and up the classes; * stands for all other values, "
        "which else stay as they are",
    )


def mapped(
    args: argparse.Namespace, annotation: Any, path: Path, mode: AnnotationMode
) -> Any:
    """Return an annotation with its values as classes, as the option says.

    Raises
    ------
    ConfigError
        If the option cannot be read, or objects are annotated.
    """
    from napari_unet.annotation.class_map import ClassMap

    text = getattr(args, "map_classes", None)
    if text is None:
        return annotation
    if mode == "objects":
        raise ConfigError(
            "--map-classes gives classes to values, and in --annotation-mode objects "
            "each value is an object: leave it out; where 0 is the background, add "
            "--complete all"
        )
    class_map = ClassMap.parse(text)
    with naming(path):
        result = class_map.apply(annotation)
    if not result.any():
        complain(f"{path}: nothing is annotated any more, after --map-classes {text}")
    return result
