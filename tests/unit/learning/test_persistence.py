import json

import numpy as np
import pytest

from napari_unet.core.checkpoint import load_tensors, save_model, save_tensors
from napari_unet.errors import CheckpointError, DeviceError, FileError
from napari_unet.jobs import finish
from napari_unet.learning import Learner, load
from napari_unet.learning.persistence import read_learner


@pytest.fixture(scope="module")
def saved(scene, bundle, tmp_path_factory):
    """A learner's file with all that one can hold: path, tensors and header."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        bundle(monkeypatch)
        learner = Learner(scene.pretrained)
        learner.annotate(scene.image(), scene.strokes())
        learner.class_names = {2: "square"}
        finish(learner.fine_tune(steps=1))
    model = learner._state.model
    learner._state.model = model.using(model.tuned, "fine-tuned+forest")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    learner.save(path)
    return path, *load_tensors(path)


@pytest.fixture
def rewrite(saved, tmp_path):
    """Write the file anew with other tensors or header entries."""
    _, tensors, header = saved

    def write(header_changes=(), tensor_changes=()):
        changed = {**header, **dict(header_changes)}
        arrays = {**tensors, **dict(tensor_changes)}
        path = tmp_path / "changed.safetensors"
        save_tensors(
            path,
            {n: a for n, a in arrays.items() if a is not None},
            {k: v for k, v in changed.items() if v is not ...},
        )
        return path

    return write


def _predict(path):
    image = np.random.default_rng(0).random((20, 30))
    learner = load(path)
    for name in ("instant", "fine-tuned", "forest"):
        labels = learner.predict(image, candidate=name)
        assert set(np.unique(labels)) <= set(learner.class_values)
    return learner


def test_the_file_is_plain_numbers_and_text(saved):
    path, tensors, header = saved
    assert b"pickle" not in path.read_bytes()
    assert {a.dtype.kind for a in tensors.values()} <= set("fiu")
    assert header["kind"] == "learner"
    assert header["values"] == [1, 2]
    assert header["class_names"] == {"2": "square"}
    assert header["chosen"] == "fine-tuned+forest"
    assert header["step"] == 1
    assert header["is_pretrained"]
    assert (header["n_levels"], header["n_scales"]) == (3, 2)
    assert len(header["temperatures"]) == 2
    json.dumps(header)


def test_what_was_written_is_read(saved, rewrite):
    _predict(saved[0])
    _predict(rewrite())


def test_prior_and_heads_are_as_they_were(saved, scene, bundle, monkeypatch, tmp_path):
    bundle(monkeypatch)
    learner = Learner(scene.pretrained)
    learner.annotate(scene.image(), scene.strokes())
    finish(learner.fine_tune(steps=1))
    learner.save(tmp_path / "model.safetensors")
    mine = learner._state.model
    theirs = load(tmp_path / "model.safetensors")._state.model
    assert theirs.start.prior.facts() == mine.start.prior.facts()
    for a, b in [
        (theirs.start.trust(2), mine.start.trust(2)),
        (theirs.tuned.network.trust(2), mine.tuned.network.trust(2)),
        (theirs.head.weights, mine.head.weights),
        (theirs.tuned.head.weights, mine.tuned.head.weights),
        (theirs.tuned.head.bias, mine.tuned.head.bias),
    ]:
        np.testing.assert_array_equal(a, b)
    assert theirs.tuned.head.temperature == mine.tuned.head.temperature
    assert theirs.head.temperature == mine.head.temperature


def test_what_is_loaded_is_fitted_anew_as_before(saved, scene):
    """With the file's own prior, whatever this version of the package carries."""
    learner = load(saved[0])
    learner.annotate(scene.image(), scene.strokes())
    labels = learner.predict(scene.image(), candidate="fine-tuned")
    first = load(saved[0])
    np.testing.assert_array_equal(
        labels, first.predict(scene.image(), candidate="fine-tuned")
    )
    np.testing.assert_allclose(
        learner._state.model.head.weights, saved[1]["head.weights"], atol=1e-3
    )


