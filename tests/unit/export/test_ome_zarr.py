"""OME-Zarr that others accept: levels, places, colours, and what must not be lost."""

import errno

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_unet.errors import FileError, StoreTakenError
from napari_unet.export import (
    check_writable,
    is_complete,
    open_store,
    write_labels,
    write_probabilities,
)
from napari_unet.export.zarr_record import read_record
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.stream import StreamPlan
from napari_unet.inference.tiles import plan_tiles

NAMES = {1: "ground", 2: "cell", 300: "rare"}
CASES = [
    ((40, 50), "YX"),
    ((1100, 1300), "YX"),
    ((3, 600, 40), "ZYX"),
    ((2, 30, 40), "TYX"),
    ((2, 3, 30, 1030), "TZYX"),
]


def _labels(shape, values=(1, 2, 300)):
    rng = np.random.default_rng(0)
    return rng.choice(np.array(values, np.uint16), size=shape)


def _plan(shape, axes, tile_px=512, values=(1, 2, 300), **made_by):
    made_by = {"model": "m", "image": "i", **made_by}
    return StreamPlan(shape, axes, tile_px, values, made_by)


def _fill(store, probabilities, n_tiles=None):
    """Write the tiles of probabilities (K, *S), the last of equal classes too."""
    shape = probabilities.shape[1:]
    values = (1, 2, 300)
    tiles = [
        (index, tile)
        for index in np.ndindex(*shape[:-2])
        for tile in plan_tiles(shape[-2:], store.tile_px)
        if not store.is_done(index, tile)
    ]
    for index, tile in tiles[:n_tiles]:
        where = (*index, slice(tile.y0, tile.y1), slice(tile.x0, tile.x1))
        store.write(index, tile, Prediction(values, probabilities[:, *where]))
    return len(tiles)


def _random(shape):
    found = np.random.default_rng(1).random((3, *shape)).astype(np.float32)
    return found / found.sum(0)


def _metadata(path):
    return zarr.open_group(path, mode="r").attrs["ome"]


@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_a_streamed_store_is_valid_and_has_every_pixel(tmp_path, shape, axes):
    path = tmp_path / "cells.zarr"
    scale = tuple(0.5 * (n + 1) for n in range(len(shape)))
    options = {"scale": scale, "unit": "um", "class_names": NAMES}
    store = open_store(path, _plan(shape, axes), with_probabilities=True, **options)
    probabilities = _random(shape)
    _fill(store, probabilities)
    assert not is_complete(path)
    parts = list(store.finish())
    assert is_complete(path)
    assert [done for done, _ in parts] == list(range(1, len(parts) + 1))
    assert {total for _, total in parts} <= {len(parts)}
    for name in ("cells.zarr", "cells-probabilities.zarr"):
        yaozarrs.validate_zarr_store(str(tmp_path / name))
    expected = np.array([1, 2, 300])[probabilities.argmax(0)]
    group = zarr.open_group(path, mode="r")
    assert group["0"].dtype == np.uint16
    assert group["0"].metadata.dimension_names == tuple(axes.lower())
    (image,) = _metadata(path)["multiscales"]
    assert image["name"] == "cells"
    for level, dataset in enumerate(image["datasets"]):
        step = 2**level
        found = group[dataset["path"]][...]
        np.testing.assert_array_equal(found, expected[..., ::step, ::step])
        (place,) = dataset["coordinateTransformations"]
        assert place["scale"] == [*scale[:-2], scale[-2] * step, scale[-1] * step]
    assert max(found.shape[-2:]) <= 512
    types = {"t": "time"}
    for axis, letter in zip(image["axes"], axes.lower(), strict=True):
        assert (axis["name"], axis["type"]) == (letter, types.get(letter, "space"))
        assert axis.get("unit") == (None if letter == "t" else "micrometer")
    found = zarr.open_group(tmp_path / "cells-probabilities.zarr", mode="r")["0"][...]
    found = np.moveaxis(found, axes.startswith("T"), 0)
    np.testing.assert_array_equal(found, probabilities)


def test_probabilities_are_averaged_and_say_where_the_means_lie(tmp_path):
    shape = (515, 2)
    path = write_probabilities(
        tmp_path / "p.zarr", _random(shape), scale=(2.0, 3.0), unit="nm"
    )
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path, mode="r")
    fine, coarse = group["0"][...], group["1"][...]
    assert coarse.shape == (3, 258, 1)
    np.testing.assert_allclose(coarse[:, 7, 0], fine[:, 14:16].mean((1, 2)))
    np.testing.assert_allclose(coarse[:, -1, 0], fine[:, 514].mean(1))  # stands alone
    scale, shift = _metadata(path)["multiscales"][0]["datasets"][1][
        "coordinateTransformations"
    ]
    assert scale["scale"] == [1.0, 4.0, 6.0]
    assert shift["translation"] == [0.0, 1.0, 1.5]


