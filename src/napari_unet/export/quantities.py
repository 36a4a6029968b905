"""What can be measured of an object: names, units, and how."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import ConfigError
from napari_unet.export.crofton import border_size

__all__ = ["QUANTITIES", "Quantity", "Region", "chosen_quantities"]


@dataclass(frozen=True, eq=False)
class Region:
    """One object.

    Attributes
    ----------
    mask
        Its pixels within its bounding box, (Y, X) or (Z, Y, X).
    start
        Corner of the box in the frame, px.
    frame_shape
        Shape of the frame, px.
    scale
        World units per pixel along the axes of ``mask``.
    values
        Its pixels in the image, (C, n_pixels), float64.
    """

    mask: NDArray[np.bool_]
    start: tuple[int, ...]
    frame_shape: tuple[int, ...]
    scale: tuple[float, ...]
    values: NDArray[np.float64]

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """World coordinates of its pixels within its box, (n_pixels, n_axes)."""
        places: NDArray[np.float64] = np.argwhere(self.mask) * np.array(self.scale)
        return places

    @cached_property
    def n_pixels(self) -> int:
        """How many pixels it has."""
        return int(np.count_nonzero(self.mask))

    @property
    def size(self) -> float:
        """Area or volume."""
        return self.n_pixels * abs(math.prod(self.scale))

    @cached_property
    def variances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Variances along its own axes, the longest first, and these as columns.

        A pixel is not a point: its own extent counts, so that one pixel has a length.
        """
        away = self.places - self.places.mean(axis=0)
        spread = away.T @ away / self.n_pixels + np.diag(np.square(self.scale)) / 12
        values, vectors = np.linalg.eigh(spread)
        return values[::-1].clip(min=0), vectors[:, ::-1]


@dataclass(frozen=True)
class Quantity:
    """A quantity, which fills one column or several.

    Attributes
    ----------
    name
        What people choose it by.
    meaning
        What it says.
    measure
        Gives one number per column.
    parts
        The columns' headings without unit, for so many axes; None: the name. One that
        is measured of the image has as many numbers as there are channels.
    unit
        ``"length"``, ``"size"`` (area or volume), ``"area"``, or one that stands as it
        is, such as ``"px"``.
    n_axes
        Of which objects there is such a thing: areas (2), volumes (3).
    is_whole
        Whether the numbers are whole.
    is_slow
        Whether it is only measured when asked for, in volumes.
    """

    name: str
    meaning: str
    measure: Callable[[Region], Sequence[float]]
    parts: Callable[[int], Sequence[str]] | None = None
    unit: str = ""
    n_axes: tuple[int, ...] = (2, 3)
    is_whole: bool = False
    is_slow: bool = False
    needs_image: bool = False

    def headings(self, n_axes: int) -> list[str]:
        """Return the columns' headings, without units and channels."""
        return [self.name] if self.parts is None else list(self.parts(n_axes))


def chosen_quantities(
    names: Sequence[str] | None, n_axes: int, *, has_image: bool
) -> list[Quantity]:
    """Return quantities by name, in their usual order.

    Parameters
    ----------
    names
        None: all that are quickly measured of such objects. ``["all"]``: the slow ones
        too.
    n_axes
        2 for areas, 3 for volumes.
    has_image
        Whether there is an image to measure intensities of.

    Raises
    ------
    ConfigError
        If a name is unknown, not defined for so many axes, or needs an image.
    """
    ours = [
        q for q in QUANTITIES if n_axes in q.n_axes and (has_image or not q.needs_image)
    ]
    if names is None:
        return [q for q in ours if not (q.is_slow and n_axes == 3)]
    if list(names) == ["all"]:
        return ours
    known = {quantity.name: quantity for quantity in QUANTITIES}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no column '{name}'; choose of {', '.join(known)}"
            )
        if n_axes not in known[name].n_axes:
            kind, others = ("areas", "volumes") if n_axes == 2 else ("volumes", "areas")
            can = ", ".join(q.name for q in ours)
            raise ConfigError(
                f"'{name}' is measured of {others}, but these objects are {kind}; "
                f"choose of {can}"
            )
        if known[name].needs_image and not has_image:
            raise ConfigError(f"'{name}' is measured of an image: give that as well")
    return [quantity for quantity in ours if quantity.name in names]


def _per_axis(*stems: str) -> Callable[[int], list[str]]:
    """Return headings with the letter of each axis in the place of ``*``."""
    return lambda n: [s.replace("*", a) for s in stems for a in "zyx"[-n:]]


def _centroid(region: Region) -> list[float]:
    middle = region.places.mean(axis=0) + np.multiply(region.start, region.scale)
    return [float(value) for value in middle]


def _box(region: Region) -> list[float]:
    ends = [a + n for a, n in zip(region.start, region.mask.shape, strict=True)]
    return [*region.start, *ends]