def test_a_learner_from_scratch_has_no_prior(learner, image, strokes, tmp_path):
    learner.annotate(image, strokes)
    path = tmp_path / "model.safetensors"
    learner.save(path)
    tensors, header = load_tensors(path)
    assert header["prior"] is None
    assert len(header["temperatures"]) == 1
    assert not [name for name in tensors if name.startswith(("prior.", "tuned"))]
    again = load(path)
    assert again._state.model.start.prior is None
    assert again._state.tuned is None
    np.testing.assert_array_equal(again.predict(image), learner.predict(image))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="folder"):
        load(tmp_path)


def test_a_bare_network_is_no_learner(saved, tmp_path):
    _, parts = read_learner(saved[0])
    save_model(tmp_path / "network.safetensors", parts.start.unet)
    with pytest.raises(CheckpointError, match="load_model"):
        load(tmp_path / "network.safetensors")


def test_a_device_that_is_absent_is_said(saved):
    import torch

    absent = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(DeviceError, match=absent):
        load(saved[0], device=absent)


NEEDED = [
    "config",
    "class_names",
    "axes",
    "is_pretrained",
    "values",
    "n_levels",
    "n_scales",
    "chosen",
    "temperatures",
    "start",
    "prior",
]
JUNK = [
    None,
    True,
    0,
    -1,
    7,
    1.5,
    "",
    "x",
    "12",
    [],
    [1],
    [[2]],
    {},
    {"a": 1},
    [0, 70000],
]


@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_entry_is_refused(rewrite, key):
    with pytest.raises(CheckpointError):
        load(rewrite({key: ...}))


@pytest.mark.parametrize("key", NEEDED)
def test_junk_in_an_entry_is_refused_or_harmless(rewrite, key):
    n_refused = 0
    for junk in JUNK:
        try:
            _predict(rewrite({key: junk}))
        except CheckpointError:
            n_refused += 1
    assert n_refused >= len(JUNK) - 3


@pytest.mark.parametrize(
    "change",
    [
        {"values": [1, 2, 3]},
        {"values": [1, 1]},
        {"values": [0, 1]},
        {"values": [1, 65536]},
        {"chosen": "perceptron"},
        {"chosen": "forest+forest"},
        {"temperatures": [6.0]},  # of the fine-tuned network, which is chosen, none
        {"temperatures": [6.0, 6.0, 6.0]},
        {"temperatures": []},
        {"temperatures": [6.0, "nan"]},
        {"temperatures": ["inf", 6.0]},
        {"temperatures": [0, 6.0]},
        {"temperatures": [6.0, -3]},
        {"n_levels": 0},
        {"n_levels": 2},
        {"n_levels": 99},
        {"n_scales": 0},
        {"n_scales": 1},
        {"n_scales": 3},
        {"n_scales": 99},
        {"axes": "ZZ"},
        {"axes": "XY"},
        {"class_names": {"two": "x"}},
    ],
)
def test_entries_that_do_not_fit_each_other_are_refused(rewrite, change):
    with pytest.raises(CheckpointError):
        load(rewrite(change))


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": []},
        {"sizes": [59]},
        {"sizes": [4, 8, 16, 4, 8, 16]},
        {"sizes": [4, 8, 16, 4, 8, 16, 3, 3]},
        {"sizes": [8, 4, 16, 4, 8, 16, 3]},  # as many in all, but other maps
        {"sizes": [4, 8, 16, 4, 8, 16, 0]},
        {"sizes": [4, 8, 16, 4, 8, 16, -3]},
        {"sizes": [4, 8, 16, 4, 8, 10**9, 3]},
        {"sizes": "484"},
        {"n_levels": 0},
        {"n_levels": 2},
        {"n_levels": 6},
        {"strength": [-3.0]},
        {"strength": [-3.0, "nan"]},
        {"strength": [-3000.0, 0.0]},
        {"temperature": [1.7, 0.1, 0.1]},
        {"temperature": [1.7, 3000.0]},
        {"temperature": None},
        {"surprise": 1},
    ],
)
def test_a_prior_that_does_not_fit_is_refused(saved, rewrite, change):
    with pytest.raises(CheckpointError):
        load(rewrite({"prior": {**saved[2]["prior"], **change}}))


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_strange_factors_are_refused(saved, rewrite, value):
    scales = saved[1]["prior.scales"].copy()
    scales[5] = value
    with pytest.raises(CheckpointError):
        load(rewrite((), {"prior.scales": scales}))


