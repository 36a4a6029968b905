"""The pages of the reference say what the program says today."""

import re
from importlib import import_module

import pytest

from docs.make_reference import FOLDER, cli_page, examples_page, settings_page

ANEW = "run: python docs/make_reference.py"


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cli.md", cli_page),
        ("examples.md", examples_page),
        ("settings.md", settings_page),
    ],
)
def test_a_page_is_what_the_program_says(name, make):
    assert (FOLDER / name).read_text("utf-8") == make(), ANEW


def test_every_option_has_a_meaning():
    rows = [row for row in cli_page().splitlines() if row.startswith("| `--")]
    assert len(rows) > 100
    assert [row for row in rows if row.rstrip("| ").endswith("`")] == []


def test_bounds_and_choices_are_told():
    page = settings_page()
    assert "| `patch_px` | `128` | from 16 to 1024 in steps of 16 |" in page
    assert '| `dimensions` | `"2d"` | `"2d"`, `"2.5d"`, `"3d"` |' in page


@pytest.mark.parametrize("room", ["napari_unet", "napari_unet.core"])
def test_public_names_are_in_the_reference(room):
    pages = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.md"))
    named = set(re.findall(r"^::: [\w.]+\.(\w+)$", pages, re.MULTILINE))
    settings = set(re.findall(r"^## (\w+)$", pages, re.MULTILINE))
    errors = {"NapariUnetError"}  # with all others of its module
    public = {name for name in import_module(room).__all__ if name[0] != "_"}
    assert public - named - settings - errors == set()
