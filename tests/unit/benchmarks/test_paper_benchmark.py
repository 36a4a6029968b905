"""The paper benchmark: halves, parts, budgets, the peers' loop, and its tables."""

import numpy as np
import pytest
import torch


def row(name, group=None, of="dsb2018_fluo"):
    from _data import Row

    return Row(of, name, "YX", "instance", group or name)


def sample(annotation):
    from _paper_data import Sample

    return Sample("a", np.zeros(annotation.shape, np.uint8), annotation, annotation)


def prediction(*probabilities, border=None):
    from napari_unet.inference.prediction import Prediction

    return Prediction((1, 2), np.stack(probabilities).astype(np.float32), border)


def line(name, part, seed=0, fraction=1.0, commit="abc", **measures):
    from _paper_ours import OURS

    looks = ("network", "shown") if part in OURS else ("network",)
    return {
        "case": {"set": name, "fraction": fraction, "seed": seed},
        "part": part,
        "kind": "semantic" if name == "isbi2012_em" else "instance",
        "scores": {look: every_measure(name, measures) for look in looks},
        "n_steps": 3,
        "batch": 1,
        "patch_px": 256,
        "mpx": 0.2,
        "train_s": 1.0,
        "train_cpu_s": 1.0,
        "test_s": 1.0,
        "train": ["x"],
        "test": ["y"],
        "settings": {
            "budget_mpx": 1.0,
            "device": "cpu",
            "threads": 1,
            "version": "1",
        },
        "origin": {"commit": commit},
    }


def every_measure(name, given):
    from _paper_scores import MEASURES

    kind = "semantic" if name == "isbi2012_em" else "instance"
    return dict.fromkeys(MEASURES[kind], 0.5) | given


def test_a_series_is_cut_once_so_that_neighbours_stay_on_one_side():
    from _paper_data import split

    rows = [row(f"z{n}", of="isbi2012_em") for n in range(5)]
    train, test = split("isbi2012_em", rows)
    assert [r.name for r in train] == ["z0", "z1", "z2"]
    assert [r.name for r in test] == ["z3", "z4"]


def test_tiles_of_one_mosaic_are_on_one_side():
    from _paper_data import split

    rows = [row("a", "m"), row("b"), row("c", "m"), row("d"), row("e", "n"), row("f")]
    train, test = split("dsb2018_fluo", rows)
    assert [r.name for r in train] == ["a", "c", "d", "f"]
    assert [r.name for r in test] == ["b", "e"]


def test_the_manifest_tells_mosaics(tmp_path):
    from _data import read_manifest

    head = "set,name,axes,kind,note\n"
    lines = "s,a,YX,instance,mosaic-group 1\ns,b,YX,instance,a remark\n"
    (tmp_path / "manifest.csv").write_text(head + lines)
    assert [r.group for r in read_manifest(tmp_path)["s"]] == ["mosaic-group 1", "b"]


def test_a_part_is_whole_squares_about_so_large_and_lies_in_larger_parts():
    from _paper_data import REGION_PX, keep_part

    ids = np.ones((8 * REGION_PX, 8 * REGION_PX), np.uint8)
    ids[-5:, -5:] = 2
    ids[-5:, -9:-7] = 3
    pair = [sample(ids), sample(np.ones_like(ids))]
    small, large = (keep_part(pair, fraction, 3) for fraction in (0.01, 0.25))
    n_square = REGION_PX**2
    assert sum((part > 0).sum() for part in small) == 2 * n_square
    assert sum((part > 0).sum() for part in large) == 32 * n_square
    # the one square that has all objects comes first
    assert set(np.unique(small[0])) == {0, 1, 2, 3}
    for one, other, whole in zip(small, large, pair, strict=True):
        assert (other[one > 0] == one[one > 0]).all()
        assert (whole.annotation[other > 0] == other[other > 0]).all()
    assert not np.array_equal(large[0], keep_part(pair, 0.25, 4)[0])
    assert all((part > 0).all() for part in keep_part(pair, 1.0, 3))


def test_a_budget_is_as_many_steps_as_it_has_pixels_for():
    from _paper_peers import PEERS
    from _paper_training import n_steps_for

    peer = PEERS["monai"]
    step_px = peer.batch * peer.patch_px**2
    assert n_steps_for(7 * step_px, peer) == 7
    assert n_steps_for(1, peer) == 1


