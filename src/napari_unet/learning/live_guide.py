"""Where to look next: the interactive loop's search for what it is least sure of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.core.arrays import PlaneStack
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import CancelToken, JobEvent, Notice, RegionFound
from napari_unet.learning.inbox import Annotated, Inbox
from napari_unet.learning.uncertain import UncertaintyWatch

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner

__all__ = ["Guide"]

SURVEY_TILES = 16
"""Tiles that one search predicts at most, some seconds; the next one goes on."""

_LOOKING = "Looking for where the model is least sure …"
_NONE_LEFT = (
    "You have seen every place that stands out as unsure. Paint, and there will be new "
    "ones."
)


class Guide:
    """Keeps the uncertainty of what the loop predicts, and ranks it when asked."""

    def __init__(self, inbox: Inbox, token: CancelToken) -> None:
        self._inbox, self._token = inbox, token
        self.watch = UncertaintyWatch()
        self._learner: Learner | None = None
        self._keys: tuple[str, ...] = ()  # of images that are to be searched

    def follow(self, learner: Learner) -> None:
        """Look at what a learner predicts, in the way that is wished."""
        if learner is not self._learner:
            self._learner = learner
            self.watch.reset()
            learner.watch_uncertainty(self.watch)
        self.watch.wants_maps, measure = self._inbox.uncertainty
        self.watch.measure_by(measure)

    def maps(self) -> Iterator[JobEvent]:
        """Yield the maps of what was just predicted."""
        yield from self.watch.take_maps()

    def search(
        self,
        learner: Learner,
        images: Mapping[str, Annotated],
        why_not: Callable[[], str],
    ) -> Generator[JobEvent, None, None]:
        """Find the next region, if that was asked for.

        A new stroke comes first; the search then begins again. ``why_not`` says
        what to paint where nothing is learned yet.
        """
        self._keys = self._inbox.take_search() or self._keys
        if not self._keys:
            return
        self.follow(learner)
        keys = [key for key in self._keys if key in images]
        if learner.generation == 0 or not keys:
            self._keys = ()
            yield Notice(why_not(), "advice")
            return
        yield Notice(_LOOKING)
        try:
            for key in keys:
                yield from self._survey(learner, key, images[key], len(keys))
                if self._is_stale:
                    return
        except NapariUnetError as error:
            self._keys = ()
            yield Notice(str(error), "warning")
            return
        self._keys = ()
        yield Notice("")
        yield from self._choose(keys, images)

    @property
    def _is_stale(self) -> bool:
        inbox = self._inbox
        return inbox.has_annotations or inbox.is_closed or self._token.cancelled

    def _survey(
        self, learner: Learner, key: str, item: Annotated, n_images: int
    ) -> Generator[JobEvent, None, None]:
        """See some of what is not known yet of an image; break off for a new stroke."""
        n_tiles = max(SURVEY_TILES // n_images, 2)
        job = learner.survey_job(
            item.image, key=key, axes=item.axes, max_tiles=n_tiles, token=self._token
        )
        for event in job:
            if isinstance(event, Notice):
                yield event
            yield from self.maps()
            if self._is_stale:
                return

    def _choose(
        self, keys: list[str], images: Mapping[str, Annotated]
    ) -> Iterator[JobEvent]:
        """Yield the least certain region, of the least certain image of several."""
        for key in sorted(keys, key=lambda k: -(self.watch.mean(k) or 0)):
            item = images[key]
            painted = TiledLabels.of(item.annotation)
            complete = None if item.complete is None else TiledLabels.of(item.complete)
            found = self.watch.next_region(key, painted, complete)
            if found is not None:
                stack = PlaneStack(item.image, item.axes, painted.shape)
                box = found.tile
                yield RegionFound(
                    key,
                    stack.index(found.plane),
                    box.y0,
                    box.x0,
                    *box.shape,
                    found.score,
                )
                return
        yield Notice(_NONE_LEFT)
