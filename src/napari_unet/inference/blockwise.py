"""Objects of an image that does not fit into memory: cut block by block, and joined.

Each block is cut with what is around it. Where a block meets one that was cut before,
two objects of the same class are one if both blocks saw the same of it there.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.config import InstanceConfig
from napari_unet.inference.blocks import Block, Place, plan_blocks
from napari_unet.inference.instances import checked_sampling, objects_of_classes
from napari_unet.jobs import CancelToken, JobEvent, Progress

__all__ = ["BlockObjects", "ObjectStore", "cut_blocks"]

Ids = NDArray[np.uint32]

# of what two objects cover together, where both blocks look
_LEAST_AGREEMENT = 0.5


class ObjectStore(Protocol):
    """Where labels come from and ids go. One thread calls it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the labels, in the order of the axes."""
        ...

    @property
    def axes(self) -> str:
        """One letter of TZYX per axis, in this order."""
        ...

    def read(
        self, index: tuple[int, ...], place: Place
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return labels, and the probability of each and of no border (0..1)."""
        ...

    def read_ids(self, index: tuple[int, ...], place: Place) -> Ids:
        """Return ids that were written before."""
        ...

    def write_ids(self, index: tuple[int, ...], place: Place, ids: Ids) -> None:
        """Keep ids."""
        ...

    def finish(self) -> Iterator[tuple[int, int]]:
        """Do what remains when every id is there; yields (done, total) parts."""
        ...


@dataclass(frozen=True)
class BlockObjects:
    """How many objects there are, by the value of their class."""

    n_per_class: dict[int, int]

    @property
    def n_objects(self) -> int:
        """How many there are in all."""
        return sum(self.n_per_class.values())


