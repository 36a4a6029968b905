"""``napari-unet predict``: from a model and images to label files."""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import (
    cancel_on_interrupt,
    complain,
    naming,
    progress_bar,
    seconds_text,
    write_json,
)
from napari_unet.cli._files import make_folder, refuse_overwriting, require_files
from napari_unet.cli._instances import (
    add_instances,
    instance_settings,
    objects_path,
    say_objects,
    split_scale,
)
from napari_unet.cli._options import (
    add_axes,
    add_device,
    add_files,
    add_json,
    add_progress,
)
from napari_unet.errors import ConfigError, NapariUnetError
from napari_unet.jobs import Notice, Progress

if TYPE_CHECKING:
    from napari_unet.config import InstanceConfig
    from napari_unet.jobs import CancelToken, JobEvent
    from napari_unet.learning import Learner

__all__ = ["add_parser", "output_paths", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "predict",
        help="label images with a model",
        description="Label images with a model. One bad image of several does not stop "
        "the others: it is named on stderr, and the exit code is 3.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL")
    add_files(parser, "--image", "images")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE_OR_DIR",
        help="for one image the label file (.tif keeps the pixel size, .png does not) "
        "or a folder; for several a folder, made if missing, which gets a file "
        "IMAGE-labels.tif for each",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="beside the labels, write each class's probability as a channel of a "
        "float32 TIFF, ...-probabilities.tif (axes CYX; ZCYX for a volume)",
    )
    parser.add_argument(
        "--three-axes",
        action="store_true",
        help="predict a volume's planes along z, y and x, and take the mean of their "
        "probabilities: three times the work, for voxels that are about cubes",
    )
    add_instances(parser)
    add_axes(parser)
    add_device(parser)
    add_json(parser)
    add_progress(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Label every image; report those that failed and go on."""
    from napari_unet.learning import load

    settings = instance_settings(args)
    require_files([Path(args.model), *(args.image if len(args.image) == 1 else [])])
    outs = output_paths(
        args.image, args.out, args.model, args.probabilities, args.instances
    )
    if not _is_file(args.out, len(args.image)):
        make_folder(Path(args.out))
    with naming(args.model):
        learner = load(args.model, device=args.device or "auto")
    results: list[dict[str, Any]] = []
    n_failed = 0
    with cancel_on_interrupt() as token:
        for number, (image, out) in enumerate(zip(args.image, outs, strict=True), 1):
            title = f"{number}/{len(outs)} {image.name} "
            try:
                with naming(image, out):
                    result = _predict_one(
                        args, learner, image, out, settings, title, token
                    )
            except NapariUnetError as error:
                if len(outs) == 1:
                    raise
                complain(str(error))
                results.append({"image": image, "error": str(error)})
                n_failed += 1
                continue
            results.append(result)
            if not args.json:
                found = f", {say_objects(result)}" if args.instances else ""
                print(f"{image} -> {out}{found} in {seconds_text(result['seconds'])}")
    if args.json:
        write_json(results)
    if n_failed:
        complain(f"{n_failed} of {len(outs)} images failed")
        return 2 if n_failed == len(outs) else 3
    return 0


def output_paths(
    images: Sequence[Path],
    out: str,
    model: Path,
    with_probabilities: bool = False,
    with_instances: bool = False,
) -> list[Path]:
    """Return where the labels of each image go.

    Raises
    ------
    ConfigError
        If two images would go to one file, or several to a file.
    FileError
        If labels (or probabilities and objects, where they are written) would overwrite
        an image or the model, or labels cannot be written to a file of that suffix.
    """
    from napari_unet.export import check_label_suffix

    if _is_file(out, len(images)):
        paths = [Path(out)]
    else:
        paths = [Path(out) / f"{_stem(image)}-labels.tif" for image in images]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigError(
            f"two of the images would be written to {twice}: give them different "
            "names, or call the command for each"
        )
    beside = list(map(_probabilities_path, paths)) if with_probabilities else []
    beside += map(objects_path, paths) if with_instances else []
    refuse_overwriting([*paths, *beside], [*images, model])
    for path in paths:
        check_label_suffix(path)
    return paths


def _probabilities_path(labels: Path) -> Path:
    """Return where the probabilities of an image go, beside its labels."""
    return labels.with_name(f"{labels.stem.removesuffix('-labels')}-probabilities.tif")


def _is_file(out: str, n_images: int) -> bool:
    """Whether ``--out`` names a file; refuse one for several images."""
    path = Path(out)
    if path.is_dir() or out.endswith(("/", "\\")) or not path.suffix:
        return False
    if n_images > 1:
        raise ConfigError(
            f"--out {out} is one file for {n_images} images; name a folder"
        )
    return True


def _stem(image: Path) -> str:
    stem = image.stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def _predict_one(
    args: argparse.Namespace,
    learner: Learner,
    image_path: Path,
    out: Path,
    settings: InstanceConfig | None,
    title: str,
    token: CancelToken,
) -> dict[str, Any]:
    """Predict one image, write its files, and return what was done."""
    import numpy as np

    from napari_unet.cli._read import read_image
    from napari_unet.export import check_writable, write_labels, write_probabilities
    from napari_unet.inference.instances import split_job

    started = time.monotonic()
    image = read_image(image_path, args.axes)
    check_writable(out)
    in_full = args.probabilities or args.three_axes or settings is not None
    what: dict[str, Any] = {"axes": image.axes, "token": token}
    if in_full:
        size = image.voxel_size(image.axes)
        what |= {"three_axes": args.three_axes, "scale": size}
    make = learner.predict_maps_job if in_full else learner.predict_job
    found = _run_job(args, make(image.array, **what), title, token)
    result: dict[str, Any] = {"image": image_path, "labels": out}
    labels = found.labels if in_full else found
    axes = (image.axes or "").replace("C", "")
    axes = axes if len(axes) == labels.ndim else "TZYX"[-labels.ndim :]
    place: dict[str, Any] = {
        "axes": axes,
        "scale": image.scale(axes),
        "unit": image.unit,
    }
    write_labels(out, labels, class_names=learner.class_names, **place)
    if args.probabilities:
        path = _probabilities_path(out)
        names = [learner.class_names.get(v, f"class {v}") for v in found.values]
        write_probabilities(path, found.probabilities, class_names=names, **place)
        result["probabilities"] = path
    if settings is not None:
        settings = settings.sized(learner.smallest_object_px)
        scale = split_scale(image, axes)
        cutting = split_job(
            labels,
            found.probabilities,
            border=found.border,
            axes=axes,
            scale=scale,
            settings=settings,
            token=token,
        )
        instances = _run_job(args, cutting, title, token)
        result["objects"] = write_labels(objects_path(out), instances.labels, **place)
        result["n_objects"] = instances.n_per_class
        result["min_size_px"] = settings.min_size_px
    found, n_px = np.unique(labels, return_counts=True)
    result |= {
        "shape": labels.shape,
        "n_px": dict(zip(found.tolist(), n_px.tolist(), strict=True)),
        "seconds": time.monotonic() - started,
    }
    return result


def _run_job(
    args: argparse.Namespace,
    job: Generator[JobEvent, None, Any],
    title: str,
    token: CancelToken,
) -> Any:
    """Run a job that the viewer runs too, and return its result."""
    with progress_bar(args, None, "tile") as bar:
        bar.set_description_str(title)
        while True:
            try:
                event = next(job)
            except StopIteration as stop:
                # half an image must not pass for a whole one
                if token.cancelled:
                    raise KeyboardInterrupt from None
                return stop.value
            if isinstance(event, Progress):
                bar.total = event.total
                bar.update(event.done - bar.n)
                bar.refresh()
            elif isinstance(event, Notice):
                bar.clear()
                complain(event.message)
