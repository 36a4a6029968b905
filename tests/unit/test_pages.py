"""The pages for people: every relative link leads somewhere, pictures are shown."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]


def links(page):
    text = page.read_text(encoding="utf-8")
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    local = [link.partition("#")[0] for link in links(page) if "://" not in link]
    missing = [name for name in local if name and not (page.parent / name).exists()]
    assert missing == []


def test_the_first_page_shows_the_dock_and_names_the_measurements():
    found = links(ROOT / "README.md")
    assert found.index("docs/images/learning-dark.png") < 3
    assert "docs/benchmarks.md" in found


def test_the_script_for_annotations_is_that_of_each_project():
    from napari_unet.project._folder import README

    text = (ROOT / "docs" / "projects.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for line in README.splitlines() if line.startswith("    ")]
    # a page is formatted like a program, with a blank line behind the imports
    assert [line for line in shown.splitlines() if line] == [line[4:] for line in lines]


def test_each_page_of_the_site_is_in_its_navigation():
    def pages_of(entry):
        if isinstance(entry, str):
            return [entry]
        entries = entry.values() if isinstance(entry, dict) else entry
        return [page for inner in entries for page in pages_of(inner)]

    docs = ROOT / "docs"
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    found = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert set(pages_of(site["nav"])) == found
