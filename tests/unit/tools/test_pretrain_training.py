"""Pretraining does what the product does, and leaves a file that it reads."""

import json
import math
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_unet.config import UNetConfig
from napari_unet.core import start
from napari_unet.core.checkpoint import read_header, save_tensors
from napari_unet.core.head import HeadPrior, RidgeHead
from napari_unet.core.hypercolumn import hypercolumn, sample
from napari_unet.core.metrics import confusion_matrix, iou_per_class
from napari_unet.core.start import make_network, read_prior
from tools.pretrain.__main__ import means, parse, rate_now, save
from tools.pretrain.batch import collate
from tools.pretrain.episodes import Episode, draw_episode
from tools.pretrain.head import Prior, ridge
from tools.pretrain.procedural import draw_pair
from tools.pretrain.stream import BatchStream
from tools.pretrain.training import Settings, Trainer, _mean_iou, _pixel_loss

TINY = Settings(batch=2, patch_px=(64,), n_levels=3, base_channels=4, depth=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def episodes():
    rng = np.random.default_rng(0)
    drawn = (draw_episode(rng, draw_pair(seed, 96), 64) for seed in range(20))
    return [episode for episode in drawn if episode is not None][:4]


def _trained(episodes, n_steps=2):
    trainer = Trainer(TINY, CPU)
    logs = [trainer.step(collate(episodes[:2]), 1.0) for _ in range(n_steps)]
    return trainer, logs


# -- the twin of the product's head ----------------------------------------------------


@pytest.mark.parametrize("n", [8, 80])
@pytest.mark.parametrize("strength", [0.003, 0.3])
def test_the_ridge_fit_is_the_product_s(n, strength):
    """It solves the dual form; the product that of fewer equations."""
    rng = np.random.default_rng(n)
    features = rng.normal(size=(n, 20)).astype(np.float32) + 1
    targets = np.arange(n) % 3
    weights = rng.random(n).astype(np.float32)
    weights /= weights.sum()
    scale = rng.uniform(0.1, 1.5, 20).astype(np.float32)
    one_hot = np.eye(3, dtype=np.float32)[targets]
    # padding of weight 0 changes nothing
    padded = [np.pad(a, ((0, 5), (0, 0))) for a in (features * scale, one_hot)]
    betas, biases = ridge(
        *(torch.from_numpy(a)[None] for a in padded),
        torch.from_numpy(np.pad(weights, (0, 5)))[None],
        torch.tensor([strength]),
    )
    beta, bias = betas[0], biases[0]
    head = RidgeHead.fit(features, targets, 3, weights, strength, 1.0, scale)
    np.testing.assert_allclose(
        beta.numpy() * scale[:, None], head.weights, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(bias.numpy(), head.bias, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_strokes", [1, 5, 40])
def test_strength_and_temperature_are_the_product_s(n_strokes):
    prior = Prior([4, 8, 3])
    with torch.no_grad():
        prior.strength.copy_(torch.tensor([-2.5, -0.4]))
        prior.temperature.copy_(torch.tensor([1.6, 0.2]))
    prior.requires_grad_(False)
    strength, temperature = map(float, prior.of(torch.tensor(n_strokes)))
    other = HeadPrior(np.ones(15), (4, 8, 3), 1, (-2.5, -0.4), (1.6, 0.2))
    assert strength == pytest.approx(other.strength_for(n_strokes), rel=1e-5)
    assert temperature == pytest.approx(other.temperature_for(n_strokes), rel=1e-5)


def test_at_first_each_map_counts_the_same():
    prior = Prior([4, 16, 3]).requires_grad_(False)
    sums = [float(part.sum()) for part in (2 * prior.log_scale).exp().split([4, 16, 3])]
    np.testing.assert_allclose(sums, 1 / 3, rtol=1e-5)


# -- batches ---------------------------------------------------------------------------


def test_an_episode_in_a_batch_is_as_it_is_alone(episodes):
    """Whatever the padding: other numbers of pixels, other numbers of classes."""
    trainer, _ = _trained(episodes)
    short, long = episodes[0], _with_a_third_class(episodes[1])
    assert len(short.yx) != len(long.yx)
    assert short.n_classes != long.n_classes
    with torch.no_grad():
        together = trainer._predict(trainer.unet, trainer.prior, collate([short, long]))
        for number, episode in enumerate((short, long)):
            alone = trainer._predict(trainer.unet, trainer.prior, collate([episode]))
            mine = together[number, :, : episode.n_classes]
            gap = (mine - alone[0]).abs()
            assert gap.mean() < 0.02 * alone.std()  # half the digits
            assert (together[number, :, episode.n_classes :] < -50).all()


def _with_a_third_class(episode):
    targets = episode.targets.copy()
    targets[: len(targets) // 4] = 2
    return replace(episode, targets=targets, n_classes=3)


def _logits_and_truths():
    torch.manual_seed(0)
    truths = torch.randint(-1, 3, (2, 2, 12, 12), dtype=torch.int8)
    truths[1][truths[1] == 2] = -1  # an episode of two classes
    logits = torch.randn(2, 2, 3, 12, 12)
    logits[1, :, 2] = -100
    return logits, truths


def test_the_loss_is_weighted_entropy_and_soft_dice():
    logits, truths = _logits_and_truths()
    expected = []
    for item, truth, n in zip(logits, truths.long(), (3, 2), strict=True):
        counts = torch.stack([(truth == k).sum() for k in range(n)]).float()
        entropy = F.cross_entropy(
            item[:, :n], truth, (counts / counts.sum()) ** -0.5, ignore_index=-1
        )
        chances = item[:, :n].softmax(1).movedim(1, -1)[truth >= 0]
        one_hot = F.one_hot(truth[truth >= 0], n)
        dice = 2 * (chances * one_hot).sum(0) / (chances.sum(0) + counts + 1)
        expected.append(entropy + 1 - dice.mean())
    torch.testing.assert_close(
        _pixel_loss(logits, truths), torch.stack(expected).mean(), rtol=1e-4, atol=1e-4
    )


def test_the_iou_is_that_of_the_product():
    logits, truths = _logits_and_truths()
    found = _mean_iou(logits, truths)
    for episode in range(2):
        for view in range(2):
            truth = truths[episode, view].numpy()
            labels = logits[episode, view].argmax(0).numpy()
            iou = iou_per_class(confusion_matrix(truth, labels, range(3)))
            values = np.unique(truth[truth >= 0])
            assert float(found[episode, view]) == pytest.approx(iou[values].mean())


def test_a_stream_gives_the_same_batches_again():
    settings = replace(TINY, patch_px=(32, 64))
    runs = []
    for _ in range(2):
        stream = BatchStream(None, settings, 2)
        runs.append([next(stream) for _ in range(4)])
        stream.close()
    for mine, its in zip(*runs, strict=True):
        assert mine.images.shape[0] == settings.batch
        assert mine.images.shape[-1] in settings.patch_px
        torch.testing.assert_close(mine.images, its.images, rtol=0, atol=0)
    assert (runs[0][0].images.shape != runs[0][1].images.shape) or (
        runs[0][0].images != runs[0][1].images
    ).any()


def test_a_stream_says_when_a_process_ended(tmp_path):
    stream = BatchStream(tmp_path / "nowhere", TINY, 1)
    with pytest.raises(RuntimeError, match="exit code 1"):
        next(stream)


# -- training --------------------------------------------------------------------------


def test_a_step_changes_network_and_prior(episodes):
    trainer = Trainer(TINY, CPU)
    before = {n: p.clone() for n, p in trainer.unet.named_parameters()}
    scale, strength = trainer.prior.log_scale.clone(), trainer.prior.strength.clone()
    log = trainer.step(collate(episodes[:2]), 1.0)
    assert all(math.isfinite(value) for value in log.values())
    assert trainer.n_steps == 1
    for name, parameter in trainer.unet.named_parameters():
        is_changed = bool((parameter != before[name]).any())
        assert is_changed != name.startswith("head."), name
    assert (trainer.prior.log_scale != scale).any()
    assert (trainer.prior.strength != strength).any()


def test_the_seed_decides_the_steps(episodes):
    assert _trained(episodes)[1] == _trained(episodes)[1]


def test_it_learns(episodes):
    trainer, logs = _trained(episodes, 25)
    assert logs[-1]["loss"] < 0.9 * logs[0]["loss"]
    scores = trainer.validate(episodes)
    assert set(scores) == {"same", "other"}
    assert all(0 <= score <= 1 for score in scores.values())


def test_a_step_that_is_no_number_is_left_out(episodes):
    trainer, _ = _trained(episodes)
    before = {n: p.clone() for n, p in trainer.unet.named_parameters()}
    facts = {f.name: getattr(episodes[0], f.name) for f in fields(Episode)}
    bad = Episode(**{**facts, "images": np.full_like(facts["images"], np.nan)})
    assert trainer.step(collate([bad, episodes[1]]), 1.0) == {}
    for name, parameter in trainer.unet.named_parameters():
        assert (parameter == before[name]).all()


def test_steps_that_are_never_numbers_end_the_run(episodes):
    trainer, _ = _trained(episodes)
    batch = collate(episodes[:1])
    bad = replace(batch, images=torch.full_like(batch.images, torch.nan))
    for _ in range(49):
        assert trainer.step(bad, 1.0) == {}
    with pytest.raises(RuntimeError, match="no numbers"):
        trainer.step(bad, 1.0)


def test_a_step_left_out_does_not_spoil_the_log():
    logs = [{"loss": 1.0, "norm": 2.0}, {}, {"loss": 3.0, "norm": 4.0}]
    assert means(logs) == {"loss": 2.0, "norm": 3.0, "n_skipped": 1}
    assert means([{}]) == {"n_skipped": 1}


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(episodes, tmp_path):
    trainer, _ = _trained(episodes)
    trainer.save(tmp_path / "state.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    other = Trainer(TINY, CPU)
    other.resume(tmp_path / "state.pt")
    assert (other.n_steps, other.seconds) == (2, trainer.seconds)
    for _ in range(2):
        mine, theirs = (t.step(collate(episodes[2:]), 0.5) for t in (trainer, other))
        assert mine == theirs
    for name, tensor in trainer.average.state_dict().items():
        torch.testing.assert_close(other.average.state_dict()[name], tensor)


def test_other_settings_do_not_go_on_from_a_state(episodes, tmp_path):
    _trained(episodes)[0].save(tmp_path / "state.pt")
    other = Trainer(replace(TINY, learning_rate=1.0), CPU)
    with pytest.raises(ValueError, match=r"learning_rate 0\.001, not 1\.0"):
        other.resume(tmp_path / "state.pt")


def test_the_rate_knows_how_long_the_run_is_in_all(monkeypatch):
    line = ["pretrain", "--out", "run", "--steps", "1000", "--cool", "0.5"]
    monkeypatch.setattr("sys.argv", line)
    args, trainer = parse(), SimpleNamespace(n_steps=0, seconds=0.0)
    rates = {}
    for trainer.n_steps in (0, 49, 300, 750, 1000):
        rates[trainer.n_steps] = rate_now(args, trainer)
    assert rates == pytest.approx({0: 0.01, 49: 0.5, 300: 1, 750: 0.5, 1000: 0})
    args.steps, args.minutes, trainer.seconds = None, 10, 450.0
    assert rate_now(args, trainer) == pytest.approx(0.5)


def test_the_file_stays_where_validation_got_worse(episodes, tmp_path):
    trainer, _ = _trained(episodes)
    save(trainer, tmp_path, episodes[:2], None)
    before = (tmp_path / "compact.safetensors").read_bytes()
    best, trainer.best = trainer.best, 0.99
    assert 0 < best < 0.99
    save(trainer, tmp_path, episodes[:2], None)
    assert (tmp_path / "compact.safetensors").read_bytes() == before
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_run_can_begin_with_an_exported_file(episodes, tmp_path):
    trainer, _ = _trained(episodes)
    with torch.no_grad():
        trainer.average_prior.log_scale.copy_(torch.linspace(-3, 1, 59))
    save(trainer, tmp_path, episodes[:2], None)
    other = Trainer(replace(TINY, seed=1), CPU)
    other.start_from(tmp_path / "compact.safetensors")
    assert other.n_steps == 0
    assert other.started_from["n_steps"] == 2
    mine, its = trainer.validate(episodes), other.validate(episodes)
    assert its == pytest.approx(mine, abs=0.01)  # the file has half precision
    for name, tensor in trainer.average.state_dict().items():
        if not name.startswith("head."):
            torch.testing.assert_close(
                other.unet.state_dict()[name], tensor, rtol=1e-3, atol=1e-5
            )
    for name, tensor in trainer.average_prior.state_dict().items():
        torch.testing.assert_close(
            other.prior.state_dict()[name], tensor, rtol=3e-3, atol=1e-4
        )


@pytest.mark.parametrize("kind", ["model", "depth"])
def test_a_run_does_not_begin_with_another_network(episodes, tmp_path, kind):
    path = tmp_path / "compact.safetensors"
    if kind == "model":
        save_tensors(path, {"a": torch.zeros(1)}, {"schema_version": 1, "kind": "unet"})
    else:
        save(_trained(episodes)[0], tmp_path, episodes[:2], None)
    with pytest.raises(ValueError, match="does not hold bundled weights"):
        Trainer(replace(TINY, depth=3), CPU).start_from(path)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--workers", "0", "above 0"),
        ("--batch", "0", "above 0"),
        ("--threads", "-1", "above 0"),
        ("--rate", "nan", "above 0"),
        ("--steps", "0", "above 0"),
        ("--start", "nowhere", "no file"),
        ("--patch", "100", "multiples of 32"),
        ("--minutes", "0", "above 0"),
        ("--cool", "0", "above 0"),
        ("--data", "nowhere", "no manifest"),
    ],
)
def test_what_cannot_be_is_said_before_the_run(
    option, value, told, monkeypatch, capsys
):
    monkeypatch.setattr("sys.argv", ["pretrain", "--out", "run", option, value])
    with pytest.raises(SystemExit):
        parse()
    assert told in capsys.readouterr().err


# -- the file --------------------------------------------------------------------------


@pytest.fixture
def exported(episodes, tmp_path, monkeypatch):
    """A trainer and the folder with what it saved, as the package's."""
    trainer, _ = _trained(episodes)
    save(trainer, tmp_path, episodes[:2], None)
    monkeypatch.setattr(start, "_FOLDER", tmp_path)
    return trainer, tmp_path


def test_the_file_says_where_it_comes_from(exported):
    _, folder = exported
    header = read_header(folder / "compact.safetensors")
    assert header["kind"] == "bundled"
    assert header["data"] == ["procedural"]
    assert header["licence"]
    assert header["n_steps"] == 2
    assert header["settings"]["patch_px"] == [64]
    assert (header["n_levels"], header["n_scales"]) == (3, 2)
    assert 0 <= header["validation"]["same"] <= 1
    (line,) = (folder / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["validation_same"] == header["validation"]["same"]


def test_the_product_reads_the_file(exported):
    trainer, _ = exported
    config = UNetConfig(base_channels=4, depth=2, in_channels=3)
    unet, is_pretrained = make_network(config)
    assert is_pretrained
    for name, tensor in trainer.average.state_dict().items():
        if not name.startswith("head."):
            torch.testing.assert_close(
                unet.state_dict()[name], tensor, rtol=1e-3, atol=1e-5
            )
    prior = read_prior("compact")
    assert prior.covers(3)
    scales = trainer.average_prior.log_scale.detach().exp().numpy()
    np.testing.assert_allclose(prior.scales, scales, rtol=3e-3)
    for n_strokes in (2, 9):
        strength, temperature = trainer.average_prior.of(torch.tensor(n_strokes))
        assert prior.strength_for(n_strokes) == pytest.approx(float(strength), rel=1e-3)
        assert prior.temperature_for(n_strokes) == pytest.approx(
            float(temperature), rel=1e-3
        )


def test_the_product_s_head_is_that_of_training(exported, episodes):
    """With the file's network and prior: the same logits at the same pixels."""
    trainer, _ = exported
    unet, _ = make_network(UNetConfig(base_channels=4, depth=2, in_channels=3))
    prior, episode = read_prior("compact"), episodes[0]
    with torch.inference_mode():
        maps = hypercolumn(unet, torch.from_numpy(episode.images), 3, 2)
        features = sample(maps, 0, torch.from_numpy(episode.yx)).numpy()
        trained = trainer._predict(
            trainer.average, trainer.average_prior, collate([episode])
        )
    head = RidgeHead.fit(
        features,
        episode.targets,
        episode.n_classes,
        episode.weights,
        prior.strength_for(episode.n_strokes),
        prior.temperature_for(episode.n_strokes),
        prior.scale(3, 2, np.eye(3)),
    )
    y, x = episode.yx.T
    expected = trained[0, 0, : episode.n_classes, y, x].T.numpy()
    gap = np.abs(head.logits(features) - expected)
    assert gap.mean() < 0.05  # training's arithmetic has half the digits
