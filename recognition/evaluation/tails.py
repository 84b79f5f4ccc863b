"""The upper tail of a distribution of similarities, beyond what can be counted.

Excesses over a high level follow a generalised Pareto distribution, whatever the similarities
themselves follow (Pickands, "Statistical inference using extreme order statistics", Annals of
Statistics 3, 1975). It is fitted by probability-weighted moments (Hosking and Wallis, "Parameter
and quantile estimation for the generalized Pareto distribution", Technometrics 29, 1987): closed
forms, steady in small samples, which take weights and so can be bootstrapped by identity.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .weighted import Weights

Values = npt.NDArray[np.float64]

_FLAT = 1e-9  # a shape that cannot be told from that of an exponential tail


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """What is above a level: how much, and how it thins out. One tail a row.

    Attributes:
        level: Where the tail begins.
        share: The part of all weight that lies above the level, (B,).
        scale: Of the generalised Pareto distribution, (B,), positive.
        shape: Its shape ξ, (B,): negative where similarities end somewhere, 0 for an exponential
            tail, positive for a heavy one.
    """

    level: float
    share: Values
    scale: Values
    shape: Values

    def threshold(self, rate: float) -> Values:
        """Return what is exceeded at a rate, (B,).

        Args:
            rate: Positive. Above `share` the curve goes on below the level.
        """
        ratio = np.log(self.share / rate)
        curved = np.where(np.abs(self.shape) < _FLAT, 1.0, self.shape)
        steps = np.where(np.abs(self.shape) < _FLAT, ratio, np.expm1(curved * ratio) / curved)
        return self.level + self.scale * steps

    def rate(self, threshold: float) -> Values:
        """Return how often a threshold is reached, (B,); within 0 … 1."""
        excess = (threshold - self.level) / self.scale
        curved = np.where(np.abs(self.shape) < _FLAT, 1.0, self.shape)
        base = 1 + curved * excess
        with np.errstate(divide="ignore", over="ignore"):
            left = np.where(base > 0, np.abs(base) ** (-1 / curved), curved > 0)
        flat = np.abs(self.shape) < _FLAT
        with np.errstate(over="ignore"):
            left = np.where(flat, np.exp(-excess), left)
        return np.clip(self.share * left, 0, 1)


def fit_tail(values: Values, weights: Weights, *, level: float, total: float) -> Tail:
    """Fit the tail above a level, once for each set of weights.

    Args:
        values: What lies above the level, ascending, (k,); not all of it equal.
        weights: Of the values, (B, k); no row is all 0.
        level: Where the tail begins.
        total: The weight of everything, above the level or not.
    """
    excess = values - level
    mass = weights.sum(axis=1)
    shares = weights / mass[:, None]
    # The part of the tail above each value; half of the value's own weight is above it.
    above = 1 - np.cumsum(shares, axis=1) + shares / 2
    first = shares @ excess
    second = (shares * above) @ excess
    # Of equal excesses `first - 2 * second` is 0; resampled weights must not get there.
    spread = np.maximum(first - 2 * second, 1e-6 * first)
    return Tail(
        level=level,
        share=mass / total,
        scale=2 * first * second / spread,
        shape=2 - first / spread,
    )
