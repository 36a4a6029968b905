"""Label files: exact pixels, pixel size and names kept, refusals in one sentence."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.errors import FileError, ImageError
from napari_unet.export import write_labels, write_probabilities


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    return rng.integers(0, 5, (20, 30)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".TIF", ".ome.tif", ".png"])
@pytest.mark.parametrize(
    ("dtype", "largest"), [(bool, 1), (np.uint8, 255), (np.uint16, 65535), (int, 300)]
)
def test_pixels_come_back(tmp_path, suffix, dtype, largest):
    labels = np.random.default_rng(1).integers(0, largest + 1, (20, 30)).astype(dtype)
    labels[0, 0] = largest
    path = write_labels(tmp_path / f"out{suffix}", labels)
    back = iio.imread(path) if suffix == ".png" else tifffile.imread(path)
    np.testing.assert_array_equal(back, labels)
    assert back.dtype == (np.uint8 if largest < 256 else np.uint16)


def test_imagej_metadata(tmp_path, labels):
    volume = np.stack([labels, labels + 1, labels])
    path = write_labels(
        tmp_path / "a.tif",
        volume,
        scale=(2.0, 0.325, 0.25),
        unit="micrometer",
        class_names={1: "background", 2: "nucleus"},
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_imagej
        assert tiff.series[0].axes == "ZYX"
        metadata = tiff.imagej_metadata
        tags = tiff.pages[0].tags
        x, y = (tags[name].value for name in ("XResolution", "YResolution"))
    assert metadata["unit"] == "um"
    assert metadata["spacing"] == 2.0
    assert metadata["max"] == volume.max()
    assert metadata["Info"].splitlines() == ["labels", "1: background", "2: nucleus"]
    assert x[1] / x[0] == pytest.approx(0.25, rel=1e-6)
    assert y[1] / y[0] == pytest.approx(0.325, rel=1e-6)


def test_large_values_become_ome(tmp_path, labels):
    path = write_labels(
        tmp_path / "a.tif",
        labels.astype(np.int64) * 70_000,
        scale=(0.5, 0.25),
        unit="um",
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.asarray().dtype == np.uint32
        np.testing.assert_array_equal(tiff.asarray(), labels.astype(int) * 70_000)
        assert 'PhysicalSizeX="0.25"' in tiff.ome_metadata
        assert 'PhysicalSizeYUnit="µm"' in tiff.ome_metadata


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("a.bmp", lambda a: a, r"suffix '\.bmp'; labels can be written to \.tif"),
        ("a", lambda a: a, r"suffix ''; labels can be written"),
        ("a.png", lambda a: a.astype(int) * 70_000, r"PNG holds labels up to 65535"),
        ("a.png", lambda a: np.stack([a, a]), r"PNG holds one plane"),
        ("a.tif", lambda a: a.astype(np.int64) << 33, r"TIFF holds labels up to 42949"),
    ],
)
def test_a_format_that_cannot_hold_it(tmp_path, labels, name, change, sentence):
    with pytest.raises(FileError, match=sentence):
        write_labels(tmp_path / name, change(labels))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (
            lambda a: a.astype(float),
            {},
            r"must be integers, but their dtype is float64",
        ),
        (lambda a: a.astype(int) - 9, {}, r"must be 0 or more, but the smallest is -9"),
        (lambda a: a[0], {}, r"have 1 axes; 2 to 4"),
        (lambda a: a, {"scale": (1.0,)}, r"has 1 numbers, the array 2 axes"),
        (lambda a: a, {"scale": (1.0, 0.0)}, r"must be finite and not 0"),
        (lambda a: a, {"scale": (1.0, np.nan)}, r"must be finite and not 0"),
        (lambda a: a, {"axes": "YC"}, r"axes 'YC' do not name the 2 axes"),
        (lambda a: a, {"axes": "XY"}, r"must be in the order of TZYX"),
    ],
)
def test_no_labels(tmp_path, labels, change, options, sentence):
    with pytest.raises(ImageError, match=sentence):
        write_labels(tmp_path / "a.tif", change(labels), **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (1, 5, 6), (2, 1, 5, 6)])
def test_axes_of_one_pixel(tmp_path, shape):
    labels = np.ones(shape, np.uint8)
    path = write_labels(tmp_path / "a.tif", labels)
    assert tifffile.imread(path).size == labels.size


def test_probabilities_of_a_plane_and_a_volume(tmp_path):
    values = np.random.default_rng(0).random((3, 4, 5, 6), np.float32)
    path = write_probabilities(
        tmp_path / "p.tif",
        values,
        scale=(2, 1, 1),
        unit="um",
        class_names=("a", "b", "c"),
    )
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(tiff.asarray(), values.transpose(1, 0, 2, 3))
        assert tiff.imagej_metadata["Info"].startswith("channel 1: a\n")
    path = write_probabilities(tmp_path / "q.tif", values[:, 0])
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "CYX"
        assert tiff.asarray().dtype == np.float32


def test_probabilities_refused(tmp_path):
    with pytest.raises(FileError, match=r"probabilities are written to \.tif"):
        write_probabilities(tmp_path / "p.png", np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ImageError, match=r"have 2 axes; classes first"):
        write_probabilities(tmp_path / "p.tif", np.zeros((3, 4), np.float32))


def test_a_mirrored_image_has_its_pixel_size(tmp_path, labels):
    path = write_labels(tmp_path / "m.tif", labels, scale=(-0.5, 0.25), unit="um")
    with tifffile.TiffFile(path) as file:
        x, y = (file.pages[0].tags[f"{a}Resolution"].value for a in "XY")
    assert (x[0] / x[1], y[0] / y[1]) == pytest.approx((4, 2))
