"""Units under the names of napari, ImageJ and OME."""

import pytest

from napari_unet.export.units import imagej_unit, ome_unit, unit_name


@pytest.mark.parametrize(
    "spelling", ["um", "µm", "μm", "\\u00B5m", "micron", "Micrometer"]
)
def test_spellings_of_a_micrometer(spelling):
    assert unit_name(spelling) == "micrometer"
    assert imagej_unit(spelling) == "um"
    assert ome_unit(spelling) == "\u00b5m"


@pytest.mark.parametrize("spelling", [None, "", "pixel", "furlong"])
def test_pixels_and_unknown_units(spelling):
    assert unit_name(spelling) is None
    assert imagej_unit(spelling) == ome_unit(spelling) == "pixel"
