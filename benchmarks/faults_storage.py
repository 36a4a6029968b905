"""What is left of a project when the program is killed, or the disk does not obey.

    python benchmarks/faults_storage.py --kills 200

A child process paints stroke after stroke, saves each as the dock does (the same
`Desk`, on a thread of its own), and keeps a model as a round now and then. It is killed
(SIGKILL) at a random moment; then the project is opened again and compared with what
the child had painted, which is known from the seed. The other faults are made one by
one: a disk that is full, a folder that is read-only or deleted, a second program.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import CancelToken
from napari_unet.project import Project
from napari_unet.widgets._desk import Desk, ImageFacts, Saved, Work

Record = dict[str, Any]
Fault = Callable[[Path], tuple[str, str]]
SIDE_PX = 4096
MODEL_BYTES = 12_000_000  # as a model of the default network
PERIOD_S = 0.02  # a stroke each: faster than any hand


def main() -> int:
    """Run all, print tables, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "faults_storage.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills = kill_again_and_again(Path(folder), args.kills, args.seed)
        faults = [run(Path(folder)) for run in FAULTS]
        cost = cost_of_a_stroke(Path(folder))
    record = {"kills": kills, "faults": faults, "stroke_of_40000_px": cost}
    args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print_tables(record)
    return int(bool(kills["n_bad"]))


# --- killed ------------------------------------------------------------------------


def kill_again_and_again(folder: Path, n_kills: int, seed: int) -> Record:
    """Kill a painting process many times; each time look at what is left."""
    rng = random.Random(seed)
    place = folder / "killed.unet-project"
    Project.create(place).close()
    bad: list[str] = []
    n_lost, ages_s, n_rounds = [], [], 0
    for trial in range(n_kills):
        delay_s = rng.uniform(0.02, 1.5)
        acknowledged, started, killed = paint_until_killed(place, trial, delay_s)
        try:
            n_kept, n_rounds = check(place, trial, acknowledged)
        except (NapariUnetError, AssertionError) as error:
            bad.append(f"trial {trial}: {error}")
            continue
        painted = [s for s in started if s <= killed]
        n_lost.append(max(0, len(painted) - n_kept))
        if n_kept < len(painted):
            ages_s.append(killed - painted[n_kept])
    return {
        "n": n_kills,
        "n_bad": len(bad),
        "bad": bad,
        "strokes_not_saved_median": statistics.median(n_lost),
        "oldest_not_saved_s": round(max(ages_s, default=0.0), 3),
        "n_rounds_kept": n_rounds,
    }


def strokes_of(trial: int) -> Iterator[tuple[slice, slice, int]]:
    """Yield the strokes of a trial: each over several tiles of the store."""
    rng = np.random.default_rng(trial)
    while True:
        y, x = rng.integers(0, SIDE_PX - 700, 2)
        height, width = rng.integers(3, 600, 2)
        yield slice(y, y + height), slice(x, x + width), int(rng.integers(1, 200))


