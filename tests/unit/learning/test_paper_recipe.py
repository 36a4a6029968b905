"""The recipe 'paper': the network of 2015, trained as the paper says."""

import json

import numpy as np
import pytest
import torch

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.border_weights import weight_map
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.config import AugmentationConfig, FineTuneConfig, LearnerConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.checkpoint import load_tensors, save_tensors
from napari_unet.core.head import RidgeHead
from napari_unet.core.losses import IGNORE_INDEX
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.jobs import finish
from napari_unet.learning import Learner, load, training
from napari_unet.learning.batches import Batch, make_sampler, weigh_classes
from napari_unet.learning.candidates import Network
from napari_unet.learning.trained_head import OwnHead, TrainedHead
from napari_unet.learning.training import Trainer

CPU = torch.device("cpu")


def _paper(scene, **changes):
    """Return the recipe for a network of 8 to 16 channels."""
    tiny = scene.config.model_dump(
        include={"device", "n_threads", "base_channels", "instant", "tiling"}
    )
    given = {"recipe": "paper", "depth": 1, "fine_tune": {"score_every_s": 3600}}
    return LearnerConfig(**{**tiny, **given, **changes})


def _truth():
    """Return every pixel's class: background 1, the square 2 in four quarters.

    Two of the quarters, one above the other, are not held out.
    """
    truth = np.ones((48, 48), np.uint8)
    truth[16:32, 16:32] = 2
    truth[16:32, 23:25] = truth[23:25, 16:32] = 1
    return truth


def _annotate(image, annotation):
    source = ImageSource("image", PlaneStack(image, None, annotation.shape))
    return AnnotationSet().with_image(source, annotation, 2)


def _trainer(config, annotations):
    torch.manual_seed(0)
    n_classes = len(annotations.values)
    unet = UNet(config.unet_config(1, n_classes)).eval().requires_grad_(False)
    network = Network(unet, 2, 1)
    rate = config.fine_tune.learning_rate
    trainer = Trainer(network, None, config, rate, CPU)
    shape = (network.n_features, n_classes)
    blank = RidgeHead(np.zeros(shape, np.float32), np.zeros(n_classes, np.float32), 1.0)
    trainer.take(annotations, blank, blank)
    return trainer


@pytest.fixture
def trainer(scene, image):
    return _trainer(_paper(scene), _annotate(image, _truth()))


