"""Objects of what the interactive loop predicts: of the visible field, or all."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.config import InstanceConfig
from napari_unet.core.device import naming_what_ran_out
from napari_unet.inference.instances import split_objects
from napari_unet.inference.keep_ids import keep_ids
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import CancelToken, JobEvent, Notice, ObjectsFound
from napari_unet.learning.inbox import Annotated, ViewRequest

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner

__all__ = ["FieldObjects", "whole_objects"]

MAX_FIELD_PX = 2048 * 2048
"""A cut, some seconds at this size, cannot be broken off, and what is painted waits."""

_FIELD_GRID_PX = 512
"""No more is kept than what the field takes of this grid: tiles can be larger."""

_TOO_LARGE = (
    "Too much is visible to find its objects as you look: zoom in, or predict the "
    "whole image."
)
_NO_MEMORY = (
    "memory ran out while the visible field was cut into objects: zoom in, or close "
    "other programs or images"
)


class FieldObjects:
    """Cuts the visible field into objects, which keep their ids while they are seen."""

    def __init__(self) -> None:
        self._parts: dict[Tile, tuple[NDArray[Any], NDArray[np.float32]]] = {}
        self._n_px = 0
        self._field: Tile | None = None  # what is seen, or a little more
        self._is_told = False  # that the field is too large
        self._next_id = 1
        self._before: tuple[str, tuple[int, ...], Tile, NDArray[Any]] | None = None

    def begin(self, view: ViewRequest) -> None:
        """Forget the tiles of an earlier field."""
        self._parts.clear()
        self._n_px = 0
        grid = _FIELD_GRID_PX
        self._field = Tile(
            view.y0 // grid * grid,
            -(-view.y1 // grid) * grid,
            view.x0 // grid * grid,
            -(-view.x1 // grid) * grid,
        )

    def store(self, _plane: int, tile: Tile, found: Prediction) -> None:
        """Take one tile; none is kept of a field that is too large."""
        part = tile if self._field is None else tile.common(self._field)
        self._n_px += part.shape[0] * part.shape[1]
        if self._n_px > MAX_FIELD_PX:
            self._parts.clear()
        else:
            where = part.within(tile)
            self._parts[part] = found.labels[where], found.evidence[where]

    def show(
        self,
        view: ViewRequest,
        generation: int,
        settings: InstanceConfig,
        painted_px: int | None = None,
    ) -> Iterator[JobEvent]:
        """Yield the objects; of too large a field, once, why there are none.

        ``painted_px`` is how small an object may be, if the painted ones tell.
        """
        if self._n_px > MAX_FIELD_PX:
            if not self._is_told:
                yield Notice(_TOO_LARGE)
            self._is_told = True
            return
        with naming_what_ran_out(_NO_MEMORY):
            found = self.find(view, generation, settings, painted_px)
        if found is not None:
            if self._is_told:
                yield Notice("")
            self._is_told = False
            yield found

    def find(
        self,
        view: ViewRequest,
        generation: int,
        settings: InstanceConfig,
        painted_px: int | None = None,
    ) -> ObjectsFound | None:
        """Return the objects of the tiles that came, None where none came.

        Those at the field's rim are cut off there.
        """
        if not self._parts:
            return None
        tiles = list(self._parts)
        field = Tile(
            min(t.y0 for t in tiles),
            max(t.y1 for t in tiles),
            min(t.x0 for t in tiles),
            max(t.x1 for t in tiles),
        )
        labels = np.zeros(field.shape, self._parts[tiles[0]][0].dtype)
        evidence = np.zeros(field.shape, np.float32)
        for tile, part in self._parts.items():
            where = tile.within(field)
            labels[where], evidence[where] = part
        self._parts.clear()
        found = split_objects(
            labels, evidence, axes="YX", settings=settings.sized(painted_px)
        )
        return ObjectsFound(
            view.key,
            view.index,
            field.y0,
            field.x0,
            self._keep_ids(view, field, found.labels),
            found.n_objects,
            generation,
            painted_px,
        )

    def _keep_ids(
        self, view: ViewRequest, field: Tile, labels: NDArray[Any]
    ) -> NDArray[Any]:
        """Give objects the ids that they had in the last field."""
        old = np.zeros_like(labels)
        if self._before is not None:
            key, index, seen, ids = self._before
            common = field.common(seen)
            is_seen = common.y0 < common.y1 and common.x0 < common.x1
            if (key, index) == (view.key, view.index) and is_seen:
                old = np.zeros(labels.shape, ids.dtype)
                old[common.within(field)] = ids[common.within(seen)]
        # what is out of sight keeps its numbers in the layer: nobody gets them again
        result = keep_ids(labels, old, self._next_id)
        self._next_id = max(self._next_id, int(result.max(initial=0)) + 1)
        self._before = view.key, view.index, field, result
        return result


def whole_objects(
    learner: Learner,
    key: str,
    item: Annotated,
    scale: Sequence[float] | None,
    settings: InstanceConfig,
    token: CancelToken,
) -> Generator[JobEvent, None, bool]:
    """Predict a whole image and cut it into objects; return whether it got to the end.

    Yields the events of `Learner.predict_instances_job`, then one `ObjectsFound`.
    """
    generation = learner.generation  # who renews the model begins the image anew
    found = yield from learner.predict_instances_job(
        item.image,
        key=key,
        axes=item.axes,
        scale=scale,
        settings=settings,
        token=token,
        update=False,  # as the loop has it: what could not be fitted fails again
    )
    if token.cancelled:
        return False
    yield ObjectsFound(
        key,
        (),
        0,
        0,
        found.labels,
        found.n_objects,
        generation,
        learner.smallest_object_px,
        is_whole=True,
    )
    return True
