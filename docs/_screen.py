"""Paint with the mouse, wait, and take pictures, for `make_screenshots.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WINDOW_PX = (1280, 800)
STROKES_PER_CLASS = 4
LIMIT_S = 1200
"""What takes a second takes minutes on a busy machine."""


def open_sample(
    viewer: Any, dock: Any, name: str, is_prepared: bool = True
) -> NDArray[Any]:
    """Open a sample's image, without its strokes; return its class map."""
    from napari_unet.sample import load_sample

    sample = load_sample(name)
    viewer.add_image(sample.image, name=name, rgb=sample.image.ndim == 3)
    dock.state.classes.rename_all(sample.class_names)
    if is_prepared:
        prepare(viewer, dock)
    return sample.truth


def prepare(viewer: Any, dock: Any) -> None:
    """Make a layer to paint into, and see all of the image."""
    wait(0.5)
    dock.layers.new.click()
    viewer.reset_view()
    wait(1.0)


def paint_class(viewer: Any, dock: Any, truth: NDArray[Any], value: int) -> None:
    """Paint some strokes of a class where it is."""
    dock.state.brush.select(value)
    for stroke in strokes_of(truth == value):
        drag(viewer, stroke)
        wait(0.2)


def read(path: Path) -> NDArray[Any]:
    """Read an image file."""
    from napari_unet.cli._read import read_image

    return np.asarray(read_image(path).array)


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


def drag_over(viewer: Any, brush_px: int, area: NDArray[np.bool_]) -> None:
    """Paint an area with the brush, row by row, back and forth."""
    from scipy import ndimage

    inner = ndimage.binary_erosion(area, iterations=max(1, brush_px // 2 - 1))
    inner = inner if inner.any() else area
    filled = np.flatnonzero(inner.any(axis=1))
    points: list[tuple[float, float]] = []
    for count, row in enumerate([*filled[:: max(1, brush_px // 2)], filled[-1]]):
        columns = np.flatnonzero(inner[row])
        ends = [(float(row), float(columns[0])), (float(row), float(columns[-1]))]
        points.extend(ends[:: 1 if count % 2 == 0 else -1])
    drag(viewer, points)


def open_dock(viewer: Any, title: str) -> Any:
    """Open one of the plugin's docks and return its widget."""
    from napari_unet.widgets._open import open_dock as open_it

    return open_it(viewer, title)


def shoot(
    viewer: Any,
    path: Path,
    themes: Sequence[str] = ("dark", "light"),
    is_whole_screen: bool = False,
) -> None:
    """Save the window in each theme; of the whole screen also what lies over it."""
    for theme in themes:
        viewer.theme = theme
        viewer.window.resize(*WINDOW_PX)
        wait(2.0)  # until the docks have the height that they need
        target = path.with_name(f"{path.name}-{theme}.png")
        pixels = screen(viewer) if is_whole_screen else window(viewer)
        # as good to the eye, and a third of the size
        reduced = Image.fromarray(pixels[..., :3]).quantize(
            256, dither=Image.Dither.NONE
        )
        reduced.save(target, optimize=True)
        height, width = pixels.shape[:2]
        print(
            f"{target} ({width} x {height} px, {target.stat().st_size / 1000:.0f} kB)"
        )


def window(viewer: Any) -> NDArray[np.uint8]:
    """Return what the window shows."""
    return np.asarray(viewer.screenshot(canvas_only=False, flash=False))


def screen(viewer: Any) -> NDArray[np.uint8]:
    """Return what the screen shows where the window is: also pages that lie over it."""
    from qtpy.QtGui import QImage
    from qtpy.QtWidgets import QApplication

    frame = viewer.window._qt_window.geometry()
    grabbed = QApplication.primaryScreen().grabWindow(0, *frame.getRect())
    picture = grabbed.toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    memory = picture.constBits().asarray(picture.sizeInBytes())
    return np.array(memory, np.uint8).reshape(picture.height(), picture.width(), 4)


def wait(seconds: float) -> None:
    """Let napari run for a while."""
    from qtpy.QtTest import QTest

    QTest.qWait(round(seconds * 1000))


def wait_until(is_so: Callable[[], Any]) -> None:
    """Let napari run until something is so.

    Raises
    ------
    TimeoutError
        If it is not so for 20 minutes.
    """
    until = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError("not reached within 20 minutes")
        wait(0.05)
