"""Thresholds for a wanted rate of false accepts, from comparisons of people who are not the same.

The rate is either that of single comparisons (FAR) or of searches (FPIR, false positive
identification rate). A search of N people is 1 - (1 - FAR)^n, where n is how many independent
comparisons it is worth: fewer than it makes, for photographs of one person are alike and some
strangers are like everybody. n is measured at a threshold that a tenth of the searches reach, which
few strangers suffice for; the FAR comes from pairs of strangers, of which there are many. Every
person counts as much as any other, however many photographs there are of them.

Rates of a size that can be counted are interpolated, smaller ones extrapolated, by a tail fitted to
the highest similarities (`tails`). The interval says what would come out with other people
(`intervals`). A rate is refused where fewer than `EXPECTED_ERRORS` are expected at it, unless the
tail is at least as sure as so many errors would be: the upper end of its interval is at most
`MOST_OFF` times the rate.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError, DatasetError

from .intervals import (
    Figures,
    Interval,
    difference_interval,
    freedom_by_person,
    variances_by_person,
)
from .metrics import Scores, is_supported, smallest_supported_far
from .tails import Tail, Values, fit_tail
from .weighted import Weights

LARGEST_RATE = 0.1
"""The largest rate that a threshold may be asked for."""

MOST_OFF = 2.0
"""Ten counted errors are as good as this: their 95 % interval reaches up to 1.84 times as many."""

REPLICATES = 400

_STEPS_ABOVE = 5  # the tail holds so many times what is wanted, to be interpolated
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
    """

    similarities: Scores
    people: npt.NDArray[np.int64]
    weights: Values

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
    """

    rate: float
    threshold: float
    threshold_interval: Interval
    rate_interval: Interval
    expected_errors: float
    comparisons: int
    tail: Tail


def check_rate(name: str, rate: float | None) -> None:
    """Refuse a rate that no threshold can be asked for.

    Raises:
        ArgumentError: It is not above 0 and at most `LARGEST_RATE`.
    """
    if rate is not None and not 0 < rate <= LARGEST_RATE:
        raise ArgumentError(f"{name} {rate:g}: give a rate above 0 and at most {LARGEST_RATE:g}")


def rate_among(rate: float, times: float) -> float:
    """Return how often one of several independent comparisons is accepted, 1 - (1 - rate)^times.

    Args:
        rate: Of one comparison, or of a search among some people.
        times: How many comparisons, or how many times as many people.
    """
    return -math.expm1(times * math.log1p(-rate)) if rate < 1 else 1.0


def search_cutoff(
    searches: Impostors, pairs: Impostors, fpir: float, *, times: float = 1.0, seed: int = 0
) -> Cutoff:
    """Return the threshold that searches reach at a rate.

    Args:
        searches: A comparison for each search, with whoever is most alike.
        pairs: Single comparisons.
        fpir: The rate, within 0 … `LARGEST_RATE`.
        times: How many times as many people the searches shall be among.
        seed: Of the intervals.

    Raises:
        DatasetError: The comparisons cannot support the rate.
    """
    check_rate("rate", fpir)
    level = float(_highest(searches, LARGEST_RATE / _STEPS_ABOVE, searches.effective)[1])
    reached, accepted = (_share_above(one, level) for one in (searches, pairs))
    if is_supported(accepted, pairs.effective) and accepted < reached:
        worth = times * math.log1p(-reached) / math.log1p(-accepted)
        error = _relative_error(searches, level, reached, seed)
        single = _fitted(pairs, rate_among(fpir, 1 / worth), error, seed)
        found = _as_searches(single, fpir, worth)
        if _is_sure(found) or (
            is_supported(single.rate, pairs.effective) and is_supported(fpir, searches.effective)
        ):
            return found
    # Single comparisons are too rare among so many people: the searches themselves are counted.
    found = _as_searches(_fitted(searches, rate_among(fpir, 1 / times), 0.0, seed), fpir, times)
    _check_supported(found)
    return found


def cutoff(
    impostors: Impostors,
    rate: float,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Cutoff:
    """Return the threshold that is reached at a rate.

    Args:
        impostors: What it is fitted on.
        rate: Within 0 … `LARGEST_RATE`.
        replicates: How many sets of weights the interval is drawn from.
        seed: Of these.

    Raises:
        DatasetError: The comparisons cannot support the rate.
    """
    check_rate("rate", rate)
    found = _fitted(impostors, rate, 0.0, seed, replicates)
    _check_supported(found)
    return found


def _fitted(
    impostors: Impostors,
    rate: float,
    relative_error: float,
    seed: int,
    replicates: int = REPLICATES,
) -> Cutoff:
    """Return the threshold that is reached at a rate, whether or not it is sure enough.

    `relative_error` is the standard error of the rate wanted, over the rate.
    """
    count = impostors.effective
    chosen, level = _highest(impostors, rate, count)
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
    )


def _highest(impostors: Impostors, rate: float, count: int) -> tuple[npt.NDArray[np.bool_], float]:
    """Return which comparisons make the tail, and the similarity above which they lie.

    Raises:
        DatasetError: They are too few to be fitted.
    """
    share = min(max(_STEPS_ABOVE * rate, _TAIL / max(count, 1)), _WIDEST)
    if share * count < _FEWEST:
        raise DatasetError(
            f"{count} comparisons of people who are not the same are too few for any threshold; "
            f"{math.ceil(_FEWEST / _WIDEST)} are needed: {_REMEDY}"
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
            f"others: {_REMEDY}"
        )
    return chosen, level


_REMEDY = "give photographs of more people"


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


def _share_above(impostors: Impostors, level: float) -> float:
    """Return the part of the comparisons that lie above a level."""
    above = impostors.weights[impostors.similarities > level].sum()
    return float(above / impostors.weights.sum())


def _relative_error(impostors: Impostors, level: float, share: float, seed: int) -> float:
    """Return the standard error of the share above a level, over the share."""
    chosen = impostors.similarities > level
    own, total = impostors.weights[chosen], float(impostors.weights.sum())
    _, numbered = np.unique(impostors.people[chosen], return_inverse=True)

    def shares(weights: Weights) -> Weights:
        return (weights @ own)[:, None] / total

    pairs = numbered.reshape(-1, 2)
    variance = variances_by_person(shares, pairs, replicates=REPLICATES, seed=seed)
    return math.sqrt(float(variance[0])) / share


def _as_searches(found: Cutoff, fpir: float, times: float) -> Cutoff:
    """Return the threshold of comparisons as that of searches worth so many of them."""
    low, high = (rate_among(end, times) for end in found.rate_interval)
    return replace(found, rate=fpir, rate_interval=(low, high))


def _is_sure(found: Cutoff) -> bool:
    """Return whether the threshold is at least as sure as ten counted errors would make it."""
    return found.threshold <= 1 and found.rate_interval[1] <= MOST_OFF * found.rate


def _check_supported(found: Cutoff) -> None:
    """Refuse a threshold that is neither counted nor sure.

    Raises:
        DatasetError: It is not; the message says which rate so many comparisons can count.
    """
    count = found.comparisons
    if _is_sure(found) or (found.threshold <= 1 and is_supported(found.rate, count)):
        return
    smallest = smallest_supported_far(count)
    larger = smallest is not None and smallest > found.rate
    other = f", or ask for a rate of {smallest:.2g} or more" if larger else ""
    raise DatasetError(
        f"a rate of {found.rate:g} is beyond {count:,} comparisons, of which "
        f"{found.rate * count:.2g} would be errors; what is asked for may turn out as "
        f"{found.rate_interval[1]:.2g}: {_REMEDY}{other}"
    )