def test_every_class_has_a_colour_and_a_name(tmp_path):
    path = tmp_path / "o.zarr"
    open_store(path, _plan((20, 20), "YX"), class_names={2: "cell"})
    described = _metadata(path)["image-label"]
    assert [c["label-value"] for c in described["colors"]] == [1, 2, 300]
    assert all(len(c["rgba"]) == 4 and c["rgba"][3] == 255 for c in described["colors"])
    names = [p["class"] for p in described["properties"]]
    assert names == ["class 1", "cell", "class 300"]


def test_large_planes_have_many_chunks_in_one_file(tmp_path):
    small = open_store(tmp_path / "s.zarr", _plan((1000, 3000), "YX", tile_px=1024))
    large = open_store(tmp_path / "l.zarr", _plan((3, 2000, 3000), "ZYX", tile_px=1024))
    assert small.labels.arrays[0].shards is None
    assert large.labels.arrays[0].shards == (1, 1024, 1024)
    for store in (small, large):
        assert store.labels.arrays[0].chunks[-2:] == (512, 512)
    _fill(large, _random((3, 2000, 3000)))
    files = [p for p in (tmp_path / "l.zarr" / "0").rglob("*") if p.is_file()]
    assert len(files) == 3 * 2 * 3 + 1


def test_an_odd_tile_is_a_chunk(tmp_path):
    store = open_store(tmp_path / "o.zarr", _plan((100, 130), "YX", tile_px=48))
    assert store.labels.arrays[0].chunks == (48, 48)


@pytest.mark.parametrize("with_probabilities", [False, True])
def test_going_on_where_it_stopped(tmp_path, with_probabilities):
    path, plan = tmp_path / "o.zarr", _plan((60, 600), "YX", tile_px=48)
    options = {"with_probabilities": with_probabilities, "resume": True}
    probabilities = _random((60, 600))
    n_tiles = _fill(open_store(path, plan, **options), probabilities, 4)
    # the tiles of the run it goes on from, whatever the settings are now
    other = _plan((60, 600), "YX", tile_px=96)
    store = open_store(path, other, **options)
    assert store.tile_px == 48
    assert _fill(store, probabilities) == n_tiles - 4
    if with_probabilities:
        next(store.finish())  # killed while it finishes
    leftover = path / "0" / "c" / "0" / "1.0123456789abcdef.partial"
    leftover.write_bytes(b"half")
    store = open_store(path, plan, **options)
    assert _fill(store, probabilities) == 0
    list(store.finish())
    assert is_complete(path)
    assert not leftover.exists()
    # killed between the last two steps
    store.labels.group.create_array("progress", shape=(2, 13), dtype="u1")
    store = open_store(path, plan, **options)
    assert _fill(store, probabilities) == 0
    assert list(store.finish()) == []
    expected = np.array([1, 2, 300])[probabilities.argmax(0)]
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][...], expected)
    assert "progress" not in group


def test_labels_are_in_every_level_as_soon_as_their_tile_is(tmp_path):
    shape, plan = (1100, 2050), _plan((1100, 2050), "YX", tile_px=48)
    store = open_store(tmp_path / "o.zarr", plan)
    probabilities = _random(shape)
    _fill(store, probabilities, 60)
    fine = store.labels.arrays[0][...]
    assert 0 < np.count_nonzero(fine) < fine.size
    for level, array in enumerate(store.labels.arrays):
        np.testing.assert_array_equal(array[...], fine[:: 2**level, :: 2**level])
    assert store.n_done == 60
    assert store.n_tiles == 23 * 43


def test_one_who_looks_finds_no_half_written_file(tmp_path):
    """Level 0 is written tile by tile, the others chunk by chunk: none in parts."""
    store = open_store(tmp_path / "o.zarr", _plan((3000, 3000), "YX", tile_px=1024))
    fine, *coarse = store.labels.arrays
    assert fine.shards == (1024, 1024)
    assert {level.shards for level in coarse} == {None}


@pytest.mark.parametrize("is_finished", [False, True])
def test_another_model_takes_the_place_only_when_told(tmp_path, is_finished):
    path = tmp_path / "o.zarr"
    store = open_store(path, _plan((20, 20), "YX"))
    _fill(store, _random((20, 20)))
    if is_finished:
        list(store.finish())
    other = _plan((20, 20), "YX", model="other")
    with pytest.raises(StoreTakenError, match="another model"):
        open_store(path, other, resume=True)
    assert open_store(path, other, overwrite=True).n_done == 0
    (tmp_path / "mine.zarr").mkdir()
    with pytest.raises(FileError, match="not written by this program"):
        open_store(tmp_path / "mine.zarr", other, overwrite=True)


def test_a_store_of_an_earlier_version_is_gone_on_with(tmp_path):
    """Which did not say whether objects are to be cut, because it could not."""
    path, plan = tmp_path / "o.zarr", _plan((100, 130), "YX", tile_px=48)
    group = open_store(path, plan).labels.group
    group.attrs["napari-unet"] = {
        name: value
        for name, value in group.attrs["napari-unet"].items()
        if name != "objects"
    }
    assert open_store(path, plan, resume=True).n_done == 0
    with pytest.raises(StoreTakenError, match="begun without objects"):
        open_store(path, plan, with_objects=True, resume=True)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, " " * 2**24 + '{"attributes": {"napari-unet": {"tile_px": 48}}}'],
)
def test_a_record_of_deep_brackets_or_without_end_is_none_of_ours(tmp_path, text):
    (tmp_path / "o.zarr").mkdir()
    (tmp_path / "o.zarr" / "zarr.json").write_text(text)
    assert read_record(tmp_path / "o.zarr") is None
    with pytest.raises(FileError, match="not written by this program"):
        open_store(tmp_path / "o.zarr", _plan((20, 20), "YX"))


