import sqlite3
from contextlib import closing

import numpy as np
import pytest

from napari_unet.annotation.tiled import TILE_PX, TiledLabels
from napari_unet.errors import ProjectError
from napari_unet.project import Project
from napari_unet.project.rescue import rescue_annotations


@pytest.fixture
def folder(tmp_path):
    """A project of which several hundred noisy tiles are kept."""
    folder = tmp_path / "p"
    values = np.random.default_rng(0).integers(0, 5, (12 * TILE_PX, 12 * TILE_PX))
    with Project.create(folder) as project:
        for number in (1, 2):
            project.add_image(tmp_path / f"{number}.tif")
            labels = TiledLabels.of(values.astype(np.uint8))
            project.save_annotation(number, "strokes", labels)
    return folder


def whole(folder):
    with Project.open(folder, is_read_only=True) as project:
        return project.annotation(1, "strokes")


def test_what_is_before_and_behind_the_damage_is_rescued(folder):
    expected = whole(folder)
    path = folder / "annotations.sqlite"
    with open(path, "r+b") as file:  # 40 pages in the middle
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 4096 * 40)
    with Project.open(folder) as project, pytest.raises(ProjectError, match="rescue"):
        [project.annotation(number, "strokes") for number in (1, 2)]

    rescued = rescue_annotations(folder)

    assert rescued.n_layers == 2
    assert 200 < rescued.n_tiles < 288
    assert rescued.damaged.exists()
    with Project.open(folder) as project:
        n_found = 0
        for number in (1, 2):
            found = project.annotation(number, "strokes")
            n_found += len(found.tiles)
            for place, tile in found.tiles.items():
                np.testing.assert_array_equal(tile, expected.tiles[place])
    assert n_found == rescued.n_tiles


def test_of_what_is_whole_nothing_is_lost(folder):
    expected = whole(folder)
    assert rescue_annotations(folder).n_tiles == 288
    assert whole(folder).is_same(expected)


def test_a_file_that_is_no_database_is_kept_aside(folder):
    path = folder / "annotations.sqlite"
    path.write_bytes(b"nothing of the kind" * 999)
    rescued = rescue_annotations(folder)
    assert (rescued.n_layers, rescued.n_tiles) == (0, 0)
    assert rescued.damaged.read_bytes().startswith(b"nothing of the kind")
    with Project.open(folder) as project:
        assert project.annotations.layers() == {}


def test_nothing_is_rescued_under_somebody_s_hands(folder):
    with Project.open(folder), pytest.raises(ProjectError, match="is open in"):
        rescue_annotations(folder)


def test_there_must_be_something_to_rescue(tmp_path):
    with pytest.raises(ProjectError, match=r"there is no annotations\.sqlite"):
        rescue_annotations(tmp_path)


def change_database(folder, *statements):
    path = folder / "annotations.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def test_of_tables_with_other_columns_what_fits_is_rescued(folder):
    expected = whole(folder)
    change_database(
        folder,
        "alter table tiles add column colour text",
        "alter table shapes rename column outlines to corners",
    )
    rescued = rescue_annotations(folder)
    assert (rescued.n_layers, rescued.n_tiles) == (2, 288)
    assert whole(folder).is_same(expected)


def test_rows_that_do_not_fit_are_left_out(folder):
    expected = whole(folder)
    change_database(
        folder,
        "insert into layers values(1.5, 'strokes', '[4, 4]', 'u1', 'now')",
        "insert into layers values(7, 'strokes', null, 'u1', 'now')",
        "insert into tiles values(1, 'strokes', 0, 99, 'x', x'00')",
        "insert into tiles values(1, 'strokes', 0, 99, 99, 'text')",
    )
    rescued = rescue_annotations(folder)
    assert (rescued.n_layers, rescued.n_tiles) == (2, 288)
    assert whole(folder).is_same(expected)


def test_a_full_disk_is_one_sentence_and_nothing_is_replaced(folder, monkeypatch):
    before = sorted(path.name for path in folder.iterdir())
    connect = sqlite3.connect

    def small(path, **options):
        database = connect(path, **options)
        database.execute("pragma max_page_count = 20")  # SQLITE_FULL beyond
        return database

    expected = whole(folder)
    monkeypatch.setattr("napari_unet.project.rescue.sqlite3.connect", small)
    with pytest.raises(ProjectError, match="was not written, because the disk is full"):
        rescue_annotations(folder)
    monkeypatch.undo()
    assert whole(folder).is_same(expected)
    left = sorted(p.name for p in folder.iterdir() if p.suffix != ".sqlite-wal")
    assert set(left) - {"annotations.sqlite-shm"} <= {*before, "lock"}


def test_nothing_is_rescued_through_a_link(folder, tmp_path):
    outside = tmp_path / "outside.sqlite"
    path = folder / "annotations.sqlite"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(ProjectError, match="is a link"):
        rescue_annotations(folder)
    assert path.is_symlink()


def test_blocks_whose_layer_is_lost_are_reached_again(folder):
    import sqlite3
    from contextlib import closing

    expected = whole(folder)
    with Project.open(folder) as project:
        for number in (1, 2):
            project.change_image(number, shape=expected.shape)
    with closing(sqlite3.connect(folder / "annotations.sqlite")) as database, database:
        database.execute("delete from layers")
    assert rescue_annotations(folder).n_layers == 2
    assert np.array_equal(np.asarray(whole(folder)), np.asarray(expected))


@pytest.mark.parametrize("is_empty", [True, False])
def test_lost_annotations_are_said_and_not_replaced_in_silence(folder, is_empty):
    path = folder / "annotations.sqlite"
    path.unlink()
    if is_empty:
        path.touch()
    with pytest.raises(ProjectError, match="2 images were painted on"):
        Project.open(folder)
    assert path.exists() == is_empty
    assert rescue_annotations(folder).n_tiles == 0
    Project.open(folder).close()
