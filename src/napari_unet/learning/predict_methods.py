"""What a learner can be asked about images, once it has a model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.config import InstanceConfig, LearnerConfig
from napari_unet.core.source import ImageSource
from napari_unet.inference.instances import Instances, checked_sampling
from napari_unet.inference.predict import Store
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.remote_image import OpenImage
from napari_unet.inference.stream import OpenStore
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import CancelToken, JobEvent, Notice, finish
from napari_unet.learning.collapse import CollapseWatch
from napari_unet.learning.images import ImageRegistry, anisotropy_of, check_sight
from napari_unet.learning.prediction import (
    check_collapse,
    predict_along_axes,
    predict_instances,
    predict_labels,
    predict_maps,
    predict_tiles,
)
from napari_unet.learning.state import State
from napari_unet.learning.streaming import stream_image
from napari_unet.learning.three_axes import check_three_axes
from napari_unet.learning.uncertain import UncertaintyWatch, survey

if TYPE_CHECKING:
    from napari_unet.inference.cluster import Cluster

__all__ = ["PredictMethods"]


class PredictMethods:
    """The methods of a `napari_unet.learning.Learner` that predict."""

    config: LearnerConfig
    _state: State
    _images: ImageRegistry
    _collapse: CollapseWatch

    @property
    def n_channels(self) -> int | None:
        """Channels of the images, None before the first one."""
        images, start = self._state.annotations.images, self._state.start
        if start is not None and (self._state.tuned or self._state.trainer):
            return start.unet.config.in_channels
        if images:
            return images[0].source.stack.n_channels
        return start.unet.config.in_channels if start else None

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

    def watch_uncertainty(self, watch: UncertaintyWatch | None) -> None:
        """Let a watch look at all that is predicted from now on; None: nobody."""
        self._state.uncertainty = watch

    def survey_job(
        self,
        image: Any,
        *,
        key: str | None = None,
        axes: str | None = None,
        max_tiles: int = 16,
        token: CancelToken | None = None,
    ) -> Generator[JobEvent, None, None]:
        """Predict tiles that the watch has not seen, spread over the image, as it is.

        Nothing without a watch or a model. Yields `Progress` and `Notice`.
        """
        model, watch = self._state.model, self._state.uncertainty
        if model is not None and watch is not None:
            source = self._images.find(image, key, axes, model.n_channels)
            check_sight(source.stack, self.config.dimensions)
            yield from survey(self._state, source, watch, max_tiles, token)

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
