"""Odd images, projects and model files, and what must hold for all of them.

Each ``check_*`` uses one as a person would, and returns how that ended: ``"used"``, or
the kind of our error that refused it in a sentence. Anything else is left to propagate:
it is a bug. Also run, with more cases, by ``benchmarks/fuzz.py``.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import (
    FineTuneConfig,
    InstantConfig,
    LearnerConfig,
    TilingConfig,
)
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import Score, finish
from napari_unet.learning import Learner, load
from napari_unet.project import Project
from napari_unet.project.recovery import find_unsaved

__all__ = [
    "Scene",
    "check_learner",
    "check_project",
    "check_training",
    "make_project",
    "make_training",
    "outcome_of",
    "projects",
    "scenes",
    "trainings",
]

TINY = LearnerConfig(
    device="cpu",
    n_threads=1,
    base_channels=4,
    depth=1,
    start="scratch",
    fine_tune=FineTuneConfig(patch_px=16, batch_size=2, score_every_s=3600),
    instant=InstantConfig(n_trees=2, n_folds=2, n_scales=1),
    tiling=TilingConfig(tile_px=64),
)


def outcome_of(use: Callable[[], object]) -> str:
    """Return how a use ended, if it ended as it may."""
    try:
        use()
    except NapariUnetError as error:
        refused = error
    else:
        return "used"
    assert len(str(refused)) > 10, f"no sentence: {refused!r}"
    return type(refused).__name__


# --- images ---------------------------------------------------------------------------

_REAL = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?", ">u2"]
_OTHERS = [">f4", "c8", "M8[s]", "U3", "O"]
_AXES = [
    "YX",
    "ZYX",
    "CYX",
    "YXC",
    "TYX",
    "TZYX",
    "ZYXC",
    "CZYX",
    "XY",
    "YXX",
    "",
    "yx",
]


@dataclass(frozen=True)
class Scene:
    """An image, its annotation, and settings; any of them may be odd."""

    config: LearnerConfig
    image: Any
    annotation: Any
    axes: str | None
    complete: Any
    scale: tuple[float, ...] | None

    def __repr__(self) -> str:
        complete = None if self.complete is None else self.complete.shape
        return (
            f"Scene(image {self.image.dtype}{self.image.shape}, annotation "
            f"{self.annotation.dtype}{self.annotation.shape} "
            f"{np.unique(self.annotation)[:5]}, axes={self.axes}, complete={complete}, "
            f"scale={self.scale}, {self.config.annotation_mode}, "
            f"{self.config.dimensions}, {self.config.downsampling})"
        )


@st.composite
def scenes(draw: Any) -> Scene:
    """Draw images by axes, dtypes and annotations; most of them can be learned from."""
    axes = draw(st.sampled_from(_AXES[:8]))
    sizes = {a: draw(st.integers(1, 3)) for a in "TZC"}
    sizes |= {a: draw(st.sampled_from([1, 2, 16, 33, 33, 48, 48, 64])) for a in "YX"}
    shape = tuple(sizes[a] for a in axes)
    spatial = tuple(sizes[a] for a in axes if a != "C")
    is_odd = draw(st.integers(0, 6)) == 0
    given_axes = draw(st.sampled_from([None, *_AXES])) if is_odd else axes
    config = TINY.model_copy(
        update={
            "annotation_mode": draw(st.sampled_from(["strokes", "objects"])),
            "downsampling": draw(st.sampled_from([1, 1, 1, 2, 8])),
            "dimensions": draw(
                st.sampled_from(
                    ["2d", "2.5d", "3d"] if "Z" in axes or is_odd else ["2d"]
                )
            ),
        }
    )
    return Scene(
        config,
        _pixels(draw, shape),
        _annotation(draw, spatial),
        given_axes,
        _complete(draw, spatial),
        _scale(draw, len(spatial)),
    )


def _pixels(draw: Any, shape: tuple[int, ...]) -> np.ndarray:
    dtype = np.dtype(draw(st.sampled_from(_REAL * 2 + _OTHERS)))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    kind = draw(st.sampled_from(["noise", "constant", "bytes", "edge"]))
    if dtype.kind in "MUO":
        return np.zeros(shape, dtype)
    if kind == "bytes":  # any bits: of floats also NaN, infinite, the largest
        raw = rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8)
        if dtype.kind == "b":
            raw &= 1
        return raw.view(dtype).reshape(shape)
    array = np.full(shape, draw(st.integers(0, 100)))
    if kind == "noise":
        array = rng.integers(0, 100, shape)
    if kind == "edge":
        array[..., array.shape[-1] // 2 :] += 27
    return array.astype(dtype)


def _annotation(draw: Any, shape: tuple[int, ...]) -> np.ndarray:
    fault = draw(st.sampled_from([*[""] * 12, "shape", "dtype", "value"]))
    if fault == "shape":
        shape = (*shape[:-1], shape[-1] + 1)
    dtype = (
        "f4" if fault == "dtype" else draw(st.sampled_from(["u1", "u2", "i8", ">i4"]))
    )
    array = np.zeros(shape, dtype)
    values = st.sampled_from([1, 2, 2, 3, 200])
    certain = draw(st.sampled_from([[], [1], *[[1, 2, 1, 2]] * 4]))
    for number in range(draw(st.integers(len(certain), 6))):
        box = []
        for n in shape:
            start = draw(st.integers(0, n - 1))
            box.append(slice(start, start + draw(st.integers(1, 12))))
        array[tuple(box)] = certain[number] if number < len(certain) else draw(values)
    if fault == "value" and np.dtype(dtype).kind == "i":
        array.flat[0] = draw(st.sampled_from([-1, 65_536, 2**31 - 1]))
    return array


def _complete(draw: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    kind = draw(st.sampled_from([*["none"] * 8, "all", "half", "half", "shape"]))
    if kind == "none":
        return None
    if kind == "shape":
        return np.ones((*shape, 2), bool)
    region = np.ones(shape, bool)
    if kind == "half":
        region[..., shape[-1] // 2 :] = False
    return region


def _scale(draw: Any, ndim: int) -> tuple[float, ...] | None:
    step = st.sampled_from([1.0, 0.1, 3e5, 1e-9, 0.0, -1.0, math.nan, math.inf])
    kind = draw(st.sampled_from(["none", "none", "ones", "ones", "any", "length"]))
    if kind == "none":
        return None
    if kind == "any":
        return tuple(draw(step) for _ in range(ndim))
    return (1.0,) * (ndim + (kind == "length"))


def check_learner(scene: Scene) -> str:
    """Learn, train a step, predict, find objects, save and load."""

    def use() -> None:
        learner = Learner(scene.config)
        learner.annotate(
            scene.image,
            scene.annotation,
            axes=scene.axes,
            complete=scene.complete,
            scale=scene.scale,
        )
        finish(learner.fine_tune(steps=1))
        spatial = scene.annotation.shape
        labels = learner.predict(scene.image, axes=scene.axes)
        assert labels.shape == spatial
        objects = learner.predict_instances(scene.image, axes=scene.axes)
        assert objects.labels.shape == spatial
        maps = learner.predict_probabilities(scene.image, axes=scene.axes)
        assert np.isfinite(maps).all()
        np.testing.assert_allclose(maps.sum(0), 1, atol=1e-3)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.safetensors")
            learner.save(path)
            again = load(path).predict(scene.image, axes=scene.axes)
        np.testing.assert_array_equal(again, labels)

    return outcome_of(use)


# --- what is wrong in a file ----------------------------------------------------------

_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.sampled_from([10**400, -(10**400), 1e308, 1e-320, math.nan, math.inf]),
    st.sampled_from(["", "\0", "..", "/dev/null", "x" * 600, "2", "strokes", "\ud800"]),
    st.sampled_from([[], {}, [[]], [None], {"a": 1}, [1, 2], ["Y", "X"]]),
    st.text(max_size=4),
)


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where something stands in a JSON document."""
    if isinstance(node, dict):
        items: Any = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    else:
        return
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _spoiled_json(draw: Any, text: str) -> str:
    """Return a document with something odd in one or two of its places."""
    document = copy.deepcopy(json.loads(text))
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(document))
        if not places:
            break
        *path, key = draw(st.sampled_from(places))
        owner = document
        for step in path:
            owner = owner[step]
        what = draw(st.sampled_from(["odd", "odd", "odd", "gone", "twice"]))
        if what == "odd":
            owner[key] = draw(_ODD)
        elif what == "gone":
            del owner[key]
        elif isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        else:
            owner[draw(st.text(max_size=4))] = copy.deepcopy(owner[key])
    return json.dumps(document)


