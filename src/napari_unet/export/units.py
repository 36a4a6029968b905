"""Units of length under the names that napari, ImageJ and OME give them.

A table instead of pint, which needs 0.6 s to import.
"""

from __future__ import annotations

__all__ = ["imagej_unit", "ome_unit", "unit_name"]

# napari's name: (ImageJ's name, OME's symbol, further spellings)
_UNITS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "nanometer": ("nm", "nm", ("nanometre", "nanometers", "nanometres")),
    # both Greek letters are in use: the micro sign and the small mu
    "micrometer": (
        "um",
        "\u00b5m",
        (
            "\u03bcm",
            "\\u00b5m",
            "micron",
            "microns",
            "micrometre",
            "micrometers",
            "micrometres",
        ),
    ),
    "millimeter": ("mm", "mm", ("millimetre", "millimeters", "millimetres")),
    "centimeter": ("cm", "cm", ("centimetre", "centimeters", "centimetres")),
    "meter": ("m", "m", ("metre", "meters", "metres")),
    "inch": ("inch", "in", ("inches",)),
}
_NAMES = {
    spelling.lower(): name
    for name, (imagej, ome, others) in _UNITS.items()
    for spelling in (name, imagej, ome, *others)
}


def unit_name(unit: str | None) -> str | None:
    """Return napari's name of a unit of length; None for pixels and unknown units.

    >>> unit_name("um"), unit_name("pixel")
    ('micrometer', None)
    """
    return None if unit is None else _NAMES.get(str(unit).strip().lower())


def imagej_unit(unit: str | None) -> str:
    """Return how ImageJ writes a unit; ``"pixel"`` for an unknown one."""
    name = unit_name(unit)
    return _UNITS[name][0] if name else "pixel"


def ome_unit(unit: str | None) -> str:
    """Return how OME-XML writes a unit; ``"pixel"`` for an unknown one."""
    name = unit_name(unit)
    return _UNITS[name][1] if name else "pixel"
