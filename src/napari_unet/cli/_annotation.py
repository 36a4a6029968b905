"""``train --annotation-mode`` and ``--complete``: what the numbers in a file mean."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import complain, naming
from napari_unet.cli._map_classes import mapped
from napari_unet.cli._options import several
from napari_unet.errors import ConfigError, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.annotation.tiled import TiledLabels
    from napari_unet.cli._read import ReadImage
    from napari_unet.config import AnnotationMode
    from napari_unet.learning import Learner

__all__ = [
    "Annotated",
    "add_annotation_mode",
    "add_complete",
    "add_interpolate",
    "annotate",
    "check_interpolate",
    "complete_files",
    "read_annotated",
]

_ALL = "all"


def add_annotation_mode(parser: argparse.ArgumentParser) -> None:
    """Add ``--annotation-mode`` and ``--complete``."""
    parser.add_argument(
        "--annotation-mode",
        choices=("strokes", "objects"),
        help="strokes (default): a number for each class; objects: whole objects, each "
        "with a number of its own (2 and up; 0 not annotated, 1 background), so that "
        "the border between touching ones is learned",
    )
    add_complete(parser)


def add_complete(parser: argparse.ArgumentParser) -> None:
    """Add ``--complete``."""
    parser.add_argument(
        "--complete",
        nargs="+",
        default=[],
        metavar="all|FILE",
        help="where all is annotated but the background: a mask for each image, in the "
        "order of the images, in which it is not 0; what is 0 in the annotation is "
        "background there. 'all': everywhere. Objects are then read as Cellpose, "
        "StarDist and most data sets write them: 0 background, 1 and up the objects",
    )


def add_interpolate(parser: argparse.ArgumentParser) -> None:
    """Add ``--interpolate``."""
    parser.add_argument(
        "--interpolate",
        nargs="?",
        type=several,
        const=0,
        metavar="PLANES",
        help="of stacks: also learn from what lies between painted planes that are at "
        "most so many planes apart (default: 4), by the shapes in both; for whole "
        "objects, thin strokes seldom overlap from plane to plane. Look at how right "
        "it is in docs/stacks.md",
    )


def complete_files(args: argparse.Namespace) -> list[Path]:
    """Return the masks that ``--complete`` names, one for each image; or none.

    Raises
    ------
    ConfigError
        If there are fewer or more than images.
    """
    if args.complete in ([], [_ALL]):
        return []
    if len(args.complete) != len(args.image):
        raise ConfigError(
            f"--complete names {len(args.complete)} files for {len(args.image)} "
            f"image{'' if len(args.image) == 1 else 's'}: each image needs its mask, "
            "in the same order; or the word 'all'"
        )
    return list(map(Path, args.complete))


def check_interpolate(args: argparse.Namespace) -> None:
    """Raise a `ConfigError` where ``--interpolate`` could add nothing."""
    if args.interpolate is not None and args.complete == [_ALL]:
        raise ConfigError(
            "--interpolate fills in what is not annotated, and with --complete all "
            "everything is: leave out one of them"
        )


def annotate(args: argparse.Namespace, learner: Learner) -> None:
    """Give the learner every image with its annotation."""
    masks = complete_files(args)
    pairs = zip(args.image, args.annotation, strict=True)
    for number, (image_path, annotation_path) in enumerate(pairs):
        mask = masks[number] if masks else None
        _annotate(args, learner, image_path, annotation_path, mask)


@dataclass(frozen=True)
class Annotated:
    """An image as read, its annotation, and where that is complete (None: nowhere)."""

    image: ReadImage
    labels: NDArray[Any] | TiledLabels
    complete: Any

    @property
    def axes(self) -> str | None:
        """Axes of the image, where they are known."""
        return self.image.axes_for(self.labels.shape)


def read_annotated(
    args: argparse.Namespace,
    mode: AnnotationMode,
    image_path: Path,
    annotation_path: Path,
    mask_path: Path | None,
) -> Annotated:
    """Read an image with its annotation, as the options say."""
    import numpy as np

    from napari_unet.annotation.annotations import check_complete
    from napari_unet.annotation.objects import number_instances
    from napari_unet.cli._read import read_image, read_labels

    image = read_image(image_path, args.axes, args.level)
    annotation: Any = read_labels(annotation_path, _level(args, annotation_path)).array
    annotation = mapped(args, annotation, annotation_path, mode)
    complete: Any = None
    if mask_path is not None:
        with naming(mask_path):
            mask = read_labels(mask_path, _level(args, mask_path)).array
            complete = check_complete(mask, annotation.shape)
    elif args.complete:
        complete = np.ones(annotation.shape, bool)
    if mode == "objects":
        if args.complete == [_ALL]:
            annotation = number_instances(annotation)
        elif _looks_like_instances(annotation):
            complain(
                f"{annotation_path}: 1 is taken as background, 2 and up as objects; if "
                "1 is an object too and 0 the background, add --complete all"
            )
    return Annotated(image, annotation, complete)


def _annotate(
    args: argparse.Namespace,
    learner: Learner,
    image_path: Path,
    annotation_path: Path,
    mask_path: Path | None,
) -> None:
    mode = learner.config.annotation_mode
    found = read_annotated(args, mode, image_path, annotation_path, mask_path)
    if args.interpolate is not None:
        with naming(annotation_path):
            labels = _interpolated(args.interpolate, mode, annotation_path, found)
            found = replace(found, labels=labels)
    with naming(annotation_path, image_path), naming(image_path, kind=ImageError):
        learner.annotate(
            found.image.array,
            found.labels,
            key=str(image_path),
            axes=found.axes,
            complete=found.complete,
            scale=found.image.voxel_size(found.axes),
        )


def _interpolated(
    max_gap: int, mode: AnnotationMode, path: Path, found: Annotated
) -> TiledLabels:
    """Return an annotation with what lies between its planes."""
    from napari_unet.annotation.annotations import check_annotation
    from napari_unet.annotation.interpolation import (
        MAX_GAP,
        interpolate_planes,
        why_nothing_between,
    )

    axes, shape = found.axes, found.labels.shape
    if axes is None or len(axes.replace("C", "")) != len(shape):
        axes = "TZYX"[-len(shape) :]
    painted = check_annotation(found.labels, shape, mode)
    axes, max_gap = axes.replace("C", ""), max_gap or MAX_GAP
    added = interpolate_planes(painted, axes, max_gap=max_gap, complete=found.complete)
    if not added.n_px:
        why = why_nothing_between(painted, axes, max_gap)
        complain(f"{path}: --interpolate adds nothing, because {why}")
        return painted
    complain(f"{path}: {added.n_px:,} px between painted planes are learned from too")
    return painted.filled_with(added)


def _level(args: argparse.Namespace, path: Path) -> int:
    """Return the level of the images, for an annotation that has levels itself."""
    from napari_unet.cli._zarr import has_levels

    return int(args.level) if has_levels(path) else 0


def _looks_like_instances(annotation: NDArray[np.integer[Any]]) -> bool:
    """Whether 1 seems to be one object of many, and not the background."""
    import numpy as np
    from scipy import ndimage

    values, n_px = np.unique(annotation, return_counts=True)
    is_number = values > 0
    values, n_px = values[is_number], n_px[is_number]
    if len(values) < 3 or values[0] != 1 or values[-1] != len(values):
        return False
    # no rarer or larger than objects are, and in one piece
    if not n_px[1:].min() <= n_px[0] <= n_px[1:].max():
        return False
    return bool(ndimage.label(annotation == 1)[1] == 1)
