import numpy as np
import pytest

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource


@pytest.mark.parametrize(
    ("axes", "shape", "plane", "expected"),
    [
        ("ZYX", (5, 4, 4), 2, [0, 1, 2, 3, 4]),
        ("ZYX", (5, 4, 4), 0, [2, 1, 0, 1, 2]),
        ("ZYX", (5, 4, 4), 4, [2, 3, 4, 3, 2]),
        ("ZYX", (2, 4, 4), 0, [0, 1, 0, 1, 0]),
        ("ZYX", (1, 4, 4), 0, [0] * 5),
        ("ZCYX", (5, 2, 4, 4), 1, [1, 0, 1, 2, 3]),
        # time points are never mixed, whichever axis comes first
        ("TZYX", (3, 4, 4, 4), 4, [6, 5, 4, 5, 6]),
        ("TZYX", (3, 4, 4, 4), 7, [5, 6, 7, 6, 5]),
        ("ZTYX", (4, 3, 4, 4), 1, [7, 4, 1, 4, 7]),
        ("TYX", (5, 4, 4), 2, [2] * 5),
        ("YX", (4, 4), 0, [0] * 5),
    ],
)
def test_planes_along_z_are_mirrored_within_their_volume(axes, shape, plane, expected):
    stack = PlaneStack(np.zeros(shape), axes)
    assert stack.planes_along_z(plane, -2, 3) == expected


def test_a_slab_has_the_planes_that_are_read_one_by_one():
    image = np.random.default_rng(0).random((2, 3, 4, 20, 30))
    source = ImageSource("image", PlaneStack(image, "TZCYX"))
    box = (-5, 12, 10, 35)
    slab = source.read_slab(4, 2, 3, box)
    assert slab.shape == (4, 8, 17, 25)
    assert slab.dtype == np.float32
    for number, plane in enumerate([5, 4, 3, 4, 5, 4, 3, 4]):
        np.testing.assert_array_equal(slab[:, number], source.read(plane, *box))
