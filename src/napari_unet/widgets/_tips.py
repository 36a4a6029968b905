"""The one sentence that says what to do next."""

from __future__ import annotations

from napari_unet.widgets._keys import KEYS, class_key
from napari_unet.widgets._state import ViewerState

__all__ = ["tip_text"]


def tip_text(state: ViewerState) -> str:
    """Return what to do next; '' without an image."""
    entry = state.book.current
    if entry is None:
        return ""  # the empty section says it
    of_objects = state.mode == "objects"
    if entry.annotation is None:
        what = "objects" if of_objects else "strokes"
        return f"Press New to make a layer for your {what}."
    first = _first_objects(state) if of_objects else _first_strokes(state)
    if first:
        return first
    if state.session.advice:
        return state.session.advice
    if state.session.overlay_time_s is None:
        return "Preparing the first overlay; go on painting."
    if state.overlay.is_middle:
        return (
            "So much is in sight that the overlay follows the middle alone: zoom in, "
            "or press 'Predict whole image'."
        )
    if of_objects:
        return "Where the overlay is wrong, paint that object whole, or background."
    return "Where the overlay is wrong, paint a stroke of the right class."


def _first_strokes(state: ViewerState) -> str:
    """Return what to paint before anything can be learned."""
    painted = [c for c in state.classes if c.n_px]
    missing = [c.name for c in state.classes if not c.n_px]
    if not painted:
        return "Paint a short stroke inside an object, then one on the background."
    if len(painted) == 1 and missing:
        return (
            f"Now paint a stroke of '{missing[0]}': the overlay then comes by itself."
        )
    return ""


def _first_objects(state: ViewerState) -> str:
    """Return the same for objects: some, touching ones first, then what is around."""
    background, objects = state.classes
    if not objects.n_px:
        return "Paint one object whole: brush (2), or its outline as a polygon (3)."
    if state.can_learn:
        return ""
    if objects.n_strokes == 1 and not background.n_px:
        return (
            f"Press {KEYS['next_class']} and paint the next object whole: best one "
            "that touches it."
        )
    return (
        f"Now some background ({class_key(1)}), or a complete region "
        f"({KEYS['complete']}) around objects that are all painted."
    )
