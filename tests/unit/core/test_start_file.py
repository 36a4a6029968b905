"""Start weights from files: what fits is taken, and nothing is ever run."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_unet import Learner, LearnerConfig
from napari_unet.config import UNetConfig
from napari_unet.core.checkpoint import save_model
from napari_unet.core.start import make_network
from napari_unet.core.start_file import is_learner_file, read_start_weights
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError, FileError

CONFIG = UNetConfig(base_channels=4, depth=2, in_channels=1)


@pytest.fixture
def unet():
    torch.manual_seed(5)
    return UNet(CONFIG).eval().requires_grad_(False)


def _body(unet):
    return {n: t for n, t in unet.state_dict().items() if not n.startswith("head.")}


@pytest.mark.parametrize("kind", ["ours", "safetensors", "pt", "pth", "wrapped"])
def test_weights_that_fit_are_taken(tmp_path, unet, kind):
    path = tmp_path / f"w.{kind if kind in ('pt', 'pth') else 'safetensors'}"
    state = unet.state_dict()
    if kind == "ours":
        save_model(path, unet)
    elif kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(
            {"epoch": 3, "state_dict": state} if kind == "wrapped" else state, path
        )
    assert not is_learner_file(path)
    found = read_start_weights(path, UNetConfig(base_channels=4, depth=2, n_classes=5))
    assert found.keys() == _body(unet).keys()
    for name, tensor in _body(unet).items():
        assert torch.equal(found[name], tensor)
    network, is_pretrained = make_network(CONFIG, start="scratch", weights=found)
    assert is_pretrained
    assert torch.equal(network.down[0][0].weight, unet.down[0][0].weight)


def test_a_learner_starts_from_them_and_saves_them(tmp_path, unet):
    save_file(unet.state_dict(), tmp_path / "w.safetensors")
    config = LearnerConfig(base_channels=4, depth=2, device="cpu", start="scratch")
    learner = Learner(config)
    learner.start_from(tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)  # of other channels
    strokes = np.zeros((40, 50), np.uint8)
    strokes[4:7, 5:30], strokes[20:24, 5:30] = 1, 2
    learner.annotate(image, strokes)
    list(learner.update())
    started = learner._state.start.unet
    assert torch.equal(started.merge[0][0].weight, unet.merge[0][0].weight)
    # a grey image in all channels is seen as before
    first = started.down[0][0].weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(first, unet.down[0][0].weight)
    learner.save(tmp_path / "learner.safetensors")
    assert is_learner_file(tmp_path / "learner.safetensors")
    again = Learner.load(tmp_path / "learner.safetensors")
    assert again._state.is_pretrained
    np.testing.assert_array_equal(again.predict(image), learner.predict(image))


def _changed(unet, change):
    state = unet.state_dict()
    if change == "missing":
        del state["up.1.bias"]
    elif change == "shape":
        state["down.1.0.weight"] = torch.zeros(8, 4, 5, 5)
    elif change == "unknown":
        state["attention.weight"] = torch.zeros(2)
    else:
        state["merge.0.0.bias"] = torch.full((4,), torch.nan)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"has no tensor 'up.1.bias' of shape \(8,\)"),
        ("shape", r"'down.1.0.weight' of shape \(8, 4, 5, 5\).*needs \(8, 4, 3, 3\)"),
        ("unknown", "'attention.weight' of shape .* which the network has not"),
        ("nan", "not finite, in 'merge.0.0.bias'"),
    ],
)
def test_the_first_that_does_not_fit_is_named(tmp_path, unet, change, message):
    for path in (tmp_path / "w.safetensors", tmp_path / "w.pt"):
        state = _changed(unet, change)
        save_file(state, path) if path.suffix != ".pt" else torch.save(state, path)
        with pytest.raises(CheckpointError, match=message):
            read_start_weights(path, CONFIG)


def test_a_tensor_of_no_memory_takes_none(tmp_path):
    huge = torch.zeros(1).expand(2**40)  # four terabytes, were they copied
    torch.save({"down.0.0.weight": huge}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="of shape"):
        read_start_weights(tmp_path / "w.pt", CONFIG)


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it ran",))


def test_pickles_are_never_run(tmp_path, unet):
    torch.save({"a": _Bomb()}, tmp_path / "bomb.pt")
    torch.save(unet, tmp_path / "whole.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(_Bomb()))
    for name, message in {
        "bomb.pt": "holds more than tensors",
        "whole.pt": "holds more than tensors",
        "bare.pt": "Bare pickles cannot",
    }.items():
        assert not is_learner_file(tmp_path / name)
        with pytest.raises(CheckpointError, match=message):
            read_start_weights(tmp_path / name, CONFIG)


def test_archives_that_grow_are_refused(tmp_path, unet):
    torch.save(unet.state_dict(), tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(CheckpointError, match="compressed, or larger"):
        read_start_weights(tmp_path / "w.pt", CONFIG)


@pytest.mark.parametrize(
    "pickled",
    [
        b"(.",  # nothing on the stack
        b"\x85.",
        b"K\x01Q.",  # a reference to no tensor
        b"ccollections\nOrderedDict\nK\x01\x85R.",
        b"}]K\x01s.",  # a list as a key
    ],
)
def test_pickles_that_no_program_writes_are_one_sentence(tmp_path, pickled):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + pickled)
        archive.writestr("archive/version", "3\n")
    with pytest.raises(CheckpointError, match="holds no weights that can be read"):
        read_start_weights(tmp_path / "w.pt", CONFIG)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not a state dict"),
        ({}, "not a state dict"),
        ({"a": 3}, "no plain tensor"),
        ({"a": torch.zeros(3, dtype=torch.int8)}, "no plain tensor"),
        ({"a": torch.eye(3).to_sparse()}, "no plain tensor"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=message):
        read_start_weights(tmp_path / "w.pt", CONFIG)


def test_damaged_and_missing_files(tmp_path, unet):
    save_file(unet.state_dict(), tmp_path / "a.safetensors")
    torch.save(unet.state_dict(), tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointError, match="damaged"):
            read_start_weights(tmp_path / name, CONFIG)
    with pytest.raises(FileError, match="does not exist"):
        read_start_weights(tmp_path / "no.pt", CONFIG)
    with pytest.raises(CheckpointError, match="folder"):
        is_learner_file(tmp_path)
