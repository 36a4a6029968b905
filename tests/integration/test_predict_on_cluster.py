"""Prediction by two worker processes: the same pixels, whoever dies or is stopped."""

import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

pytest.importorskip("distributed")

from napari_unet import Learner, LearnerConfig
from napari_unet.cli import main
from napari_unet.config import ClusterConfig
from napari_unet.errors import ClusterError, FileError, ImageError
from napari_unet.export import is_complete, open_store
from napari_unet.inference.cluster import connect
from napari_unet.jobs import CancelToken, Notice, Progress, finish

SMALL = {
    "base_channels": 4,
    "depth": 1,
    "device": "cpu",
    "instant": {"n_trees": 5},
    "tiling": {"tile_px": 32, "stream_tile_px": 32},
}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def cluster():
    config = ClusterConfig(address="local:2", answer_s=240)
    with connect(config) as cluster:
        yield cluster


def _image(shape, seed=0):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 700, shape[1])
    ramp = ramp[:, None] if shape[-1] == 3 else np.resize(ramp, shape[-1])
    return (ramp + 300 * rng.random(shape)).astype(np.uint16)


def _learner(shape=(40, 60), axes="YX", candidate="instant+forest", **settings):
    strokes = np.zeros([n for n, a in zip(shape, axes, strict=True) if a != "C"], "u1")
    strokes[..., 5, 3:12] = strokes[..., 30, 2:10] = 1
    strokes[..., 8, 40:55] = strokes[..., 33, 45:58] = 2
    learner = Learner(LearnerConfig(**SMALL, **settings))
    learner.annotate(_image(shape), strokes, axes=axes)
    if candidate.startswith("fine-tuned"):
        finish(learner.fine_tune(steps=2))
    finish(learner.update())
    state = learner._state
    state.complete()
    state.model = state.model.using(state.tuned, candidate)
    return learner


@pytest.fixture(scope="module")
def learner():
    return _learner()


def _job(learner, path, image, cluster, *, axes=None, token=None, opened=None, **how):
    return learner.stream_job(
        image,
        lambda plan: open_store(path, plan, **how),
        key="image",
        axes=axes,
        token=token,
        cluster=cluster,
        open_image=opened,
    )


def _level0(path):
    return zarr.open_group(path, mode="r")["0"][...]


def _check(learner, path, image, axes):
    """See that the labels are those of a run without a cluster, of both classes."""
    labels = _level0(path)
    np.testing.assert_array_equal(labels, learner.predict(image, axes=axes))
    assert set(np.unique(labels)) == {1, 2}
    assert is_complete(path)
    assert not list(path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((75, 101), "YX"), ((2, 33, 70), "ZYX"), ((2, 2, 9, 40), "TZYX")],
)
def test_pixels_that_are_sent(learner, cluster, tmp_path, shape, axes):
    path, image = tmp_path / "o.zarr", _image(shape)
    events = list(
        _job(learner, path, image, cluster, axes=axes, with_probabilities=True)
    )
    _check(learner, path, image, axes)
    found = np.moveaxis(
        _level0(tmp_path / "o-probabilities.zarr"), 1 if "T" in axes else 0, 0
    )
    expected = learner.predict_probabilities(image, axes=axes)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    done = [e.done for e in events if isinstance(e, Progress) and e.what == "predict"]
    assert done == list(range(1, done[-1] + 1))
    assert Notice("Computing on 2 workers.", "device") in events


def test_colours(cluster, tmp_path):
    learner = _learner((40, 60, 3), "YXC")
    path, image = tmp_path / "o.zarr", _image((50, 67, 3))
    finish(_job(learner, path, image, cluster, axes="YXC"))
    _check(learner, path, image, "YXC")


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_network_that_sees_the_planes_around(cluster, tmp_path, is_sent):
    learner = _learner((4, 40, 60), "ZYX", "fine-tuned", dimensions="2.5d")
    path, image = tmp_path / "o.zarr", _image((5, 40, 70))
    np.save(tmp_path / "i.npy", image)
    opened = None if is_sent else partial(np.load, tmp_path / "i.npy")
    finish(_job(learner, path, image, cluster, axes="ZYX", opened=opened))
    _check(learner, path, image, "ZYX")


def test_an_object_mode_model_that_merges_its_border(cluster, tmp_path):
    learner = _learner(annotation_mode="objects", candidate="instant")
    path, image = tmp_path / "o.zarr", _image((50, 67))
    finish(_job(learner, path, image, cluster))
    np.testing.assert_array_equal(_level0(path), learner.predict(image))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_worker_that_is_killed(learner, cluster, tmp_path):
    path, image = tmp_path / "o.zarr", _image((400, 300))
    pids = cluster.client.run(os.getpid)
    victim = sorted(pids.values())[0]
    seen = []
    for event in _job(learner, path, image, cluster, with_probabilities=True):
        if isinstance(event, Progress) and event.what == "predict":
            seen.append(event.done)
            if len(seen) == 5:
                os.kill(victim, signal.SIGKILL)
    assert seen == list(range(1, 131))
    _check(learner, path, image, "YX")
    np.testing.assert_array_equal(
        _level0(tmp_path / "o-probabilities.zarr").argmax(0) + 1, _level0(path)
    )


