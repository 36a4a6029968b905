"""``napari-unet measure``: objects or classes of label files, as one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import (
    cancel_on_interrupt,
    complain,
    naming,
    progress_bar,
    write_json,
)
from napari_unet.cli._files import refuse_overwriting
from napari_unet.cli._inputs import find_images, stem_of
from napari_unet.cli._options import (
    IMAGE_FILES,
    add_axes,
    add_json,
    add_level,
    add_progress,
    class_name,
)
from napari_unet.errors import ConfigError, NapariUnetError

if TYPE_CHECKING:
    from napari_unet.export import Table
    from napari_unet.jobs import CancelToken

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "measure",
        help="measure objects or classes: sizes, shapes, intensities, as a table",
        description="Measure the objects of label files, one row each (and one per "
        "time point), or their classes, and write one table of all files. Sizes are in "
        "the unit of --scale or of the files, which each heading names, else in pixels "
        "(px). One bad file is reported, and the others go on.",
        epilog="Columns: area (of volumes: volume), centroid, bbox, touches_border, "
        "equivalent_diameter, axis_lengths, eccentricity (areas only), solidity (slow "
        "in volumes: only when named), perimeter (surface_area), orientation, "
        "n_pixels, and with --image intensity_mean, _min, _max, _std, _sum. Of "
        "classes: n_pixels, area, fraction, intensities.",
        allow_abbrev=False,
    )
    _add_inputs(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="table to write: .csv or .parquet",
    )
    parser.add_argument(
        "--per",
        choices=("object", "class"),
        default="object",
        help="what a row is: an object, each with a number of its own (default), or a "
        "class",
    )
    parser.add_argument(
        "--split",
        action="store_true",
        help="the labels are classes (0 and 1 background): cut them into objects "
        "first, as predict --instances does",
    )
    parser.add_argument(
        "--by-plane",
        action="store_true",
        help="measure each plane of z stacks by itself, instead of volumes",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="NAME",
        help="which columns (default: all that are quick; all: all); see below",
    )
    _add_units(parser)
    add_axes(parser)
    add_level(parser)
    add_progress(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    for name, meaning, is_required in (
        ("--labels", "labels to measure", True),
        (
            "--image",
            "images to measure intensities of, in the order of the labels",
            False,
        ),
        ("--classes", "labels of classes, which say the class of each object", False),
    ):
        parser.add_argument(
            name,
            nargs="+",
            type=Path,
            required=is_required,
            metavar="FILE",
            help=f"{meaning} ({IMAGE_FILES}, a folder of them, or a pattern)",
        )


def _add_units(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale",
        nargs="+",
        type=float,
        metavar="STEP",
        help="size of a pixel: one number, or one for each of Z Y X (default: what the "
        "labels say, else the image)",
    )
    parser.add_argument(
        "--unit", metavar="UNIT", help="unit of the scale, such as um or nm"
    )
    parser.add_argument(
        "--class-names",
        nargs="+",
        type=class_name,
        metavar="VALUE=NAME",
        help="names of classes, such as 2=nucleus (default: as the labels' file says)",
    )
    parser.add_argument(
        "--channel-names",
        nargs="+",
        metavar="NAME",
        help="names of the image's channels, for the headings",
    )


@dataclass(frozen=True)
class _Set:
    """The files that belong together."""

    labels: Path
    image: Path | None
    classes: Path | None


def run(args: argparse.Namespace) -> int:
    """Measure every file; report those that failed and write what the others gave."""
    from napari_unet.export import (
        check_table_suffix,
        check_writable,
        join_tables,
        write_table,
    )

    sets = _sets(args)
    check_table_suffix(args.out)
    refuse_overwriting([args.out], _all_paths(sets))
    check_writable(args.out)
    names = _names([each.image or each.labels for each in sets])
    tables: list[Table] = []
    files: list[dict[str, Any]] = []
    bar = progress_bar(args, len(sets), "file")
    with bar, cancel_on_interrupt() as token:
        for name, each in zip(names, sets, strict=True):
            told: dict[str, Any] = {"labels": each.labels, "image": name}
            files.append(told)
            try:
                with naming(each.labels):
                    table = _measure(args, each, name, token, bar)
            except NapariUnetError as error:
                if len(sets) == 1:
                    raise
                complain(str(error))
                told["error"] = str(error)
                continue
            if table is None:
                raise KeyboardInterrupt
            tables.append(table)
            told["n_rows"] = table.n_rows
    if tables:
        write_table(args.out, join_tables(tables))
    _tell(args, files, tables)
    n_failed = len(sets) - len(tables)
    if n_failed:
        complain(f"{n_failed} of {len(sets)} files failed")
        return 3 if tables else 2
    return 0


def _sets(args: argparse.Namespace) -> list[_Set]:
    """Return the files that go together, by their order."""
    if args.split and args.per == "class":
        raise ConfigError("--split makes objects of classes: leave out --per class")
    if args.split and args.classes:
        raise ConfigError("--split takes the classes from the labels; leave --classes")
    labels = find_images(args.labels)
    images, classes = (
        _beside(labels, files, option)
        for files, option in ((args.image, "--image"), (args.classes, "--classes"))
    )
    return [_Set(*each) for each in zip(labels, images, classes, strict=True)]


def _beside(
    labels: Sequence[Path], files: Sequence[Path] | None, option: str
) -> list[Path | None]:
    if files is None:
        return [None] * len(labels)
    found: list[Path | None] = [*find_images(files)]
    if len(found) != len(labels):
        raise ConfigError(
            f"--labels names {len(labels)} files and {option} {len(found)}: give one "
            "for each, in the same order"
        )
    return found


def _all_paths(sets: Sequence[_Set]) -> list[Path]:
    paths = [path for s in sets for path in (s.labels, s.image, s.classes)]
    return [path for path in paths if path is not None]


def _names(paths: Sequence[Path]) -> list[str]:
    """Return what the column "image" says: the file's name, or its path if need be."""
    names = [stem_of(path) for path in paths]
    is_unique = len(set(names)) == len(names)
    return names if is_unique else [str(path) for path in paths]


def _measure(
    args: argparse.Namespace, files: _Set, name: str, token: CancelToken, bar: Any
) -> Table | None:
    from napari_unet.cli._measure_inputs import read_set
    from napari_unet.export import measure_job
    from napari_unet.jobs import Progress

    start = bar.n
    inputs = read_set(args, files.labels, files.image, files.classes)
    job = measure_job(
        token,
        **inputs,
        per=args.per,
        channel_names=args.channel_names,
        columns=args.columns,
        by_plane=args.by_plane,
        image_name=name,
    )
    while True:
        try:
            event = next(job)
        except StopIteration as end:
            bar.update(start + 1 - bar.n)
            return end.value  # type: ignore[no-any-return]
        if isinstance(event, Progress):
            bar.update(start + event.done / event.total - bar.n)


def _tell(
    args: argparse.Namespace, files: list[dict[str, Any]], tables: Sequence[Table]
) -> None:
    n_rows = sum(table.n_rows for table in tables)
    if args.json:
        write_json({"out": args.out, "n_rows": n_rows, "files": files})
    elif tables:
        ending = "" if n_rows == 1 else "s" if args.per == "object" else "es"
        n_files = f"{len(tables)} file{'' if len(tables) == 1 else 's'}"
        print(f"{n_rows:,} {args.per}{ending} of {n_files} -> {args.out}")
