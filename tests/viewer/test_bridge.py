"""The only thread: order, loss where allowed, errors, and joining."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from napari_unet.jobs import Notice, Progress
from napari_unet.widgets._bridge import BUDGET_S, Bridge, Mailbox, Worker, stop_all


@pytest.fixture
def bridge(qtbot):
    """A bridge that records what it emits."""
    made = Bridge()
    made.events, made.errors, made.results = [], [], []
    made.received.connect(made.events.append)
    made.failed.connect(made.errors.append)
    made.finished.connect(made.results.append)
    yield made
    made.stop()


def test_mailbox_keeps_every_lossless_event_and_the_newest_lossy_one():
    box = Mailbox()
    box.put(Notice("a"))
    for done in range(5):
        box.put(Progress(done, 5))
    box.put(Notice("b"))
    box.put(Progress(5, 5))
    taken = [box.take() for _ in range(len(box))]
    assert taken == [Notice("a"), Notice("b"), Progress(5, 5)]
    assert box.take() is None


def test_every_event_and_the_result_arrive_in_order(bridge, qtbot):
    def job(token):
        for number in range(300):
            yield Notice(str(number))
        return "done"

    bridge.start(job)
    qtbot.waitUntil(lambda: bridge.results == ["done"])
    assert [e.message for e in bridge.events] == [str(n) for n in range(300)]
    assert not bridge.is_running
    assert not bridge.worker.is_alive


@pytest.mark.parametrize("error", [RuntimeError("CUDA"), KeyError(1), SystemExit(3)])
def test_no_error_vanishes(bridge, qtbot, error):
    def job(token):
        yield Notice("before")
        raise error

    bridge.start(job)
    qtbot.waitUntil(lambda: bridge.errors == [error])
    assert [e.message for e in bridge.events] == ["before"]
    assert bridge.results == []


def test_jobs_run_on_another_thread_with_lower_priority(bridge, qtbot):
    seen = []

    def job(token):
        seen.append(threading.current_thread())
        if sys.platform == "linux":
            thread_id = threading.get_native_id()
            seen.append(os.getpriority(os.PRIO_PROCESS, thread_id))
        yield from ()

    base = os.getpriority(os.PRIO_PROCESS, 0) if sys.platform == "linux" else 0
    bridge.start(job)
    qtbot.waitUntil(lambda: len(bridge.results) == 1)
    assert seen[0] is not threading.main_thread()
    if sys.platform == "linux":
        assert seen[1] >= max(base, 10)
        assert os.getpriority(os.PRIO_PROCESS, 0) == base


def test_stop_joins_and_drops_what_is_left(bridge, qtbot):
    def job(token):
        while not token.cancelled:
            yield Progress(0, 1)
        yield Notice("the end")

    bridge.start(job)
    qtbot.waitUntil(lambda: len(bridge.events) > 2)
    n_events = len(bridge.events)
    assert bridge.stop()
    assert len(bridge.worker.mailbox) >= 2  # the notice and the result
    assert not bridge.is_running
    bridge._drain()
    assert len(bridge.events) == n_events
    assert bridge.results == []


def test_a_second_job_waits_for_the_first(bridge, qtbot):
    log = []

    def job(name):
        def run(token):
            log.append(f"{name} starts")
            while name == "first" and not token.cancelled:
                yield Progress(0, 1)
            log.append(f"{name} ends")

        return run

    bridge.start(job("first"))
    qtbot.waitUntil(lambda: log == ["first starts"])
    bridge.start(job("second"))
    qtbot.waitUntil(lambda: len(bridge.results) == 1)
    assert log == ["first starts", "first ends", "second starts", "second ends"]


def test_a_flood_of_events_leaves_the_gui_its_turns(bridge, qtbot, monkeypatch):
    done = threading.Event()

    def job(token):
        for number in range(500):
            yield Notice(str(number))
        done.set()

    now = [0.0]

    def take_a_millisecond(_event):
        now[0] += 0.001

    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("napari_unet.widgets._bridge.time", clock)
    bridge.received.connect(take_a_millisecond)
    bridge.start(job)
    assert done.wait(10)  # nothing is taken meanwhile: this is the GUI's thread
    bridge._drain()
    n_taken = len(bridge.events)
    assert BUDGET_S <= n_taken * 0.001 <= 2 * BUDGET_S
    qtbot.waitUntil(lambda: len(bridge.results) == 1, timeout=20_000)
    assert [e.message for e in bridge.events] == [str(n) for n in range(500)]


def test_stop_all_ends_every_worker():
    def job(token):
        while not token.cancelled:
            yield Progress(0, 1)

    workers = [Worker(job) for _ in range(2)]
    for worker in workers:
        worker.start()
    stop_all()
    assert not any(worker.is_alive for worker in workers)


def test_interpreter_with_a_running_worker_exits_cleanly():
    code = (
        "from napari_unet.jobs import Progress\n"
        "from napari_unet.widgets._bridge import Worker\n"
        "def job(token):\n"
        "    while not token.cancelled:\n"
        "        yield Progress(0, 1)\n"
        "    print('left')\n"
        "Worker(job).start()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "left"
