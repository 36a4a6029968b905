import numpy as np
import pytest
import torch

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.config import FineTuneConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.head import HeadPrior, RidgeHead
from napari_unet.core.losses import IGNORE_INDEX
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.errors import OutOfMemoryError, TrainingError
from napari_unet.learning import training
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.instant import HeadChoice, fit_head
from napari_unet.learning.samples import collect_samples
from napari_unet.learning.training import Trainer

CPU = torch.device("cpu")


def _annotate(image, strokes):
    source = ImageSource("image", PlaneStack(image, None, strokes.shape))
    return AnnotationSet().with_image(source, strokes, 4)


def _head(network, annotations):
    """Fit the closed-form head, as the learner does before training."""
    samples = collect_samples(annotations, tile_px=32, max_px=10_000)
    features = samples.of_network(network, FeatureCache())
    return fit_head(samples, features, network, HeadChoice(1.0, network.n_scales))


def _take(trainer, annotations):
    head = _head(trainer.network, annotations)
    trainer.take(annotations, head, head)


@pytest.fixture
def make_trainer(config, image, strokes):
    def make(
        annotations=None,
        architecture="compact",
        n_scales=1,
        has_teacher=False,
        rate=1e-2,
        **fine_tune,
    ):
        fine_tune = FineTuneConfig(**{"patch_px": 32, "batch_size": 2, **fine_tune})
        settings = config.model_copy(
            update={"fine_tune": fine_tune, "architecture": architecture}
        )
        torch.manual_seed(0)
        unet = UNet(settings.unet_config(1, 2)).requires_grad_(False)
        network = Network(unet.eval(), 3, n_scales)
        teacher = network if has_teacher else None
        trainer = Trainer(network, teacher, settings, rate, CPU)
        _take(trainer, annotations or _annotate(image, strokes))
        return trainer

    return make


def _steps(trainer, n):
    notices = []
    return [trainer.step(notices) for _ in range(n)], notices


def _state(unet):
    return {name: tensor.clone() for name, tensor in unet.state_dict().items()}


def _starve(trainer, max_px, error=torch.OutOfMemoryError):
    """Let the network's passes run out of memory above so many pixels."""
    features, sizes = trainer.unet.features, []

    def poor(x, kept=None):
        sizes.append(tuple(x.shape))
        if x.numel() > max_px:
            raise error("no more")
        return features(x, kept)

    trainer.unet.features = poor
    return sizes


# -- steps ----------------------------------------------------------------------------


@pytest.mark.parametrize("has_teacher", [False, True])
@pytest.mark.parametrize("n_scales", [1, 2])
@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
def test_the_loss_falls(make_trainer, architecture, n_scales, has_teacher):
    trainer = make_trainer(
        architecture=architecture, n_scales=n_scales, has_teacher=has_teacher
    )
    head, teacher_head = trainer._heads
    # from one that knows nothing, there is much to learn
    blank = RidgeHead(0 * head.weights, 0 * head.bias, 1.0)
    trainer.take(trainer._annotations, blank, teacher_head)
    losses, notices = _steps(trainer, 30)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert notices == []


def test_the_same_seed_gives_the_same_steps(make_trainer):
    assert _steps(make_trainer(), 3) == _steps(make_trainer(), 3)


def test_the_start_weights_stay_as_they_were(config, image, strokes):
    unet = UNet(config.unet_config(1, 2)).requires_grad_(False)
    before = _state(unet)
    network = Network(unet, 3, 2)
    trainer = Trainer(network, network, config, 1e-2, CPU)  # it is its own teacher
    _take(trainer, _annotate(image, strokes))
    _steps(trainer, 2)
    assert all((unet.state_dict()[n] == t).all() for n, t in before.items())
    assert not unet.head.weight.requires_grad


def test_a_snapshot_is_frozen_and_apart(make_trainer):
    trainer = make_trainer()
    _steps(trainer, 2)
    snapshot = trainer.snapshot()
    before = _state(snapshot.unet)
    _steps(trainer, 2)
    assert all((snapshot.unet.state_dict()[n] == t).all() for n, t in before.items())
    assert not any(p.requires_grad for p in snapshot.unet.parameters())
    assert not snapshot.unet.training
    assert trainer.snapshot().uid != snapshot.uid


