"""``project new`` and ``project add``: images, and what was painted on them before."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._annotation import add_complete, complete_files
from napari_unet.cli._console import complain, write_json
from napari_unet.cli._files import find_twice
from napari_unet.cli._inputs import find_images
from napari_unet.cli._map_classes import add_map_classes
from napari_unet.cli._options import IMAGE_FILES, add_axes, add_json, class_name
from napari_unet.cli._pairs import paired
from napari_unet.cli._project_keep import keep_image, name_classes, read_found
from napari_unet.cli._settings import learner_settings
from napari_unet.errors import ConfigError, NapariUnetError, ProjectError

if TYPE_CHECKING:
    from napari_unet.config import AnnotationMode
    from napari_unet.project import Project

__all__ = ["add_parsers"]

_MAX_NAME = 500


def add_parsers(actions: Any) -> None:
    """Add both commands to the parser."""
    new = actions.add_parser(
        "new",
        help="make a project from images",
        description="Make a project in a new folder. Images stay where they are. One "
        "that cannot be read is named on stderr, and the exit code is 3.",
        allow_abbrev=False,
    )
    add = actions.add_parser(
        "add",
        help="add images to a project, or say where they are now",
        description="Add images to a project. One that is known by its pixels and not "
        "where it was is found again, with what was painted on it.",
        allow_abbrev=False,
    )
    for parser in (new, add):
        parser.add_argument(
            "project",
            type=Path,
            metavar="DIR",
            help="the project folder, by custom NAME.unet-project",
        )
        _add_image_options(parser, is_required=parser is add)
    new.add_argument("--name", help="what people call it (default: the folder's name)")
    new.add_argument(
        "--mode",
        choices=("strokes", "objects"),
        help="what is painted: strokes (default), a number for each class; objects, a "
        "number for each",
    )
    new.add_argument(
        "--config", type=Path, metavar="FILE", help="settings of the learner as JSON"
    )
    for parser in (new, add):
        parser.add_argument(
            "--classes",
            nargs="+",
            type=class_name,
            default=[],
            metavar="VALUE=NAME",
            help="names of classes",
        )
        add_axes(parser)
        add_json(parser)
        parser.set_defaults(level=0)
    new.set_defaults(run=_new)
    add.set_defaults(run=_add)


def _add_image_options(parser: argparse.ArgumentParser, is_required: bool) -> None:
    parser.add_argument(
        "--image",
        nargs="+",
        type=Path,
        default=[],
        required=is_required,
        metavar="FILE",
        help=f"images ({IMAGE_FILES}), or folders of them",
    )
    parser.add_argument(
        "--annotation",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="what was painted on them (0 not annotated, 1 background, 2 and up), or a "
        "folder of them: called like the images (cell-strokes.tif of cell.tif), of "
        "which some may have none; else in the order of the images",
    )
    add_complete(parser)
    add_map_classes(parser)
    parser.add_argument(
        "--copy",
        action="store_true",
        help="copy the images into the project, so that it is complete by itself",
    )


def _new(args: argparse.Namespace) -> int:
    from napari_unet.project import Project, check_free

    check_free(args.project)
    if args.name is not None and not 1 <= len(args.name) <= _MAX_NAME:
        raise ConfigError(
            f"--name has {len(args.name)} letters: give 1 to {_MAX_NAME}, or leave it "
            "out"
        )
    config = learner_settings(args.config, {"annotation_mode": args.mode})
    mode = config.annotation_mode
    with ExitStack() as stack:

        def make() -> Project:
            made = Project.create(args.project, args.name, mode=mode, learner=config)
            return stack.enter_context(made)

        return _fill(args, mode, make)


def _add(args: argparse.Namespace) -> int:
    from napari_unet.project import Project

    with Project.open(args.project) as project:
        return _fill(args, project.record.mode, lambda: project)


def _fill(
    args: argparse.Namespace, mode: AnnotationMode, get: Callable[[], Project]
) -> int:
    """Add every image that can be read; report the others.

    ``get`` is asked for the project when the first one was read: of files that are no
    images none is made.
    """
    results: list[dict[str, Any]] = []
    n_failed = 0
    project: Project | None = None
    tasks = _tasks(args)
    _check_classes(dict(args.classes))
    for path, annotation, mask in tasks:
        try:
            found = read_found(args, mode, path, annotation, mask)
            project = project or get()
            results.append(keep_image(project, args, mode, found))
        except ProjectError:
            raise
        except NapariUnetError as error:
            if len(tasks) == 1:
                raise
            complain(str(error))
            results.append({"image": path, "error": str(error)})
            n_failed += 1
    if project is None and n_failed == 0:
        project = get()
    if project is not None:
        name_classes(project, dict(args.classes), set())
    _report(args, results, n_failed)
    return (2 if n_failed == len(tasks) else 3) if n_failed else 0


def _check_classes(names: dict[int, str]) -> None:
    """Refuse a value that no annotation can have."""
    from napari_unet.annotation.annotations import MAX_VALUE

    for value, name in names.items():
        if not 1 <= value <= MAX_VALUE:
            raise ConfigError(
                f"--classes {value}={name}: give 1 for background, 2 to {MAX_VALUE} "
                "for the classes"
            )


def _tasks(args: argparse.Namespace) -> list[tuple[Path, Path | None, Path | None]]:
    """Return each image with its annotation and mask.

    Raises
    ------
    ConfigError
        If it cannot be told whose they are, or an image is named twice.
    """
    args.image = find_images(args.image)
    pairs = paired(args.image, find_images(args.annotation))
    if args.complete and not args.annotation:
        raise ConfigError("--complete tells of annotations: give --annotation too")
    twice = find_twice(args.image)
    if twice is not None:
        raise ConfigError(f"--image names {twice} twice")
    none: list[Path | None] = [None] * len(args.image)
    masks = complete_files(args) or none
    return [(*pair, mask) for pair, mask in zip(pairs, masks, strict=True)]


def _report(
    args: argparse.Namespace, results: list[dict[str, Any]], n_failed: int
) -> None:
    if args.json:
        write_json({"project": args.project, "images": results})
    else:
        for result in results:
            if "error" not in result:
                painted = ", with its annotation" if "annotation" in result else ""
                print(
                    f"{result['number']}  {result['image']} {result['what']}{painted}"
                )
        n_images = len(results)
        done = f"{n_images - n_failed} of {n_images} images" if n_failed else "all done"
        print(f"{args.project}: {done}")
    if n_failed:
        complain(f"{n_failed} of {len(results)} images failed")
