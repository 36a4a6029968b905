"""The common training loop of the peers, and their prediction by sliding windows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from _paper_data import Sample, smallest_px, targets_of
from _paper_peers import PEERS, Peer, package_of
from _paper_scores import score
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from napari_unet.annotation.objects import BORDER, shown_value, shown_values
from napari_unet.inference.prediction import Prediction

__all__ = ["n_steps_for", "predict_windows", "run_peer", "soft_dice_loss"]

Record = dict[str, Any]
Floats = NDArray[np.float32]
_IGNORE = -1
_LONGEST_GRADIENT = 12.0  # nnU-Net's
_FOREGROUND_SHARE = 1 / 3  # nnU-Net's: patches around a pixel of a class drawn first


def run_peer(
    name: str,
    kind: str,
    train: Sequence[Sample],
    annotations: Sequence[NDArray[Any]],
    test: Sequence[Sample],
    *,
    budget_px: float,
    seed: int,
    device: str,
) -> Record:
    """Train a peer on the annotations; return its measures on the tested images."""
    peer = PEERS[name]
    torch.manual_seed(seed)
    targets = [targets_of(kind, part) for part in annotations]
    values = sorted({int(v) for part in targets for v in np.unique(part)} - {0})
    started, cpu_s = time.perf_counter(), time.process_time()
    network = peer.build(len(values)).to(device)
    crops = _Crops(
        [_normalised(sample.image) for sample in train], targets, values, peer, seed
    )
    n_steps = n_steps_for(budget_px, peer)
    _train(network, crops, peer, n_steps, device)
    train_s = time.perf_counter() - started
    cpu_s = time.process_time() - cpu_s
    predictions = [
        _merged(
            predict_windows(network, _normalised(sample.image), peer.patch_px, device),
            values,
        )
        for sample in test
    ]
    return {
        "scores": {"network": score(kind, test, predictions, smallest_px(annotations))},
        "n_steps": n_steps,
        "batch": peer.batch,
        "patch_px": peer.patch_px,
        "mpx": n_steps * peer.batch * peer.patch_px**2 / 1e6,
        "train_s": round(train_s, 1),
        "train_cpu_s": round(cpu_s, 1),
        "test_s": round(time.perf_counter() - started - train_s, 1),
        "package": package_of(peer),
    }


def n_steps_for(budget_px: float, peer: Peer) -> int:
    """Return the steps that make up a budget of training pixels, at least one."""
    return max(1, round(budget_px / (peer.batch * peer.patch_px**2)))


def soft_dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return 1 minus the mean Dice over classes, on labelled pixels of the batch.

    ``logits`` (B, K, H, W), ``targets`` (B, H, W), -1 where unlabelled.
    """
    known = (targets != _IGNORE).unsqueeze(1)
    likely = logits.softmax(dim=1) * known
    true = F.one_hot(targets.clamp(min=0), logits.shape[1]).movedim(-1, 1) * known
    shared = (likely * true).sum(dim=(0, 2, 3))
    size = likely.sum(dim=(0, 2, 3)) + true.sum(dim=(0, 2, 3))
    return 1 - ((2 * shared + 1) / (size + 1)).mean()


def predict_windows(
    network: nn.Module, image: Floats, side: int, device: str
) -> Floats:
    """Return probabilities (K, Y, X), of windows that overlap by at least a quarter.

    Windows have the size that was trained on, and weigh less towards their rims, as in
    MONAI (whose default a quarter is) and nnU-Net.
    """
    height, width = image.shape
    wide = _padded(image, side)
    line = np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (side / 8)) ** 2)
    weight = torch.from_numpy(np.outer(line, line).astype(np.float32)).clamp(min=1e-3)
    total, weights = None, torch.zeros(wide.shape)
    network.eval()
    with torch.no_grad():
        for y in _starts(wide.shape[0], side):
            for x in _starts(wide.shape[1], side):
                place = (slice(y, y + side), slice(x, x + side))
                window = torch.from_numpy(wide[place].copy())[None, None].to(device)
                logits = _finest(network(window))
                likely = logits.float().softmax(dim=1)[0].cpu()
                if total is None:
                    total = torch.zeros(len(likely), *wide.shape)
                total[(slice(None), *place)] += likely * weight
                weights[place] += weight
    assert total is not None
    result: Floats = (total / weights)[:, :height, :width].numpy()
    return result


def _merged(probabilities: Floats, values: Sequence[int]) -> Prediction:
    """Return the prediction with the border as a part of the objects.

    A pixel is labelled as what is likeliest of the network's own classes: with the sum
    of inside and border, every rim would become an object (AP 0.28, not 0.46, of
    MONAI's network on images of the pretraining).
    """
    shown = shown_values(values)
    merged = np.zeros((len(shown), *probabilities.shape[1:]), np.float32)
    for value, part in zip(values, probabilities, strict=True):
        place = merged[shown.index(int(shown_value(value)))]
        np.maximum(place, part, out=place)
    total = merged.sum(axis=0)
    border = probabilities[values.index(BORDER)] / total if BORDER in values else None
    return Prediction(shown, merged / total, border)


