"""The loss of sparse annotations: cross-entropy and Dice on painted pixels only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from napari_unet.errors import AnnotationError

__all__ = [
    "IGNORE_INDEX",
    "balanced_class_weights",
    "frequency_class_weights",
    "sparse_loss",
]

IGNORE_INDEX = -1
"""Class index of unlabelled pixels in targets."""


def sparse_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    class_weights: torch.Tensor | None = None,
    dice_weight: float = 0.5,
    pixel_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return cross-entropy plus soft Dice of the annotated pixels.

    Pixels that nobody painted (``IGNORE_INDEX``) have no influence at all. Dice is
    averaged over the classes that occur in ``targets``, so that a class that is not in
    the batch neither rewards nor punishes.

    Parameters
    ----------
    logits : torch.Tensor
        (B, K, *S), floating point. Computed with in float32 whatever the type is.
    targets : torch.Tensor
        (B, *S), int64, class indices 0..K-1 or ``IGNORE_INDEX``.
    class_weights : torch.Tensor, optional
        (K,), weight of each class in the cross-entropy, at least 0. A class of weight 0
        is left out of Dice also. None weighs all classes the same.
    dice_weight : float
        Weight of ``1 - Dice`` beside the cross-entropy. The default of 0.5 lets
        cross-entropy, which gives calibrated probabilities, dominate.
    pixel_weights : torch.Tensor, optional
        (B, *S), weight of each pixel in the cross-entropy in place of its class's, at
        least 0. The weighted sum over the pixels (the paper's equation 1) is then
        divided by the number of annotated pixels, not by the sum of weights: a patch
        with many narrow gaps is to count more than one without.

    Returns
    -------
    torch.Tensor
        Scalar, float32. Exactly 0, with zero gradients, where nothing is annotated.

    Raises
    ------
    AnnotationError
        If the shapes do not fit each other or a target is not a class index.

    References
    ----------
    Soft Dice: Milletari et al. 2016, V-Net, https://doi.org/10.1109/3DV.2016.79.
    Weighted pixels: Ronneberger et al. 2015, arXiv:1505.04597, equations 1 and 2.
    """
    if pixel_weights is not None and pixel_weights.shape != targets.shape:
        raise AnnotationError(
            f"pixel weights of shape {tuple(pixel_weights.shape)} do not fit targets "
            f"of shape {tuple(targets.shape)}."
        )
    if targets.shape != (logits.shape[0], *logits.shape[2:]):
        raise AnnotationError(
            f"targets of shape {tuple(targets.shape)} do not fit logits of shape "
            f"{tuple(logits.shape)}; crop the targets to the network's output."
        )
    annotated = targets != IGNORE_INDEX
    classes = targets[annotated]
    if classes.numel() == 0:
        # an empty sum is 0 and has a graph, even where a logit is infinite
        return logits.flatten()[:0].float().sum()
    n_classes = logits.shape[1]
    _check_classes(classes, n_classes)
    values = logits.movedim(1, -1)[annotated].float()
    if class_weights is None:
        class_weights = values.new_ones(n_classes)
    weights = class_weights.to(values)
    log_p = F.log_softmax(values, dim=1)
    if pixel_weights is None:
        loss = _cross_entropy(log_p, classes, weights)
    else:
        losses = F.nll_loss(log_p, classes, reduction="none")
        loss = (losses * pixel_weights[annotated].to(losses)).mean()
    if dice_weight > 0:
        loss = loss + dice_weight * _dice_loss(log_p.exp(), classes, weights)
    return loss


def balanced_class_weights(counts: Sequence[int]) -> np.ndarray:
    """Return class weights that lift rare classes, from the classes' pixel counts.

    Weights are proportional to ``1 / sqrt(count)``: full balance (``1 / count``) would
    let a class with three painted pixels shout down all others.

    Parameters
    ----------
    counts : sequence of int
        (K,), annotated pixels of each class, at least 0.

    Returns
    -------
    numpy.ndarray
        (K,), float32, mean 1 over the classes present, 0 for the absent ones.

    Raises
    ------
    AnnotationError
        If a count is negative.
    """
    n = _checked_counts(counts)
    weights = np.zeros(n.shape)
    present = n > 0
    if present.any():
        weights[present] = n[present] ** -0.5
        weights /= weights[present].mean()
    return weights.astype(np.float32)


def frequency_class_weights(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the paper's w_c, which balances class frequencies wholly.

    The weight of a class is N / (K * count), of N pixels of K classes present: the
    classes weigh the same in sum, and the mean over all pixels is 1. To that mean the
    paper's w0 of 10 for borders relates.

    Parameters
    ----------
    counts : sequence of int
        (K,), annotated pixels of each class, at least 0.

    Returns
    -------
    numpy.ndarray
        (K,), float32, 0 for the absent classes.

    Raises
    ------
    AnnotationError
        If a count is negative.

    References
    ----------
    Ronneberger et al. 2015, arXiv:1505.04597, equation 2; the formula for w_c is not
    in the paper.
    """
    n = _checked_counts(counts)
    weights = np.zeros(n.shape)
    present = n > 0
    if present.any():
        weights[present] = n.sum() / (present.sum() * n[present])
    return weights.astype(np.float32)


def _checked_counts(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    n = np.asarray(counts, dtype=np.float64)
    if (n < 0).any():
        raise AnnotationError(f"pixel counts must not be negative, got {list(counts)}.")
    return n


def _check_classes(classes: torch.Tensor, n_classes: int) -> None:
    # on CUDA a wrong index would abort the whole process' context, so look first
    low, high = (int(extreme) for extreme in torch.aminmax(classes))
    if low < 0 or high >= n_classes:
        wrong = low if low < 0 else high
        raise AnnotationError(
            f"target {wrong} is not a class index: there are {n_classes} classes "
            f"(0 to {n_classes - 1}) and {IGNORE_INDEX} for unlabelled."
        )


def _cross_entropy(
    log_p: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted mean over pixels; 0 where all weights are 0."""
    per_px = weights[classes]
    losses = F.nll_loss(log_p, classes, reduction="none")
    tiny = torch.finfo(per_px.dtype).tiny
    return (losses * per_px).sum() / per_px.sum().clamp_min(tiny)


def _dice_loss(
    p: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """One minus the mean Dice of the classes present."""
    truth = F.one_hot(classes, p.shape[1]).to(p)
    n_truth = truth.sum(0)
    counted = ((n_truth > 0) & (weights > 0)).to(p)
    # a class present has a truth of at least one pixel: clamping only serves the others
    dice = 2 * (p * truth).sum(0) / (p.sum(0) + n_truth).clamp_min(1)
    return (counted * (1 - dice)).sum() / counted.sum().clamp_min(1)
