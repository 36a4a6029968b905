"""Runs the command line in this process, and makes files and a project for it."""

import json
from dataclasses import dataclass

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.errors import FileError
from napari_unet.export import write_labels
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


@pytest.fixture
def paint():
    """Return a function that writes an image, with a pixel size, and its strokes."""
    return _paint


def _paint(path, seed=0, shape=(48, 64)):
    """Write an image, with a pixel size, and its strokes."""
    rng = np.random.default_rng(seed)
    truth = np.ones(shape, np.uint8)
    truth[:, 30:] = 2
    image = (truth * 60 + rng.integers(0, 20, shape)).astype(np.uint8)
    strokes = np.zeros_like(truth)
    for y in (5, 11, 17):
        strokes[y, 4:20] = 1
        strokes[y, 40:56] = 2
    write_labels(path, image, scale=(0.5, 0.25), unit="um")
    tifffile.imwrite(path.with_name(f"{path.stem}-strokes.tiff"), strokes)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder with three images, two of them with strokes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "strokes").mkdir()
    for seed, name in enumerate("abc"):
        _paint(tmp_path / "images" / f"{name}.tif", seed)
        strokes = tmp_path / "images" / f"{name}-strokes.tiff"
        strokes.rename(tmp_path / "strokes" / f"{name}.tiff")
    (tmp_path / "small.json").write_text(SMALL)
    return tmp_path


@pytest.fixture
def run(cli):
    """Run a command of `project`, given as one text, and further arguments."""

    def run(text, *more):
        return cli("project", *text.split(), *more)

    return run


@pytest.fixture
def project(run, here):
    """A project of a, with strokes, and of b and c, without."""
    result = run(
        "new p --image images/a.tif --annotation strokes/a.tiff",
        "--classes",
        "2=right",
        "--config",
        "small.json",
    )
    assert result.code == 0, result.err
    assert run("add p --image images/b.tif images/c.tif").code == 0
    return here / "p"


@pytest.fixture
def status(run):
    """Return a function for what `project status` tells of a project."""

    def status(folder="p"):
        result = run(f"status {folder} --json")
        assert result.code == 0, result.err
        return json.loads(result.out)

    return status


@pytest.fixture
def files_of():
    """Return a function for the state of each image's file."""
    return lambda facts: [image["file"] for image in facts["images"]]
