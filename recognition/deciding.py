"""Which threshold is in force, and how many strangers it lets pass.

A threshold given by hand counts before all else; then the gallery's own, which was measured on the
very people enrolled; then what the weights say of people whom they never saw, for as many people
and photographs as are searched. What it means is said of each, where anything tells.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from data.errors import ArgumentError

from .evaluation.calibration import check_rate, rate_among
from .evaluation.impostor_tail import ImpostorTail, Searched
from .evaluation.metrics import EXPECTED_ERRORS
from .results import Calibration, Decision, Origin, StrangerRate, Use

if TYPE_CHECKING:
    from backbones.pair_unit import PairUnit

OF_PAIRS = 0.01
"""The rate of false accepts that the threshold of weights without a tail stands for."""

DEFAULT_FPIR = 0.01
"""The part of strangers who may be given a name, unless it is said."""

DEFAULT_FAR = 0.001
"""The part of pairs of two people who may pass for one, unless it is said."""

WORTH_A_LOOK = 0.01
"""At the threshold of which part of pairs two photographs are odd, for one person or for two."""

RATE_OPTIONS: Mapping[Use, str] = {Use.IDENTIFY: "--fpir", Use.VERIFY: "--far"}

_MOST_OFF = 1000.0  # how far a gallery's own rate may be from what its weights say, to be believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a decision rests on.

    Attributes:
        use: What is decided.
        tail: What the weights say of strangers; None where they say nothing.
        calibration: The gallery's own; None where it has none.
        searched: Among whom a search looks, or whose photographs another is compared with; None
            for a comparison of two photographs.
        weights: The network, to be named in messages.
        of_pairs: A threshold that weights without a tail have for two photographs.
    """

    use: Use
    tail: ImpostorTail | None
    calibration: Calibration | None
    searched: Searched | None
    weights: str
    of_pairs: float | None = None


def decide(
    grounds: Grounds, *, threshold: float | None = None, rate: float | None = None
) -> Decision:
    """Say by which threshold, and what it means.

    Args:
        grounds: What it rests on.
        threshold: The cosine similarity given by hand; None derives it.
        rate: Of strangers who may be named, or of pairs of two people who may pass for one; None
            takes the gallery's, or else the default.

    Raises:
        ArgumentError: The threshold or the rate is out of range, both are given, or nothing tells
            from where on two faces are one person's.
    """
    option = RATE_OPTIONS[grounds.use]
    check_rate(option, rate)
    if threshold is not None and rate is not None:
        raise ArgumentError(f"give either --threshold or {option}")
    own, tail = grounds.calibration, grounds.tail
    if threshold is not None:
        if not -1 <= threshold <= 1:
            raise ArgumentError(
                f"a threshold of {threshold:g}: a cosine similarity lies between -1 and 1"
            )
        return _decision(grounds, threshold, Origin.GIVEN, None)
    if own is not None and rate in (None, own.rate):
        return _decision(grounds, own.threshold, Origin.GALLERY, own.rate)
    wanted = rate if rate is not None else default_rate(grounds.use)
    if tail is not None:
        origin = Origin.WEIGHTS if own is None else Origin.GALLERY
        asked = min(wanted / _off(grounds), 0.5)
        return _decision(grounds, threshold_for(tail, asked, grounds.searched), origin, wanted)
    if own is None and grounds.of_pairs is not None and rate is None:
        return _decision(grounds, grounds.of_pairs, Origin.WEIGHTS, None)
    raise ArgumentError(
        f"the weights of {grounds.weights} do not say how alike strangers are: give --threshold, "
        f"or let `likeness calibrate {option}` find one"
    )


def pair_limit(pair: "PairUnit | None", decision: Decision) -> float | None:
    """The value from which on a pair is one person's by the weights' own unit.

    Args:
        pair: The unit; None where the weights have none.
        decision: What cosines would be decided by.

    Returns:
        None where cosines decide: the threshold is the user's or the gallery's own, or the unit
        knows no value for the rate.
    """
    if pair is None or decision.origin is not Origin.WEIGHTS:
        return None
    wanted = OF_PAIRS if decision.wanted is None else decision.wanted
    return next((v for rate, v in pair.limits.items() if math.isclose(rate, wanted)), None)


