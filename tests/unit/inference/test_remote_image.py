"""Images as workers see them: the same numbers, opened there or sent by the tile."""

import pickle

import numpy as np
import pytest

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.errors import ImageError
from napari_unet.inference.remote_image import RemoteImage, pixels_of
from napari_unet.inference.stream import SlabTile
from napari_unet.inference.tiles import Tile


class Looks:
    """A predictor, as far as reading is concerned."""

    planes_around = 1

    def __init__(self, factor=1):
        self.factor = factor

    def window(self, source, tile):
        sides = (tile.y0, tile.y1, tile.x0, tile.x1)
        coarse = Tile(*(side // self.factor for side in sides))
        return source.coarsened(self.factor), coarse.grown(7)


LOOKS = Looks()


def _source(shape, axes, dtype="u2", anisotropy=2.5):
    image = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    return ImageSource("image", PlaneStack(image, axes), anisotropy=anisotropy)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((40, 50), "YX"), ((2, 5, 20, 30), "TZYX"), ((2, 20, 5, 6), "TCYX"),
     ((20, 30, 4), "YXC")],
)  # fmt: skip
def test_what_is_sent_reads_as_the_whole(shape, axes):
    """Also beyond the borders, of the planes around, and through a pickle."""
    source = _source(shape, axes, "u1" if axes == "YXC" else "u2")
    remote = RemoteImage.of(source, LOOKS, None)
    for tile in (Tile(0, 10, 0, 6), Tile(8, 20, 3, 6)):
        for plane in range(source.stack.n_planes):
            sent = pixels_of(source, SlabTile(tile, ((plane, 1),)), LOOKS)
            there, sent = pickle.loads(pickle.dumps((remote, sent)))
            received = there.received(sent)
            assert (received.key, received.anisotropy) == ("image", 2.5)
            box = (tile.y0 - 7, tile.y1 + 7, tile.x0 - 7, tile.x1 + 7)
            for slab in ((plane, 1, 1, box), (plane, 1, 0, (*box[:2], 1, 5))):
                found, expected = received.read_slab(*slab), source.read_slab(*slab)
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("dtype", "sent_as"), [("u1", "u1"), (">u2", ">u2"), ("i4", "f4"), ("f8", "f4")]
)
def test_no_more_is_sent_than_there_is(dtype, sent_as):
    source = _source((30, 40), "YX", dtype)
    sent = pixels_of(source, SlabTile(Tile(0, 30, 0, 40), ((0, 1),)), LOOKS)
    (pixels,) = sent.planes.values()
    assert (pixels.dtype, pixels.shape) == (np.dtype(sent_as), (1, 44, 54))


def test_who_looks_further_than_was_sent_is_told():
    source = _source((30, 40), "YX")
    sent = pixels_of(source, SlabTile(Tile(0, 16, 0, 16), ((0, 1),)), LOOKS)
    received = RemoteImage.of(source, LOOKS, None).received(sent)
    for box in ((-8, 10, 0, 10), (0, 24, 0, 10)):
        with pytest.raises(AssertionError):
            received.read(0, *box)


def test_an_image_that_is_opened_must_be_the_same():
    source = _source((200, 300), "YX")
    image = source.stack.image
    opened = RemoteImage.of(source, LOOKS, lambda: image).opened()
    np.testing.assert_array_equal(
        opened.read(0, 0, 50, 0, 60), source.read(0, 0, 50, 0, 60)
    )
    for other in (image[1:], image.astype("i4"), np.roll(image, 1)):
        with pytest.raises(ImageError, match="image is another image here"):
            RemoteImage.of(source, LOOKS, lambda other=other: other).opened()


def test_the_normalisation_comes_along():
    """Measured on a part, it would be another one."""
    source = _source((60, 60), "YX")
    source.stack.image[:30] *= 50
    sent = pixels_of(source, SlabTile(Tile(40, 60, 40, 60), ((0, 1),)), LOOKS)
    received = RemoteImage.of(source, LOOKS, None).received(sent)
    assert received.normaliser == source.normaliser


def test_what_is_seen_coarser_is_sent_so():
    source = _source((64, 96), "YX")
    looks = Looks(4)
    remote = RemoteImage.of(source, looks, None)
    sent = pixels_of(source, SlabTile(Tile(16, 64, 32, 96), ((0, 1),)), looks)
    assert sent.planes[0].shape == (1, 12 + 14, 16 + 14)
    received = remote.received(sent).coarsened(4)
    expected = source.coarsened(4)
    assert received.stack.plane_shape == expected.stack.plane_shape
    box = (4 - 7, 16 + 7, 8 - 7, 24 + 7)
    np.testing.assert_array_equal(received.read(0, *box), expected.read(0, *box))
    opened = RemoteImage.of(source, looks, lambda: source.stack.image).opened()
    np.testing.assert_array_equal(
        opened.coarsened(4).read(0, *box), expected.read(0, *box)
    )
