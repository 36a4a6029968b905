"""The whole image of the loop, computed by a cluster. This one is made of paper."""

import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from scripted_loop import notices, of, run

from napari_unet.config import ClusterConfig
from napari_unet.errors import ClusterError
from napari_unet.export import is_complete, open_store
from napari_unet.inference.predict import as_shown
from napari_unet.jobs import (
    CancelToken,
    HeadFitted,
    Progress,
    StoreOpened,
    TilePredicted,
    TileStored,
    Waited,
    WholeEnded,
)
from napari_unet.learning.inbox import ViewRequest

CLUSTER = ClusterConfig(address="tcp://elsewhere:8786")


class PaperRun:
    """Computes a tile at every second wait, as a worker of a real cluster does."""

    n_workers = 2

    def __init__(self, work):
        self.work, self.pending, self.n_waits, self.n_sent = work, [], 0, 0

    def check_workers(self, _token):
        pass

    @property
    def has_room(self):
        return self.n_pending < 3

    @property
    def n_pending(self):
        return len(self.pending)

    def send(self, slab_tile, sent):
        self.n_sent += sent is not None
        self.pending.append((slab_tile, sent))

    def wait(self):
        self.n_waits += 1
        if self.n_waits % 2:
            return [], []
        slab_tile, sent = self.pending.pop(0)
        image, predictor = self.work.image, self.work.predictor
        source = image.opened() if sent is None else image.received(sent)
        for plane, n_planes in slab_tile.planes:
            found = predictor.probabilities(source, plane, slab_tile.tile, n_planes)
            shown = as_shown(predictor, found, self.work.of_objects)
            index = source.stack.index(plane)
            self.work.writer.write(index, slab_tile.tile, shown)
        return [slab_tile], []


@pytest.fixture
def runs(monkeypatch):
    """Let the paper cluster answer; returns its runs, and whether it was left."""
    made = SimpleNamespace(runs=[], n_open=0)
    names = ["predictor", "image", "writer", "of_objects", "device", "shares_gpus"]

    def work(*values):
        return SimpleNamespace(**dict(zip(names, values, strict=True)))

    @contextmanager
    def run_on_paper(work, _token):
        made.runs.append(PaperRun(work))
        yield made.runs[-1]

    @contextmanager
    def connect(config):
        assert config is CLUSTER
        made.n_open += 1
        try:
            yield SimpleNamespace(is_local=False, run=run_on_paper)
        finally:
            made.n_open -= 1

    worker = SimpleNamespace(Work=work)  # the real one needs distributed
    monkeypatch.setitem(sys.modules, "napari_unet.inference.cluster_worker", worker)
    monkeypatch.setattr("napari_unet.inference.cluster.connect", connect)
    yield made
    assert made.n_open == 0


@pytest.fixture
def tiled(config):
    """Settings by which the image has nine tiles."""
    tiling = config.tiling.model_copy(update={"tile_px": 16, "stream_tile_px": 16})
    return config.model_copy(update={"tiling": tiling})


@pytest.fixture
def into(tmp_path):
    """Return a function that asks for the whole image, into a store."""

    def make(name, cluster):
        def opener(plan):
            return open_store(tmp_path / name, plan, resume=True)

        return lambda inbox: inbox.predict_all("image", None, opener, cluster)

    return make


@pytest.fixture
def paint(image, strokes):
    return lambda inbox: inbox.annotate("image", image, strokes.copy())


def _levels(path):
    return [array[...] for _, array in sorted(zarr.open_group(path).arrays())]


