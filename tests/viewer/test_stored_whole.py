"""Whole predictions of large images in a real viewer: into a store that is shown."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import zarr
from conftest import paint_both

from napari_unet.config import LearnerConfig
from napari_unet.errors import ClusterError
from napari_unet.export import ZarrStore, is_complete
from napari_unet.jobs import TilePredicted, TileStored
from napari_unet.learning.inbox import Inbox
from napari_unet.widgets._stored_layer import LiveTiles, StoredLevel
from napari_unet.widgets.export import ExportDock
from napari_unet.widgets.segmentation import SegmentationDock
from napari_unet.widgets.settings import SettingsDock

pytestmark = pytest.mark.timeout(900)
WAIT_MS = 240_000  # other programs may have all cores
TILE_PX = 128
SHAPE = (520, 128)  # five tiles, two levels


def _job():
    """The real loop, with a small network and small tiles."""
    from napari_unet.learning.live import live

    inbox = Inbox()
    config = LearnerConfig(
        device="cpu",
        base_channels=4,
        depth=1,
        instant={"n_trees": 3},
        tiling={"tile_px": TILE_PX, "stream_tile_px": TILE_PX},
    )
    inbox.set_config = lambda _config: None  # of the dock: the usual ones

    def job(token):
        for event in live(config, inbox, token):
            yield event
            if token.cancelled:
                inbox.close()

    return inbox, job


def _at_work():
    """Names of the threads that read and write tiles."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("napari-unet-")]


@pytest.fixture(autouse=True)
def _no_reader_or_writer_is_left():
    yield
    assert not _at_work()


class Gate:
    """Lets so many tiles be written, and the next ones when it is opened."""

    def __init__(self):
        self._condition = threading.Condition()
        self._n_left = None

    def leave(self, n_tiles):
        """Let so many pass; None: all."""
        with self._condition:
            self._n_left = n_tiles
            self._condition.notify_all()

    def pass_one(self):
        with self._condition:
            self._condition.wait_for(lambda: self._n_left != 0, timeout=WAIT_MS / 1000)
            if self._n_left is not None:
                self._n_left -= 1


@pytest.fixture
def gate(monkeypatch):
    gate, write = Gate(), ZarrStore.write

    def written(*args):
        gate.pass_one()
        write(*args)

    monkeypatch.setattr(ZarrStore, "write", written)
    yield gate
    gate.leave(None)


@pytest.fixture
def case(make_napari_viewer, qtbot, tmp_path, monkeypatch, gate):
    """A viewer with an image that counts as large, painted, with a first overlay."""
    monkeypatch.setattr(
        "napari_unet.widgets._store_place.MAX_IN_MEMORY_PX", np.prod(SHAPE) - 1
    )
    monkeypatch.setattr("napari_unet.widgets._stored.REDRAW_MS", 20)
    monkeypatch.setenv("HOME", str(tmp_path))
    viewer = make_napari_viewer()
    dock = SegmentationDock(viewer, make_job=_job)
    viewer.window.add_dock_widget(dock)
    dock.viewer, dock.gate = viewer, gate
    image = np.random.default_rng(0).integers(0, 60, SHAPE)
    image[20:50, 20:50] += 150
    image[400:, :] += 150
    viewer.add_image(
        image.astype(np.uint8), name="slide", scale=(0.5, 0.5), translate=(3, 4)
    )
    dock.layer = dock.state.book.new_annotation()
    paint_both(dock.layer)
    qtbot.waitUntil(
        lambda: dock.state.session.overlay_time_s is not None, timeout=WAIT_MS
    )
    dock.refresh()
    yield dock
    gate.leave(None)
    dock.state.suspend()


def _stored(dock):
    return dock.state.stored.of(dock.state.book.current)


def _wait_for(dock, qtbot, phase):
    dock.gate.leave(None)
    qtbot.waitUntil(lambda: _stored(dock).phase == phase, timeout=WAIT_MS)


