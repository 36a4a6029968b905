"""Finds the annotation that a training was saved with, and goes on from there."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from napari_unet.annotation.annotations import AnnotatedImage, AnnotationSet
from napari_unet.annotation.strokes import Stroke
from napari_unet.core.arrays import fingerprint
from napari_unet.core.head import RidgeHead
from napari_unet.jobs import HeadFitted, JobEvent
from napari_unet.learning.model import Model
from napari_unet.learning.scoring import Verdict
from napari_unet.learning.trainer_state import Facts

if TYPE_CHECKING:
    from napari_unet.learning.state import State

__all__ = ["ImageFacts", "Resumption", "Taken"]

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]


class ImageFacts(Facts):
    """What an annotated image is known by again: its pixels and its strokes.

    Not by its name, which may be a path on another computer.
    """

    pixels: _Digest
    strokes: _Digest
    n_strokes: Annotated[int, Field(ge=1, lt=2**31)]

    @classmethod
    def of(cls, image: AnnotatedImage) -> ImageFacts:
        """Describe an image; reads some of its pixels."""
        strokes = image.strokes
        return cls(
            pixels=fingerprint(image.source.stack),
            strokes=_digest(strokes),
            n_strokes=len(strokes),
        )


@dataclass(frozen=True, eq=False)
class Taken:
    """What a trainer knew of the annotation: the heads it took, and whose turn it is.

    ``heads`` are the closed-form head and the teacher's, as in `Trainer.take`.
    """

    heads: tuple[RidgeHead, RidgeHead]
    turn: int


@dataclass(eq=False)
class Resumption:
    """What holds for one annotation only: kept until it is there again.

    Parameters
    ----------
    images
        In their order, which decides what is drawn and how sums are rounded.
    folds
        Of all strokes, image by image, shape (n,).
    model, verdict
        Fitted to it, and the gate's verdict.
    taken
        What the trainer knew; None where it was to take this annotation.
    """

    images: tuple[ImageFacts, ...]
    folds: NDArray[np.intp]
    model: Model
    verdict: Verdict
    taken: Taken | None
    version: int = -1
    """Of the annotation that was recognised; -1 before."""

    def recognise(self, annotations: AnnotationSet) -> AnnotationSet:
        """Return the annotation as it was when it was saved, if it is the same.

        Images get their old order and strokes their old folds; another annotation comes
        back as it is.
        """
        self.version = -1
        found = self._in_order(annotations.images)
        if found is None or annotations.values != self.model.values:
            return annotations
        starts = np.cumsum([image.n_strokes for image in self.images])[:-1]
        images = tuple(
            replace(image, strokes=_with_folds(image.strokes, folds))
            for image, folds in zip(found, np.split(self.folds, starts), strict=True)
        )
        self.version = annotations.version
        return replace(annotations, images=images)

    def _in_order(
        self, images: tuple[AnnotatedImage, ...]
    ) -> list[AnnotatedImage] | None:
        """Return the images in the saved order; None where one differs."""

        def counts(all_facts: Iterable[ImageFacts | AnnotatedImage]) -> list[int]:
            return sorted(
                len(x.strokes) if isinstance(x, AnnotatedImage) else x.n_strokes
                for x in all_facts
            )

        if counts(images) != counts(self.images):  # at no cost while she paints
            return None
        rest = [(ImageFacts.of(image), image) for image in images]
        found = []
        for wanted in self.images:
            place = next((i for i, (f, _) in enumerate(rest) if f == wanted), None)
            if place is None:
                return None
            found.append(rest.pop(place)[1])
        return found

    def take_up(
        self, state: State, annotations: AnnotationSet
    ) -> Generator[JobEvent, None, None]:
        """Bring model, verdict and training to where they were; nothing is fitted."""
        scored = state.take_up(annotations, self.model, self.verdict)
        if state.trainer is not None and self.taken is not None:
            state.trainer.go_on(annotations, *self.taken.heads, self.taken.turn)
        yield HeadFitted(annotations.version, 0.0)
        yield scored


def _digest(strokes: Iterable[Stroke]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for stroke in strokes:
        digest.update(stroke.signature.encode())
    return digest.hexdigest()


def _with_folds(
    strokes: tuple[Stroke, ...], folds: NDArray[np.intp]
) -> tuple[Stroke, ...]:
    return tuple(
        replace(stroke, fold=int(fold))
        for stroke, fold in zip(strokes, folds, strict=True)
    )
