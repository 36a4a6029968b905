"""Bad input at the command line: exit code 2, one line on stderr, nothing written."""

import re
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch

from napari_unet.errors import OutOfMemoryError
from napari_unet.learning import Learner

OUT = "out.safetensors"


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """Work in an empty folder, with names for what is in the shared one."""
    monkeypatch.chdir(tmp_path)
    names = {path.stem: path for path in folder.iterdir()}
    rng = np.random.default_rng(1)
    strokes = iio.imread(names["strokes"])
    arrays = {
        "nothing": np.zeros_like(strokes),
        "one_class": np.where(strokes == 1, 1, 0).astype(np.uint8),
        "other_shape": strokes[:40],
        "only_nan": np.full(strokes.shape, np.nan, np.float32),
        "volume": rng.integers(0, 255, (3, 48, 64), dtype=np.uint8),
        "rgb": rng.integers(0, 255, (48, 64, 3), dtype=np.uint8),
    }
    for name, array in arrays.items():
        names[name] = tmp_path / f"{name}.npy"
        np.save(names[name], array)
    texts = {
        "unknown_setting": '{"depht": 3}',
        "bad_value": '{"depth": 99}',
        "no_json": "depth: 3",
        "binary": "\x00\x01",
        "foreign": "PK\x03\x04 something else",
        "claims": "\xff" * 8 + "{}",
    }
    for name, text in texts.items():
        names[name] = tmp_path / f"{name}.json"
        names[name].write_bytes(text.encode("latin-1"))
    names["truncated"] = tmp_path / "truncated.safetensors"
    content = names["model"].read_bytes()
    names["truncated"].write_bytes(content[: len(content) // 2])
    return names


TRAIN = "train --image {image} --annotation {strokes} --out out.safetensors --steps 1"
PREDICT = "predict --model {model} --image {image}"

CASES = {
    # what is painted
    "empty annotation": (
        "train --image {image} --annotation {nothing} --out " + OUT,
        "paint",
    ),
    "one class": (
        "train --image {image} --annotation {one_class} --out " + OUT,
        "Only background .* now paint",
    ),
    "shapes differ": (
        "train --image {image} --annotation {other_shape} --out " + OUT,
        r"\(40, 64\)",
    ),
    "no number in the image": (
        "train --image {only_nan} --annotation {strokes} --out " + OUT,
        r"only_nan\.npy: the image .* holds no number: every value is NaN",
    ),
    "a model of another suffix": (
        "train --image {image} --annotation {strokes} --out m.txt",
        r"m\.txt has the suffix '\.txt', but a model is a \.safetensors file",
    ),
    "counts differ": (
        "train --image {image} {image} --annotation {strokes} --out " + OUT,
        "--image names 2 files and --annotation 1",
    ),
    "an image twice": (
        "train --image {image} {image} --annotation {strokes} {strokes} --out " + OUT,
        "twice; put its strokes into one file",
    ),
    "channels differ": (
        "train --image {image} {rgb} --annotation {strokes} {strokes} --axes YX --out "
        + OUT,
        "the axes 'YX' have 2 letters",
    ),
    "axes differ": (TRAIN + " --axes ZYX", "the axes 'ZYX' have 3 letters"),
    # files
    "no image": (
        "train --image no.tif --annotation {strokes} --out " + OUT,
        "no file no.tif",
    ),
    "text for image": (
        "train --image {no_json} --annotation {strokes} --out " + OUT,
        r"suffix '\.json'",
    ),
    "no config": (TRAIN + " --config no.json", "no.json cannot be read"),
    "unknown setting": (TRAIN + " --config {unknown_setting}", "setting 'depht'"),
    "bad value": (TRAIN + " --config {bad_value}", "setting 'depth' has the value 99"),
    "no JSON": (TRAIN + " --config {no_json}", "Invalid JSON"),
    "binary config": (TRAIN + " --config {binary}", "Invalid JSON"),
    "no out folder": (
        "train --image {image} --annotation {strokes} --out no/m.safetensors",
        "make the folder no first",
    ),
    "start and settings": (
        TRAIN + " --start {model} --architecture compact",
        "--architecture cannot be given together with --start",
    ),
    "start from nothing": (TRAIN + " --start no.safetensors", "no.safetensors"),
    "start from foreign": (TRAIN + " --start {foreign}", "foreign.json"),
    # models
    "no model": ("predict --model no --image {image} --out o.tif", "no"),
    "foreign model": (
        "predict --model {foreign} --image {image} --out o.tif",
        "foreign.json",
    ),
    "hostile model": (
        "predict --model {claims} --image {image} --out o.tif",
        "claims.json",
    ),
    "cut off model": (
        "predict --model {truncated} --image {image} --out o.tif",
        "truncated.safetensors",
    ),
    "info of foreign": ("info {foreign}", "foreign.json"),
    "info of cut off": ("info {truncated}", "truncated.safetensors"),
    "info of nothing": ("info no", "no"),
    # predictions
    "other channels": (
        "predict --model {model} --image {rgb} --axes YXC --out o.tif",
        "rgb.npy: .*3 channels",
    ),
    "unknown format": (
        PREDICT + " --out o.bmp",
        "o.bmp has the suffix '.bmp'; labels can be written to",
    ),
    "one file for two": (
        "predict --model {model} --image {image} {truth} --out o.tif",
        "o.tif is one file for 2 images; name a folder",
    ),
    "same names": (
        "predict --model {model} --image {image} {image} --out o",
        "two of the images would be written to",
    ),
    "over the input": (PREDICT + " --out {image}", "would overwrite an input"),
    "over the model": (PREDICT + " --out {model}", "would overwrite an input"),
    "volume to PNG": (
        "predict --model {model} --image {volume} --axes ZYX --out o.png",
        "a PNG holds one plane",
    ),
    # scores and strokes
    "pairs differ": (
        "evaluate --prediction {truth} --truth {truth} {truth}",
        "--prediction names 1 files and --truth 2",
    ),
    "scores of shapes": (
        "evaluate --prediction {other_shape} --truth {truth}",
        r"\(40, 64\)",
    ),
    "nothing known": (
        "evaluate --prediction {truth} --truth {nothing} --ignore 0",
        "0",
    ),
    "no class map": ("simulate --truth {nothing} --strokes 1 --out o.tif", "no class"),
    "simulate to nowhere": (
        "simulate --truth {truth} --strokes 1 --out no/o.tif",
        "make the folder no first",
    ),
    "demo to a file": ("demo --headless --out {no_json}/sub", "cannot be made"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(cli, here, tmp_path, name):
    call, sentence = CASES[name]
    before = sorted(tmp_path.iterdir())
    result = cli(*call.format(**here).split())
    assert result.code == 2
    assert result.out == ""
    assert result.sentence().startswith("napari-unet: ")
    assert re.search(sentence, result.sentence()), result.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_a_device_that_is_not_there(cli, here):
    result = cli(*(TRAIN + " --device cuda").format(**here).split())
    assert result.code == 2
    assert "no NVIDIA GPU was found" in result.sentence()


@pytest.mark.parametrize("kind", ["nan", "constant", "one pixel high", "outlier"])
def test_odd_images_work(cli, here, tmp_path, kind):
    image = iio.imread(here["image"]).astype(np.float32)
    strokes = iio.imread(here["strokes"])
    if kind == "nan":
        image[10:20, 5:] = np.nan
    elif kind == "constant":
        image[:] = 3
    elif kind == "outlier":
        image[0, 0] = np.inf
        image[1, 1] = -1e30
    else:
        image, strokes = image[20:21], strokes[20:21]
    tifffile.imwrite(tmp_path / "i.tif", image)
    tifffile.imwrite(tmp_path / "s.tif", strokes)
    call = "train --image i.tif --annotation s.tif --out m --steps 1 --config {small}"
    result = cli(*call.format(**here).split())
    assert result.code == 0, result.err
    result = cli(
        *[
            "predict",
            "--model",
            "m.safetensors",
            "--image",
            "i.tif",
            "--out",
            "o.tif",
            "--probabilities",
        ]
    )
    assert result.code == 0, result.err
    labels = tifffile.imread("o.tif").reshape(image.shape)
    assert set(np.unique(labels)) <= {1, 2}
    assert np.isfinite(tifffile.imread("o-probabilities.tif")).all()


def test_memory_runs_out(cli, here, monkeypatch):
    def fail(*_, **__):
        raise OutOfMemoryError("memory ran out with one patch; choose smaller patches")
        yield

    monkeypatch.setattr(Learner, "fine_tune", fail)
    result = cli(*TRAIN.format(**here).split())
    assert result.code == 2
    assert "choose smaller patches" in result.sentence()


@pytest.fixture
def full_disk():
    """Let the system refuse to write more than 64 bytes to a file, for real."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "call",
    [
        TRAIN + " --config {small}",
        PREDICT + " --out o.tif",
        "simulate --truth {truth} --strokes 2 --out o.png",
    ],
)
def test_the_disk_is_full(cli, here, tmp_path, full_disk, call):
    before = sorted(tmp_path.iterdir())
    result = cli(*call.format(**here).split())
    assert result.code == 2
    assert "the disk is full" in result.sentence()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="/sys is read-only, for root also")
@pytest.mark.parametrize(
    "call",
    [
        "train --image {image} --annotation {strokes} --out /sys/m.safetensors",
        PREDICT + " --out /sys/o.tif",
        "simulate --truth {truth} --strokes 1 --out /sys/o.tif",
    ],
)
def test_the_folder_is_read_only(cli, here, call):
    result = cli(*call.format(**here).split())
    assert result.code == 2
    assert "read-only" in result.sentence()


def test_training_does_not_begin_where_nothing_can_be_written(cli, here, monkeypatch):
    monkeypatch.setattr(Learner, "__init__", lambda *_: pytest.fail("began"))
    for option in ("", " --out out.safetensors --curves no/c.csv"):
        call = "train --image {image} --annotation {strokes} --out no/m" + option
        assert cli(*call.format(**here).split()).code == 2
