"""Objects cut block by block: joined across borders, numbered once, counted."""

import numpy as np
import pytest

from napari_unet.config import InstanceConfig
from napari_unet.errors import ImageError
from napari_unet.inference.blocks import _of_volume, plan_blocks
from napari_unet.inference.blockwise import cut_blocks
from napari_unet.inference.instances import split_objects
from napari_unet.jobs import CancelToken, Progress, finish


class Kept:
    """A store in memory, which notes how much was read at once."""

    def __init__(self, labels, axes, evidence=None):
        self.labels, self.axes, self.shape = labels, axes, labels.shape
        if evidence is None:
            evidence = np.ones(labels.shape, np.float32)
        self.evidence = evidence
        self.ids = np.zeros(labels.shape, np.uint32)
        self.most_px = self.finished = 0

    def read(self, index, place):
        where = (*index, *place)
        self.most_px = max(self.most_px, self.labels[where].size)
        return self.labels[where], self.evidence[where]

    def read_ids(self, index, place):
        return self.ids[(*index, *place)].copy()

    def write_ids(self, index, place, ids):
        self.ids[(*index, *place)] = ids

    def finish(self):
        self.finished += 1
        yield 1, 1


def discs(shape, centres, radius, value=2):
    labels = np.ones(shape, np.uint8)
    grid = np.indices(shape)
    for centre in centres:
        offset = grid - np.reshape(centre, (-1,) + (1,) * len(shape))
        labels[(offset**2).sum(axis=0) <= radius**2] = value
    return labels


def is_renaming(a, b):
    pairs = np.unique([a.ravel(), b.ravel()], axis=1)
    return pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))


SMALL = InstanceConfig(block_px=32, block_halo_px=16)


def test_objects_on_borders_and_corners_are_one():
    # on a border, on a corner of four blocks, a touching pair across a border
    labels = discs((96, 96), [(16, 32), (64, 64), (60, 26), (60, 38)], 7)
    labels[90:92, 10:90] = 3
    store = Kept(labels, "YX")
    found = finish(cut_blocks(store, settings=SMALL))
    whole = split_objects(labels, store.evidence)
    assert found.n_per_class == whole.n_per_class == {2: 4, 3: 1}
    assert is_renaming(store.ids, whole.labels)
    assert np.unique(store.ids).tolist() == list(range(6))
    assert store.finished == 1


def test_an_object_larger_than_blocks_is_one():
    labels = discs((300, 300), [(150, 150)], 130)
    labels[145:155, :] = 2  # and arms through many blocks
    store = Kept(labels, "YX")
    assert finish(cut_blocks(store, settings=SMALL)).n_per_class == {2: 1}
    np.testing.assert_array_equal(store.ids > 0, labels == 2)


def test_memory_is_bounded_by_the_block():
    store = Kept(discs((200, 400), [(50, 50)], 20), "YX")
    finish(cut_blocks(store, settings=SMALL))
    assert store.most_px <= (32 + 2 * 16) ** 2
    deep = Kept(np.ones((600, 300, 300), np.uint8), "ZYX")
    blocks, _ = plan_blocks(deep.shape, (1, 1, 1), InstanceConfig())
    seen = [np.prod([side.stop - side.start for side in b.seen]) for b in blocks]
    assert max(seen) <= 2**24
    covered = sum(np.prod([side.stop - side.start for side in b.core]) for b in blocks)
    assert covered == deep.labels.size


@pytest.mark.parametrize("block_px", [32, 8192])
@pytest.mark.parametrize("halo_px", [4, 128, 2048])
@pytest.mark.parametrize("shape", [(900, 3000, 3000), (2, 3000, 3000), (3000, 90, 90)])
@pytest.mark.parametrize("depth", [1.0, 20.0])
def test_no_block_of_a_volume_sees_too_much(block_px, halo_px, shape, depth):
    settings = InstanceConfig(block_px=block_px, block_halo_px=halo_px)
    sides, halo = _of_volume(shape, (depth, 1.0, 1.0), settings)
    seen = [min(n, s + 2 * h) for n, s, h in zip(shape, sides, halo, strict=True)]
    assert np.prod(seen) <= 2**24
    assert min(*sides, *halo) >= 1


def test_blocks_of_a_volume_are_as_set_where_they_fit():
    sides, halo = _of_volume((900, 3000, 3000), (4.0, 1.0, 1.0), InstanceConfig())
    assert sides == [2**24 // 320**2 - 2 * 8, 256, 256]
    assert halo == (8, 32, 32)


def test_time_points_do_not_mix_and_planes_do_as_asked():
    disc = discs((48, 48), [(24, 24)], 10)
    stack = np.stack([np.stack([disc] * 3)] * 2)
    store = Kept(stack, "TZYX")
    assert finish(cut_blocks(store, settings=SMALL)).n_objects == 2
    assert [np.unique(volume).tolist() for volume in store.ids] == [[0, 1], [0, 2]]
    flat = SMALL.model_copy(update={"through_z": False})
    assert finish(cut_blocks(store, settings=flat)).n_objects == 6
    whole = split_objects(stack, store.evidence, settings=flat)
    assert is_renaming(store.ids, whole.labels)


def test_a_long_speck_is_left_out_and_a_part_of_a_long_object_is_not():
    labels = np.ones((64, 200), np.uint8)
    labels[10, 5:195] = 2  # 190 px in a row: of each, a block sees 64
    labels[40:42, 5:195] = 2
    chosen = SMALL.model_copy(update={"min_size_px": 200})
    store = Kept(labels, "YX")
    assert finish(cut_blocks(store, settings=chosen)).n_objects == 1
    assert not store.ids[10].any()
    assert (store.ids[40:42, 5:195] == 1).all()


def test_classes_are_never_joined():
    labels = np.ones((32, 64), np.uint8)
    labels[8:24, 16:32] = 2
    labels[8:24, 32:48] = 3
    store = Kept(labels, "YX")
    assert finish(cut_blocks(store, settings=SMALL)).n_per_class == {2: 1, 3: 1}


def test_a_cancelled_job_begins_anew():
    labels = discs((96, 96), [(32, 32), (70, 70)], 9)
    store = Kept(labels, "YX")
    token = CancelToken()
    job = cut_blocks(store, settings=SMALL, token=token)
    events = [next(job) for _ in range(4)]
    assert events[0] == Progress(0, 18, "split")
    token.cancel()
    with pytest.raises(StopIteration) as stop:
        next(job)
    assert stop.value.value is None
    assert not store.finished
    found = finish(cut_blocks(store, settings=SMALL))
    assert found.n_objects == store.ids.max() == 2


def test_a_scale_that_does_not_fit_is_refused():
    store = Kept(np.ones((8, 8), np.uint8), "YX")
    with pytest.raises(ImageError, match="one for each axis"):
        finish(cut_blocks(store, scale=(1, 1, 1)))
