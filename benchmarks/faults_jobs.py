"""What a person sees when a job fails, and whether she can go on.

    xvfb-run -a python benchmarks/faults_jobs.py

The real dock with the real learner, on a crop of the sample. While it learns, one
thing after the other goes wrong; then Learn is pressed again, and it is looked whether
the strokes are in the layer and on the disk, and whether a thread is left. What cannot
be provoked (memory that runs out, a bug) is raised where it would come from.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from _scene import Scene, turn, wait, worker_threads
from faults_storage import fill_up, small_disk

Record = dict[str, Any]
IN_STAGE_S = 0.3  # a stage is held up so long, that it is cancelled within


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    strike: Callable[[Scene], None]
    is_learning: bool = True
    """Whether it happens while the network is trained."""
    is_end: bool = False
    """Whether the viewer is closed by it."""


FAULTS: list[Fault] = []


def fault(name: str, **options: bool) -> Callable[[Callable[[Scene], None]], None]:
    """Make a row of a function that lets something go wrong, and waits for it."""
    return lambda strike: FAULTS.append(Fault(name, strike, **options))


def main() -> int:
    """Run all, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="faults with this in their name")
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "faults_jobs.json")
    args = parser.parse_args()
    rows = []
    for found in FAULTS:
        if args.only is None or args.only in found.name:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(run(found, Path(folder)))
            print(table_row(rows[-1]), flush=True)
    if args.only is None:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    bad = [row["fault"] for row in rows if not row["is_good"]]
    print(f"\n{len(rows)} faults, {len(bad)} with a bad end: {', '.join(bad)}")
    return int(bool(bad))


def table_row(row: Record) -> str:
    """Return a row of the table in Markdown."""
    return f"| {row['fault']} | {row['seen']} | {row['after']} |"


def run(found: Fault, folder: Path) -> Record:
    """Let one thing go wrong; return what was seen, and how it stands then."""
    scene = Scene(folder)
    good: dict[str, bool] = {}
    try:
        wait(lambda: scene.session.score is not None)
        if found.is_learning and not scene.learn():
            raise AssertionError("it did not learn in the first place")
        wait(lambda: not scene.keeper.has_unsaved)
        painted = scene.layer.data.copy()
        scene.said.clear()
        place = scene.project_folder
        found.strike(scene)
        said = list(scene.said)
        if not found.is_end:
            place = scene.project_folder
            if scene.layer is not None:
                painted = scene.layer.data.copy()
            good["Learn works again"] = learns_again(scene)
            scene.pause()
            wait(lambda: not scene.keeper.has_unsaved, 20)
        scene.close()
        good["strokes on the disk"] = is_kept(scene, painted, place)
        good["no thread left"] = wait(lambda: not worker_threads(), 30)
    except Exception as error:
        said, good = (
            [f"{type(error).__name__}: {error}"],
            {"the fault was tried": False},
        )
        with suppress(Exception):  # what napari says of a layer that it half added
            scene.close()
        wait(lambda: not worker_threads(), 30)
    after = ", ".join(what if is_so else f"NOT: {what}" for what, is_so in good.items())
    seen = " / ".join(said).replace(str(folder), "...") or "(nothing)"
    is_good = all(good.values())
    return {"fault": found.name, "seen": seen, "after": after, "is_good": is_good}


def learns_again(scene: Scene) -> bool:
    """Whether Learn does a step, after what is gone was put back."""
    if not any(layer.name == "nuclei" for layer in scene.viewer.layers):
        scene.viewer.add_image(scene.image, name="nuclei")
        turn(0.5)
    if scene.layer is None or not scene.layer.data.any():
        scene.paint()
    return scene.learn()


def is_kept(scene: Scene, painted: np.ndarray, folder: Path) -> bool:
    """Whether the strokes are in the project, or in one of those without a name."""
    folders = {folder}
    if folder.parent.name == "unsaved":
        folders |= set(folder.parent.iterdir())
    return any(scene.is_saved(painted, place) for place in folders)


def method(target: str) -> tuple[Any, str]:
    """Return the class that "room.module.Class.method" names, and the method's name."""
    module, kind, name = target.rsplit(".", 2)
    return getattr(import_module(f"napari_unet.{module}"), kind), name


@contextmanager
def fails(
    target: str, error: Exception, after: int = 0, times: int = 1
) -> Iterator[Any]:
    """Let calls of a method fail; yields the event that is set when one did."""
    owner, name = method(target)
    original, struck, n_calls = getattr(owner, name), threading.Event(), 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if after < n_calls <= after + times:
            struck.set()
            raise error
        return original(*args, **kwargs)

    with patch.object(owner, name, call):
        yield struck


