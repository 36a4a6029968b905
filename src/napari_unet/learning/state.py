"""What a learner knows at a moment, and the instant stage that keeps it up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.config import LearnerConfig
from napari_unet.core.device import (
    choose_device,
    default_threads,
    empty_cache,
    free_memory,
    out_of_memory_errors,
)
from napari_unet.errors import OutOfMemoryError
from napari_unet.inference.enlarged import Enlarged
from napari_unet.inference.predictor import Predictor
from napari_unet.jobs import HeadFitted, JobEvent, Notice, Scored
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.doubts import Doubts
from napari_unet.learning.forest import Forest
from napari_unet.learning.instant import (
    HeadChoice,
    first_choice,
    fit_forest,
    fit_head,
)
from napari_unet.learning.model import Model
from napari_unet.learning.networks import make_start, snapshot
from napari_unet.learning.samples import Samples, collect_samples
from napari_unet.learning.scoring import Tuned, Verdict, judge
from napari_unet.learning.status import LearnedFrom
from napari_unet.learning.tile_sizes import TileSizes
from napari_unet.learning.training import Trainer
from napari_unet.learning.uncertain import UncertaintyWatch

if TYPE_CHECKING:
    from napari_unet.learning.resumption import Resumption

__all__ = ["State"]

_PRETRAINED_SCALES = 2
T = TypeVar("T")


class State:
    """The learner's inside: annotations, network, fitted model and the gate's verdict.

    Attributes
    ----------
    annotations
        What is painted; replaced as a whole, by whichever thread paints.
    start
        The network with its start weights, whose features the instant head uses.
    start_weights
        From a file, to be taken instead of the bundled ones; None: no file.
    model
        What predicts, None before two classes are painted.
    tuned
        The best snapshot of the fine-tuned network so far.
    judged_version
        Version of the annotation that `model` is fitted to and the gate has judged.
    seconds
        Time spent on fine-tuning in all.
    first_step
        Optimiser steps that a model file came with.
    has_new_scales
        Whether the network is to see other sizes of the image from the next fit on.
    resumption
        What a training was saved with, until its annotation is there again or it goes
        on with another one.
    samples
        What heads and the forest are fitted to, of the newest annotation.
    remembered_folds
        Folds of strokes, by signature, that a model file came with or that were
        painted while there was a network.
    """

    def __init__(self, config: LearnerConfig) -> None:
        self.config = config
        self.device = choose_device(config.device)
        self.n_threads = config.n_threads or default_threads()
        torch.set_num_threads(self.n_threads)
        self.cache = FeatureCache()
        self.annotations = AnnotationSet(
            mode=config.annotation_mode, downsampling=config.downsampling
        )
        self.start: Network | None = None
        self.start_weights: dict[str, torch.Tensor] | None = None
        self.is_pretrained = False
        self.tiles = TileSizes(config)
        self.uncertainty: UncertaintyWatch | None = None  # of who shall look
        self._notices: list[Notice] = []
        self._doubts = Doubts()
        self.reset()

    def reset(self) -> None:
        """Forget what was learned, but not what is painted; give memory back."""
        self.start = None
        self.model: Model | None = None
        self.tuned: Tuned | None = None
        self.trainer: Trainer | None = None
        self.resumption: Resumption | None = None
        self.verdict = Verdict()
        self.judged_version = -1
        self.has_new_scales = False
        self.seconds = 0.0
        self.first_step = 0
        self.learned_from = LearnedFrom()
        self.loaded_smallest_px: int | None = None
        """Of the objects that a model was learned from that was loaded."""
        self.remembered_folds: dict[str, int] = {}
        self.samples: Samples | None = None
        self.cache.clear()
        empty_cache(self.device)

    def set_scales(self, n_scales: int | None) -> None:
        """Let the network see other sizes of the image from the next update on.

        Until then, and so for as long as there is nothing to fit to, all stays.
        """
        instant = self.config.instant.model_copy(update={"n_scales": n_scales})
        self.config = self.config.model_copy(update={"instant": instant})
        self.has_new_scales = True
        self.judged_version = -1
        self.resumption = None

    def _change_scales(self) -> None:
        """Begin with the start weights again: heads of other features do not fit."""
        self.has_new_scales = False
        if self.start is not None:
            self.start = self.start.at_scales(self.n_scales_to_see)
        self.tuned = self.trainer = self.resumption = None
        self.verdict = Verdict()
        self.first_step, self.seconds = 0, 0.0

    @property
    def n_scales_to_see(self) -> int:
        """As set, or as many as suit most images."""
        automatic = _PRETRAINED_SCALES if self.is_pretrained else 1
        return self.config.instant.n_scales or automatic

    @property
    def choice(self) -> HeadChoice:
        """How the instant head is fitted."""
        return self.verdict.choice or self._first_choice

    @property
    def n_scales(self) -> int:
        """Sizes of the image that the chosen network sees; 0 for the forest alone."""
        chosen = self.verdict.chosen
        if chosen.startswith("fine-tuned") and self.tuned is not None:
            return self.tuned.network.n_scales
        if "instant" not in chosen or self.start is None:
            return 0
        return min(self.choice.n_scales, self.start.n_scales)

    @property
    def reach_px(self) -> int:
        """How far around a pixel the chosen network sees (px); 0 for the forest."""
        if not self.n_scales or self.start is None:
            return 0
        reach: int = self.start.unet.reach_px << (self.n_scales - 1)
        return reach * self.config.downsampling

    @property
    def n_levels(self) -> int:
        """Decoder levels that feed the head: as set, where there are so many."""
        return min(self.config.instant.n_feature_levels, self.config.depth + 1)

    @property
    def tile_px(self) -> int:
        """Side of a tile (px) of the image that the network sees."""
        return self.tiles.px

    def within_memory(self, work: Callable[[], T]) -> T:
        """Do some work; where memory runs out, with an empty cache and half the tiles.

        Smaller tiles give the same numbers. The user is told by `take_notices`.

        Raises
        ------
        OutOfMemoryError
            If tiles of 64 px do not fit either.
        """
        while True:
            try:
                return work()
            except out_of_memory_errors as error:
                if isinstance(error, OutOfMemoryError):
                    raise
                self.tiles.halve(error)
            self.cache.clear()
            if self.tuned is not None:
                self.tuned.cache.clear()
            free_memory(self.device)
            if self.samples is not None:
                self.samples = self.samples.in_tiles(self.tile_px)
                # which tiles are scored changes with them
                self.verdict = replace(self.verdict, tuned_at_samples=None)
            text = f"Memory ran out: went on with tiles of {self.tile_px} px."
            self._notices.append(Notice(text, "warning"))

    def tell(self, caution: str) -> None:
        """Let the user read a sentence."""
        self._notices.append(Notice(caution, "caution"))

    def take_notices(self) -> list[Notice]:
        """Return what the user should read since the last call."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def n_steps(self) -> int:
        """Optimiser steps in all."""
        return self.first_step + (self.trainer.n_steps if self.trainer else 0)

    @property
    def smallest_object_px(self) -> int | None:
        """How small an object may be: from those that are painted, or of the model.

        Who goes on with a loaded model paints few objects at first.
        """
        painted_px = self.annotations.smallest_object_px
        return self.loaded_smallest_px if painted_px is None else painted_px

    @property
    def folds(self) -> dict[str, int]:
        """Folds of all strokes so far, by signature: what the network has not seen."""
        painted = {s.signature: s.fold for _, s in self.annotations.strokes}
        return {**self.remembered_folds, **painted}

    def remember_folds(self) -> None:
        """Keep in mind what the network has not seen: erased strokes may come back."""
        if self.trainer is not None or self.tuned is not None:
            self.remembered_folds = self.folds

    def update(self) -> Generator[JobEvent, None, None]:
        """Fit the instant stage to the newest annotation, then let the gate judge.

        Yields `HeadFitted` as soon as something can be predicted, and `Scored` when the
        held-out strokes have spoken; nothing when all is up to date.
        """
        annotations = self.annotations
        if annotations.version == self.judged_version:
            return
        annotations.require_two_classes()
        resumption = self.resumption
        if resumption is not None and resumption.version == annotations.version:
            yield from resumption.take_up(self, annotations)
            return
        yield from self._doubts.news(annotations, self.config)
        if self.has_new_scales:
            self._change_scales()
        started = time.monotonic()
        self.model = self.within_memory(lambda: self._fit(annotations))
        yield from self.take_notices()
        yield HeadFitted(annotations.version, time.monotonic() - started)
        # filter features take longer than all else: only now, or where they are shown
        self.complete()
        scored = self.within_memory(
            lambda: self._judge(self.tuned, annotations.version)
        )
        yield from self.take_notices()
        yield scored

    def take_up(
        self, annotations: AnnotationSet, model: Model, verdict: Verdict
    ) -> Scored:
        """Have a model and a verdict of this annotation that were saved."""
        self.samples = self._collect(annotations)
        known = verdict.validation
        if known is not None and len(known.mask) != len(self.samples.targets):
            verdict = replace(verdict, validation=None, tuned_at_samples=None)
        is_changed = self.model is not model
        self.model, self.tuned, self.verdict = model, model.tuned, verdict
        self.judged_version = annotations.version
        self.resumption = None
        return self._scored(is_changed)

    def predictor(self, candidate: str | None = None) -> Predictor:
        """Return the chosen candidate, or the one of that name, for full images."""
        assert self.model is not None
        found = self.model.predictor(candidate)
        factor = self.config.downsampling
        return Enlarged(found, factor) if factor > 1 else found

    def complete(self) -> None:
        """Fit the forest, where it is still missing."""
        if self.model is not None and self.model.forest is None:
            forest = self.within_memory(self._fit_forest)
            self.model = replace(self.model, forest=forest)

    def judge_network(self, trainer: Trainer) -> Generator[JobEvent, None, None]:
        """Let the gate judge the network as it is now, on the known annotation."""
        if self.has_new_scales:
            return  # what it has learned is forgotten at the next update

        def work() -> Scored:
            return self._judge(snapshot(trainer), self.judged_version)

        scored = self.within_memory(work)
        yield from self.take_notices()
        yield scored

    def _judge(self, tuned: Tuned | None, version: int) -> Scored:
        """Score all candidates and let the best one predict."""
        samples, model = self.samples, self.model
        assert samples is not None
        assert model is not None
        assert self.start is not None
        before = self.verdict
        verdict, tuned = judge(
            samples,
            before if version == self.judged_version else None,
            start=self.start,
            candidate=tuned,
            current=self.tuned,
            cache=self.cache,
            config=self.config,
            is_pretrained=self.is_pretrained,
        )
        assert verdict.choice is not None
        if verdict.choice != (before.choice or self._first_choice):
            deep = samples.of_network(self.start, self.cache)
            head = fit_head(samples, deep, self.start, verdict.choice)
            model = model.with_head(head)
        # only now: where memory ran out before, all of it is done again
        self.verdict, self.tuned = verdict, tuned
        model = model.using(tuned, verdict.chosen)
        is_changed = self.model is None or model.generation != self.model.generation
        self.model = model
        self.judged_version = version
        self.learned_from = replace(
            LearnedFrom.count(self.annotations),
            smallest_object_px=self.smallest_object_px,
        )
        return self._scored(is_changed)

    def _scored(self, is_changed: bool) -> Scored:
        return Scored(
            scores=dict(self.verdict.scores),
            chosen=self.verdict.chosen,
            reason=self.verdict.reason,
            step=self.n_steps,
            seconds=self.seconds,
            is_changed=is_changed,
            n_scales=self.n_scales,
            reach_px=self.reach_px,
        )

    @property
    def _first_choice(self) -> HeadChoice:
        """How to fit the head before held-out strokes choose."""
        assert self.start is not None
        return first_choice(self.start, self.config.instant)

    def _fit(self, annotations: AnnotationSet) -> Model:
        """Fit what is shown first to the newest annotation."""
        start = make_start(self, annotations)
        self.samples = samples = self._collect(annotations)
        choice = self.choice
        chosen = self._provisional()
        if self.tuned is not None and chosen.startswith("fine-tuned"):
            self.tuned = self.tuned.fitted(samples, choice)
        deep = samples.of_network(start, self.cache)
        return Model(
            values=samples.values,
            start=start,
            head=fit_head(samples, deep, start, choice),
            forest=self._fit_forest() if "forest" in chosen else None,
            tuned=self.tuned,
            chosen=chosen,
            cache=self.cache,
        )

    def _collect(self, annotations: AnnotationSet) -> Samples:
        return collect_samples(
            annotations,
            tile_px=self.tile_px,
            max_px=self.config.instant.max_training_px,
        )

    def _fit_forest(self) -> Forest:
        assert self.samples is not None
        filters = self.samples.of_filters(self.cache)
        return fit_forest(self.samples, filters, self.config.instant, self.config.seed)

    def _provisional(self) -> str:
        """Name what to show until the gate has judged."""
        chosen = self.verdict.chosen
        if chosen and (self.tuned is not None or not chosen.startswith("fine-tuned")):
            return chosen
        return "instant" if self.is_pretrained else "forest"
