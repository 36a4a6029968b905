"""Images at an address, such as a zarr on a server, stay there in a project."""

import numpy as np
import pytest

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import ProjectError
from napari_unet.project import Project
from napari_unet.project.references import is_remote

ADDRESS = "https://example.org/a b/cells.zarr"


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p") as project:
        yield project


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (ADDRESS, True),
        ("s3://bucket/x.zarr", True),
        ("/data/x.tif", False),
        ("C://x.tif", False),
        ("x.tif", False),
        (None, False),
    ],
)
def test_what_an_address_is(place, expected):
    assert is_remote(place) is expected


def test_it_stays_as_it_is(project):
    image = project.add_image(ADDRESS, name="cells", fingerprint="1")
    with Project.open(project.folder, is_read_only=True) as again:
        assert again.images == (image,)
    assert (image.path, image.absolute_path) == (ADDRESS, ADDRESS)
    assert project.add_image(ADDRESS) == image
    assert project.find_image(ADDRESS, "2", "cells") == image
    assert project.find_image(f"{ADDRESS}2", "2", "cells") is None
    assert not project.is_changed(image.number)
    with pytest.raises(ProjectError, match=f"at {ADDRESS}, which is no file"):
        project.find(image.number)


def test_a_download_of_it_is_the_same_image(project, tmp_path):
    image = project.add_image(ADDRESS, name="cells", fingerprint="1")
    labels = TiledLabels.of(np.eye(4, dtype=np.uint8))
    project.save_annotation(image.number, "strokes", labels)
    file = tmp_path / "cells.tif"
    file.touch()
    known = project.find_image(file, "1", None)
    assert known is not None
    assert known.number == image.number
    project.relocate(known.number, file)
    assert project.find(image.number) == file
