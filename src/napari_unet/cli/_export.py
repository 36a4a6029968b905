"""``napari-unet export``: labels into the formats of other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import (
    cancel_on_interrupt,
    complain,
    naming,
    progress_bar,
    write_json,
)
from napari_unet.cli._files import make_folder, refuse_overwriting
from napari_unet.cli._options import (
    IMAGE_FILES,
    add_axes,
    add_files,
    add_json,
    add_level,
    add_progress,
    class_name,
    count,
)
from napari_unet.errors import ConfigError, NapariUnetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.cli._read import ReadImage
    from napari_unet.export import Format
    from napari_unet.jobs import CancelToken

__all__ = ["add_parser"]

_BACKGROUND = 1  # of classes: 0 is not annotated, 2 and up are classes


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write labels for QuPath, Fiji, OMERO, R and the like",
        description="Write label files in another format: exact outlines for QuPath "
        "and ImageJ, COCO, TIFF, OME-TIFF, OME-Zarr, PNG or NumPy arrays. Exit code 3 "
        "when some of several files failed.",
        allow_abbrev=False,
    )
    add_files(parser, "--labels", "classes, or numbers of objects (--objects)")
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="the file, or a folder (made if missing; then add --format)",
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        help="tiff, ome-tiff, ome-zarr, png, npy, geojson (QuPath), imagej-roi, coco, "
        "csv or parquet (measurements); default: by the suffix",
    )
    parser.add_argument(
        "--formats", action=_ListFormats, nargs=0, help="list the formats, and exit"
    )
    parser.add_argument(
        "--objects",
        action="store_true",
        help="the values are numbers of objects; else they are classes: 0 unknown, 1 "
        "background, 2 and up",
    )
    parser.add_argument(
        "--class-labels",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=f"with --objects: the classes of the same images ({IMAGE_FILES}), in the "
        "order of --labels; an object has the class of most of its pixels",
    )
    _add_facts(parser)
    add_axes(parser)
    add_level(parser)
    add_json(parser)
    add_progress(parser)
    parser.set_defaults(run=_run)


def _add_facts(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the values mean."""
    names = parser.add_mutually_exclusive_group()
    names.add_argument(
        "--class-names",
        nargs="+",
        type=class_name,
        metavar="VALUE=NAME",
        help="names of the classes (default: as the labels' file says)",
    )
    names.add_argument("--model", type=Path, help="take the names from a model file")
    parser.add_argument(
        "--background",
        type=count,
        metavar="VALUE",
        help="value that outlines leave out, as they do 0 (default: of classes 1, "
        "unless it has another name than background; of objects none)",
    )
    parser.add_argument(
        "--scale",
        nargs="+",
        type=float,
        metavar="STEP",
        help="world units per pixel along each axis (default: as the file has it)",
    )
    parser.add_argument("--unit", help="unit of the scale, such as um")


