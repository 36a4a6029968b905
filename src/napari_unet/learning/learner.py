"""The learner: annotations in, labels out, better with every step of fine-tuning."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.annotations import check_annotation, check_complete
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import InstanceConfig, LearnerConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.core.start_file import read_start_weights
from napari_unet.errors import ConfigError
from napari_unet.inference.instances import Instances, checked_sampling
from napari_unet.inference.predict import Store
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.remote_image import OpenImage
from napari_unet.inference.stream import OpenStore
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import CancelToken, JobEvent, Notice, finish
from napari_unet.learning.collapse import CollapseWatch
from napari_unet.learning.fine_tune import fine_tune
from napari_unet.learning.images import (
    ImageRegistry,
    anisotropy_of,
    check_channels,
    check_sight,
)
from napari_unet.learning.persistence import read_learner, restore, save_learner
from napari_unet.learning.prediction import (
    check_collapse,
    predict_along_axes,
    predict_instances,
    predict_labels,
    predict_maps,
    predict_tiles,
)
from napari_unet.learning.state import State
from napari_unet.learning.status import LearnerStatus, status_of
from napari_unet.learning.streaming import stream_image
from napari_unet.learning.three_axes import check_three_axes

if TYPE_CHECKING:
    from napari_unet.inference.cluster import Cluster

__all__ = ["Learner", "LearnerStatus"]


class Learner:
    """Learns from sparse annotations of one or many images.

    ``annotate`` may be called from another thread while ``fine_tune`` runs; everything
    else belongs on one thread.

    Parameters
    ----------
    config
        Settings; None for the defaults.

    Raises
    ------
    DeviceError
        If the device asked for is not there.
    """

    def __init__(self, config: LearnerConfig | None = None) -> None:
        self.config = config or LearnerConfig()
        self.class_names: dict[int, str] = {}
        self._state = State(self.config)
        self._images = ImageRegistry(self.config.downsampling)
        self._collapse = CollapseWatch()
        self._lock = threading.Lock()

    def annotate(
        self,
        image: Any,
        annotation: NDArray[Any] | TiledLabels,
        *,
        key: str | None = None,
        axes: str | None = None,
        complete: NDArray[Any] | TiledLabels | None = None,
        scale: Sequence[float] | None = None,
    ) -> str:
        """Set the annotation of an image.

        Parameters
        ----------
        image
            (Y, X), (Y, X, 3), (Z, Y, X), ...: any real dtype; NumPy, dask or zarr.
        annotation
            Integers of the image's shape without channels: 0 unlabelled, 1 background,
            2 and up the classes; in the mode *objects* each object a number of its own
            (`LearnerConfig.annotation_mode`). NumPy, dask or zarr, of which only what
            is painted is copied; or what `TiledLabels.of` made of one. The same image
            again replaces its annotation; one without any stroke removes it.
        key
            Name of the image; None: made from its pixels, of images beyond 16 million
            pixels from a sample of rows. Name those that differ in little.
        axes
            Axes of the image, such as ``"ZYX"``; None: guessed.
        complete
            bool, shape of ``annotation``: where everything is painted but the
            background, so that what is unlabelled is background. None: nowhere.
        scale
            World units per pixel along each axis of ``annotation``; only used in 3D,
            for the distance of planes. None: unknown, all the same.

        Returns
        -------
        str
            The image's key.

        Raises
        ------
        AnnotationError, ImageError
            If image and annotation do not fit each other, the settings, or what was
            annotated before.
        """
        stack = PlaneStack(image, axes, tuple(np.shape(annotation)))
        checked = check_annotation(
            annotation, stack.spatial_shape, self.config.annotation_mode
        )
        region = check_complete(complete, stack.spatial_shape)
        check_sight(stack, self.config.dimensions)
        anisotropy = anisotropy_of(stack.spatial_axes, scale)
        with self._lock:
            state = self._state
            source = self._images.source_of(stack, key, anisotropy)
            others = state.annotations.without(source.key).images
            is_bound = others or state.tuned is not None or state.trainer is not None
            check_channels(stack.n_channels, self.n_channels if is_bound else None)
            state.remember_folds()
            annotations = state.annotations.with_image(
                source,
                checked,
                self.config.instant.n_folds,
                state.remembered_folds,
                region,
                self.config.instant.hold_out,
            )
            if state.resumption is not None:
                annotations = state.resumption.recognise(annotations)
            if not is_bound:
                self._images.axes = stack.axes
            self._images.remember(source)
            state.annotations = annotations
            return source.key

    def forget(self, key: str) -> None:
        """Drop an image and its annotation; what was learned from it stays."""
        with self._lock:
            self._state.remember_folds()
            self._state.annotations = self._state.annotations.without(key)
            self._images.forget(key)
            self._collapse.forget(key)

    def reset(self) -> None:
        """Forget what was learned, but not what is painted; give its memory back."""
        self._state.reset()
        self._collapse.reset()

    def start_from(self, path: str | os.PathLike[str]) -> None:
        """Take start weights from a file, instead of the bundled or random ones.

        What is painted stays; what was learned is forgotten.

        Parameters
        ----------
        path
            A bare network or a state dict, see
            `napari_unet.core.start_file.read_start_weights`.

        Raises
        ------
        FileError, CheckpointError
            If it cannot be read, or its names and shapes are not those of the network
            that the settings ask for.
        """
        self._state.start_weights = read_start_weights(
            path, self.config.unet_config(3, 2)
        )
        self._state.reset()

    def set_scales(self, n_scales: int | None) -> None:
        """Set how many sizes of the image the network sees, for objects of other sizes.

        What is painted stays. What was learned by fine-tuning is forgotten and a
        running `fine_tune` ends, because the head sees other features from the next
        update or prediction on; a model without strokes stays as it is until then.

        Parameters
        ----------
        n_scales
            1: full size, for objects of up to about 50 px; 2: also half, up to 200 px;
            3: also a quarter, for larger ones; None: 2, or 1 with random weights.

        Raises
        ------
        ConfigError
            If it is not 1 to 4, nor None.
        """
        if n_scales is not None and n_scales not in range(1, 5):
            raise ConfigError(
                f"the number of scales is {n_scales!r}: give 1, 2, 3 or 4, or None to "
                "leave it at the usual number"
            )
        if n_scales != self.config.instant.n_scales:
            self._state.set_scales(n_scales)
            instant = self._state.config.instant
            self.config = self.config.model_copy(update={"instant": instant})

    def update(self) -> Generator[JobEvent, None, None]:
        """Fit the instant stage to the newest annotation, then let the gate judge.

        Yields `HeadFitted` as soon as something can be predicted, and `Scored` when the
        held-out strokes have spoken; nothing when all is up to date.

        Raises
        ------
        AnnotationError
            If fewer than two classes are painted; the message says what to paint.
        """
        yield from self._state.update()

    def fine_tune(
        self,
        *,
        seconds: float | None = None,
        steps: int | None = None,
        token: CancelToken | None = None,
    ) -> Generator[JobEvent, None, LearnerStatus]:
        """Train the network; strokes that come meanwhile count from the next step on.

        Parameters
        ----------
        seconds, steps
            When to stop, the first fit not counted; neither: when cancelled.
        token
            Asked before each step.

        Yields
        ------
        StepDone, HeadFitted, Scored, AnnotationTaken, Notice

        Returns
        -------
        LearnerStatus

        Raises
        ------
        AnnotationError
            If fewer than two classes are painted.
        ConfigError
            If seconds or steps are negative or not a number.
        TrainingError, OutOfMemoryError
            If training cannot go on; what was learned before stays.
        """
        for name, value in (("seconds", seconds), ("steps", steps)):
            if value is not None and not value >= 0:  # NaN too
                raise ConfigError(f"{name} is {value}: give 0 or more")
        yield from fine_tune(self._state, seconds, steps, token)
        return self.status

    def predict(
        self,
        image: Any,
        *,
        axes: str | None = None,
        token: CancelToken | None = None,
        candidate: str | None = None,
    ) -> NDArray[Any]:
        """Return labels of an image, with the annotation's values; of objects, all 2.

        Parameters
        ----------
        image, axes
            As in `annotate`.
        token
            Asked before each tile; tiles not reached stay 0.
        candidate
            One candidate of the gate by name, to compare; None: the chosen one.

        Returns
        -------
        ndarray of uint8 or uint16
            The image's shape without channels.

        Raises
        ------
        AnnotationError
            If there is no model: never were two classes painted, and none was loaded.
            When strokes are erased later, the last model goes on answering.
        ImageError
            If the image has other channels than those learned from, or no z axis where
            the network sees the planes around.
        ConfigError
            If there is no such candidate.
        """
        job = self.predict_job(image, axes=axes, token=token, candidate=candidate)
        return finish(job)

    def predict_probabilities(
        self, image: Any, *, axes: str | None = None, token: CancelToken | None = None
    ) -> NDArray[np.float32]:
        """Return probabilities, shape (K, *spatial), ordered as `class_values`."""
        job = self.predict_job(image, axes=axes, token=token, probabilities=True)
        return finish(job)

    def predict_job(
        self,
        image: Any,
        *,
        key: str | None = None,
        axes: str | None = None,
        token: CancelToken | None = None,
        probabilities: bool = False,
        candidate: str | None = None,
    ) -> Generator[JobEvent, None, NDArray[Any]]:
        """Predict as a job: yields `TilePredicted` and `Progress`, returns the array.

        When cancelled, the tiles that were not reached stay 0.
        """
        if probabilities:
            found = yield from self.predict_maps_job(
                image, key=key, axes=axes, token=token, candidate=candidate
            )
            return found.probabilities
        source = yield from self._source_to_predict(image, key, axes)
        labels = yield from predict_labels(
            self._state, self._collapse, source, token, candidate
        )
        return labels

    def predict_maps_job(
        self,
        image: Any,
        *,
        key: str | None = None,
        axes: str | None = None,
        token: CancelToken | None = None,
        candidate: str | None = None,
        three_axes: bool = False,
        scale: Sequence[float] | None = None,
    ) -> Generator[JobEvent, None, Prediction]:
        """Predict as a job all that `split_objects` needs: the events of `predict_job`.

        When cancelled, probabilities stay 0 in the tiles that were not reached.

        With ``three_axes``, the planes along z, y and x of a volume are predicted, and
        the mean of their probabilities is returned; there is no `TilePredicted`.
        ``scale``, as in `annotate`, tells whether they look alike.

        Raises
        ------
        ImageError
            As in `predict`; with ``three_axes`` also where there is no z axis, planes
            lie more than two pixels apart, or the network sees the planes around.
        """
        source = yield from self._source_to_predict(image, key, axes)
        if three_axes:
            anisotropy = anisotropy_of(source.stack.spatial_axes, scale)
            check_three_axes(source, self.config.dimensions, anisotropy)
            maps = yield from predict_along_axes(self._state, source, token, candidate)
        else:
            maps = yield from predict_maps(
                self._state, self._collapse, source, token, candidate
            )
        return maps

    def _source_to_predict(
        self, image: Any, key: str | None, axes: str | None, update: bool = True
    ) -> Generator[JobEvent, None, ImageSource]:
        """Bring the model up to date, and find the image."""
        state = self._state
        if state.model is None or (update and state.annotations.can_be_learned):
            yield from state.update()
        assert state.model is not None
        source = self._images.find(image, key, axes, state.model.n_channels)
        check_sight(source.stack, self.config.dimensions)
        seen = source.coarsened(self.config.downsampling)
        if seen.why_empty:
            yield Notice(
                f"{seen.why_empty}. Its labels mean nothing: check the file and how "
                "it was made",
                "warning",
            )
        return source

    def predict_instances(
        self,
        image: Any,
        *,
        axes: str | None = None,
        scale: Sequence[float] | None = None,
        settings: InstanceConfig | None = None,
        token: CancelToken | None = None,
    ) -> Instances:
        """Return the objects of an image: the labels of `predict`, one id per object.

        Touching objects of a class are cut apart, see
        `napari_unet.inference.instances.split_objects`.

        Parameters
        ----------
        image, axes
            As in `annotate`. Time points (T) are looked at one by one; a z stack is a
            volume.
        scale
            World units per pixel along each axis but the channels. None: all the same.
        settings
            What counts as an object; None: the defaults, with `smallest_object_px`.
        token
            Asked before each tile, plane or volume; what was not reached stays 0.

        Returns
        -------
        Instances
            ``labels`` has the image's shape without channels.

        Raises
        ------
        AnnotationError, ImageError
            As in `predict`; also if the scale does not fit.
        """
        job = self.predict_instances_job(
            image, axes=axes, scale=scale, settings=settings, token=token
        )
        return finish(job)

    def predict_instances_job(
        self,
        image: Any,
        *,
        key: str | None = None,
        axes: str | None = None,
        scale: Sequence[float] | None = None,
        settings: InstanceConfig | None = None,
        token: CancelToken | None = None,
        update: bool = True,
    ) -> Generator[JobEvent, None, Instances]:
        """Predict objects as a job: the events of `predict_job`, then `Progress`.

        ``update=False`` predicts with the model as it is, if there is one, and does not
        fit it to newer strokes first. When cancelled while predicting, there are no
        objects: half of one is none.
        """
        stack = self._images.find(image, key, axes, self.n_channels).stack
        checked_sampling(scale, len(stack.spatial_axes))  # before the long work
        source = yield from self._source_to_predict(image, key, axes, update)
        instances = yield from predict_instances(
            self._state, self._collapse, source, scale, settings, token
        )
        return instances

    def predict_tiles(
        self,
        image: Any,
        *,
        key: str | None = None,
        axes: str | None = None,
        index: tuple[int, ...] | None = None,
        region: Tile | None = None,
        store: Store | None = None,
        token: CancelToken | None = None,
    ) -> Generator[JobEvent, None, bool]:
        """Predict tiles with the model as it is, and keep nothing but the events.

        ``index`` is the leading index of one plane and ``region`` a rectangle that
        tiles must meet; None: all planes, all tiles. ``store`` is as in
        `predict_planes`. Returns whether it got to the end.
        """
        model = self._state.model
        if model is None:
            return False
        source = self._images.find(image, key, axes, model.n_channels)
        check_sight(source.stack, self.config.dimensions)
        done = yield from predict_tiles(
            self._state, self._collapse, source, index, region, token, store
        )
        return done

    def stream_job(
        self,
        image: Any,
        open_store: OpenStore,
        *,
        key: str | None = None,
        axes: str | None = None,
        token: CancelToken | None = None,
        cluster: Cluster | None = None,
        open_image: OpenImage | None = None,
    ) -> Generator[JobEvent, None, bool]:
        """Predict as a job, straight into a store: for images larger than memory.

        ``open_store`` gets a `napari_unet.inference.stream.StreamPlan` and returns
        where the tiles go, such as `napari_unet.export.open_store` makes it; what is in
        it already is left out. The events are those of `predict_job`. Returns whether
        all is done: False when cancelled.

        With a ``cluster`` (`napari_unet.inference.cluster.connect`) its workers
        predict the same tiles, on the device of the settings, and write them; events
        are those of `napari_unet.inference.cluster_stream.stream_on_cluster`.
        ``open_image`` opens the image on a worker; without it the pixels of each tile
        are sent.
        """
        source = yield from self._source_to_predict(image, key, axes)
        done = yield from stream_image(
            self._state, self._collapse, source, open_store, token, cluster, open_image
        )
        return done

    def check_collapse(self, max_tiles: int = 12) -> None:
        """Predict a few tiles with strokes, so that `status` can tell of a collapse.

        Who predicts what is painted need not ask: each prediction is watched. No more
        than ``max_tiles`` tiles, or one of each class, are predicted.
        """
        check_collapse(self._state, self._collapse, max_tiles)

    @property
    def n_channels(self) -> int | None:
        """Channels of the images, None before the first one."""
        images, start = self._state.annotations.images, self._state.start
        if start is not None and (self._state.tuned or self._state.trainer):
            return start.unet.config.in_channels
        if images:
            return images[0].source.stack.n_channels
        return start.unet.config.in_channels if start else None

    @property
    def class_values(self) -> tuple[int, ...]:
        """Values that ``predict`` can give, in the order of the probabilities."""
        model, annotations = self._state.model, self._state.annotations
        is_newer = annotations.version != self._state.judged_version
        if model is None or (is_newer and annotations.can_be_learned):
            return annotations.shown_values
        return annotations.shown(model.values)

    @property
    def smallest_object_px(self) -> int | None:
        """How small an object may be (px): from the painted ones, or a model's.

        `InstanceConfig.min_size_px` is so much by default. None: fewer than three
        objects were painted, or strokes.
        """
        return self._state.smallest_object_px

    @property
    def n_classes_painted(self) -> int:
        """Classes with at least one stroke."""
        return len(self._state.annotations.shown_values)

    @property
    def can_learn(self) -> bool:
        """Whether enough is painted to tell two classes apart."""
        return self._state.annotations.can_be_learned

    @property
    def annotation_version(self) -> int:
        """Version of what is painted; grows with each call of ``annotate``."""
        return self._state.annotations.version

    @property
    def generation(self) -> int:
        """Number of the model that predicts; 0 before there is one."""
        return self._state.model.generation if self._state.model else 0

    @property
    def status(self) -> LearnerStatus:
        """What the learner has come to."""
        return status_of(self._state, self._collapse, self.class_names)

    def save(
        self, path: str | os.PathLike[str], *, with_training: bool = False
    ) -> None:
        """Write the model to a safetensors file; `load` predicts the same.

        Parameters
        ----------
        path
            The file.
        with_training
            Also write the state of the training: optimiser, averages, random numbers.
            After `load` and `annotate` with the same images and strokes, `fine_tune`
            goes on exactly as it would have here: to the bit on the CPU of the same
            machine, with as many threads. May be called between two events of
            `fine_tune`. The file is about four networks larger.

        Raises
        ------
        AnnotationError
            If there is nothing to save yet.
        FileError
            If the file cannot be written; an older one stays as it was.
        """
        state = self._state
        if state.model is None or state.annotations.can_be_learned:
            finish(state.update())
        state.complete()  # an update may have been broken off, and strokes erased
        save_learner(state, self.class_names, self._images.axes, path, with_training)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | None = None) -> Learner:
        """Read a learner that `save` wrote; it predicts the same and can learn on.

        Where the file has the state of its training, that goes on, exactly where images
        and strokes are the same; other ones enter as they do while training runs.

        Parameters
        ----------
        path
            The file.
        device
            As in `LearnerConfig`; None: as when it was saved.

        Raises
        ------
        FileError, CheckpointError
            If the file cannot be read, or is not a sound model of this program.
        DeviceError
            If the device is not there.
        """
        header, parts = read_learner(path)
        config = header.config
        if device is not None:
            config = config.model_copy(update={"device": device})
        learner = cls(config)
        restore(learner._state, header, parts)
        learner._images.axes = header.axes
        learner.class_names = dict(header.class_names)
        return learner
