"""Keys for one viewer, none of which napari 0.9 uses for images and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from napari_unet.widgets._open import open_dock

if TYPE_CHECKING:
    from napari_unet.widgets._state import ViewerState

__all__ = ["KEYS", "N_CLASS_KEYS", "bind_keys", "class_key", "key_help"]

KEYS = {
    "next_class": "Q",
    "complete": "R",  # as in napari: a rectangle
    "learn": "K",
    "update": "U",
    "stop": "0",  # as on a switch
    "predict": "G",
    "export": "Shift+E",
    "new": "N",
    "between": "I",  # as in interpolate
    "uncertain": ".",  # as players go on with it; N has always made a new layer here
    "uncertainty": "Shift+H",  # as in heat
    "next_image": "Shift+N",
    "done": "Shift+D",
    "hide": "H",
    "outline": "W",
    "annotation": "J",
    "accept": "A",
    "lasso": "Shift+L",
    "accept_plane": "Shift+A",
    "accept_sure": "Shift+C",  # as in confident
    "reject": "D",  # as in discard
    "split": "S",
    "merge": "Shift+M",
    "fill_holes": "Shift+F",
    "relabel": "Shift+R",
}
"""Action -> key. Shown on the buttons; here only, so that they cannot differ."""

N_CLASS_KEYS = 9


def class_key(value: int) -> str:
    """Return the key that selects a class, ``""`` beyond the ninth."""
    return f"Ctrl+{value}" if 1 <= value <= N_CLASS_KEYS else ""


def key_help() -> list[tuple[str, str]]:
    """Return (key, what it does) for the help page; napari's own painting keys last."""
    return [
        (KEYS["next_class"], "next class, or a new object"),
        (f"Ctrl+1 … {N_CLASS_KEYS}", "paint this class"),
        (KEYS["complete"], "draw a complete region of objects"),
        (KEYS["between"], "fill between painted planes"),
        (KEYS["uncertain"], "go to the least sure place"),
        (KEYS["uncertainty"], "show where it is unsure, or not"),
        (KEYS["learn"], "learn / pause"),
        (KEYS["update"], "update the overlay now"),
        (KEYS["stop"], "stop learning and predicting"),
        (KEYS["predict"], "predict the whole image"),
        (KEYS["export"], "export labels"),
        (KEYS["new"], "new annotation layer"),
        (KEYS["next_image"], "next unfinished image"),
        (KEYS["done"], "this image is done, or not"),
        (KEYS["hide"], "hide the overlay, held"),
        (KEYS["annotation"], "hide what you painted, held"),
        (KEYS["outline"], "filled overlay / outlines"),
        (KEYS["accept"], "accept what the pointer is on"),
        (KEYS["lasso"], "accept what you draw around"),
        (KEYS["accept_plane"], "accept all of the plane"),
        (KEYS["accept_sure"], "accept what is sure enough"),
        (KEYS["reject"], "reject what the pointer is on"),
        (KEYS["relabel"], "give it the chosen class"),
        (KEYS["split"], "split an object: draw a line across"),
        (KEYS["merge"], "merge objects: drag over them"),
        (KEYS["fill_holes"], "fill the holes of an object"),
        ("2  3  4  1  6", "brush, polygon, fill, erase, pan"),
        ("[  ]", "smaller, larger brush"),
        ("Ctrl+Z", "undo a stroke"),
    ]


def _selects(state: ViewerState, value: int) -> Callable[[Any], None]:
    """Return a function; napari asks each for its name, which a partial lacks."""

    def select(_viewer: Any) -> None:
        state.brush.select(value)

    return select


def bind_keys(viewer: Any, state: ViewerState) -> Callable[[], None]:
    """Bind the keys on one viewer; return a function that gives them back."""

    def hold_overlay(_viewer: Any) -> Iterator[None]:
        state.overlay.hide()
        yield
        state.overlay.unhide()

    def hold_annotation(_viewer: Any) -> Iterator[None]:
        state.brush.hide_strokes(True)
        yield
        state.brush.hide_strokes(False)

    actions: dict[str, Callable[[Any], Any]] = {
        KEYS["next_class"]: lambda _viewer: state.brush.select_next(),
        KEYS["complete"]: lambda _viewer: state.book.complete_region(),
        KEYS["between"]: lambda _viewer: state.fill_between(),
        KEYS["uncertain"]: lambda _viewer: state.next_uncertain(),
        KEYS["uncertainty"]: lambda _viewer: state.guide.toggle_uncertainty(),
        KEYS["learn"]: lambda _viewer: state.toggle_learning(),
        KEYS["update"]: lambda _viewer: state.update_now(),
        KEYS["stop"]: lambda _viewer: state.stop(),
        KEYS["predict"]: lambda _viewer: state.predict_all(),
        KEYS["export"]: lambda viewer: open_dock(viewer, "Export labels"),
        KEYS["new"]: lambda _viewer: state.book.new_annotation(),
        KEYS["next_image"]: lambda _viewer: state.opener.open_next(),
        KEYS["done"]: lambda _viewer: state.opener.toggle_done(),
        KEYS["outline"]: lambda _viewer: state.overlay.toggle_outline(),
        KEYS["hide"]: hold_overlay,
        KEYS["annotation"]: hold_annotation,
        KEYS["accept"]: lambda _viewer: state.proofread.accept(),
        KEYS["lasso"]: lambda _viewer: state.proofread.begin("lasso"),
        KEYS["accept_plane"]: lambda _viewer: state.proofread.accept_plane(),
        KEYS["accept_sure"]: lambda _viewer: state.proofread.accept_sure(),
        KEYS["reject"]: lambda _viewer: state.proofread.reject(),
        KEYS["split"]: lambda _viewer: state.proofread.begin("split"),
        KEYS["merge"]: lambda _viewer: state.proofread.begin("merge"),
        KEYS["fill_holes"]: lambda _viewer: state.proofread.fill_holes(),
        KEYS["relabel"]: lambda _viewer: state.proofread.relabel(),
    }
    for value in range(1, N_CLASS_KEYS + 1):
        actions[f"Control-{value}"] = _selects(state, value)
    # what a script had bound comes back afterwards
    before = {
        key: viewer.bind_key(key, action, overwrite=True)
        for key, action in actions.items()
    }

    def release() -> None:
        for key, earlier in before.items():
            ours = viewer.bind_key(key, earlier, overwrite=True)
            if ours is not actions[key]:  # bound anew while we were there: it stays
                viewer.bind_key(key, ours, overwrite=True)

    return release
