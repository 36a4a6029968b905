"""Lines of JSON beside a project, and minutes of painting."""

import json

import pytest

from napari_unet.annotation.corrective import Correction
from napari_unet.project.notes import (
    CORRECTIONS,
    add_corrections,
    add_lines,
    read_corrections,
    read_lines,
)
from napari_unet.project.work_time import painting_seconds

FOUND = Correction(12.5, "a b", 3, 2, 256, 0, {1: 90, 2: 10}, {(2, 1): 4, (1, 1): 1})


def test_corrections_come_back_as_they_were(tmp_path):
    add_corrections(tmp_path, [FOUND])
    add_corrections(tmp_path, [FOUND, FOUND])
    assert read_corrections(tmp_path) == [FOUND] * 3
    assert read_corrections(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"time": "x", "image": "a", "number": 1}',
        '{"time": NaN, "image": "a", "number": 1, "plane": 0, "y": 0, "x": 0, '
        '"predicted_px": {}, "painted_px": []}',
        '{"time": 1, "image": "a", "number": 1, "plane": 0, "y": 0, "x": 0, '
        '"predicted_px": [], "painted_px": []}',
    ],
)
def test_a_line_that_cannot_be_read_is_left_out(tmp_path, line):
    add_corrections(tmp_path, [FOUND])
    with open(tmp_path / CORRECTIONS, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    add_corrections(tmp_path, [FOUND])
    assert read_corrections(tmp_path) == [FOUND] * 2


def test_where_nothing_can_be_written_nothing_is_lost(tmp_path):
    add_lines(tmp_path / "no" / "folder", [{"a": 1}])
    (tmp_path / "full").write_bytes(b"")
    add_lines(tmp_path / "full", [{"event": "é"}])
    assert list(read_lines(tmp_path / "full")) == [{"event": "é"}]


def _paint(start, end, number=1, **more):
    return {"event": "paint", "start": start, "end": end, "number": number, **more}


def test_gaps_of_at_most_30_s_count_and_longer_ones_do_not():
    lines = [_paint(0, 2), _paint(32, 40), _paint(71, 75), _paint(70, 72, number=2)]
    assert painting_seconds(lines) == {1: 2 + 30 + 8 + 4, 2: 2}
    assert painting_seconds(lines[::-1]) == painting_seconds(lines)


def test_overlapping_strokes_count_once_and_nonsense_not_at_all():
    lines = [
        _paint(0, 10),
        _paint(5, 12),
        _paint(20, 10),
        _paint("x", 1),
        {"event": "learn", "time": 3},
        _paint(0, 1, number=None, image="b"),
    ]
    assert painting_seconds(lines) == {1: 12, "b": 1}
    assert painting_seconds([]) == {}
    json.dumps(painting_seconds(lines))