def test_averaged_weights_follow_the_trained_ones(make_trainer):
    trainer = make_trainer(average_decay=0.5)
    name = "merge.0.2.weight"
    expected = _state(trainer.unet)[name]
    for step in range(1, 25):
        _steps(trainer, 1)
        decay = min(0.5, step / (step + 9))
        fast = trainer.unet.state_dict()[name]
        expected = decay * expected + (1 - decay) * fast
        torch.testing.assert_close(trainer.average.state_dict()[name], expected)
    assert (expected != fast).any()


def test_held_out_strokes_are_never_trained_on(
    make_trainer, image, strokes, monkeypatch
):
    annotations = _annotate(image, strokes)
    n_held_out = sum(s.n_px for _, s in annotations.strokes if s.fold == HELD_OUT_FOLD)
    assert n_held_out > 0
    seen = []

    def note(logits, targets, *rest):
        seen.append(targets.clone())
        return logits.sum() * 0

    monkeypatch.setattr(training, "sparse_loss", note)
    trainer = make_trainer(annotations, patch_px=128)
    sampler = trainer._sampler
    _steps(trainer, 5)
    labelled = sum(int((t != IGNORE_INDEX).sum()) for t in seen)
    assert labelled > 0
    for _ in range(20):
        target = sampler.draw().target
        assert (target != IGNORE_INDEX).sum() <= annotations.n_px - n_held_out


@pytest.mark.parametrize("n_classes", [2, 5])
def test_every_class_is_in_every_batch(make_trainer, image, n_classes, monkeypatch):
    strokes = np.zeros((48, 48), np.uint8)
    for value in range(1, n_classes + 1):
        strokes[8 * value, 5:40] = value
    seen = []
    real = training.sparse_loss

    def note(logits, targets, *rest):
        seen.append(set(targets.unique().tolist()) - {IGNORE_INDEX})
        return real(logits, targets, *rest)

    monkeypatch.setattr(training, "sparse_loss", note)
    _steps(make_trainer(_annotate(image, strokes)), 5)
    assert seen == [set(range(n_classes))] * 5


# -- the teacher ---------------------------------------------------------------------


def _unpainted(trainer):
    """Return what network and teacher give where nothing is painted, each (n, K)."""
    annotations = trainer._annotations
    (image,) = annotations.images
    height, width = image.source.stack.plane_shape
    pixels = torch.from_numpy(image.source.read(0, 0, height, 0, width))[None]
    free = torch.from_numpy(np.asarray(image.annotation) == 0)
    trainer.unet.eval()
    with torch.no_grad():
        return [
            head.logits(unet, pixels)[0].softmax(0)[:, free].T
            for head, unet in (
                (trainer._head, trainer.unet),
                (trainer._teacher_head, trainer._teacher.unet),
            )
        ]


@pytest.mark.parametrize("n_scales", [1, 2])
def test_where_nothing_is_painted_the_teacher_pulls(make_trainer, strokes, n_scales):
    """The strokes are painted in the wrong place: the network would follow them."""
    wrong = np.roll(strokes, 15, axis=0)
    image = np.random.default_rng(3).normal(size=(48, 48))
    distances = []
    for stay_weight in (0.0, 5.0):
        trainer = make_trainer(
            _annotate(image, wrong),
            n_scales=n_scales,
            has_teacher=True,
            rate=1e-3,
            stay_weight=stay_weight,
        )
        mine, known = _unpainted(trainer)
        torch.testing.assert_close(mine, known)  # it starts there
        _steps(trainer, 40)
        mine, known = _unpainted(trainer)
        distances.append(float((mine - known).abs().mean()))
    free, held = distances
    assert free > 0.05
    assert held < 0.5 * free


def test_the_teacher_is_silent_where_strokes_speak(make_trainer, monkeypatch):
    """A pixel is either painted or pulled."""
    painted, pulled = [], []
    sparse_loss, distance = training.sparse_loss, training._distance

    def note_painted(logits, targets, *rest):
        painted.append(targets != IGNORE_INDEX)
        return sparse_loss(logits, targets, *rest)

    def note_pulled(logits, known, mask):
        pulled.append(mask)
        return distance(logits, known, mask)

    monkeypatch.setattr(training, "sparse_loss", note_painted)
    monkeypatch.setattr(training, "_distance", note_pulled)
    _steps(make_trainer(has_teacher=True), 3)
    assert len(painted) == len(pulled) == 3
    for mine, other in zip(painted, pulled, strict=True):
        assert mine.any()
        assert (other == ~mine).all()


