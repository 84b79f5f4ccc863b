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
from dataclasses import replace

from data.errors import ArgumentError, DatasetError

from .cutoffs import (
    REMEDY,
    REPLICATES,
    STEPS_ABOVE,
    Cutoff,
    Impostors,
    fitted,
    highest,
    relative_error,
    share_above,
)
from .metrics import is_supported, smallest_supported_far

LARGEST_RATE = 0.1
"""The largest rate that a threshold may be asked for."""

MOST_OFF = 2.0
"""Ten counted errors are as good as this: their 95 % interval reaches up to 1.84 times as many."""


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
    level = float(highest(searches, LARGEST_RATE / STEPS_ABOVE, searches.effective)[1])
    reached, accepted = (share_above(one, level) for one in (searches, pairs))
    if is_supported(accepted, pairs.effective) and accepted < reached:
        worth = times * math.log1p(-reached) / math.log1p(-accepted)
        error = relative_error(searches, level, reached, seed)
        single = fitted(pairs, rate_among(fpir, 1 / worth), error, seed)
        found = _as_searches(single, fpir, worth)
        if _is_sure(found) or (
            is_supported(single.rate, pairs.effective) and is_supported(fpir, searches.effective)
        ):
            return found
    # Single comparisons are too rare among so many people: the searches themselves are counted.
    found = _as_searches(fitted(searches, rate_among(fpir, 1 / times), 0.0, seed), fpir, times)
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
    found = fitted(impostors, rate, 0.0, seed, replicates)
    _check_supported(found)
    return found


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
        f"a rate of {found.rate:g} is beyond {count:,} {found.what.rstrip(',')}, of which "
        f"{found.rate * count:.2g} would be errors; what is asked for may turn out as "
        f"{found.rate_interval[1]:.2g}: {REMEDY}{other}"
    )