def _begin(dock, qtbot, n_tiles=1):
    """Press the button, and wait until so many tiles are stored: no more will be."""
    # tiles that an earlier run has under way would use up what may pass
    qtbot.waitUntil(lambda: not _at_work(), timeout=WAIT_MS)
    dock.gate.leave(n_tiles)
    dock.refresh()
    dock.overlay.predict.click()
    qtbot.waitUntil(
        lambda: (
            dock.state.book.current.stored is not None
            and _stored(dock).n_done >= n_tiles
        ),
        timeout=WAIT_MS,
    )


def test_a_large_image_goes_to_disk_and_is_shown(case, qtbot, tmp_path):
    dock, entry = case, case.state.book.current
    assert not dock.overlay.store.isHidden()
    path = tmp_path / "slide-labels.zarr"
    assert (
        "goes tile by tile into ~/slide-labels.zarr" in dock.overlay.store.text.text()
    )
    _begin(dock, qtbot)
    dock.refresh()
    assert dock.overlay.predict.text().startswith("Pause prediction")
    assert "learning waits" in dock.overlay.store.text.text()
    _wait_for(dock, qtbot, "done")
    dock.refresh()
    assert dock.overlay.store.text.text() == f"Labels are in {path}"
    assert is_complete(path)
    assert dock.learning.progress.isHidden()
    layer = entry.stored
    assert layer.multiscale
    assert not layer.editable
    for name in ("scale", "translate", "units"):
        assert np.all(getattr(layer, name) == getattr(entry.image, name))
    assert layer.colormap.color_dict[2] == pytest.approx(
        entry.prediction.colormap.color_dict[2]
    )
    entry.image.translate = (7, 7)
    assert tuple(layer.translate) == (7, 7)
    on_disk = zarr.open_group(path, mode="r")["0"][...]
    assert set(np.unique(on_disk)) <= {1, 2}
    dock.overlay.live.setChecked(False)
    entry.prediction.visible = False  # or newer tiles of it would lie above
    np.testing.assert_array_equal(np.asarray(layer.data[0]), on_disk)
    np.testing.assert_array_equal(np.asarray(layer.data[1]), on_disk[::2, ::2])


def test_pause_go_on_and_export(case, qtbot):
    dock = case
    _begin(dock, qtbot, 2)
    dock.overlay.predict.click()
    dock.gate.leave(None)
    assert _stored(dock).phase == "paused"
    dock.refresh()
    assert "Paused: slide-labels.zarr holds" in dock.overlay.store.text.text()
    layer = dock.state.book.current.stored
    _begin(dock, qtbot)
    _wait_for(dock, qtbot, "done")
    assert dock.state.book.current.stored is layer
    export = ExportDock(dock.viewer)
    qtbot.addWidget(export)
    assert export.form.labels.value is layer
    path = _stored(dock).path
    assert export.note.text() == f"Labels are in {path}"
    assert not export.show_folder.isHidden()
    copy = path.with_name("copy.npy")
    export.form.path.setText(str(copy))
    export.form.on_typed(str(copy))
    export.export.click()
    qtbot.waitUntil(lambda: "Saved" in export.result.text())
    on_disk = zarr.open_array(path / "0", mode="r")[...]
    np.testing.assert_array_equal(np.load(copy), on_disk)


def test_another_model_is_asked_about(case, qtbot, tmp_path):
    dock = case
    _begin(dock, qtbot)
    dock.refresh()
    dock.learning.stop.click()
    dock.gate.leave(None)
    dock.refresh()
    assert not dock.learning.stop.isEnabled()
    generation = dock.state.session.generation
    dock.layer.paint((300, 60), 1)
    qtbot.waitUntil(lambda: dock.state.session.generation > generation, timeout=WAIT_MS)
    dock.refresh()
    dock.overlay.predict.click()
    _wait_for(dock, qtbot, "taken")
    before = sorted((tmp_path / "slide-labels.zarr").rglob("*"))
    dock.refresh()
    assert "another model" in dock.overlay.store.text.text()
    assert not dock.overlay.predict.isEnabled()
    dock.overlay.store.other.click()
    _wait_for(dock, qtbot, "done")
    assert is_complete(tmp_path / "slide-labels-2.zarr")
    assert sorted((tmp_path / "slide-labels.zarr").rglob("*")) == before
    dock.state.stored.place(dock.state.book.current, tmp_path / "slide-labels.zarr")
    dock.refresh()
    dock.overlay.predict.click()
    _wait_for(dock, qtbot, "taken")
    dock.refresh()
    dock.overlay.store.overwrite.click()
    _wait_for(dock, qtbot, "done")
    assert is_complete(tmp_path / "slide-labels.zarr")