def test_without_a_teacher_only_strokes_count(make_trainer):
    runs = [
        (_steps(trainer, 3), _state(trainer.unet))
        for trainer in (make_trainer(stay_weight=w) for w in (0.0, 5.0))
    ]
    assert runs[0][0] == runs[1][0]
    assert all((runs[0][1][n] == t).all() for n, t in runs[1][1].items())


def test_a_teacher_of_no_weight_changes_nothing(make_trainer):
    with_teacher = make_trainer(has_teacher=True, stay_weight=0)
    assert _steps(with_teacher, 3) == _steps(make_trainer(), 3)


def test_the_teacher_stays_as_it_was(make_trainer):
    trainer = make_trainer(has_teacher=True)
    _, before = _unpainted(trainer)
    _steps(trainer, 5)
    mine, known = _unpainted(trainer)
    torch.testing.assert_close(known, before, rtol=0, atol=0)
    assert (mine - known).abs().max() > 1e-3
    assert all(p.grad is None for p in trainer._teacher.unet.parameters())
    assert all(p.grad is None for p in trainer._teacher_head.parameters())


def test_the_distance_counts_only_in_the_mask_and_rare_classes_weigh_more():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 4, 5, generator=generator).requires_grad_()
    known = torch.zeros(1, 2, 4, 5)
    known[:, 0] = 1
    known[:, :, 0, 0] = torch.tensor([0.0, 1.0])  # one pixel of 20
    mask = torch.ones(1, 4, 5, dtype=torch.bool)
    mask[:, 1:3] = False
    training._distance(logits, known, mask).backward()
    slope = logits.grad[0, 0].abs()
    assert (slope[1:3] == 0).all()
    assert (slope[[0, 3]] > 0).all()
    # a step of the same size has more weight in the rare class
    with torch.no_grad():
        slack = (logits.softmax(1) - known)[0, 0].abs()
    weights = slope / slack
    assert weights[0, 0] / weights[0, 1] == pytest.approx((0.95 / 0.05) ** 0.5)


