import json

import numpy as np
import pytest

from napari_unet.core.checkpoint import load_tensors, save_model, save_tensors
from napari_unet.errors import CheckpointError, DeviceError, FileError
from napari_unet.jobs import finish
from napari_unet.learning import Learner, load
from napari_unet.learning.persistence import read_learner


@pytest.fixture(scope="module")
def saved(scene, tmp_path_factory):
    """A learner's file: path, tensors and header."""
    learner = Learner(scene.config)
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
    json.dumps(header)


def test_what_was_written_is_read(saved, rewrite):
    _predict(saved[0])
    _predict(rewrite())


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="folder"):
        load(tmp_path)


def test_a_bare_network_is_no_learner(saved, tmp_path):
    _, parts = read_learner(saved[0])
    save_model(tmp_path / "network.safetensors", parts.start)
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
    "chosen",
    "temperature",
    "start",
    "tuned",
    "outputs",
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
        {"values": [1, 9]},  # the fine-tuned network does not know 9
        {"outputs": [1]},
        {"outputs": [2, 2]},
        {"outputs": [1, 2, 3]},
        {"chosen": "perceptron"},
        {"chosen": "forest+forest"},
        {"tuned": None},  # but chosen is the fine-tuned network
        {"n_levels": 0},
        {"n_levels": 2},
        {"n_levels": 99},
        {"temperature": "nan"},
        {"temperature": "inf"},
        {"temperature": 0},
        {"temperature": -3},
        {"axes": "ZZ"},
        {"axes": "XY"},
        {"class_names": {"two": "x"}},
    ],
)
def test_entries_that_do_not_fit_each_other_are_refused(rewrite, change):
    with pytest.raises(CheckpointError):
        load(rewrite(change))


@pytest.mark.parametrize("part", ["start", "tuned"])
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
def test_settings_that_do_not_fit_the_weights_are_refused(saved, rewrite, part, change):
    config = {**saved[2][part], **change}
    with pytest.raises(CheckpointError):
        load(rewrite({part: config}))


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


@pytest.mark.parametrize("key", ["values", "outputs", "n_levels", "temperature"])
def test_infinity_is_refused(saved, tmp_path, key, monkeypatch):
    """JSON knows 1e999, which Python reads as infinity."""
    from napari_unet.learning import persistence

    _, tensors, header = saved
    value = float("inf")
    header = {**header, key: [1, value] if key in ("values", "outputs") else value}
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
        if name in ("head.weights", "head.bias", "start.up.0.bias", "tuned.head.bias"):
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
