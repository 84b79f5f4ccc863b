"""How many strangers a search names, from the tail of impostor similarities."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError, WeightsError

from ..matching import Matching
from ..results import StrangerRate
from .intervals import Interval
from .metrics import Weights

# The upper tail of a distribution of similarities, beyond what can be counted.
#
# Excesses over a high level follow a generalised Pareto distribution, whatever the similarities
# themselves follow (Pickands, "Statistical inference using extreme order statistics", Annals of
# Statistics 3, 1975). It is fitted by probability-weighted moments (Hosking and Wallis,
# "Parameter and quantile estimation for the generalized Pareto distribution", Technometrics 29,
# 1987): closed forms, steady in small samples, which take weights and so can be bootstrapped by
# identity.

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


# How many strangers a search names, from what a network gives people whom it never saw.
#
# A network's weights carry how similar it finds two different people: the upper tail of those
# similarities, and how far they hang together. Two things make a search less than so many
# independent comparisons. Some probes are like many people (the wolves of Doddington et al.,
# "Sheep, goats, lambs and wolves", ICSLP 1998), so that a second person who is reached belongs to
# the same stranger; and the photographs of one person are reached together. Both are said by one
# law: the chance that a probe reaches a template is not one number p but differs from probe to
# probe, or from one pair of people to another, as a beta distribution of mean p. Of n comparisons
# that share it, none is reached with probability B(α, β + n) / B(α, β) (Skellam, "A probability
# distribution derived from the binomial distribution", JRSS B 10, 1948). The intraclass
# correlation ρ = 1 / (α + β + 1) is 0 for independent comparisons, and that is (1 - p)^n; it is 1
# where all stand or fall together, and that is 1 - p whatever n. ρ falls with p, as a power;
# below what could be counted it goes on in proportion to p, as where the chances of all probes
# fall alike.
#
# The mean over m photographs of a person spreads less than one: its excess over the median is
# divided by √(r + (1 - r) / m). Attention weighs photographs by a_i: for 1 / m stands Σ a_i² then.
#
# Nothing here reads or embeds photographs; `tail_measurement` makes an `ImpostorTail` of them.

METADATA_KEY = "impostor_tail"
"""Under which a weights file carries the tail, as JSON."""

FORMAT = 1

COUNTED = 10
"""Pairs of people expected to reach a threshold, from which on its rate is not extrapolated."""

_INDEPENDENT = 1e-9  # a correlation that cannot be told from none
_TOGETHER = 1 - 1e-9
_LOWEST_RATE = 1e-300


def chance_of_any(
    chance: npt.ArrayLike, correlation: npt.ArrayLike, count: npt.ArrayLike
) -> Values:
    """Return how likely one of several comparisons is reached that hang together.

    Args:
        chance: p of each, within 0 … 1; the arguments are broadcast.
        correlation: ρ, within 0 … 1.
        count: How many, not negative; need not be whole.
    """
    from scipy.special import gammaln  # an import that not every command waits for

    p, rho, n = np.broadcast_arrays(
        *(np.asarray(x, np.float64) for x in (chance, correlation, count))
    )
    p = p.clip(0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = -np.expm1(n * np.log1p(-p))
        both = 1 / rho.clip(_INDEPENDENT, _TOGETHER) - 1  # α + β
        beta = (1 - p) * both
        none = gammaln(beta + n) + gammaln(both) - gammaln(beta) - gammaln(both + n)
        together = -np.expm1(np.minimum(none, 0))
    found = np.where(rho <= _INDEPENDENT, apart, np.where(rho >= _TOGETHER, p, together))
    found = np.where(n <= 0, 0.0, np.where(p >= 1, 1.0, np.where(p <= 0, 0.0, found)))
    # The differences of logarithms above lose what is smaller than this.
    return np.maximum(found, np.where(n >= 1, p, 0.0)).clip(0, 1)


@dataclass(frozen=True, slots=True)
class Searched:
    """Among whom a search looks.

    Attributes:
        templates: How many photographs → how many people have so many; all positive.
        matching: How a face is compared with a person of several photographs.
        effective_counts: The same as `templates`, but of as many photographs as weigh alike by
            attention; None where that is not known, or another rule holds.
    """

    templates: Mapping[int, int]
    matching: Matching = Matching.BEST
    effective_counts: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.templates or min(min(m, n) for m, n in self.templates.items()) < 1:
            raise ArgumentError("a search needs somebody to look among, by a photograph at least")

    @property
    def spread(self) -> tuple[Mapping[int, int], Matching]:
        """By which numbers of photographs and which rule strangers are reached at most as often.

        Attention is a mean over photographs that weigh differently, which spreads as the mean over
        fewer. Whatever the weights, it is never above the closest photograph.
        """
        if self.matching is not Matching.ATTENTION:
            return self.templates, self.matching
        if self.effective_counts is None:
            return self.templates, Matching.BEST
        return self.effective_counts, Matching.MEAN

    @property
    def people(self) -> int:
        """How many people."""
        return sum(self.templates.values())

    @property
    def photographs(self) -> int:
        """How many photographs of them."""
        return sum(m * n for m, n in self.templates.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """One fit of the law that the head of this file states.

    Attributes:
        share: The part of comparisons above the level.
        scale: Of the generalised Pareto distribution above it.
        shape: Its shape.
        probes: Log and slope of ρ / p over log p, where comparisons share a probe.
        photographs: Log and slope of ρ / (1 - ρ) over log p, where they share both people.
        mean: r of the mean over a person's photographs.
        trimmed: r of the mean without the fifth at either end.
    """

    share: float
    scale: float
    shape: float
    probes: tuple[float, float]
    photographs: tuple[float, float]
    mean: float
    trimmed: float

    @property
    def is_sound(self) -> bool:
        """Whether all of it is finite and in its range."""
        numbers = (self.share, self.scale, self.shape, *self.probes, *self.photographs)
        return (
            all(map(math.isfinite, (*numbers, self.mean, self.trimmed)))
            and 0 < self.share < 1
            and self.scale > 0
            and 0 <= self.mean <= 1
            and 0 <= self.trimmed <= 1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpostorTail:
    """What a network's weights say of strangers.

    Attributes:
        quantiles: Rates, falling, and the similarities that pairs of two people reach at them.
        level: The similarity above which the tail is fitted.
        fits: What was fitted on everybody, and then on half of them each, as often as was drawn:
            a half strays from everybody as far as everybody does from the truth.
        counted: The rate below which nothing was counted, only extrapolated.
        people: On how many people it was measured.
        photographs: On how many photographs of them.
        most_photographs: The most of one person that several people have.
        measured_on: What these are, in words.
        measured_at: When: ISO 8601, UTC.
        weights_sha256: Of the weights; empty where the file itself carries the tail.
        mirror: Whether embeddings have the mirrored image's appended.
    """

    quantiles: tuple[tuple[float, float], ...]
    level: float
    fits: tuple[Parameters, ...]
    counted: float
    people: int
    photographs: int
    most_photographs: int
    measured_on: str
    measured_at: str
    weights_sha256: str = ""
    mirror: bool = False

    def far(self, threshold: float) -> Values:
        """Return which part of pairs of two people reaches a threshold, for each fit, (B,)."""
        if math.isnan(threshold):
            raise ArgumentError("a threshold of NaN: a cosine similarity lies between -1 and 1")
        tail, shares = self._tail()
        if threshold >= self.level:
            return tail.rate(threshold)
        # Below the level what was counted, brought to each fit's share above it.
        rates, similarities = np.array(self.quantiles).T
        rates, similarities = np.r_[1.0, rates], np.r_[-1.0, similarities]
        below = similarities < self.level
        rates = np.r_[rates[below], shares[0]]
        similarities = np.r_[similarities[below], self.level]
        own = math.exp(float(np.interp(threshold, similarities, np.log(rates))))
        whole = math.log(own) / math.log(float(shares[0]))
        return np.exp(whole * np.log(shares))

    def far_threshold(self, far: float) -> float:
        """Return the threshold that pairs of two people reach at a rate.

        Raises:
            ArgumentError: The rate is no rate, or not even a similarity of 1 is rare enough.
        """
        return self._threshold(far, lambda t: float(self.far(t)[0]), "FAR")

    def threshold(self, fpir: float, searched: Searched) -> float:
        """Return the threshold at which a part of strangers is named.

        Args:
            fpir: That part.
            searched: Among whom.

        Raises:
            ArgumentError: As `far_threshold`.
        """
        return self._threshold(
            fpir, lambda t: float(self._named(t, searched, first=True)[0]), "FPIR"
        )

    def pairs_rate(self, threshold: float) -> StrangerRate:
        """Return how often two people pass for one at a threshold."""
        return self._said(threshold, None)

    def named_rate(self, threshold: float, searched: Searched) -> StrangerRate:
        """Return how many strangers are named at a threshold.

        The interval allows for who is enrolled: similarities are the same from either side, so that
        those enrolled differ as probes do, and N of them by a part of N less.
        """
        return self._said(threshold, searched)

    def variation(self, threshold: float, searched: Searched | None) -> float:
        """Return how far off these rates may be, as a squared coefficient of variation.

        Args:
            threshold: Of them.
            searched: Among whom; None for a comparison of two photographs.
        """
        rates = self.far(threshold)
        if searched is None:
            return _variation(rates, 0.0)
        spread = float(self._of_probes(rates[:1], self.fits[:1])[0]) * (1 - rates[0])
        spread = spread / max(float(rates[0]), _LOWEST_RATE) / searched.people
        return _variation(self._named(threshold, searched), spread)

    def alike_by_chance(self, threshold: float, photographs: npt.ArrayLike) -> Values:
        """Return how likely two different people are so alike by any photograph of each.

        Args:
            threshold: The cosine similarity of the two that are most alike.
            photographs: How many there are of either, (n, 2).

        Returns:
            (n,).
        """
        p = self.far(threshold)[:1]
        reached = chance_of_any(p, self._of_photographs(p, self.fits[:1]), photographs)
        effective_count = _effective_count(reached, np.broadcast_to(p, reached.shape)).prod(axis=1)
        return chance_of_any(p, 0.0, effective_count)

    def to_json(self) -> str:
        """Return it as text, to be read by `tail_from_json`."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"))

    def _tail(self) -> tuple[Tail, Values]:
        shares = np.array([fit.share for fit in self.fits])
        scales, shapes = (
            np.array([getattr(fit, name) for fit in self.fits]) for name in ("scale", "shape")
        )
        return Tail(level=self.level, share=shares, scale=scales, shape=shapes), shares

    def _named(self, threshold: float, searched: Searched, *, first: bool = False) -> Values:
        """Return the part of strangers that is named, for each fit or for the first alone."""
        fits = self.fits[:1] if first else self.fits
        p = self.far(threshold)[: len(fits)]
        effective_count = np.zeros(len(fits))
        spread, matching = searched.spread
        for templates, people in spread.items():
            reached = self._of_person(threshold, p, fits, templates, matching)
            effective_count = effective_count + people * _effective_count(reached, p)
        return chance_of_any(p, self._of_probes(p, fits), effective_count)

    def _of_person(
        self,
        threshold: float,
        p: Values,
        fits: tuple[Parameters, ...],
        templates: int,
        matching: Matching,
    ) -> Values:
        """Return how likely a stranger reaches one person of several photographs."""
        if templates == 1:
            return p
        if matching is Matching.BEST:
            return chance_of_any(p, self._of_photographs(p, fits), templates)
        which = "mean" if matching is Matching.MEAN or templates < 3 else "trimmed"
        median = dict(self.quantiles).get(0.5, 0.0)
        if threshold <= median:
            return p
        reached = [
            self.far(median + (threshold - median) / math.sqrt(r + (1 - r) / templates))[number]
            for number, fit in enumerate(fits)
            for r in (getattr(fit, which),)
        ]
        least: Values = np.minimum(np.array(reached), p)
        return least

    def _of_probes(self, p: Values, fits: tuple[Parameters, ...]) -> Values:
        """Return ρ of comparisons that share a probe."""
        offset, slope = np.array([fit.probes for fit in fits]).T
        logs = np.log(p.clip(max(self.counted, _LOWEST_RATE), 1))
        found: Values = (np.exp(offset + slope * logs) * p).clip(0, 1)
        return found

    def _of_photographs(self, p: Values, fits: tuple[Parameters, ...]) -> Values:
        """Return ρ of comparisons of one probe with photographs of one person."""
        offset, slope = np.array([fit.photographs for fit in fits]).T
        odds = np.exp(offset + slope * np.log(p.clip(max(self.counted, _LOWEST_RATE), 1)))
        found: Values = odds / (1 + odds)
        return found

    def _said(self, threshold: float, searched: Searched | None) -> StrangerRate:
        """Return a rate with its interval, of searches or of comparisons of two photographs."""
        rates = self.far(threshold)
        extrapolated = bool(rates[0] < self.counted)
        if searched is not None:
            extrapolated |= max(searched.templates) > self.most_photographs
            rates = self._named(threshold, searched)
        if rates[0] <= 0:
            return StrangerRate(rate=0.0, low=0.0, high=float(rates.max()), extrapolated=True)
        rate = float(rates[0])
        low, high = gamma_interval(rate, self.variation(threshold, searched))
        return StrangerRate(rate=rate, low=low, high=high, extrapolated=extrapolated)

    def _threshold(self, rate: float, reached: Callable[[float], float], name: str) -> float:
        """Return from where on a rate is not exceeded, by bisection."""
        if not 0 < rate < 1:
            raise ArgumentError(f"{name} {rate:g}: give a rate above 0 and below 1")
        low, high = -1.0, 1.0
        if reached(high) > rate:
            raise ArgumentError(
                f"{name} {rate:g} cannot be promised among so many by these weights, at whatever "
                "threshold: ask for a larger one, or search among fewer (--group)"
            )
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if reached(middle) > rate else (low, middle)
        return high


