"""Whether as many strangers are named as a threshold promises, and who is missed at it.

The threshold is the one that the weights' tail gives for the gallery that is searched, as
`identify` derives it. The rate that comes out is the mean over all draws of who is enrolled. Its
interval is bootstrapped by identity, of strangers and of those enrolled: a stranger who is named
counts w_i·w_j times, for w_i and w_j the weights of the two people, and the excess of such products
is taken off as `intervals` tells.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from .impostor_tail import ImpostorTail, Searched
from .intervals import Interval, score_interval
from .metrics import EXPECTED_ERRORS
from .searches import Numbers, Search
from .weighted import Weights

REPLICATES = 1000

WANTED = (0.01, 0.03, 0.003)
"""The rates of strangers that are promised."""

_EXCESS = 2 / 3  # of the variance of a product of two weights, see `intervals`
_CHUNK = 4_000_000  # weights at once: 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What came of one rate of strangers that was promised.

    Rates are means over the draws; a draw counts photographs.

    Attributes:
        wanted: The rate.
        threshold: The mean threshold that was derived for it.
        extrapolated: Whether the tail was extrapolated for it in any draw.
        named: The part of strangers that was named.
        named_interval: 95 % interval, for other strangers and other people enrolled.
        over_wanted: `named` over `wanted`; None where fewer than ten errors are expected of all the
            strangers' photographs.
        over_wanted_interval: Its interval.
        missed: The part of those enrolled that was missed at that threshold (FNIR).
        missed_interval: Its 95 % interval; None where nobody enrolled is searched for.
        strangers: Different strangers, over all draws.
        stranger_photographs: Different photographs of them.
        known: Different people who were enrolled and searched for.
        known_photographs: Different photographs of them.
    """

    wanted: float
    threshold: float
    extrapolated: bool
    named: float
    named_interval: Interval
    over_wanted: float | None
    over_wanted_interval: Interval | None
    missed: float | None
    missed_interval: Interval | None
    strangers: int
    stranger_photographs: int
    known: int
    known_photographs: int

    def to_json(self) -> dict[str, object]:
        """Return it as JSON's own types."""
        return asdict(self)


def promises(
    found: Sequence[Search],
    tail: ImpostorTail,
    photographs: "Numbers",
    *,
    wanted: Sequence[float] = WANTED,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[Promise, ...]:
    """Hold searches against what the weights' tail promises of them.

    Args:
        found: A search a draw.
        tail: What the weights say.
        photographs: How many photographs there are of each person, by number, (P,).
        wanted: The rates to promise.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
    """
    return tuple(
        _promise(found, tail, photographs, rate, replicates, seed)
        for rate in wanted
        if any(len(search.strangers) for search in found)
    )


def _promise(
    found: Sequence[Search],
    tail: ImpostorTail,
    photographs: Numbers,
    rate: float,
    replicates: int,
    seed: int,
) -> Promise:
    thresholds, beyond = _thresholds(found, tail, rate)
    searched = [s for s in found if len(s.strangers)]
    named = [s.strangers >= t for s, t in zip(found, thresholds, strict=True) if len(s.strangers)]
    part = float(np.mean([float(one.mean()) for one in named]))
    people = len(photographs)
    pairs = np.concatenate(
        [
            np.stack([s.stranger_people[n], s.stranger_best[n]], axis=1)
            for s, n in zip(searched, named, strict=True)
        ]
    ).reshape(-1, 2)
    all_strangers = np.concatenate([s.stranger_people for s in searched])
    variance = _variance_of_named(
        pairs, np.bincount(all_strangers, minlength=people), replicates, seed
    )
    strangers = np.unique(all_strangers)
    interval = score_interval(part, variance, len(strangers))
    stranger_photographs = int(photographs[strangers].sum())
    supported = rate * stranger_photographs >= EXPECTED_ERRORS
    missed, missed_interval, known = _missed(found, thresholds, people, replicates, seed)
    first = max(min(s.enrolled) for s in found) if found else 0
    return Promise(
        wanted=rate,
        threshold=float(np.mean(thresholds)),
        extrapolated=beyond,
        named=part,
        named_interval=interval,
        over_wanted=part / rate if supported else None,
        over_wanted_interval=(interval[0] / rate, interval[1] / rate) if supported else None,
        missed=missed,
        missed_interval=missed_interval,
        strangers=len(strangers),
        stranger_photographs=stranger_photographs,
        known=len(known),
        known_photographs=int((photographs[known] - first).clip(0).sum()),
    )


def _thresholds(
    found: Sequence[Search], tail: ImpostorTail, rate: float
) -> tuple[list[float], bool]:
    """Return the threshold of each draw, and whether any of them is extrapolated."""
    of_size: dict[tuple[tuple[int, int], ...], tuple[float, bool]] = {}
    thresholds = []
    for search in found:
        size = tuple(sorted(search.enrolled.items()))
        if size not in of_size:
            searched = Searched(dict(size))
            threshold = tail.threshold(rate, searched)
            of_size[size] = threshold, tail.named_rate(threshold, searched).extrapolated
        thresholds.append(of_size[size][0])
    return thresholds, any(beyond for _, beyond in of_size.values())


def _variance_of_named(pairs: Numbers, of_strangers: Numbers, replicates: int, seed: int) -> float:
    """Return the variance of the part of strangers that is named, over draws of people.

    Args:
        pairs: A stranger who was named, and by whose name, for each time, (n, 2).
        of_strangers: How often each person was a stranger who was searched for, (P,).
        replicates: How many sets of weights are drawn.
        seed: Of the weights.
    """
    if not len(pairs):
        return 0.0
    rng = np.random.default_rng(seed)
    different, times = np.unique(pairs, axis=0, return_counts=True)
    shares, apart = [], []
    rows = max(1, _CHUNK // max(len(different), len(of_strangers)))
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        weights: Weights = rng.exponential(size=(size, len(of_strangers)))
        both = weights[:, different[:, 0]] * weights[:, different[:, 1]]
        shares.append(both @ times / (weights @ of_strangers))
        own = rng.exponential(size=(2, size, len(different))).prod(axis=0)
        apart.append(own @ times / of_strangers.sum())
    excess = _EXCESS * float(np.concatenate(apart).var(ddof=1))
    total = float(np.concatenate(shares).var(ddof=1))
    part = len(pairs) / int(of_strangers.sum())
    # At least as much as if each different pair were drawn by itself.
    at_least = float((times.astype(np.float64) ** 2).sum()) / int(of_strangers.sum()) ** 2
    return max(total - excess, min(at_least, part * (1 - part)))


def _missed(
    found: Sequence[Search], thresholds: Sequence[float], people: int, replicates: int, seed: int
) -> tuple[float | None, Interval | None, Numbers]:
    """Return the part of known probes that is missed, its interval, and whose they are."""
    searched = [(s, t) for s, t in zip(found, thresholds, strict=True) if len(s.known)]
    if not searched:
        return None, None, np.zeros(0, dtype=np.int64)
    wrong = [(s.known < t) | np.isneginf(s.known) for s, t in searched]
    part = float(np.mean([float(one.mean()) for one in wrong]))
    whose = np.concatenate([s.known_people for s, _ in searched])
    missed = np.bincount(whose, weights=np.concatenate(wrong).astype(np.float64), minlength=people)
    weights = np.random.default_rng(seed).exponential(size=(replicates, people))
    shares = (weights @ missed) / (weights @ np.bincount(whose, minlength=people))
    known = np.unique(whose)
    return part, score_interval(part, float(shares.var(ddof=1)), len(known)), known
