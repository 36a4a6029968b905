"""Odd images, projects and model files, many of them: used, or refused in a sentence.

    python benchmarks/fuzz.py --cases 2000

The strategies and the checks are those of ``tests/property/test_fuzz.py``. Whatever is
neither used nor refused by one of our errors is listed with its place in the program.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "property"))

import fuzz_cases as cases  # noqa: E402

SHARES = {"images": 0.4, "projects": 0.45, "training files": 0.15}


class Tally:
    """Counts how cases ended; a case after the end of the time is not tried."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.bugs: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], str] = {}

    def take(self, kind: str, check: Callable[[], str], shown: Any) -> None:
        """Try a case, and note how it ended."""
        if time.monotonic() > self.until:
            return
        try:
            self.outcomes[kind, check()] += 1
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [f for f in frames if "napari_unet" in f.filename] or frames
            place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
            bug = kind, f"{type(error).__name__} at {place}: {str(error)[:100]}"
            self.outcomes[kind, "A BUG"] += 1
            self.bugs[bug] += 1
            self.examples.setdefault(bug, repr(shown)[:300])

    def print(self) -> None:
        """Print the counts, then each bug with an example."""
        print("\n| what | how it ended | cases |\n|---|---|---|")
        for (kind, outcome), n in sorted(self.outcomes.items()):
            print(f"| {kind} | {outcome} | {n} |")
        print(f"\n{sum(self.outcomes.values())} cases, {len(self.bugs)} kinds of bugs")
        for bug, n in self.bugs.most_common():
            print(f"{n} x {': '.join(bug)}\n    {self.examples[bug]}")


def main() -> int:
    """Draw cases, try them, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=60.0, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("error")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = Tally(0)
        for kind, share in SHARES.items():
            tally.until = time.monotonic() + 60 * args.minutes * share
            run(kind, round(args.cases * share), args.seed, Path(folder), tally)
    tally.print()
    print(f"in {time.monotonic() - started:.0f} s")
    return int(bool(tally.bugs))


def run(kind: str, n_cases: int, start: int, folder: Path, tally: Tally) -> None:
    """Try so many cases of a kind."""
    many = settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )

    def tried(strategy: Any, take: Callable[[Any], None]) -> None:
        many(seed(start)(given(strategy)(take)))()

    if kind == "images":
        tried(
            cases.scenes(),
            lambda case: tally.take(kind, lambda: cases.check_learner(case), case),
        )
    elif kind == "projects":
        template = folder / "template.unet-project"
        cases.make_project(template)

        def try_project(spoil: Any) -> None:
            what = ["?"]

            def noting(place: Path) -> str:
                what[0] = spoil(place)
                return what[0]

            tally.take(kind, lambda: cases.check_project(template, noting)[1], what)

        tried(cases.projects(), try_project)
    else:
        path = folder / "training.safetensors"
        cases.make_training(path)
        tried(
            cases.trainings(path.read_bytes()),
            lambda case: tally.take(kind, lambda: cases.check_training(case), case),
        )


if __name__ == "__main__":
    sys.exit(main())
