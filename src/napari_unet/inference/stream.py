"""Prediction straight into a store: reading, computing and writing at the same time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.device import out_of_memory_errors
from napari_unet.core.source import ImageSource
from napari_unet.inference.predict import Store, as_shown, slabs_of, tile_event
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.predictor import Frugal, Predictor
from napari_unet.inference.tiles import Tile, plan_tiles
from napari_unet.jobs import CancelToken, JobEvent, Notice, Progress

__all__ = [
    "OpenStore",
    "SlabTile",
    "StreamPlan",
    "TileStore",
    "TileWriter",
    "finish_store",
    "stream_planes",
    "tiles_to_do",
]


@dataclass(frozen=True)
class StreamPlan:
    """What a store must know before the first tile comes.

    Attributes
    ----------
    shape, axes
        Of the labels: the image's without channels, one letter per axis.
    tile_px
        Side of a tile (px). Blocks that a store writes at once should be as large.
    values
        The classes' values, in the order of the probabilities.
    made_by
        Fingerprints of the model and the image: a store that was begun with others
        must not be gone on with.
    """

    shape: tuple[int, ...]
    axes: str
    tile_px: int
    values: tuple[int, ...]
    made_by: Mapping[str, str]


class TileWriter(Protocol):
    """Writes tiles of a store that is there; can be pickled, for other processes."""

    def check(self) -> None:
        """Raise a `FileError` where the store cannot be seen from here."""
        ...

    def write(self, index: tuple[int, ...], tile: Tile, found: Prediction) -> None:
        """Write a tile (h, w)."""
        ...


class TileStore(Protocol):
    """Where tiles go. One thread at a time calls it, not always the same."""

    @property
    def tile_px(self) -> int:
        """Side of its tiles (px): the plan's, or that of the run it goes on from."""
        ...

    def is_done(self, index: tuple[int, ...], tile: Tile) -> bool:
        """Whether a tile of the plane at this leading index is in it already."""
        ...

    def write(self, index: tuple[int, ...], tile: Tile, found: Prediction) -> None:
        """Keep a tile (h, w), and that it is done."""
        ...

    def writer(self) -> TileWriter:
        """Return what writes tiles elsewhere; `mark` then says that they are done."""
        ...

    def mark(self, index: tuple[int, ...], tile: Tile) -> None:
        """Note that a tile is done, which was written elsewhere."""
        ...

    def finish(self) -> Iterator[tuple[int, int]]:
        """Do what remains when every tile is there; yields (done, total) parts."""
        ...


OpenStore = Callable[[StreamPlan], TileStore]


@dataclass(frozen=True)
class SlabTile:
    """One tile of planes above each other, which are best computed in one place.

    Attributes
    ----------
    tile
        The rectangle.
    planes
        The planes that are to be done, lowest first, each with how many planes from
        there on, itself included, belong together.
    """

    tile: Tile
    planes: tuple[tuple[int, int], ...]


def tiles_to_do(
    predictor: Predictor, source: ImageSource, store: TileStore
) -> tuple[list[SlabTile], int]:
    """Return what is not in the store yet, in rows, and how many tiles there are."""
    stack = source.stack
    tiles = sorted(plan_tiles(stack.plane_shape, store.tile_px))
    at_once = predictor.planes_at_once(source, store.tile_px)
    todo = []
    for slab in slabs_of(stack, range(stack.n_planes), at_once):
        for tile in tiles:
            planes = tuple(
                (plane, len(slab) - number)
                for number, plane in enumerate(slab)
                if not store.is_done(stack.index(plane), tile)
            )
            if planes:
                todo.append(SlabTile(tile, planes))
    return todo, stack.n_planes * len(tiles)


