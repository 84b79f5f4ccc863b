"""From embeddings of people whom a network never saw to what its weights say of strangers.

Every person counts alike, and so does every pair of two people, however many photographs there are
of them. The law, and what its parameters mean, are told in `impostor_tail`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from data.errors import DatasetError

from .error_rate_thresholds import REMEDY, Faces
from .impostor_tail import COUNTED, ImpostorTail, Parameters, Tail, Values, fit_tail

FEWEST_PEOPLE = 100
"""On fewer, a threshold for one stranger in a hundred would rest on less than one of them."""

MOST_FACES = 6000
"""Whose similarities are held at once: 144 MB."""

HALVES = 64
"""How often half of the people are drawn."""

_SHARE = 0.01  # of comparisons, that make the tail
_RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5)
_OF_PROBES = (2e-2, 1e-2, 5e-3, 2e-3, 1e-3, 5e-4)  # rates at which correlations are measured
_ENOUGH = (
    100  # pairs of people that reach a threshold, from which on a correlation is measured there
)
_MEANS_AT = 2e-3  # the rate at which means over photographs are measured
_SHRINKS = np.linspace(0, 1, 51)  # values of r that are tried
_FEW_PEOPLE = 5  # with so many photographs, that it counts as seen
_TRIMMED = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class _Reached:
    """Who reaches whom at a threshold.

    Attributes:
        rate: The rate at which pairs of people reach it.
        persons: For each probe, the part of each person's photographs that reach it, (n, K).
        twice: The same of their pairs of photographs, (n, K); 0 for who has only one.
    """

    rate: float
    persons: npt.NDArray[np.float32]
    twice: npt.NDArray[np.float32]


def labelled_faces(
    vectors: Sequence[npt.NDArray[np.float32] | None], owners: Sequence[int]
) -> Faces:
    """Put embeddings and whose they are together, without photographs that have no face.

    Args:
        vectors: Of each photograph, or None.
        owners: The number of each one's person.

    Raises:
        DatasetError: There is no face at all.
    """
    found = [
        (vector, owner) for vector, owner in zip(vectors, owners, strict=True) if vector is not None
    ]
    if not found:
        raise DatasetError("no face in any photograph: name a folder of people's photographs")
    _, numbered = np.unique([owner for _, owner in found], return_inverse=True)
    return Faces(np.stack([vector for vector, _ in found]), numbered.reshape(-1))


def measure_tail(
    faces: Faces,
    measured_on: str,
    *,
    weights_sha256: str = "",
    mirror: bool = False,
    halves: int = HALVES,
    seed: int = 0,
) -> ImpostorTail:
    """Measure what a network's weights say of strangers.

    Args:
        faces: Of people whom the network was not trained on, each known by one name alone.
        measured_on: What these are, in words.
        weights_sha256: Of the weights.
        mirror: Whether embeddings have the mirrored image's appended.
        halves: How often half of the people are drawn, for the intervals.
        seed: Of the draws.

    Raises:
        DatasetError: They are too few, or an embedding is not finite.
    """
    if not np.isfinite(faces.vectors).all():
        raise DatasetError("an embedding holds NaN or infinity: check the weights that made it")
    faces = _in_order(faces.at_most(MOST_FACES))
    people = int(faces.people.max(initial=-1)) + 1
    if people < FEWEST_PEOPLE:
        raise DatasetError(
            f"{people} people are too few to say how many strangers are named; {FEWEST_PEOPLE} are "
            f"needed, and a thousand are good: {REMEDY}"
        )
    rng = np.random.default_rng(seed)
    drawn = np.stack(
        [np.ones(people), *(_half(people, rng) for _ in range(halves))], axis=1
    )  # (K, 1 + halves)
    similarities = faces.vectors @ faces.vectors.T
    pairs = people * (people - 1) / 2
    counted = COUNTED / pairs
    tail, quantiles = _fit(faces, similarities, drawn)
    at = dict(quantiles)
    rates = [rate for rate in _OF_PROBES if rate * pairs >= _ENOUGH]
    reached = [_reach(faces, similarities, rate, at[rate]) for rate in rates]
    probes = _of_probes(faces, reached, drawn)
    photographs = _of_photographs(faces, reached, drawn)
    shrinks = [
        _shrink(faces, similarities, tail, quantiles, drawn, trimmed=trimmed)
        for trimmed in (False, True)
    ]
    counts = np.sort(np.bincount(faces.people))
    return ImpostorTail(
        quantiles=quantiles,
        level=_short(tail.level),
        fits=tuple(
            Parameters(
                share=_short(tail.share[b]),
                scale=_short(tail.scale[b]),
                shape=_short(tail.shape[b]),
                probes=(_short(probes[b][0]), _short(probes[b][1])),
                photographs=(_short(photographs[b][0]), _short(photographs[b][1])),
                mean=_short(shrinks[0][b]),
                trimmed=_short(shrinks[1][b]),
            )
            for b in range(drawn.shape[1])
        ),
        counted=_short(counted),
        people=people,
        photographs=len(faces.people),
        most_photographs=int(counts[-min(_FEW_PEOPLE, people)]),
        measured_on=measured_on,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        weights_sha256=weights_sha256,
        mirror=mirror,
    )


def _short(value: float) -> float:
    """A number to six digits, which are more than are known of it."""
    return float(f"{float(value):.6g}")


def _in_order(faces: Faces) -> Faces:
    """The same faces, person by person."""
    order = np.argsort(faces.people, kind="stable")
    return Faces(faces.vectors[order], faces.people[order])


def _half(people: int, rng: np.random.Generator) -> Values:
    """Mark half of the people, drawn without putting back: the delete-half jackknife."""
    marked = np.zeros(people)
    marked[rng.permutation(people)[: people // 2]] = 1
    return marked


def _fit(
    faces: Faces, similarities: npt.NDArray[np.float32], drawn: Values
) -> tuple[Tail, tuple[tuple[float, float], ...]]:
    """Fit the tail for each draw of people, and find the quantiles of everybody."""
    first, second = np.triu_indices(len(faces.people), k=1)
    apart = faces.people[first] != faces.people[second]
    first, second = first[apart], second[apart]
    values = similarities[first, second].astype(np.float64)
    own = faces.weights[first] * faces.weights[second]
    order = np.argsort(values)[::-1]
    reached = np.cumsum(own[order]) / own.sum()
    last = len(order) - 1
    places = np.minimum(np.searchsorted(reached, _RATES), last)
    pairs = drawn.shape[0] * (drawn.shape[0] - 1) / 2
    quantiles = tuple(
        (rate, _short(values[order[place]]))
        for rate, place in zip(_RATES, places, strict=True)
        if rate * pairs >= 1
    )
    level = _short(values[order[min(int(np.searchsorted(reached, _SHARE)), last)]])
    above = order[: int(np.searchsorted(-values[order], -level, side="left"))][::-1]
    if len(above) < 2 or np.ptp(values[above]) < 1e-6:
        raise DatasetError(
            "the highest similarities are all the same: these photographs cannot give a tail"
        )
    people = faces.people[first[above]], faces.people[second[above]]
    fits = []
    for column in drawn.T:  # one draw after another: of all at once the weights take gigabytes
        weights = own[above] * column[people[0]] * column[people[1]]
        many = column.sum()
        total = many * (many - 1) / 2
        fits.append(fit_tail(values[above], weights[None], level=level, total=total))
    shares, scales, shapes = (
        np.concatenate([getattr(fit, name) for fit in fits]) for name in ("share", "scale", "shape")
    )
    return Tail(level=level, share=shares, scale=scales, shape=shapes), quantiles


def _reach(
    faces: Faces, similarities: npt.NDArray[np.float32], rate: float, threshold: float
) -> _Reached:
    """Count who reaches whom."""
    counts = np.bincount(faces.people)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    reached = (similarities >= threshold).astype(np.float32)
    number = np.add.reduceat(reached, starts, axis=1)  # (n, K)
    number[np.arange(len(faces.people)), faces.people] = 0
    of_pairs = np.maximum(counts * (counts - 1), 1)
    twice = (number * (number - 1) / of_pairs).astype(np.float32)
    return _Reached(rate, (number / counts).astype(np.float32), twice)


def _of_probes(faces: Faces, reached: list[_Reached], drawn: Values) -> list[tuple[float, float]]:
    """Fit ρ / p of comparisons that share a probe, for each draw."""
    of_probe = faces.weights[:, None] * drawn[faces.people]  # (n, B)
    many = drawn.sum(axis=0)
    ratios, chances = [], []
    for one in reached:
        number = one.persons @ drawn  # (n, B)
        squares = (one.persons**2) @ drawn
        p = (of_probe * number).sum(axis=0) / (many * (many - 1))
        both = (of_probe * (number**2 - squares)).sum(axis=0) / (many * (many - 1) * (many - 2))
        rho = (both - p**2) / np.maximum(p * (1 - p), 1e-12)
        ratios.append(np.maximum(rho, 1e-6) / np.maximum(p, 1e-12))
        chances.append(np.maximum(p, 1e-12))
    return _lines(np.log(chances), np.log(ratios), most_slope=0.0)


def _of_photographs(
    faces: Faces, reached: list[_Reached], drawn: Values
) -> list[tuple[float, float]]:
    """Fit ρ / (1 - ρ) of comparisons of one probe with photographs of one person, for each draw.

    Where nobody has several photographs they are taken for independent, which lets fewer pass.
    """
    several = np.bincount(faces.people) > 1
    of_probe = faces.weights[:, None] * drawn[faces.people]
    odds, chances = [], []
    for one in reached:
        of_several = drawn * several[:, None]
        p = (of_probe * (one.persons @ of_several)).sum(axis=0)
        both = (of_probe * (one.twice @ of_several)).sum(axis=0)
        pairs = of_several.sum(axis=0) * np.maximum(drawn.sum(axis=0) - 1, 1)
        p, both = p / np.maximum(pairs, 1), both / np.maximum(pairs, 1)
        rho = ((both - p**2) / np.maximum(p * (1 - p), 1e-12)).clip(1e-6, 1 - 1e-6)
        odds.append(rho / (1 - rho))
        chances.append(np.maximum(p, 1e-12))
    if not several.any():
        return [(math.log(1e-9), 0.0)] * drawn.shape[1]
    return _lines(np.log(chances), np.log(odds), most_slope=1.0)


def _lines(x: Values, y: Values, *, most_slope: float) -> list[tuple[float, float]]:
    """Fit a line for each draw: x and y are (levels, B).

    Args:
        x: The logarithms of rates.
        y: What they lead to.
        most_slope: The steepest that a line may rise. With ρ / p falling no slower than p rises,
            a lower threshold would name fewer strangers: so that slopes end above -1.
    """
    middle_x, middle_y = x.mean(axis=0), y.mean(axis=0)
    across = ((x - middle_x) ** 2).sum(axis=0)
    slopes = ((x - middle_x) * (y - middle_y)).sum(axis=0) / np.maximum(across, 1e-12)
    slopes = slopes.clip(-0.9, most_slope)
    return [
        (float(offset), float(slope))
        for offset, slope in zip(middle_y - slopes * middle_x, slopes, strict=True)
    ]


def _shrink(
    faces: Faces,
    similarities: npt.NDArray[np.float32],
    tail: Tail,
    quantiles: tuple[tuple[float, float], ...],
    drawn: Values,
    *,
    trimmed: bool,
) -> Values:
    """Fit r of the mean over a person's photographs, for each draw, (B,).

    The r is taken under which as many means reach a threshold as do.
    """
    counts = np.bincount(faces.people)
    several = np.flatnonzero(counts >= (3 if trimmed else 2))
    at = dict(quantiles)
    rate = min(_MEANS_AT, _SHARE)
    threshold, median = at.get(rate, tail.level), at.get(0.5, 0.0)
    if not len(several) or threshold <= median:
        return np.ones(drawn.shape[1])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    of_probe = faces.weights[:, None] * drawn[faces.people]
    single, seen = np.zeros((2, len(several), drawn.shape[1]))
    for place, person in enumerate(several):
        own = similarities[:, starts[person] : starts[person] + counts[person]]
        mean = _trimmed_mean(own) if trimmed else own.mean(axis=1)
        elsewhere = (faces.people != person)[:, None] * of_probe
        single[place] = (own >= threshold).mean(axis=1) @ elsewhere
        seen[place] = (mean >= threshold) @ elsewhere
    weights = drawn[several]
    found = (weights * seen).sum(axis=0)
    shrunk = np.sqrt(_SHRINKS[:, None] + (1 - _SHRINKS[:, None]) / counts[several])  # (r, people)
    first = Tail(level=tail.level, share=tail.share[:1], scale=tail.scale[:1], shape=tail.shape[:1])
    whole = float(first.rate(threshold)[0])
    parts = np.array(
        [[float(first.rate(median + (threshold - median) / s)[0]) for s in row] for row in shrunk]
    ) / max(whole, 1e-12)
    expected = parts @ (weights * single)  # (r, B), rising with r
    return np.array([np.interp(found[b], expected[:, b], _SHRINKS) for b in range(drawn.shape[1])])


def _trimmed_mean(similarities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean of each row (n, m) without the fifth at either end, one at least."""
    ends = max(1, int(_TRIMMED * similarities.shape[1]))
    means: npt.NDArray[np.float32] = np.sort(similarities, axis=1)[:, ends:-ends].mean(axis=1)
    return means