def paint_until_killed(
    place: Path, trial: int, delay_s: float
) -> tuple[int, list[float], float]:
    """Fork a process that paints; kill it after a while.

    Returns how many strokes it said were saved, when each was painted, and when it was
    killed (seconds of one clock).
    """
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reader)
            paint(place, trial, writer)
        finally:
            os._exit(1)
    os.close(writer)
    first = os.read(reader, 17)  # it is ready
    time.sleep(delay_s)
    os.kill(process, signal.SIGKILL)
    killed = time.monotonic()
    os.waitpid(process, 0)
    content = first
    while part := os.read(reader, 65536):
        content += part
    os.close(reader)
    acknowledged, started = 0, []
    for kind, number, time_s in struct.iter_unpack(
        "<cqd", content[: len(content) // 17 * 17]
    ):
        if kind == b"p":
            started.append(time_s)
        elif kind == b"s":
            acknowledged = max(acknowledged, number)
    return acknowledged, started, killed


def paint(place: Path, trial: int, pipe: int) -> None:
    """Paint, save and keep rounds until somebody kills this process."""

    def say(kind: bytes, number: int = 0) -> None:
        os.write(pipe, struct.pack("<cqd", kind, number, time.monotonic()))

    desk = Desk(place.parent / "unsaved")
    list(desk.open(place))
    say(b"r")
    array = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    pixels = np.full((64, 64), trial)  # by which the image is known
    facts = ImageFacts(f"{trial}", f"{trial}", pixels, "YX", array.shape)
    n_sent = {"n": 0}

    def save() -> None:
        token = CancelToken()
        while True:
            number = n_sent["n"]
            for event in desk.run(token):
                if isinstance(event, Saved):
                    say(b"s", number)
            time.sleep(0.001)

    threading.Thread(target=save, daemon=True).start()
    for number, (rows, columns, value) in enumerate(strokes_of(trial), start=1):
        array[rows, columns] = value
        say(b"p", number)
        # a number is only said to be saved when nothing newer came in between
        desk.save(Work(facts, "layer", "strokes", TiledLabels.of(array)))
        n_sent["n"] = number
        if number % 10 == 0:
            pending = place / "rounds" / f".pending.{number:08x}.safetensors"
            pending.parent.mkdir(exist_ok=True)
            pending.write_bytes(bytes(MODEL_BYTES))
            project = desk.project
            assert project is not None
            project.change(max_rounds_mb=50 + number % 2)
            facts_of_round = {"chosen": "instant", "step": number}

            def keep(path: Path = pending, about: Record = facts_of_round) -> Any:
                return desk.keep_round(path, about)

            desk.ask(keep)
        time.sleep(PERIOD_S)


def check(place: Path, trial: int, acknowledged: int) -> tuple[int, int]:
    """Open what is left; return how many strokes are there, and rounds.

    Raises
    ------
    AssertionError
        If it is not exactly what was painted up to some stroke, or a stroke that was
        said to be saved is missing, or a file is half-written.
    """
    with Project.open(place) as project:
        image = next((i for i in project.images if i.name == f"{trial}"), None)
        labels = None if image is None else project.annotation(image.number, "strokes")
        n_kept = (
            0
            if labels is None
            else which_state(trial, np.asarray(labels), acknowledged)
        )
        for found in project.rounds:
            size = project.rounds.model(found.number).stat().st_size
            assert size == MODEL_BYTES, f"round {found.number} has {size} bytes"
        left = [p.name for p in place.rglob(".*") if "trial" not in p.name]
        assert not left, f"left behind: {left}"
        n_rounds = len(project.rounds)
    assert n_kept >= acknowledged, f"{acknowledged} were saved, {n_kept} are there"
    return n_kept, n_rounds


def which_state(trial: int, labels: np.ndarray, acknowledged: int) -> int:
    """Return after how many strokes the image looked like this."""
    array = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for number, (rows, columns, value) in enumerate(strokes_of(trial), start=1):
        array[rows, columns] = value
        if number >= acknowledged and np.array_equal(array, labels):
            return number
        assert number < acknowledged + 500, "a stroke is there in part"
    raise AssertionError


# --- other faults --------------------------------------------------------------------


def fault(
    name: str,
) -> Callable[[Callable[[Path], tuple[str, str]]], Callable[[Path], Record]]:
    """Make a row of the table of a function that returns (said, state afterwards)."""

    def wrap(run: Fault) -> Callable[[Path], Record]:
        def row(folder: Path) -> Record:
            try:
                said, after = run(folder)
            except Exception as error:
                said, after = f"{type(error).__name__}: {error}", "FAILED"
            return {
                "fault": name,
                "said": said.replace(str(folder), "..."),
                "after": after,
            }

        FAULTS.append(row)
        return row

    return wrap


FAULTS: list[Callable[[Path], Record]] = []


def painted_project(place: Path) -> tuple[Project, int, np.ndarray]:
    """Return a project with an image that is painted on."""
    project = Project.create(place)
    number = project.add_image(None, name="cells", fingerprint="f").number
    array = np.zeros((2000, 2000), np.uint8)
    array[100:110, 100:300] = 1
    project.save_annotation(number, "strokes", TiledLabels.of(array))
    return project, number, array


def says(action: Callable[[], object]) -> str:
    """Return the sentence with which an action fails."""
    try:
        action()
    except NapariUnetError as error:
        return str(error)
    return "(nothing)"


def same(project: Project, number: int, array: np.ndarray) -> bool:
    """Whether exactly this is kept, as another process sees it."""
    with Project.open(project.folder, is_read_only=True) as other:
        found = other.annotation(number, "strokes")
        return found is not None and found.is_same(TiledLabels.of(array))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Give a small file system of its own; needs the right to mount."""
    place = folder / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    subprocess.run(["mount", *options], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


@fault("disk full while painting")
def disk_full(folder: Path) -> tuple[str, str]:
    with small_disk(folder, 4) as disk:
        project, number, array = painted_project(disk / "p")
        before = array.copy()
        filler = disk / "filler"
        fill_up(filler)
        array[:] = np.random.default_rng(0).integers(0, 4, array.shape)
        said = says(
            lambda: project.save_annotation(number, "strokes", TiledLabels.of(array))
        )
        kept = same(project, number, before)
        filler.unlink()
        array = before
        array[500:510] = 2
        project.save_annotation(number, "strokes", TiledLabels.of(array))
        again = same(project, number, array)
        project.close()
    return said, f"what was kept stays: {kept}; saved once there is space: {again}"


def fill_up(path: Path) -> None:
    """Write until the disk is full."""
    with open(path, "wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@fault("disk full while a round is kept")
def disk_full_round(folder: Path) -> tuple[str, str]:
    from napari_unet.core.atomic import replace_file

    def save(path: Path) -> None:
        with replace_file(path) as temporary:
            temporary.write_bytes(bytes(MODEL_BYTES))

    with small_disk(folder, 4) as disk:
        project, number, array = painted_project(disk / "p")
        said = says(lambda: project.rounds.add(save, {"chosen": "instant"}))
        files = [p.name for p in (disk / "p" / "rounds").iterdir()]
        array[500:510] = 2
        project.save_annotation(number, "strokes", TiledLabels.of(array))
        good = same(project, number, array) and not files and len(project.rounds) == 0
        project.close()
    return said, f"no round, no half file, strokes go on being saved: {good}"


@fault("folder becomes read-only")
def read_only(folder: Path) -> tuple[str, str]:
    with small_disk(folder, 16) as disk:
        project, number, array = painted_project(disk / "p")
        project.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        said = says(lambda: Project.open(disk / "p"))
        with Project.open(disk / "p", is_read_only=True) as reader:
            found = reader.annotation(number, "strokes")
            readable = found is not None and found.is_same(TiledLabels.of(array))
    return said, f"can still be read: {readable}"


@fault("annotations deleted by another program")
def deleted(folder: Path) -> tuple[str, str]:
    project, number, array = painted_project(folder / "deleted")
    for path in project.folder.glob("annotations*"):
        path.unlink()
    array[500:510] = 2
    saved = project.save_annotation(number, "strokes", TiledLabels.of(array))
    good = same(project, number, array)
    project.close()
    return f"(said: {saved.is_restored})", f"all is there again: {good}"


@fault("project folder deleted")
def folder_deleted(folder: Path) -> tuple[str, str]:
    project, number, array = painted_project(folder / "gone")
    shutil.rmtree(project.folder)
    array[500:510] = 2
    project.save_annotation(number, "strokes", TiledLabels.of(array))
    project.change(mode="strokes")
    good = same(project, number, array)
    project.close()
    return "(that it was written anew)", f"all is there again: {good}"


@fault("project.json changed by another program")
def record_changed(folder: Path) -> tuple[str, str]:
    project, _number, _array = painted_project(folder / "changed")
    path = project.folder / "project.json"
    path.write_text("{}", encoding="utf-8")
    project.change(max_rounds_mb=77)
    kept = [
        p.read_text(encoding="utf-8") for p in project.folder.glob("*from-outside*")
    ]
    project.close()
    with Project.open(project.folder) as again:
        good = again.record.max_rounds_mb == 77 and kept == ["{}"]
    return "(in the log)", f"ours is in force, theirs is kept beside: {good}"


@fault("a second program opens it")
def second(folder: Path) -> tuple[str, str]:
    project, number, array = painted_project(folder / "two")
    code = (
        "import sys; from napari_unet.project import Project\n"
        "try: Project.open(sys.argv[1])\n"
        "except OSError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(project.folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    array[500:510] = 2
    project.save_annotation(number, "strokes", TiledLabels.of(array))
    good = same(project, number, array)
    project.close()
    return said.strip(), f"the first one goes on: {good}"


@fault("a drive on which each write takes 0.5 s")
def slow(folder: Path) -> tuple[str, str]:
    desk = Desk(folder / "slow-unsaved")
    list(desk.create(folder / "slow"))
    project = desk.project
    assert project is not None
    put = project.annotations._put
    project.annotations._put = lambda *args: (time.sleep(0.5), put(*args))  # type: ignore[method-assign]
    array = np.zeros((2000, 2000), np.uint8)
    facts = ImageFacts("k", "cells", array[:64, :64], "YX", array.shape)
    worker = threading.Thread(target=lambda: keep_running(desk, until))
    until = threading.Event()
    worker.start()
    waits = []
    for number in range(40):
        array[number * 20 : number * 20 + 5, :200] = 1
        started = time.perf_counter()
        desk.save(Work(facts, "layer", "strokes", TiledLabels.of(array)))
        waits.append(time.perf_counter() - started)
        time.sleep(0.05)
    while desk.has_unsaved:
        time.sleep(0.05)
    until.set()
    worker.join()
    good = same(project, 1, array)
    desk.shut()
    return (
        "Saving ...",
        f"painting waits {max(waits) * 1e3:.1f} ms at most; all saved: {good}",
    )


def keep_running(desk: Desk, until: threading.Event) -> None:
    """Run the desk's job as the bridge does."""
    while not until.is_set():
        list(desk.run(CancelToken()))
        time.sleep(0.01)


def cost_of_a_stroke(folder: Path) -> Record:
    """Measure one stroke into an annotation of 40,000 x 40,000 px."""
    with Project.create(folder / "large") as project:
        number = project.add_image(None, name="slide", fingerprint="s").number
        array = np.zeros((40_000, 40_000), np.uint8)
        rng = np.random.default_rng(0)
        seconds, sizes, written = [], [], []
        store = project.folder / "annotations.sqlite-wal"
        for _ in range(60):
            y, x = rng.integers(0, 39_000, 2)
            array[y : y + 9, x : x + 150] = rng.integers(1, 4)
            labels = TiledLabels.of(array)
            before = store.stat().st_size if store.exists() else 0
            started = time.perf_counter()
            saved = project.save_annotation(number, "strokes", labels)
            seconds.append(time.perf_counter() - started)
            sizes.append(saved.n_bytes)
            written.append(max(0, store.stat().st_size - before))
    return {
        "ms_median": round(statistics.median(seconds[1:]) * 1e3, 2),
        "ms_max": round(max(seconds[1:]) * 1e3, 2),
        "compressed_bytes_median": statistics.median(sizes),
        "written_bytes_median": statistics.median(written[1:]),
    }


def print_tables(record: Record) -> None:
    kills, cost = record["kills"], record["stroke_of_40000_px"]
    print(f"\nKilled at {kills['n']} random moments: {kills['n_bad']} not as painted.")
    print(f"The oldest stroke that was not saved: {kills['oldest_not_saved_s']} s old.")
    for line in kills["bad"]:
        print(" ", line)
    print("\n| fault | what is said | afterwards |\n|---|---|---|")
    for row in record["faults"]:
        print(f"| {row['fault']} | {row['said']} | {row['after']} |")
    print(
        f"\nOne stroke into 40,000 x 40,000 px: {cost['ms_median']} ms (at most "
        f"{cost['ms_max']}), {cost['compressed_bytes_median']:.0f} bytes of labels, "
        f"{cost['written_bytes_median']:.0f} bytes on the disk."
    )


if __name__ == "__main__":
    sys.exit(main())
