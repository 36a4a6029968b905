"""Tables: joined, and written to CSV without a loss."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.errors import ConfigError, FileError
from napari_unet.export import Table, join_tables, write_measurements, write_table
from napari_unet.export.table import Column
from napari_unet.export.table_format import write_label_table


def table(**columns):
    return Table([Column(name, np.array(v)) for name, v in columns.items()])


def test_csv_gives_every_number_back(tmp_path):
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.random(50) * 10.0 ** rng.integers(-300, 300, 50)])
    words = [f'a "quoted", µm {i}\nline' for i in range(50)]
    path = write_table(tmp_path / "t.csv", table(n=range(50), x=numbers, name=words))
    with open(path, encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    assert head == ["n", "x", "name"]
    assert [int(row[0]) for row in rows] == list(range(50))
    assert [float(row[1]) for row in rows] == numbers.tolist()
    assert [row[2] for row in rows] == words


def test_what_is_not_known_is_empty(tmp_path):
    path = write_table(tmp_path / "t.csv", table(x=[1.5, np.nan, np.inf]))
    assert path.read_text() == 'x\n1.5\n""\ninf\n'


def test_joined_tables_keep_every_column():
    first = table(image=["a"], label=[1], area_um2=[2.0])
    second = table(image=["b", "b"], label=[1, 2], area_px2=[3.0, 4.0], n=[5, 6])
    joined = join_tables([first, second])
    assert joined.names == ("image", "label", "area_um2", "area_px2", "n")
    assert joined["image"].tolist() == ["a", "b", "b"]
    assert joined["label"].dtype == np.int64
    np.testing.assert_array_equal(joined["area_um2"], [2, np.nan, np.nan])
    np.testing.assert_array_equal(joined["n"], [np.nan, 5, 6])
    with pytest.raises(ConfigError, match="no table"):
        join_tables([])


def test_an_old_file_stays_where_the_new_one_fails(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_unet.export.table_files._write_csv", fail)
    with pytest.raises(FileError, match="disk is full"):
        write_table(path, table(x=[1]))
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_other_suffixes_are_refused_before_the_work(tmp_path):
    with pytest.raises(FileError, match=r"\.csv and \.parquet"):
        write_measurements(tmp_path / "t.xls", "never looked at")


def test_parquet_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(FileError, match=r'pip install "napari-unet\[parquet\]"'):
        write_measurements(tmp_path / "t.parquet", np.ones((4, 4), int))


@pytest.mark.parametrize("are_objects", [True, False])
def test_labels_leave_as_a_table(tmp_path, are_objects):
    labels = np.array([[1, 1, 3, 3], [1, 1, 0, 3]])
    image = SimpleNamespace(
        labels=labels,
        class_labels=np.where(labels == 3, 2, 1),
        axes="YX",
        scale=(0.5, 0.5),
        unit="um",
        class_names={2: "cell", 3: "three"},
        are_objects=are_objects,
        background=1,
        name="a.tif",
    )
    events = list(write_label_table(tmp_path / "t.csv", image))
    assert events[-1].done == events[-1].total
    with open(tmp_path / "t.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last = rows[-1]
    assert last["area_um2"] == "0.75"
    assert last["image"] == "a.tif"
    assert len(rows) == (1 if are_objects else 2)
    assert last["class"] == ("cell" if are_objects else "three")
