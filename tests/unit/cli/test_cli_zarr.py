"""Zarr arrays and OME-Zarr images, of versions 0.4 and 0.5, are read like files."""

import numpy as np
import pytest
import zarr

from napari_unet.cli._read import read_image, read_labels
from napari_unet.errors import FileError, ImageError
from napari_unet.export import write_labels

PIXELS = np.arange(3 * 20 * 31, dtype=np.uint16).reshape(3, 20, 31)


def make_ome(path, version="0.5", axes="zyx", pixels=PIXELS, n_levels=2, **image):
    """Write an OME-Zarr image with levels, 2 nm deep and 0.5 nm wide."""
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    steps = [{"c": 1.0, "t": 3.0, "z": 2.0}.get(axis, 0.5) for axis in axes]
    datasets = []
    for level in range(n_levels):
        factor = 2**level
        group.create_array(f"s{level}", data=pixels[..., ::factor, ::factor])
        scale = [*steps[:-2], steps[-2] * factor, steps[-1] * factor]
        change = {"type": "scale", "scale": scale}
        datasets.append({"path": f"s{level}", "coordinateTransformations": [change]})
    types = {"c": "channel", "t": "time"}
    described = [{"name": a, "type": types.get(a, "space")} for a in axes]
    for axis in described:
        if axis["type"] == "space":
            axis["unit"] = "nanometer"
    multiscales = [{"axes": described, "datasets": datasets, **image}]
    if version == "0.4":
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_image(tmp_path, version):
    path = make_ome(tmp_path / "i.zarr", version)
    image = read_image(path)
    np.testing.assert_array_equal(image.array, PIXELS)
    assert (image.axes, image.unit) == ("ZYX", "nanometer")
    assert image.scale("ZYX") == (2.0, 0.5, 0.5)
    coarse = read_image(path, level=1)
    np.testing.assert_array_equal(coarse.array, PIXELS[:, ::2, ::2])
    assert coarse.scale("ZYX") == (2.0, 1.0, 1.0)


@pytest.mark.parametrize("text", [None, "{", '{"zarr_format": 3}', "[]"])
def test_a_coarser_level_that_is_damaged_is_passed_over(tmp_path, text):
    path = make_ome(tmp_path / "i.zarr", n_levels=3)
    for file in (path / "s1").rglob("zarr.json"):
        file.unlink() if text is None else file.write_text(text)
    image = read_image(path)
    np.testing.assert_array_equal(image.array, PIXELS)
    assert [level.shape for level in image.array.coarser] == [(3, 5, 8)]
    with pytest.raises(FileError):
        read_image(path, level=1)


def test_a_scale_of_all_levels_counts_too(tmp_path):
    change = {"type": "scale", "scale": [10.0, 2.0, 2.0]}
    path = make_ome(tmp_path / "i.zarr", coordinateTransformations=[change])
    assert read_image(path, level=1).scale("ZYX") == (20.0, 2.0, 2.0)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array(tmp_path, zarr_format):
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=PIXELS, chunks=(1, 8, 8), zarr_format=zarr_format)
    image = read_image(path)
    np.testing.assert_array_equal(image.array, PIXELS)
    assert image.axes is None
    assert image.scale("ZYX") is None
    assert read_image(path, "CYX").axes == "CYX"


def test_named_dimensions_are_axes(tmp_path):
    for number, (names, axes) in enumerate(
        [(("c", "Y", "x"), "CYX"), (("a", "b", "c"), None), (("y", "y", "x"), None)]
    ):
        path = tmp_path / f"{number}.zarr"
        zarr.create_array(path, data=PIXELS, dimension_names=names)
        assert read_image(path).axes == axes


def test_an_array_within_a_store_has_its_own_path(tmp_path):
    path = make_ome(tmp_path / "i.zarr")
    np.testing.assert_array_equal(read_image(path / "s1").array, PIXELS[:, ::2, ::2])


def test_it_is_read_where_it_is_sliced(tmp_path, monkeypatch):
    image = read_image(make_ome(tmp_path / "i.zarr")).array
    assert (image.shape, image.ndim, image.size) == ((3, 20, 31), 3, PIXELS.size)
    assert image.dtype == np.uint16
    real, places = zarr.Array.__getitem__, []

    def note(self, place):
        places.append(place)
        return real(self, place)

    monkeypatch.setattr(zarr.Array, "__getitem__", note)
    np.testing.assert_array_equal(image[1, 2:9:3, :5], PIXELS[1, 2:9:3, :5])
    np.testing.assert_array_equal(image[2], PIXELS[2])
    assert places == [
        (1, slice(2, 9, 3), slice(None, 5)),
        (2, slice(None), slice(None)),
    ]