def _spoiled_bytes(draw: Any, content: bytes) -> bytes:
    """Return a file with some bytes changed, or a part of it missing."""
    damaged = bytearray(content)
    if draw(st.booleans()):
        start = draw(st.integers(0, len(damaged)))
        del damaged[start : start + draw(st.integers(0, len(damaged)))]
    else:
        places = st.integers(0, min(len(damaged), 4000) - 1)
        for _ in range(draw(st.integers(1, 8))):
            place = draw(places | st.integers(0, len(damaged) - 1))
            damaged[place] = draw(st.integers(0, 255))
    return bytes(damaged)


# --- projects -------------------------------------------------------------------------

_FILES = "project.json", "annotations.sqlite", "rounds/rounds.json"
_COLUMNS = {
    "layers": ("image", "layer", "shape", "dtype", "saved"),
    "tiles": ("image", "layer", "plane", "tile_row", "tile_column", "pixels"),
    "shapes": ("image", "layer", "outlines"),
}
_CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=6),
    st.sampled_from(["", "[]", "[1]", "[64, 64]", "[1e9, 2]", "[2147483647, 9]", "{}"]),
    st.sampled_from(["u1", "u2", "f8", "strokes", "[null]", "[" * 9999, "\0"]),
    st.sampled_from(
        [
            '[{"kind": "polygon", "corners": [[1e999, 2]]}]',
            f'[{{"kind": "polygon", "corners": [[{10**400}, 2]]}}]',
            '[{"kind": null, "corners": [[1], [2, 3]]}]',
            '[{"kind": "path", "corners": "no"}]',
        ]
    ),
)