def test_windows_put_an_image_together_again():
    from _paper_training import predict_windows

    class Same(torch.nn.Module):
        def forward(self, images):
            return torch.cat([images, torch.zeros_like(images)], dim=1)

    image = np.random.default_rng(0).normal(size=(50, 21)).astype(np.float32)
    found = predict_windows(Same(), image, 32, "cpu")
    expected = 1 / (1 + np.exp(-image))
    assert found.shape == (2, 50, 21)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_dice_counts_labelled_pixels_alone():
    from _paper_training import soft_dice_loss

    targets = torch.tensor([[[0, 1, -1, -1]]])
    right = torch.tensor([[[[9.0, -9, 9, 9]], [[-9.0, 9, -9, -9]]]])
    assert float(soft_dice_loss(right, targets)) == pytest.approx(0, abs=1e-4)
    assert float(soft_dice_loss(-right, targets)) > 0.6


def test_a_peer_learns_what_is_easy(monkeypatch):
    from dataclasses import replace

    from _paper_data import Sample
    from _paper_peers import PEERS
    from _paper_training import run_peer

    def build(n_classes):
        return torch.nn.Conv2d(1, n_classes, 3, padding=1)

    def optimizer(network):
        return torch.optim.Adam(network.parameters(), 0.03)

    tiny = replace(
        PEERS["monai"],
        build=build,
        optimizer=optimizer,
        patch_px=32,
        package="numpy",
        batch=2,
    )
    monkeypatch.setitem(PEERS, "monai", tiny)
    truth = np.zeros((40, 48), np.uint8)
    truth[5:20, 5:20], truth[25:38, 25:40] = 1, 2
    both = [Sample("a", (truth > 0) * np.uint8(200), truth, truth + 1)]
    result = run_peer(
        "monai",
        "instance",
        both,
        [both[0].annotation],
        both,
        budget_px=4e5,
        seed=0,
        device="cpu",
    )
    assert result["n_steps"] == round(4e5 / (2 * 32 * 32))
    assert result["scores"]["network"]["foreground_iou"] > 0.9
    assert result["scores"]["network"]["f1_50"] == 1


def test_objects_of_several_images_are_counted_apart():
    from _paper_scores import score

    truth = np.zeros((30, 30), np.uint8)
    truth[5:15, 5:15] = 1
    parts = [sample(truth), sample(truth)]
    right = prediction(truth == 0, truth == 1)
    nothing = prediction(truth < 2, truth == 2)
    found = score("instance", parts, [right, nothing])
    assert found["seg"] == pytest.approx(0.5)
    assert found["ap50"] == pytest.approx(0.5)
    assert found["foreground_iou"] == pytest.approx(0.5)


def test_a_peers_border_belongs_to_its_object_and_parts_two():
    from _paper_scores import score
    from _paper_training import _merged

    truth = np.zeros((40, 60), np.uint8)
    truth[10:30, 10:30], truth[10:30, 30:50] = 1, 2
    border = np.zeros(truth.shape, bool)
    border[10:30, 27:33] = True
    one_hot = np.stack([truth == 0, (truth > 0) & ~border, border])
    merged = _merged(one_hot.astype(np.float32) * 0.94 + 0.02, [1, 2, 3])
    found = score("instance", [sample(truth)], [merged])
    assert found["f1_50"] == 1
    assert found["foreground_iou"] == 1
    without = prediction(*merged.probabilities)
    assert score("instance", [sample(truth)], [without])["f1_50"] < 1


def test_a_peers_pixel_is_what_is_likeliest_of_its_own_classes():
    from _paper_training import _merged

    pixels = np.array([[0.4, 0.3, 0.3], [0.3, 0.5, 0.2], [0.1, 0.4, 0.5]], np.float32)
    found = _merged(pixels.T[:, None], [1, 2, 3])
    assert found.labels.tolist() == [[1, 2, 2]]
    np.testing.assert_allclose(found.probabilities.sum(axis=0), 1, rtol=1e-6)
    assert (found.border <= found.probabilities[1]).all()
    assert _merged(pixels.T[:2, None], [1, 2]).border is None


