"""Parts of the dock *Project* that need no window: files, rows, actions."""

from datetime import datetime

import numpy as np
import pytest
import tifffile

from napari_unet.core.arrays import PlaneStack
from napari_unet.errors import ProjectError
from napari_unet.project import Project, ProjectImage
from napari_unet.widgets._project_actions import add_images, image_files
from napari_unet.widgets._project_files import _small, pick_layer
from napari_unet.widgets._project_rows import ImageRow, is_passed, summary_text
from napari_unet.widgets._project_table import when_text


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((512, 256), "YX", (64, 32)),
        ((30, 20), "YX", (30, 20)),
        ((5, 300, 400), "ZYX", (42, 57)),
        ((128, 128, 3), "YXC", (64, 64)),
        ((2, 100, 90), "CYX", (50, 45)),
        ((1, 700), "YX", None),
    ],
)
def test_thumbnails_are_small_pictures_of_any_image(shape, axes, expected):
    image = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    picture = _small(PlaneStack(image, axes))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert max(picture.shape) <= 64
    assert expected is None or picture.shape[:2] == expected
    assert picture.max() > picture.min()


def test_a_thumbnail_of_nothing_is_black():
    picture = _small(PlaneStack(np.full((90, 90), np.nan, np.float32), "YX"))
    assert not picture.any()


def test_the_layer_of_a_file_is_found_by_name_then_by_shape():
    image = ProjectImage(number=1, name="b", layer="b [1]", axes="YX", shape=(4, 5))
    assert pick_layer(["a", "b"], [(9, 9), (9, 9)], image) == 1
    assert pick_layer(["c", "d"], [(9, 9), (4, 5)], image) == 1
    assert pick_layer(["c", "d"], [(9, 9), (8, 8)], image) == 0


def test_of_a_folder_the_images_are_taken_in_natural_order(tmp_path):
    for name in ("c10.tif", "c2.TIF", "notes.txt", ".hidden.tif"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "stack.zarr").mkdir()
    names = [path.name for path in image_files([tmp_path, tmp_path / "notes.txt"])]
    assert names == ["c2.TIF", "c10.tif", "stack.zarr", "notes.txt"]
    assert image_files([tmp_path / "stack.zarr"]) == [tmp_path / "stack.zarr"]


def test_a_folder_without_images_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    with (
        Project.create(tmp_path / "p") as project,
        pytest.raises(ProjectError, match="no image in"),
    ):
        list(add_images(project, [tmp_path / "empty"]))


def test_images_that_were_opened_before_are_not_added_again(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8))
    with Project.create(tmp_path / "p") as project:
        project.add_image(path, layer="a")  # as the viewer adds it
        events = list(add_images(project, [path]))
        assert [event.undo for event in events] == [None]
        assert len(project.images) == 1


def test_rows_pass_by_status_missing_and_name():
    row = ImageRow(1, "Cell1.tif", "annotated", True, "/a/Cell1.tif", 5)
    passed = [name for name in ("all", "todo", "annotated") if is_passed(row, name)]
    assert passed == ["all", "annotated"]
    assert is_passed(row, "missing", "cell")
    assert not is_passed(row, "all", "nucleus")
    text = "0 of 1 images done, 1 painted, 1 missing"
    assert summary_text([row]) == text


def test_times_of_today_have_no_date():
    now = datetime(2026, 3, 9, 18, 0)
    assert when_text(datetime(2026, 3, 9, 8, 5), now) == "08:05"
    assert when_text(datetime(2026, 3, 8, 8, 5), now) == "8 Mar 08:05"
