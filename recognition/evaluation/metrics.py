"""Figures of genuine and impostor comparisons, also weighted."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Figures of genuine and impostor comparisons, from their cosine similarities.
#
# A comparison is accepted where its similarity reaches the threshold. FAR is the share of
# impostor comparisons accepted (false accept rate), TAR that of genuine ones. A face that was not
# found makes its comparison an error at any threshold: a genuine one has the similarity -inf, an
# impostor +inf.

Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]
"""Cosine similarities, (n,)."""

EXPECTED_ERRORS = 10
"""A rate is quoted only where at least this many errors are to be expected at that rate."""

_ROUNDING = 1e-9  # 0.07 * 100 is a little more than 7


def smallest_supported_far(impostors: int) -> float | None:
    """Return the smallest FAR that so many impostor comparisons can measure, or None for none."""
    return EXPECTED_ERRORS / impostors if impostors >= EXPECTED_ERRORS else None


def is_supported(far: float, impostors: int) -> bool:
    """Return whether so many impostor comparisons can measure this FAR."""
    return far * impostors >= EXPECTED_ERRORS - _ROUNDING


def threshold_at_far(impostor: Scores, far: float) -> float | None:
    """Return the lowest threshold at which at most `far` of the impostor comparisons are accepted.

    Args:
        impostor: Similarities of comparisons between different people.
        far: Within 0 … 1.

    Returns:
        The threshold, just above an impostor's similarity, or -inf where all may be accepted; None
        where `far` is not supported.
    """
    if not is_supported(far, len(impostor)):
        return None
    accepted = math.floor(far * len(impostor) + _ROUNDING)
    if accepted >= len(impostor):
        return -math.inf
    strongest_rejected = np.sort(impostor.astype(np.float64))[::-1][accepted]
    return float(np.nextafter(strongest_rejected, np.inf))


def tar_at_far(genuine: Scores, impostor: Scores, far: float) -> float | None:
    """Return the share of genuine comparisons accepted where at most `far` of the impostors are.

    Ties count against the recogniser: an impostor's similarity that lies on the threshold is
    rejected together with every genuine one that is equal to it.

    Args:
        genuine: Similarities of comparisons of one person.
        impostor: Similarities of comparisons between different people.
        far: Within 0 … 1.

    Returns:
        The TAR; None where `far` is not supported, or nothing is genuine.
    """
    threshold = threshold_at_far(impostor, far)
    if threshold is None or len(genuine) == 0:
        return None
    return float(np.mean(genuine.astype(np.float64) >= threshold))


def roc(genuine: Scores, impostor: Scores) -> tuple[Scores, Scores]:
    """Return the FAR and the TAR at each threshold, from the strictest to none, both rising.

    Args:
        genuine: Similarities of comparisons of one person, at least one.
        impostor: Similarities of comparisons between different people, at least one.

    Returns:
        FAR and TAR, each (t,): (0, 0) first, then one point for each similarity that occurs, (1, 1)
        last.
    """
    thresholds = np.unique(np.concatenate([genuine, impostor]).astype(np.float64))[::-1]

    def accepted(scores: Scores) -> Scores:
        below = np.searchsorted(np.sort(scores.astype(np.float64)), thresholds, side="left")
        return np.concatenate([[0.0], 1 - below / len(scores)])

    return accepted(impostor), accepted(genuine)


def auc(genuine: Scores, impostor: Scores) -> float | None:
    """Return the area under the ROC curve; None where a kind of comparison is missing.

    It is the probability that a genuine comparison is more similar than an impostor one, ties
    counting half (Hanley and McNeil, 1982).
    """
    if not (len(genuine) and len(impostor)):
        return None
    far, tar = roc(genuine, impostor)
    return float(np.trapezoid(tar, far))


def auc_variance(area: float, genuine: int, impostor: int) -> float:
    """Return the variance of an AUC where all comparisons are independent.

    It is that of exponentially distributed similarities, which Hanley and McNeil ("The meaning and
    use of the area under a ROC curve", Radiology 143, 1982) found to be no smaller than that of
    most others.

    Args:
        area: The AUC.
        genuine: Number of genuine comparisons, at least one.
        impostor: Number of impostor comparisons, at least one.
    """
    square = area**2
    two_genuine = area / (2 - area)  # both are more similar than one impostor
    two_impostors = 2 * square / (1 + area)  # one genuine is more similar than both
    return (
        area * (1 - area)
        + (genuine - 1) * (two_genuine - square)
        + (impostor - 1) * (two_impostors - square)
    ) / (genuine * impostor)


def equal_error_rate(genuine: Scores, impostor: Scores) -> float | None:
    """Return the error where FAR and FRR, the false reject rate 1 - TAR, are equal.

    Between neighbouring points of the ROC curve the crossing is interpolated.

    Args:
        genuine: Similarities of comparisons of one person.
        impostor: Similarities of comparisons between different people.

    Returns:
        The EER; None where a kind of comparison is missing.
    """
    if not (len(genuine) and len(impostor)):
        return None
    far, tar = roc(genuine, impostor)
    surplus = far - (1 - tar)  # from -1 to 1, rising
    after = int(np.argmax(surplus >= 0))
    share = surplus[after] / (surplus[after] - surplus[after - 1])
    return float(far[after] - share * (far[after] - far[after - 1]))


def accuracy(scores: Scores, same: npt.NDArray[np.bool_], threshold: float) -> float:
    """Return the share of comparisons that the threshold decides rightly.

    Args:
        scores: Similarities, (n,), at least one.
        same: Which comparisons are genuine, (n,).
        threshold: Accepts what reaches it.
    """
    return float(np.mean((scores >= threshold) == same))


def best_threshold(
    scores: Scores, same: npt.NDArray[np.bool_], *, false_accept_cost: float = 1
) -> float:
    """Return the threshold whose wrong decisions cost least.

    Args:
        scores: Similarities, (n,); infinite ones are errors anyhow and are left out.
        same: Which comparisons are genuine, (n,).
        false_accept_cost: Of a false accept, where a false reject costs 1; with 1 the threshold is
            the one that decides most comparisons rightly.

    Returns:
        The middle of the widest gap, between neighbouring similarities, in which errors cost
        least; 0 where there is nothing to compare.
    """
    finite = np.isfinite(scores)
    values = scores[finite].astype(np.float64)
    if len(values) == 0:
        return 0.0
    order = np.argsort(values, kind="stable")
    values, genuine = values[order], same[finite][order]
    # right[i]: what is right where the i lowest are rejected and the others accepted.
    rejected_impostors = false_accept_cost * np.concatenate([[0], np.cumsum(~genuine)])
    accepted_genuine = np.concatenate([np.cumsum(genuine[::-1])[::-1], [0]])
    right = rejected_impostors + accepted_genuine
    edges = np.concatenate([[values[0] - 1], values, [values[-1] + 1]])
    gaps = np.diff(edges)
    right[gaps == 0] = -1  # equal similarities cannot be told apart
    best = np.flatnonzero(right == right.max())
    widest = best[np.argmax(gaps[best])]
    return float((edges[widest] + edges[widest + 1]) / 2)


# The figures of `metrics` where every comparison has a weight, for many sets of weights at once.
#
# A comparison of weight 2 counts as two, one of weight 0 not at all. With equal weights the
# figures are those of `metrics`. This is what a bootstrap evaluates again and again, so scores
# are sorted only once.

Weights = npt.NDArray[np.float64]
"""A weight, not negative, for each comparison, a row for each set of weights: (B, n)."""


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
