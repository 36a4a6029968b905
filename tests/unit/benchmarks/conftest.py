"""Lets tests import the benchmarks, which are in no package."""

import sys
from pathlib import Path

import pytest

FOLDER = str(Path(__file__).parents[3] / "benchmarks")


@pytest.fixture(autouse=True)
def _find_benchmarks():
    sys.path.insert(0, FOLDER)
    yield
    sys.path.remove(FOLDER)
