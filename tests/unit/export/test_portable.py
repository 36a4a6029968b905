"""The portable network gives the learner's probabilities, to 1e-5."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from napari_unet import Learner, LearnerConfig
from napari_unet.config import ModelCard
from napari_unet.core.source import ImageSource, Normaliser, PlaneStack
from napari_unet.errors import ConfigError, FileError
from napari_unet.export import export_model
from napari_unet.export.model import portable_network
from napari_unet.export.model_check import check_model
from napari_unet.export.model_facts import document, facts_of
from napari_unet.export.model_format import model_format_of
from napari_unet.export.portable_scaling import Scaling, scale_range
from napari_unet.jobs import finish
from napari_unet.learning.chosen import chosen_network

SMALL = {"base_channels": 4, "depth": 2, "start": "scratch", "device": "cpu"}


def _image(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4000, shape).astype(np.uint16)


def _strokes(shape):
    strokes = np.zeros(shape, np.uint8)
    strokes[..., 4:7, 5:30] = 1
    strokes[..., 20:24, 5:30] = 2
    return strokes


def _learner(image, axes, steps=0, **settings):
    learner = Learner(LearnerConfig(**{**SMALL, **settings}))
    spatial = tuple(n for n, a in zip(image.shape, axes, strict=True) if a != "C")
    learner.annotate(image, _strokes(spatial), axes=axes)
    if steps:
        list(learner.fine_tune(steps=steps))
    return learner


def _portable(learner, name="instant", is_scaled=False):
    for _ in learner.update():
        pass
    state = learner._state
    state.complete()
    state.model = state.model.using(state.tuned, name)
    # a model without strokes stays as it is
    key = state.annotations.images[0].source.key
    state.annotations = state.annotations.without(key)
    return portable_network(chosen_network(learner), is_scaled=is_scaled)


def _wanted(learner, image, axes, name="instant"):
    job = learner.predict_job(image, axes=axes, probabilities=True, candidate=name)
    return finish(job)


def _as_batch(image, axes):
    array = image.astype(np.float32)
    if "C" in axes:
        array = np.moveaxis(array, axes.index("C"), 0)[None]
    else:
        array = array[None, None]
    return torch.from_numpy(array)


@pytest.mark.parametrize(
    ("shape", "axes", "settings"),
    [
        ((64, 96), "YX", {}),
        ((37, 53), "YX", {"instant": {"n_scales": 3}}),
        ((41, 60, 3), "YXC", {"instant": {"n_scales": 2, "n_feature_levels": 1}}),
        ((2, 45, 50), "CYX", {"downsampling": 2}),
        ((50, 43), "YX", {"architecture": "unet2015"}),
        ((39, 44), "YX", {"architecture": "unet2015", "instant": {"n_scales": 2}}),
        ((33, 47), "YX", {"depth": 1}),
    ],
)
def test_it_gives_the_learners_probabilities(shape, axes, settings):
    image = _image(shape)
    learner = _learner(image, axes, **settings)
    network = _portable(learner)
    for crop in (slice(None), slice(0, 29)):
        cut = tuple(crop if a in "YX" else slice(None) for a in axes)
        part = image[cut]
        found = network(_as_batch(part, axes))[0].numpy()
        wanted = _wanted(learner, part, axes)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert wanted.std() > 1e-3  # something to be equal about


def test_of_objects_it_gives_what_users_see():
    image = _image((48, 60))
    objects = np.zeros(image.shape, np.uint8)
    objects[:3] = 1
    objects[10:30, 5:20], objects[10:30, 20:35], objects[35:45, 40:55] = 2, 3, 4
    learner = Learner(LearnerConfig(**SMALL, annotation_mode="objects"))
    learner.annotate(image, objects)
    network = _portable(learner)
    assert len(network.weight) == 3  # with the border
    assert network.classes == (1, 2)
    found = network(_as_batch(image, "YX"))[0].numpy()
    np.testing.assert_allclose(found, _wanted(learner, image, "YX"), atol=1e-5)


@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_networks_that_see_the_planes_around_take_volumes(dimensions):
    image = _image((5, 33, 40))
    learner = _learner(image, "ZYX", steps=2, dimensions=dimensions)
    network = _portable(learner, "fine-tuned")
    assert network.ndim == 3
    found = network(_as_batch(image, "ZYX"))[0].numpy()
    wanted = _wanted(learner, image, "ZYX", "fine-tuned")
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "image",
    [
        np.full((20, 30), 7, np.uint8),
        np.where(np.arange(600).reshape(20, 30) == 5, 200, 3),
        np.where(np.arange(600).reshape(20, 30) % 7, 1.5, np.nan) * np.arange(30),
        np.where(np.arange(600).reshape(20, 30) % 50, np.arange(30), np.inf),
        np.full((20, 30), np.nan),
        60000 + np.arange(600).reshape(20, 30) % 9,
        np.arange(1_700_000).reshape(1000, 1700) ** 2 % 10_007,  # a sample of it
    ],
)
def test_images_are_normalised_alike(image):
    image = image.astype(np.float32)
    wanted = Normaliser.fit(PlaneStack(image, "YX")).apply(image[None])
    found = Scaling(False)(torch.from_numpy(image)[None, None])[0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("n_planes", [37, 124])  # 15 * (123 / 15) is below 123
def test_long_stacks_are_normalised_by_the_same_planes(n_planes):
    image = _image((n_planes, 20, 20)) + 1000 * np.arange(n_planes)[:, None, None]
    source = ImageSource("a", PlaneStack(image, "ZYX"))
    wanted = source.read_slab(0, n_planes, 0, (0, 20, 0, 20))
    found = Scaling(False)(_as_batch(image, "ZYX"))[0].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_scaled_images_give_the_same():
    image = _image((40, 52, 3))
    learner = _learner(image, "YXC")
    raw = _portable(learner)
    scaled = portable_network(chosen_network(learner), is_scaled=True)
    batch = _as_batch(image, "YXC")
    found = scaled(torch.from_numpy(scale_range(batch.numpy())))
    torch.testing.assert_close(found, raw(batch), atol=1e-5, rtol=0)
    half = scaled(torch.from_numpy(scale_range(batch.numpy())) * 0.5)
    assert (half - found).abs().max() > 1e-3  # nothing is measured on the image


def test_each_item_of_a_batch_is_normalised_by_itself():
    image = _image((32, 40))
    network = _portable(_learner(image, "YX"))
    batch = _as_batch(image, "YX")
    both = network(torch.cat([batch, batch * 3 + 50]))
    torch.testing.assert_close(both[0], both[1], atol=1e-5, rtol=0)


def test_tiles_with_the_overlap_it_names_give_the_same_of_scaled_images():
    image = _image((240, 64))
    network = _portable(_learner(image, "YX"), is_scaled=True)
    grid, reach = network.grid_px, -(-network.reach_px // network.grid_px)
    scaled = torch.from_numpy(scale_range(_as_batch(image, "YX").numpy()))
    whole = network(scaled)
    first, last = 96 // grid * grid, 128 // grid * grid
    low, high = first - reach * grid, last + reach * grid
    assert 0 < low < high < 240
    tile = network(scaled[..., low:high, :])[..., first - low : last - low, :]
    torch.testing.assert_close(tile, whole[..., first:last, :], atol=1e-5, rtol=0)


def test_a_forest_is_left_out_and_that_is_said(tmp_path):
    learner = _learner(_image((40, 52)), "YX")
    list(learner.update())
    state = learner._state
    state.complete()
    for shown in ("forest", "instant+forest"):
        state.model = state.model.using(None, shown)
        chosen = chosen_network(learner)
        assert chosen.name == "instant"
        assert f"'{shown}' predicts here" in chosen.remark
        assert "its forest cannot leave" in chosen.remark
    state.model = state.model.using(None, "instant")
    assert chosen_network(learner).remark == ""


def test_tensors_are_read_back_without_this_program(tmp_path):
    image = _image((40, 52))
    learner = _learner(image, "YX")
    learner.class_names = {2: "nucleus"}
    card = ModelCard(name="Some nuclei", authors=("A. Body",))
    done = export_model(learner, tmp_path / "net.safetensors", card=card)
    assert done.sample.shape == (1, 1, 40, 52)  # of what was learned from
    facts = json.loads((tmp_path / "net.json").read_text())
    assert facts["output"]["classes"] == {"1": "background", "2": "nucleus"}
    assert facts["card"]["authors"] == ["A. Body"]
    with safe_open(done.path, "pt") as file:
        assert json.loads(file.metadata()["description"]) == facts
        assert file.get_tensor("unet.down.0.0.weight").shape == (4, 1, 3, 3)
        names = list(file.keys())
    assert not any("gain" in name for name in names)  # plain convolutions
    export_model(learner, done.path, card=card)  # what is ours is replaced
    checked = check_model(done)
    assert checked.is_right
    assert len(checked.shapes) == 3
    # a check that could not fail would be none
    with torch.no_grad():
        done.network.bias += 0.5 * torch.arange(2)
    assert not check_model(done).is_right


def test_another_programs_file_is_not_replaced_by_what_lies_beside_tensors(tmp_path):
    (tmp_path / "cells.json").write_text('{"annotations": []}')
    learner = _learner(_image((40, 52)), "YX")
    with pytest.raises(FileError, match=r"cells\.json is there already"):
        export_model(learner, tmp_path / "cells.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["cells.json"]
    assert (tmp_path / "cells.json").read_text() == '{"annotations": []}'


@pytest.mark.parametrize(
    ("shape", "axes", "names"),
    [
        ((40, 52, 3), "YXC", ["red", "green", "blue"]),
        ((3, 40, 52), "CYX", ["channel0", "channel1", "channel2"]),
        ((40, 52), "YX", ["channel0"]),
    ],
)
def test_only_pictures_have_colours(shape, axes, names):
    chosen = chosen_network(_learner(_image(shape), axes))
    network = portable_network(chosen, is_scaled=True)
    facts = facts_of(chosen, network, ModelCard())
    assert facts["input"]["channel_names"] == names
    assert ("RGB" in document(facts)) == (names[0] == "red")


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("m.tif", None, "tells no format"),
        ("m", None, "tells no format"),
        ("m.onnx", "torch", "suffix of another format"),
        ("m.onnx", "pickle", "no format 'pickle'"),
    ],
)
def test_formats_that_cannot_be(tmp_path, name, format, message):
    with pytest.raises(ConfigError, match=message):
        model_format_of(tmp_path / name, format)


def test_the_format_follows_from_the_suffix_and_the_other_way_round(tmp_path):
    assert model_format_of("a.ZIP", None)[0] == "bioimageio"
    assert model_format_of("a.b", "onnx")[1].name == "a.b.onnx"


def test_what_is_missing_is_said_in_one_sentence(tmp_path, monkeypatch):
    from napari_unet.export import model_files

    monkeypatch.setattr(model_files, "find_spec", lambda name: None)
    learner = _learner(_image((40, 52)), "YX")
    for name in ("m.onnx", "m.zip"):
        with pytest.raises(ConfigError, match=r'pip install "napari-unet\[onnx\]"'):
            export_model(learner, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_package_takes_no_unscaled_images(tmp_path):
    learner = _learner(_image((40, 52)), "YX")
    with pytest.raises(ConfigError, match="takes scaled images"):
        export_model(learner, tmp_path / "m.zip", is_scaled=False)


@pytest.mark.parametrize(
    "wrong", [{"name": "abc"}, {"name": "a/bcdef"}, {"licence": "a b"}]
)
def test_cards_that_the_zoo_would_not_take(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ModelCard(**wrong)
