"""The figures of `metrics` where every comparison has a weight, for many sets of weights at once.

A comparison of weight 2 counts as two, one of weight 0 not at all. With equal weights the figures
are those of `metrics`. This is what a bootstrap evaluates again and again, so scores are sorted
only once.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .metrics import Scores

Weights = npt.NDArray[np.float64]
"""A weight, not negative, for each comparison, a row for each set of weights: (B, n)."""

_ROUNDING = 1e-9  # sums of weights are not exact


def weighted_share(chosen: npt.NDArray[np.bool_], weights: Weights) -> Weights:
    """Return the share that the chosen comparisons have in each set of weights.

    Args:
        chosen: Which, (n,).
        weights: (B, n).

    Returns:
        (B,); 0 where all weights are 0.
    """
    total = weights.sum(axis=1)
    share: Weights = (weights @ chosen.astype(np.float64)) / np.where(total > 0, total, 1)
    return share


class WeightedCurve:
    """The ROC curve of comparisons, for several sets of weights.

    Args:
        scores: Cosine similarities, (n,); both kinds must occur.
        same: Which comparisons are genuine, (n,).
        weights: (B, n).
    """

    def __init__(self, scores: Scores, same: npt.NDArray[np.bool_], weights: Weights) -> None:
        order = np.argsort(scores, kind="stable")
        values = scores[order].astype(np.float64)
        last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of equal similarities
        ordered, genuine = weights[:, order], same[order]
        self._rejected_genuine = _shares(ordered * genuine, last)
        self._rejected_impostor = _shares(ordered * ~genuine, last)

    def auc(self) -> Weights:
        """Return the area under each curve, ties counting half: (B,)."""
        genuine, impostor = self._rejected_genuine, self._rejected_impostor
        middle = (impostor[:, 1:] + impostor[:, :-1]) / 2
        area: Weights = (np.diff(genuine, axis=1) * middle).sum(axis=1)
        return area

    def equal_error_rate(self) -> Weights:
        """Return where FRR and FAR cross, interpolated as `metrics.equal_error_rate`: (B,)."""
        surplus = self._rejected_genuine - (1 - self._rejected_impostor)  # from -1 to 1, rising
        rows = np.arange(len(surplus))
        after = np.argmax(surplus >= 0, axis=1)
        step = surplus[rows, after] - surplus[rows, after - 1]
        share = surplus[rows, after] / step
        frr = self._rejected_genuine
        crossing: Weights = frr[rows, after] - share * (frr[rows, after] - frr[rows, after - 1])
        return crossing

    def tar_at_far(self, far: float) -> Weights:
        """Return the TAR at the lowest threshold whose FAR is at most `far`: (B,)."""
        allowed = 1 - self._rejected_impostor <= far + _ROUNDING
        lowest = np.argmax(allowed, axis=1)
        tar: Weights = 1 - self._rejected_genuine[np.arange(len(lowest)), lowest]
        return tar

    def tar_along(self, fars: Sequence[float]) -> Weights:
        """Return the TAR at each of several FAR: (B, len(fars))."""
        return np.stack([self.tar_at_far(far) for far in fars], axis=1)


def _shares(weights: Weights, last: npt.NDArray[np.int64]) -> Weights:
    """Return the share of a kind's weight that is rejected above each threshold, from none to all.

    Args:
        weights: In the order of the similarities, 0 for the other kind: (B, n).
        last: Where each of the different similarities ends: (t,).

    Returns:
        (B, 1 + t), rising from 0 to 1.
    """
    sums = np.cumsum(weights, axis=1)
    if len(last) < sums.shape[1]:
        sums = sums[:, last]
    shares = np.empty((len(sums), 1 + len(last)))
    shares[:, 0] = 0
    np.divide(sums, np.where(sums[:, -1:] > 0, sums[:, -1:], 1), out=shares[:, 1:])
    shares[:, -1] = 1
    return shares