def tail_from_json(text: str) -> ImpostorTail:
    """Read what `ImpostorTail.to_json` wrote.

    Raises:
        WeightsError: It is something else, or of a later format, or its numbers make no sense.
    """
    try:
        read = json.loads(text)
        if not isinstance(read, dict) or read.pop("format", None) != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        fits = tuple(
            Parameters(**(fit | {name: _pair(fit[name]) for name in ("probes", "photographs")}))
            for fit in read.pop("fits")
        )
        quantiles = tuple(_pair(pair) for pair in read.pop("quantiles"))
        tail = ImpostorTail(fits=fits, quantiles=quantiles, **read)
        if not _is_sound(tail):
            raise ValueError("its numbers make no sense")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(
            f"the tail of impostor similarities cannot be understood ({error}): measure it anew, "
            "`likeness evaluate tails`"
        ) from error
    return tail


def _pair(values: Any) -> tuple[float, float]:
    """Two finite numbers out of JSON."""
    first, second = values
    pair = float(first), float(second)
    if not all(map(math.isfinite, pair)):
        raise ValueError("a number is not finite")
    return pair


def _is_sound(tail: ImpostorTail) -> bool:
    """Whether what was read can be calculated with."""
    rates = [rate for rate, _ in tail.quantiles]
    similarities = [similarity for _, similarity in tail.quantiles]
    return (
        bool(tail.fits)
        and all(fit.is_sound for fit in tail.fits)
        and bool(rates)
        and all(0 < rate < 1 for rate in rates)
        and rates == sorted(rates, reverse=True)
        and similarities == sorted(similarities)
        and -1 < tail.level < 1
        and math.isfinite(tail.counted)
        and tail.counted > 0
    )