def stream_planes(
    predictor: Predictor,
    source: ImageSource,
    store: TileStore,
    *,
    token: CancelToken | None = None,
    of_objects: bool = False,
    look: Store | None = None,
) -> Generator[JobEvent, None, bool]:
    """Predict a whole image into a store; memory is bounded by the tile.

    One thread reads the next tile while another writes the last one; the predictor
    stays on the job's own thread. Both are joined on every way out. Tiles that are in
    the store already are left out, so that a job which was cancelled, or killed, goes
    on where it was.

    Parameters
    ----------
    predictor
        The candidate to use.
    source
        The image.
    store
        Takes the tiles, plane after plane, in rows; of a network that sees the planes
        around, a few planes of a tile after each other.
    token
        Asked before each tile.
    of_objects
        As in `predict_planes`.
    look
        Called with each tile, on the job's own thread.

    Yields
    ------
    TilePredicted, Progress, Notice

    Returns
    -------
    bool
        Whether all is done; False when cancelled.

    Raises
    ------
    OutOfMemoryError
        If even a tile of 64 px does not fit.
    FileError
        If the store cannot be written to, a tile later at the latest.
    """
    stack = source.stack
    slab_tiles, total = tiles_to_do(predictor, source, store)
    todo = [(plane, each.tile, n) for each in slab_tiles for plane, n in each.planes]
    done = total - len(todo)
    if done:
        yield Notice(f"{done:,} of {total:,} tiles were there already.")
    frugal = Frugal(predictor)
    # of a network that sees the planes around, a plane is not all that is read
    is_plane_enough = not predictor.planes_around
    ahead = [(plane, tile) for plane, tile, _ in todo] if is_plane_enough else []
    with _Threads(source, predictor, store, ahead) as threads:
        for plane, tile, n_planes in todo:
            if token is not None and token.cancelled:
                return False
            probabilities = frugal.predict(threads.read(), plane, tile, n_planes)
            yield from frugal.take_notices()
            found = as_shown(predictor, probabilities, of_objects)
            labels = found.labels  # here, or the writer would find them as well
            if look is not None:
                look(plane, tile, found)
            threads.write(stack.index(plane), tile, found)
            done += 1
            yield tile_event(predictor, source, plane, tile, labels, done == total)
            yield Progress(done, total, "predict")
        threads.flush()
    is_done = yield from finish_store(store, token)
    return is_done


def finish_store(
    store: TileStore, token: CancelToken | None
) -> Generator[JobEvent, None, bool]:
    """Do what remains when every tile is there; return False when cancelled."""
    for n_parts, n_all in store.finish():
        yield Progress(n_parts, n_all, "pyramid")
        if token is not None and token.cancelled and n_parts < n_all:
            return False
    return True


class _Threads:
    """One thread that reads a tile ahead, and one that writes a tile behind."""

    def __init__(
        self,
        source: ImageSource,
        predictor: Predictor,
        store: TileStore,
        todo: Sequence[tuple[int, Tile]],
    ) -> None:
        self._source, self._predictor, self._store = source, predictor, store
        self._todo = iter(todo)
        self._reader = ThreadPoolExecutor(1, "napari-unet-read")
        self._writer = ThreadPoolExecutor(1, "napari-unet-write")
        self._ahead: Future[ImageSource] | None = None
        self._behind: Future[None] | None = None

    def __enter__(self) -> _Threads:
        self._read_ahead()
        return self

    def __exit__(self, *_: object) -> None:
        # a tile whose writing has begun is written to its end, and counts as done
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown()

    def read(self) -> ImageSource:
        """Return a source that has the next tile's surroundings at hand.

        The image itself where there is no memory for them: who predicts reads parts.
        """
        if self._ahead is None:
            return self._source
        try:
            held = self._ahead.result()
        except out_of_memory_errors:
            held = self._source
        self._read_ahead()
        return held

    def _read_ahead(self) -> None:
        following = next(self._todo, None)
        if following is not None:
            plane, tile = following
            whole, window = self._predictor.window(self._source, tile)
            self._ahead = self._reader.submit(_Held.of, whole, plane, window)

    def write(self, index: tuple[int, ...], tile: Tile, found: Prediction) -> None:
        """Let a tile be written; wait for, and raise what failed of, the one before."""
        self.flush()
        self._behind = self._writer.submit(self._store.write, index, tile, found)

    def flush(self) -> None:
        """Wait until everything is written."""
        if self._behind is not None:
            self._behind.result()


@dataclass(frozen=True, kw_only=True)
class _Held(ImageSource):
    """An image that has a rectangle of one plane at hand, normalised."""

    whole: ImageSource
    plane: int
    window: Tile
    pixels: NDArray[np.float32]

    @classmethod
    def of(cls, whole: ImageSource, plane: int, window: Tile) -> _Held:
        """Read a rectangle, mirrored beyond the image's border."""
        return cls(
            whole.key,
            whole.stack,
            anisotropy=whole.anisotropy,
            uid=whole.uid,
            whole=whole,
            plane=plane,
            window=window,
            pixels=whole.read(plane, window.y0, window.y1, window.x0, window.x1),
        )

    def read(
        self, plane: int, y0: int, y1: int, x0: int, x1: int
    ) -> NDArray[np.float32]:
        """Return a rectangle (C, y1 - y0, x1 - x0) as the whole image gives it."""
        own = self.window
        is_here = own.y0 <= y0 and y1 <= own.y1 and own.x0 <= x0 and x1 <= own.x1
        if plane != self.plane or not is_here:
            return self.whole.read(plane, y0, y1, x0, x1)
        part = self.pixels[:, y0 - own.y0 : y1 - own.y0, x0 - own.x0 : x1 - own.x0]
        return np.ascontiguousarray(part)
