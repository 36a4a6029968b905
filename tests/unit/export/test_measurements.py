"""Measurements against closed forms: discs, boxes, ellipses, balls, uneven voxels."""

import math

import numpy as np
import pytest
from skimage.measure import regionprops_table

from napari_unet.errors import ConfigError, FileError, ImageError
from napari_unet.export import measure_job, measure_labels, quantity_names
from napari_unet.export.crofton import border_size
from napari_unet.jobs import CancelToken, Progress, finish


def ball(radius, scale):
    """A disc or ball of a radius in world units, sampled at a scale."""
    axes = [np.arange(-radius - 2 * s, radius + 2 * s, s) for s in scale]
    grids = np.meshgrid(*axes, indexing="ij")
    return sum(g**2 for g in grids) <= radius**2


@pytest.fixture
def shapes():
    """A box, a pixel, a bar and a blob at the border, with an image of noise."""
    rng = np.random.default_rng(0)
    labels = np.zeros((90, 120), np.uint16)
    labels[10:20, 30:90] = 7
    labels[40, 50] = 2
    labels[60:80, 20:22] = 300
    labels[85:, 100:] = 11
    return labels, rng.integers(0, 4000, labels.shape).astype(np.uint16)


def test_a_box_has_the_values_of_its_formulas(shapes):
    labels, _ = shapes
    table = measure_labels(labels, scale=(0.5, 0.25), unit="micrometer")
    assert table["label"].tolist() == [2, 7, 11, 300]
    box = {name: table[name][1] for name in table.names}
    assert box["n_pixels"] == 600
    assert box["area_um2"] == pytest.approx(75)
    assert box["centroid_y_um"] == pytest.approx(14.5 * 0.5)
    assert box["centroid_x_um"] == pytest.approx(59.5 * 0.25)
    corners = "bbox_y_start_px", "bbox_x_start_px", "bbox_y_stop_px", "bbox_x_stop_px"
    assert [box[c] for c in corners] == [10, 30, 20, 90]
    # the variance of a uniform bar is length^2 / 12, an ellipse's is axis^2 / 16
    assert box["axis_major_length_um"] == pytest.approx(15 * math.sqrt(16 / 12))
    assert box["axis_minor_length_um"] == pytest.approx(5 * math.sqrt(16 / 12))
    assert box["eccentricity"] == pytest.approx(math.sqrt(1 - 1 / 9))
    assert box["equivalent_diameter_um"] == pytest.approx(2 * math.sqrt(75 / math.pi))
    assert box["orientation_deg"] == pytest.approx(0)
    assert box["solidity"] == 1
    assert box["perimeter_um"] == pytest.approx(40, rel=0.09)
    assert table["orientation_deg"][3] == pytest.approx(90)
    assert table["touches_border"].tolist() == [0, 0, 1, 0]


def test_one_pixel_has_a_size_and_no_direction(shapes):
    labels, image = shapes
    with np.errstate(all="raise"):
        table = measure_labels(labels, image)
    pixel = {name: table[name][0] for name in table.names}
    assert pixel["area_px2"] == pixel["n_pixels"] == pixel["solidity"] == 1
    assert pixel["eccentricity"] == 0
    assert pixel["axis_major_length_px"] == pytest.approx(math.sqrt(16 / 12))
    assert math.isnan(pixel["orientation_deg"])
    assert pixel["intensity_mean"] == pixel["intensity_max"] == image[40, 50]
    assert pixel["intensity_std"] == 0


