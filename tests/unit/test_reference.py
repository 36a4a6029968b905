"""The pages of the reference say what the program says today."""

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
