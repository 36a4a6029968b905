"""The learner: annotations in, labels out, better with every step of fine-tuning."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.checks import check_annotation, check_complete
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import LearnerConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.start_file import read_start_weights
from napari_unet.errors import ConfigError
from napari_unet.jobs import CancelToken, JobEvent, finish
from napari_unet.learning.collapse import CollapseWatch
from napari_unet.learning.fine_tune import fine_tune
from napari_unet.learning.images import (
    ImageRegistry,
    anisotropy_of,
    check_channels,
    check_sight,
)
from napari_unet.learning.persistence import read_learner, restore, save_learner
from napari_unet.learning.predict_methods import PredictMethods
from napari_unet.learning.state import State
from napari_unet.learning.status import LearnerStatus, status_of

__all__ = ["Learner", "LearnerStatus"]


class Learner(PredictMethods):
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
