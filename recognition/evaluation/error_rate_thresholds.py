"""Thresholds for a wanted rate of false accepts."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError, DatasetError

from .impostor_tail import ImpostorTail, Searched, Tail, Values, fit_tail, gamma_interval
from .intervals import (
    Figures,
    Interval,
    difference_interval,
    freedom_by_person,
    variances_by_person,
)
from .metrics import Scores, Weights, is_supported, smallest_supported_far
from .probability import (
    PRIOR,
    Labelled,
    LikelihoodRatio,
    Reliability,
    fit_likelihood_ratio,
    reliability,
)

# Comparisons of people who are not the same, and the threshold that their highest reach at a
# rate.
#
# The highest similarities are fitted by a tail (`impostor_tail`), so that rates of a size that can
# be counted are interpolated, and smaller ones extrapolated. The interval says what would come out
# with other people (`intervals`).

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


# From embeddings of known people to the comparisons that a calibration is fitted on.
#
# Every person counts as much as any other: a photograph counts one over how many there are of its
# person, and so does each side of a pair.

Numbers = npt.NDArray[np.int64]

MOST_PHOTOGRAPHS = 3000
"""Of which all pairs are compared: 4.5 million."""

FEWEST_PEOPLE = 10
"""People with two photographs from which on probabilities are fitted."""

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Embedded faces, and whose they are.

    Attributes:
        vectors: Unit vectors, (n, D).
        people: The number of each one's person, (n,); people are numbered from 0, without gaps.
    """

    vectors: npt.NDArray[np.float32]
    people: Numbers

    @property
    def weights(self) -> Values:
        """What each counts for, (n,): one over how many there are of the person."""
        counts = np.bincount(self.people) if len(self.people) else np.ones(0)
        weights: Values = 1 / counts[self.people]
        return weights

    def select(self, chosen: npt.NDArray[np.bool_]) -> "Faces":
        """Return some of the faces, their people numbered anew."""
        _, numbered = np.unique(self.people[chosen], return_inverse=True)
        return Faces(self.vectors[chosen], numbered.reshape(-1))

    def at_most(self, photographs: int) -> "Faces":
        """Return evenly chosen people with all their faces, about so many, at least two people."""
        if len(self.people) <= photographs:
            return self
        count = int(self.people.max()) + 1
        kept = max(2, count * photographs // len(self.people))
        return self.select(np.isin(self.people, np.arange(kept) * count // kept))


def searches(enrolled: Faces, strangers: Faces | None) -> Impostors:
    """Search strangers among those enrolled; whoever is most like them counts.

    Args:
        enrolled: Who is searched; by their closest face.
        strangers: Who is searched for, none of whom is enrolled; None takes the enrolled
            themselves, each among all the others.

    Returns:
        A comparison for each stranger's face.
    """
    probes = enrolled if strangers is None else strangers
    best, whose = np.full(len(probes.people), -1.0), np.zeros(len(probes.people), np.int64)
    for start in range(0, len(best), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        similarity = probes.vectors[part] @ enrolled.vectors.T
        if strangers is None:
            similarity[probes.people[part, None] == enrolled.people] = -1
        closest = similarity.argmax(axis=1)
        best[part] = similarity[np.arange(len(closest)), closest]
        whose[part] = enrolled.people[closest]
    # Of strangers only they are drawn by chance; those enrolled are as given.
    other = whose if strangers is None else probes.people
    return Impostors(best, np.stack([probes.people, other], axis=1), probes.weights, SEARCHES)


def different_people(faces: Faces) -> Impostors:
    """Compare every two faces of different people."""
    first, second = np.triu_indices(len(faces.people), k=1)
    people = np.stack([faces.people[first], faces.people[second]], axis=1)
    apart = people[:, 0] != people[:, 1]
    similarities = (faces.vectors @ faces.vectors.T)[first[apart], second[apart]]
    weights = faces.weights[first[apart]] * faces.weights[second[apart]]
    return Impostors(similarities, people[apart], weights)


def labelled_pairs(faces: Faces) -> Labelled:
    """Compare every two faces; each person, and each pair of people, counts alike."""
    impostors = different_people(faces)
    first, second = np.triu_indices(len(faces.people), k=1)
    together = faces.people[first] == faces.people[second]
    first, second = first[together], second[together]
    genuine = np.einsum("nd,nd->n", faces.vectors[first], faces.vectors[second])
    counts = np.bincount(faces.people[first], minlength=1)
    weights = 1 / counts[faces.people[first]]
    return Labelled(genuine, weights, impostors.similarities, impostors.weights)


def several_photographed(faces: Faces) -> int:
    """Return of how many people there are several faces."""
    return int((np.bincount(faces.people) > 1).sum()) if len(faces.people) else 0


def fit_probabilities(
    faces: Faces, *, prior: float = PRIOR, seed: int = 0
) -> tuple[LikelihoodRatio, Reliability] | None:
    """Fit probabilities, and measure them on people whom they were not fitted on.

    Half of the people are judged by what was fitted on the other half, and the other way round.

    Args:
        faces: Of people, some with several faces.
        prior: How frequent pairs of one person are taken to be in the measurement.
        seed: Of the halves.

    Returns:
        What was fitted on everybody, and how well its like held; None where fewer than
        `FEWEST_PEOPLE` people have several faces.
    """
    if several_photographed(faces) < FEWEST_PEOPLE:
        return None
    counts = np.bincount(faces.people)
    rng = np.random.default_rng(seed)
    in_first = np.zeros(len(counts), dtype=np.bool_)
    for group in (np.flatnonzero(counts > 1), np.flatnonzero(counts == 1)):
        in_first[rng.permutation(group)[: len(group) // 2]] = True
    halves = [
        labelled_pairs(faces.select(in_first[faces.people] == side)) for side in (True, False)
    ]
    said, same, weights = [], [], []
    for fitted, judged in (halves, halves[::-1]):
        ratio = fit_likelihood_ratio(fitted)
        kinds = (
            (judged.genuine, judged.genuine_weights, prior),
            (judged.impostor, judged.impostor_weights, 1 - prior),
        )
        for label, (scores, own, share) in zip((True, False), kinds, strict=True):
            said.append(ratio.probability(scores, prior))
            same.append(np.full(len(scores), label))
            weights.append(share * own / own.sum())
    held = reliability(np.concatenate(said), np.concatenate(same), np.concatenate(weights))
    return fit_likelihood_ratio(labelled_pairs(faces)), held


# Thresholds for a wanted rate of false accepts, from comparisons of people who are not the same.
#
# The rate is either that of single comparisons (FAR) or of searches (FPIR, false positive
# identification rate). A search of N people is 1 - (1 - FAR)^n, where n is how many independent
# comparisons it is worth: fewer than it makes, for photographs of one person are alike and some
# strangers are like everybody. n is measured at a threshold that a tenth of the searches reach,
# which few strangers suffice for; the FAR comes from pairs of strangers, of which there are many.
# Every person counts as much as any other, however many photographs there are of them.
#
# Rates of a size that can be counted are interpolated, smaller ones extrapolated, by a tail
# fitted to the highest similarities (`impostor_tail`). The interval says what would come out with
# other people (`intervals`). A rate is refused where fewer than `EXPECTED_ERRORS` are expected at
# it, unless the tail is at least as sure as so many errors would be: the upper end of its interval
# is at most `MOST_OFF` times the rate.

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
        effective_count = times * math.log1p(-reached) / math.log1p(-accepted)
        error = relative_error(searches, level, reached, seed)
        single = fitted(pairs, rate_among(fpir, 1 / effective_count), error, seed)
        found = _as_searches(single, fpir, effective_count)
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


# A threshold by what few people show, and by what a network's weights say of others.
#
# At a level that a tenth of comparisons reach, which few people suffice for, a gallery may be met
# more or less often than the weights say. How many times as often, f, is gamma distributed before
# looking, of mean 1 and as uncertain as what the weights say; after k of the comparisons reached
# the level where E were expected, its mean is (a + k) / (a + E), with a one over the squared
# coefficient of variation from before (the gamma-Poisson rule). Few comparisons leave the
# weights' word, many replace it. From that level on the tail is the weights', f times as high.

_LARGEST = 0.5  # rate that a tail is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """A threshold from both.

    Attributes:
        threshold: The cosine similarity.
        threshold_interval: 95 % interval of the threshold.
        rate_interval: 95 % interval of the rate at which the threshold is reached.
        comparisons: How many there were, in such as count alike.
        times: How many times as often as the weights say strangers pass, f.
    """

    threshold: float
    threshold_interval: Interval
    rate_interval: Interval
    comparisons: int
    times: float


def combined(
    impostors: Impostors, tail: ImpostorTail, searched: Searched | None, rate: float
) -> Combined:
    """Return the threshold that is reached at a rate.

    Args:
        impostors: What was seen: a comparison a search, or single ones.
        tail: What the weights say.
        searched: Among whom a search looks; None for single comparisons.
        rate: What is wanted.

    Raises:
        ArgumentError: The rate cannot be promised among so many.
    """

    def at(wanted: float) -> float:
        wanted = min(wanted, _LARGEST)
        if searched is None:
            return tail.far_threshold(wanted)
        return tail.threshold(wanted, searched)

    def at_or_beyond(wanted: float) -> float:
        try:
            return at(wanted)
        except ArgumentError:
            return 1.0

    level = at(LARGEST_RATE)
    said = tail.pairs_rate(level) if searched is None else tail.named_rate(level, searched)
    before = 1 / max(tail.variation(level, searched), 1e-9)
    # Comparisons of one person rise and fall together: they count as many as there are people.
    count = min(impostors.effective, len(np.unique(impostors.people)))
    seen = share_above(impostors, level) * count if count else 0.0
    after = before + seen
    times = after / (before + said.rate * count)
    threshold = at(rate / times)
    further = tail.variation(threshold, searched) - tail.variation(level, searched)
    low, high = gamma_interval(rate, 1 / after + max(further, 0.0))
    lowest, highest = (at_or_beyond(rate / times * rate / max(end, 1e-12)) for end in (low, high))
    return Combined(
        threshold=threshold,
        threshold_interval=(min(lowest, threshold), max(highest, threshold)),
        rate_interval=(low, high),
        comparisons=impostors.effective,
        times=times,
    )
