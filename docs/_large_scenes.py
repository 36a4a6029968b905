"""Pictures of slides, stacks and projects, for `make_screenshots.py`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from _screen import (
    open_dock,
    paint_class,
    prepare,
    read,
    shoot,
    wait,
    wait_until,
)
from numpy.typing import NDArray

SLIDE_PX = (20480, 4096)
N_TIMES = 9
DRIFT_PX = 6
"""How far the sample moves from one time point to the next."""


def show_slide(viewer: Any, dock: Any, args: Any) -> None:
    """Predict a slide into a store, and show it half way."""
    from napari_unet.sample import load_sample

    sample = load_sample("nuclei")
    slide = make_slide(args.place, sample.image)
    viewer.add_image(slide, name="slide", multiscale=True)
    dock.state.classes.rename_all(sample.class_names)
    wait(0.5)
    dock.layers.new.click()
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 256, 256), 1.2
    wait(2.0)
    for value in (1, 2):
        paint_class(viewer, dock, sample.truth, value)
    wait_until(lambda: dock.state.session.overlay_time_s is not None)
    wait_until(lambda: not dock.state.session.is_updating)
    dock.overlay.live.click()  # or all that is in sight is predicted before
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 2048, 2048), 0.145
    entry = dock.state.book.current
    dock.state.stored.place(entry, args.place / "slide-labels.zarr")
    dock.overlay.predict.click()
    # two rows of tiles, and half of the next
    wait_until(lambda: dock.state.stored.of(entry).n_done >= 10)
    wait(1.5)
    shoot(viewer, args.out / "large", ["dark"])


def make_slide(folder: Path, tile: NDArray[Any]) -> list[Any]:
    """Return the levels of a sparse zarr pyramid, at the top tiled with an image."""
    import zarr

    group = zarr.create_group(folder / "slide.zarr")
    filled, levels = np.tile(tile, (8, 8)), []
    for level in range(6):
        shape = tuple(n // 2**level for n in SLIDE_PX)
        array = group.create_array(
            str(level), shape=shape, chunks=(512, 512), dtype=tile.dtype
        )
        part = filled[: SLIDE_PX[0] : 2**level, : SLIDE_PX[1] : 2**level]
        array[: part.shape[0], : part.shape[1]] = part
        levels.append(array)
    return levels


def show_series(viewer: Any, dock: Any, args: Any) -> None:
    """Find objects in a time series, the sample that drifts."""
    from napari_unet.sample import load_sample

    sample = load_sample("nuclei")
    rng, shifts = np.random.default_rng(0), DRIFT_PX * np.arange(N_TIMES)
    noise = rng.normal(0, 4, (N_TIMES, *sample.image.shape))
    series = np.stack([np.roll(sample.image, n, axis=1) for n in shifts]) + noise
    truth = np.stack([np.roll(sample.truth, n, axis=1) for n in shifts])
    viewer.add_image(
        np.clip(series, 0, 255).astype(np.uint8),
        name="nuclei",
        axis_labels=("t", "y", "x"),
    )
    dock.state.classes.rename_all(sample.class_names)
    find_objects(viewer, dock, truth, N_TIMES // 2)
    shoot(viewer, args.out / "series", ["dark"])


def show_volume(viewer: Any, dock: Any, args: Any) -> None:
    """Find the objects of a z stack, and show them in 3D."""
    image, labels = map(read, args.volume)
    name = args.volume[0].stem
    viewer.add_image(
        image, name=name, axis_labels=("z", "y", "x"), scale=tuple(args.voxel)
    )
    dock.state.classes.rename_all({2: "nucleus"})
    truth = np.where(labels > 0, 2, 1)
    find_objects(viewer, dock, truth, int((labels > 0).sum((1, 2)).argmax()))
    viewer.layers.selection.active = viewer.layers[name]
    dock.state.book.current.annotation.visible = False
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    viewer.scene.camera.angles = (10, 20, 100)
    shoot(viewer, args.out / "volume", ["dark"])


def find_objects(viewer: Any, dock: Any, truth: NDArray[Any], middle: int) -> None:
    """Paint in two planes of a stack, and find the objects of all of them."""
    prepare(viewer, dock)
    for index in (middle, middle + 2):
        viewer.dims.set_current_step(0, index)
        viewer.reset_view()
        wait(1.0)
        for value in (1, 2):
            paint_class(viewer, dock, truth[index], value)
    wait_until(lambda: dock.state.session.overlay_time_s is not None)
    dock.overlay.objects.objects.click()
    dock.overlay.predict.click()
    wait_until(lambda: dock.state.book.current.has_all_objects)
    print(f"{dock.state.session.n_objects} objects")
    viewer.dims.set_current_step(0, middle)


def show_project(viewer: Any, dock: Any, args: argparse.Namespace) -> None:
    """Make a project, paint on a few of its images, learn twice."""
    state, (images, labels) = dock.state, args.project
    project = open_dock(viewer, "Project")
    project.make_project(args.place / "nuclei")
    wait_until(lambda: state.project.is_named)
    project.images.add_wanted.emit(sorted(images.iterdir())[:12])
    wait_until(lambda: len(project.images.rows) > 0)
    for count in range(4):
        before = state.opener.current
        project.images.next.click()
        wait_until(lambda before=before: state.opener.current != before)
        wait_until(lambda: state.book.current.annotation is not None)
        wait(1.0)
        name = Path(state.book.current.image.source.path).name
        truth = (read(labels / name) > 0) + 1
        for value in (1, 2):
            paint_class(viewer, dock, truth, value)
        if count < 2:
            state.opener.toggle_done()
    for n_rounds in (1, 2):
        until = state.session.seconds + args.seconds / 2
        dock.learning.learn.click()
        wait_until(lambda until=until: state.session.seconds >= until)
        dock.learning.learn.click()
        wait_until(lambda n=n_rounds: len(project.rounds.list.rows) >= n)
    project.head.folder.setText("/data/nuclei.unet-project")
    shoot(viewer, args.out / "project")
