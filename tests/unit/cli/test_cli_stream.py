"""`predict` into OME-Zarr and out of folders: the same pixels, and going on."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr

from napari_unet.cli import _predict_image, _tiff
from napari_unet.cli._inputs import find_images
from napari_unet.cli._read import read_image
from napari_unet.errors import FileError
from napari_unet.export import is_complete, write_labels
from napari_unet.learning import load


@pytest.fixture
def predict(cli, folder):
    def run(image, out, *args):
        images = image if isinstance(image, (list, tuple)) else [image]
        return cli(
            *("predict", "--model", folder / "model.safetensors", "--out", out),
            *("--image", *images, *args),
        )

    return run


def _level0(path):
    return zarr.open_group(path, mode="r")["0"][...]


def test_the_same_pixels_as_in_a_tiff(predict, folder, tmp_path):
    image = tmp_path / "i.tif"
    pixels = np.stack([iio.imread(folder / "image.png")] * 3)
    write_labels(image, pixels, scale=(2, 0.5, 0.25), unit="um")
    result = predict(image, tmp_path / "o.zarr", "--probabilities", "--json")
    assert result.code == 0, result.err
    (entry,) = json.loads(result.out)
    assert entry["labels"] == str(tmp_path / "o.zarr")
    assert entry["probabilities"] == str(tmp_path / "o-probabilities.zarr")
    assert entry["shape"] == [3, 48, 64]
    assert predict(image, tmp_path / "o.tif", "--probabilities").code == 0
    np.testing.assert_array_equal(
        _level0(tmp_path / "o.zarr"), tifffile.imread(tmp_path / "o.tif")
    )
    np.testing.assert_array_equal(
        _level0(tmp_path / "o-probabilities.zarr").swapaxes(0, 1),
        tifffile.imread(tmp_path / "o-probabilities.tif"),
    )
    yaozarrs.validate_zarr_store(str(tmp_path / "o.zarr"))
    back = read_image(tmp_path / "o.zarr")
    assert back.scale("ZYX") == (2.0, 0.5, 0.25)
    assert (back.axes, back.unit) == ("ZYX", "micrometer")
    ome = zarr.open_group(tmp_path / "o.zarr").attrs["ome"]
    names = [p["class"] for p in ome["image-label"]["properties"]]
    assert names == ["background", "right"]


def test_from_zarr_to_zarr(predict, folder, tmp_path):
    pixels = iio.imread(folder / "image.png")
    image = write_labels(tmp_path / "i.zarr", pixels, scale=(3, 4), unit="nm")
    result = predict(image, tmp_path / "o.zarr")
    assert result.code == 0, result.err
    expected = load(folder / "model.safetensors").predict(pixels)
    np.testing.assert_array_equal(_level0(tmp_path / "o.zarr"), expected)
    assert read_image(tmp_path / "o.zarr").scale("YX") == (3.0, 4.0)
    result = predict(image, image)
    assert result.code == 2
    assert "would overwrite an input" in result.sentence()


def test_objects_too(predict, folder, tmp_path):
    image, out = folder / "image.png", tmp_path / "o.zarr"
    result = predict(image, out, "--instances", "--json")
    assert result.code == 0, result.err
    (entry,) = json.loads(result.out)
    found = load(folder / "model.safetensors").predict_instances(iio.imread(image))
    np.testing.assert_array_equal(_level0(out / "labels/objects"), found.labels)
    assert zarr.open_group(out / "labels/objects", mode="r")["0"].dtype == np.uint32
    assert entry["objects"] == str(out / "labels/objects")
    assert entry["n_objects"] == {"2": found.n_objects}
    yaozarrs.validate_zarr_store(str(out))
    yaozarrs.validate_zarr_store(str(out / "labels/objects"))
    # nothing is left of what was needed on the way
    names = {path.name for path in out.iterdir()}
    assert names == {"zarr.json", "0", "labels"}
    assert list(tmp_path.iterdir()) == [out]
    again = predict(image, out, "--instances", "--resume")
    there = f"{image} -> {out}, which was there, with its objects as they are\n"
    assert again.out == there
    assert "--min-size" not in again.err


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_objects_that_are_there_are_not_cut_otherwise(
    predict, folder, tmp_path, suffix
):
    image, out = folder / "image.png", tmp_path / f"o{suffix}"
    first = predict(image, out, "--instances", "--json")
    (before,) = json.loads(first.out)
    other = ("--instances", "--resume", "--min-size", 3000, "--json")
    result = predict(image, out, *other)
    assert result.code == 0
    assert f"{before['objects']} was complete and is left" in result.err
    (entry,) = json.loads(result.out)
    assert (entry["objects"], entry["was_there"]) == (before["objects"], True)


def test_objects_that_were_cut_short_are_cut_again(
    predict, folder, tmp_path, monkeypatch
):
    from napari_unet.inference import blockwise

    image, out = folder / "image.png", tmp_path / "o.zarr"

    def fails(*_args):
        raise FileError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(blockwise, "_cut", fails)
        assert predict(image, out, "--instances").code == 2
    assert not is_complete(out)
    tiles = [(out / "0" / "c" / "0" / "0").stat().st_mtime_ns]
    result = predict(image, out, "--instances")
    assert "add --resume" in result.sentence()
    result = predict(image, out, "--resume")
    assert "was begun with objects" in result.sentence()
    assert predict(image, out, "--instances", "--resume").code == 0
    assert is_complete(out)
    assert [(out / "0" / "c" / "0" / "0").stat().st_mtime_ns] == tiles
    found = load(folder / "model.safetensors").predict_instances(iio.imread(image))
    np.testing.assert_array_equal(_level0(out / "labels/objects"), found.labels)


@pytest.mark.parametrize(
    ("args", "suffix", "text"),
    [
        (("--instances",), ".tif", "write OME-Zarr"),
        (("--three-axes",), ".zarr", "without --three-axes"),
        (("--probabilities",), ".tif", "write OME-Zarr"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_limit(
    predict, folder, tmp_path, monkeypatch, args, suffix, text
):
    monkeypatch.setattr(
        "napari_unet.core.memory.total_memory_bytes", lambda: 48 * 64 * 10
    )
    result = predict(folder / "image.png", tmp_path / f"o{suffix}", *args)
    assert result.code == 2
    assert text in result.sentence()
    assert "million" in result.sentence()
    assert not list(tmp_path.iterdir())
    assert predict(folder / "image.png", tmp_path / "o.zarr").code == 0


def test_a_store_that_is_complete_is_left_as_it_is(predict, folder, tmp_path):
    image, out = folder / "image.png", tmp_path / "o.zarr"
    assert predict(image, out).code == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    result = predict(image, out, "--resume")
    assert result.out == f"{image} -> {out}, which was there\n"
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    # without the option it is made anew, as a TIFF would be
    assert predict(folder / "truth.png", out).code == 0
    result = predict(image, out, "--resume")
    assert result.code == 2
    assert "was begun with another image" in result.sentence()


def test_an_interrupted_run_says_how_to_go_on(predict, folder, tmp_path, monkeypatch):
    image, out = tmp_path / "i.tif", tmp_path / "o.zarr"
    write_labels(image, np.stack([iio.imread(folder / "image.png")] * 3))
    real = _predict_image._run_job

    def interrupt(args, job, title, token):
        next(job)
        token.cancel()
        return real(args, job, title, token)

    monkeypatch.setattr(_predict_image, "_run_job", interrupt)
    result = predict(image, out)
    assert result.code == 130
    first, last = result.err.splitlines()
    assert first == f"napari-unet: {out} is unfinished: add --resume to go on with it"
    assert last == "napari-unet: interrupted"
    monkeypatch.undo()
    result = predict(image, out)
    assert result.code == 2
    assert "add --resume" in result.sentence()
    assert predict(image, out, "--resume").code == 0
    assert is_complete(out)


def test_a_folder_of_images(predict, folder, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    pixels = iio.imread(folder / "image.png")
    for name in ("b.png", "a.png"):
        iio.imwrite(source / name, pixels)
    write_labels(source / "c.zarr", pixels)
    (source / "notes.txt").write_text("")
    (source / "sub").mkdir()
    (source / "._a.png").write_text("of a Mac")
    result = predict(source, source)
    assert result.code == 0, result.err
    names = [line.split(" -> ")[0] for line in result.out.splitlines()]
    assert names == [str(source / name) for name in ("a.png", "b.png", "c.zarr")]
    # what it wrote there is no image
    assert [p.name for p in find_images([source])] == ["a.png", "b.png", "c.zarr"]
    assert (source / "c-labels.tif").exists()


def test_labels_without_their_image_are_images(tmp_path):
    for name in ("x-labels.tif", "y.tif", "y-labels.tif", "y-objects.tif"):
        (tmp_path / name).write_text("")
    assert [p.name for p in find_images([tmp_path])] == ["x-labels.tif", "y.tif"]


def test_patterns_that_no_shell_replaced(tmp_path):
    for name in ("a1.tif", "a2.tif", "b1.tif", "c[1].tif"):
        (tmp_path / name).write_text("")
    found = find_images([tmp_path / "b1.tif", tmp_path / "a?.tif"])
    assert [p.name for p in found] == ["b1.tif", "a1.tif", "a2.tif"]
    assert find_images([tmp_path / "c[1].tif"]) == [tmp_path / "c[1].tif"]
    with pytest.raises(FileError, match="no file that fits"):
        find_images([tmp_path / "z*.tif"])
    assert find_images([tmp_path / "missing.tif"]) == [tmp_path / "missing.tif"]


def test_a_folder_without_images(predict, tmp_path):
    (tmp_path / "in").mkdir()
    result = predict(tmp_path / "in", tmp_path / "o")
    assert result.code == 2
    assert f"the folder {tmp_path / 'in'} holds no image" in result.sentence()
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_a_folder_goes_on_with_what_is_missing(predict, folder, tmp_path, suffix):
    images, out = [folder / "image.png", folder / "truth.png"], tmp_path / "o"
    options = ("--format", suffix, "--probabilities", "--resume")
    assert predict(images[:1], out, *options).code == 0
    written = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    result = predict(images, out, *options)
    assert result.code == 0, result.err
    first, second = result.out.splitlines()
    assert first == f"{images[0]} -> {out / f'image-labels.{suffix}'}, which was there"
    assert second.startswith(f"{images[1]} -> {out / f'truth-labels.{suffix}'} in ")
    assert {p: p.stat().st_mtime_ns for p in written if p != out}.items() <= (
        written.items()
    )
    assert len(list(out.iterdir())) == 4


def test_a_tiff_whose_probabilities_are_missing_is_not_there(predict, folder, tmp_path):
    image, out = folder / "image.png", tmp_path / "o.tif"
    assert predict(image, out).code == 0
    result = predict(image, out, "--resume", "--probabilities")
    assert "which was there" not in result.out
    assert (tmp_path / "o-probabilities.tif").exists()


def test_one_bad_store_does_not_stop_the_others(predict, folder, tmp_path):
    bad = tmp_path / "bad.zarr"
    zarr.create_array(bad, data=np.ones((60, 60), np.uint8), chunks=(20, 20))
    for chunk in (bad / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"?")
    images = [bad, folder / "image.png"]
    result = predict(images, tmp_path / "o", "--format", "zarr")
    assert result.code == 3
    first, last = result.err.splitlines()
    assert first.startswith(f"napari-unet: {bad} cannot be read; it is damaged")
    assert last == "napari-unet: 1 of 2 images failed"
    assert is_complete(tmp_path / "o" / "image-labels.zarr")


@pytest.mark.parametrize(
    ("out", "args", "text"),
    [
        ("o.zarr", (), "one file for 2 images; name a folder, with --format zarr"),
        ("o.tif", ("--format", "zarr"), "one file for 2 images"),
    ],
)
def test_several_images_need_a_folder(predict, folder, tmp_path, out, args, text):
    images = [folder / "image.png", folder / "truth.png"]
    result = predict(images, tmp_path / out, *args)
    assert result.code == 2
    assert text in result.sentence()


def test_a_format_is_for_folders(predict, folder, tmp_path):
    result = predict(folder / "image.png", tmp_path / "o.tif", "--format", "zarr")
    assert result.code == 2
    assert "is for a folder of results" in result.sentence()


TIFFS = {
    "tiled": {"tile": (32, 32), "compression": "zlib"},
    "strips": {"rowsperstrip": 4, "compression": "zlib"},
    "one strip": {"compression": "zlib"},
    "big-endian": {"tile": (32, 32), "byteorder": ">"},
    "ome": {"tile": (32, 48), "compression": "zlib", "ome": True},
}


@pytest.mark.parametrize("name", TIFFS)
def test_a_large_tiff_stays_on_disk(tmp_path, monkeypatch, name):
    monkeypatch.setattr(_tiff, "_LAZY_BYTES", 1000)
    pixels = np.arange(3 * 70 * 90, dtype=np.uint16).reshape(3, 70, 90)
    path = tmp_path / "a.tif"
    plain = {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}
    tifffile.imwrite(path, pixels, **plain, **TIFFS[name])
    image = read_image(path)
    assert not isinstance(image.array, np.ndarray)
    assert image.axes == "ZYX"
    assert image.array.shape == (3, 70, 90)
    assert image.array.dtype == pixels.dtype
    np.testing.assert_array_equal(image.array[1, 5:60:4, 3:88], pixels[1, 5:60:4, 3:88])
    np.testing.assert_array_equal(np.asarray(image.array), pixels)
    monkeypatch.undo()
    np.testing.assert_array_equal(read_image(path).array, pixels)


def test_an_unnamed_axis_of_one_page_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(_tiff, "_LAZY_BYTES", 1000)
    pixels = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 1, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib")
    image = read_image(tmp_path / "a.tif").array
    assert image.shape == (2, 40, 50)
    np.testing.assert_array_equal(image[1, 3:9], pixels[1, 0, 3:9])


def test_a_large_tiff_that_ends_early(tmp_path, monkeypatch):
    monkeypatch.setattr(_tiff, "_LAZY_BYTES", 1000)
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 99, (300, 300), np.uint8)
    tifffile.imwrite(path, pixels, tile=(32, 32), compression="zlib")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(FileError, match="it ends before its pixels do"):
        read_image(path)
