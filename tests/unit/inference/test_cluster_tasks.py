"""Tasks on a cluster that is a fake: how many, lost ones, and what is said."""

import asyncio
import logging
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("distributed")

from distributed import KilledWorker

from napari_unet.config import ClusterConfig
from napari_unet.errors import ClusterError, ImageError
from napari_unet.inference import cluster as cluster_module
from napari_unet.inference.cluster import Cluster, connect
from napari_unet.inference.cluster_worker import TilePlugin
from napari_unet.inference.local_cluster import local_cluster
from napari_unet.inference.stream import SlabTile
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import CancelToken

CONFIG = ClusterConfig(address="tcp://fake:8786", answer_s=2)
TILES = [SlabTile(Tile(0, 8, x, x + 8), ((0, 1),)) for x in range(0, 80, 8)]


class FakeFuture:
    def __init__(self, key, status, error):
        self.key, self.status, self.error = key, status, error
        self.is_released = False

    def done(self):
        return self.status != "pending"

    def add_done_callback(self, call):
        if self.done():
            call(self)

    def exception(self, timeout):
        return self.error

    def release(self):
        self.is_released = True


class FakeClient:
    """Ends tasks with the outcomes that it was given, the rest with ``last``."""

    status = "running"

    def __init__(self, n_threads=(1, 8), outcomes=(), last="finished", error=None):
        self.threads = {f"w{i}": n for i, n in enumerate(n_threads)}
        self.outcomes, self.last, self.error = list(outcomes), last, error
        self.futures, self.plugins, self.cancelled = [], {}, []

    def sync(self, call, callback_timeout):
        return asyncio.run(asyncio.wait_for(call(), callback_timeout))

    async def nthreads(self):
        return self.threads

    async def register_plugin(self, plugin, name):
        self.plugins[name] = plugin
        if isinstance(self.error, ImportError):
            raise self.error

    async def unregister_worker_plugin(self, name):
        del self.plugins[name]

    async def cancel(self, futures):
        self.cancelled += futures

    def submit(self, _task, _name, method, *_args, key, **_options):
        status = "finished"
        if method == "predict":
            status = self.outcomes.pop(0) if self.outcomes else self.last
        self.futures.append(FakeFuture(key, status, self.error))
        return self.futures[-1]


def _all(client, tiles=TILES, token=None):
    """Let all tiles be done, as the job does; return those written, and most pending"""
    written, waiting, most = [], list(tiles), 0
    with Cluster(client, CONFIG).run("work", token) as run:
        run.check_workers(token)
        while waiting or run.n_pending:
            while waiting and run.has_room:
                run.send(waiting.pop(0), None)
            most = max(most, run.n_pending)
            done, lost = run.wait()
            written += done
            waiting += lost
    return written, most


def test_all_tiles_a_few_at_a_time():
    client = FakeClient()
    written, most = _all(client)
    assert written == TILES
    assert most == 2 + 3  # one to come for each worker, two at work at most
    assert all(future.is_released for future in client.futures)
    assert not client.plugins


def test_tiles_that_were_cancelled_elsewhere_are_sent_again():
    written, _ = _all(FakeClient(outcomes=["cancelled", "finished", "lost"]))
    assert sorted(written, key=TILES.index) == TILES
    client = FakeClient(last="cancelled")
    with pytest.raises(ClusterError, match="y 0, x 0 was cancelled on the cluster 3"):
        _all(client, TILES[:1])
    assert not client.plugins


def test_what_fails_ends_the_run_and_leaves_nothing_there():
    error = ImageError("worker tcp://w: torn")
    client = FakeClient(outcomes=["finished", "error"], last="pending", error=error)
    with pytest.raises(ImageError, match="torn"):
        _all(client)
    assert [future.status for future in client.cancelled] == ["pending"] * 3
    assert not client.plugins


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            KilledWorker("k", SimpleNamespace(address="w"), 3),
            "the tile at y 0, x 0 ended 4 workers one after the other, most likely",
        ),
        (
            AttributeError("no Work"),
            r"cannot load the model \(no Work\): install napari",
        ),
    ],
)
def test_what_distributed_says_becomes_a_sentence(error, text):
    client = FakeClient(last="error", error=error)
    with pytest.raises(ClusterError, match=text) as caught:
        _all(client)
    assert caught.value.__cause__ is error