def _effective_count(reached: Values, p: Values) -> Values:
    """Return how many independent comparisons of chance p reach somebody as often."""
    with np.errstate(divide="ignore", invalid="ignore"):
        effective_count = np.log1p(-reached) / np.log1p(-p)
    found: Values = np.where((p <= 0) | (p >= 1), 1.0, effective_count)
    return found


def _variation(rates: Values, spread: float) -> float:
    """Return how far off the first of some rates may be, as a squared coefficient of variation.

    Args:
        rates: The rate, and what halves of the people give for it, (B,).
        spread: What else moves it, likewise.
    """
    rate, halves = float(rates[0]), rates[1:]
    if rate <= 0 or not len(halves):
        return spread
    logs = np.log(np.maximum(halves, rate * 1e-3) / rate)
    return math.exp(min(float(np.mean(logs**2)), 50.0)) * (1 + spread) - 1


def gamma_interval(rate: float, variation: float) -> Interval:
    """Return the 95 % interval of a rate, which holds it and is within 0 … 1.

    It is that of a gamma distribution: positive, and skewed as rates are that a few people decide.

    Args:
        rate: Its mean.
        variation: Its squared coefficient of variation.
    """
    from scipy.special import gammaincinv

    if variation < 1e-12 or rate <= 0:
        return rate, rate
    low, high = gammaincinv(1 / variation, [0.025, 0.975]) * variation * rate
    return min(float(low), rate), min(1.0, max(float(high), rate))