def test_what_scikit_image_measures_too_is_the_same(shapes):
    labels, image = shapes
    names = {
        "label": "label",
        "area": "area_nm2",
        "centroid-0": "centroid_y_nm",
        "centroid-1": "centroid_x_nm",
        "bbox-2": "bbox_y_stop_px",
        "equivalent_diameter_area": "equivalent_diameter_nm",
        "solidity": "solidity",
        "intensity_mean": "intensity_mean",
        "intensity_min": "intensity_min",
        "intensity_max": "intensity_max",
        "intensity_std": "intensity_std",
    }
    wanted = {name.split("-")[0] for name in names}
    theirs = regionprops_table(
        labels, image, properties=sorted(wanted), spacing=(2.0, 0.5)
    )
    ours = measure_labels(labels, image, scale=(2.0, 0.5), unit="nm")
    for their_name, our_name in names.items():
        np.testing.assert_allclose(ours[our_name], theirs[their_name], rtol=1e-12)
    sums = [image[labels == label].sum() for label in ours["label"]]
    assert ours["intensity_sum"].tolist() == sums


def test_an_ellipse_lies_as_it_was_drawn():
    y, x = np.mgrid[-60:61, -60:61]
    angle = math.radians(30)  # counter-clockwise on the screen, where y goes down
    along = x * math.cos(angle) - y * math.sin(angle)
    across = x * math.sin(angle) + y * math.cos(angle)
    labels = ((along / 50) ** 2 + (across / 20) ** 2 <= 1).astype(np.uint8)
    table = measure_labels(labels)
    assert table["orientation_deg"][0] == pytest.approx(30, abs=0.3)
    assert table["axis_major_length_px"][0] == pytest.approx(100, rel=0.01)
    assert table["axis_minor_length_px"][0] == pytest.approx(40, rel=0.01)
    assert table["area_px2"][0] == pytest.approx(math.pi * 1000, rel=0.01)
    flipped = measure_labels(labels[::-1])
    assert flipped["orientation_deg"][0] == pytest.approx(150, abs=0.3)


@pytest.mark.parametrize("scale", [(1, 1), (0.5, 0.2), (1, 0.25)])
def test_the_border_of_a_disc(scale):
    length = border_size(ball(20, scale), scale)
    assert length == pytest.approx(2 * math.pi * 20, rel=0.03)


@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 0.5, 0.5), (3, 1, 1), (1, 2, 2)])
def test_a_ball_of_uneven_voxels(scale):
    table = measure_labels(ball(20, scale), scale=scale, unit="um", columns=["all"])
    ours = {name: table[name][0] for name in table.names}
    assert ours["volume_um3"] == pytest.approx(4 / 3 * math.pi * 20**3, rel=0.01)
    assert ours["surface_area_um2"] == pytest.approx(4 * math.pi * 400, rel=0.02)
    assert ours["equivalent_diameter_um"] == pytest.approx(40, rel=0.01)
    for name in ("major", "middle", "minor"):
        assert ours[f"axis_{name}_length_um"] == pytest.approx(40, rel=0.02)
    assert ours["solidity"] > 0.9
    assert "eccentricity" not in table
    assert "perimeter_um" not in table


def test_a_bar_in_a_volume_points_along_its_longest_axis():
    labels = np.zeros((12, 30, 30), np.uint8)
    labels[2:10, 5:7, 5:9] = 1
    table = measure_labels(labels, scale=(3, 1, 1))
    assert [abs(table[f"orientation_{a}"][0]) for a in "zyx"] == pytest.approx(
        [1, 0, 0]
    )
    lengths = [table[f"axis_{n}_length_world"][0] for n in ("major", "middle", "minor")]
    # the variance of a uniform ellipsoid is axis^2 / 20
    assert lengths == pytest.approx([n * math.sqrt(20 / 12) for n in (24, 4, 2)])
    assert "solidity" not in table  # slow in volumes: only when asked for


def test_units_are_in_the_headings(shapes):
    labels, _ = shapes
    for scale, unit, name in [
        (None, None, "area_px2"),
        ((1, 1), "pixel", "area_px2"),
        ((0.5, 0.5), None, "area_world2"),
        ((0.5,), "µm", "area_um2"),
        ((0.5, 0.5), "kilometer", "area_kilometer2"),
    ]:
        assert name in measure_labels(labels, scale=scale, unit=unit, columns=["area"])