def test_workers_without_the_package():
    client = FakeClient(error=ModuleNotFoundError("No module named 'napari_unet'"))
    with pytest.raises(ClusterError, match=r"No module named .*install napari-unet \d"):
        _all(client)
    assert not client.plugins


def test_no_worker():
    with pytest.raises(ClusterError, match="has no worker: start some with `dask work"):
        _all(FakeClient(n_threads=()))
    token = CancelToken()
    token.cancel()
    with Cluster(FakeClient(n_threads=()), CONFIG).run("work", token) as run:
        assert not run.has_room


def test_a_scheduler_that_does_not_answer():
    client = FakeClient()

    async def never():
        await asyncio.sleep(3600)

    client.nthreads = never
    cluster = Cluster(client, CONFIG.model_copy(update={"answer_s": 0.01}))
    with pytest.raises(ClusterError, match=r"has not answered within 0\.01 s"):
        cluster.n_threads()


def test_a_scheduler_that_refuses_is_not_one_that_is_slow():
    client = FakeClient()

    async def refuse():
        raise ConnectionRefusedError(111, "Connection refused")

    client.nthreads = refuse
    with pytest.raises(ClusterError, match=r"reached \(.*Connection refused\); see"):
        Cluster(client, CONFIG).n_threads()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), "has not answered within 2 s"),
        (OSError("closed"), r"the scheduler at .* cannot be reached \(closed\)"),
    ],
)
def test_why_a_task_failed_may_not_be_told(monkeypatch, error, text):
    def silent(self, timeout):
        raise error

    monkeypatch.setattr(FakeFuture, "exception", silent)
    with pytest.raises(ClusterError, match=text):
        _all(FakeClient(last="error"))


def test_a_connection_that_is_lost():
    client = FakeClient(last="pending")
    with Cluster(client, CONFIG).run("work", None) as run:
        client.status = "closed"
        with pytest.raises(ClusterError, match=r"connection to .* was lost; start"):
            run.wait()


def test_workers_that_are_all_lost(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(cluster_module.time, "monotonic", lambda: now[0])
    client = FakeClient(last="pending")
    with Cluster(client, CONFIG).run("work", None) as run:
        run.check_workers(None)
        run.send(TILES[0], None)
        client.threads = {}
        now[0] += 10
        run.wait()
        assert run.n_workers == 0
        now[0] += CONFIG.patience_s + 1
        with pytest.raises(ClusterError, match="has had no worker for 600 s"):
            run.wait()


def test_without_distributed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ClusterError, match=r"pip install 'napari-unet\[distributed\]'"),
        connect(CONFIG),
    ):
        pass


def test_a_local_cluster_has_workers():
    with (
        pytest.raises(ClusterError, match="local:1 or more"),
        connect(ClusterConfig(address="local:0")),
    ):
        pass


@pytest.mark.parametrize(("device", "n_wanted"), [("cpu", 4), ("auto", 2)])
def test_a_local_cluster_has_a_worker_for_each_gpu_that_is_used(
    monkeypatch, device, n_wanted
):
    started = []

    class Fake:
        def __init__(self, n_workers, **_options):
            started.append(n_workers)

        def close(self, timeout):
            pass

    monkeypatch.setattr("distributed.LocalCluster", Fake)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    monkeypatch.setattr(
        "napari_unet.core.memory.total_memory_bytes", lambda: 64 * 2**30
    )
    with local_cluster(None, device):
        assert started == [n_wanted]


def test_what_distributed_logs_is_heard_again_afterwards():
    logger = logging.getLogger("distributed.client")
    before = logger.level
    with pytest.raises(ClusterError), connect(ClusterConfig(address="x://y")):
        pass
    assert logger.level == before < logging.CRITICAL


def _plugin(version):
    worker = SimpleNamespace(
        address="tcp://w:1", name=0, state=SimpleNamespace(nthreads=3)
    )
    plugin = TilePlugin(b"", version)
    plugin.setup(worker)
    return plugin, worker


def test_a_worker_of_another_version():
    plugin, _ = _plugin("0.0.0")
    with pytest.raises(ClusterError, match=r"worker tcp://w:1: it has .* 0\.0\.0: in"):
        plugin.make_ready()


def test_nothing_is_written_for_a_run_that_has_ended():
    plugin, worker = _plugin("1")
    with plugin.writing():
        pass
    plugin.teardown(worker)
    with pytest.raises(ClusterError, match="has ended"), plugin.writing():
        pass