def test_stopped_and_gone_on_with_here_and_there(learner, cluster, tmp_path):
    path, image = tmp_path / "o.zarr", _image((200, 200))
    job = _job(learner, path, image, cluster)
    for event in job:
        if isinstance(event, Progress) and event.done == 5:
            job.close()
    before = zarr.open_group(path)["progress"][...] > 0
    assert 5 <= before.sum() < 49
    # whatever workers were computing, they write no more
    labels = _level0(path)
    token = CancelToken()
    for event in _job(learner, path, image, None, token=token, resume=True):
        if isinstance(event, Progress):
            token.cancel()
    after = zarr.open_group(path)["progress"][...] > 0
    assert before.sum() < after.sum() < 49
    new = np.kron(after & ~before, np.ones((32, 32), "u1"))[:200, :200] == 1
    np.testing.assert_array_equal(_level0(path)[~new], labels[~new])
    events = list(_job(learner, path, image, cluster, resume=True))
    assert Notice(f"{after.sum()} of 49 tiles were there already.") in events
    _check(learner, path, image, "YX")


def test_a_run_that_is_cancelled(learner, cluster, tmp_path):
    token, path = CancelToken(), tmp_path / "o.zarr"
    job = _job(learner, path, _image((200, 200)), cluster, token=token)
    assert isinstance(next(job), Notice)
    token.cancel()
    assert finish(job) is False
    assert not is_complete(path)


@pytest.mark.parametrize(
    ("opened", "error", "text"),
    [
        (partial(open, "/no/such/image.npy"), FileError, "No such file"),
        (partial(np.zeros, (9, 9)), ImageError, "image is another image here"),
        (partial(np.zeros, (50, 67), "u2"), ImageError, "is another image here"),
    ],
)
def test_a_worker_that_does_not_find_the_image(
    learner, cluster, tmp_path, opened, error, text
):
    job = _job(learner, tmp_path / "o.zarr", _image((50, 67)), cluster, opened=opened)
    with pytest.raises(error, match=text) as caught:
        finish(job)
    assert "worker tcp://127.0.0.1:" in str(caught.value)
    assert "under the same path" in str(caught.value)


def test_a_worker_that_does_not_find_the_store(learner, cluster, tmp_path):
    path = tmp_path / "o.zarr"

    def open_and_hide(plan):
        store = open_store(path, plan)
        path.rename(tmp_path / "hidden.zarr")
        return store

    job = learner.stream_job(_image((50, 67)), open_and_hide, cluster=cluster)
    with pytest.raises(FileError, match=r"there is no .*o.zarr here; the image and"):
        finish(job)
    assert not path.exists()


def test_a_failure_in_a_later_tile(learner, cluster, tmp_path):
    """An image with a hole, which only some tiles meet."""
    image = _image((200, 200))
    np.save(tmp_path / "i.npy", image)
    job = _job(
        learner, tmp_path / "o.zarr", image, cluster, opened=partial(_Torn, image)
    )
    with pytest.raises(ImageError, match=r"worker tcp://127.*torn"):
        finish(job)


class _Torn:
    def __init__(self, image):
        self._image = image
        self.shape, self.dtype = image.shape, image.dtype

    def __getitem__(self, place):
        if place[0].stop > 150:
            raise ImageError("torn")
        return self._image[place]


@pytest.fixture(scope="module")
def folder(learner, tmp_path_factory):
    """A model, an image that stays on disk, and one that does not."""
    folder = tmp_path_factory.mktemp("cluster")
    learner.save(folder / "m.safetensors")
    zarr.create_array(folder / "a.zarr", data=_image((75, 101)), chunks=(50, 50))
    tifffile.imwrite(folder / "b.tif", _image((60, 40), seed=1))
    return folder


def _predict(folder, out, *args, images=("a.zarr", "b.tif")):
    named = [str(folder / name) for name in images]
    call = ["predict", "--model", str(folder / "m.safetensors"), "--device", "cpu"]
    return main([*call, "--image", *named, "--out", str(out), *args])


def test_the_command_line(folder, cluster, tmp_path, capsys, monkeypatch):
    options = ("--format", "zarr", "--probabilities")
    assert _predict(folder, tmp_path / "here", *options) == 0
    address = cluster.client.scheduler.address
    monkeypatch.chdir(tmp_path)  # workers have another working directory
    capsys.readouterr()
    code = _predict(folder, Path("there"), *options, "--scheduler", address)
    out, err = capsys.readouterr()
    assert code == 0
    said = ["1/2 a.zarr: Computing on 2 workers.", "2/2 b.tif: Computing on 2 workers."]
    assert err.splitlines() == [f"napari-unet: {text}" for text in said]
    assert out.count(" -> ") == 2
    for name in ("a-labels", "a-probabilities", "b-labels", "b-probabilities"):
        here, there = (
            _level0(tmp_path / f / f"{name}.zarr") for f in ("here", "there")
        )
        np.testing.assert_array_equal(there, here)


def test_a_cluster_that_the_command_line_starts(folder, tmp_path, capsys):
    out = tmp_path / "o.zarr"
    code = _predict(folder, out, "--scheduler", "local:1", images=("a.zarr",))
    err = capsys.readouterr().err
    assert (code, err) == (0, "napari-unet: Computing on 1 worker.\n")
    assert is_complete(out)


def test_no_scheduler(tmp_path):
    with (
        pytest.raises(ClusterError, match="no dask scheduler answers at tcp://127"),
        connect(ClusterConfig(address="tcp://127.0.0.1:1", answer_s=1)),
    ):
        pass
    with (
        pytest.raises(ClusterError, match="there is no scheduler file"),
        connect(ClusterConfig(address=str(tmp_path / "s.json"))),
    ):
        pass