def test_times_and_planes_are_rows_of_their_own(shapes):
    plane, _ = shapes
    series = np.stack([plane, np.where(plane == 7, 7, 0)])
    table = measure_labels(series, axes="TYX", scale=(9, 0.5, 0.5), unit="um")
    assert table.names[:2] == ("time_point", "label")
    assert list(zip(table["time_point"], table["label"], strict=True)) == [
        (0, 2), (0, 7), (0, 11), (0, 300), (1, 7),
    ]  # fmt: skip
    assert table["area_um2"][-1] == 150
    whole = measure_labels(series[None], columns=["volume"])  # TZYX
    assert whole["time_point"].tolist() == [0] * 4
    assert whole["volume_px3"][1] == 1200
    planes = measure_labels(series, by_plane=True, columns=["area"])
    assert planes["plane"].tolist() == [0, 0, 0, 0, 1]
    assert planes["area_px2"].tolist() == table["n_pixels"].tolist()


def test_channels_have_names_wherever_their_axis_is(shapes):
    labels, image = shapes
    both = np.stack([image, image + 5], -1)
    columns = ["intensity_mean"]
    last = measure_labels(labels, both, columns=columns, channel_names=["dna", "actin"])
    first = measure_labels(labels, np.moveaxis(both, -1, 0), columns=columns)
    assert last.names[-2:] == ("intensity_mean_dna", "intensity_mean_actin")
    assert first.names[-2:] == ("intensity_mean_c0", "intensity_mean_c1")
    np.testing.assert_allclose(
        first["intensity_mean_c1"], last["intensity_mean_dna"] + 5
    )
    rgb = measure_labels(labels, np.stack([image] * 3, -1), columns=columns)
    assert rgb.names[-1] == "intensity_mean_blue"


def test_classes_of_objects_by_number_or_by_pixels(shapes):
    labels, _ = shapes
    by_number = np.zeros(12, int)
    by_number[[2, 7, 11]] = 3, 2, 3
    names = {2: "nucleus", 3: "débris"}
    table = measure_labels(labels, classes=by_number, class_names=names)
    assert table["class_label"].tolist() == [3, 2, 3, 0]
    assert table["class"].tolist() == ["débris", "nucleus", "débris", ""]
    pixels = np.where(labels == 7, 2, 1)
    pixels[10:13] = 5  # a part of it
    table = measure_labels(labels, classes=pixels, class_names=names)
    assert table["class_label"].tolist() == [1, 2, 1, 1]


def test_areas_of_classes_add_up_to_the_image(shapes):
    _, image = shapes
    labels = (image % 3 + 1).astype(np.uint8)
    offset = image + 1e9  # where a sum of squares would lose the spread
    names = {1: "ground"}
    table = measure_labels(
        labels, offset, per="class", scale=(0.5,), unit="um", class_names=names
    )
    assert table["class_label"].tolist() == [1, 2, 3]
    assert table["class"].tolist() == ["ground", "", ""]
    assert table["fraction"].sum() == pytest.approx(1)
    assert table["area_um2"].sum() == pytest.approx(labels.size / 4)
    for row, value in enumerate((1, 2, 3)):
        inside = offset[labels == value]
        assert table["intensity_std"][row] == pytest.approx(inside.std(), rel=1e-6)
        assert table["intensity_min"][row] == inside.min()
        assert table["intensity_sum"][row] == pytest.approx(inside.sum())