def make_project(folder: Path) -> None:
    """Make a project with all that can be in one."""
    labels = np.zeros((64, 300), np.uint8)
    labels[4:9, 10:290], labels[40:44, 20:90] = 1, 2
    tiled = TiledLabels.of(labels)
    outline = {"kind": "rectangle", "corners": [[1, 2], [1, 9], [8, 9], [8, 2]]}
    score = Score(0.5, {1: 0.5, 2: 0.5}, {1: 0.6, 2: 0.6}, 40, 4)
    with Project.create(folder) as project:
        for name in ("first", "second"):
            facts = {"fingerprint": name, "axes": "YX", "shape": labels.shape}
            project.add_image(folder / f"{name}.tif", name=name, **facts)
        project.save_annotation(1, "strokes", tiled)
        objects = {"complete": tiled.astype(bool), "outlines": [outline]}
        project.save_annotation(2, "objects", tiled, **objects)
        for step in (1, 2):
            facts = {"chosen": "instant", "scores": {"instant": score}, "step": step}
            project.rounds.add(lambda path: path.write_bytes(b"a model"), facts)


@st.composite
def projects(draw: Any) -> Callable[[Path], str]:
    """Draw what is done to a project: returns the name of the file it is done to."""
    name = draw(st.sampled_from(_FILES))
    is_bytes = draw(st.integers(0, 2)) == 0
    data = draw(st.data())
    if name.endswith(".sqlite") and not is_bytes:
        table = draw(st.sampled_from(list(_COLUMNS)))
        column = draw(st.sampled_from(_COLUMNS[table]))
        cell, version = draw(_CELLS), draw(st.sampled_from([1, 1, 1, 1, 0, 2, -1]))

        def spoil(folder: Path) -> str:
            with closing(sqlite3.connect(folder / name)) as database, database:
                database.execute(f"update or ignore {table} set {column} = ?", (cell,))
                database.execute(f"pragma user_version = {version}")
            return f"{table}.{column}"

        return spoil

    def spoil_file(folder: Path) -> str:
        path = folder / name
        if is_bytes:
            path.write_bytes(_spoiled_bytes(data.draw, path.read_bytes()))
            return f"{name}, bytes"
        text = _spoiled_json(data.draw, path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return name

    return spoil_file


def check_project(template: Path, spoil: Callable[[Path], str]) -> tuple[str, str]:
    """Spoil a copy of a project and use it; return what was spoiled, and the end."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "p.unet-project")
        shutil.copytree(template, folder)
        what = spoil(folder)
        reading = outcome_of(lambda: _read_project(folder))
        find_unsaved(Path(place), "first")
        writing = outcome_of(lambda: _work_on_project(folder))
    return what, reading if reading == writing else f"{reading}, then {writing}"


def _read_project(folder: Path) -> None:
    with Project.open(folder, is_read_only=True) as project:
        project.annotations.layers()
        for image in project.record.images:
            for mode in ("strokes", "objects"):
                project.annotation(image.number, mode)
                project.complete(image.number, mode)
                project.outlines(image.number, mode)
            project.is_changed(image.number)
            outcome_of(lambda number=image.number: project.find(number))
        for found in project.rounds:
            project.rounds.model(found.number)
        assert project.rounds.best is None or project.rounds.newest is not None
        project.record.next_unfinished(1)


def _work_on_project(folder: Path) -> None:
    labels = np.zeros((64, 300), np.uint8)
    labels[50, 20:60] = 2
    with Project.open(folder) as project:
        image = project.add_image(None, name="third", fingerprint="third")
        project.save_annotation(image.number, "strokes", TiledLabels.of(labels))
        kept = project.annotation(image.number, "strokes")
        assert kept is not None
        assert np.array_equal(kept, labels)
        list(project.painted())
        facts = {"chosen": "instant"}
        project.rounds.add(lambda path: path.write_bytes(b"a model"), facts)
        project.rounds.prune(10)
        project.find_image(folder / "first.tif", "first", "first")


# --- model files ----------------------------------------------------------------------


def make_training(path: Path) -> None:
    """Write a model with all from which training goes on."""
    learner = Learner(TINY)
    learner.annotate(*_square())
    finish(learner.fine_tune(steps=1))
    learner.save(path, with_training=True)


def _square() -> tuple[np.ndarray, np.ndarray]:
    image = np.zeros((32, 32), np.float32)
    image[:, 16:] = 1
    strokes = np.zeros((32, 32), np.uint8)
    strokes[4::12, 2:12], strokes[4::12, 18:28] = 1, 2
    return image, strokes


@st.composite
def trainings(draw: Any, content: bytes) -> bytes:
    """Draw a model file in whose header something odd stands."""
    n_header = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n_header])
    if draw(st.integers(0, 3)) == 0:
        header = json.loads(_spoiled_json(draw, json.dumps(header)))
    else:
        facts = header["__metadata__"]
        name = draw(st.sampled_from(sorted(facts)))
        try:
            facts[name] = _spoiled_json(draw, facts[name])
        except ValueError:  # no JSON
            facts[name] = draw(st.text(max_size=9))
    raw = json.dumps(header).encode("utf-8", "surrogatepass")
    return len(raw).to_bytes(8, "little") + raw + content[8 + n_header :]


def check_training(content: bytes) -> str:
    """Load a model file and train another step."""

    def use() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.safetensors")
            path.write_bytes(content)
            learner = load(path)
            image, strokes = _square()
            learner.annotate(image, strokes)
            finish(learner.fine_tune(steps=1))
            assert learner.predict(image).shape == image.shape

    return outcome_of(use)