def _train(
    network: nn.Module, crops: _Crops, peer: Peer, n_steps: int, device: str
) -> None:
    """Take steps with a learning rate that falls to 0, as nnU-Net's does."""
    network.train()
    optimizer = peer.optimizer(network)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, n_steps, power=0.9)
    for _ in range(n_steps):
        images, targets = (part.to(device) for part in crops.draw())
        outputs = network(images)
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        loss = _loss(outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
        optimizer.step()
        schedule.step()


def _loss(outputs: Sequence[torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy and Dice; of coarser outputs half as much each, as nnU-Net.

    The coarsest output does not count, unless it is the only one.
    """
    outputs = outputs[: max(1, len(outputs) - 1)]
    total, weights = torch.zeros((), device=targets.device), 0.0
    for level, logits in enumerate(outputs):
        size = logits.shape[2:]
        coarse = F.interpolate(targets[:, None].float(), size).long()[:, 0]
        entropy = F.cross_entropy(logits, coarse, ignore_index=_IGNORE, reduction="sum")
        entropy = entropy / (coarse != _IGNORE).sum().clamp(min=1)
        total = total + (entropy + soft_dice_loss(logits, coarse)) / 2**level
        weights += 1 / 2**level
    return total / weights


class _Crops:
    """Draws patches around labelled pixels, flipped, turned, and changed in intensity.

    ``values`` are the classes in the order of the network's outputs.
    """

    def __init__(
        self,
        images: Sequence[Floats],
        targets: Sequence[NDArray[np.uint8]],
        values: Sequence[int],
        peer: Peer,
        seed: int,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._side, self._n = peer.patch_px, peer.batch
        lookup = np.full(256, _IGNORE, np.int64)
        lookup[list(values)] = np.arange(len(values))
        self._images = [_padded(image, self._side) for image in images]
        self._targets = [
            _padded(lookup[part], self._side, fill=_IGNORE) for part in targets
        ]
        self._places = [
            np.concatenate(
                [
                    np.insert(np.argwhere(part == n), 0, number, axis=1)
                    for number, part in enumerate(self._targets)
                ]
            )
            for n in range(len(values))
        ]
        self._sizes = np.array([len(places) for places in self._places], float)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (B, 1, H, W) and class indices (B, H, W)."""
        pairs = [self._draw_one() for _ in range(self._n)]
        images = np.stack([image for image, _ in pairs])[:, None]
        targets = np.stack([target for _, target in pairs])
        return torch.from_numpy(images), torch.from_numpy(targets)

    def _draw_one(self) -> tuple[Floats, NDArray[np.int64]]:
        rng, side = self._rng, self._side
        share = self._sizes / self._sizes.sum()
        if rng.random() < _FOREGROUND_SHARE:
            share = np.full(len(share), 1 / len(share))
        places = self._places[rng.choice(len(share), p=share)]
        number, *centre = places[rng.integers(len(places))]
        image, target = self._images[number], self._targets[number]
        corner = [
            int(np.clip(at - rng.integers(side), 0, n - side))
            for at, n in zip(centre, image.shape, strict=True)
        ]
        where = tuple(slice(at, at + side) for at in corner)
        turns, is_flipped = rng.integers(4), rng.random() < 0.5
        factor, shift = rng.uniform(0.8, 1.2), rng.uniform(-0.2, 0.2)
        parts = [np.rot90(part[where], turns) for part in (image, target)]
        parts = [part[::-1] if is_flipped else part for part in parts]
        changed = (parts[0] * factor + shift).astype(np.float32)
        return changed, parts[1].copy()


def _finest(outputs: Any) -> torch.Tensor:
    finest: torch.Tensor = outputs if torch.is_tensor(outputs) else outputs[0]
    return finest


def _normalised(image: NDArray[Any]) -> Floats:
    """Return the image with mean 0 and standard deviation 1, as nnU-Net does."""
    pixels = image.astype(np.float32)
    return (pixels - pixels.mean()) / max(float(pixels.std()), 1e-6)


def _padded(array: NDArray[Any], side: int, fill: int | None = None) -> NDArray[Any]:
    """Return it with at least ``side`` px each way: mirrored, or filled."""
    rims = [(0, max(0, side - n)) for n in array.shape]
    if fill is None:
        return np.pad(array, rims, mode="symmetric")
    return np.pad(array, rims, constant_values=fill)


def _starts(n: int, side: int) -> list[int]:
    """Return where windows begin along an axis, the last at its end."""
    return sorted({*range(0, n - side, side * 3 // 4), n - side})
