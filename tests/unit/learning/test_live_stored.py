"""The whole image of the loop, into a store."""

import threading

import numpy as np
import pytest
import zarr
from scripted_loop import notices, of, run

from napari_unet.errors import FileError
from napari_unet.export import is_complete, open_store
from napari_unet.jobs import (
    Progress,
    StoreOpened,
    StoreTaken,
    TilePredicted,
    TileStored,
    WholeEnded,
)


@pytest.fixture
def tiled(config):
    """Settings by which the image has nine tiles."""
    tiling = config.tiling.model_copy(update={"tile_px": 16, "stream_tile_px": 16})
    return config.model_copy(update={"tiling": tiling})


@pytest.fixture
def into(tmp_path):
    """Return a function that asks for the whole image, into a store."""

    def make(name="a.zarr", **options):
        def opener(plan):
            return open_store(tmp_path / name, plan, **options)

        return lambda inbox: inbox.predict_all("image", None, opener)

    return make


@pytest.fixture
def paint(image, strokes):
    return lambda inbox: inbox.annotate("image", image, strokes.copy())


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("napari-unet")]


def _whole(path):
    return zarr.open_group(path, mode="r")["0"][...]


def test_each_tile_can_be_read_when_it_is_announced(tiled, paint, into, tmp_path):
    seen, levels = [], []

    def look(event, _inbox):
        if isinstance(event, StoreOpened):
            levels.append(event.levels[0])
        if isinstance(event, TileStored):
            rows = slice(event.y, event.y + event.height)
            columns = slice(event.x, event.x + event.width)
            seen.append(levels[0][rows, columns].all())

    events = run(tiled, paint, into(), on=look)
    assert seen == [True] * 9
    assert not of(events, TilePredicted)
    (opened,) = of(events, StoreOpened)
    assert opened.n_tiles == 9
    assert of(events, WholeEnded)[-1].is_done
    assert is_complete(tmp_path / "a.zarr")
    assert any("Predicted the whole image" in m for m in notices(events, "info"))


def test_strokes_come_between_tiles_and_the_model_stays_one(
    tiled, paint, into, image, strokes, tmp_path
):
    run(tiled, paint, into())
    strokes = strokes.copy()
    strokes[-4:, :] = 2 - (strokes[-4:, :] == 2)

    def correct(event, inbox):
        if isinstance(event, Progress) and event.done == 3:
            inbox.annotate("image", image, strokes)

    events = run(tiled, paint, into("b.zarr"), on=correct)
    assert len(of(events, TileStored)) == 9
    assert len({tile.generation for tile in of(events, TileStored)}) == 1
    first, second = (_whole(tmp_path / name) for name in ("a.zarr", "b.zarr"))
    np.testing.assert_array_equal(first, second)


def test_stopped_and_gone_on_with(tiled, paint, into, tmp_path):
    def stop(event, inbox):
        if isinstance(event, Progress) and event.done == 4:
            inbox.cancel_prediction()

    events = run(tiled, paint, into(), on=stop)
    assert not of(events, WholeEnded)[-1].is_done
    assert not is_complete(tmp_path / "a.zarr")
    n_first = len(of(events, TileStored))
    events = run(tiled, paint, into(resume=True))
    assert n_first + len(of(events, TileStored)) == 9
    assert of(events, StoreOpened)[0].n_tiles == 9
    assert of(events, WholeEnded)[-1].is_done
    events = run(tiled, paint, into(resume=True))  # all is there
    (opened,) = of(events, StoreOpened)
    assert opened.n_done == 9
    assert not of(events, TileStored)
    assert of(events, WholeEnded)[-1].is_done


def test_a_store_of_another_model_is_left_alone(tiled, paint, into, tmp_path):
    run(tiled, paint, into())
    before = _whole(tmp_path / "a.zarr")
    other = tiled.model_copy(update={"seed": 7})
    events = run(other, paint, into(resume=True))
    assert len(of(events, StoreTaken)) == 1
    assert not of(events, WholeEnded)[-1].is_done
    np.testing.assert_array_equal(_whole(tmp_path / "a.zarr"), before)
    events = run(other, paint, into(overwrite=True))
    assert of(events, WholeEnded)[-1].is_done


def test_a_full_disk_is_a_sentence_and_the_loop_goes_on(
    tiled, paint, into, monkeypatch
):
    def full(*_args):
        raise FileError("the disk is full")

    monkeypatch.setattr("napari_unet.export.stream_store.ZarrStore.write", full)
    events = run(tiled, paint, into(), lambda inbox: inbox.refresh())
    assert notices(events, "warning") == ["the disk is full"]
    assert not of(events, WholeEnded)[-1].is_done


def test_the_loop_ends_in_the_middle(tiled, paint, into, tmp_path):
    def close(event, inbox):
        if isinstance(event, Progress) and event.done == 2:
            inbox.close()

    run(tiled, paint, into(), on=close)
    assert not is_complete(tmp_path / "a.zarr")
