"""Writing fails: the old file stays, no part is left, and one sentence says why."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet.errors import FileError
from napari_unet.export import model_path, replace_file, write_labels

ONES = np.ones((8, 9), np.uint8)


def test_replaces_the_file_with_usual_permissions(tmp_path):
    path = write_labels(tmp_path / "a.tif", ONES)
    write_labels(path, ONES * 2)
    assert tifffile.imread(path).max() == 2
    assert os.listdir(tmp_path) == ["a.tif"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_failure_in_mid_write(tmp_path, monkeypatch, number, sentence):
    path = write_labels(tmp_path / "a.tif", ONES)

    def write_half(file, *_, **__):
        with open(file, "wb") as stream:
            stream.write(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tifffile, "imwrite", write_half)
    with pytest.raises(FileError, match=sentence) as caught:
        write_labels(path, ONES * 2)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path) == ["a.tif"]
    assert tifffile.imread(path).max() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_the_system_refuses_to_write_more(tmp_path):
    # a real refusal in the middle of a write, as a full disk gives one
    code = """
import resource, sys, numpy as np
from napari_unet.errors import FileError
from napari_unet.export import write_labels
labels = np.random.default_rng(0).integers(0, 255, (512, 512)).astype("uint8")
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_labels(sys.argv[1], labels)
except FileError as error:
    print(error)
"""
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert "the disk is full" in done.stdout
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.skipif(sys.platform != "linux", reason="/sys is read-only, for root also")
def test_read_only_folder():
    with pytest.raises(FileError, match="read-only"):
        write_labels("/sys/a.tif", ONES)


def test_missing_folder_and_folder_in_place_of_file(tmp_path):
    with pytest.raises(FileError, match=r"make the folder .*missing first"):
        write_labels(tmp_path / "missing" / "a.tif", ONES)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="is a file, not a folder"):
        write_labels(tmp_path / "file" / "a.tif", ONES)
    (tmp_path / "b.tif").mkdir()
    with pytest.raises(FileError, match="is a folder; give the name of a file in it"):
        write_labels(tmp_path / "b.tif", ONES)
    assert sorted(os.listdir(tmp_path)) == ["b.tif", "file"]


def test_a_bug_keeps_its_type_and_leaves_nothing(tmp_path):
    def write():
        with replace_file(tmp_path / "a.tif"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_stays_a_link(tmp_path):
    target = tmp_path / "target.tif"
    target.touch()
    link = tmp_path / "link.tif"
    link.symlink_to(target)
    write_labels(link, ONES)
    assert link.is_symlink()
    assert tifffile.imread(target).shape == ONES.shape


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("cells", "cells.safetensors"),
        ("a/cells.safetensors", "a/cells.safetensors"),
        ("CELLS.SAFETENSORS", "CELLS.SAFETENSORS"),
    ],
)
def test_a_model_gets_its_suffix(given, expected):
    assert model_path(given) == Path(expected)


@pytest.mark.parametrize("name", ["m.txt", "m.pt", "m.safetensors.bak"])
def test_a_model_of_another_suffix_is_refused(name):
    with pytest.raises(FileError, match=r"a model is a \.safetensors file: write it"):
        model_path(name)
