"""Volumes with complete truth, strokes in three of their planes, and a 3D forest."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import hessian_matrix_eigvals
from skimage.segmentation import find_boundaries
from sklearn.ensemble import RandomForestClassifier

from napari_unet.annotation.simulate import simulate_strokes

__all__ = ["Volume", "list_volumes", "paint", "predict_forest", "read_volume"]

_SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, eq=False)
class Volume:
    """Pixels and truth (Z, Y, X), from 1 up; ``anisotropy`` is None where unknown."""

    image: NDArray[Any]
    truth: NDArray[np.uint8]
    anisotropy: float | None

    @property
    def planes(self) -> list[int]:
        """The planes at a quarter, half and three quarters, which are painted."""
        n = len(self.image)
        return [n // 4, n // 2, 3 * n // 4]

    @property
    def scale(self) -> tuple[float, float, float] | None:
        """Size of a voxel, in pixels."""
        return (self.anisotropy, 1.0, 1.0) if self.anisotropy else None


def list_volumes(folder: Path) -> dict[str, dict[str, str]]:
    """Return the first volume with complete truth of each set of the manifest."""
    found: dict[str, dict[str, str]] = {}
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["axes"] == "ZYX" and line["kind"] in ("instance", "semantic"):
                found.setdefault(line["set"], line)
    return found


def read_volume(folder: Path, line: dict[str, str], window_px: int) -> Volume:
    """Read a volume, cut to a central window where y or x is longer.

    Of objects on a ground the classes are ground (1) and object (2), of objects that
    fill everything, inside (1) and wall (2): the voxels on both sides of a boundary.
    """
    folder, name = folder / line["set"], f"{line['name']}.tif"
    image, labels = (
        tifffile.imread(folder / part / name) for part in ("images", "labels")
    )
    if line["kind"] == "semantic":
        truth = labels + 1
    elif (labels == 0).mean() > 0.01:  # less is what was left over
        truth = (labels > 0) + 1
    else:
        truth = find_boundaries(labels, mode="thick") + 1
    starts = [max(0, (n - window_px) // 2) for n in image.shape[1:]]
    where = (slice(None), *(slice(start, start + window_px) for start in starts))
    return Volume(
        image[where], truth[where].astype(np.uint8), _anisotropy(line["pixel_size"])
    )


def _anisotropy(text: str) -> float | None:
    """Return the first over the last of the numbers in a pixel size: z over x."""
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
    return numbers[0] / numbers[-1] if len(numbers) >= 3 else None


def paint(volume: Volume, n_strokes: int, seed: int) -> NDArray[np.uint8]:
    """Paint so many strokes of each class in each of the three planes."""
    annotation = np.zeros_like(volume.truth)
    for number, plane in enumerate(volume.planes):
        strokes = simulate_strokes(volume.truth[plane], n_strokes, 10 * seed + number)
        annotation[plane] = strokes
    return annotation


def predict_forest(
    volume: Volume, annotation: NDArray[np.uint8], seed: int
) -> NDArray[np.integer]:
    """Label a volume by a random forest on 3D filters, learned from strokes."""
    features = _filters_3d(volume)
    painted = annotation > 0
    forest = RandomForestClassifier(100, max_depth=12, random_state=seed, n_jobs=1)
    forest.set_params(class_weight="balanced")
    forest.fit(features[:, painted].T, annotation[painted])
    labels = np.empty(volume.truth.shape, annotation.dtype)
    for plane, out in enumerate(labels):
        flat = features[:, plane].reshape(len(features), -1).T
        out[:] = forest.predict(flat).reshape(out.shape)
    return labels


def _filters_3d(volume: Volume) -> NDArray[np.float32]:
    """Return intensity, edges and curvatures at several scales, shape (G, Z, Y, X).

    As `skimage.feature.multiscale_basic_features` has them, but of round Gaussians in
    the volume's own proportions.
    """
    image = volume.image.astype(np.float32)
    image = (image - image.mean()) / image.std()
    depth = volume.anisotropy or 1.0
    features = [image]
    for sigma in _SIGMAS_PX:
        smooth = ndimage.gaussian_filter(image, (sigma / depth, sigma, sigma))
        slopes = np.gradient(smooth, depth, 1.0, 1.0)
        curvatures = [
            np.gradient(slope, *((depth, 1.0, 1.0)[axis],), axis=axis)
            for first, slope in enumerate(slopes)
            for axis in range(first, 3)
        ]
        edges = np.sqrt(sum(slope**2 for slope in slopes))
        features += [smooth, edges, *hessian_matrix_eigvals(curvatures)]
    return np.stack(features).astype(np.float32)
