import csv

import numpy as np
import pytest

from napari_unet.export import FORMATS, export_job
from napari_unet.jobs import CancelToken, finish

OBJECTS = np.array([[0, 3, 3, 1], [5, 5, 3, 1]], np.uint16)
CLASSES = np.array([[1, 2, 2, 1], [3, 3, 2, 1]], np.uint8)
NAMES = {2: "nucleus", 3: "vesicle"}


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_objects_are_measured_in_physical_units_with_their_classes(tmp_path):
    path = tmp_path / "cells.csv"
    job = export_job(
        path,
        OBJECTS,
        are_objects=True,
        class_labels=CLASSES,
        class_names=NAMES,
        background=1,
        scale=(0.5, 0.5),
        unit="um",
    )
    assert finish(job) == path
    rows = read(path)
    found = {row["label"]: (row["class"], float(row["area_um2"])) for row in rows}
    assert found == {"3": ("nucleus", 0.75), "5": ("vesicle", 0.5)}


def test_most_known_pixels_decide_the_class_as_in_outlines(tmp_path):
    path, classes = tmp_path / "cells.csv", np.array([[0, 0, 0, 0], [3, 0, 2, 0]])
    job = export_job(path, OBJECTS, are_objects=True, class_labels=classes)
    finish(job)
    found = {row["label"]: row["class_label"] for row in read(path)}
    assert found == {"1": "0", "3": "2", "5": "3"}


def test_of_classes_areas_and_shares_are_written(tmp_path):
    path = tmp_path / "areas.csv"
    finish(export_job(path, CLASSES, class_names=NAMES))
    shares = {row["class_label"]: float(row["fraction"]) for row in read(path)}
    assert shares == {"1": 3 / 8, "2": 3 / 8, "3": 2 / 8}


def test_nothing_is_written_when_stopped(tmp_path):
    token = CancelToken()
    token.cancel()
    job = export_job(tmp_path / "x.csv", OBJECTS, are_objects=True, token=token)
    assert finish(job) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_tables_are_offered_beside_other_formats(name):
    assert FORMATS[name].is_table
    assert FORMATS[name].suffixes == (f".{name}",)
