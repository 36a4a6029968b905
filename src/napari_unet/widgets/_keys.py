"""Keys for one viewer, none of which napari 0.9 uses for images and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_unet.widgets._key_choice import choose_keys, keys_of_napari, wanted_keys
from napari_unet.widgets._notify import notify
from napari_unet.widgets._open import open_dock

if TYPE_CHECKING:
    from napari_unet.widgets._state import ViewerState

__all__ = [
    "ACTIONS",
    "DEFAULT_KEYS",
    "KEYS",
    "N_CLASS_KEYS",
    "bind_keys",
    "class_key",
    "key_help",
]


class Action(NamedTuple):
    """What a key does, and which key that is as long as nobody chose another."""

    key: str
    does: str


ACTIONS = {
    "next_class": Action("Q", "next class, or a new object"),
    "complete": Action("R", "draw a complete region of objects"),  # a rectangle
    "between": Action("I", "fill between painted planes"),  # interpolate
    # as players go on with it; N has always made a new layer here
    "uncertain": Action(".", "go to the least sure place"),
    "uncertainty": Action("Shift+H", "show where it is unsure, or not"),  # heat
    "learn": Action("K", "learn / pause"),
    "update_now": Action("U", "update the overlay now"),
    "stop": Action("0", "stop learning and predicting"),  # as on a switch
    "predict": Action("G", "predict the whole image"),
    "export": Action("Shift+E", "export labels"),
    "new": Action("N", "new annotation layer"),
    "next_image": Action("Shift+N", "next unfinished image"),
    "done": Action("Shift+D", "this image is done, or not"),
    "hide": Action("H", "hide the overlay, held"),
    "annotation": Action("J", "hide what you painted, held"),
    "outline": Action("W", "filled overlay / outlines"),
    "accept": Action("A", "accept what the pointer is on"),
    "lasso": Action("Shift+L", "accept what you draw around"),
    "accept_plane": Action("Shift+A", "accept all of the plane"),
    "accept_sure": Action("Shift+C", "accept what is sure enough"),  # confident
    "reject": Action("D", "reject what the pointer is on"),  # discard
    "relabel": Action("Shift+R", "give it the chosen class"),
    "split": Action("S", "split an object: draw a line across"),
    "merge": Action("Shift+M", "merge objects: drag over them"),
    "fill_holes": Action("Shift+F", "fill the holes of an object"),
}
"""Name of the action -> its key. The preferences in `napari.yaml` repeat it."""

DEFAULT_KEYS = {name: action.key for name, action in ACTIONS.items()}

KEYS, KEY_COMPLAINTS = choose_keys(
    DEFAULT_KEYS,
    wanted_keys(),
    keys_of_napari(),
    {name: action.does for name, action in ACTIONS.items()},
)
"""Action -> key, as chosen in napari's preferences before this module was imported; and
a sentence for each choice that cannot be used. Buttons, tips and the help page show
them, and read them here only, so that they cannot differ."""

N_CLASS_KEYS = 9


def class_key(value: int) -> str:
    """Return the key that selects a class, ``""`` beyond the ninth."""
    return f"Ctrl+{value}" if 1 <= value <= N_CLASS_KEYS else ""


def key_help(keys: Mapping[str, str] = KEYS) -> list[tuple[str, str]]:
    """Return (key, what it does) for the help page; napari's own painting keys last."""
    ours = [(keys[name], action.does) for name, action in ACTIONS.items()]
    return [
        *ours[:1],
        (f"Ctrl+1 … {N_CLASS_KEYS}", "paint this class"),
        *ours[1:],
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
    while KEY_COMPLAINTS:  # said once
        notify(KEY_COMPLAINTS.pop(0))

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
        KEYS["update_now"]: lambda _viewer: state.update_now(),
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
