import sqlite3
import zlib

import numpy as np
import pytest

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import ProjectError
from napari_unet.project import AnnotationStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "annotations.sqlite"


@pytest.fixture
def store(path):
    store = AnnotationStore(path)
    yield store
    store.close()


def painted(shape=(600, 700), at=(10, 20), value=1, dtype=np.uint8):
    array = np.zeros(shape, dtype)
    array[..., at[0] : at[0] + 5, at[1] : at[1] + 40] = value
    return array


def reopened(path):
    store = AnnotationStore(path)
    try:
        return {place: store.load(*place) for place in store.layers()}
    finally:
        store.close()


@pytest.mark.parametrize("shape", [(1, 1), (257, 255), (3, 300, 20), (2, 3, 10, 9)])
@pytest.mark.parametrize("value", [1, 255, 256, 65_535])
def test_what_is_saved_is_loaded(path, store, shape, value):
    dtype = np.uint8 if value < 256 else np.uint16
    labels = TiledLabels.of(painted(shape, (0, 0), value, dtype))

    store.save(7, "strokes", labels)
    store.close()

    (found,) = reopened(path).values()
    assert found.is_same(labels)
    assert found.dtype == labels.dtype


def test_only_what_changed_is_written(store):
    array = painted((4000, 4000))
    store.save(1, "strokes", TiledLabels.of(array))
    array[3000:3005, 3000:3050] = 2

    saved = store.save(1, "strokes", TiledLabels.of(array))

    assert saved.n_tiles == 1
    assert saved.n_bytes < 1000
    assert store.save(1, "strokes", TiledLabels.of(array)).n_tiles == 0


def test_only_what_changed_is_written_after_reopening(path, store):
    array = painted((4000, 4000))
    store.save(1, "strokes", TiledLabels.of(array))
    store.close()
    array[3000:3005, 3000:3050] = 2

    again = AnnotationStore(path)
    assert again.save(1, "strokes", TiledLabels.of(array)).n_tiles == 1
    again.close()


def test_what_is_erased_is_gone(path, store):
    store.save(1, "strokes", TiledLabels.of(painted()))
    store.save(1, "strokes", TiledLabels.of(np.zeros((600, 700), np.uint8)))
    store.close()

    assert not reopened(path)[1, "strokes"].any()


def test_a_wider_type_keeps_what_was_there(path, store):
    array = painted(value=200).astype(np.uint8)
    store.save(1, "objects", TiledLabels.of(array))
    wide = array.astype(np.uint16)
    wide[500:510, 500:510] = 3000
    store.save(1, "objects", TiledLabels.of(wide))
    store.close()

    np.testing.assert_array_equal(np.asarray(reopened(path)[1, "objects"]), wide)


def test_labels_of_another_shape_do_not_replace_the_old_ones(path, store):
    old, new = TiledLabels.of(painted()), TiledLabels.of(painted((50, 60)))
    store.save(1, "strokes", old)
    store.save(1, "strokes", new)
    store.close()

    found = reopened(path)
    assert found.pop((1, "strokes")).is_same(new)
    ((name, kept),) = found.items()
    assert name[1].startswith("strokes until ")
    assert kept.is_same(old)


def test_images_and_layers_are_kept_apart(path, store):
    layers = {
        (image, layer): TiledLabels.of(painted(at=(image * 30, 0), value=number))
        for number, (image, layer) in enumerate(
            [(1, "strokes"), (1, "objects"), (2, "strokes")], start=1
        )
    }
    for (image, layer), labels in layers.items():
        store.save(image, layer, labels)
    store.close()

    found = reopened(path)
    assert found.keys() == layers.keys()
    assert all(found[place].is_same(layers[place]) for place in layers)


def test_shapes_come_back(path, store):
    outlines = [{"kind": "rectangle", "corners": [[0.5, 1], [0.5, 9], [4, 9], [4, 1]]}]
    store.save_outlines(3, "objects", outlines)
    store.close()

    again = AnnotationStore(path)
    assert again.load_outlines(3, "objects") == outlines
    assert again.load_outlines(4, "objects") == []
    again.close()


