"""The closed-form head: ridge regression on the network's features.

Fitting a linear head by ridge regression takes milliseconds, and so a stroke can change
the overlay at once (Bertinetto et al. 2019, arXiv:1805.08136).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

__all__ = ["HeadPrior", "RidgeHead", "softmax"]

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
        scale: Floats | None = None,
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
            Regularisation per scaled feature, as a share of the total weight.
        temperature
            Factor on the scores before the softmax.
        scale
            Shape (F,), factors on the features, how much each is trusted; None: they
            are standardised.
        """
        x = features.astype(np.float64)
        w = sample_weights.astype(np.float64) / sample_weights.sum()
        mean = w @ x
        if scale is None:
            deviation = np.sqrt(w @ (x - mean) ** 2)
            is_flat = deviation <= 1e-6 * (1 + np.abs(mean))
            factors = 1 / np.where(is_flat, np.inf, deviation)
        else:
            factors = scale.astype(np.float64)
        one_hot = np.eye(n_classes)[targets]
        prior = w @ one_hot
        is_used = factors != 0
        root = np.sqrt(w)[:, None]
        z = (x - mean)[:, is_used] * factors[is_used] * root
        weights = np.zeros((len(mean), n_classes))
        weights[is_used] = _solve(z, (one_hot - prior) * root, strength)
        weights *= factors[:, None]
        return cls(
            weights.astype(np.float32),
            (prior - mean @ weights).astype(np.float32),
            float(temperature),
        )

    def logits(self, features: Floats) -> Floats:
        """Map features (n, F) to logits (n, K)."""
        scores: Floats = features @ self.weights + self.bias
        return scores * np.float32(self.temperature)


def _solve(
    z: NDArray[np.float64], y: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Return ridge regression's weights (F, K) for rows z (n, F) and y (n, K).

    By whichever normal equations are fewer: those of the features, or of the rows.
    """
    is_tall = len(z) >= z.shape[1]
    gram = z.T @ z if is_tall else z @ z.T
    gram[np.diag_indices_from(gram)] += strength
    solution: NDArray[np.float64]
    if is_tall:
        solution = linalg.solve(gram, z.T @ y, assume_a="pos")
    else:
        solution = z.T @ linalg.solve(gram, y, assume_a="pos")
    return solution


@dataclass(frozen=True, eq=False)
class HeadPrior:
    """What pretraining found out about the head, besides the network's weights.

    Attributes
    ----------
    scales
        A factor on each feature: of the maps, scale by scale and finest first, and of
        the image's channels as the bundled network takes them.
    sizes
        Features of each map, and last the image's channels.
    n_levels
        Maps per scale.
    strength, temperature
        Each is exp(a + b log(number of strokes)).
    """

    scales: Floats
    sizes: tuple[int, ...]
    n_levels: int
    strength: tuple[float, float]
    temperature: tuple[float, float]

    def scale(
        self, n_levels: int, n_scales: int, mixing: NDArray[np.floating]
    ) -> Floats:
        """Return a factor per feature of the ``n_levels`` finest maps of each scale.

        Scales beyond those of the pretraining count as the smallest one. ``mixing``
        (n_channels, n_slots) says how the image's channels enter the bundled network.
        """
        *of_maps, of_image = np.split(self.scales, np.cumsum(self.sizes)[:-1])
        last = len(of_maps) // self.n_levels - 1
        parts = [
            of_maps[min(scale, last) * self.n_levels + level]
            for scale in range(n_scales)
            for level in range(n_levels)
        ]
        image = np.sqrt(mixing.astype(np.float64) ** 2 @ of_image**2)
        return np.concatenate([*parts, image]).astype(np.float32)

    def facts(self) -> dict[str, Any]:
        """Return all but the array, fit for JSON."""
        facts = asdict(self)
        del facts["scales"]
        return facts

    def covers(self, n_levels: int) -> bool:
        """Whether it knows so many levels of a scale."""
        return n_levels <= self.n_levels

    def strength_for(self, n_strokes: int) -> float:
        """Return the ridge strength for so many strokes."""
        return math.exp(self.strength[0] + self.strength[1] * math.log(n_strokes))

    def temperature_for(self, n_strokes: int) -> float:
        """Return the temperature for so many strokes."""
        return math.exp(self.temperature[0] + self.temperature[1] * math.log(n_strokes))


def softmax(logits: Floats, axis: int = -1) -> Floats:
    """Return probabilities along ``axis``."""
    shifted = np.exp(logits - logits.max(axis=axis, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=axis, keepdims=True)
    return probabilities