def test_labels(tmp_path):
    labels = (PIXELS % 3).astype(np.uint8)
    path = write_labels(tmp_path / "l.zarr", labels, axes="ZYX")
    np.testing.assert_array_equal(read_labels(path).array, labels)
    # as many programs write them: five axes, one channel
    path = make_ome(tmp_path / "m.zarr", axes="tczyx", pixels=labels[None, None])
    np.testing.assert_array_equal(read_labels(path).array, labels[None])
    image = read_image(path)
    assert image.axes == "TCZYX"
    assert image.scale("TZYX") == (3.0, 2.0, 0.5, 0.5)


def _collection(path):
    group = zarr.create_group(path, attributes={"bioformats2raw.layout": 3})
    group.create_group("0")


def _empty(path):
    zarr.create_group(path)


def _arrays(path):
    zarr.create_group(path).create_array("raw", data=PIXELS)


def _torn(path):
    make_ome(path)
    (path / "s0" / "zarr.json").unlink()


def _text(path):
    path.mkdir()
    (path / "zarr.json").write_text("{")


def _complex(path):
    zarr.create_array(path, data=np.ones((4, 4), complex))


def _folder(path):
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "options", "error", "text"),
    [
        (_collection, {}, FileError, "it is a collection: name an image in it"),
        (_empty, {}, FileError, "holds no image; it is empty"),
        (_arrays, {}, FileError, "name an array or image in it: raw"),
        (_torn, {}, FileError, "cannot be read as Zarr"),
        (_text, {}, FileError, "cannot be read as Zarr"),
        (_complex, {}, ImageError, "values of type complex128"),
        (_folder, {}, FileError, "is a folder; give the files in it"),
        (make_ome, {"level": 2}, FileError, "has no level 2; it has 2"),
        (make_ome, {"axes": "YX"}, ImageError, "have 2 letters"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, make, options, error, text):
    path = tmp_path / "x.zarr"
    make(path)
    with pytest.raises(error, match=text) as found:
        read_image(path, **options)
    assert "\n" not in str(found.value)
    assert str(path) in str(found.value)


def test_levels_are_for_ome_zarr(tmp_path, folder):
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS)
    with pytest.raises(FileError, match="one array, without levels"):
        read_image(tmp_path / "a.zarr", level=1)
    with pytest.raises(FileError, match=r"no OME-Zarr image: leave out --level 1"):
        read_image(folder / "image.png", level=1)


def test_a_damaged_chunk_is_one_sentence_when_it_is_read(tmp_path, capfd):
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=PIXELS, chunks=(1, 8, 8))
    for chunk in (path / "c" / "1").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"no chunk")
    image = read_image(path).array
    np.testing.assert_array_equal(image[0], PIXELS[0])
    with pytest.raises(FileError, match=f"{path} cannot be read; it is damaged"):
        image[1]
    assert capfd.readouterr().err == ""


def test_training_on_zarr(cli, folder, tmp_path):
    import imageio.v3 as iio

    image = iio.imread(folder / "image.png")
    strokes = iio.imread(folder / "strokes.png")
    big = np.repeat(np.repeat(image, 2, 0), 2, 1)
    make_ome(tmp_path / "i.zarr", axes="yx", pixels=big)
    write_labels(tmp_path / "s.zarr", strokes)
    make_ome(
        tmp_path / "b.zarr", axes="yx", pixels=np.repeat(strokes, 2, 0).repeat(2, 1)
    )
    call = ("train", "--steps", "0", "--config", folder / "small.json")
    for annotation in ("b.zarr", "s.zarr/0", folder / "strokes.png"):
        out = tmp_path / "m.safetensors"
        result = cli(
            *call,
            *("--image", tmp_path / "i.zarr", "--annotation", tmp_path / annotation),
            *("--out", out, "--level", "1"),
        )
        assert result.code == 0, result.err
    result = cli(
        *call,
        *("--image", tmp_path / "i.zarr", "--annotation", folder / "strokes.png"),
        *("--out", tmp_path / "n.safetensors"),
    )
    assert result.code == 2
    assert "must be equal" in result.sentence() or "needs" in result.sentence()
