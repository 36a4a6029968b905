"""Make the pictures of the documentation by running the real program.

Opens napari, paints with real mouse events, waits for the overlay, learns, and saves
the window at 1280 x 800, each scene in a process of its own::

    xvfb-run -a -s "-screen 0 1600x1200x24" python docs/make_screenshots.py
    ... python docs/make_screenshots.py loop error
    ... python docs/make_screenshots.py --volume stack.tif objects.tif --voxel 2.18 1 1
    ... python docs/make_screenshots.py --project images/ labels/

Without a name it makes every scene that needs nothing but the samples. ``--volume``
and ``--project`` make those of a z stack and of the dock *Project*, painted along what
is not 0 in label images; those of a project have the names of its images.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _large_scenes import show_project, show_series, show_slide, show_volume
from _screen import (
    WINDOW_PX,
    drag,
    drag_over,
    open_dock,
    open_sample,
    paint_class,
    prepare,
    shoot,
    strokes_of,
    wait,
    wait_until,
)
from numpy.typing import NDArray

BRUSH_PX = 8
EDGE_PX = 90  # what is corrected has the image all around


def main() -> int:
    """Make the scenes that were asked for."""
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.volume:
        show(show_volume, args)
    elif args.project:
        show(show_project, args)
    elif len(args.scenes) == 1:
        show(SCENES[args.scenes[0]], args)
    else:
        for scene in args.scenes or SCENES:
            call = [sys.executable, __file__, scene, "--out", str(args.out)]
            subprocess.run([*call, "--seconds", str(args.seconds)], check=True)
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(SCENES))
    parser.add_argument("--seconds", type=float, default=30.0, help="of learning")
    two = {"type": Path, "nargs": 2, "metavar": ("IMAGE", "LABELS")}
    parser.add_argument("--volume", **two, help="a z stack, in 3D")
    parser.add_argument(
        "--voxel", type=float, nargs=3, default=(1, 1, 1), help="its size (z y x)"
    )
    parser.add_argument("--project", **two, help="folders of a project's images")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "images", help="folder"
    )
    args = parser.parse_args()
    unknown = set(args.scenes) - set(SCENES)
    if unknown:
        parser.error(f"no scene {', '.join(unknown)}: choose from {', '.join(SCENES)}")
    return args


def show(scene: Callable[[Any, Any, argparse.Namespace], None], args: Any) -> None:
    """Open napari with the main dock, and play a scene in it."""
    import napari

    with tempfile.TemporaryDirectory() as folder:
        # else the dock offers to bring back what was painted for the last picture
        os.environ["XDG_DATA_HOME"] = folder
        args.place = Path(folder)
        viewer = napari.Viewer(title="napari-unet")
        viewer.theme = "dark"
        viewer.window.resize(*WINDOW_PX)
        dock = open_dock(viewer, "Interactive segmentation")
        wait(0.5)
        try:
            scene(viewer, dock, args)
        finally:  # else its threads would keep the process
            viewer.close()


def show_loop(viewer: Any, dock: Any, args: Any) -> None:
    """From the empty window over the first strokes to objects and an export."""
    shoot(viewer, args.out / "start")
    truth = open_sample(viewer, dock, "nuclei")
    session = dock.state.session
    paint_class(viewer, dock, truth, 1)
    dock.state.brush.select(2)
    wait_until(lambda: "Now paint" in dock.tip.text)
    shoot(viewer, args.out / "first-stroke", ["dark"])
    paint_class(viewer, dock, truth, 2)
    started = time.monotonic()
    wait_until(lambda: session.overlay_time_s is not None)
    print(f"first overlay {time.monotonic() - started:.1f} s after the last stroke")
    wait_until(lambda: session.scores and not session.is_updating)
    shoot(viewer, args.out / "overlay", ["dark"])
    open_dock(viewer, "Learning curves")
    dock.learning.learn.click()
    wait_until(lambda: session.seconds >= args.seconds)
    print(f"showing {session.shown} after {session.step} steps")
    shoot(viewer, args.out / "learning")
    dock.learning.learn.click()
    wait_until(lambda: session.phase == "paused")
    wait_until(lambda: not session.is_updating)
    shoot(viewer, args.out / "paused", ["dark"])
    dock.overlay.objects.objects.click()
    dock.overlay.predict.click()
    wait_until(lambda: dock.state.book.current.has_all_objects)
    print(f"{session.n_objects} objects")
    shoot(viewer, args.out / "objects")
    dock.border_weights.show()
    wait_until(lambda: "nuclei border weights" in viewer.layers)
    shoot(viewer, args.out / "border-weights", ["dark"])
    viewer.layers.remove("nuclei border weights")
    export(viewer, args)


def show_correct(viewer: Any, dock: Any, args: Any) -> None:
    """Open the sample by its button; then correct an overlay, as outlines, close by."""
    from napari_unet.sample import load_sample

    dock.empty.buttons["nuclei"].click()
    session = dock.state.session
    wait_until(lambda: session.scores and not session.is_updating)
    viewer.reset_view()
    shoot(viewer, args.out / "sample", ["dark"])
    dock.overlay.outline.click()
    labels = np.asarray(viewer.layers["nuclei prediction"].data)
    wrong = (labels == 2) & (load_sample("nuclei").truth == 1)
    row, column = deepest_inside(wrong[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX])
    row, column = row + EDGE_PX, column + EDGE_PX
    viewer.scene.camera.center = (0.0, row, column)
    viewer.scene.camera.zoom *= 3
    dock.state.book.current.annotation.brush_size = 4
    dock.state.book.current.annotation.mode = "paint"
    dock.state.brush.select(1)
    wait(1.0)
    before = session.overlay_time_s
    drag(viewer, [(row + step, column) for step in (-4.0, -2.0, 0.0, 2.0, 4.0)])
    wait_until(lambda: session.overlay_time_s != before)
    wait_until(lambda: session.scores and not session.is_updating)
    wait(2.0)
    shoot(viewer, args.out / "correct", ["dark"])


def deepest_inside(area: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the place (row, column) deepest inside an area."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(area)
    row, column = np.unravel_index(int(depth.argmax()), area.shape)
    return float(row), float(column)


def export(viewer: Any, args: Any) -> None:
    """Export the labels from the dock, and say where they went."""
    dock = open_dock(viewer, "Export labels")
    dock.form.path.setText(str(args.place / "nuclei-labels.tif"))
    dock.export.click()
    wait_until(lambda: "Saved" in dock.result.text())
    dock.form.path.setText("/data/nuclei-labels.tif")
    dock.result.setText(dock.result.text().replace(str(args.place), "/data"))
    shoot(viewer, args.out / "export", ["dark"])


def show_help(viewer: Any, dock: Any, args: Any) -> None:
    """Open the help page over the dock."""
    open_sample(viewer, dock, "nuclei")
    dock.help.click()
    wait(0.5)
    shoot(viewer, args.out / "help", ["dark"], is_whole_screen=True)


def show_painted_objects(viewer: Any, dock: Any, args: Any) -> None:
    """Paint objects whole, two that touch among them, and background."""
    from napari_unet.config import InstanceConfig
    from napari_unet.inference.instances import split_objects

    truth = open_sample(viewer, dock, "nuclei", is_prepared=False)
    wait_until(dock.paint.objects.isEnabled)
    dock.paint.objects.click()
    prepare(viewer, dock)
    dock.state.book.current.annotation.brush_size = BRUSH_PX
    found = split_objects(
        (truth == 2).astype(np.uint8) + 1, settings=InstanceConfig(min_size_px=200)
    ).labels
    for number in chosen_objects(found):
        drag_over(viewer, BRUSH_PX, found == number)
        dock.state.brush.select_next()
    dock.state.brush.select(1)
    for stroke in strokes_of(truth == 1):
        drag(viewer, stroke)
    session = dock.state.session
    wait_until(lambda: session.overlay_time_s is not None)
    wait_until(lambda: session.scores and not session.is_updating)
    wait(2.0)
    shoot(viewer, args.out / "painted-objects", ["dark"])


def chosen_objects(labels: NDArray[Any]) -> list[int]:
    """Return a pair of objects that touch, and three others."""
    from scipy import ndimage

    values = [int(v) for v in np.unique(labels) if v]
    for value in values:
        around = ndimage.binary_dilation(labels == value, iterations=3)
        others = set(map(int, np.unique(labels[around]))) - {0, value}
        if others:
            pair = [value, min(others)]
            return pair + [v for v in values if v not in pair][::5][:3]
    return values[:5]


def show_tissue(viewer: Any, dock: Any, args: Any) -> None:
    """Paint on an RGB image."""
    truth = open_sample(viewer, dock, "tissue")
    for value in (1, 2):
        paint_class(viewer, dock, truth, value)
    session = dock.state.session
    wait_until(lambda: session.overlay_time_s is not None)
    wait_until(lambda: session.scores and not session.is_updating)
    shoot(viewer, args.out / "tissue", ["dark"])


def show_proofread(viewer: Any, dock: Any, args: Any) -> None:
    """Accept an object in the dock *Proofread*, then measure all of them."""
    truth = open_sample(viewer, dock, "nuclei")
    for value in (1, 2):
        paint_class(viewer, dock, truth, value)
    session = dock.state.session
    wait_until(lambda: session.scores and not session.is_updating)
    dock.overlay.objects.objects.click()
    dock.overlay.predict.click()
    wait_until(lambda: dock.state.book.current.has_all_objects)
    proofread = open_dock(viewer, "Proofread")
    wait(1.0)
    proofread.buttons["accept"].click()
    drag(viewer, strokes_of(truth == 2)[0][:1] * 2)  # a click on one of them
    wait_until(lambda: not proofread.counts.text().endswith(" 0 px"))
    shoot(viewer, args.out / "proofread", ["dark", "light"])
    measurements = open_dock(viewer, "Measurements")
    wait(1.0)
    measurements.measure.click()
    wait_until(lambda: measurements.save.isVisible() and measurements.save.isEnabled())
    shoot(viewer, args.out / "measurements", ["dark", "light"])


def show_uncertainty(viewer: Any, dock: Any, args: Any) -> None:
    """Show where the model is unsure on the sample with its strokes."""
    dock.empty.buttons["nuclei"].click()
    session = dock.state.session
    wait_until(lambda: session.scores and not session.is_updating)
    viewer.reset_view()
    dock.state.guide.toggle_uncertainty()
    wait_until(lambda: any("uncertainty" in layer.name for layer in viewer.layers))
    wait_until(lambda: not session.is_updating)
    wait(3.0)
    shoot(viewer, args.out / "uncertainty", ["dark"])


def show_error(viewer: Any, dock: Any, args: Any) -> None:
    """Delete an image's file while it is learned from."""
    import dask.array as da
    import tifffile

    from napari_unet.sample import load_sample

    sample = load_sample("nuclei")
    path = args.place / "nuclei.tif"
    tifffile.imwrite(path, sample.image)
    pixels = da.map_blocks(
        lambda: tifffile.imread(path), chunks=sample.image.shape, dtype=np.uint8
    )
    viewer.add_image(pixels, name="nuclei", contrast_limits=(0, 255))
    dock.state.classes.rename_all(sample.class_names)
    prepare(viewer, dock)
    for value in (1, 2):
        paint_class(viewer, dock, sample.truth, value)
    session = dock.state.session
    wait_until(lambda: session.overlay_time_s is not None)
    wait_until(lambda: session.scores and not session.is_updating)
    path.unlink()
    dock.learning.learn.click()
    wait_until(lambda: "could not be read" in session.message)
    wait_until(lambda: "could not be read" in dock.message.text())
    dock.message.setText(session.message.replace(str(args.place), "/data"))
    shoot(viewer, args.out / "error", ["dark"])


def show_settings(viewer: Any, dock: Any, args: Any) -> None:
    """Open the dock Settings."""
    open_sample(viewer, dock, "nuclei")
    open_dock(viewer, "Settings")
    shoot(viewer, args.out / "settings", ["dark"])


SCENES = {
    "loop": show_loop,
    "correct": show_correct,
    "help": show_help,
    "painted-objects": show_painted_objects,
    "tissue": show_tissue,
    "proofread": show_proofread,
    "uncertainty": show_uncertainty,
    "error": show_error,
    "settings": show_settings,
    "large": show_slide,
    "series": show_series,
}

if __name__ == "__main__":
    raise SystemExit(main())