def test_a_transaction_that_fails_leaves_everything_as_it_was(path, store, monkeypatch):
    before = TiledLabels.of(painted((2000, 2000)))
    store.save(1, "strokes", before)
    array = np.asarray(before).copy()
    array[::300, ::300] = 2  # many tiles
    put, n_put = store._put, []

    def fail_in_the_middle(*args):
        n_put.append(args)
        if len(n_put) == 5:
            raise sqlite3.OperationalError("disk I/O error")
        put(*args)

    monkeypatch.setattr(store, "_put", fail_in_the_middle)
    with pytest.raises(ProjectError, match="was not written"):
        store.save(1, "strokes", TiledLabels.of(array))
    monkeypatch.undo()

    assert reopened(path)[1, "strokes"].is_same(before)
    store.save(1, "strokes", TiledLabels.of(array))  # and it goes on
    store.close()
    assert reopened(path)[1, "strokes"].is_same(TiledLabels.of(array))


def test_read_only_changes_nothing(path, store):
    labels = TiledLabels.of(painted())
    store.save(1, "strokes", labels)
    reader = AnnotationStore(path, is_read_only=True)
    assert reader.load(1, "strokes").is_same(labels)
    with pytest.raises(ProjectError, match="read-only"):
        reader.save(1, "strokes", TiledLabels.of(painted(value=2)))
    reader.close()


def test_read_only_makes_no_file(tmp_path):
    with pytest.raises(ProjectError, match="there is no file"):
        AnnotationStore(tmp_path / "none.sqlite", is_read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_the_database_is_left_after_closing(path, store, tmp_path):
    store.save(1, "strokes", TiledLabels.of(painted()))
    store.close()

    assert [file.name for file in tmp_path.iterdir()] == [path.name]


# --- files of strangers ------------------------------------------------------------


def change(path, statement, *values):
    database = sqlite3.connect(path)
    with database:
        database.execute(statement, values)
    database.close()


@pytest.fixture
def filled(path, store):
    store.save(1, "strokes", TiledLabels.of(painted()))
    store.close()
    return path


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("update layers set shape = ?", "[0, 5]"),
        ("update layers set shape = ?", "[5]"),
        ("update layers set shape = ?", "[5, 5000000000]"),
        ("update layers set shape = ?", "[5.5, 5]"),
        ("update layers set shape = ?", "[" * 100_000),
        ("update layers set shape = ?", None),
        ("update layers set dtype = ?", "O"),
        ("update layers set dtype = ?", 3),
        ("update tiles set plane = ?", 4),
        ("update tiles set plane = ?", -1),
        ("update tiles set tile_row = ?", 3),
        ("update tiles set tile_column = ?", "x"),
        ("update tiles set pixels = ?", b"no zlib"),
        ("update tiles set pixels = ?", None),
        ("update tiles set pixels = ?", "text"),
        ("update tiles set pixels = ?", zlib.compress(b"")),
        ("update tiles set pixels = ?", zlib.compress(bytes(17))),
        ("update tiles set pixels = ?", zlib.compress(bytes(2**28))),
    ],
)
def test_a_damaged_layer_is_one_sentence(filled, statement, value):
    change(filled, statement, value)
    store = AnnotationStore(filled)
    with pytest.raises(ProjectError, match="is damaged"):
        store.load(1, "strokes")
    store.close()