@contextmanager
def held_up(target: str) -> Iterator[threading.Event]:
    """Hold a method up for a moment; yields the event that is set when it is called."""
    owner, name = method(target)
    original, reached = getattr(owner, name), threading.Event()

    def call(*args: Any, **kwargs: Any) -> Any:
        reached.set()
        threading.Event().wait(IN_STAGE_S)
        return original(*args, **kwargs)

    with patch.object(owner, name, call):
        yield reached


# --- memory, bugs, numbers ---------------------------------------------------------


@fault("out of memory at the third step of training")
def memory_training(scene: Scene) -> None:
    import torch

    with fails("learning.training.Trainer._backward", torch.OutOfMemoryError(), 2):
        wait(lambda: bool(scene.said))
    step = scene.session.step
    assert wait(lambda: scene.session.step > step), "it does not go on"


@fault("out of memory at every step of training")
def memory_never(scene: Scene) -> None:
    with fails(
        "learning.training.Trainer._backward", MemoryError("a test"), times=10**6
    ):
        assert wait(lambda: scene.session.phase != "learning")
        turn(0.5)


@fault("out of memory while predicting the whole image")
def memory_predicting(scene: Scene) -> None:
    target = "learning.candidates.RidgeCandidate.probabilities"
    with fails(target, MemoryError("a test")):
        predict_whole(scene)


def predict_whole(scene: Scene) -> None:
    """Ask for the whole image, and wait for it."""
    scene.state.predict_all()
    assert wait(lambda: scene.session.progress is None), "no end"
    turn(0.2)


@fault("the loss is not a number")
def no_number(scene: Scene) -> None:
    import torch

    owner, name = method("learning.training.Trainer._loss")
    with patch.object(owner, name, lambda *_: torch.tensor(float("nan"))):
        assert wait(lambda: scene.session.phase != "learning")
        turn(0.5)


@fault("a bug in the worker")
def bug(scene: Scene) -> None:
    with fails("learning.training.Trainer._step", RuntimeError("a bug, as a test")):
        assert wait(lambda: scene.session.phase == "failed")


# --- the image cannot be read ------------------------------------------------------


class Drive:
    """A drive that can be unplugged, and a lazy image on it."""

    def __init__(self) -> None:
        self.is_there = True

    def image(self, pixels: np.ndarray, n_planes: int = 0) -> Any:
        """Return a dask array that is read from this drive.

        Of a stack, only the last plane is there: napari shows another one.
        """
        import dask.array as da

        def read(block: np.ndarray, block_info: Any = None) -> np.ndarray:
            plane = block_info[0]["chunk-location"][0]
            if not self.is_there and plane >= n_planes - 1:
                raise OSError(5, "Input/output error: a test")
            return block

        shape, chunks = pixels.shape, pixels.shape
        if n_planes:
            shape, chunks = (n_planes, *shape), (1, *shape)
        lazy = da.from_array(np.broadcast_to(pixels, shape), chunks=chunks)
        meta = np.empty((0,) * len(shape), pixels.dtype)
        return lazy.map_blocks(read, meta=meta)


def show_lazy(scene: Scene) -> Drive:
    """Go on with a lazy image in place of the one that is there."""
    drive = Drive()
    scene.viewer.layers["nuclei"].data = drive.image(scene.image)
    assert scene.learn()
    return drive


@fault("a lazy image cannot be read while learning")
def unreadable(scene: Scene) -> None:
    drive = show_lazy(scene)
    drive.is_there = False
    scene.paint(1)
    assert wait(lambda: scene.session.phase != "learning")
    wait(lambda: not scene.keeper.has_unsaved, 10)
    turn(0.5)
    drive.is_there = True


@fault("a plane of a lazy stack cannot be read", is_learning=False)
def unreadable_from_the_start(scene: Scene) -> None:
    drive = Drive()
    drive.is_there = False
    layers = scene.viewer.layers
    for name in ("nuclei annotation", "nuclei prediction", "nuclei"):
        layers.remove(name)
        turn(0.1)
    scene.viewer.add_image(drive.image(scene.image, 3), name="nuclei")
    turn(0.2)
    scene.paint()
    wait(lambda: "could not be read" in str(scene.said), 20)
    wait(lambda: not scene.keeper.has_unsaved, 20)
    turn(0.5)
    place = scene.project_folder
    assert scene.is_saved(scene.layer.data, place), "strokes are not saved"
    drive.is_there = True


# --- stopped in the middle ---------------------------------------------------------