def _touches(region: Region) -> list[float]:
    ends = zip(region.start, region.mask.shape, region.frame_shape, strict=True)
    # of a single plane, every object touches both ends: that says nothing
    return [any(n > 1 and (a == 0 or a + m == n) for a, m, n in ends)]


def _equivalent_diameter(region: Region) -> list[float]:
    if region.mask.ndim == 2:
        return [2 * math.sqrt(region.size / math.pi)]
    return [float(np.cbrt(6 * region.size / math.pi))]


def _axis_lengths(region: Region) -> list[float]:
    """Axes of the ellipse or ellipsoid that has the same variances."""
    n_axes = region.mask.ndim
    return [2 * math.sqrt((n_axes + 2) * v) for v in region.variances[0]]


def _eccentricity(region: Region) -> list[float]:
    longest, shortest = region.variances[0]
    return [math.sqrt(max(0.0, 1 - shortest / longest))]


def _orientation(region: Region) -> list[float]:
    values, vectors = region.variances
    axis = vectors[:, 0]
    if values[0] - values[1] <= 1e-9 * values[0]:  # as long in another direction
        return [math.nan] * (1 if len(axis) == 2 else 3)
    if len(axis) == 2:
        # rows count downwards
        return [math.degrees(math.atan2(-axis[0], axis[1])) % 180]
    sign = np.sign(axis[np.argmax(np.abs(axis))])
    return [float(part) for part in axis * sign]


def _solidity(region: Region) -> list[float]:
    if region.n_pixels < 3:
        return [1.0]
    return [region.n_pixels / _n_of_hull(region.mask)]


def _n_of_hull(mask: NDArray[np.bool_]) -> int:
    from skimage.morphology import convex_hull_image

    return int(np.count_nonzero(convex_hull_image(mask)))  # type: ignore[no-untyped-call]


def _of_values(function: Any) -> Callable[[Region], list[float]]:
    """Return what applies a NumPy function to each channel."""
    return lambda region: function(region.values, axis=1).tolist()


QUANTITIES = (
    Quantity(
        "n_pixels",
        "Pixels of the object.",
        lambda region: [region.n_pixels],
        is_whole=True,
    ),
    Quantity("area", "Area.", lambda region: [region.size], unit="size", n_axes=(2,)),
    Quantity(
        "volume", "Volume.", lambda region: [region.size], unit="size", n_axes=(3,)
    ),
    Quantity(
        "centroid",
        "Mean place of the pixels; the centre of the first pixel is at 0.",
        _centroid,
        _per_axis("centroid_*"),
        unit="length",
    ),
    Quantity(
        "bbox",
        "Bounding box: first pixel, and the one behind the last.",
        _box,
        _per_axis("bbox_*_start", "bbox_*_stop"),
        unit="px",
        is_whole=True,
    ),
    Quantity(
        "touches_border",
        "1 where the object reaches the border of the image and may go on there.",
        _touches,
        is_whole=True,
    ),
    Quantity(
        "equivalent_diameter",
        "Diameter of the circle of that area, or of the ball of that volume.",
        _equivalent_diameter,
        unit="length",
    ),
    Quantity(
        "axis_lengths",
        "Axes of the ellipse or ellipsoid with the same second moments.",
        _axis_lengths,
        lambda n: [
            f"axis_{name}_length"
            for name in (("major", "minor") if n == 2 else ("major", "middle", "minor"))
        ],
        unit="length",
    ),
    Quantity(
        "eccentricity",
        "0 for a circle, towards 1 the longer the ellipse.",
        _eccentricity,
        n_axes=(2,),
    ),
    Quantity(
        "solidity",
        "Pixels of the object by those of its convex hull.",
        _solidity,
        is_slow=True,
    ),
    Quantity(
        "perimeter",
        "Length of the border, by Crofton's formula; that of holes counts.",
        lambda region: [border_size(region.mask, region.scale)],
        unit="length",
        n_axes=(2,),
    ),
    Quantity(
        "surface_area",
        "Area of the surface, by Crofton's formula; that of holes counts.",
        lambda region: [border_size(region.mask, region.scale)],
        unit="area",
        n_axes=(3,),
    ),
    Quantity(
        "orientation",
        "Of the longest axis: degrees from the x axis, counter-clockwise, 0 to 180; "
        "in a volume, the unit vector along it. Empty where no axis is the longest.",
        _orientation,
        lambda n: ["orientation"] if n == 2 else _per_axis("orientation_*")(n),
        unit="direction",
    ),
    *(
        Quantity(
            f"intensity_{name}",
            f"{what} of the image's values in the object.",
            _of_values(function),
            needs_image=True,
        )
        for name, what, function in (
            ("mean", "Mean", np.mean),
            ("min", "Lowest", np.min),
            ("max", "Highest", np.max),
            ("std", "Standard deviation", np.std),
            ("sum", "Sum", np.sum),
        )
    ),
)
"""All that can be measured of objects, in the order of the table."""
