"""Two hours of work in a quarter of one: what breaks, leaks or stutters.

    xvfb-run -a -s '-screen 0 1600x1200x24' python benchmarks/soak.py --minutes 15

Strokes by mouse, undo, panning, learning and pausing, whole predictions and Stop, other
images and the mode of objects, in an order that the seed decides. It is looked for
exceptions, threads that are left, memory, and how long the event loop is kept waiting.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _scene import Scene, turn, wait, worker_threads
from napari.utils.notifications import NotificationSeverity, notification_manager
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication
from responsiveness import Gaps

from napari_unet.sample import load_sample

PAUSE_S = 0.6
"""Between two things that she does: about eight times as fast as a person."""
WARM_UP_S = 90.0
SAMPLE_S = 2.0


class Hand:
    """Does what a person does, at random."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene, self.state, self.viewer = scene, scene.state, scene.viewer
        self.rng = np.random.default_rng(seed)
        sample = load_sample("nuclei")
        self.truths = {
            "nuclei": scene.truth,
            "whole": sample.truth,
            "stack": sample.truth[200:296, 200:328],
        }
        self.viewer.add_image(sample.image, name="whole")
        stack = np.stack([sample.image[200:296, 200:328]] * 4)
        self.viewer.add_image(stack, name="stack")
        self.actions: dict[str, tuple[float, Callable[[], None]]] = {
            "stroke": (40, self.stroke),
            "undo": (6, self.undo),
            "pan or zoom": (20, self.pan),
            "another plane": (3, self.step),
            "learn": (12, lambda: self.state.learn(True)),
            "pause": (3, lambda: self.state.learn(False)),
            "update now": (4, self.state.update_now),
            "whole image": (3, self.state.predict_all),
            "stop": (4, self.state.stop),
            "another image": (5, self.switch_image),
            "another mode": (2, self.switch_mode),
            "erase all": (1, self.erase),
            "start over": (1, self.state.start_over),
        }

    def act(self) -> str:
        """Do one thing, and return what."""
        weights = np.array([weight for weight, _ in self.actions.values()])
        name = str(self.rng.choice(list(self.actions), p=weights / weights.sum()))
        self.actions[name][1]()
        return name

    @property
    def entry(self) -> Any:
        """The image that is worked on."""
        return self.state.book.current

    def stroke(self) -> None:
        """Drag the mouse, with the class of the place where it begins."""
        layer = self.scene.layer or self.state.book.new_annotation()
        self.viewer.layers.selection.active = layer
        truth = self.truths[self.entry.image.name]
        start = self.rng.uniform(8, np.array(truth.shape) - 8)
        value = int(truth[tuple(start.astype(int))])
        if self.state.mode == "objects" and value > 1:
            value = int(layer.data.max()) + 1
        layer.selected_label, layer.mode = max(value, 1), "paint"
        turned = self.rng.uniform(0, 2 * np.pi)
        direction = np.array([np.sin(turned), np.cos(turned)])
        points = [start + step * direction for step in np.linspace(0, 8, 6)]
        send, kinds = self._send, QEvent.Type
        send(kinds.MouseButtonPress, points[0])
        for point in points[1:]:
            turn(0.02)
            send(kinds.MouseMove, point)
        send(kinds.MouseButtonRelease, points[-1])

    def _send(self, kind: Any, point: np.ndarray) -> None:
        canvas = self.viewer.window._qt_viewer.canvas
        y, x = point
        place = QPointF(*canvas.view.camera.transform.map([x, y])[:2])
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        button = none if kind == QEvent.Type.MouseMove else left
        held = none if kind == QEvent.Type.MouseButtonRelease else left
        on_screen = QPointF(canvas.native.mapToGlobal(place.toPoint()))
        modifier = Qt.KeyboardModifier.NoModifier
        event = QMouseEvent(kind, place, on_screen, button, held, modifier)
        QApplication.sendEvent(canvas.native, event)

    def undo(self) -> None:
        """Take a stroke back."""
        if self.scene.layer is not None:
            self.scene.layer.undo()

    def erase(self) -> None:
        """Erase all strokes of an image."""
        layer = self.scene.layer
        if layer is not None and layer.data.any():
            layer.data_setitem(np.nonzero(layer.data), 0)

    def pan(self) -> None:
        """Look elsewhere, in a moment's steps."""
        camera = self.viewer.camera
        shape = self.truths[self.entry.image.name].shape
        camera.zoom = float(self.rng.uniform(1, 5))
        for _ in range(5):
            camera.center = (0, *self.rng.uniform(0.2, 0.8, 2) * shape)
            turn(0.03)

    def step(self) -> None:
        """Look at another plane, where there are some."""
        if self.viewer.dims.ndim == 3:
            self.viewer.dims.set_current_step(0, int(self.rng.integers(4)))

    def switch_image(self) -> None:
        """Work on another image."""
        layer = self.viewer.layers[str(self.rng.choice(list(self.truths)))]
        self.viewer.layers.selection.active = layer

    def switch_mode(self) -> None:
        """Paint objects for a while, or strokes again."""
        self.state.set_mode("strokes" if self.state.mode == "objects" else "objects")


