"""Image files: what they say is believed, or they are refused in one sentence."""

import os
import pickle
import struct
import zlib
from importlib.util import find_spec

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.cli._read import read_image, read_labels
from napari_unet.errors import AnnotationError, FileError, ImageError
from napari_unet.export import write_labels

RNG = np.random.default_rng(0)
PLANE = RNG.integers(0, 255, (20, 30), dtype=np.uint8)
STACK = RNG.integers(0, 255, (5, 20, 30), dtype=np.uint8)


def png(depth, colour_type, size=(2, 2)):
    """Return a small PNG, written by hand where no library would."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    n_bytes = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type] * depth // 8
    rows = (b"\0" + b"\x12" * n_bytes * 2) * 2
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".TIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_pixels(tmp_path, suffix, dtype):
    path = tmp_path / f"a{suffix}"
    array = (PLANE > 99) if dtype is bool else PLANE.astype(dtype) * dtype(1)
    if suffix == ".npy":
        np.save(path, array)
    elif suffix == ".png":
        iio.imwrite(path, array)
    else:
        tifffile.imwrite(path, array)
    image = read_image(path)
    np.testing.assert_array_equal(image.array, array)
    assert image.axes == (None if suffix == ".npy" else "YX")
    assert image.scale("YX") is None


def test_jpeg_and_colours(tmp_path):
    rgb = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    iio.imwrite(tmp_path / "a.jpg", rgb)
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == "YXC"
    assert abs(image.array.astype(int) - rgb).max() < 5
    rgba = np.dstack([rgb, rgb[..., 0]])
    iio.imwrite(tmp_path / "a.png", rgba)
    assert read_image(tmp_path / "a.png").array.shape == (20, 30, 4)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
    assert read_image(tmp_path / "a.tif").axes == "YXC"
    Image.fromarray(rgba[..., 2:]).save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png").array.shape == (20, 30)


@pytest.mark.parametrize("axes", ["ZYX", "CYX", "TYX"])
@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_axes(tmp_path, axes, kind, compression):
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    tifffile.imwrite(
        path, STACK, metadata={"axes": axes}, compression=compression, **{kind: True}
    )
    image = read_image(path)
    assert image.axes == axes
    np.testing.assert_array_equal(image.array, STACK)


def test_pages_without_a_name(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    assert image.axes is None
    assert image.array.shape == STACK.shape
    assert read_image(tmp_path / "a.tif", axes="zyx").axes == "ZYX"
    tifffile.imwrite(tmp_path / "b.tif", STACK[:1], photometric="minisblack")
    assert read_image(tmp_path / "b.tif").array.shape == PLANE.shape


def test_labels_on_every_page_say_that_pages_are_no_channels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "CYX"
    assert image.axes_for(STACK.shape) is None
    assert image.axes_for(PLANE.shape) == "CYX"


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
@pytest.mark.parametrize(
    ("shape", "scale"),
    [((20, 30), (0.325, 0.25)), ((5, 20, 30), (2.0, 0.1083, 0.1083))],
)
def test_pixel_size_comes_back(tmp_path, name, shape, scale):
    path = write_labels(
        tmp_path / name, np.ones(shape, np.uint8), scale=scale, unit="um"
    )
    image = read_image(path)
    assert image.unit == "micrometer"
    assert image.scale("TZYX"[-len(shape) :]) == pytest.approx(scale, rel=1e-6)


def test_a_printer_resolution_is_no_pixel_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE, resolution=(300, 300), resolutionunit=2)
    assert read_image(tmp_path / "a.tif").scale("YX") is None


@pytest.mark.parametrize("kind", ["plain", "zlib", "imagej", "imagej zlib", "ome zlib"])
@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.7, 0.95])
def test_a_stack_that_was_cut_off_is_refused(tmp_path, kind, share):
    options = {"photometric": "minisblack"}
    options |= {"imagej": True} if "imagej" in kind else {}
    options |= {"ome": True} if "ome" in kind else {}
    options |= {"compression": "zlib"} if "zlib" in kind else {}
    tifffile.imwrite(tmp_path / "whole.tif", STACK, **options)
    content = (tmp_path / "whole.tif").read_bytes()
    path = tmp_path / "part.tif"
    path.write_bytes(content[: int(len(content) * share)])
    if (kind, share) == ("imagej", 0.95):
        # all pixels come first there, and what is lost repeats the first page
        np.testing.assert_array_equal(read_image(path).array, STACK)
        return
    with pytest.raises(FileError, match=r"part\.tif .*damaged or incomplete"):
        read_image(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".npy"])
def test_other_files_that_were_cut_off(tmp_path, suffix, share):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, PLANE)
    else:
        iio.imwrite(path, PLANE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match="damaged or incomplete"):
        read_image(path)


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is there")
@pytest.mark.parametrize(
    ("compression", "name"), [("tiff_lzw", "LZW"), ("zstd", "ZSTD"), ("jpeg", "JPEG")]
)
def test_a_codec_that_is_not_installed(tmp_path, compression, name):
    path = tmp_path / "a.tif"
    Image.fromarray(PLANE).save(path, compression=compression)
    with pytest.raises(FileError, match=f"compressed with {name}.*imagecodecs"):
        read_image(path)


def test_large_uncompressed_images_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.cli._tiff._MAPPED_BYTES", 100)
    for byteorder in "<>":
        path = tmp_path / "a.tif"
        array = STACK.astype(np.uint16) * 7
        tifffile.imwrite(path, array, imagej=byteorder == ">", byteorder=byteorder)
        image = read_image(path)
        assert isinstance(image.array, np.memmap)
        np.testing.assert_array_equal(image.array, array)


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil",))


def hostile(tmp_path, name):
    """Write one of the bad files and return its path."""
    path = tmp_path / name
    if name == "object.npy":
        np.save(path, np.array([Evil()], object), allow_pickle=True)
    elif name == "pickle.npy":
        path.write_bytes(pickle.dumps(Evil()))
    elif name == "huge.npy":
        text = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"
        text = text.ljust(117) + "\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)))
        with path.open("ab") as file:
            file.write(text.encode())
    elif name == "complex.npy":
        np.save(path, np.ones((3, 3), complex))
    elif name == "empty.npy":
        np.save(path, np.ones((0, 3)))
    elif name == "huge.tif":
        tifffile.imwrite(path, PLANE, compression="zlib")
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            tiff.pages[0].tags["ImageWidth"].overwrite(2_000_000)
            tiff.pages[0].tags["ImageLength"].overwrite(2_000_000)
    elif name == "huge.png":
        path.write_bytes(png(8, 0, (1_000_000, 1_000_000)))
    elif name in ("deep.png", "deep_alpha.png"):
        path.write_bytes(png(16, 2 if name == "deep.png" else 6))
    elif name == "text.tif":
        path.write_text("this is no image")
    elif name == "script.png":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    elif name == "nothing.tif":
        path.touch()
    elif name == "folder.tif":
        path.mkdir()
    elif name == "notes.txt":
        path.write_text("notes")
    return path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("object.npy", "damaged or incomplete"),
        ("pickle.npy", "is not a NumPy file"),
        ("huge.npy", "damaged or incomplete"),
        ("complex.npy", "values of type complex128"),
        ("empty.npy", "empty array of shape"),
        ("huge.tif", "too small for that"),
        ("huge.png", "damaged or incomplete"),
        ("deep.png", "16-bit PNG with colours.*save it as TIFF"),
        ("deep_alpha.png", "16-bit PNG with colours"),
        ("text.tif", "is not a TIFF file, whatever its name says"),
        ("script.png", "is not a PNG file"),
        ("nothing.tif", "is empty"),
        ("folder.tif", "is a folder; give the files in it"),
        ("notes.txt", r"suffix '\.txt'; images can be read from \.tif"),
        ("missing.tif", "there is no file"),
    ],
)
def test_hostile_and_useless_files(tmp_path, monkeypatch, name, sentence):
    monkeypatch.chdir(tmp_path)
    path = hostile(tmp_path, name)
    with pytest.raises((FileError, ImageError), match=sentence) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "evil").exists()


def test_the_small_png_by_hand_is_sound(tmp_path):
    # so that the refusals above are about what they say
    (tmp_path / "a.png").write_bytes(png(16, 0))
    assert read_image(tmp_path / "a.png").array.tolist() == [[0x1212] * 2] * 2
    (tmp_path / "b.png").write_bytes(png(8, 2))
    assert read_image(tmp_path / "b.png").array.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ("ZYX", "have 3 letters"),
        ("YY", r"a\.tif: axes 'YY': give each .* at most once"),
        ("AX", r"a\.tif: axes 'AX': give each of the letters"),
        ("ZX", r"a\.tif: axes 'ZX': Y and X must come last"),
        # as images in memory, and not only when they are used
        ("XY", r"a\.tif: axes 'XY': Y and X must come last"),
    ],
)
def test_axes_that_cannot_be(tmp_path, axes, sentence):
    tifffile.imwrite(tmp_path / "a.tif", PLANE)
    with pytest.raises(ImageError, match=sentence):
        read_image(tmp_path / "a.tif", axes)


def test_labels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE.astype(np.float32))
    labels = read_labels(tmp_path / "a.tif").array
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(labels, PLANE)
    indices = PLANE % 3
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata(indices.ravel().tolist())
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png").array, indices)
    iio.imwrite(tmp_path / "bool.png", PLANE > 9)
    assert read_labels(tmp_path / "bool.png").array.dtype == np.uint8


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (PLANE + 0.5, "fractions or NaN"),
        (np.full((3, 3), np.nan), "fractions or NaN"),
        (np.full((3, 3), 1e300), "fractions or NaN"),
        (PLANE.astype(int) - 300, "holds the label -"),
    ],
)
def test_no_labels(tmp_path, array, sentence):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(AnnotationError, match=sentence):
        read_labels(tmp_path / "a.npy")


def test_colours_are_no_labels(tmp_path):
    iio.imwrite(tmp_path / "a.png", np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(AnnotationError, match="holds colours"):
        read_labels(tmp_path / "a.png")