class Lazy:
    """An array that notes how much is read at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, place):
        part = self.array[place]
        self.largest = max(self.largest, part.size)
        return part


@pytest.mark.parametrize("per", ["object", "class"])
def test_block_by_block_gives_the_same_and_never_reads_all(shapes, per, monkeypatch):
    rng = np.random.default_rng(1)
    labels = np.zeros((200, 300), np.uint32)
    for number in range(1, 60):
        y, x = rng.integers(0, (190, 290))
        labels[y : y + 10, x : x + 10] = number * 70_000_000  # far beyond a list
    image = rng.random(labels.shape).astype(np.float32)
    whole = measure_labels(labels, image, per=per)
    monkeypatch.setattr("napari_unet.export.frames.BLOCK_PX", 1024)
    monkeypatch.setattr("napari_unet.export.object_measurements.BLOCK_PX", 1024)
    lazy = Lazy(labels), Lazy(image)
    parts = measure_labels(*lazy, per=per)
    assert parts.names == whole.names
    for name in set(whole.names) - {"class"}:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-9)
    assert max(array.largest for array in lazy) <= 4096


def test_it_tells_how_far_it_is_and_stops_when_told(shapes):
    labels, image = shapes
    events = list(measure_job(CancelToken(), labels, image))
    assert events
    assert all(isinstance(event, Progress) for event in events)
    assert events[-1].done == events[-1].total
    token = CancelToken()
    token.cancel()
    job = measure_job(token, labels, image)
    with pytest.raises(StopIteration) as end:
        next(job)
    assert end.value.value is None


def test_many_classes_of_one_block_can_be_stopped():
    class Soon:
        n_asked = 0

        @property
        def cancelled(self):
            self.n_asked += 1
            return self.n_asked > 5

    token = Soon()
    assert (
        finish(measure_job(token, np.arange(400).reshape(20, 20), per="class")) is None
    )
    assert token.n_asked == 6


def test_without_objects_there_are_headings_and_no_rows():
    table = measure_labels(np.zeros((8, 9), int), np.ones((8, 9)))
    assert table.n_rows == 0
    assert "intensity_mean" in table
    assert measure_labels(np.zeros((8, 9), int), per="class").n_rows == 0


def test_background_is_no_object(shapes):
    labels, _ = shapes
    assert measure_labels(labels, background=(2, 300))["label"].tolist() == [7, 11]


def test_missing_values_of_the_image_show(shapes):
    labels, image = shapes
    holey = image.astype(float)
    holey[40, 50] = np.nan
    holey[10, 30] = np.inf
    table = measure_labels(labels, holey)
    assert math.isnan(table["intensity_mean"][0])
    assert table["intensity_max"][1] == np.inf
    assert np.isfinite(table["intensity_mean"][2:]).all()


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"columns": ["girth"]}, ConfigError, "no column 'girth'"),
        ({"columns": ["volume"]}, ConfigError, "measured of volumes"),
        ({"columns": ["fraction"]}, ConfigError, "measured of classes"),
        ({"columns": ["solidity"], "per": "class"}, ConfigError, "not measured of"),
        ({"columns": ["intensity_mean"]}, ConfigError, "give that as well"),
        ({"scale": (1, 1, 1, 1)}, ImageError, "4 numbers"),
        ({"scale": (0, 1)}, ImageError, "not 0"),
        ({"axes": "CYX"}, ImageError, "do not fit"),
        ({"image": np.ones((5, 5))}, ImageError, "must be equal"),
        ({"image": np.ones((90, 120, 2)), "channel_names": ["a"]}, ConfigError, "1 ch"),
        ({"classes": np.ones((5, 5), int)}, ImageError, "the classes have the shape"),
    ],
)
def test_refusals_say_what_and_why(shapes, options, kind, words):
    labels, _ = shapes
    with pytest.raises(kind, match=words):
        measure_labels(labels, **options)


def test_labels_must_be_whole_numbers_of_0_or_more(shapes):
    labels, _ = shapes
    with pytest.raises(ImageError, match="dtype is float64"):
        measure_labels(labels * 0.5)
    with pytest.raises(ImageError, match="one is -1"):
        measure_labels(labels.astype(int) - 1)


def test_a_file_that_cannot_be_read_is_one_sentence(shapes):
    class Broken(Lazy):
        def __getitem__(self, place):
            raise OSError("drive gone")

    with pytest.raises(FileError, match="could not be read"):
        measure_labels(Broken(shapes[0]))


def test_every_quantity_has_a_meaning():
    assert all(meaning.endswith(".") for meaning in quantity_names().values())