def test_membranes_are_measured_as_in_the_challenge():
    from _paper_scores import score

    truth = np.ones((20, 20), np.uint8)
    truth[:, 9:11] = 0
    found = score("semantic", [sample(truth)], [prediction(truth == 0, truth == 1)])
    assert found["v_rand"] == 1
    assert found["warping_error"] == 0
    gone = score("semantic", [sample(truth)], [prediction(truth > 1, truth < 2)])
    assert gone["v_rand"] < 0.8
    assert gone["foreground_iou"] == pytest.approx(0.9)


def test_the_best_peer_is_the_best_in_the_sets_own_measure():
    from _paper_report import best_peer, report

    lines = [
        line("ctc_dic_hela", "compact", seg=0.7, pq=0.1),
        line("ctc_dic_hela", "monai", seg=0.6, pq=0.9),
        line("ctc_dic_hela", "smp", seg=0.65, pq=0.2),
        line("isbi2012_em", "compact", v_rand=0.8),
        line("isbi2012_em", "monai", v_rand=0.9),
        line("usiigaci_phc", "compact", seg=0.8),
    ]
    assert best_peer(lines, "ctc_dic_hela") == ("smp", "network")
    assert best_peer(lines, "usiigaci_phc") is None
    text = report(lines)
    assert "Ahead of every peer on 1 of 2 sets compared" in text
    assert "+0.050" in text
    assert "-0.100" in text
    assert "Not run: nnU-Net's network" in text


def test_cells_have_the_spread_over_seeds_and_errors_have_more_digits():
    from _paper_report import report

    lines = [
        line("isbi2012_em", "monai", seed, v_rand=v_rand, warping_error=warping)
        for seed, v_rand, warping in ((0, 0.8, 0.0003), (1, 0.9, 0.0005))
    ]
    text = report(lines)
    assert "0.850 ±0.071" in text
    assert "0.00040 ±0.00014" in text


def test_the_curve_compares_with_one_peer_that_was_run_with_a_part(tmp_path):
    from _paper_curve import draw_curve, points_of

    lines = [
        line("ctc_dic_hela", "compact", seg=0.7),
        line("ctc_dic_hela", "compact", fraction=0.05, seg=0.5),
        line("ctc_dic_hela", "smp", seg=0.6),
        line("ctc_dic_hela", "smp", fraction=0.05, seg=0.2),
        line("ctc_dic_hela", "monai", seg=0.65),
    ]
    ours, peer = points_of(lines, "ctc_dic_hela")
    assert ours == [(0.05, 0.5), (1.0, 0.7)]
    assert peer == [(0.05, 0.2), (1.0, 0.6)]
    picture = tmp_path / "curve.png"
    assert draw_curve(lines, picture)
    assert picture.stat().st_size > 1000
    assert not draw_curve(lines[:1], picture)


def test_ours_is_trained_for_the_budget_and_measured_as_network_and_as_shown():
    from _paper_data import Sample
    from _paper_ours import run_own

    rng = np.random.default_rng(0)
    truth = np.zeros((96, 96), np.uint8)
    truth[10:40, 10:40], truth[10:40, 40:70], truth[55:85, 45:80] = 1, 2, 3
    image = ((truth > 0) * 120 + rng.integers(0, 40, truth.shape)).astype(np.uint8)
    both = [Sample("a", image, truth, truth + 1)]
    result = run_own(
        "compact",
        "instance",
        both,
        [both[0].annotation],
        both,
        budget_px=2 * 3 * 128**2,
        config={
            "device": "cpu",
            "n_threads": 1,
            "seed": 0,
            "fine_tune": {"batch_size": 2},
        },
    )
    # a patch for each class that is learned: background, inside and border
    assert (result["n_steps"], result["batch"], result["patch_px"]) == (2, 3, 128)
    assert result["mpx"] == pytest.approx(2 * 3 * 128**2 / 1e6)
    assert set(result["scores"]) == {"network", "shown"}
    assert result["scores"]["shown"]["foreground_iou"] > 0.8


def test_what_is_too_small_follows_from_the_annotated_objects():
    from _paper_data import smallest_px

    ids = np.zeros((40, 40), np.uint16)
    ids[:10, :10] = ids[20:30, :10] = 1  # background does not count
    for number in range(10):
        ids[30:, 4 * number : 4 * number + 4] = 2 + number  # 40 px each
    assert smallest_px([ids]) == 10
    assert smallest_px([np.ones_like(ids)]) == 0