def cut_blocks(
    store: ObjectStore,
    *,
    scale: Sequence[float] | None = None,
    settings: InstanceConfig | None = None,
    token: CancelToken | None = None,
) -> Generator[JobEvent, None, BlockObjects | None]:
    """Give each object of an image in a store an id, block by block.

    As `split_objects` does in memory: time points one by one, z stacks as volumes
    (``settings.through_z``), ids from 1 without repetition. Memory is that of a block
    (`InstanceConfig.block_px`) and 18 bytes for each object. What lies together within
    the halo (`InstanceConfig.block_halo_px`) is cut exactly as in memory. An object
    larger than a block comes out as one where the blocks agree about it.

    Parameters
    ----------
    store
        Labels are read from it, and ids written to it.
    scale
        World units per pixel along each axis of the labels. None: all the same.
    settings
        None: the defaults.
    token
        Asked before each block. A job that was cut short begins anew.

    Yields
    ------
    Progress

    Returns
    -------
    BlockObjects
        None when cancelled.

    Raises
    ------
    ImageError
        If the scale does not fit.
    FileError
        If the store cannot be read or written to.
    """
    settings = settings or InstanceConfig()
    sampling = checked_sampling(scale, len(store.shape))
    n_apart = ("T" in store.axes) + ("Z" in store.axes and not settings.through_z)
    sizes = sampling[n_apart:]
    blocks, halo = plan_blocks(store.shape[n_apart:], sizes, settings)
    # what is farther out is seen by one of them too near to its own edge
    reach = [-(-side // 2) for side in halo]
    parts = list(np.ndindex(store.shape[:n_apart]))
    total = 2 * len(parts) * len(blocks)
    done = 0
    known = _Registry()
    yield Progress(0, total, "split")
    for index in parts:
        before: list[Block] = []
        for block in blocks:
            if token is not None and token.cancelled:
                return None
            ids = _cut(store, index, block, sizes, settings, known)
            # blocks come in rows: those farther back are out of reach for good
            start = block.core[0].start - reach[0]
            before = [other for other in before if other.core[0].stop > start]
            for other in before:
                there = block.meets(other, reach)
                if there is not None:
                    mine = ids[_within(there, block.seen)]
                    known.join(store.read_ids(index, there), mine)
            store.write_ids(index, block.core, ids[_within(block.core, block.seen)])
            before.append(block)
            done += 1
            yield Progress(done, total, "split")
    numbers, counts = known.numbered(settings.size_px())
    for index in parts:
        for block in blocks:
            if token is not None and token.cancelled:
                return None
            ids = store.read_ids(index, block.core)
            store.write_ids(index, block.core, numbers[ids])
            done += 1
            yield Progress(done, total, "split")
    for n_parts, n_all in store.finish():
        yield Progress(n_parts, n_all, "pyramid")
        if token is not None and token.cancelled and n_parts < n_all:
            return None
    return BlockObjects(counts)


def _cut(
    store: ObjectStore,
    index: tuple[int, ...],
    block: Block,
    sizes: Sequence[float],
    settings: InstanceConfig,
    known: _Registry,
) -> Ids:
    """Return new ids of what is seen, of the objects that reach into the core."""
    labels, evidence = store.read(index, block.seen)
    ids = np.zeros(labels.shape, np.uint32)
    core = _within(block.core, block.seen)
    found = objects_of_classes(labels, evidence, sizes, settings, block.ends)
    for value, where, own in found:
        whole = np.zeros(labels.shape, np.int32)
        whole[where] = own
        n_px = np.bincount(whole[core].ravel(), minlength=int(own.max(initial=0)) + 1)
        n_px[0] = 0
        new_ids = known.add(value, n_px)[whole]
        np.copyto(ids, new_ids, where=whole > 0)
    return ids


def _within(place: Place, frame: Place) -> Place:
    """Return a place as counted from the first pixel of a frame."""
    return tuple(
        slice(side.start - outer.start, side.stop - outer.start)
        for side, outer in zip(place, frame, strict=True)
    )


class _Registry:
    """Objects that are known so far, and which of them are one."""

    def __init__(self) -> None:
        # arrays: a slide has millions of objects
        self._parent, self._n_px = array("Q", [0]), array("Q", [0])
        self._value = array("H", [0])

    def add(self, value: int, n_px: NDArray[np.int64]) -> Ids:
        """Take objects of one class of n_px (n,) pixels; return their ids, or 0."""
        first, is_there = len(self._parent), n_px > 0
        ids = np.cumsum(is_there) + (first - 1)
        ids[~is_there] = 0
        n_new = int(is_there.sum())
        self._parent.extend(range(first, first + n_new))
        self._n_px.extend(n_px[is_there].tolist())
        self._value.extend([value] * n_new)
        return ids.astype(np.uint32)

    def join(self, there: Ids, here: Ids) -> None:
        """Join objects of two blocks that cover the same, where both of them look."""
        both = (there > 0) & (here > 0)
        if not both.any():
            return
        theirs, n_theirs = np.unique(there[there > 0], return_counts=True)
        ours, n_ours = np.unique(here[here > 0], return_counts=True)
        their_px = dict(zip(theirs.tolist(), n_theirs.tolist(), strict=True))
        our_px = dict(zip(ours.tolist(), n_ours.tolist(), strict=True))
        code = there[both].astype(np.uint64) << np.uint64(32) | here[both]
        pairs, overlaps = np.unique(code, return_counts=True)
        for pair, overlap in zip(pairs.tolist(), overlaps.tolist(), strict=True):
            a, b = pair >> 32, pair & 0xFFFFFFFF
            union = their_px[a] + our_px[b] - overlap
            if self._value[a] == self._value[b] and overlap > _LEAST_AGREEMENT * union:
                self._unite(a, b)

    def numbered(self, min_size_px: int) -> tuple[Ids, dict[int, int]]:
        """Return the final id of each, and how many objects each class has."""
        n = len(self._parent)
        roots = np.fromiter((self._find(i) for i in range(n)), np.int64, n)
        n_px = np.zeros(n, np.int64)
        np.add.at(n_px, roots, np.array(self._n_px, np.int64))
        is_kept = (roots == np.arange(n)) & (n_px >= max(min_size_px, 1))
        is_kept[0] = False
        numbers = np.cumsum(is_kept) * is_kept
        values, counts = np.unique(np.array(self._value)[is_kept], return_counts=True)
        n_per_class = dict(zip(values.tolist(), counts.tolist(), strict=True))
        return numbers[roots].astype(np.uint32), n_per_class

    def _unite(self, a: int, b: int) -> None:
        first, second = sorted((self._find(a), self._find(b)))
        self._parent[second] = first

    def _find(self, i: int) -> int:
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i