def test_a_removed_layer_pauses_it(case, qtbot):
    dock = case
    _begin(dock, qtbot)
    dock.viewer.layers.remove(dock.state.book.current.stored)
    dock.gate.leave(None)
    assert _stored(dock).phase == "paused"
    assert "was removed" in dock.state.session.message
    _begin(dock, qtbot)
    _wait_for(dock, qtbot, "done")
    assert dock.state.book.current.stored in dock.viewer.layers


def test_a_removed_image_ends_it(case, qtbot):
    dock = case
    _begin(dock, qtbot)
    dock.viewer.layers.remove(dock.state.book.current.image)
    dock.gate.leave(None)
    assert dock.state.stored.running is None
    assert "keeps the finished part" in dock.state.session.message
    dock.refresh()


def test_a_viewer_that_closes_leaves_no_thread(case, qtbot, monkeypatch):
    _begin(case, qtbot)
    live, stop = case.state.live, case.state.live.stop

    def stop_in_the_middle():
        case.gate.leave(None)  # a tile that is being written is written to its end
        return stop()

    monkeypatch.setattr(live, "stop", stop_in_the_middle)
    case.viewer.close()
    assert not live.bridge.worker.is_alive


def test_a_folder_that_goes_away(case, qtbot, tmp_path):
    dock = case
    _begin(dock, qtbot)
    path = _stored(dock).path
    aside = tmp_path / "aside"
    path.rename(aside)
    path.write_text("a file now")
    _wait_for(dock, qtbot, "paused")
    assert str(path) in dock.state.session.message
    dock.viewer.reset_view()  # which reads it
    dock.refresh()
    assert dock.overlay.predict.isEnabled()
    path.unlink()
    aside.rename(path)
    _begin(dock, qtbot)
    _wait_for(dock, qtbot, "done")


def test_a_full_disk_is_said_before(case, qtbot, monkeypatch):
    dock = case
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    dock.overlay.predict.click()
    dock.refresh()
    assert "has 0 MB left" in dock.overlay.store.text.text()
    assert dock.state.session.progress is None
    assert dock.state.stored.running is None


def test_a_cluster_that_is_not_there(case, qtbot, monkeypatch, tmp_path):
    dock, asked = case, []

    def refuse(config):
        asked.append(config)
        raise ClusterError("no dask scheduler answers at tcp://nowhere:1")

    monkeypatch.setattr("napari_unet.inference.cluster.connect", refuse)
    settings = SettingsDock(dock.viewer)
    qtbot.addWidget(settings)
    assert settings.scheduler.placeholderText() == "this computer"
    settings.scheduler.setText(" tcp://nowhere:1 ")
    settings.scheduler.editingFinished.emit()
    dock.refresh()
    assert dock.overlay.store.text.text().startswith("Large, on tcp://nowhere:1: goes")
    dock.overlay.predict.click()
    dock.refresh()
    assert "tcp://nowhere:1 computes" in dock.overlay.store.text.text()
    _wait_for(dock, qtbot, "planned")
    dock.refresh()
    assert [config.address for config in asked] == ["tcp://nowhere:1"]
    assert dock.state.session.message == "no dask scheduler answers at tcp://nowhere:1"
    assert not (tmp_path / "slide-labels.zarr").exists()
    assert dock.learning.progress.isHidden()
    again = SettingsDock(dock.viewer)  # the viewer remembers
    qtbot.addWidget(again)
    assert again.scheduler.text() == "tcp://nowhere:1"
    again.scheduler.setText("")
    again.scheduler.editingFinished.emit()
    _begin(dock, qtbot)
    _wait_for(dock, qtbot, "done")
    assert len(asked) == 1


