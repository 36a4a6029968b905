"""The only place that makes threads: runs a job beside the GUI, brings events home.

The worker is a plain thread that never sees a widget, a layer or a Qt object. It puts
events into a mailbox; a timer on the GUI thread takes them out. It is joined on every
way out, because an interpreter that ends while torch runs in a thread aborts.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["Bridge", "Job", "Mailbox", "Worker", "stop_all"]

Job = Callable[[CancelToken], Generator[JobEvent, None, Any]]

POLL_MS = 60
"""The eye does not see a faster status line, and each repaint costs a canvas redraw."""

BUDGET_S = 0.012
"""Time given to events in one turn; the rest waits, so that painting never stutters."""

EXIT_TIMEOUT_S = 60.0
"""A first import of torch from a slow disk takes this long."""

_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


@dataclass(frozen=True)
class Outcome:
    """How a job ended: its result, or the error that left it."""

    result: Any = None
    error: BaseException | None = None


class Mailbox:
    """Thread-safe: keeps all lossless events, and the newest of each lossy type."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[int, JobEvent | Outcome] = {}
        self._newest: dict[type, int] = {}
        self._count = 0

    def put(self, item: JobEvent | Outcome) -> None:
        """Add an event; a lossy one replaces the waiting one of its type."""
        with self._lock:
            self._count += 1
            if isinstance(item, JobEvent) and not item.is_lossless:
                self._items.pop(self._newest.get(type(item), 0), None)
                self._newest[type(item)] = self._count
            self._items[self._count] = item

    def take(self) -> JobEvent | Outcome | None:
        """Remove and return the oldest item, or None when there is none."""
        with self._lock:
            for number in self._items:
                return self._items.pop(number)
        return None

    def __len__(self) -> int:
        return len(self._items)


class Worker:
    """One thread that runs one job; free of Qt, so it can be stopped at any time."""

    def __init__(self, job: Job, after: Worker | None = None) -> None:
        self.mailbox = Mailbox()
        self._job = job
        self._after = after
        self._token = CancelToken()
        self._thread = threading.Thread(
            target=self._run,
            name="napari-unet",
            # not waited for by the interpreter itself, which could not cancel it: the
            # exit handler below cancels and joins instead
            daemon=True,
        )
        _workers.add(self)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask the job to return; does not wait."""
        self._token.cancel()

    def stop(self, timeout_s: float = 20.0) -> bool:
        """Cancel and join; return whether the thread has ended."""
        self._token.cancel()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Whether the job still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        """Iterate the job until it returns, fails or is cancelled."""
        try:
            if self._after is not None:  # two jobs at once would fight for the cores
                self._after.stop(EXIT_TIMEOUT_S)
                self._after = None
            _lower_priority()
            events = self._job(self._token)
            while True:
                self.mailbox.put(next(events))
        except StopIteration as end:
            self.mailbox.put(Outcome(result=end.value))
        except BaseException as error:  # SystemExit too: nothing may vanish here
            self.mailbox.put(Outcome(error=error))


def stop_all() -> None:
    """Cancel every worker, then join each; the last act before the program ends."""
    workers = list(_workers)
    for worker in workers:
        worker.cancel()
    for worker in workers:
        worker.stop(EXIT_TIMEOUT_S)


atexit.register(stop_all)


def _lower_priority() -> None:
    """Give way to the GUI; threads that torch starts later inherit it on Linux."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    elif sys.platform == "win32":
        import ctypes

        below_normal = -1
        kernel = ctypes.windll.kernel32
        kernel.SetThreadPriority(kernel.GetCurrentThread(), below_normal)


class Bridge(QObject):
    """Runs one job at a time on a worker and emits its events on the GUI thread.

    Signals
    -------
    received : JobEvent
    finished : the job's result, after it returned
    failed : the exception that left the job
    drained : after each turn that brought something
    """

    received = Signal(object)
    finished = Signal(object)
    failed = Signal(object)
    drained = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: Worker | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._drain)
        app = QCoreApplication.instance()
        if app is not None and not app.property("napari_unet_stops"):
            app.setProperty("napari_unet_stops", True)
            app.aboutToQuit.connect(stop_all)

    @property
    def worker(self) -> Worker | None:
        """The newest worker; outlives this object on the Qt side."""
        return self._worker

    @property
    def is_running(self) -> bool:
        """Whether a job runs or has events that were not yet emitted."""
        return self._timer.isActive()

    def start(self, job: Job) -> None:
        """Run ``job(token)``; an earlier job is cancelled, its events are dropped."""
        earlier = self._worker
        if earlier is not None:
            earlier.cancel()
        self._worker = Worker(job, after=earlier)
        self._worker.start()
        self._timer.start()

    def cancel(self) -> None:
        """Ask the job to return; its remaining events still come."""
        if self._worker is not None:
            self._worker.cancel()

    def stop(self, timeout_s: float = 20.0) -> bool:
        """Cancel, join and hear no more; return whether the thread has ended."""
        self._timer.stop()
        return self._worker is None or self._worker.stop(timeout_s)

    def left_over(self) -> list[JobEvent]:
        """Take the events of a job that was stopped, which nobody heard."""
        worker, left = self._worker, []
        while worker is not None and (item := worker.mailbox.take()) is not None:
            if isinstance(item, JobEvent):
                left.append(item)
        return left

    def _drain(self) -> None:
        """Emit waiting events, oldest first, for at most ``BUDGET_S``."""
        worker = self._worker
        until = time.perf_counter() + BUDGET_S
        n_taken = 0
        while worker is not None and worker is self._worker and self._timer.isActive():
            item = worker.mailbox.take()
            if item is None:
                break
            n_taken += 1
            if isinstance(item, Outcome):
                self._end(item)
            else:
                self.received.emit(item)
            if time.perf_counter() > until:
                break
        if n_taken:
            self.drained.emit()

    def _end(self, outcome: Outcome) -> None:
        self._timer.stop()
        if self._worker is not None:
            self._worker.stop()
        if outcome.error is not None:
            self.failed.emit(outcome.error)
        else:
            self.finished.emit(outcome.result)
