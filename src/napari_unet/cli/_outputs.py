"""The files that ``predict`` writes: where they go, and which are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_unet.cli._files import refuse_overwriting
from napari_unet.cli._inputs import stem_of
from napari_unet.errors import ConfigError

__all__ = ["Outputs", "is_one_file", "plan_outputs"]


@dataclass(frozen=True)
class Outputs:
    """What is made of one image; None: not asked for."""

    labels: Path
    probabilities: Path | None = None
    objects: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """All that are asked for, the labels first."""
        found = (self.labels, self.probabilities, self.objects)
        return [path for path in found if path is not None]

    @property
    def files(self) -> list[Path]:
        """Those of them that lie in no other: files, and whole stores."""
        return [path for path in self.paths if self.labels not in path.parents]

    @property
    def is_zarr(self) -> bool:
        """Whether they are OME-Zarr stores, that can be written tile by tile."""
        return self.labels.suffix.lower() == ".zarr"

    @property
    def are_there(self) -> bool:
        """Whether all are there: a file is written as a whole or not at all."""
        from napari_unet.export import is_complete

        return all(
            is_complete(path) if self.is_zarr else path.is_file() for path in self.paths
        )


def plan_outputs(
    images: Sequence[Path],
    out: str,
    model: Path,
    *,
    with_probabilities: bool = False,
    with_objects: bool = False,
    in_store: bool = True,
    folder_format: str | None = None,
    stems: Sequence[str] | None = None,
) -> list[Outputs]:
    """Return what is made of each image.

    ``folder_format`` is ``"tif"`` (None too) or ``"zarr"``: what a folder gets. Objects
    go into a store of labels, or, unless ``in_store``, into one beside it. ``stems``
    are how files in a folder begin; None: as the images are called.

    Raises
    ------
    ConfigError
        If two images would go to one file, or several to a file.
    FileError
        If anything would overwrite an image or the model, or labels cannot be written
        to a file of that suffix.
    """
    from napari_unet.export import check_label_suffix

    if is_one_file(out, len(images)):
        if folder_format is not None:
            raise ConfigError(
                f"--format {folder_format} is for a folder of results; --out {out} is "
                "one file, whose suffix says it"
            )
        paths = [Path(out)]
    else:
        suffix = folder_format or "tif"
        stems = stems or [stem_of(image) for image in images]
        paths = [Path(out) / f"{stem}-labels.{suffix}" for stem in stems]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ConfigError(
            f"two of the images would be written to {twice}: give them different "
            "names, or call the command for each"
        )
    outputs = [
        _outputs(path, with_probabilities, with_objects, in_store) for path in paths
    ]
    refuse_overwriting([p for each in outputs for p in each.paths], [*images, model])
    for path in paths:
        check_label_suffix(path)
    return outputs


def is_one_file(out: str, n_images: int) -> bool:
    """Whether ``--out`` names a file (or store); refuse one for several images."""
    path = Path(out)
    # a store is a folder, and shells put a slash behind its name
    is_store = path.suffix.lower() == ".zarr"
    is_folder = path.is_dir() or out.endswith(("/", "\\")) or not path.suffix
    if is_folder and not is_store:
        return False
    if n_images > 1:
        advice = ", with --format zarr" if is_store else ""
        raise ConfigError(
            f"--out {out} is one file for {n_images} images; name a folder{advice}"
        )
    return True


def _outputs(
    labels: Path, with_probabilities: bool, with_objects: bool, in_store: bool
) -> Outputs:
    from napari_unet.export import objects_path

    stem = labels.stem.removesuffix("-labels")
    is_zarr = labels.suffix.lower() == ".zarr"
    suffix = labels.suffix if is_zarr else ".tif"
    probabilities = labels.with_name(f"{stem}-probabilities{suffix}")
    objects = labels.with_name(f"{stem}-objects{labels.suffix}")
    if is_zarr and in_store:
        objects = objects_path(labels)
    return Outputs(
        labels,
        probabilities if with_probabilities else None,
        objects if with_objects else None,
    )
