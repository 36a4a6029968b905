"""Every call of the command line that a page shows is one that it takes."""

import re
import shlex
from pathlib import Path

import pytest

from napari_unet.cli._main import build_parser

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
CALL = re.compile(r"(?:^|-m |\$ |^ssh server )napari[-_]unet(?:\.cli)? (.*)")


def calls():
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                found = CALL.search(line.partition("  #")[0].partition(" > ")[0])
                # no pattern, as the reference has, and not what lists and ends
                if found and not re.search(r"\[|--formats", found[1]):
                    yield pytest.param(found[1], id=f"{page.name}: {found[1]}")


def test_there_are_calls():
    assert len(list(calls())) > 20


@pytest.mark.parametrize("call", list(calls()))
def test_a_call_is_understood(call):
    build_parser().parse_args(shlex.split(call, comments=True))
