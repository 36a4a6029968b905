"""`predict --out X.zarr` that is killed, again and again, ends with the same pixels."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

from napari_unet import Learner, LearnerConfig
from napari_unet.export import is_complete

TILE_PX = 64
N_TILES = 144
SHAPE = (12 * TILE_PX, 12 * TILE_PX)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model and an image, and what the labels must be."""
    folder = tmp_path_factory.mktemp("killed")
    image = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.uint16)
    image[:, SHAPE[1] // 2 :] += 500
    strokes = np.zeros(SHAPE, np.uint8)
    for y in (5, 300, 700):
        strokes[y, 10:60] = 1
        strokes[y, -60:-10] = 2
    learner = Learner(
        LearnerConfig(
            device="cpu",
            base_channels=4,
            depth=1,
            instant={"n_trees": 3},
            tiling={"tile_px": TILE_PX, "stream_tile_px": TILE_PX},
        )
    )
    learner.annotate(image, strokes)
    learner.save(folder / "model.safetensors")
    zarr.create_array(folder / "image.zarr", data=image, chunks=(256, 256))
    return folder, learner.predict(image)


def _start(folder, out, *args):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "napari_unet.cli", "predict"),
            *("--model", folder / "model.safetensors"),
            *("--image", folder / "image.zarr", "--out", out, "--device", "cpu", *args),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _n_done(out):
    """Return how many tiles are there; 0 before there is a store."""
    try:
        return int(zarr.open_array(out / "progress", mode="r")[...].sum())
    except (FileNotFoundError, ValueError, json.JSONDecodeError):
        return 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.timeout(600)
def test_killed_and_gone_on_with(made, tmp_path):
    folder, expected = made
    out = tmp_path / "o.zarr"
    seen = [0]
    for _ in range(2):
        process = _start(folder, out, "--resume", "--probabilities")
        # as soon as there is more than the last time
        while _n_done(out) <= seen[-1] + 3:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        seen.append(_n_done(out))
        assert not is_complete(out)
        # what counts as done is whole
        progress = zarr.open_array(out / "progress", mode="r")[...]
        labels = zarr.open_group(out, mode="r")["0"][...]
        done = np.kron(progress, np.ones((TILE_PX, TILE_PX), np.uint8)) == 1
        np.testing.assert_array_equal(labels[done], expected[done])
    assert 0 < seen[1] < seen[2] < N_TILES
    process = _start(folder, out)
    assert process.wait() == 2
    assert "add --resume" in process.communicate()[1]
    process = _start(folder, out, "--resume", "--probabilities", "--json")
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert f"{seen[2]} of {N_TILES} tiles were there already" in err
    np.testing.assert_array_equal(zarr.open_group(out)["0"][...], expected)
    found = zarr.open_group(tmp_path / "o-probabilities.zarr")["0"][...]
    np.testing.assert_array_equal(found.argmax(0) + 1, expected)
