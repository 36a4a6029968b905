"""Overlay pictures: right colours in the right places."""

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet.errors import ImageError
from napari_unet.export import overlay_picture, write_picture
from napari_unet.export.picture import CLASS_COLOURS, class_colour


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((6, 8), np.uint8),
        np.full((6, 8), np.nan, np.float32),
        np.zeros((6, 8, 3), np.uint8),
        np.zeros((6, 8, 4), np.uint8),
    ],
)
def test_classes_are_tinted_and_background_is_clear(image, tmp_path):
    labels = np.ones((6, 8), np.uint8)
    labels[2:5, 2:6] = 2
    picture = overlay_picture(image, labels, opacity=0.5)
    colour = np.array(CLASS_COLOURS[1])
    np.testing.assert_array_equal(picture[labels == 1], 0)
    np.testing.assert_array_equal(picture[2, 2], colour)
    np.testing.assert_allclose(picture[3, 3], colour / 2, atol=1)
    path = write_picture(tmp_path / "p.png", picture)
    np.testing.assert_array_equal(iio.imread(path), picture)


def test_colours_go_round_but_never_to_the_background_s():
    far = [class_colour(value) for value in range(2, 40)]
    assert class_colour(1) == CLASS_COLOURS[0]
    assert CLASS_COLOURS[0] not in far
    assert far[0] == far[7] == CLASS_COLOURS[1]
    assert set(far) == set(CLASS_COLOURS[1:])


def test_contrast_survives_outliers():
    image = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100)
    image[0, 0] = 1e9
    picture = overlay_picture(image, np.zeros((100, 100), int))
    assert int(picture[50, 50, 0]) == pytest.approx(128, abs=3)


def test_shapes_must_fit():
    with pytest.raises(ImageError, match=r"\(5, 5\) do not fit an image of \(6, 8\)"):
        overlay_picture(np.zeros((6, 8)), np.zeros((5, 5), int))