class _ListFormats(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from napari_unet.export import FORMATS

        for each in FORMATS.values():
            print(f"{each.name} ({', '.join(each.suffixes)}): {each.title}")
            print(f"    keeps {each.keeps}\n    loses {each.loses}")
        parser.exit()


def _run(args: argparse.Namespace) -> int:
    """Write every file; report those that failed and go on."""
    from napari_unet.cli._inputs import find_images

    labels = find_images(args.labels)
    classes = find_images(args.class_labels) if args.class_labels else None
    if classes is not None and not args.objects:
        raise ConfigError("--class-labels says the class of objects: add --objects")
    if classes is not None and len(classes) != len(labels):
        raise ConfigError(
            f"--labels names {len(labels)} files and --class-labels {len(classes)}: "
            "each needs its own, in the same order"
        )
    paths, chosen = _plan(args, labels)
    refuse_overwriting(paths, [*labels, *(classes or [])])
    names = _given_names(args)
    results: list[dict[str, Any]] = []
    n_failed = 0
    with cancel_on_interrupt() as token:
        for number, (source, path) in enumerate(zip(labels, paths, strict=True)):
            of_objects = None if classes is None else classes[number]
            try:
                with naming(source):
                    written = _write(
                        args, source, path, chosen, of_objects, names, token
                    )
            except NapariUnetError as error:
                if len(labels) == 1:
                    raise
                complain(str(error))
                results.append({"labels": source, "error": str(error)})
                n_failed += 1
                continue
            if written is None:
                raise KeyboardInterrupt
            results.append({"labels": source, "file": path, "format": chosen.name})
            if not args.json:
                print(f"{source} -> {path}")
    if args.json:
        write_json(results)
    if n_failed:
        complain(f"{n_failed} of {len(labels)} files failed")
        return 2 if n_failed == len(labels) else 3
    return 0


def _plan(
    args: argparse.Namespace, labels: Sequence[Path]
) -> tuple[list[Path], Format]:
    """Return the file for each input, and their format.

    Raises
    ------
    ConfigError, FileError
        If it cannot be told, or two would go to one file.
    """
    from napari_unet.cli._inputs import stem_of
    from napari_unet.cli._outputs import is_one_file
    from napari_unet.export import FORMATS, format_of

    if len(labels) > 1 and Path(args.out).suffix.lower() == ".zarr":
        raise ConfigError(
            f"--out {args.out} is one store for {len(labels)} files; name a folder, "
            "with --format ome-zarr"
        )
    if is_one_file(args.out, len(labels)):
        return [Path(args.out)], format_of(args.out, args.format)
    if args.format is None:
        raise ConfigError(f"--out {args.out} is a folder: say which --format")
    suffix = FORMATS[args.format].suffixes[0] if args.format in FORMATS else ""
    folder = Path(args.out)
    paths = [folder / f"{stem_of(each)}{suffix}" for each in labels]
    chosen = format_of(paths[0], args.format)
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigError(
            f"two of the files would be written to {twice}: give them different names, "
            "or call the command for each"
        )
    make_folder(folder)
    return paths, chosen


def _given_names(args: argparse.Namespace) -> dict[int, str] | None:
    """Return the names of classes that are given; None: none."""
    if args.class_names is not None:
        return dict(args.class_names)
    if args.model is None:
        return None
    from napari_unet.learning import load

    return dict(load(args.model).class_names)


def _write(
    args: argparse.Namespace,
    source: Path,
    path: Path,
    chosen: Format,
    class_source: Path | None,
    names: dict[int, str] | None,
    token: CancelToken,
) -> Path | None:
    """Write one file; None where that was interrupted."""
    from napari_unet.cli._label_file import open_labels
    from napari_unet.cli._label_names import read_label_names
    from napari_unet.export import export_job
    from napari_unet.jobs import Progress

    image = open_labels(source, args.axes, args.level)
    if names is None:
        names = read_label_names(class_source or source)
    job = export_job(
        path,
        image.array,
        token=token,
        format=chosen.name,
        axes=image.axes,
        scale=_scale(args, image),
        unit=args.unit or image.unit,
        class_names=names,
        are_objects=args.objects,
        class_labels=_array_of(class_source, args),
        background=_background(args, names),
        name=source.name,
    )
    with progress_bar(args, 1, "file") as bar:
        while True:
            try:
                event = next(job)
            except StopIteration as end:
                written: Path | None = end.value
                return written
            if isinstance(event, Progress):
                bar.total, bar.n = event.total, event.done
                bar.refresh()


def _array_of(path: Path | None, args: argparse.Namespace) -> Any:
    from napari_unet.cli._label_file import open_labels

    return None if path is None else open_labels(path, args.axes, args.level).array


def _scale(args: argparse.Namespace, image: ReadImage) -> Sequence[float] | None:
    if args.scale is not None:
        scale: Sequence[float] = args.scale
        return scale
    return image.scale(image.axes) if image.axes else None


def _background(args: argparse.Namespace, names: dict[int, str]) -> int | None:
    """Return the value that outlines leave out."""
    if args.background is not None:
        return args.background or None
    is_class = names.get(_BACKGROUND, "background") != "background"
    return None if args.objects or is_class else _BACKGROUND
