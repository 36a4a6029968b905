"""The tables of the benchmarks of large images."""


def test_throughput_says_which_goals_are_met():
    from throughput import BARE, MONAI, WHOLE, report

    seconds = {1: {WHOLE: 10.0, BARE: 9.5, MONAI: 14.0}}
    text = "\n".join(report(seconds, 4000))
    assert "| 1 | whole image | 10.0 | 1.60 | 1.00 |" in text
    assert "against without halo: 0.95; goal 0.9: met." in text
    assert "against MONAI: 1.40; goal 1.5: NOT met." in text


def test_the_bare_network_gives_the_same_labels():
    """Or it would be compared with something else."""
    from argparse import Namespace

    import numpy as np
    import torch
    from throughput import Rows

    rows = Rows(Namespace(size=200, threads=[1], device="cpu", tile=None))
    halo = rows.halo_px
    window = torch.from_numpy(rows.source.read(0, -halo, 200 + halo, -halo, 200 + halo))
    # on the pooling grid at both sizes of the image
    window = torch.nn.functional.pad(window, (0, 24, 0, 24), mode="reflect")
    found = rows.logits(window[None])[0, :, halo : halo + 200, halo : halo + 200]
    learner = rows.learner
    expected = learner.predict(rows.image, candidate="instant")
    values = np.array(learner.class_values)[found.argmax(0).numpy()]
    assert (values == expected).mean() > 0.999


def test_memory_says_whether_the_peak_is_low_enough():
    from memory import report

    row = {"size_px": 4096, "n_tiles": 16, "peak_mb": 900, "s_per_mpx": 1.5}
    rows = [{**row, "levels_s": 0.1}, {**row, "peak_mb": 1600, "levels_s": 2.0}]
    text = "\n".join(report(rows))
    assert "| 4,096 x 4,096 | 16 | 900 | 1.50 | 0.1 |" in text
    assert "Largest peak 1,600 MB; goal below 1,500 MB: NOT kept." in text
    assert "900 MB; goal below 1,500 MB: kept." in "\n".join(report(rows[:1]))


def test_a_band_leaves_out_the_lower_rows():
    from types import SimpleNamespace

    from memory import Band

    done = {(0, 5)}
    store = SimpleNamespace(
        tile_px=10,
        write=None,
        finish=None,
        is_done=lambda index, tile: (index, tile.y0) in done,
    )
    band = Band(store, 20)
    tiles = [SimpleNamespace(y0=y) for y in (0, 5, 10, 20)]
    assert [band.is_done(0, tile) for tile in tiles] == [False, True, False, True]


def test_the_cluster_benchmark_says_how_many_times_as_fast():
    from cluster import ALONE, TWO, report

    text = "\n".join(report({ALONE: [20.0, 19.0], TWO: [11.0, 21.0]}, 4096))
    assert "| two workers | 11.0 | 21.0 | 1.82 |" in text
    assert "Two workers are 1.82 times as fast; goal 1.7: met." in text
    text = "\n".join(report({ALONE: [20.0, 19.0], TWO: [15.0, 21.0]}, 4096))
    assert "1.33 times as fast; goal 1.7: NOT met." in text