# -- tiles ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "tile"), [((700, 600), 388), ((256, 300), 244), ((388, 90), 84)]
)
def test_tiles_are_the_paper_s_or_the_largest_within_the_image(shape, tile):
    config = LearnerConfig(recipe="paper", base_channels=4)
    annotation = np.ones(shape, np.uint8)
    annotation[:, shape[1] // 2 :] = 2
    annotations = _annotate(np.zeros(shape, np.float32), annotation)
    unet = UNet(config.unet_config(1, 2))
    rng = np.random.default_rng(0)
    sampler = make_sampler(annotations, config, unet, config.fine_tune.patch_px, 1, rng)
    assert (sampler.image_px, sampler.target_px) == (tile + 184, tile)
    patch = sampler.draw()
    assert patch.image.shape == (1, tile + 184, tile + 184)
    assert patch.border.shape == (tile, tile)


def test_one_tile_a_step_however_many_classes(scene, image):
    annotation = np.ones((48, 48), np.uint8)
    for value in range(2, 6):
        annotation[8 * value - 8 : 8 * value, 10:20] = value
    trainer = _trainer(_paper(scene), _annotate(image, annotation))
    assert trainer.batch_size == 1
    sizes = []
    real = trainer.unet.features
    trainer.unet.features = lambda x: sizes.append(tuple(x.shape)) or real(x)
    trainer.step([])
    side = trainer._sampler.image_px
    assert sizes == [(1, 1, side, side)]


def test_where_memory_runs_out_the_tile_is_halved(scene, image):
    config = _paper(scene, fine_tune={"patch_px": 96})
    image = np.tile(image, (3, 3))
    trainer = _trainer(config, _annotate(image, np.tile(_truth(), (3, 3))))
    real, sizes = trainer.unet.features, []

    def poor(x, kept=None):
        sizes.append(x.shape[-1])
        if x.shape[-1] > 80:
            raise torch.OutOfMemoryError("no more")
        return real(x)

    trainer.unet.features = poor
    notices = []
    assert np.isfinite(trainer.step(notices))
    assert sizes == [112, 64]  # 16 px more than of output
    assert "1 patch of 48 px" in notices[0]


# -- the loss -------------------------------------------------------------------------


def test_the_loss_is_equation_1_with_the_weights_of_equation_2(scene, image):
    config = _paper(scene)
    annotations = _annotate(image, _truth())
    trainer = _trainer(config, annotations)
    hidden = [s.yx for _, s in annotations.strokes if s.fold == HELD_OUT_FOLD]
    assert len(hidden) == 2
    seen = _truth()
    for yx in hidden:
        seen[yx[:, 0], yx[:, 1]] = 0
    expected = weight_map(seen, w0=10, sigma_px=5)
    batch = Batch.draw(trainer._sampler, 1, CPU)
    logits = torch.randn(1, 2, *batch.targets.shape[1:])
    trainer._head.logits = lambda unet, images: logits
    found = float(trainer._loss(batch))
    log_p = logits.log_softmax(dim=1)[0]
    target = batch.targets[0]
    of_class = torch.from_numpy(weigh_classes(annotations, "frequency"))
    energy, weights = 0.0, []
    for y, x in np.ndindex(*target.shape):
        if target[y, x] != IGNORE_INDEX:
            w = float(of_class[target[y, x]] + batch.borders[0, y, x])
            energy -= w * float(log_p[target[y, x], y, x])
            weights.append(w)
    assert found == pytest.approx(energy / len(weights), rel=1e-4)
    # the tile is the whole image
    known = np.sort(expected[expected > 0])
    np.testing.assert_allclose(np.sort(weights), known, rtol=1e-5)
    assert max(weights) > 8


def test_weights_move_with_their_pixels():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(-1, 5, (3, 20, 20), generator=generator)
    targets[:, :3] = IGNORE_INDEX
    # each target has a weight of its own
    batch = Batch(torch.rand(3, 1, 36, 36), targets, targets.float() * 2 + 7)
    config = AugmentationConfig(elastic_sigma_px=3, contrast=0.2)
    moved = batch.augmented(config, torch.Generator().manual_seed(1))
    assert moved.images.shape == (3, 1, 36, 36)
    assert moved.targets.shape == moved.borders.shape == (3, 20, 20)
    assert (moved.targets != targets).any()
    # what came from beyond the targets has neither class nor weight
    is_from_beyond = moved.borders == 0
    assert (moved.targets[is_from_beyond] == IGNORE_INDEX).all()
    kept = ~is_from_beyond
    assert (moved.borders[kept] == moved.targets[kept].float() * 2 + 7).all()
    # with weights or without, the patches are changed alike
    plain = Batch(batch.images, targets).augmented(
        config, torch.Generator().manual_seed(1)
    )
    assert torch.equal(plain.images, moved.images)
    assert torch.equal(plain.targets, moved.targets)
    assert plain.borders is None


def test_the_border_weight_alone_is_for_every_network(scene, image, monkeypatch):
    """`compact` has it by a setting, on top of its usual class weights."""
    seen = []
    real = training.sparse_loss

    def note(logits, targets, class_weights, dice_weight, *weights):
        seen.append(weights)
        return real(logits, targets, class_weights, dice_weight, *weights)

    monkeypatch.setattr(training, "sparse_loss", note)
    annotations = _annotate(image, _truth())
    for border_weight in (0.0, 10.0):
        tuning = FineTuneConfig(patch_px=48, border_weight=border_weight)
        config = scene.config.model_copy(update={"fine_tune": tuning})
        assert np.isfinite(_trainer(config, annotations).step([]))
    without, (weights,) = seen
    assert without == ()
    usual = weigh_classes(annotations, "root")
    assert weights.max() > usual.max()
    assert len(seen) == 2


# -- steps ---------------------------------------------------------------------------


def test_steps_are_plain_sgd_with_momentum(trainer, monkeypatch):
    """No clipping, no warm-up, no averaging: v = 0.99 v + g, w = w - rate v."""
    names = [name for name, p in trainer.unet.named_parameters() if p.requires_grad]
    places = {n: p.detach().clone() for n, p in trainer.unet.named_parameters()}
    velocities = dict.fromkeys(names, 0.0)
    real = training.sparse_loss
    # gradients that clipping would shorten
    monkeypatch.setattr(training, "sparse_loss", lambda *args: 50 * real(*args))
    rate = trainer.config.fine_tune.learning_rate
    lengths = []
    for _ in range(3):
        trainer.step([])
        gradients = {n: p.grad for n, p in trainer.unet.named_parameters()}
        lengths.append(sum(float(g.square().sum()) for g in gradients.values()) ** 0.5)
        for name in names:
            velocities[name] = 0.99 * velocities[name] + gradients[name]
            places[name] = places[name] - rate * velocities[name]
    assert max(lengths) > 1
    for name, parameter in trainer.unet.named_parameters():
        torch.testing.assert_close(parameter.detach(), places[name])
        torch.testing.assert_close(
            dict(trainer.average.named_parameters())[name], parameter.detach()
        )
    assert (trainer.unet.head.weight != trainer.network.unet.head.weight).any()


def test_the_loss_falls(scene, image):
    # 10 px of deformation would leave little of squares of 7 px
    config = _paper(
        scene,
        fine_tune={"learning_rate": 1e-2},
        augmentation={"elastic_sigma_px": 0},
    )
    trainer = _trainer(config, _annotate(image, _truth()))
    losses = [trainer.step([]) for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


# -- the last layer --------------------------------------------------------------------


def test_what_is_trained_is_what_predicts(scene, image):
    learner = Learner(_paper(scene))
    learner.annotate(image, _truth())
    finish(learner.fine_tune(steps=3))
    labels = learner.predict(image, candidate="fine-tuned")
    unet = learner._state.trainer.average
    tile, size = unet.valid_input_px(48)
    border = (tile - size) // 2
    source = ImageSource("image", PlaneStack(image))
    start = -border
    pixels = source.read(0, start, start + tile, start, start + tile)
    with torch.no_grad():
        logits = unet(torch.from_numpy(pixels)[None])[0, :, :48, :48]
    expected = np.array(learner.class_values)[logits.argmax(dim=0).numpy()]
    gap = (logits[0] - logits[1]).abs().numpy()
    assert (labels == expected)[gap > 1e-3].all()
    assert set(learner.status.scores) >= {"forest", "instant", "fine-tuned"}


def test_a_saved_model_predicts_the_same_and_goes_on(scene, image, tmp_path):
    learner = Learner(_paper(scene))
    learner.annotate(image, _truth())
    finish(learner.fine_tune(steps=2))
    path = tmp_path / "model.safetensors"
    learner.save(path)
    again = load(path)
    assert again.config == learner.config
    assert again.config.recipe == "paper"
    name = "fine-tuned"
    before = learner.predict(image, candidate=name)
    np.testing.assert_array_equal(again.predict(image, candidate=name), before)
    again.annotate(image, _truth())
    np.testing.assert_array_equal(again.predict(image, candidate=name), before)
    trained = learner._state.tuned.trained.head
    trainer = finish_to_trainer(again)
    assert trainer._learning_rate == learner.config.fine_tune.learning_rate
    torch.testing.assert_close(
        trainer.unet.head.weight.detach()[:, :, 0, 0],
        torch.from_numpy(trained.weights[: trainer.unet.config.channels[0]].T),
    )
    finish(again.fine_tune(steps=1))
    assert again.status.step == 3


def finish_to_trainer(learner):
    """Return the trainer with which a loaded learner goes on, before its first step."""
    finish(learner.fine_tune(steps=0))
    return learner._state.trainer


def test_files_that_know_no_trained_head_have_a_fitted_one(trained, tmp_path):
    path = tmp_path / "model.safetensors"
    trained.save(path)
    tensors, header = load_tensors(path)
    del header["is_tuned_head_trained"], header["config"]["recipe"]
    for name in ("optimizer", "momentum", "class_balance"):
        del header["config"]["fine_tune"][name]
    old = tmp_path / "old.safetensors"
    save_tensors(old, tensors, json.loads(json.dumps(header)))
    again = load(old)
    assert again._state.tuned.trained is None
    assert again.config == trained.config


def test_a_new_class_keeps_the_outputs_of_the_others(trainer, image):
    trainer.step([])
    before = trainer.unet.head.weight.detach().clone()
    bias = trainer.unet.head.bias.detach().clone()
    annotation = _truth()
    annotation[40:46, 5:40] = 7
    annotation[2:4, 5:40] = 7
    newer = _annotate(image, annotation)
    trainer.take(newer, *trainer._heads)
    assert trainer.unet.head.out_channels == trainer.average.head.out_channels == 3
    assert torch.equal(trainer.unet.head.weight.detach()[:2], before)
    assert torch.equal(trainer.unet.head.bias.detach()[:2], bias)
    assert (trainer.unet.head.weight.detach()[2] != 0).all()
    assert not trainer.average.head.weight.requires_grad
    trainer.step([])
    assert (trainer.unet.head.weight.detach()[2] != 0).all()
    head = trainer.trained_head
    assert head.values == (1, 2, 7)
    assert head.head.weights.shape == (trainer.network.n_features, 3)
    # what is saved is a network of the start's classes, and the head by itself
    assert trainer.snapshot().unet.head.out_channels == 2


def test_a_learner_takes_a_new_class_while_it_learns(scene, image):
    learner = Learner(_paper(scene))
    learner.annotate(image, _truth(), key="image")
    finish(learner.fine_tune(steps=2))
    annotation = _truth()
    annotation[40:46, 5:40] = 7
    learner.annotate(image, annotation, key="image")
    assert set(np.unique(learner.predict(image))) <= {1, 2, 7}
    finish(learner.fine_tune(steps=1))
    assert learner.class_values == (1, 2, 7)
    labels = learner.predict(image, candidate="fine-tuned")
    assert set(np.unique(labels)) <= {1, 2, 7}


def test_the_usual_recipe_has_no_head_of_its_own(trained):
    assert trained._state.tuned.trained is None
    assert trained._state.trainer.trained_head is None


def test_a_head_goes_on_from_where_it_was():
    unets = [UNet(LearnerConfig(recipe="paper", base_channels=4).unet_config(1, 2))] * 2
    network = Network(unets[0], 2, 1)
    weights = np.zeros((network.n_features, 3), np.float32)
    weights[:4] = np.arange(12).reshape(4, 3)
    trained = TrainedHead((1, 2, 9), RidgeHead(weights, np.ones(3, np.float32), 2.0))
    head = OwnHead(network, *unets, seed=0)
    head.resume(trained)
    head.start_from(trained.head, (1, 2, 9))
    result = head.trained()
    assert result.values == (1, 2, 9)
    np.testing.assert_array_equal(result.head.weights, 2 * weights)
    np.testing.assert_array_equal(result.head.bias, 2 * np.ones(3))
