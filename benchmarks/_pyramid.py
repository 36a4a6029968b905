"""Phases of `responsiveness.py` on an image that is larger than memory would hold."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
import zarr
from qtpy.QtCore import QEvent
from responsiveness import Gaps, Painter

from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.sample import load_sample
from napari_unet.widgets._open import open_dock
from napari_unet.widgets._state import state_of

CHUNK_PX = 512
FILLED_PX = 4096
"""Only a corner has pixels, so that the image takes little disk."""


def make_pyramid(folder: Path, side_px: int) -> list[Any]:
    """Make a sparse zarr pyramid, tiled with the sample in its first corner."""
    group = zarr.create_group(folder / "slide.zarr")
    image = load_sample("nuclei").image
    n_px = min(FILLED_PX, side_px)
    n_tiles = -(-n_px // min(image.shape))
    filled = np.tile(image, (n_tiles, n_tiles))[:n_px, :n_px]
    levels: list[Any] = []
    while not levels or side_px // 2 ** (len(levels) - 1) > CHUNK_PX:
        step = 2 ** len(levels)
        part = filled[::step, ::step]
        level = group.create_array(
            str(len(levels)),
            shape=(-(-side_px // step),) * 2,
            chunks=(CHUNK_PX, CHUNK_PX),
            dtype=image.dtype,
        )
        level[: part.shape[0], : part.shape[1]] = part
        levels.append(level)
    return levels


class Latency(Painter):
    """Paints, and notes the time from each mouse event to the next drawing."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer)
        self.ms: list[float] = []
        self._sent: float | None = None
        self.canvas._scene_canvas.events.draw.connect(self._on_draw, position="last")

    def _send(self, kind: Any, y: float, x: float) -> None:
        if kind == QEvent.Type.MouseMove and self._sent is None:
            self._sent = time.perf_counter()
        super()._send(kind, y, x)

    def _on_draw(self, _event: Any) -> None:
        if self._sent is not None:
            self.ms.append((time.perf_counter() - self._sent) * 1e3)
            self._sent = None

    def summary(self) -> dict[str, float]:
        """Return how long a stroke takes to be seen, and begin anew."""
        found, self.ms, self._sent = np.array(self.ms), [], None
        if not len(found):
            return {}
        p50, p99 = np.percentile(found, (50, 99))
        return {"paint_p50_ms": float(p50), "paint_p99_ms": float(p99)}


def measure_pyramid(side_px: int, seconds: float) -> dict[str, dict[str, float]]:
    """Run the phases with a pyramid of this side, and return the gaps of each."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder), side_px, seconds)


def _measure(folder: Path, side_px: int, seconds: float) -> dict[str, dict[str, float]]:
    sample = load_sample("nuclei")
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.add_image(make_pyramid(folder, side_px), multiscale=True, name="slide")
    open_dock(viewer, "Interactive segmentation")
    state, gaps, results = state_of(viewer), Gaps(), {}
    annotation = state.book.new_annotation()
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 260, 320), 1.0
    gaps.during(3)
    results["idle"] = gaps.during(seconds)
    strokes = simulate_strokes(sample.truth, 3, seed=0)
    places = np.nonzero(strokes)
    annotation.data_setitem(places, strokes[places])
    results["start, torch imported"] = gaps.during(
        600, until=lambda: bool(state.session.shown)
    )
    assert state.session.shown, "no overlay came"
    gaps.during(300, until=lambda: not state.session.is_updating)
    painter = Latency(viewer)

    def paint(phase: str) -> None:
        viewer.layers.selection.active, annotation.mode = annotation, "paint"
        painter.summary()
        results[phase] = gaps.during(seconds, painter)
        results[phase] |= painter.summary()

    paint("painting alone")
    state.learn(True)
    gaps.during(300, until=lambda: state.session.step > 0)
    results["fine-tuning"] = gaps.during(seconds)
    paint("fine-tuning and painting")
    state.learn(False)
    gaps.during(2)
    state.stored.folder = folder
    entry = state.book.current
    state.stored.place(entry, folder / "labels.zarr")
    state.predict_all()
    results["whole image begins"] = gaps.during(
        600, until=lambda: entry.stored is not None
    )
    assert entry.stored is not None, "no tile came"
    results["predicting whole"] = gaps.during(max(seconds, 20))
    paint("predicting whole and painting")
    viewer.reset_view()
    results["predicting whole, all in sight"] = gaps.during(max(seconds, 20))
    stored = state.stored.of(entry)
    print(f"{stored.n_done} of {stored.n_tiles} tiles, {stored.phase}")
    viewer.close()
    return results
