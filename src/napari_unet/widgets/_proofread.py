"""Proofreading: predictions become annotation, one step that can be undone at a time.

Whatever is accepted, rejected or cut is painted into the annotation layer as a stroke
is, and learned from as one. Predictions are never changed: the next one takes it up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.annotation.proofreading import MAX_PART_PX
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import ConfidenceFound
from napari_unet.widgets import _proofread_changes as changes
from napari_unet.widgets._proofread_areas import (
    in_lasso,
    in_plane,
    lasso_area,
    plane_area,
    which_are_sure,
)
from napari_unet.widgets._proofread_changes import Change
from napari_unet.widgets._proofread_sight import Point, Sight
from napari_unet.widgets._proofread_tally import Step, Tally, step_of
from napari_unet.widgets._proofread_tool import GESTURES, Gesture, ProofreadTool
from napari_unet.widgets._view import VisibleField, visible_field

if TYPE_CHECKING:
    from napari_unet.widgets._annotated import AnnotatedImage
    from napari_unet.widgets._state import ViewerState

__all__ = ["Proofreader"]

_NO_DOCK = "Open the dock Interactive segmentation first: it predicts."
_NO_IMAGE = "Open an image first."
_NO_LAYER = "Make an annotation first: New, in the dock Interactive segmentation."
_NOTHING = "Nothing is predicted yet: paint a few strokes of two classes first."
_NO_OBJECTS = "Nothing is predicted yet: paint an object, and background around it."
_VOLUME = "Show one plane, along Y and X (2D), to proofread in it."
_NOT_HERE = "Nothing is predicted under the pointer."
_NO_OBJECT = "There is nothing to relabel under the pointer."
_BACKGROUND = "That is background: point at an object, or at another class."
_HAS_IT = "All of it is annotated already."
_NO_HOLE = "It has no hole that is free: nothing was filled."
_NOT_CUT = (
    "The line cuts no object: draw it right across one, or from the middle of one half "
    "to the middle of the other."
)
_NOT_TWO = "The line must touch two objects of the same class: nothing was joined."
_TOO_LARGE = (
    "That reaches over more than one step takes (4 million px): zoom in, and draw less."
)
_BACK = "Ctrl+Z takes it back."
_MORE = " It goes on beyond what one step takes (4 million px)."


class Proofreader(QObject):
    """Everything that the dock *Proofread* and its keys can ask for.

    Signals
    -------
    changed : a gesture begins or ends, other settings, other counts
    """

    changed = Signal()

    def __init__(self, state: ViewerState) -> None:
        super().__init__(state)
        self._state = state
        self.threshold = 0.9
        """Probability from which on *Accept above* takes what is in sight."""
        self.is_over = False
        """Whether accepting also replaces what is painted."""
        self.tally = Tally()
        self.tool = ProofreadTool(state.viewer, self._on_drawn, self.changed.emit, self)
        self._asked: tuple[str, str, float] | None = None  # image, mode, threshold
        self._newest: Step | None = None  # whatever it did,
        self._sentence = ""  # and what was said of it
        state.book.changed.connect(self._on_book_changed)
        state.painting.copied.connect(self._on_copied)

    # --- what can be done now --------------------------------------------------------

    @property
    def why_not(self) -> str:
        """Why nothing can be proofread now; ``""`` if it can."""
        entry = self._state.book.current
        if not self._state.is_open:
            return _NO_DOCK
        if entry is None:
            return _NO_IMAGE
        if entry.annotation is None:
            return _NO_LAYER
        of_objects = entry.mode == "objects"
        is_live = entry.prediction is not None and self._state.session.shown
        if not is_live and entry.stored is None and entry.objects is None:
            return _NO_OBJECTS if of_objects else _NOTHING
        return ""

    @property
    def is_most_accepted(self) -> bool:
        """Whether half of what is annotated, or more, was accepted in this viewer."""
        n_px, _ = self.tally.counts
        return n_px > 0 and 2 * n_px >= self._state.session.n_px

    def _sight(self) -> Sight | None:
        """Return what is seen, with all that is painted until now; or say why not."""
        self._state.painting.take()
        entry = self._state.book.current
        why_not = self.why_not
        if not why_not and self._field() is None:
            why_not = _VOLUME
        if why_not or entry is None:
            self._say(why_not)
            return None
        return Sight(entry, self._state.objects.is_on)

    def _field(self) -> VisibleField | None:
        entry = self._state.book.current
        if entry is None or entry.annotation is None:
            return None
        return visible_field(self._state.viewer(), entry.annotation)

    def _cursor(self, sight: Sight) -> Point:
        """Return the pixel under the pointer."""
        position = self._state.viewer().cursor.position
        return _rounded(sight.layer.world_to_data(position))

    # --- one thing, under the pointer or at a point ----------------------------------

    def accept(self, point: Point | None = None) -> None:
        """Annotate the object or region there as what it is predicted to be."""

        def change(sight: Sight, at: Point) -> Change | None:
            return changes.accepted(sight, at, self.is_over)

        self._at(point, change, _NOT_HERE, "Accepted", is_accepted=True)

    def reject(self, point: Point | None = None) -> None:
        """Take back what is annotated there; else annotate it as background."""
        self._at(point, changes.rejected, _BACKGROUND, "Rejected")

    def fill_holes(self, point: Point | None = None) -> None:
        """Annotate the object there with its holes."""
        self._at(point, changes.filled, _NO_HOLE, "Filled and accepted", True)

    def relabel(self, point: Point | None = None) -> None:
        """Give it the selected class; of objects, a new number, or background."""
        label = self._state.brush.value

        def change(sight: Sight, at: Point) -> Change | None:
            return changes.relabelled(sight, at, label)

        self._at(point, change, _NO_OBJECT, "Relabelled")

    def _at(
        self,
        point: Point | None,
        make: Callable[[Sight, Point], Change | None],
        nothing: str,
        done: str,
        is_accepted: bool = False,
    ) -> None:
        sight = self._sight()
        if sight is not None:
            at = point or self._cursor(sight)
            self._do(
                sight,
                lambda: make(sight, at),
                nothing,
                done,
                is_accepted=is_accepted,
            )

    # --- gestures --------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Wait for one of `GESTURES`; the same one again ends the waiting."""
        gesture = GESTURES[name]
        if self.tool.gesture is gesture:
            self.tool.end()
        elif (sight := self._sight()) is not None:
            self.tool.begin(gesture, sight.entry)
            self._say(gesture.hint)

    def _on_book_changed(self) -> None:
        """Give up a gesture on another image, and what was missing and is there now."""
        entry = self._state.book.current
        session = self._state.session
        is_there = {_NO_IMAGE: entry, _NO_LAYER: entry and entry.annotation}
        if is_there.get(session.message) is not None:
            session.unsay()
        if self.tool.entry is not None and (
            entry is not self.tool.entry or entry.annotation is None
        ):
            self.tool.end()

    def _on_copied(self, _entry: AnnotatedImage) -> None:
        """Say no more what was done and is undone."""
        step, session = self._newest, self._state.session
        if step is None or session.message != self._sentence:
            return
        if not step.shares().any():
            session.unsay()
            self._state.renewed.emit()

    def _on_drawn(self, gesture: Gesture, corners: Any) -> None:
        """Do what was drawn; corners (n, ndim) are in pixels of the annotation."""
        sight = self._sight()
        if sight is None:
            return
        if np.prod(np.ptp(corners[:, -2:], axis=0)) > MAX_PART_PX:
            self._say(_TOO_LARGE)
            return
        first, last = _rounded(corners[0]), _rounded(corners[-1])
        if gesture.name == "lasso":
            self._take_lasso(sight, corners)
        elif gesture.name == "split":
            self._do(
                sight, lambda: changes.split(sight, first, last), _NOT_CUT, "Split into"
            )
        elif gesture.name == "merge":
            self._do(
                sight, lambda: changes.merged(sight, first, last), _NOT_TWO, "Merged"
            )
        else:
            getattr(self, gesture.name)(first)

    def _take_lasso(self, sight: Sight, corners: Any) -> None:
        index = _rounded(corners[0])[:-2]
        box, inside = lasso_area(sight, index, corners[:, -2:])
        if not inside.any():
            self._say("The lasso lies outside of the image.")
            return
        self._do(
            sight,
            lambda: in_lasso(sight, box, inside, self.is_over),
            _NOT_HERE,
            "Accepted",
            is_accepted=True,
        )

    # --- all there is ----------------------------------------------------------------

    def accept_plane(self) -> None:
        """Accept the plane; of a large one, or one half predicted, what is in sight."""
        sight, field = self._sight(), self._field()
        if sight is None or field is None:
            return
        box = plane_area(sight, field)
        self._do(
            sight,
            lambda: in_plane(sight, box, self.is_over),
            _NOT_HERE,
            "Accepted",
            is_accepted=True,
        )

    def accept_sure(self) -> None:
        """Accept what is in sight and at least as probable as `threshold`."""
        sight, field = self._sight(), self._field()
        if sight is None or field is None:
            return
        if not self._state.can_learn:
            self._say(self._state.why_not)
            return
        key = sight.entry.key
        self._asked = key, sight.entry.mode, self.threshold
        self._say("Looking up how sure the model is …")
        self._state.live.find_confidence(key, field.middle(MAX_PART_PX))

    def hear(self, found: ConfidenceFound) -> None:
        """Take the answer to `accept_sure`, if it is still wanted."""
        asked, self._asked = self._asked, None
        entry = self._state.book.current
        if asked is None or entry is None or not asked[0] == entry.key == found.key:
            return
        if entry.mode != asked[1]:
            return
        sight = self._sight()
        if sight is None:
            return
        if not np.size(found.labels):
            self._say(_NOTHING)
            return
        self._do(
            sight,
            lambda: which_are_sure(sight, found, asked[2], self.is_over),
            _NOT_HERE,
            "Accepted",
            f"Nothing that is free is as probable as {asked[2]:.2f} in sight.",
            is_accepted=True,
        )

    # --- paint -----------------------------------------------------------------------

    def _do(
        self,
        sight: Sight,
        make: Callable[[], Change | None],
        nothing: str,
        done: str,
        unchanged: str = _HAS_IT,
        *,
        is_accepted: bool = False,
    ) -> None:
        """Work out a change, paint it as one step, and say what was done."""
        try:
            change = make()
        except NapariUnetError as error:
            self._state.warn(str(error))
            return
        if change is None:
            self._say(nothing)
            return
        values = change.over(sight.painted(change.box))
        n_px = self._paint(sight, change, values, is_accepted)
        if not n_px:
            self._say(unchanged)
            return
        what = f"{n_px:,} px"
        if change.n_objects > 1 or (sight.of_objects and change.n_objects):
            what = f"{_objects(change.n_objects)}, {what}"
        self._sentence = f"{done} {what}. {_BACK}{_MORE if change.is_cut else ''}"
        self._say(self._sentence)

    def _paint(
        self, sight: Sight, change: Change, values: Any, is_accepted: bool
    ) -> int:
        where = np.nonzero(values >= 0)
        new = values[where]
        if not len(new):
            return 0
        # half the memory of napari's own in its history of steps
        places = tuple(
            (axis + s.start).astype(np.int32)
            for axis, s in zip(where, change.box, strict=True)
        )
        layer = sight.layer
        self.tally.settle()
        layer.data_setitem(places, new)
        step = self._newest = step_of(layer, places, new, sight.of_objects)
        # Ctrl+Z is the active layer's
        self._state.book.layers.selection.active = layer
        if is_accepted:
            self.tally.add(step)
            with self._state.corrections.accepting():
                self._state.painting.take()
        self.changed.emit()
        return len(new)

    def _say(self, sentence: str) -> None:
        self._state.session.say(sentence)
        self._state.renewed.emit()


def _objects(n: int) -> str:
    return f"{n:,} object{'' if n == 1 else 's'}"


def _rounded(point: Any) -> Point:
    return tuple(int(i) for i in np.floor(np.asarray(point, float) + 0.5))
