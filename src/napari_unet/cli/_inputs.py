"""The images that ``--image`` names: files, zarr folders, patterns, whole folders."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from napari_unet.errors import FileError

__all__ = ["find_images", "stem_of"]

# what `predict` puts behind an image's name
_ENDINGS = ("-labels", "-probabilities", "-objects")


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the images that are meant, in the order given; those of a folder sorted.

    Of a folder the readable images that lie in it directly are taken, without hidden
    files and without what `predict` made of others of them. A name with ``*``, ``?`` or
    ``[]`` that is no file is a pattern.

    Raises
    ------
    FileError
        If a folder holds no image, nothing fits a pattern, or it is an address.
    """
    from napari_unet.cli._zarr import is_zarr

    found: list[Path] = []
    for path in paths:
        _refuse_address(path)
        if path.is_dir() and not is_zarr(path):
            found += _images_in(path)
        elif not path.exists() and glob.has_magic(str(path)):
            found += _matching(path)
        else:
            found.append(path)  # what is missing is told of by who reads it
    return found


def _refuse_address(path: Path) -> None:
    # a Path has made one slash of two
    scheme, colon, rest = path.as_posix().partition(":/")
    if colon and len(scheme) > 1 and "/" not in scheme and not path.exists():
        raise FileError(
            f"{scheme}://{rest.lstrip('/')} is an address, and only files and folders "
            "are read: download it"
        )


def stem_of(image: Path) -> str:
    """Return an image's name without suffix, ``.ome`` included."""
    stem = image.stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def _images_in(folder: Path) -> list[Path]:
    """Return the images of a folder."""
    from napari_unet.cli._read import SUFFIXES

    try:
        files = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise FileError(f"{folder} cannot be read: {error.strerror}") from error
    images = [path for path in files if _looks_readable(path)]
    stems = {stem_of(path) for path in images}
    images = [path for path in images if not _is_result(path, stems)]
    if not images:
        raise FileError(
            f"the folder {folder} holds no image; {', '.join(SUFFIXES)} and zarr "
            "folders can be read"
        )
    return images


def _matching(pattern: Path) -> list[Path]:
    """Return what fits a pattern that the shell did not replace."""
    found = [Path(name) for name in sorted(glob.glob(str(pattern)))]
    if not found:
        raise FileError(f"there is no file that fits {pattern}")
    return found


def _looks_readable(path: Path) -> bool:
    from napari_unet.cli._read import SUFFIXES
    from napari_unet.cli._zarr import is_zarr

    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in SUFFIXES


def _is_result(path: Path, stems: set[str]) -> bool:
    """Whether it is what `predict` makes of an image beside it."""
    stem = stem_of(path)
    return any(
        stem.endswith(ending) and stem.removesuffix(ending) in stems
        for ending in _ENDINGS
    )
