"""Runs the command line in this process, and makes files for it."""

from dataclasses import dataclass

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.errors import FileError
from napari_unet.learning import Learner

SMALL = '{"base_channels": 4, "depth": 1, "instant": {"n_trees": 5}, "device": "cpu"}'


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def sentence(self) -> str:
        """Return what stderr says, which must be one line."""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


@pytest.fixture
def cli(capsys):
    def run(*args):
        capsys.readouterr()
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as exit_:
            code = exit_.code
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with an image, its truth and strokes, settings and a small model."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    truth = np.ones((48, 64), np.uint8)
    truth[:, 30:] = 2
    image = (truth * 60 + rng.integers(0, 20, truth.shape)).astype(np.uint8)
    strokes = np.zeros_like(truth)
    for y in (5, 20, 40):
        strokes[y, 4:20] = 1
        strokes[y, 40:56] = 2
    for name, array in (("image", image), ("truth", truth), ("strokes", strokes)):
        iio.imwrite(folder / f"{name}.png", array)
    (folder / "small.json").write_text(SMALL)
    code = main(
        f"train --image {folder}/image.png --annotation {folder}/strokes.png "
        f"--out {folder}/model.safetensors --steps 1 --config {folder}/small.json "
        "--classes 1=background 2=right".split()
    )
    assert code == 0
    return folder


@pytest.fixture
def full_for_states(monkeypatch):
    """A disk that has room for models, and none for trainings to go on with."""
    save = Learner.save

    def save_or_fail(self, path, *, with_training=False):
        if with_training:
            raise FileError(f"{path} cannot be written: No space left on device")
        return save(self, path)

    monkeypatch.setattr(Learner, "save", save_or_fail)