def test_the_same_pixels_in_every_level_as_they_come(
    tiled, paint, into, runs, tmp_path
):
    levels = []

    def look(event, _inbox):
        if isinstance(event, StoreOpened):
            levels.extend(event.levels)
        if isinstance(event, TileStored):
            for n, level in enumerate(levels):
                rows = slice(event.y >> n, (event.y + event.height) >> n)
                columns = slice(event.x >> n, (event.x + event.width) >> n)
                assert level[rows, columns].all()

    run(tiled, paint, into("here.zarr", None))
    assert not runs.runs
    events = run(tiled, paint, into("there.zarr", CLUSTER), on=look)
    assert len(of(events, TileStored)) == runs.runs[0].n_sent == 9
    assert not of(events, TilePredicted)
    assert of(events, StoreOpened)[-1].n_tiles == 9
    wanted = [n for n in of(events, Progress) if n.what == "predict"]
    assert [n.done for n in wanted] == list(range(1, 10))
    assert of(events, WholeEnded)[-1].is_done
    assert is_complete(tmp_path / "there.zarr")
    said = notices(events, "info")
    assert "Computing on 2 workers." in said
    here, there = (_levels(tmp_path / f"{name}.zarr") for name in ("here", "there"))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_image_on_disk_is_opened_by_the_workers(
    tiled, image, strokes, into, runs, tmp_path
):
    on_disk = zarr.create_array(tmp_path / "image.zarr", data=image, chunks=(16, 16))

    def paint(inbox):
        inbox.annotate("image", on_disk, strokes.copy())

    events = run(tiled, paint, into("a.zarr", CLUSTER))
    assert runs.runs[0].n_sent == 0
    assert of(events, WholeEnded)[-1].is_done


def test_strokes_are_shown_while_the_cluster_computes(
    tiled, paint, into, runs, image, strokes
):
    strokes = strokes.copy()
    strokes[-4:, :] = 2 - (strokes[-4:, :] == 2)
    seen = []

    def correct(event, inbox):
        if isinstance(event, Waited) and "painted" not in seen:
            seen.append("painted")
            inbox.annotate("image", image, strokes)
        if isinstance(event, HeadFitted | TileStored) and seen:
            seen.append(type(event))

    events = run(tiled, paint, into("a.zarr", CLUSTER), on=correct)
    assert seen[:2] == ["painted", HeadFitted]
    assert seen.count(TileStored) == 9
    assert len({tile.generation for tile in of(events, TileStored)}) == 1


def test_paused_there_and_gone_on_with_here(tiled, paint, into, runs, tmp_path):
    def stop(event, inbox):
        if isinstance(event, Progress) and event.done == 4:
            inbox.cancel_prediction()

    events = run(tiled, paint, into("a.zarr", CLUSTER), on=stop)
    assert len(of(events, TileStored)) == 4
    assert not of(events, WholeEnded)[-1].is_done
    events = run(tiled, paint, into("a.zarr", None))
    assert of(events, StoreOpened)[0].n_done == 4
    assert len(of(events, TileStored)) == 5
    assert is_complete(tmp_path / "a.zarr")


def test_a_cluster_that_does_not_answer_is_a_sentence(
    tiled, paint, into, monkeypatch, tmp_path
):
    @contextmanager
    def refuse(config):
        raise ClusterError(f"no dask scheduler answers at {config.address}")
        yield

    monkeypatch.setattr("napari_unet.inference.cluster.connect", refuse)
    events = run(tiled, paint, into("a.zarr", CLUSTER), lambda inbox: inbox.refresh())
    said = notices(events, "warning")
    assert said == ["no dask scheduler answers at tcp://elsewhere:8786"]
    assert not of(events, WholeEnded)[-1].is_done
    assert not (tmp_path / "a.zarr").exists()


@pytest.fixture
def slow(monkeypatch):
    """A scheduler that answers when it is told to; and whether it was left."""
    made = SimpleNamespace(answer=threading.Event(), is_open=False)

    @contextmanager
    def connect(config):
        assert made.answer.wait(30)
        made.is_open = True
        yield SimpleNamespace(is_local=False)
        made.is_open = False

    monkeypatch.setattr("napari_unet.inference.cluster.connect", connect)
    return made


def test_the_overlay_goes_on_while_a_cluster_is_looked_for(tiled, paint, into, slow):
    def on(event, inbox):
        if isinstance(event, Waited) and not slow.answer.is_set():
            inbox.show(ViewRequest("image", (), 0, 48, 0, 48))
        if isinstance(event, TilePredicted):
            inbox.cancel_prediction()
            slow.answer.set()

    events = run(tiled, paint, into("a.zarr", CLUSTER), on=on)
    tiles = of(events, TilePredicted)
    assert events.index(tiles[0]) < events.index(of(events, WholeEnded)[-1])
    assert not slow.is_open


def test_a_cluster_that_nobody_waits_for_any_more_is_left(tiled, paint, into, slow):
    token = CancelToken()

    def on(event, _inbox):
        if isinstance(event, Waited):
            token.cancel()
            slow.answer.set()

    run(tiled, paint, into("a.zarr", CLUSTER), on=on, token=token)
    assert not slow.is_open
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("napari-unet-connect")]
