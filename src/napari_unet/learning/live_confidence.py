"""How sure the model is of what is looked at: asked for once, to accept by it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import NapariUnetError
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import (
    CancelToken,
    ConfidenceFound,
    JobEvent,
    Notice,
    TilePredicted,
)
from napari_unet.learning.inbox import Annotated, Inbox, ViewRequest

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner

__all__ = ["find_confidence"]


def find_confidence(
    learner: Learner,
    images: Mapping[str, Annotated],
    inbox: Inbox,
    token: CancelToken,
) -> Generator[JobEvent, None, None]:
    """Answer the wish that waits, if there is one.

    Yields the tiles as they are predicted, which the overlay shows, and one
    `ConfidenceFound`; it is empty where there is no model, the work failed or
    was stopped.
    """
    view = inbox.take_unsure()
    if view is None:
        return
    found = None
    try:
        if view.key in images and learner.generation:
            found = yield from _predicted(learner, images[view.key], view, inbox, token)
    except NapariUnetError as error:
        yield Notice(str(error), "warning")
    if found is None:
        nothing = np.zeros((0, 0))
        found = ConfidenceFound(
            view.key, view.index, view.y0, view.x0, nothing, nothing
        )
    yield found


def _predicted(
    learner: Learner,
    item: Annotated,
    view: ViewRequest,
    inbox: Inbox,
    token: CancelToken,
) -> Generator[JobEvent, None, ConfidenceFound | None]:
    """Predict a field, and keep the label and its probability; None: it was stopped."""
    field = Tile(view.y0, view.y1, view.x0, view.x1)
    labels = np.zeros(field.shape, np.uint16)
    confidence = np.zeros(field.shape, np.float32)

    def store(_plane: int, tile: Tile, found: Prediction) -> None:
        common = tile.common(field)
        here, there = common.within(field), common.within(tile)
        labels[here] = found.labels[there]
        confidence[here] = found.probabilities.max(axis=0)[there]

    job = learner.predict_tiles(
        item.image,
        key=view.key,
        axes=item.axes,
        index=view.index,
        region=field,
        store=store,
        token=token,
    )
    for event in job:
        if isinstance(event, (TilePredicted, Notice)):
            yield event
        if token.cancelled or inbox.is_closed:
            return None
    return ConfidenceFound(view.key, view.index, view.y0, view.x0, labels, confidence)
