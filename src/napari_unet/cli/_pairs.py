"""Which annotation belongs to which image: by their names, where those tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_unet.cli._inputs import stem_of
from napari_unet.errors import ConfigError

__all__ = ["paired"]


def paired(
    images: Sequence[Path], annotations: Sequence[Path]
) -> list[tuple[Path, Path | None]]:
    """Return each image with its annotation; None: it has none.

    An annotation has its image's name, or that with something before or behind it, such
    as ``cell-strokes`` of ``cell``. Where all say so, some images may have none, and
    the order does not matter; where names say nothing, the order does.

    Raises
    ------
    ConfigError
        If names contradict the order or each other, or the order cannot tell.
    """
    if not annotations:
        return [(image, None) for image in images]
    stems = [stem_of(image).lower() for image in images]
    owners = [_owner(stem_of(path).lower(), stems) for path in annotations]
    named = [owner for owner in owners if owner is not None]
    if len(named) == len(owners):
        _refuse_twice(images, annotations, named)
        by_image = dict(zip(named, annotations, strict=True))
        return [(image, by_image.get(n)) for n, image in enumerate(images)]
    if len(images) != len(annotations):
        raise ConfigError(
            f"--image names {len(images)} files and --annotation {len(annotations)}, "
            f"and {annotations[owners.index(None)]} is called like none of the images: "
            "each image needs its annotation, in the same order, or called like it"
        )
    for place, owner in enumerate(owners):
        if owner not in (None, place):
            raise ConfigError(
                f"{annotations[place]} is called like {images[owner or 0]}, but stands "
                f"in the order at {images[place]}, and not all names tell whose they "
                "are: put the annotations into the order of the images"
            )
    return list(zip(images, annotations, strict=True))


def _owner(stem: str, stems: Sequence[str]) -> int | None:
    """Return which name an annotation's name contains; None: none, or several."""
    if stem in stems:
        found = [n for n, other in enumerate(stems) if other == stem]
    else:
        fitting = {n: len(s) for n, s in enumerate(stems) if _contains(stem, s)}
        longest = max(fitting.values(), default=0)
        found = [n for n, length in fitting.items() if length == longest]
    return found[0] if len(found) == 1 else None


def _contains(stem: str, part: str) -> bool:
    """Whether a name begins or ends with another, and not within a word or number."""
    rest = ""
    if stem.startswith(part):
        rest = stem[len(part) :][:1]
    elif stem.endswith(part):
        rest = stem[: -len(part)][-1:]
    return bool(rest) and not rest.isalnum()


def _refuse_twice(
    images: Sequence[Path], annotations: Sequence[Path], owners: Sequence[int]
) -> None:
    for place, owner in enumerate(owners):
        first = owners.index(owner)
        if first != place:
            raise ConfigError(
                f"{annotations[first]} and {annotations[place]} are both called like "
                f"{images[owner]}: an image has one annotation"
            )