@pytest.mark.parametrize(
    "change",
    [
        {"ndim": 3},
        {"in_channels": 3},
        {"base_channels": 8},
        {"base_channels": 128, "depth": 6},
        {"depth": 1},
        {"architecture": "unet2015"},
        {"n_classes": 3},
        {"n_classes": 10**9},
        {"surprise": 1},
    ],
)
def test_settings_that_do_not_fit_the_weights_are_refused(saved, rewrite, change):
    config = {**saved[2]["start"], **change}
    with pytest.raises(CheckpointError):
        load(rewrite({"start": config}))


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 3},
        {"depth": 1},
        {"base_channels": 8},
        {"architecture": "unet2015"},
        {"schema_version": 2},
        {"n_threads": 0},
        {"surprise": 1},
    ],
)
def test_a_learner_s_settings_must_be_those_of_its_network(saved, rewrite, change):
    with pytest.raises(CheckpointError):
        load(rewrite({"config": {**saved[2]["config"], **change}}))


def test_a_volume_network_is_no_learner_s(saved, rewrite):
    """Its weights fit its settings, but it cannot predict planes."""
    from napari_unet.config import UNetConfig
    from napari_unet.core.unet import UNet

    config = UNetConfig(**{**saved[2]["start"], "ndim": 3})
    state = {f"start.{n}": t.numpy() for n, t in UNet(config).state_dict().items()}
    with pytest.raises(CheckpointError):
        load(rewrite({"start": config.model_dump(mode="json")}, state))


@pytest.mark.parametrize("key", ["values", "n_levels", "n_scales", "temperatures"])
def test_infinity_is_refused(saved, tmp_path, key, monkeypatch):
    """JSON knows 1e999, which Python reads as infinity."""
    from napari_unet.learning import persistence

    _, tensors, header = saved
    value = float("inf")
    header = {**header, key: [1, value] if isinstance(header[key], list) else value}
    monkeypatch.setattr(persistence, "load_tensors", lambda path: (tensors, header))
    with pytest.raises(CheckpointError):
        load(tmp_path / "any.safetensors")


def test_missing_or_strange_tensors_are_refused(saved, rewrite):
    _, tensors, _ = saved

    def infinite(array):
        wrong = array.copy()
        wrong.flat[0] = np.inf
        return wrong

    changes = [lambda a: None, lambda a: a[..., None], lambda a: a.ravel()[:-1]]
    for number, (name, array) in enumerate(sorted(tensors.items())):
        mine = [changes[number % 3]]  # each kind of change often, not all of all
        if name in (
            "head.weights",
            "head.bias",
            "prior.scales",
            "start.up.0.bias",
            "tuned.head.bias",
            "tuned_head.weights",
            "tuned_head.bias",
        ):
            mine = [*changes, infinite]
        for change in mine:
            with pytest.raises(CheckpointError):
                load(rewrite((), {name: change(array)}))
    with pytest.raises(CheckpointError):
        load(rewrite((), {"start.surprise": np.zeros(3, np.float32)}))


def test_a_forest_for_other_features_is_refused(saved, rewrite):
    """It would read beyond the features of an image."""
    _, tensors, _ = saved
    meta = tensors["forest.meta"] + [1000, 0]
    feature = tensors["forest.feature"].copy()
    feature[feature >= 0] += 900
    with pytest.raises(CheckpointError):
        load(rewrite((), {"forest.meta": meta, "forest.feature": feature}))


def test_damaged_bytes_are_refused_or_harmless(saved, tmp_path):
    content = saved[0].read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged.safetensors"
    n_refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for at in rng.integers(start, len(content), 8):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            _predict(path)
        except CheckpointError:
            n_refused += 1
    assert n_refused > 0


def test_a_failing_save_leaves_the_old_file(saved, tmp_path, learner, image, strokes):
    learner.annotate(image, strokes)
    with pytest.raises(FileError):
        learner.save(tmp_path / "no" / "folder" / "model.safetensors")
    with pytest.raises(FileError):
        learner.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