def test_a_bomb_takes_no_memory(filled):
    import tracemalloc

    change(filled, "update tiles set pixels = ?", zlib.compress(bytes(2**28), 9))
    store = AnnotationStore(filled)
    tracemalloc.start()
    with pytest.raises(ProjectError):
        store.load(1, "strokes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    store.close()
    assert peak < 2**23


@pytest.mark.parametrize(
    "statement",
    [
        "create view v as select * from tiles",
        "create trigger t after insert on tiles begin delete from layers; end",
        "drop table shapes",
        "create table more(i)",
        "pragma user_version = 0",
    ],
)
def test_other_tables_than_ours_are_refused(filled, statement):
    change(filled, statement)
    with pytest.raises(ProjectError, match="no annotation file"):
        AnnotationStore(filled)


def test_a_newer_version_is_refused(filled):
    change(filled, "pragma user_version = 99")
    with pytest.raises(ProjectError, match="newer version"):
        AnnotationStore(filled)


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_database_is_refused_or_begun(path, content):
    path.write_bytes(content)
    if content:
        with pytest.raises(ProjectError, match="no database"):
            AnnotationStore(path)
        assert path.read_bytes() == content
    else:  # as a crash right after its making leaves it
        AnnotationStore(path).close()


def test_outlines_of_a_stranger_are_checked(filled):
    change(filled, "insert into shapes values(1, 'objects', ?)", '[{"kind": 1}]')
    store = AnnotationStore(filled)
    with pytest.raises(ProjectError, match="is damaged"):
        store.load_outlines(1, "objects")
    store.close()


# --- what somebody does to the file while it is open ---------------------------------


def test_a_file_that_was_deleted_is_written_anew_with_all_that_was_in_it(path, store):
    first, second = painted(value=1), painted(at=(300, 300), value=2)
    store.save(1, "strokes", TiledLabels.of(first))
    store.save(2, "strokes", TiledLabels.of(second))
    for file in path.parent.iterdir():
        file.unlink()
    first[400:410] = 3

    assert store.save(1, "strokes", TiledLabels.of(first)).is_restored
    assert not store.save(1, "strokes", TiledLabels.of(first)).is_restored
    store.close()

    found = reopened(path)
    np.testing.assert_array_equal(np.asarray(found[1, "strokes"]), first)
    np.testing.assert_array_equal(np.asarray(found[2, "strokes"]), second)


def test_a_file_that_was_replaced_is_kept_beside(path, store, tmp_path):
    labels = TiledLabels.of(painted())
    store.save(1, "strokes", labels)
    other = tmp_path / "other"
    other.write_bytes(b"an older copy")
    other.replace(path)

    assert store.save(1, "strokes", TiledLabels.of(painted(value=2))).is_restored
    store.close()

    (kept,) = tmp_path.glob("*from-outside*")
    assert kept.read_bytes() == b"an older copy"
    assert np.asarray(reopened(path)[1, "strokes"]).max() == 2


def test_a_folder_that_was_deleted_is_made_again(path, tmp_path):
    import shutil

    folder = tmp_path / "project"
    folder.mkdir()
    store = AnnotationStore(folder / path.name)
    store.save(1, "strokes", TiledLabels.of(painted()))
    shutil.rmtree(folder)
    store.save(1, "strokes", TiledLabels.of(painted(value=2)))
    store.close()
    assert np.asarray(reopened(folder / path.name)[1, "strokes"]).max() == 2


@pytest.mark.parametrize("corner", ["1e999", "1" + "0" * 400, "null", '"x"'])
def test_corners_that_are_no_places_are_damage(path, store, corner):
    outlines = [{"kind": "path", "corners": [[1, 2]]}]
    store.save_outlines(1, "objects", outlines)
    store.close()
    text = '[{"kind": "path", "corners": [[1, 2]]}]'.replace("1", corner)
    with sqlite3.connect(path) as database:
        database.execute("update shapes set outlines = ?", (text,))
    database.close()

    again = AnnotationStore(path)
    with pytest.raises(ProjectError, match="damaged"):
        again.load_outlines(1, "objects")
    again.close()


def test_damage_that_sqlite_cannot_quote_is_one_sentence(path, store):
    store.close()
    content = path.read_bytes().replace(b"create table", b"create\xeetable")
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE\xeeTABLE"))
    with pytest.raises(ProjectError, match="damaged"):
        AnnotationStore(path)