def test_the_distance_is_least_at_what_is_known():
    known = torch.tensor([0.7, 0.3]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    logits = known.log().requires_grad_()
    training._distance(logits, known, mask).backward()
    assert logits.grad.abs().max() < 1e-6


def test_where_all_is_painted_there_is_no_distance():
    logits = torch.randn(2, 3, 4, 4).requires_grad_()
    known = torch.full((2, 3, 4, 4), 1 / 3)
    loss = training._distance(logits, known, torch.zeros(2, 4, 4, dtype=torch.bool))
    assert loss.item() == 0
    loss.backward()
    assert (logits.grad == 0).all()


# -- memory --------------------------------------------------------------------------


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_out_of_memory_halves_the_batch_and_then_the_patch(make_trainer, error):
    trainer = make_trainer(batch_size=8, patch_px=128)
    sizes = _starve(trainer, 64 * 64, error)
    losses, notices = _steps(trainer, 2)
    assert [s[0] for s in sizes] == [8, 4, 2, 1, 1, 1]
    assert [s[-1] for s in sizes] == [128, 128, 128, 128, 64, 64]
    assert np.isfinite(losses).all()
    assert trainer.n_steps == 2
    assert len(notices) == 4
    assert notices[0] == "Ran out of memory: went on with 4 patches of 128 px."
    assert notices[-1] == "Ran out of memory: went on with 1 patch of 64 px."


def test_many_classes_do_not_keep_the_batch_large(make_trainer, image):
    strokes = np.zeros((48, 48), np.uint8)
    for value in range(1, 9):
        strokes[5 * value, 5:40] = value
    trainer = make_trainer(_annotate(image, strokes), batch_size=2)
    sizes = _starve(trainer, 2 * 32 * 32)
    _, notices = _steps(trainer, 2)
    assert [s[0] for s in sizes] == [8, 4, 2, 2]
    assert "2 patches" in notices[-1]
    # new strokes do not bring back what did not fit
    trainer.take(trainer._annotations, *trainer._heads)
    _steps(trainer, 1)
    assert sizes[-1][0] == 2


@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
@pytest.mark.parametrize("patch_px", [16, 48])
def test_any_patch_fits_the_network_at_all_scales(make_trainer, architecture, patch_px):
    trainer = make_trainer(architecture=architecture, n_scales=3, patch_px=patch_px)
    losses, notices = _steps(trainer, 2)
    assert np.isfinite(losses).all()
    assert notices == []


def test_a_failed_attempt_changes_nothing(make_trainer):
    trainer = make_trainer(batch_size=1)
    before = _state(trainer.unet)
    _starve(trainer, 0)
    with pytest.raises(OutOfMemoryError, match=r"32 px: close other"):
        trainer.step([])
    assert trainer.n_steps == 0
    assert all((trainer.unet.state_dict()[n] == t).all() for n, t in before.items())
    assert all(p.grad is None for p in trainer.unet.parameters())


def test_other_errors_are_bugs_and_come_through(make_trainer):
    trainer = make_trainer()
    _starve(trainer, 0, RuntimeError)
    with pytest.raises(RuntimeError, match="no more"):
        trainer.step([])


# -- numbers that are none -----------------------------------------------------------


def _poison(trainer, monkeypatch, times):
    """Let so many losses be NaN."""
    left = [times]
    real = training.sparse_loss

    def poisoned(*args):
        left[0] -= 1
        return real(*args) * (float("nan") if left[0] >= 0 else 1)

    monkeypatch.setattr(training, "sparse_loss", poisoned)


def test_a_few_bad_losses_are_skipped(make_trainer, monkeypatch):
    trainer = make_trainer()
    before = _state(trainer.unet)
    _poison(trainer, monkeypatch, 3)
    losses, _ = _steps(trainer, 3)
    assert np.isnan(losses).all()
    assert trainer.n_steps == 0
    assert all((trainer.unet.state_dict()[n] == t).all() for n, t in before.items())
    losses, _ = _steps(trainer, 2)
    assert np.isfinite(losses).all()
    assert trainer.n_steps == 2


def test_bad_losses_for_long_stop_the_training_at_the_averaged_weights(
    make_trainer, monkeypatch
):
    trainer = make_trainer()
    _steps(trainer, 3)
    _poison(trainer, monkeypatch, 10**6)
    _steps(trainer, 5)  # may pass by themselves
    with pytest.raises(TrainingError, match="learning rate"):
        _steps(trainer, 40)
    for name, tensor in trainer.average.state_dict().items():
        assert torch.isfinite(tensor).all()
        assert (trainer.unet.state_dict()[name] == tensor).all()


def test_a_bad_gradient_of_a_good_loss_does_not_reach_the_weights(
    make_trainer, monkeypatch
):
    trainer = make_trainer()
    _steps(trainer, 2)
    before = _state(trainer.unet)

    class Infinite(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("inf")

    real = training.sparse_loss
    monkeypatch.setattr(
        training, "sparse_loss", lambda logits, *a: real(Infinite.apply(logits), *a)
    )
    _steps(trainer, 2)
    assert all((trainer.unet.state_dict()[n] == t).all() for n, t in before.items())
    with pytest.raises(TrainingError):
        _steps(trainer, 50)
    monkeypatch.setattr(training, "sparse_loss", real)
    losses, _ = _steps(trainer, 2)
    assert np.isfinite(losses).all()


# -- the head, and new classes -------------------------------------------------------


def test_each_feature_is_trained_as_it_is_trusted(make_trainer):
    """What is trusted little changes little, in one step of the same size."""
    trainer = make_trainer()
    prior = HeadPrior(
        scales=np.geomspace(1e-2, 10, 4 + 8 + 16 + 3).astype(np.float32),
        sizes=(4, 8, 16, 3),
        n_levels=3,
        strength=(-3.0, 0.0),
        temperature=(1.5, 0.0),
    )
    network = Network(trainer.network.unet, 3, 1, prior)
    trusting = Trainer(network, None, trainer.config, 1e-2, CPU)
    _take(trusting, trainer._annotations)
    head = trusting._heads[0]
    before = (trusting._head.weight * trusting._head.scale[:, None]).detach()
    expected = torch.from_numpy(head.weights * np.float32(head.temperature))
    torch.testing.assert_close(before, expected)  # it starts from the same scores
    _steps(trusting, 1)
    after = (trusting._head.weight * trusting._head.scale[:, None]).detach()
    change = (after - before).abs().amax(dim=1)
    assert change[-3:].min() > 100 * change[:3].max() > 0


def test_the_head_learns_faster_than_the_network(make_trainer):
    trainer = make_trainer()
    name = "down.0.0.weight"
    before = trainer.unet.get_parameter(name).detach().clone()
    head = trainer._head.weight.detach().clone()
    _steps(trainer, 1)  # the first step of Adam is as long as the learning rate
    moved = (trainer.unet.get_parameter(name) - before).abs().max().item()
    of_head = (trainer._head.weight - head).abs().max().item()
    assert of_head == pytest.approx(10 * moved, rel=0.1)


def test_training_goes_on_from_the_closed_form_head(make_trainer, image, strokes):
    """Before the first step, it gives the same scores."""
    # far from the border, where a tile sees zeros sooner than a patch does
    wide, middle = np.tile(image, (4, 4)), np.zeros((192, 192), np.uint8)
    middle[72:120, 72:120] = strokes
    annotations = _annotate(wide, middle)
    trainer = make_trainer(annotations, n_scales=2)
    samples = collect_samples(annotations, tile_px=48, max_px=10_000)
    network = trainer.network
    head = _head(network, annotations)
    source = annotations.images[0].source
    pixels = torch.from_numpy(source.read(0, 0, 192, 0, 192))[None]
    with torch.no_grad():
        logits = trainer._head.logits(trainer.unet, pixels)[0].numpy()
    expected = head.logits(samples.of_network(network, FeatureCache()))
    for group in samples.groups:
        y, x = group.yx.T
        np.testing.assert_allclose(logits[:, y, x].T, expected[group.rows], atol=1e-3)


def test_a_new_class_keeps_what_was_learned(make_trainer, image, strokes):
    trainer = make_trainer()
    _steps(trainer, 5)
    before, averaged = _state(trainer.unet), _state(trainer.average)
    (key,) = (k for k in trainer._optimizer._moments if "down.0.0.weight" in k)
    moments = trainer._optimizer._moments[key].mean.clone()
    assert moments.abs().sum() > 0
    strokes[40, 2:20] = 7
    _take(trainer, _annotate(image, strokes))
    assert trainer.values == (1, 2, 7)
    assert all((trainer.unet.state_dict()[n] == t).all() for n, t in before.items())
    assert all(
        (trainer.average.state_dict()[n] == t).all() for n, t in averaged.items()
    )
    kept = trainer._optimizer._moments[key]
    assert (kept.mean == moments).all()
    assert float(kept.step) == 5
    losses, _ = _steps(trainer, 20)
    assert np.isfinite(losses).all()
    assert trainer.n_steps == 25
    assert not any(p.requires_grad for p in trainer.average.parameters())


@pytest.mark.parametrize("value", [3, 9])
def test_classes_are_in_the_order_of_their_values(make_trainer, image, value):
    strokes = np.zeros((48, 48), np.uint8)
    strokes[5, 5:30], strokes[20, 5:30] = 1, 5
    trainer = make_trainer(_annotate(image, strokes))
    strokes[35, 5:30] = value
    _take(trainer, _annotate(image, strokes))
    assert trainer.values == tuple(sorted((1, 5, value)))
    losses, _ = _steps(trainer, 2)
    assert np.isfinite(losses).all()


def test_a_class_can_take_the_place_of_another(make_trainer, image, strokes):
    trainer = make_trainer()
    _steps(trainer, 1)
    fewer = strokes.copy()
    fewer[fewer == 2] = 9
    _take(trainer, _annotate(image, fewer))
    assert trainer.values == (1, 9)
    losses, _ = _steps(trainer, 3)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("value", [np.nan, 0.0, 1e30])
def test_strange_images_train(make_trainer, strokes, value):
    losses, _ = _steps(make_trainer(_annotate(np.full((48, 48), value), strokes)), 2)
    assert np.isfinite(losses).all()
