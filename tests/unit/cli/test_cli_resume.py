"""``train --save-state`` and ``train --resume``."""

import shutil
import signal

import numpy as np
import pytest

from napari_unet.core.checkpoint import load_tensors
from napari_unet.learning import load


@pytest.fixture(scope="module")
def state(folder, tmp_path_factory):
    """A state of three steps, and what was trained for six without a break."""
    from napari_unet.cli import main

    work = tmp_path_factory.mktemp("state")
    for name, steps in (("three", 3), ("six", 6)):
        code = main(
            f"train --image {folder}/image.png --annotation {folder}/strokes.png "
            f"--out {work}/{name}-model.safetensors --steps {steps} --config "
            f"{folder}/small.json --save-state {work}/{name}".split()
        )
        assert code == 0
    return work


@pytest.fixture
def train(cli, folder, tmp_path):
    def run(*args):
        files = f"--image {folder}/image.png --annotation {folder}/strokes.png"
        out = ("--out", tmp_path / "model.safetensors")
        return cli("train", *files.split(), *out, *args)

    return run


def test_three_steps_and_three_more_are_six(train, state, tmp_path):
    done = train(
        *("--resume", state / "three.safetensors", "--steps", 3),
        *("--save-state", tmp_path / "end.safetensors"),
    )
    assert done.code == 0
    assert done.err == ""
    assert "fine-tuned 6 steps" in done.out
    mine, theirs = (
        load_tensors(path)[0]
        for path in (tmp_path / "end.safetensors", state / "six.safetensors")
    )
    for name, array in theirs.items():
        if name.startswith("training.trainer."):
            np.testing.assert_array_equal(mine[name], array, err_msg=name)


def test_it_may_be_written_over_what_it_was_read_from(train, state, tmp_path):
    path = tmp_path / "state.safetensors"
    shutil.copy(state / "three.safetensors", path)
    for wanted in (4, 5):
        assert train("--resume", path, "--steps", 1, "--save-state", path).code == 0
        training = load_tensors(path)[1]["training"]
        assert training["trainer"]["n_steps"] == wanted


def test_ctrl_c_leaves_a_state_behind(train, tmp_path, monkeypatch):
    from napari_unet.learning.training import Trainer

    step = Trainer.step

    def interrupted(self, notices):
        if self.n_steps == 1:
            signal.raise_signal(signal.SIGINT)
        return step(self, notices)

    monkeypatch.setattr(Trainer, "step", interrupted)
    path = tmp_path / "state.safetensors"
    done = train("--steps", 99, "--save-state", path, "--start", "scratch")
    assert (done.code, "interrupted" in done.err) == (0, True)
    monkeypatch.undo()
    again = train("--resume", path, "--steps", 1)
    assert "fine-tuned 3 steps" in again.out


def test_other_strokes_are_said(cli, folder, state, tmp_path):
    import imageio.v3 as iio

    strokes = iio.imread(folder / "strokes.png")
    strokes[30, 40:56] = 2
    iio.imwrite(tmp_path / "strokes.png", strokes)
    done = cli(
        *("train", "--image", folder / "image.png"),
        *("--annotation", tmp_path / "strokes.png", "--steps", 1),
        *("--out", tmp_path / "m", "--resume", state / "three.safetensors"),
    )
    assert done.code == 0
    assert "not those that the training was saved with" in done.sentence()
    assert "fine-tuned 4 steps" in done.out


def test_a_model_alone_cannot_be_resumed(train, folder):
    done = train("--resume", folder / "model.safetensors", "--steps", 1)
    assert done.code == 2
    assert "model without its training" in done.sentence()
    assert "--start" in done.err


@pytest.mark.parametrize(
    "option",
    [
        ("--recipe", "paper"),
        ("--architecture", "unet2015"),
        ("--dimensions", "3d"),
        ("--seed", "1"),
        ("--annotation-mode", "objects"),
        ("--objects", "small"),
    ],
)
def test_settings_come_with_the_training(train, state, option):
    done = train("--resume", state / "three.safetensors", *option)
    assert done.code == 2
    assert f"{option[0]} cannot be given together with --resume" in done.sentence()


def test_a_state_is_no_other_file(train, folder, state, tmp_path):
    for path in (folder / "strokes.png", tmp_path / "model.safetensors"):
        done = train("--steps", 1, "--save-state", path)
        assert done.code == 2
        assert str(path) in done.sentence()
    done = train("--resume", tmp_path / "none.safetensors")
    assert done.code == 2
    assert "does not exist" in done.sentence()


def test_info_says_that_training_can_go_on(cli, folder, state):
    assert "train --resume" in cli("info", state / "three.safetensors").out
    assert "train --resume" not in cli("info", folder / "model.safetensors").out


def test_a_state_predicts_like_a_model(cli, folder, state, tmp_path):
    done = cli(
        *("predict", "--model", state / "three.safetensors"),
        *("--image", folder / "image.png", "--out", tmp_path / "labels.tif"),
    )
    assert done.code == 0


def test_the_model_is_there_where_the_state_finds_no_room(
    train, tmp_path, full_for_states
):
    result = train("--steps", 1, "--save-state", tmp_path / "state")
    assert result.code == 2
    assert f"the model is in {tmp_path / 'model.safetensors'}" in result.sentence()
    assert load(tmp_path / "model.safetensors").status.step == 1
    assert not (tmp_path / "state.safetensors").exists()
