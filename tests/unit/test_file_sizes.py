"""No file grows until nobody reads it."""

from pathlib import Path

MOST_LINES = 400
SOURCE = Path(__file__).parents[2] / "src"


def test_no_file_is_longer_than_it_may_be():
    sizes = {
        str(path.relative_to(SOURCE)): len(path.read_text("utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
    }
    assert len(sizes) > 200
    assert {name: n for name, n in sizes.items() if n > MOST_LINES} == {}
