"""What lies together within a block's halo is cut as in the whole image."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.config import InstanceConfig
from napari_unet.inference.blockwise import cut_blocks
from napari_unet.inference.instances import split_objects
from napari_unet.jobs import finish

_MARGIN_PX = 4  # what the distance is smoothed over


class Kept:
    """A store in memory."""

    def __init__(self, labels, evidence, axes):
        self.labels, self.evidence, self.axes = labels, evidence, axes
        self.shape = labels.shape
        self.ids = np.zeros(labels.shape, np.uint32)

    def read(self, index, place):
        return self.labels[(*index, *place)], self.evidence[(*index, *place)]

    def read_ids(self, index, place):
        return self.ids[(*index, *place)].copy()

    def write_ids(self, index, place, ids):
        self.ids[(*index, *place)] = ids

    def finish(self):
        yield 1, 1


@st.composite
def images(draw):
    """Blobs of up to two classes, with what a model would be unsure of."""
    ndim = draw(st.sampled_from([2, 2, 3]))
    sides = st.integers(30, 90) if ndim == 2 else st.integers(8, 40)
    shape = tuple(draw(sides) for _ in range(ndim))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sigma = draw(st.sampled_from([1, 2, 3]))
    noise = [ndimage.gaussian_filter(rng.random(shape), sigma) for _ in range(3)]
    noise[0] += draw(st.sampled_from([0.02, 0.05])) / sigma
    labels = np.argmax(noise[: draw(st.integers(2, 3))], axis=0).astype(np.uint8) + 1
    evidence = np.clip(0.5 + 2 * (noise[1] - noise[0]), 0, 1).astype(np.float32)
    return labels, evidence


def largest_extent(labels):
    """Return the side of the largest clump of one class, with what it surrounds."""
    largest = 0
    for value in range(2, int(labels.max()) + 1):
        filled = ndimage.binary_fill_holes(labels == value)
        clumps, _ = ndimage.label(filled, np.ones((3,) * labels.ndim))
        for box in ndimage.find_objects(clumps):
            largest = max(largest, *(side.stop - side.start for side in box))
    return largest


@given(images(), st.sampled_from([0, 10, 40]), st.sampled_from([0.5, 0.8, 1.0]))
@settings(deadline=None, max_examples=40)
def test_blockwise_equals_whole_up_to_renaming(image, min_size_px, strength):
    labels, evidence = image
    halo_px = largest_extent(labels) + _MARGIN_PX
    assume(halo_px <= min(labels.shape[-2:]))  # else every block sees everything
    share = 1 if labels.ndim == 2 else 4
    chosen = InstanceConfig(
        min_size_px=min_size_px,
        split_strength=strength,
        block_px=32,
        block_halo_px=halo_px * share,
    )
    store = Kept(labels, evidence, "ZYX"[-labels.ndim :])
    found = finish(cut_blocks(store, settings=chosen))
    whole = split_objects(labels, evidence, settings=chosen)
    assert found.n_per_class == whole.n_per_class
    pairs = np.unique([store.ids.ravel(), whole.labels.ravel()], axis=1)
    assert pairs.shape[1] == whole.n_objects + (0 in pairs)
    assert (store.ids > 0).tolist() == (whole.labels > 0).tolist()
