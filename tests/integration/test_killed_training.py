"""A training that is killed goes on from the last state that it wrote."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_unet import LearnerConfig
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.cli import main
from napari_unet.core.checkpoint import load_tensors
from napari_unet.project import Project

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here"),
    pytest.mark.timeout(600),
]
SMALL = LearnerConfig(
    device="cpu",
    base_channels=4,
    depth=1,
    instant={"n_trees": 3},
    fine_tune={"patch_px": 32, "batch_size": 2},
)


@pytest.fixture
def files(tmp_path):
    """An image, its strokes, and settings."""
    image = np.random.default_rng(0).integers(0, 90, (64, 64)).astype(np.uint8)
    image[:, 32:] += 50
    strokes = np.zeros(image.shape, np.uint8)
    for y in (5, 20, 50):
        strokes[y, 4:28] = 1
        strokes[y, 36:60] = 2
    tifffile.imwrite(tmp_path / "image.tif", image)
    tifffile.imwrite(tmp_path / "strokes.tif", strokes)
    (tmp_path / "small.json").write_text(SMALL.model_dump_json())
    return tmp_path


def _kill_when_saved(path, *args):
    """Train without end, and kill that after its second state."""
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", *map(str, args)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    written = set()
    while len(written) < 2:
        if path.exists():
            written.add(path.stat().st_ino)  # it is replaced as a whole
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.communicate()[1] == ""


def _n_steps(path):
    return load_tensors(path)[1]["training"]["trainer"]["n_steps"]


def test_train_goes_on_from_what_it_wrote(files):
    state, model = files / "state.safetensors", files / "model.safetensors"
    train = [
        *("train", "--image", files / "image.tif"),
        *("--annotation", files / "strokes.tif", "--out", model),
    ]
    forever = ("--config", files / "small.json", "--steps", 10**9)
    saving = ("--save-state", state, "--save-every", 0.2)
    _kill_when_saved(state, *train, *forever, *saving)
    assert not model.exists()
    before = _n_steps(state)
    assert before > 0
    resume = [*train, "--resume", state, "--steps", "1", "--save-state", state]
    assert main([str(arg) for arg in resume]) == 0
    assert _n_steps(state) == before + 1
    assert model.exists()


def test_a_project_goes_on_from_what_it_wrote(files):
    folder = files / "p"
    with Project.create(folder, learner=SMALL) as project:
        number = project.add_image(files / "image.tif").number
        strokes = TiledLabels.of(tifffile.imread(files / "strokes.tif"))
        project.save_annotation(number, "strokes", strokes)
        path = project.training_path
    _kill_when_saved(
        path, "project", "train", folder, "--steps", 10**9, "--save-every", 0.2
    )
    before = _n_steps(path)
    assert before > 0
    assert main(["project", "train", str(folder), "--steps", "1"]) == 0
    with Project.open(folder, is_read_only=True) as project:
        assert [r.step for r in project.rounds] == [before + 1]
