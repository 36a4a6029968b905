"""Tables that pandas and pyarrow read back as they were, from real label images."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_unet.export import measure_labels, write_table

pd = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    labels = np.zeros((3, 60, 80), np.uint16)
    for number in range(1, 25):
        z, y, x = rng.integers(0, (2, 50, 70))
        labels[z : z + 2, y : y + 8, x : x + 9] = number * 11
    image = rng.random((2, *labels.shape)).astype(np.float32)
    classes = np.zeros(300, int)
    classes[::22], classes[11::22] = 2, 3
    return measure_labels(
        labels,
        image,
        image_axes="CZYX",
        scale=(2.0, 0.3, 0.3),
        unit="um",
        classes=classes,
        class_names={2: "Zellkern, groß", 3: '"µ"'},
        channel_names=["DNA", "Aktin (405)"],
        columns=["all"],
        image_name="Bild 1.tif",
    )


def check(frame, table):
    assert list(frame.columns) == list(table.names)
    assert len(frame) == table.n_rows > 15
    for column in table.columns:
        read = frame[column.name].to_numpy()
        if column.is_text:
            assert read.tolist() == column.values.tolist()
        else:
            assert read.dtype == column.values.dtype
            np.testing.assert_array_equal(read, column.values)  # to the last bit


def test_pandas_reads_csv_back(table, tmp_path):
    path = write_table(tmp_path / "t.csv", table)
    check(pd.read_csv(path), table)


def test_pandas_reads_parquet_back(table, tmp_path):
    path = write_table(tmp_path / "t.parquet", table)
    check(pd.read_parquet(path), table)


def test_parquet_knows_units_and_meanings(table, tmp_path):
    schema = parquet.read_schema(write_table(tmp_path / "t.parquet", table))
    field = schema.field("volume_um3")
    assert field.metadata[b"unit"] == b"um3"
    assert field.metadata[b"description"] == b"Volume."
    units = json.loads(schema.metadata[b"units"])
    assert units["surface_area_um2"] == "um2"
    assert units["bbox_z_start_px"] == "px"
    assert "label" not in units


def test_a_table_without_rows_keeps_its_types(tmp_path):
    empty = measure_labels(np.zeros((4, 4), np.uint8), image_name="a")
    frame = pd.read_parquet(write_table(tmp_path / "t.parquet", empty))
    assert frame.shape == (0, len(empty.names))
    assert str(frame["label"].dtype) == "int64"
    assert list(pd.read_csv(write_table(tmp_path / "t.csv", empty))) == list(frame)


def test_the_path_may_be_text(table, tmp_path):
    assert write_table(str(tmp_path / "t.csv"), table) == Path(tmp_path / "t.csv")