def sigmoid(value: float) -> float:
    """The probability of which this is the logarithm of the odds."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(value))


def default_rate(use: Use) -> float:
    """The rate of strangers who may pass, unless it is said."""
    return DEFAULT_FPIR if use is Use.IDENTIFY else DEFAULT_FAR


def threshold_for(tail: ImpostorTail, rate: float, searched: Searched | None) -> float:
    """The threshold of a rate: of searches, or of comparisons of two photographs."""
    return tail.far_threshold(rate) if searched is None else tail.threshold(rate, searched)


def rate_at(tail: ImpostorTail, threshold: float, searched: Searched | None) -> StrangerRate:
    """The rate at a threshold: of searches, or of comparisons of two photographs."""
    if searched is None:
        return tail.pairs_rate(threshold)
    return tail.named_rate(threshold, searched)


def _decision(grounds: Grounds, threshold: float, origin: Origin, wanted: float | None) -> Decision:
    own = grounds.calibration
    return Decision(
        use=grounds.use,
        threshold=threshold,
        origin=origin,
        wanted=wanted,
        strangers=_strangers(grounds, threshold),
        doubt=own.doubt if own is not None and origin is Origin.GALLERY else None,
    )


def _strangers(grounds: Grounds, threshold: float) -> StrangerRate | None:
    """What a threshold means, from the weights, from the gallery, or from both."""
    own, tail = grounds.calibration, grounds.tail
    if tail is None:
        if own is None or threshold != own.threshold:
            return None
        return _grown(_as_measured(own), own, grounds.searched)
    said = rate_at(tail, threshold, grounds.searched)
    if own is None:
        return said
    if threshold == own.threshold and _is_as_measured(own, grounds.searched):
        return _as_measured(own)
    off, measured = _off(grounds), _as_measured(own)
    # What is uncertain about the gallery's own rate is so about everything brought to it.
    return StrangerRate(
        rate=min(1.0, said.rate * off),
        low=min(1.0, said.rate * off * measured.low / measured.rate),
        high=min(1.0, said.rate * off * measured.high / measured.rate),
        extrapolated=said.extrapolated or measured.extrapolated,
    )


def _as_measured(own: Calibration) -> StrangerRate:
    return StrangerRate(
        rate=own.rate,
        low=own.rate_low,
        high=own.rate_high,
        extrapolated=own.rate * own.comparisons < EXPECTED_ERRORS,
    )


def _is_as_measured(own: Calibration, searched: Searched | None) -> bool:
    """Whether a search looks among as many as it was measured with, or nothing is searched."""
    if searched is None:
        return True
    return (own.use, own.people, "best") == (Use.IDENTIFY, searched.people, searched.matching) and (
        searched.photographs <= own.templates
    )


def _grown(rate: StrangerRate, own: Calibration, searched: Searched | None) -> StrangerRate:
    """What a rate has come to among as many photographs as there are now."""
    if searched is None:
        return rate
    enrolled = own.templates if own.use is Use.IDENTIFY else 1
    times = searched.photographs / enrolled
    ends: list[float] = [rate_among(end, times) for end in (rate.rate, rate.low, rate.high)]
    return replace(rate, rate=ends[0], low=ends[1], high=ends[2])


def _off(grounds: Grounds) -> float:
    """How many times as many strangers pass as the weights say, by the gallery's own measure."""
    own, tail = grounds.calibration, grounds.tail
    if own is None or tail is None:
        return 1.0
    searched = as_enrolled(own.people, own.templates) if own.use is Use.IDENTIFY else None
    said = rate_at(tail, own.threshold, searched).rate
    if said <= 0:
        return 1.0
    return min(max(own.rate / said, 1 / _MOST_OFF), _MOST_OFF)


def as_enrolled(people: int, templates: int) -> Searched:
    """So many people with so many photographs, spread as evenly as can be."""
    each, more = divmod(max(templates, people), people)
    spread = {each: people - more, each + 1: more}
    return Searched({count: number for count, number in spread.items() if number})
