"""Scale and unit of measurements, and how headings name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_unet.errors import ImageError
from napari_unet.export.units import imagej_unit, unit_name

__all__ = ["FrameScale", "frame_scale"]


@dataclass(frozen=True)
class FrameScale:
    """World units per pixel of a frame.

    Attributes
    ----------
    steps
        One positive number per axis, YX or ZYX.
    unit
        As headings have it: ``"um"``, ...; ``"px"`` where nothing is known, and
        ``"world"`` where there is a scale but no unit.
    """

    steps: tuple[float, ...]
    unit: str

    def unit_of(self, kind: str) -> str:
        """Return the unit of a quantity of that kind; see `Quantity.unit`."""
        n_axes = len(self.steps)
        powers = {"length": "", "area": "2", "size": str(n_axes)}
        if kind in powers:
            return self.unit + powers[kind]
        if kind == "direction":
            return "deg" if n_axes == 2 else ""
        return kind


def frame_scale(
    axes: str, frame_axes: str, scale: Sequence[float] | None, unit: str | None
) -> FrameScale:
    """Return what a pixel of a frame is in the world.

    Parameters
    ----------
    axes
        Of the labels, such as TZYX.
    frame_axes
        The last two or three of them.
    scale
        World units per pixel: one number for all axes, one per spatial axis (ZYX), or
        one per axis of the labels. None: not known.
    unit
        Such as ``"micrometer"`` or ``"um"``.

    Raises
    ------
    ImageError
        If there are not so many numbers, or one is 0 or not finite.
    """
    spatial = axes.replace("T", "")
    if scale is None:
        return FrameScale((1.0,) * len(frame_axes), "px")
    steps = [float(step) for step in scale]
    if len(steps) == 1:
        steps *= len(axes)
    elif len(steps) == len(spatial):
        steps = [1.0] * (len(axes) - len(spatial)) + steps
    if len(steps) != len(axes):
        raise ImageError(
            f"the scale {tuple(scale)} has {len(scale)} numbers; give one for all "
            f"axes, or one for each of {spatial}"
        )
    steps = [abs(step) for step in steps[-len(frame_axes) :]]
    if not all(np.isfinite(step) and step > 0 for step in steps):
        raise ImageError(f"the scale {tuple(scale)} must be finite and not 0")
    return FrameScale(tuple(steps), _heading_unit(steps, unit))


def _heading_unit(steps: Sequence[float], unit: str | None) -> str:
    if unit_name(unit) is not None:
        return imagej_unit(unit)
    plain = "" if unit is None else str(unit).strip()
    if plain and not plain.lower().startswith("pixel"):
        return plain.replace(" ", "_")  # one that we have no symbol for
    return "px" if all(step == 1 for step in steps) else "world"
