"""The learner: annotations in, labels out, better with every step of fine-tuning."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.annotation.annotations import (
    AnnotationSet,
    advise_missing_class,
    check_annotation,
)
from napari_unet.config import LearnerConfig
from napari_unet.core.arrays import ImageSource, PlaneStack, fingerprint
from napari_unet.core.device import (
    choose_device,
    default_threads,
    describe_device,
    free_memory,
)
from napari_unet.core.start import make_network
from napari_unet.errors import ImageError
from napari_unet.inference.predict import label_dtype, predict_planes
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import (
    AnnotationTaken,
    CancelToken,
    HeadFitted,
    JobEvent,
    Notice,
    Score,
    Scored,
    StepDone,
    finish,
)
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.instant import fit_forest, fit_head
from napari_unet.learning.model import Model
from napari_unet.learning.samples import Samples, collect_samples
from napari_unet.learning.scoring import Tuned, Verdict, judge
from napari_unet.learning.training import Trainer

__all__ = ["Learner", "LearnerStatus"]

# fine-tuning from pretrained weights moves gently, or it forgets what they know
_PRETRAINED_RATE = 1 / 3
_MAX_SCORING_SHARE = 0.2


@dataclass(frozen=True)
class LearnerStatus:
    """What the learner has come to.

    ``chosen`` names the candidate that ``predict`` uses ('' before there is one),
    ``score`` is its held-out score, ``scores`` everyone's on the same held-out strokes.
    """

    chosen: str = ""
    score: Score | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    reason: str = ""
    step: int = 0
    seconds: float = 0.0
    device: str = ""
    annotation_version: int = 0
    n_px: int = 0
    n_strokes: int = 0
    advice: str = ""


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
        self.device = choose_device(self.config.device)
        self.n_threads = self.config.n_threads or default_threads()
        torch.set_num_threads(self.n_threads)
        self.class_names: dict[int, str] = {}
        self.cache = FeatureCache()
        self._lock = threading.Lock()
        self._annotations = AnnotationSet()
        self._sources: dict[str, ImageSource] = {}
        self._axes: str | None = None
        self._start: Network | None = None
        self._is_pretrained = False
        self._model: Model | None = None
        self._tuned: Tuned | None = None
        self._trainer: Trainer | None = None
        self._samples: Samples | None = None
        self._verdict = Verdict()
        self._judged_version = -1
        self._seconds = 0.0

    # -- what is painted ------------------------------------------------------------

    def annotate(
        self,
        image: Any,
        annotation: NDArray[Any],
        *,
        key: str | None = None,
        axes: str | None = None,
    ) -> str:
        """Set the annotation of an image.

        Parameters
        ----------
        image
            (Y, X), (Y, X, 3), (Z, Y, X), ...: any real dtype; NumPy, dask or zarr.
        annotation
            Integers of the image's shape without channels: 0 unlabelled, 1 background,
            2 and up the classes. The same image again replaces its annotation; an
            annotation without any stroke removes it.
        key
            Name of the image; None: made from its pixels.
        axes
            Axes of the image, such as ``"ZYX"``; None: guessed.

        Returns
        -------
        str
            The image's key.

        Raises
        ------
        AnnotationError, ImageError
            If image and annotation do not fit each other, or what was annotated before.
        """
        shape = tuple(np.shape(annotation))
        stack = PlaneStack(image, axes, shape)
        checked = check_annotation(annotation, stack.spatial_shape)
        with self._lock:
            source = self._source(stack, key)
            others = self._annotations.without(source.key).images
            if others or self._tuned is not None or self._trainer is not None:
                known = self.n_channels
                if known is not None and stack.n_channels != known:
                    raise ImageError(_channel_mismatch(stack.n_channels, known))
            else:
                self._axes = stack.axes
            self._annotations = self._annotations.with_image(
                source, checked, self.config.instant.n_folds
            )
            return source.key

    def forget(self, key: str) -> None:
        """Drop an image and its annotation; what was learned from it stays."""
        with self._lock:
            self._annotations = self._annotations.without(key)
            self._sources.pop(key, None)

    def clear(self) -> None:
        """Forget everything that was learned and give its memory back."""
        self._start = self._model = self._tuned = self._trainer = self._samples = None
        self._verdict, self._judged_version, self._seconds = Verdict(), -1, 0.0
        self.cache.clear()
        free_memory(self.device)

    @property
    def n_channels(self) -> int | None:
        """Channels of the images, None before the first one."""
        if self._annotations.images:
            return self._annotations.images[0].source.stack.n_channels
        return self._start.unet.config.in_channels if self._start else None

    @property
    def class_values(self) -> tuple[int, ...]:
        """Values that ``predict`` can give, in the order of the probabilities."""
        return self._model.values if self._model else self._annotations.values

    @property
    def annotation_version(self) -> int:
        """Version of what is painted; grows with each call of ``annotate``."""
        return self._annotations.version

    @property
    def status(self) -> LearnerStatus:
        """What the learner has come to."""
        annotations, verdict = self._annotations, self._verdict
        return LearnerStatus(
            chosen=verdict.chosen,
            score=verdict.scores.get(verdict.chosen),
            scores=dict(verdict.scores),
            reason=verdict.reason,
            step=self._trainer.n_steps if self._trainer else 0,
            seconds=self._seconds,
            device=describe_device(self.device, self.n_threads),
            annotation_version=annotations.version,
            n_px=annotations.n_px,
            n_strokes=len(annotations.strokes),
            advice=advise_missing_class(annotations.values) or verdict.advice,
        )

    # -- the instant stage ----------------------------------------------------------

    def update(self) -> Generator[JobEvent, None, None]:
        """Fit the instant stage to the newest annotation, then let the gate judge.

        Yields `HeadFitted` as soon as something can be predicted and `Scored` when the
        held-out strokes have spoken; nothing when all is up to date.
        """
        annotations = self._annotations
        if annotations.version == self._judged_version:
            return
        annotations.require_two_classes()
        started = time.monotonic()
        samples = self._collect(annotations)
        self._samples = samples
        strength = self._verdict.strength or self.config.instant.ridge_strengths[0]
        self._model = self._fit(samples, strength, self._provisional(samples))
        yield HeadFitted(annotations.version, time.monotonic() - started)
        yield self._judge(self._tuned, annotations.version)

    def _collect(self, annotations: AnnotationSet) -> Samples:
        return collect_samples(
            annotations,
            self._start_network(annotations),
            self.cache,
            n_levels=self.config.instant.n_feature_levels,
            tile_px=self.tile_px,
            max_px=self.config.instant.max_training_px,
        )

    def _provisional(self, samples: Samples) -> str:
        """Name what to show until the gate has judged."""
        chosen = self._verdict.chosen
        is_tuned = chosen.startswith("fine-tuned")
        knows_all = self._tuned is not None and self._tuned.knows(samples.values)
        if chosen and (not is_tuned or knows_all):
            return chosen
        return "instant" if self._is_pretrained else "forest"

    def _fit(self, samples: Samples, strength: float, chosen: str) -> Model:
        config = self.config.instant
        everything = slice(None)
        assert self._start is not None
        return Model(
            values=samples.values,
            n_levels=config.n_feature_levels,
            start=self._start,
            head=fit_head(samples, everything, strength),
            forest=fit_forest(samples, everything, config, self.config.seed),
            tuned=self._tuned,
            chosen=chosen,
            cache=self.cache,
        )

    def _judge(self, tuned: Tuned | None, version: int) -> Scored:
        """Score all candidates and make the best one the model."""
        samples, before = self._samples, self._model
        assert samples is not None and before is not None
        is_new_annotation = version != self._judged_version
        verdict, tuned = judge(
            samples,
            None if is_new_annotation else self._verdict,
            candidate=tuned,
            current=self._tuned,
            cache=self.cache,
            config=self.config,
            is_pretrained=self._is_pretrained,
        )
        self._tuned = tuned
        if is_new_annotation and verdict.strength != self._verdict.strength:
            self._model = self._fit(samples, verdict.strength, verdict.chosen)
        else:
            self._model = before.using(tuned, verdict.chosen)
        self._verdict, self._judged_version = verdict, version
        return Scored(
            scores=dict(verdict.scores),
            chosen=verdict.chosen,
            reason=verdict.reason,
            step=self._trainer.n_steps if self._trainer else 0,
            seconds=self._seconds,
            is_changed=self._model.generation != before.generation,
        )

    # -- prediction -----------------------------------------------------------------

    def predict(
        self, image: Any, *, axes: str | None = None, token: CancelToken | None = None
    ) -> NDArray[Any]:
        """Return labels of an image, with the annotation's values.

        Returns
        -------
        ndarray of uint8 or uint16
            The image's shape without channels.

        Raises
        ------
        AnnotationError
            If fewer than two classes were painted and no model was loaded.
        ImageError
            If the image has other channels than those learned from.
        """
        return finish(self.predict_job(image, axes=axes, token=token))

    def predict_probabilities(
        self, image: Any, *, axes: str | None = None, token: CancelToken | None = None
    ) -> NDArray[np.float32]:
        """Return class probabilities, shape (K, *spatial), ordered as `class_values`."""
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
    ) -> Generator[JobEvent, None, NDArray[Any]]:
        """Predict as a job: yields `TilePredicted` and `Progress`, returns the array.

        When cancelled, the tiles that were not reached stay 0.
        """
        if self._model is None or len(self._annotations.values) >= 2:
            yield from self.update()
        assert self._model is not None
        predictor = self._model.predictor()
        source = self._known_source(image, key, axes)
        stack = source.stack
        leading = (len(predictor.values),) if probabilities else ()
        dtype = np.float32 if probabilities else label_dtype(predictor.values)
        result: NDArray[Any] = np.zeros((*leading, *stack.spatial_shape), dtype)

        def store(
            number: int, tile: Tile, scores: NDArray[np.float32], labels: NDArray[Any]
        ) -> None:
            where = (
                *stack.index(number),
                slice(tile.y0, tile.y1),
                slice(tile.x0, tile.x1),
            )
            if probabilities:
                result[(slice(None), *where)] = scores
            else:
                result[where] = labels

        yield from predict_planes(
            predictor,
            source,
            range(stack.n_planes),
            self.tile_px,
            store=store,
            token=token,
        )
        return result

    def predict_tiles(
        self,
        image: Any,
        *,
        key: str | None = None,
        axes: str | None = None,
        index: tuple[int, ...] | None = None,
        region: Tile | None = None,
        token: CancelToken | None = None,
    ) -> Generator[JobEvent, None, bool]:
        """Predict tiles with the model as it is, and keep nothing but the events.

        ``index`` is the leading index of one plane and ``region`` a rectangle that tiles
        must meet; None: all planes, all tiles.
        """
        if self._model is None:
            return False
        source = self._known_source(image, key, axes)
        planes = range(source.stack.n_planes)
        done = yield from predict_planes(
            self._model.predictor(),
            source,
            planes if index is None else [source.stack.plane_of(index)],
            self.tile_px,
            region=region,
            token=token,
        )
        return done

    @property
    def generation(self) -> int:
        """Number of the model that predicts; 0 before there is one."""
        return self._model.generation if self._model else 0

    @property
    def n_classes_painted(self) -> int:
        """Classes with at least one stroke."""
        return len(self._annotations.values)

    @property
    def tile_px(self) -> int:
        """Side of a tile (px): the setting, on the network's pooling grid."""
        grid = 2**self.config.depth
        return max(self.config.tiling.tile_px // grid, 1) * grid

    # -- fine-tuning ----------------------------------------------------------------

    def fine_tune(
        self,
        *,
        seconds: float | None = None,
        steps: int | None = None,
        token: CancelToken | None = None,
    ) -> Generator[JobEvent, None, LearnerStatus]:
        """Train the network in the background of painting.

        Parameters
        ----------
        seconds, steps
            When to stop; neither: when cancelled.
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
        TrainingError, OutOfMemoryError
            If training cannot go on; what was learned before stays.
        """
        started = time.monotonic()
        before = self._seconds
        self._annotations.require_two_classes()
        yield from self.update()
        trainer = self._make_trainer()
        n_before, scored_at, score_cost = trainer.n_steps, time.monotonic(), 0.0
        while not (token is not None and token.cancelled):
            now = time.monotonic()
            n_done = trainer.n_steps - n_before
            if seconds is not None and now - started >= seconds:
                break
            if steps is not None and n_done >= steps:
                break
            if self._annotations.version != trainer.version:
                yield from self._take_annotations(trainer)
            notices: list[str] = []
            loss = trainer.step(notices)
            yield from (Notice(text, "warning") for text in notices)
            elapsed = time.monotonic() - started
            self._seconds = before + elapsed
            n_done = trainer.n_steps - n_before
            yield StepDone(
                trainer.n_steps, loss, elapsed, n_done / elapsed, trainer.version
            )
            pause = max(
                self.config.fine_tune.score_every_s, score_cost / _MAX_SCORING_SHARE
            )
            if time.monotonic() - scored_at >= pause:
                began = time.monotonic()
                yield self._score_network(trainer)
                scored_at = time.monotonic()
                score_cost = scored_at - began
        if trainer.n_steps > n_before and trainer.version == self._judged_version:
            yield self._score_network(trainer)
        return self.status

    def _make_trainer(self) -> Trainer:
        """Return the trainer; it goes on where it was paused or loaded."""
        if self._trainer is None:
            network = self._start_network(self._annotations)
            outputs = self._annotations.values
            unet = network.unet
            if self._tuned is not None:
                unet, outputs = self._tuned.network.unet, self._tuned.outputs
            rate = self.config.fine_tune.learning_rate
            if self._is_pretrained or self._tuned is not None:
                rate *= _PRETRAINED_RATE
            self._trainer = Trainer(unet, outputs, self.config, rate, self.device)
        return self._trainer

    def _take_annotations(self, trainer: Trainer) -> Generator[JobEvent, None, None]:
        """Hand the newest strokes to the trainer."""
        annotations = self._annotations
        annotations.require_two_classes()
        trainer.take(annotations)
        yield AnnotationTaken(
            annotations.version, len(annotations.strokes), annotations.n_px
        )
        yield from self.update()

    def _score_network(self, trainer: Trainer) -> Scored:
        # strokes that are newer than the samples are judged at the next step
        candidate = Tuned(trainer.snapshot(), trainer.outputs)
        return self._judge(candidate, self._judged_version)

    # -- on disk --------------------------------------------------------------------

    def save(self, path: Any) -> None:
        """Write the model to a safetensors file; `load` predicts the same.

        Raises
        ------
        AnnotationError
            If there is nothing to save yet.
        FileError
            If the file cannot be written; an older one stays as it was.
        """
        from napari_unet.learning.persistence import save_learner

        if self._model is None or len(self._annotations.values) >= 2:
            finish(self.update())
        assert self._model is not None
        save_learner(self._model, self._header(), path)

    def _header(self) -> dict[str, Any]:
        """Return what a model file says beside its tensors."""
        status = self.status
        return {
            "config": self.config.model_dump(mode="json"),
            "class_names": {str(v): name for v, name in self.class_names.items()},
            "axes": self._axes,
            "is_pretrained": self._is_pretrained,
            "step": status.step,
            "seconds": round(self._seconds, 1),
            "n_px": status.n_px,
            "n_strokes": status.n_strokes,
            "scores": {
                name: {"mean_iou": score.mean_iou, "n_px": score.n_px}
                for name, score in status.scores.items()
            },
        }

    @classmethod
    def load(cls, path: Any, device: str | None = None) -> Learner:
        """Read a learner that `save` wrote; it predicts the same, and can go on learning.

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
        from napari_unet.learning.persistence import read_learner

        config, parts, header = read_learner(path)
        if device is not None:
            config = config.model_copy(update={"device": device})
        learner = cls(config)
        model = parts.to(learner.device, learner.cache)
        learner._model, learner._start = model, model.start
        learner._tuned = model.tuned
        learner._is_pretrained = bool(header.get("is_pretrained", False))
        learner._axes = header.get("axes")
        learner._verdict = Verdict(chosen=model.chosen, reason="Loaded from a file.")
        learner.class_names = {
            int(value): str(name) for value, name in header["class_names"].items()
        }
        return learner

    # -- details --------------------------------------------------------------------

    def _start_network(self, annotations: AnnotationSet) -> Network:
        n_channels = annotations.images[0].source.stack.n_channels
        if self._start is None or self._start.unet.config.in_channels != n_channels:
            config = self.config.unet_config(n_channels, len(annotations.values))
            unet, self._is_pretrained = make_network(
                config, start=self.config.start, seed=self.config.seed
            )
            unet = unet.to(self.device).requires_grad_(False)
            unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._start = Network(unet)
        return self._start

    def _source(self, stack: PlaneStack, key: str | None) -> ImageSource:
        """Return the source of an image, the known one where it is the same."""
        is_named = key is not None
        key = fingerprint(stack) if key is None else key
        known = self._sources.get(key)
        if known is not None and known.stack.axes == stack.axes:
            if not is_named or known.stack.image is stack.image:
                return known
        self._sources[key] = ImageSource(key, stack)
        return self._sources[key]

    def _known_source(self, image: Any, key: str | None, axes: str | None) -> ImageSource:
        """Return the source of an image to predict; its channels must fit."""
        if key is not None and key in self._sources:
            source = self._sources[key]
            if source.stack.image is image:
                return source
        n_channels = self.n_channels
        stack = PlaneStack(image, axes)
        if axes is None and stack.n_channels != n_channels:
            stack = _with_channels(image, n_channels, self._axes) or stack
        if stack.n_channels != n_channels:
            raise ImageError(_channel_mismatch(stack.n_channels, n_channels))
        name = fingerprint(stack) if key is None else key
        known = self._sources.get(name)
        if known is not None and known.stack.axes == stack.axes and key is None:
            return known
        return ImageSource(name, stack)


def _channel_mismatch(got: int, wanted: int | None) -> str:
    return (
        f"the image has {got} channel{'s' if got != 1 else ''}, but the learner works "
        f"with {wanted}: use images of one kind, or name the axes (such as axes='YXC')"
    )


def _with_channels(
    image: Any, n_channels: int | None, axes: str | None
) -> PlaneStack | None:
    """Read an image with its channels where the annotated image had them."""
    if axes is None or len(axes) != np.ndim(image):
        return None
    stack = PlaneStack(image, axes)
    return stack if stack.n_channels == n_channels else None

