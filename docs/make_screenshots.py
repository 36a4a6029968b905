"""Make the pictures of the documentation by running the real program.

Opens napari, paints strokes with real mouse events, waits for the overlay, learns for a
while, and saves the window at 1280 x 800 in the dark and in the light theme::

    xvfb-run -a -s "-screen 0 1600x1200x24" python docs/make_screenshots.py
    python docs/make_screenshots.py --image cells.tif --annotation truth.tif
    python docs/make_screenshots.py --large
    python docs/make_screenshots.py --series
    python docs/make_screenshots.py --volume --image stack.tif --annotation objects.tif
    python docs/make_screenshots.py --project images/ labels/

Without ``--image`` it takes the sample. With an image of your own, ``--annotation``
names a class map (1 background, 2 and up the classes) along which it paints.
``--large`` only makes the picture of a slide of 20480 x 4096 px, with the sample over
and over in its upper part, whose whole prediction is under way; ``--series`` only that
of a time series, the sample that drifts; ``--volume`` only that of a z stack in 3D,
painted along what is not 0 in ``--annotation``; ``--project`` only those of the dock
*Project*, with the images of a folder and label images of the same names (0
background) in another.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STROKES_PER_CLASS = 4
WINDOW_PX = (1280, 800)
SLIDE_PX = (20480, 4096)
N_TIMES = 9
DRIFT_PX = 6
"""How far the sample moves from one time point to the next."""


def main() -> int:
    """Run napari, work with it as a person would, and save what it looks like."""
    args = parse()
    import napari
    from napari.utils.theme import available_themes

    assert {"dark", "light"} <= set(available_themes())
    viewer = napari.Viewer(title="napari-unet")
    viewer.theme = "dark"
    viewer.window.resize(*WINDOW_PX)
    dock = open_dock(viewer, "Interactive segmentation")
    wait(0.5)
    if args.large:
        with tempfile.TemporaryDirectory() as folder:
            predict_slide(viewer, dock, Path(folder), args)
            viewer.close()
        return 0
    if args.volume or args.series:
        predict_stack(viewer, dock, args)
        viewer.close()
        return 0
    if args.project:
        show_project(viewer, dock, args)
        return 0
    shoot(viewer, args.out, "start", args.themes)
    image, truth, names = load(args)
    viewer.add_image(image, name=args.name, rgb=image.ndim == 3)
    dock.state.classes.rename_all(names)
    wait(0.5)
    dock.layers.new.click()
    viewer.reset_view()
    wait(1.0)
    for value in sorted(int(v) for v in np.unique(truth) if v):
        dock.state.brush.select(value)
        for stroke in strokes_of(truth == value):
            drag(viewer, stroke)
            wait(0.2)
    session = dock.state.session
    started = time.monotonic()
    wait_until(lambda: session.overlay_time_s is not None, 120)
    print(f"first overlay {time.monotonic() - started:.1f} s after the last stroke")
    open_dock(viewer, "Learning curves")
    dock.learning.learn.click()
    wait_until(lambda: session.seconds >= args.seconds, args.seconds * 4 + 60)
    for name, score in sorted(session.scores.items()):
        print(f"{name:20s} {score.text or 'no score'}")
    print(f"showing {session.shown} after {session.step} steps")
    shoot(viewer, args.out, "learning", args.themes)
    dock.learning.learn.click()
    dock.overlay.objects.objects.click()
    dock.overlay.predict.click()
    wait_until(lambda: dock.state.book.current.has_all_objects, 120)
    print(f"{session.n_objects} objects")
    shoot(viewer, args.out, "objects", args.themes)
    dock.border_weights.show()
    name = f"{args.name} border weights"
    wait_until(lambda: name in viewer.layers, 60)
    shoot(viewer, args.out, "border-weights", ["dark"])
    viewer.layers.remove(name)
    export(viewer, args.out)
    viewer.close()
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, help="image to segment (TIFF, PNG)")
    parser.add_argument("--annotation", type=Path, help="its class map")
    parser.add_argument("--sample", default="nuclei", help="sample, without --image")
    parser.add_argument("--seconds", type=float, default=30.0, help="of learning")
    parser.add_argument("--large", action="store_true", help="the slide, only that")
    parser.add_argument("--series", action="store_true", help="that, and no other")
    parser.add_argument("--volume", action="store_true", help="that, and no other")
    parser.add_argument(
        "--voxel", type=float, nargs=3, default=(1, 1, 1), help="its size (z y x)"
    )
    parser.add_argument(
        "--project", type=Path, nargs=2, help="folders of images and of their labels"
    )
    parser.add_argument("--themes", nargs="+", default=["dark", "light"])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "images", help="folder"
    )
    args = parser.parse_args()
    if (args.image is None) != (args.annotation is None):
        parser.error("--image and --annotation go together")
    args.name = args.image.stem if args.image else args.sample
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def load(args: argparse.Namespace) -> tuple[Any, NDArray[Any], dict[int, str]]:
    """Return the image, its class map and the class names."""
    if args.image is not None:
        from napari_unet.cli._read import read_image

        image = read_image(args.image).array
        return image, np.asarray(read_image(args.annotation).array), {}
    from napari_unet.sample import load_sample

    sample = load_sample(args.sample)
    return sample.image, sample.truth, sample.class_names


def predict_slide(viewer: Any, dock: Any, folder: Path, args: Any) -> None:
    """Predict a large slide into a store, and save what that looks like half way."""
    image, truth, names = load(args)
    viewer.add_image(make_slide(folder, image), name="slide", multiscale=True)
    dock.state.classes.rename_all(names)
    wait(0.5)
    dock.layers.new.click()
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 256, 256), 1.2
    wait(2.0)
    for value in sorted(int(v) for v in np.unique(truth) if v):
        dock.state.brush.select(value)
        for stroke in strokes_of(truth == value):
            drag(viewer, stroke)
            wait(0.2)
    wait_until(lambda: dock.state.session.overlay_time_s is not None, 120)
    wait_until(lambda: not dock.state.session.is_updating, 60)
    dock.overlay.live.click()  # or all that is in sight is predicted before
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 2048, 2048), 0.145
    entry = dock.state.book.current
    dock.state.stored.place(entry, folder / "slide-labels.zarr")
    dock.overlay.predict.click()
    # two rows of tiles, and half of the next
    wait_until(lambda: dock.state.stored.of(entry).n_done >= 10, 1800)
    wait(1.5)
    shoot(viewer, args.out, "large", ["dark"])


def predict_stack(viewer: Any, dock: Any, args: Any) -> None:
    """Find the objects of a stack, and save it in 3D, or at a time point half way."""
    stack, truth, names = load_stack(args)
    axes, scale = ("zyx", args.voxel) if args.volume else ("tyx", (1, 1, 1))
    viewer.add_image(stack, name=args.name, axis_labels=tuple(axes), scale=scale)
    dock.state.classes.rename_all(names)
    wait(0.5)
    dock.layers.new.click()
    sizes = (truth == 2).sum((1, 2))
    middle = int(sizes.argmax()) if args.volume else len(stack) // 2
    for index in (middle, middle + 2):
        viewer.dims.set_current_step(0, index)
        viewer.reset_view()
        wait(1.0)
        for value in (1, 2):
            dock.state.brush.select(value)
            for stroke in strokes_of(truth[index] == value):
                drag(viewer, stroke)
                wait(0.2)
    wait_until(lambda: dock.state.session.overlay_time_s is not None, 300)
    dock.overlay.objects.objects.click()
    dock.overlay.predict.click()
    wait_until(lambda: dock.state.book.current.has_all_objects, 600)
    print(f"{dock.state.session.n_objects} objects")
    viewer.dims.set_current_step(0, middle)
    viewer.layers.selection.active = viewer.layers[args.name]
    if args.volume:
        dock.state.book.current.annotation.visible = False
        viewer.dims.ndisplay = 3
        viewer.reset_view()
        viewer.scene.camera.angles = (10, 20, 100)
    shoot(viewer, args.out, "volume" if args.volume else "series", ["dark"])


def load_stack(args: Any) -> tuple[NDArray[Any], NDArray[Any], dict[int, str]]:
    """Return a stack, its classes (1 background, 2 objects), and their names."""
    image, truth, names = load(args)
    if args.volume:
        return np.asarray(image), np.where(truth > 0, 2, 1), {2: "nucleus"}
    rng, shifts = np.random.default_rng(0), DRIFT_PX * np.arange(N_TIMES)
    noise = rng.normal(0, 4, (N_TIMES, *image.shape))
    series = np.stack([np.roll(image, n, axis=1) for n in shifts]) + noise
    truth = np.stack([np.roll(truth, n, axis=1) for n in shifts])
    return np.clip(series, 0, 255).astype(np.uint8), truth, names


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


def show_project(viewer: Any, dock: Any, args: argparse.Namespace) -> None:
    """Make a project, paint on a few of its images, learn twice, and take pictures."""
    import tempfile

    from napari_unet.cli._read import read_image

    state, (images, labels) = dock.state, args.project
    project = open_dock(viewer, "Project")
    with tempfile.TemporaryDirectory() as place:
        project.make_project(Path(place) / "nuclei")
        wait_until(lambda: state.project.is_named, 60)
        project.images.add_wanted.emit(sorted(images.iterdir())[:12])
        wait_until(lambda: len(project.images.rows) > 0, 60)
        for count in range(4):
            before = state.opener.current
            project.images.next.click()
            wait_until(lambda before=before: state.opener.current != before, 120)
            wait_until(lambda: state.book.current.annotation is not None, 120)
            wait(1.0)
            name = Path(state.book.current.image.source.path).name
            truth = (np.asarray(read_image(labels / name).array) > 0) + 1
            for value in (1, 2):
                state.brush.select(value)
                for stroke in strokes_of(truth == value):
                    drag(viewer, stroke)
                    wait(0.2)
            if count < 2:
                state.opener.toggle_done()
        for n_rounds in (1, 2):
            until = state.session.seconds + args.seconds / 2
            dock.learning.learn.click()
            wait_until(lambda until=until: state.session.seconds >= until, 600)
            dock.learning.learn.click()
            wait_until(lambda n=n_rounds: len(project.rounds.list.rows) >= n, 120)
        project.head.folder.setText("/data/nuclei.unet-project")
        shoot(viewer, args.out, "project", args.themes)
        viewer.close()


def strokes_of(area: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Return short strokes (row, column) well inside an area, far from each other."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
    depth = np.minimum(depth, 12)  # the broadest place is not the only good one
    rng = np.random.default_rng(1)
    strokes: list[list[tuple[float, float]]] = []
    for _ in range(STROKES_PER_CLASS):
        flat = np.flatnonzero(depth >= 0.75 * depth.max())
        row, column = np.unravel_index(rng.choice(flat), depth.shape)
        reach = max(2.0, depth[row, column] * 0.6)
        angle = rng.uniform(0, np.pi)
        steps = np.linspace(-reach, reach, 6)
        points = [(row + s * np.sin(angle), column + s * np.cos(angle)) for s in steps]
        strokes.append(points)
        rows, columns = np.ogrid[: area.shape[0], : area.shape[1]]
        away = np.hypot(rows - row, columns - column)
        depth = np.where(away < min(area.shape) / 3, 0, depth)
        if not depth.any():
            break
    return strokes


def drag(viewer: Any, points: list[tuple[float, float]]) -> None:
    """Drag the left mouse button over the canvas along points (row, column) in px."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    canvas = viewer.window._qt_viewer.canvas
    widget, kinds = canvas.native, QEvent.Type
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    places = [QPointF(*canvas.view.camera.transform.map([x, y])[:2]) for y, x in points]

    def send(kind: Any, place: Any, changed: Any, held: Any) -> None:
        on_screen = QPointF(widget.mapToGlobal(place.toPoint()))
        modifier = Qt.KeyboardModifier.NoModifier
        event = QMouseEvent(kind, place, on_screen, changed, held, modifier)
        QApplication.sendEvent(widget, event)

    send(kinds.MouseMove, places[0], none, none)
    send(kinds.MouseButtonPress, places[0], left, left)
    for place in places[1:]:
        wait(0.03)  # the canvas drops moves that come faster
        send(kinds.MouseMove, place, none, left)
    send(kinds.MouseButtonRelease, places[-1], left, none)