class Faults:
    """Notes what went wrong, as napari hears of it, and what was said."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.said: Counter[str] = Counter()
        notification_manager.notification_ready.connect(self._note)

    def _note(self, notification: Any) -> None:
        if notification.severity >= NotificationSeverity.ERROR:
            self.errors.append(str(notification.message))
        else:
            self.said[str(notification.message)] += 1


class Watch:
    """Notes where the window's thread is when it has not come back for a second."""

    def __init__(self, gaps: Gaps) -> None:
        self.places: Counter[str] = Counter()
        self._gaps, self._main = gaps, threading.main_thread().ident
        self._until = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._until.set()
        self._thread.join()

    def _run(self) -> None:
        n_seen = -1
        while not self._until.wait(1.0):
            if len(self._gaps.gaps_ms) == n_seen:
                frame = sys._current_frames().get(self._main or 0)
                stack = traceback.extract_stack(frame)
                ours = [f for f in stack if "napari_unet" in f.filename] or stack
                names = [f"{Path(f.filename).name}:{f.lineno}" for f in ours[-1:]]
                names += [f"{Path(f.filename).name}:{f.lineno}" for f in stack[-3:]]
                self.places[" ... ".join(names)] += 1
            n_seen = len(self._gaps.gaps_ms)


def rss_mb() -> float:
    """Return the memory of this process that is in use."""
    text = Path("/proc/self/statm").read_text()
    return int(text.split()[1]) * 4096 / 1e6


def soak(minutes: float, seed: int, folder: Path) -> dict[str, Any]:
    """Work for some minutes; return what was found."""
    faults, scene = Faults(), Scene(folder, show=True)
    hand = Hand(scene, seed)
    wait(lambda: scene.session.score is not None)
    gaps, done = Gaps(), Counter[str]()
    watch = Watch(gaps)
    memory: list[tuple[float, float]] = []
    longest: defaultdict[str, float] = defaultdict(float)
    started = time.monotonic()
    n_steps, before = 0, scene.session.step
    while (now := time.monotonic() - started) < 60 * minutes:
        n_before = len(gaps.gaps_ms)
        action = hand.act()
        done[action] += 1
        if scene.session.phase == "failed":
            faults.errors.append(scene.session.message)
        turn(PAUSE_S)
        longest[action] = max(longest[action], *gaps.gaps_ms[n_before:], 0.0)
        n_steps += max(0, scene.session.step - before)
        before = scene.session.step
        if not memory or now - memory[-1][0] >= SAMPLE_S:
            memory.append((now, rss_mb()))
    watch.stop()
    scene.state.stop()
    turn(1)
    scene.close()
    has_ended = wait(lambda: not worker_threads(), 30)
    warm = np.array([mb for s, mb in memory if s >= min(WARM_UP_S, 20 * minutes)])
    third = max(1, len(warm) // 3)
    waits = np.array(gaps.gaps_ms)
    return {
        "minutes": round((time.monotonic() - started) / 60, 1),
        "done": dict(done.most_common()),
        "n_steps": n_steps,
        "errors": faults.errors,
        "said": dict(faults.said.most_common()),
        "is_thread_left": not has_ended,
        "rss_mb": {
            "first_third": round(float(np.median(warm[:third]))),
            "last_third": round(float(np.median(warm[-third:]))),
            "max": round(float(warm.max())),
        },
        "gaps_ms": {
            "n": len(waits),
            "p50": round(float(np.percentile(waits, 50)), 1),
            "p99": round(float(np.percentile(waits, 99)), 1),
            "max": round(float(waits.max())),
            "n_over_100": int((waits > 100).sum()),
            "seconds_at": dict(watch.places.most_common(12)),
            "max_after": {name: round(longest[name]) for name in sorted(longest)},
        },
    }


def main() -> int:
    """Work, print and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "soak.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = soak(args.minutes, args.seed, Path(folder))
    text = json.dumps(record, indent=1)
    args.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(bool(record["errors"]) or record["is_thread_left"])


if __name__ == "__main__":
    sys.exit(main())
