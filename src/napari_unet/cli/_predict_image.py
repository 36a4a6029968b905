"""One image of ``predict``: labels in memory, or tile by tile into OME-Zarr."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import complain, progress_bar
from napari_unet.cli._instances import split_scale
from napari_unet.errors import ImageError
from napari_unet.jobs import Notice, Progress

if TYPE_CHECKING:
    from napari_unet.cli._outputs import Outputs
    from napari_unet.cli._read import ReadImage
    from napari_unet.config import InstanceConfig
    from napari_unet.inference.cluster import Cluster
    from napari_unet.jobs import CancelToken, JobEvent
    from napari_unet.learning import Learner

__all__ = ["Task", "predict_image"]

# what cutting takes: distances, evidence, seeds, basins, ids, and copies of some
_CUTTING_BYTES_PER_PX = 64


@dataclass(frozen=True)
class Task:
    """An image to predict: where it is, what is made of it, and how it is read."""

    path: Path
    outs: Outputs
    read: Callable[[], ReadImage]
    stale: Path | None = None
    """Objects of earlier labels: removed when newer ones are written."""


def predict_image(
    args: argparse.Namespace,
    learner: Learner,
    task: Task,
    settings: InstanceConfig | None,
    title: str,
    token: CancelToken,
    cluster: Cluster | None = None,
) -> dict[str, Any]:
    """Predict one image, write its files, and return what was done."""
    from napari_unet.export import check_writable

    started = time.monotonic()
    outs = task.outs
    result: dict[str, Any] = {"image": task.path, "labels": outs.labels}
    is_streamed = outs.is_zarr and not args.three_axes
    if args.resume and not is_streamed and outs.are_there:
        return {**result, **_left(args, outs), "was_there": True}
    image = task.read()
    for path in outs.files:
        check_writable(path, resume=args.resume and is_streamed)
    if is_streamed:
        result |= _stream(args, learner, image, outs, settings, title, token, cluster)
    else:
        result |= _predict(args, learner, image, outs, settings, title, token)
    if task.stale is not None and not result.get("was_there"):
        result |= _remove(task.stale)
    return {**result, "seconds": time.monotonic() - started}


def _stream(
    args: argparse.Namespace,
    learner: Learner,
    image: ReadImage,
    outs: Outputs,
    settings: InstanceConfig | None,
    title: str,
    token: CancelToken,
    cluster: Cluster | None,
) -> dict[str, Any]:
    """Predict into OME-Zarr tile by tile, then cut objects block by block."""
    from napari_unet.cli._cluster import elsewhere
    from napari_unet.export import ZarrStore, is_complete, open_store
    from napari_unet.inference.blockwise import cut_blocks
    from napari_unet.inference.stream import StreamPlan

    opened: list[ZarrStore] = []
    result: dict[str, Any] = {}
    was_there = args.resume and is_complete(outs.labels)

    def open_it(plan: StreamPlan) -> ZarrStore:
        store = open_store(
            outs.labels,
            plan,
            scale=image.scale(plan.axes),
            unit=image.unit,
            class_names=learner.class_names,
            with_probabilities=args.probabilities,
            with_objects=settings is not None,
            resume=args.resume,
        )
        opened.append(store)
        return store

    key = str(image.path)
    job = learner.stream_job(
        image.array,
        open_it,
        key=key,
        axes=image.axes,
        token=token,
        cluster=cluster,
        open_image=elsewhere(image, args.level),
    )
    try:
        _run_job(args, job, title, token)
        objects = opened[0].objects
        if was_there:
            result |= _left(args, outs)
        elif settings is not None and objects is not None:
            settings = settings.sized(learner.smallest_object_px)
            cutting = cut_blocks(
                objects,
                scale=split_scale(image, objects.axes),
                settings=settings,
                token=token,
            )
            found = _run_job(args, cutting, title, token)
            result["objects"] = outs.objects
            result["n_objects"] = found.n_per_class
            result["min_size_px"] = settings.min_size_px
    except KeyboardInterrupt:
        if opened and not is_complete(outs.labels):
            complain(f"{outs.labels} is unfinished: add --resume to go on with it")
        raise
    finally:
        learner.forget(key)
    if outs.probabilities is not None:
        result["probabilities"] = outs.probabilities
    return {**result, "shape": opened[0].labels.layout.shape, "was_there": was_there}


def _remove(stale: Path) -> dict[str, Any]:
    """Remove objects that belong to labels which are no more; say so."""
    try:
        stale.unlink()
    except FileNotFoundError:
        return {}
    except OSError as error:
        complain(f"{stale} is of older labels, and cannot be removed: {error.strerror}")
        return {}
    complain(f"{stale} was of older labels and is removed: --instances makes it anew")
    return {"removed": stale}


def _left(args: argparse.Namespace, outs: Outputs) -> dict[str, Any]:
    """Return where objects are that were left as they were; say what that ignores."""
    if outs.objects is None:
        return {}
    if args.min_size is not None or args.split is not None:
        complain(
            f"{outs.objects} was complete and is left as it was, whatever --min-size "
            "and --split say: leave out --resume to cut objects anew"
        )
    return {"objects": outs.objects}


def _predict(
    args: argparse.Namespace,
    learner: Learner,
    image: ReadImage,
    outs: Outputs,
    settings: InstanceConfig | None,
    title: str,
    token: CancelToken,
) -> dict[str, Any]:
    """Predict in memory: all of the image at once."""
    import numpy as np

    from napari_unet.export import write_labels, write_probabilities

    in_full = args.probabilities or args.three_axes or settings is not None
    _check_fits(args, image, learner, in_full)
    what: dict[str, Any] = {"axes": image.axes, "token": token}
    if in_full:
        size = image.voxel_size(image.axes)
        what |= {"three_axes": args.three_axes, "scale": size}
    make = learner.predict_maps_job if in_full else learner.predict_job
    found = _run_job(args, make(image.array, **what), title, token)
    labels = found.labels if in_full else found
    axes = (image.axes or "").replace("C", "")
    axes = axes if len(axes) == labels.ndim else "TZYX"[-labels.ndim :]
    place: dict[str, Any] = {
        "axes": axes,
        "scale": image.scale(axes),
        "unit": image.unit,
    }
    write_labels(outs.labels, labels, class_names=learner.class_names, **place)
    result: dict[str, Any] = {}
    if outs.probabilities is not None:
        names = [learner.class_names.get(v, f"class {v}") for v in found.values]
        result["probabilities"] = write_probabilities(
            outs.probabilities, found.probabilities, class_names=names, **place
        )
    if outs.objects is not None:
        assert settings is not None
        from napari_unet.inference.instances import split_job

        settings = settings.sized(learner.smallest_object_px)
        cutting = split_job(
            labels,
            found.probabilities,
            border=found.border,
            axes=axes,
            scale=split_scale(image, axes),
            settings=settings,
            token=token,
        )
        instances = _run_job(args, cutting, title, token)
        result["objects"] = write_labels(outs.objects, instances.labels, **place)
        result["n_objects"] = instances.n_per_class
        result["min_size_px"] = settings.min_size_px
    values, n_px = np.unique(labels, return_counts=True)
    n_each = dict(zip(values.tolist(), n_px.tolist(), strict=True))
    return {**result, "shape": labels.shape, "n_px": n_each}


def _check_fits(
    args: argparse.Namespace, image: ReadImage, learner: Learner, in_full: bool
) -> None:
    """Refuse an image whose results cannot fit into the memory.

    Raises
    ------
    ImageError
        Naming how much it would take, and how else it can be done.
    """
    from napari_unet.core.memory import total_memory_bytes

    total = total_memory_bytes()
    if total is None:
        return
    per_px = 2 + (4 * (len(learner.class_values) + 1) if in_full else 0)
    per_px += _CUTTING_BYTES_PER_PX if args.instances else 0
    n_px = image.array.size // (learner.n_channels or 1)
    if n_px * per_px <= total:
        return
    advice = (
        "write OME-Zarr, which goes to disk tile by tile: --out NAME.zarr, or --format "
        "zarr for a folder"
    )
    if args.three_axes:
        advice += "; without --three-axes, which looks at a volume as a whole"
    raise ImageError(
        f"the results of an image of {n_px / 1e6:,.0f} million pixels take about "
        f"{n_px * per_px / 2**30:,.0f} GB of memory, and the {total / 2**30:,.0f} GB "
        f"here are enough for {total / per_px / 1e6:,.0f} million; {advice}"
    )


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
                # of several images, which one
                which = "" if title.startswith("1/1 ") else f"{title.strip()}: "
                complain(f"{which}{event.message}")