def export(viewer: Any, out: Path) -> None:
    """Export the labels from the dock, and say where they went."""
    dock = open_dock(viewer, "Export labels")
    dock.form.path.setText(str(out / "labels.tif"))
    dock.export.click()
    wait_until(lambda: "Saved" in dock.result.text(), 30)
    print(dock.result.text())
    shoot(viewer, out, "export", ["dark"])
    (out / "labels.tif").unlink()


def open_dock(viewer: Any, title: str) -> Any:
    """Open one of the plugin's docks and return its widget."""
    from napari_unet.widgets._open import open_dock as open_it

    return open_it(viewer, title)


def shoot(viewer: Any, out: Path, name: str, themes: list[str]) -> None:
    """Save the window in each theme."""
    for theme in themes:
        viewer.theme = theme
        viewer.window.resize(*WINDOW_PX)
        wait(0.8)
        path = out / f"{name}-{theme}.png"
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        print(path)


def wait(seconds: float) -> None:
    """Let napari run for a while."""
    from qtpy.QtTest import QTest

    QTest.qWait(round(seconds * 1000))


def wait_until(is_so: Callable[[], bool], limit_s: float) -> None:
    """Let napari run until something is so.

    Raises
    ------
    TimeoutError
        If it is not so after ``limit_s`` seconds.
    """
    until = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"not reached within {limit_s:.0f} s")
        wait(0.05)


if __name__ == "__main__":
    raise SystemExit(main())
