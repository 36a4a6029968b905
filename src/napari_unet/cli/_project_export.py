"""``project export``: annotations or predictions as label files."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from napari_unet.cli._console import complain, write_json
from napari_unet.cli._files import make_folder, refuse_overwriting
from napari_unet.cli._options import add_json
from napari_unet.errors import FileError, ImageError, NapariUnetError, ProjectError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.annotation.tiled import TiledLabels
    from napari_unet.project import Project, ProjectImage

__all__ = ["add_parser"]

_SUFFIXES = {"tiff": ".tif", "zarr": ".zarr"}


def add_parser(actions: Any) -> None:
    """Add the command to the parser."""
    parser = actions.add_parser(
        "export",
        help="write a project's annotations or predictions as label files",
        description="Write what is painted on each image as label files, with pixel "
        "size, unit and class names: NUMBER-NAME-strokes, NUMBER-NAME-objects, and a "
        "mask ...-complete where it was declared complete. The images themselves are "
        "not needed. Exit code 3 when some could not be written.",
        allow_abbrev=False,
    )
    parser.add_argument("project", type=Path, metavar="DIR", help="the project folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR2", help="made if missing"
    )
    parser.add_argument(
        "--format",
        choices=tuple(_SUFFIXES),
        default="tiff",
        help="TIFF files (default) or OME-Zarr stores",
    )
    parser.add_argument(
        "--what",
        choices=("annotations", "predictions"),
        default="annotations",
        help="what is painted (default), or what 'project predict' left in the project",
    )
    add_json(parser)
    parser.set_defaults(run=_run)


@dataclass(frozen=True)
class _Part:
    """A label file to write.

    ``labels`` are tiled ones, the file that has them, or why there are none.
    """

    image: ProjectImage
    kind: str
    labels: TiledLabels | Path | NapariUnetError
    names: dict[int, str] | None = None


def _run(args: argparse.Namespace) -> int:
    from napari_unet.cli._project_images import file_stem
    from napari_unet.project import Project

    results: list[dict[str, Any]] = []
    n_failed = 0
    with Project.open(args.project, is_read_only=True) as project:
        find = _painted if args.what == "annotations" else _predicted
        parts = list(find(project))
        if not parts:
            raise ProjectError(
                f"there are no {args.what} in the project {args.project}: "
                + ("paint" if args.what == "annotations" else "'project predict' makes")
                + " some first"
            )
        make_folder(args.out)
        for part in parts:
            name = f"{file_stem(part.image)}-{part.kind}{_SUFFIXES[args.format]}"
            path = args.out / name
            try:
                _write(path, part)
            except NapariUnetError as error:
                complain(str(error))
                results.append({"image": part.image.number, "error": str(error)})
                n_failed += 1
                continue
            results.append(
                {"image": part.image.number, "kind": part.kind, "file": path}
            )
            if not args.json:
                print(f"{part.image.name} -> {path}")
    if args.json:
        write_json(results)
    if n_failed:
        complain(f"{n_failed} of {len(parts)} files failed")
        return 2 if n_failed == len(parts) else 3
    return 0


def _painted(project: Project) -> Iterator[_Part]:
    """Yield what is painted, in every mode."""
    from napari_unet.config import AnnotationMode

    names = {entry.value: entry.name for entry in project.record.classes}
    for image in project.images:
        for mode in get_args(AnnotationMode):
            try:
                labels = project.annotation(image.number, mode)
                complete = project.complete(image.number, mode)
            except ProjectError as error:  # one that is damaged does not stop the rest
                yield _Part(image, mode, error)
                continue
            if labels is not None and (labels.any() or complete is not None):
                # values of objects are numbers, and have no names
                yield _Part(image, mode, labels, names if mode == "strokes" else None)
            if complete is not None:
                yield _Part(image, f"{mode}-complete", complete)


def _predicted(project: Project) -> Iterator[_Part]:
    """Yield what was predicted into the project's folder."""
    from napari_unet.cli._project_images import class_names, file_stem
    from napari_unet.export import objects_path
    from napari_unet.project import PREDICTIONS

    folder = project.path(PREDICTIONS)
    for image in project.images:
        stem = folder / file_stem(image)
        for kind in ("labels", "objects"):
            paths = [Path(f"{stem}-{kind}{suffix}") for suffix in _SUFFIXES.values()]
            if kind == "objects":
                paths.append(objects_path(Path(f"{stem}-labels.zarr")))
            paths = [path for path in paths if path.exists()]
            if paths:
                newest = max(paths, key=lambda path: path.stat().st_mtime)
                names = class_names(project) if kind == "labels" else None
                yield _Part(image, kind, newest, names)


def _write(path: Path, part: _Part) -> None:
    import numpy as np

    from napari_unet.cli._project_images import label_place
    from napari_unet.export import write_labels

    if isinstance(part.labels, NapariUnetError):
        raise part.labels
    if isinstance(part.labels, Path):
        refuse_overwriting([path], [part.labels])
        labels = _read_predicted(path, part.labels)
    else:
        instead = (
            "read the blocks that are painted from annotations.sqlite instead "
            "(docs/projects.md)"
        )
        _check_fits(path, part.labels.shape, part.labels.dtype, instead)
        labels = np.asarray(part.labels)
    place = label_place(part.image, labels.ndim)
    write_labels(path, labels, class_names=part.names, **place)


def _read_predicted(path: Path, source: Path) -> NDArray[Any]:
    """Return labels or objects that were predicted, to be written to a path.

    Raises
    ------
    FileError
        If they are unfinished, or cannot be read.
    ImageError
        If there is no room for them.
    """
    from napari_unet.cli._read import read_image, read_labels
    from napari_unet.export.zarr_record import is_complete, read_record

    if source.is_dir():
        # other stores than those written tile by tile have no record of it
        if read_record(source) is not None and not is_complete(source):
            raise FileError(
                f"{source} holds a prediction that was stopped before its end: call "
                "'project predict' again and add --resume, then export it"
            )
        stored = read_image(source).array
        instead = f"that store can be used as it is, {source}"
        _check_fits(path, stored.shape, stored.dtype, instead)
    labels: NDArray[Any] = read_labels(source).array
    return labels


def _check_fits(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], instead: str
) -> None:
    """Refuse labels of more pixels than the memory has room for."""
    from napari_unet.core.memory import total_memory_bytes

    n_bytes = math.prod(shape) * dtype.itemsize
    total = total_memory_bytes()
    if total is not None and n_bytes > total:
        raise ImageError(
            f"{path} was not written: labels of shape {shape} take "
            f"{n_bytes / 2**30:,.0f} GB of memory, and there are "
            f"{total / 2**30:,.0f} GB; {instead}"
        )
