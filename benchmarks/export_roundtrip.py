"""Exports read back by other libraries: which pixels, classes and colours stay.

    python benchmarks/export_roundtrip.py --objects FILE --classes FILE \
        --markdown docs/export.md

Files are label images of one plane; without them, the bundled sample is taken. Values
of classes move up by one, because 0 means unlabelled and 1 is the background.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _export_readers import READERS, Back
from numpy.typing import NDArray

from napari_unet.cli._read import read_labels
from napari_unet.export import FORMATS, class_colour, export_job
from napari_unet.jobs import finish
from napari_unet.sample import load_sample

SCALE = (0.5, 0.25)
NAMES = {1: "background", 2: "first class", 3: "second class", 4: "third class"}
TABLE = "<!-- export_roundtrip -->"


@dataclass(frozen=True)
class Case:
    """Labels that are exported."""

    kind: str
    source: str
    labels: NDArray[Any]
    class_labels: NDArray[Any] | None = None

    @property
    def class_of(self) -> dict[int, int]:
        """Class of each value but the background."""
        values = [int(v) for v in np.unique(self.labels) if v]
        if self.class_labels is None:
            return {value: value for value in values if value != 1}
        kinds = self.class_labels
        return {v: int(kinds[self.labels == v][0]) for v in values}


def main() -> int:
    """Run all, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--classes", type=Path)
    results = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=results / "export_roundtrip.json")
    parser.add_argument("--markdown", type=Path, help="page whose table is replaced")
    args = parser.parse_args()
    cases = [objects_case(args.objects), classes_case(args.classes)]
    with tempfile.TemporaryDirectory() as folder:
        record = [
            round_trip(case, name, Path(folder)) for case in cases for name in READERS
        ]
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    table = markdown(record)
    print(table)
    if args.markdown is not None:
        put_table(args.markdown, table)
    return 0 if all(row["n_wrong_px"] == 0 for row in record) else 1


def objects_case(path: Path | None) -> Case:
    """Return objects; every second one has another class."""
    if path is None:
        ids = np.asarray(load_sample("nuclei").truth)
        ids = connected(ids == ids.max())
        source = "sample"
    else:
        ids, source = read_labels(path).array, path.name
    kinds = np.where(ids % 2 == 0, 2, 3) * (ids > 0)
    return Case("objects", source, ids, kinds)


def classes_case(path: Path | None) -> Case:
    """Return classes, 1 and up."""
    if path is None:
        return Case("classes", "sample", np.asarray(load_sample("tissue").truth))
    return Case("classes", path.name, read_labels(path).array + 1)


def connected(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the connected parts of a mask, numbered."""
    from scipy import ndimage

    return np.asarray(ndimage.label(mask)[0], np.uint16)


def round_trip(case: Case, name: str, folder: Path) -> dict[str, Any]:
    """Write labels, read them with another library, and compare."""
    reader, chosen = READERS[name], FORMATS[name]
    are_objects = case.class_labels is not None
    path = folder / f"{case.kind}{chosen.suffixes[0]}"
    finish(
        export_job(
            path,
            case.labels,
            scale=SCALE,
            unit="um",
            class_names=NAMES,
            are_objects=are_objects,
            class_labels=case.class_labels,
            background=None if are_objects else 1,
        )
    )
    values = {name: value for value, name in NAMES.items()}
    back = reader.read(path, case.labels.shape, values)
    labels = case.labels
    if reader.is_outline and not are_objects:
        labels = np.where(labels == 1, 0, labels)
    return {
        "labels": case.kind,
        "source": case.source,
        "shape": list(case.labels.shape),
        "n_values": len(case.class_of),
        "format": name,
        "read_by": reader.library,
        "n_wrong_px": int(np.count_nonzero(back.labels != labels)),
        "classes": has_classes(back, case.class_of),
        "colours": has_colours(back, case.class_of),
        "scale": bool(np.allclose(back.scale, SCALE)) if back.scale else False,
        "n_bytes": size_of(path),
    }


def has_classes(back: Back, class_of: dict[int, int]) -> bool:
    """Whether every value has the name of its class."""
    return all(back.names.get(v) == NAMES[c] for v, c in class_of.items())


def has_colours(back: Back, class_of: dict[int, int]) -> bool:
    """Whether every value has the colour of its class."""
    return all(back.colours.get(v) == class_colour(c) for v, c in class_of.items())


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def markdown(record: list[dict[str, Any]]) -> str:
    """Return the table as it stands on the page."""
    rows = [
        "| labels | format | read by | pixels | classes | pixel size | colours | kB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in record:
        wrong = row["n_wrong_px"]
        cells = (
            row["labels"],
            FORMATS[row["format"]].title,
            row["read_by"],
            "equal" if wrong == 0 else f"{wrong:,} differ",
            *("kept" if row[what] else "–" for what in ("classes", "scale", "colours")),
            f"{row['n_bytes'] / 1000:,.0f}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def put_table(page: Path, table: str) -> None:
    """Replace what stands between the two marks on a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(TABLE)
    _, _, after = rest.partition(TABLE)
    page.write_text(f"{before}{TABLE}\n{table}\n{TABLE}{after}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
