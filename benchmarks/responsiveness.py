"""How long the window's event loop is kept waiting while the learner works beside it.

A 10 ms timer on the GUI thread notes the gaps between ticks in each phase: idle, the
start of the job (which imports torch), the instant stage after strokes, fine-tuning,
and fine-tuning while strokes are painted with mouse events. Needs a display; under
Linux without one, run it as ``xvfb-run -a -s '-screen 0 1600x1200x24' python ...``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.sample import load_sample
from napari_unet.widgets._open import open_dock
from napari_unet.widgets._state import state_of

TICK_MS = 10


class Gaps:
    """Notes the time between ticks of a precise timer."""

    def __init__(self) -> None:
        self.gaps_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps_ms.append((now - self._last) * 1e3)
        self._last = now

    def during(
        self, seconds: float, action: Any = None, until: Any = None
    ) -> dict[str, float]:
        """Run the event loop for so long, or until a condition holds.

        ``action`` is called again and again.
        """
        self.gaps_ms.clear()
        self._last = time.perf_counter()
        end = self._last + seconds
        while time.perf_counter() < end and not (until is not None and until()):
            if action is not None:
                action()
            QApplication.processEvents()
            time.sleep(0.0005)
        gaps = np.array(self.gaps_ms)
        return {
            "n": len(gaps),
            "p50_ms": float(np.percentile(gaps, 50)),
            "p99_ms": float(np.percentile(gaps, 99)),
            "max_ms": float(gaps.max()),
            "over_50_ms": int((gaps > 50).sum()),
        }


class Painter:
    """Paints with mouse events, a move every 30 ms, round and round."""

    def __init__(self, viewer: Any) -> None:
        self.canvas = viewer.window._qt_viewer.canvas
        self.next_at, self.n = 0.0, 0

    def __call__(self) -> None:
        """Send the next mouse event if its time has come."""
        if time.perf_counter() < self.next_at:
            return
        self.next_at = time.perf_counter() + 0.03
        step = self.n % 40
        angle = self.n / 12
        y, x = 250 + 150 * np.sin(angle), 320 + 200 * np.cos(angle)
        if step == 0:
            self._send(QEvent.Type.MouseButtonPress, y, x)
        elif step == 39:
            self._send(QEvent.Type.MouseButtonRelease, y, x)
        else:
            self._send(QEvent.Type.MouseMove, y, x)
        self.n += 1

    def _send(self, kind: Any, y: float, x: float) -> None:
        widget = self.canvas.native
        place = QPointF(*self.canvas.view.camera.transform.map([x, y])[:2])
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        button = none if kind == QEvent.Type.MouseMove else left
        held = none if kind == QEvent.Type.MouseButtonRelease else left
        event = QMouseEvent(
            kind,
            place,
            QPointF(widget.mapToGlobal(place.toPoint())),
            button,
            held,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(widget, event)


class Strokes:
    """Adds simulated strokes to a layer every 1.5 s, as undoable steps."""

    def __init__(self, layer: Any, truth: np.ndarray) -> None:
        self.layer, self.truth = layer, truth
        self.next_at, self.seed = 0.0, 100

    def __call__(self) -> None:
        """Add strokes if it is time."""
        if time.perf_counter() < self.next_at:
            return
        self.next_at, self.seed = time.perf_counter() + 1.5, self.seed + 1
        new = simulate_strokes(self.truth, 1, seed=self.seed)
        places = np.nonzero((new > 0) & (self.layer.data == 0))
        self.layer.data_setitem(places, new[places])


def measure(seconds: float) -> dict[str, dict[str, float]]:
    """Run all phases in one window and return the gaps of each."""
    sample = load_sample("nuclei")
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.add_image(sample.image, name="nuclei")
    open_dock(viewer, "Interactive segmentation")
    open_dock(viewer, "Learning curves")
    state = state_of(viewer)
    gaps = Gaps()
    gaps.during(3)
    results = {"idle": gaps.during(seconds)}
    assert "torch" not in sys.modules, "opening the docks must not load torch"

    annotation = viewer.add_labels(
        simulate_strokes(sample.truth, 3, seed=0).astype(np.uint8),
        name="nuclei annotation",
    )
    state.book.annotate_in(annotation)
    results["start, torch imported"] = gaps.during(
        90, until=lambda: bool(state.session.shown)
    )
    assert state.session.shown, "no overlay came"

    strokes = Strokes(annotation, sample.truth)
    results["strokes, instant overlay"] = gaps.during(seconds, strokes)
    state.learn(True)
    results["fine-tuning"] = gaps.during(max(seconds, 20))
    viewer.layers.selection.active = annotation
    annotation.mode = "paint"
    results["fine-tuning and painting"] = gaps.during(seconds, Painter(viewer))
    steps = state.session.step
    state.learn(False)
    gaps.during(1)
    annotation.undo()
    results["painting alone"] = gaps.during(seconds, Painter(viewer))
    assert steps > 0, "fine-tuning did no step"
    viewer.close()
    return results


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="per phase")
    parser.add_argument(
        "--pyramid",
        type=int,
        metavar="PX",
        help="with a zarr pyramid of this side instead of the sample, and its whole "
        "prediction into a store",
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    if args.pyramid is None:
        results = measure(args.seconds)
    else:
        from _pyramid import measure_pyramid

        results = measure_pyramid(args.pyramid, args.seconds)
    has_strokes = any("paint_p50_ms" in row for row in results.values())
    head = ["phase", "ticks", "p50 ms", "p99 ms", "max ms", "gaps > 50 ms"]
    head += ["stroke seen after, p50 / p99 ms"] * has_strokes
    print(f"| {' | '.join(head)} |")
    print("|---" * len(head) + "|")
    for phase, row in results.items():
        cells = [phase, f"{row['n']:.0f}", f"{row['p50_ms']:.1f}"]
        cells += [f"{row['p99_ms']:.1f}", f"{row['max_ms']:.0f}"]
        cells += [f"{row['over_50_ms']:.0f}"]
        if has_strokes:
            seen = [f"{row[n]:.0f}" for n in row if n.startswith("paint_")]
            cells.append(" / ".join(seen))
        print(f"| {' | '.join(cells)} |")
    if args.out:
        args.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
