"""Comparisons of people who are not the same, and the threshold that their highest reach at a rate.

The highest similarities are fitted by a tail (`tails`), so that rates of a size that can be counted
are interpolated, and smaller ones extrapolated. The interval says what would come out with other
people (`intervals`).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import DatasetError

from .intervals import (
    Figures,
    Interval,
    difference_interval,
    freedom_by_person,
    variances_by_person,
)
from .metrics import Scores
from .tails import Tail, Values, fit_tail
from .weighted import Weights

REPLICATES = 400

REMEDY = "give photographs of more people (--data DIR)"
"""What helps where comparisons are too few."""

COMPARISONS = "comparisons of people who are not the same"
SEARCHES = "photographs, each searched for among other people,"
"""What is counted, in words: pairs of photographs, or photographs."""

STEPS_ABOVE = 5
"""The tail holds so many times what is wanted, to be interpolated."""

_TAIL = 100  # and at least so many comparisons, to be fitted
_WIDEST = 0.2  # but no larger a part of all, or it is no tail
_FEWEST = 20  # comparisons from which a tail is fitted at all
_FEWEST_PEOPLE = 5
_ALIKE = 1e-6  # similarities that differ by rounding alone


@dataclass(frozen=True, slots=True, eq=False)
class Impostors:
    """Comparisons of people who are not the same.

    Attributes:
        similarities: Cosines, (n,).
        people: The numbers, from 0, of the two people in each, (n, 2); a person's number twice
            where the other one is taken as given, such as those enrolled.
        weights: What each counts for, (n,), positive.
        what: What they are, in words: `COMPARISONS` or `SEARCHES`.
    """

    similarities: Scores
    people: npt.NDArray[np.int64]
    weights: Values
    what: str = COMPARISONS

    @property
    def effective(self) -> int:
        """How many comparisons of equal weight they are worth (Kish, "Survey Sampling", 1965)."""
        total = float(self.weights.sum())
        return round(total**2 / float(self.weights @ self.weights)) if total else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """A threshold for a wanted rate, and how sure it is.

    Attributes:
        rate: The rate wanted.
        threshold: The cosine similarity.
        threshold_interval: 95 % interval of the threshold.
        rate_interval: 95 % interval of the rate at which the threshold is reached.
        expected_errors: How many of the comparisons are expected to reach it.
        comparisons: How many there are, in such as count alike.
        tail: What was fitted.
        what: What was compared, in words.
    """

    rate: float
    threshold: float
    threshold_interval: Interval
    rate_interval: Interval
    expected_errors: float
    comparisons: int
    tail: Tail
    what: str = COMPARISONS


def fitted(
    impostors: Impostors,
    rate: float,
    relative_error: float,
    seed: int,
    replicates: int = REPLICATES,
) -> Cutoff:
    """Return the threshold that is reached at a rate, whether or not it is sure enough.

    Args:
        impostors: What it is fitted on.
        rate: Within 0 … 1.
        relative_error: The standard error of the rate wanted, over the rate.
        seed: Of the interval.
        replicates: How many sets of weights the interval is drawn from.

    Raises:
        DatasetError: The comparisons are too few to be fitted.
    """
    count = impostors.effective
    chosen, level = highest(impostors, rate, count)
    order = np.argsort(impostors.similarities[chosen], kind="stable")
    own = impostors.weights[chosen][order]
    people = impostors.people[chosen][order]
    values = impostors.similarities[chosen][order].astype(np.float64)
    total = float(impostors.weights.sum())

    def thresholds(weights: Weights) -> Weights:
        fitted = fit_tail(values, weights * own, level=level, total=total)
        return fitted.threshold(rate)[:, None]

    tail = fit_tail(values, own[None], level=level, total=total)
    threshold = float(tail.threshold(rate)[0])
    # How far the threshold moves where the rate is off by so much.
    own_error = relative_error * float(tail.scale[0] + tail.shape[0] * (threshold - level))
    interval = _interval(thresholds, threshold, people, own_error, replicates, seed)
    low, high = (float(tail.rate(end)[0]) for end in reversed(interval))
    return Cutoff(
        rate=rate,
        threshold=threshold,
        threshold_interval=interval,
        rate_interval=(low, high),
        expected_errors=rate * count,
        comparisons=count,
        tail=tail,
        what=impostors.what,
    )


def highest(impostors: Impostors, rate: float, count: int) -> tuple[npt.NDArray[np.bool_], float]:
    """Return which comparisons make the tail, and the similarity above which they lie.

    Args:
        impostors: All of them.
        rate: What is wanted.
        count: How many comparisons of equal weight they are worth.

    Raises:
        DatasetError: They are too few to be fitted.
    """
    share = min(max(STEPS_ABOVE * rate, _TAIL / max(count, 1)), _WIDEST)
    if share * count < _FEWEST:
        raise DatasetError(
            f"{count:,} {impostors.what} are too few for any threshold; "
            f"{math.ceil(_FEWEST / _WIDEST)} are needed: {REMEDY}"
        )
    similarities = impostors.similarities.astype(np.float64)
    order = np.argsort(similarities)[::-1]
    reached = np.cumsum(impostors.weights[order]) / float(impostors.weights.sum())
    first_below = int(np.searchsorted(reached, share))
    level = float(similarities[order[min(first_below, len(order) - 1)]])
    chosen: npt.NDArray[np.bool_] = similarities > level
    if not chosen.any() or np.ptp(similarities[chosen]) < _ALIKE:
        raise DatasetError(
            "the highest similarities are all the same: these photographs cannot give a threshold"
        )
    people = len(np.unique(impostors.people[chosen]))
    if people < _FEWEST_PEOPLE:
        raise DatasetError(
            f"the most similar photographs are of {people} people alone, which says nothing about "
            f"others: {REMEDY}"
        )
    return chosen, level


def _interval(
    thresholds: Figures,
    value: float,
    people: npt.NDArray[np.int64],
    own_error: float,
    replicates: int,
    seed: int,
) -> Interval:
    """Return the 95 % interval of a threshold, bootstrapped by identity.

    `own_error` is what else moves the threshold, as a standard error.
    """
    _, numbered = np.unique(people, return_inverse=True)
    pairs = numbered.reshape(people.shape)
    variance = variances_by_person(thresholds, pairs, replicates=replicates, seed=seed)
    freedom = freedom_by_person(thresholds, pairs)
    known = len(np.unique(pairs))
    total = float(variance[0]) + own_error**2
    return difference_interval(value, total, known, float(freedom[0]))


def share_above(impostors: Impostors, level: float) -> float:
    """Return the part of the comparisons that lie above a level."""
    above = impostors.weights[impostors.similarities > level].sum()
    return float(above / impostors.weights.sum())


def relative_error(impostors: Impostors, level: float, share: float, seed: int) -> float:
    """Return the standard error of the share above a level, over the share.

    Args:
        impostors: The comparisons.
        level: The similarity.
        share: What part of them lies above it.
        seed: Of the bootstrap.
    """
    chosen = impostors.similarities > level
    own, total = impostors.weights[chosen], float(impostors.weights.sum())
    _, numbered = np.unique(impostors.people[chosen], return_inverse=True)

    def shares(weights: Weights) -> Weights:
        return (weights @ own)[:, None] / total

    pairs = numbered.reshape(-1, 2)
    variance = variances_by_person(shares, pairs, replicates=REPLICATES, seed=seed)
    return math.sqrt(float(variance[0])) / share