def test_a_cluster_of_this_machine(case, qtbot, monkeypatch, tmp_path):
    pytest.importorskip("distributed")
    monkeypatch.setattr("napari_unet.widgets._stored.ANSWER_S", 240.0)
    dock, entry = case, case.state.book.current
    dock.state.stored.compute_on("local:1")
    dock.refresh()
    dock.overlay.predict.click()
    qtbot.waitUntil(lambda: _stored(dock).phase == "done", timeout=WAIT_MS)
    assert entry.stored in dock.viewer.layers
    there = tmp_path / "slide-labels.zarr"
    dock.state.stored.compute_on("")
    dock.state.stored.place(entry, tmp_path / "here.zarr")
    dock.refresh()
    dock.overlay.predict.click()
    _wait_for(dock, qtbot, "done")
    for level in ("0", "1"):
        one, other = (
            zarr.open_group(path, mode="r")[level][...]
            for path in (there, tmp_path / "here.zarr")
        )
        np.testing.assert_array_equal(one, other)


def test_the_newer_of_two_overlays_shows_alone():
    live = LiveTiles()
    level = StoredLevel(np.full((2, 50, 50), 2, np.uint8), 2, live)
    overlay = np.zeros((2, 100, 100), np.uint8)
    overlay[1, 20:51, 30:60] = 1
    tile = TilePredicted("k", (1,), 20, 30, overlay[1, 20:51, 30:60], "instant", 5)
    live.note(tile)
    expected = np.full((50, 50), 2)
    expected[10:26, 15:30] = 0  # pixels 20, 22, ... 50 and 30, 32, ... 58
    everything = slice(None, None, 1)
    found = level[(1, everything, everything)]
    np.testing.assert_array_equal(found, expected)
    part = level[(1, slice(12, 40), slice(0, 20))]
    np.testing.assert_array_equal(part, expected[12:40, :20])
    assert (level[(0, everything, everything)] == 2).all()
    older = TileStored("k", (1,), 0, 0, 64, 64, 4)
    assert not live.give_way(older, overlay)
    newer = TileStored("k", (1,), 0, 0, 64, 64, 6)
    assert live.give_way(newer, overlay)
    assert not overlay.any()
    assert (level[(1, everything, everything)] == 2).all()


def test_what_the_disk_does_not_give_is_empty():
    class Gone:
        shape, dtype = (10, 20), np.uint8

        def __getitem__(self, _where):
            raise OSError("gone")

    level = StoredLevel(Gone(), 1, LiveTiles())
    assert not level[(slice(2, 5), slice(0, 7))].any()
    assert level[(slice(2, 5), slice(0, 7))].shape == (3, 7)


def test_places(case, tmp_path):
    from napari.layers import Image
    from napari.layers._source import layer_source

    from napari_unet.widgets._store_place import default_path, free_path, store_path

    def path_of(source, name="x"):
        with layer_source(path=source):
            image = Image(np.zeros((4, 4)), name=name)
        return default_path(image, None)

    (tmp_path / "data").mkdir()
    assert path_of(None, "a/b") == tmp_path / "a-b-labels.zarr"
    assert path_of("https://x.org/a.zarr") == tmp_path / "x-labels.zarr"
    assert path_of(str(tmp_path / "data" / "c.ome.zarr")) == (
        tmp_path / "data" / "c-labels.zarr"
    )
    plate = str(tmp_path / "data" / "plate.zarr" / "A" / "1")
    assert path_of(plate) == tmp_path / "data" / "plate-x-labels.zarr"
    (tmp_path / "x-labels.zarr").mkdir()  # of somebody else
    assert path_of(None) == tmp_path / "x-labels-2.zarr"
    assert free_path(Path(tmp_path / "x-labels.zarr")).name == "x-labels-2.zarr"
    assert store_path("/tmp/a.b").name == "a.b.zarr"
