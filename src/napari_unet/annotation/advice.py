"""What to paint while there is too little to learn from, in words."""

from __future__ import annotations

from collections.abc import Mapping

from napari_unet.annotation.objects import BACKGROUND

__all__ = ["advise_missing_class", "advise_missing_objects", "name_class"]


def name_class(value: int, names: Mapping[int, str]) -> str:
    """Return a class's name for a sentence, in quotes, or its number."""
    if value in names:
        return f"'{names[value]}'"
    return "background (1)" if value == 1 else f"class {value}"


def advise_missing_class(
    values: tuple[int, ...], names: Mapping[int, str] | None = None
) -> str:
    """Return what to paint while fewer than two classes are painted, else ''."""
    if not values:
        return "Nothing is painted yet: paint a stroke on an object and one beside it."
    if values == (1,):
        return "Only background (1) is painted: now paint a stroke on an object (2)."
    if len(values) == 1:
        return (
            f"Only {name_class(values[0], names or {})} is painted: now paint a stroke "
            "of another class, such as background (1)."
        )
    return ""


def advise_missing_objects(values: tuple[int, ...], is_filled: bool) -> str:
    """Return what to paint until objects can be told from what is around them.

    ``values`` are targets; ``is_filled`` tells whether all objects of a region are
    painted.
    """
    if not values:
        return (
            "Nothing is painted yet: paint a whole object, and some background (1) "
            "beside it."
        )
    if values == (BACKGROUND,):
        return (
            "Only background (1) is painted: now paint a whole object, each with a "
            "number of its own (2 and up)."
        )
    if BACKGROUND not in values and not (is_filled and len(values) == 2):
        return (
            "Only objects are painted: paint background (1), or declare a region "
            "complete."
        )
    return ""
