"""The benchmarks' arithmetic: what stands in the tables is what was measured."""

import json
from argparse import Namespace

import numpy as np
import pytest


def record(name, seed, n_strokes=3, **scores):
    return {
        "case": {"set": name, "seed": seed, "n_strokes": n_strokes},
        "scores": {key: {"same": iou} for key, iou in scores.items()},
        "ready_s": {},
    }


def test_foreground_leaves_out_value_1_only():
    from _tables import foreground_iou, mean_iou

    iou = {"1": 0.9, "2": 0.2, "3": 0.4}
    assert mean_iou(iou) == pytest.approx(0.5)
    assert foreground_iou(iou) == pytest.approx(0.3)
    assert foreground_iou({"1": 0.9}) is None


def test_each_set_weighs_the_same_however_many_cases_it_has():
    from _tables import by_set, mean_iou, mean_of

    records = [
        record("a", 0, forest={"1": 0.2}),
        record("a", 1, forest={"1": 0.4}),
        record("b", 0, forest={"1": 0.9}),
    ]
    means = by_set(records, "forest", "same", mean_iou)
    assert means == pytest.approx({"a": 0.3, "b": 0.9})
    assert mean_of(means) == pytest.approx(0.6)


def test_spread_compares_seeds_on_the_sets_they_share():
    from _tables import mean_iou, spread

    records = [
        record("a", 0, forest={"1": 0.2}),
        record("a", 1, forest={"1": 0.4}),
        record("b", 0, forest={"1": 0.9}),
    ]
    expected = np.std([0.2, 0.4], ddof=1)
    assert spread(records, "forest", "same", mean_iou) == pytest.approx(expected)
    assert spread(records[:1], "forest", "same", mean_iou) is None


def test_largest_loss_names_the_set_that_is_worst():
    from _tables import largest_loss

    name, loss = largest_loss({"a": 0.5, "b": 0.3}, {"a": 0.45, "b": 0.4})
    assert (name, loss) == ("b", pytest.approx(-0.1))


def test_a_curve_has_no_score_before_the_first_or_after_the_last_look():
    from _curve import _value_at
    from _tables import mean_iou

    case = record("a", 0, **{"fine-tuned@10": {"1": 0.4}, "fine-tuned@60": {"1": 0.8}})
    case["ready_s"] = {"fine-tuned@10": 10.0, "fine-tuned@60": 1000.0}
    values = [
        _value_at(case, "fine-tuned", "same", second, mean_iou)
        for second in (9.0, 10.0, 100.0, 2000.0)
    ]
    assert values == [None, pytest.approx(0.4), pytest.approx(0.6), None]


def test_the_forest_stays_as_good_as_it_was_at_once():
    from _curve import _value_at
    from _tables import mean_iou

    case = record("a", 0, forest={"1": 0.4})
    case["ready_s"] = {"forest": 0.7}
    assert _value_at(case, "forest", "same", 0.5, mean_iou) is None
    assert _value_at(case, "forest", "same", 60.0, mean_iou) == pytest.approx(0.4)


def test_parts_of_a_case_are_put_together_and_other_settings_left_out(tmp_path):
    from _runs import read_records

    case = {"set": "a", "seed": 0, "n_strokes": 3}
    lines = [
        {"part": "learner", "scores": {"forest": 1}, "ready_s": {"forest": 9.0}},
        {"part": "scratch", "scores": {"scratch@2": 2}, "ready_s": {"forest": 0.5}},
        {"part": "learner", "scores": {"forest": 3}, "ready_s": {"forest": 8.0}},
    ]
    for line in lines:
        line |= {"case": case, "settings": {"version": "new"}}
    old = {**lines[1], "scores": {"scratch@2": 7}, "settings": {"version": "old"}}
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in [*lines, old]))
    args = Namespace(out=path, seeds=[0], sets=None)
    (found,) = read_records(args, {"version": "new"}, "learner")
    assert found["scores"] == {"forest": 3, "scratch@2": 2}
    assert found["ready_s"]["forest"] == 0.5


def test_random_strokes_are_as_many_as_asked_and_right():
    from _strokes import add_random_strokes, count_strokes

    from napari_unet.annotation.simulate import simulate_strokes

    truth = np.ones((80, 80), np.uint8)
    truth[20:60, 30:70] = 2
    start = simulate_strokes(truth, 1, 0)
    more = add_random_strokes(truth, start, 3, 5)
    assert count_strokes(start) == 2
    assert count_strokes(more) == 5
    painted = more > 0
    assert (more[painted] == truth[painted]).all()
    assert (more[start > 0] == start[start > 0]).all()
    assert not np.array_equal(more, add_random_strokes(truth, start, 3, 6))
