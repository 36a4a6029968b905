"""What a worker of a cluster does: get the model once, then predict and write tiles.

Imported where a cluster is used, because it needs distributed; torch comes with the
first tile, on a thread, so that the worker's event loop goes on.
"""

from __future__ import annotations

import logging
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from distributed import Worker, WorkerPlugin

from napari_unet.errors import ClusterError, FileError, NapariUnetError

if TYPE_CHECKING:
    import torch

    from napari_unet.core.source import ImageSource
    from napari_unet.inference.predictor import Frugal, Predictor
    from napari_unet.inference.remote_image import RemoteImage, SentPixels
    from napari_unet.inference.stream import SlabTile, TileWriter

__all__ = ["TilePlugin", "Work"]

_SHARED = (
    "the image and the results must lie where every worker finds them under the same "
    "path"
)


@dataclass(frozen=True, eq=False)
class Work:
    """What a worker must know to predict tiles of an image.

    Attributes
    ----------
    predictor
        On the CPU, which every machine has.
    image
        The image.
    writer
        Where tiles go.
    of_objects
        As in `predict_planes`.
    device
        Where to compute, a name as in `LearnerConfig.device`.
    shares_gpus
        Whether the workers are numbered processes of one machine, which deal its GPUs
        among them.
    """

    predictor: Predictor
    image: RemoteImage
    writer: TileWriter
    of_objects: bool
    device: str
    shares_gpus: bool


class TilePlugin(WorkerPlugin):  # type: ignore[misc]
    """Holds the model on a worker, also on one that comes later or was restarted.

    A worker computes one tile at a time, with as many threads as it has, while others
    of its threads read the next tile and write the last one.

    Parameters
    ----------
    work
        A pickled `Work`.
    version
        Of the package where it was pickled.
    is_local
        Whether the worker was started for this program, by `connect`.
    """

    def __init__(self, work: bytes, version: str, is_local: bool = False) -> None:
        self._pickled, self._version, self._is_local = work, version, is_local

    def setup(self, worker: Worker) -> None:
        """Take note of the worker; nothing that takes long."""
        self._address, self._number = worker.address, worker.name
        self._n_threads = worker.state.nthreads
        self._computing, self._writing, self._opening = Lock(), Lock(), Lock()
        self._has_ended = False
        if self._is_local:
            # Ctrl-C reaches every process of a terminal: this program sees to it
            with suppress(ValueError):  # not on the main thread
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:
        """See that nothing is written any more once this has returned."""
        with self._writing:
            self._has_ended = True

    def make_ready(self) -> None:
        """Get the model, open the image, look for the store.

        Raises
        ------
        ClusterError
            If this worker has another version of the package.
        FileError, ImageError
            If it does not find the image or the store.
        """
        with self._naming_this_worker(), self._opening:
            _ = self._ready

    def predict(self, pickled: bytes) -> None:
        """Predict the planes of a tile and write them.

        Parameters
        ----------
        pickled
            (SlabTile, SentPixels or None).
        """
        self.make_ready()
        slab_tile: SlabTile
        sent: SentPixels | None
        slab_tile, sent = pickle.loads(pickled)
        with self._naming_this_worker():
            self._ready.predict(self, slab_tile, sent)

    @cached_property
    def _ready(self) -> _Ready:
        from napari_unet import __version__

        if __version__ != self._version:
            raise ClusterError(
                f"it has napari-unet {__version__}, and this program is "
                f"{self._version}: install the same version on every worker"
            )
        return _Ready.of(pickle.loads(self._pickled), self._number)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Let no other tile be computed, with all threads of the worker."""
        import torch

        with self._computing:
            # dask asks for a single thread, as it runs as many tasks as it has threads
            torch.set_num_threads(self._n_threads)
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let no run that has ended be written."""
        with self._writing:
            if self._has_ended:
                raise ClusterError("the run has ended")
            yield

    @contextmanager
    def _naming_this_worker(self) -> Iterator[None]:
        try:
            yield
        except NapariUnetError as error:
            text = f"worker {self._address}: {error}"
            raise type(error)(text) from error


@dataclass(eq=False)
class _Ready:
    """A work on its device, with the image open."""

    work: Work
    frugal: Frugal
    predictor: Predictor
    source: ImageSource | None

    @classmethod
    def of(cls, work: Work, number: Any) -> _Ready:
        from napari_unet.inference.predictor import Frugal

        source = None
        with _saying_what_is_shared():
            work.writer.check()
            if work.image.open_image is not None:
                source = work.image.opened()
        predictor = work.predictor.on(_device(work, number))
        return cls(work, Frugal(predictor), predictor, source)

    def predict(
        self, worker: TilePlugin, slab_tile: SlabTile, sent: SentPixels | None
    ) -> None:
        from napari_unet.inference.predict import as_shown
        from napari_unet.inference.remote_image import pixels_of

        work, tile = self.work, slab_tile.tile
        if sent is None:
            assert self.source is not None
            sent = pixels_of(self.source, slab_tile, self.predictor)
        source = work.image.received(sent)
        for plane, n_planes in slab_tile.planes:
            with worker.computing():
                probabilities = self.frugal.predict(source, plane, tile, n_planes)
                found = as_shown(self.predictor, probabilities, work.of_objects)
                for notice in self.frugal.take_notices():
                    logging.getLogger("distributed.worker").warning(notice.message)
            found.labels  # noqa: B018 - found here, or others would wait to write
            with worker.writing():
                work.writer.write(source.stack.index(plane), tile, found)


@contextmanager
def _saying_what_is_shared() -> Iterator[None]:
    try:
        yield
    except NapariUnetError as error:
        raise type(error)(f"{error}; {_SHARED}") from error
    except OSError as error:
        raise FileError(f"the image cannot be opened ({error}); {_SHARED}") from error


def _device(work: Work, number: Any) -> torch.device:
    import torch

    from napari_unet.core.device import choose_device

    device = choose_device(work.device)
    if device.type == "cuda" and work.shares_gpus:
        return torch.device("cuda", int(number) % torch.cuda.device_count())
    return device
