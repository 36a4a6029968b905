"""The closed-form head: ridge regression on the network's features.

Fitting a linear head by ridge regression takes milliseconds, and so a stroke can change
the overlay at once (Bertinetto et al. 2019, arXiv:1805.08136).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RidgeHead", "softmax"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RidgeHead:
    """Linear scores for K classes from F features.

    ``weights`` has shape (F, K), ``bias`` (K,); ``temperature`` turns scores, which lie
    around 0..1, into logits.
    """

    weights: Floats
    bias: Floats
    temperature: float

    @classmethod
    def fit(
        cls,
        features: Floats,
        targets: NDArray[np.integer],
        n_classes: int,
        sample_weights: Floats,
        strength: float,
        temperature: float = 6.0,
    ) -> RidgeHead:
        """Solve weighted ridge regression onto one-hot targets.

        Parameters
        ----------
        features
            Shape (n, F).
        targets
            Shape (n,), class indices from 0.
        n_classes
            K.
        sample_weights
            Shape (n,), not negative, not all 0.
        strength
            Regularisation per standardised feature, as a share of the total weight.
        temperature
            Factor on the scores before the softmax.
        """
        x = features.astype(np.float64)
        w = sample_weights.astype(np.float64) / sample_weights.sum()
        mean = w @ x
        scale = np.sqrt(w @ (x - mean) ** 2)
        scale = np.where(scale > 1e-6 * (1 + np.abs(mean)), scale, np.inf)
        z = (x - mean) / scale
        one_hot = np.eye(n_classes)[targets]
        prior = w @ one_hot
        gram = (z * w[:, None]).T @ z
        gram[np.diag_indices_from(gram)] += strength
        weights = np.linalg.solve(gram, (z * w[:, None]).T @ (one_hot - prior))
        weights /= scale[:, None]
        return cls(
            weights.astype(np.float32),
            (prior - mean @ weights).astype(np.float32),
            float(temperature),
        )

    def logits(self, features: Floats) -> Floats:
        """Map features (n, F) to logits (n, K)."""
        scores: Floats = features @ self.weights + self.bias
        return scores * np.float32(self.temperature)


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Return probabilities along ``axis``."""
    shifted = np.exp(logits - logits.max(axis=axis, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=axis, keepdims=True)
    return probabilities