def stop_in(stage: str, target: str, begin: Callable[[Scene], object]) -> None:
    """Make a row: stopped in a stage, then the dock closed in the same stage."""

    def strike(scene: Scene) -> None:
        for is_closed in (False, True):
            with held_up(target) as reached:
                begin(scene)
                assert wait(reached.is_set, 60), f"{stage} never began"
                if not is_closed:
                    scene.state.stop()
                    assert wait(lambda: scene.session.phase != "learning")
                    assert scene.session.progress is None
                    continue
                scene.viewer.window.remove_dock_widget(scene.dock)
                assert not worker_threads(), "a thread is left"
                scene.dock_again()
        turn(0.3)

    fault(f"stopped, and the dock closed: {stage}")(strike)


def save_model(scene: Scene) -> None:
    """Save the model beside the project."""
    scene.state.live.send("save", str(scene.folder / "model.safetensors"))


stop_in("the first fit", "learning.state.State._fit", lambda s: s.state.start_over())
stop_in("scoring", "learning.state.State._judge", lambda s: s.state.start_over())
stop_in("training", "learning.training.Trainer._step", Scene.learn_soon)
stop_in(
    "the visible field",
    "inference.predictor.Frugal.predict",
    lambda s: s.state.update_now(),
)
stop_in(
    "the whole image",
    "inference.predictor.Frugal.predict",
    lambda s: s.state.predict_all(),
)
stop_in("saving a model", "learning.learner.Learner.save", save_model)


# --- layers, docks and windows go -----------------------------------------------------


def remove(scene: Scene, layer: Any) -> None:
    """Delete a layer while the whole image is predicted as well."""
    scene.state.predict_all()
    scene.viewer.layers.remove(layer)
    turn(2)


@fault("image layer deleted")
def image_deleted(scene: Scene) -> None:
    layer = scene.layer
    remove(scene, scene.viewer.layers["nuclei"])
    assert layer in scene.viewer.layers


@fault("annotation layer deleted")
def annotation_deleted(scene: Scene) -> None:
    remove(scene, scene.layer)


@fault("prediction layer deleted")
def prediction_deleted(scene: Scene) -> None:
    remove(scene, scene.state.book.current.prediction)
    predict_whole(scene)
    assert scene.state.book.current.is_complete


@fault("dock closed right after a stroke, and opened again")
def dock_closed(scene: Scene) -> None:
    scene.paint(1)
    scene.viewer.window.remove_dock_widget(scene.dock)
    assert not worker_threads(), "a thread is left"
    scene.dock_again()


@fault("viewer closed", is_end=True)
def viewer_closed(scene: Scene) -> None:
    scene.state.predict_all()


# --- the disk ------------------------------------------------------------------------


def make_project(scene: Scene, folder: Path) -> Any:
    """Make a project; return it."""
    scene.keeper.create(folder)
    assert wait(lambda: scene.keeper.is_named)
    return scene.keeper.project


@fault("project folder deleted, then painted")
def folder_deleted(scene: Scene) -> None:
    project = make_project(scene, scene.folder / "p.unet-project")
    shutil.rmtree(project.folder)
    scene.paint(1)
    turn(0.5)
    assert wait(lambda: not scene.keeper.has_unsaved)
    scene.pause()
    assert wait(lambda: len(project.rounds) == 1), "no round is kept"


@fault("project folder deleted, then only paused")
def folder_deleted_and_paused(scene: Scene) -> None:
    project = make_project(scene, scene.folder / "p.unet-project")
    shutil.rmtree(project.folder)
    scene.pause()
    assert wait(lambda: len(project.rounds) == 1), "no round is kept"


@fault("project folder deleted, then the viewer closed", is_end=True)
def folder_deleted_and_closed(scene: Scene) -> None:
    shutil.rmtree(scene.project_folder)


@fault("disk full while a round is saved")
def disk_full(scene: Scene) -> None:
    disk = scene.folder / "disk"
    with small_disk(scene.folder, 60):
        project = make_project(scene, disk / "p.unet-project")
        fill_up(disk / "filler")
        scene.pause()
        assert wait(lambda: bool(scene.said))
        turn(1)
        assert not list(project.path("rounds").glob("*")), "half a file is left"
        (disk / "filler").unlink()
        said = list(scene.said)
        assert scene.learn()
        scene.pause()
        assert wait(lambda: len(project.rounds) == 1), "no round is kept"
        scene.said[:] = said
        wait(lambda: project.training_path.exists())
        scene.keeper.create(scene.folder / "elsewhere.unet-project")
        assert wait(lambda: scene.keeper.project is not project)
        scene.paint(1)
        turn(0.5)


if __name__ == "__main__":
    sys.exit(main())