def test_a_store_whose_making_was_cut_short_is_made_anew(tmp_path):
    path, plan = tmp_path / "o.zarr", _plan((100, 130), "YX", tile_px=48)
    store = open_store(path, plan)
    del store.labels.group["progress"]
    with pytest.raises(FileError, match="add --resume"):
        open_store(path, plan)
    assert not open_store(path, plan, resume=True).progress[...].any()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": "other"}, "another model"),
        ({"image": "other"}, "another image"),
        ({}, "without probabilities"),
    ],
)
@pytest.mark.parametrize("is_finished", [False, True])
def test_another_maker_cannot_go_on(tmp_path, change, text, is_finished):
    path = tmp_path / "o.zarr"
    store = open_store(path, _plan((20, 20), "YX"))
    if is_finished:
        _fill(store, _random((20, 20)))
        list(store.finish())
    before = sorted(path.rglob("*"))
    with pytest.raises(FileError, match=f"begun with {text}|begun {text}") as error:
        open_store(
            path,
            _plan((20, 20), "YX", **change),
            with_probabilities=not change,
            resume=True,
        )
    assert str(path) in str(error.value)
    assert sorted(path.rglob("*")) == before


def test_an_unfinished_store_is_not_thrown_away(tmp_path):
    path, plan = tmp_path / "o.zarr", _plan((20, 20), "YX")
    open_store(path, plan)
    for call in (
        lambda: open_store(path, plan),
        lambda: check_writable(path),
        lambda: write_labels(path, _labels((20, 20))),
    ):
        with pytest.raises(FileError, match="stopped before its end; add --resume"):
            call()
    check_writable(path, resume=True)


def test_a_complete_one_is_replaced(tmp_path):
    path = tmp_path / "o.zarr"
    write_labels(path, _labels((20, 20)), class_names=NAMES)
    write_labels(path, np.full((5, 6), 7, np.uint8))
    np.testing.assert_array_equal(zarr.open_group(path)["0"][...], np.full((5, 6), 7))
    yaozarrs.validate_zarr_store(str(path))
    open_store(path, _plan((30, 30), "YX"))
    assert zarr.open_group(path)["0"].shape == (30, 30)
    assert [p.name for p in tmp_path.iterdir()] == ["o.zarr"]


@pytest.mark.parametrize("kind", ["file", "folder", "array", "group"])
def test_what_is_not_ours_is_left_alone(tmp_path, kind):
    path = tmp_path / "o.zarr"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
        (path / "precious").write_text("")
    elif kind == "array":
        zarr.create_array(path, shape=(3,), dtype="u1")
    else:
        zarr.create_group(path, attributes={"mine": 1})
    before = sorted(p.name for p in tmp_path.rglob("*"))
    for resume in (False, True):
        with pytest.raises(FileError, match="was not written by this program"):
            open_store(path, _plan((20, 20), "YX"), resume=resume)
    with pytest.raises(FileError, match="was not written by this program"):
        write_labels(path, _labels((20, 20)))
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_folder_that_is_missing(tmp_path):
    path = tmp_path / "none" / "o.zarr"
    for call in (
        lambda: open_store(path, _plan((20, 20), "YX")),
        lambda: check_writable(path),
        lambda: write_labels(path, _labels((20, 20))),
    ):
        with pytest.raises(FileError, match="make the folder"):
            call()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    store = open_store(tmp_path / "o.zarr", _plan((20, 20), "YX"))

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(FileError, match="the disk is full"):
        _fill(store, _random((20, 20)))
    with pytest.raises(FileError, match="the disk is full"):
        write_labels(tmp_path / "p.zarr", _labels((20, 20)))
    assert [p.name for p in tmp_path.iterdir()] == ["o.zarr"]


def test_axes_in_another_order_are_refused(tmp_path):
    with pytest.raises(FileError, match="in the order TCZYX, these are ZTYX"):
        open_store(tmp_path / "o.zarr", _plan((2, 3, 20, 20), "ZTYX"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shape", "axes"), CASES)
def test_labels_in_memory(tmp_path, shape, axes):
    labels = _labels(shape)
    path = write_labels(
        tmp_path / "o.zarr", labels, axes=axes, unit="nm", class_names=NAMES
    )
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][...], labels)
    assert is_complete(path)
    assert len(_metadata(path)["image-label"]["colors"]) == 3


def test_objects_get_no_colours(tmp_path):
    """A label without a colour, beside some that have one, cannot be seen in napari."""
    path = write_labels(tmp_path / "o.zarr", _labels((20, 20)))
    yaozarrs.validate_zarr_store(str(path))
    assert _metadata(path)["image-label"] == {}
