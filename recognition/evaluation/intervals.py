"""How far a figure can be trusted: intervals bootstrapped by identity.

Comparisons that share a person are not independent: some people are easily mistaken, whoever they
are compared with (Doddington et al., "Sheep, goats, lambs and wolves", ICSLP 1998). What would come
out with other *people* is therefore seen by drawing weights for the people, not for the pairs (the
subsets bootstrap of Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems",
CVIU 93, 2004). Person i gets a weight w_i of mean 1 and variance 1 (exponential: the Bayesian
bootstrap of Rubin, Annals of Statistics 9, 1981), a genuine pair counts w_i times, and a pair of
two people w_i·w_j times (the product reweighting of Owen and Eckles, "Bootstrapping data arrays of
arbitrary order", Annals of Applied Statistics 6, 2012).

Products exaggerate. For two pairs of people that share a person the covariance of their weights is
1, as it should be; but the variance of a pair's own weight is 3 instead of 1, which widens the
intervals by up to √3 where few pairs share anybody, as in LFW. The excess is measured by drawing
independent weights for the pairs of two people, and taken off. What remains is an estimate of the
dyadic variance of Aronow, Samii and Assenova ("Cluster-robust variance estimation for dyadic data",
Political Analysis 23, 2015). It is kept at least as large as if all pairs were independent.

A figure p within 0 … 1 is worth as many independent trials as would make it vary as much, and gets
the score interval of a share in so many (Wilson, JASA 22, 1927; for clustered data Franco et al.,
Journal of Survey Statistics and Methodology 7, 2019). Unlike p ± 1.96 √V it stays within 0 … 1, and
it does not shrink to a point where no error was seen. Its variance is compared with a share's on
the scale on which a share in n trials varies by 1/(4n) whatever it is, that of arcsin √p (Anscombe,
"The transformation of Poisson, binomial and negative-binomial data", Biometrika 35, 1948): what is
drawn of a figure near 1 is skewed, and on its own scale the few worst draws, which the score
interval allows for anyhow, would decide its variance.

The quantile is Student's, for the variance is an estimate too. Of a score interval it has a quarter
as many degrees of freedom as there are people: with a person all pairs of theirs come and go, each
of which is the other person's too, so that the estimate moves twice as far as that of a sum over
people does, and its variance is four times as large. It is not asked who makes the errors: that
interval takes the variance of the value that it tests, so that few errors make it wide by
themselves. A difference has no such interval. The few people who make all the errors decide its
variance, and leave it 2 V² / var V degrees of freedom
(Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
Bulletin 2, 1946): with d_i the change of a figure when person i is left out, V is the sum of d_i²,
and its variance that of d_i⁴ less V² / P.

How often the intervals hold the truth is measured by benchmarks/interval_coverage.py and told in
docs/evaluation.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from .metrics import Scores, Weights

Interval = tuple[float, float]
"""The lower and the upper end."""

Figures = Callable[[Weights], Weights]
"""Weights of the comparisons, (B, n) → the figures that they give, (B, F)."""

CONFIDENCE = 0.95
REPLICATES = 1000

_MOST_WEIGHTS = 30_000  # 240 kB at once, which a core has at hand
_FEWEST_DEGREES = 4.0  # where Student's quantile is still approximated well
_EXCESS = 2.0  # variance of a product of two weights, 3, less the 1 that a pair's own should have

_Draw = Callable[[np.random.Generator, int], Weights]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How much figures of pairs vary from one draw of people to the next.

    Attributes:
        of_people: Their variances where people are drawn, (F,); an estimate, which may be negative.
        of_pairs: What they would be if all pairs were independent, (F,).
    """

    of_people: Scores
    of_pairs: Scores

    @property
    def variances(self) -> Scores:
        """The variances, at least those of independent pairs, (F,)."""
        return np.maximum(self.of_people, self.of_pairs)

    @property
    def design_effect(self) -> float:
        """How many times those of independent pairs all variances together are, at least 1.

        For figures that vary on one scale, such as `angles`. The effect (Kish, "Survey Sampling",
        1965) is the pairs' more than any one figure's, and of one figure alone it is a poor
        estimate: that of a few errors, or of none.
        """
        total = float(self.of_pairs.sum())
        return max(1.0, float(self.of_people.sum()) / total) if total > 0 else 1.0


def spread_by_person(
    figures: Figures,
    people: npt.NDArray[np.int64],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Spread:
    """Measure how much figures of pairs vary from one draw of people to the next.

    Args:
        figures: The figures as functions of the pairs' weights.
        people: The numbers, from 0, of the two people in each pair, (n, 2); equal in genuine ones.
        replicates: How many sets of weights are drawn.
        seed: Of the weights.
    """
    first, second = people.T
    genuine = first == second
    count = int(people.max()) + 1

    def by_person(rng: np.random.Generator, rows: int) -> Weights:
        of_people = rng.exponential(size=(rows, count))
        return of_people[:, first] * np.where(genuine, 1.0, of_people[:, second])

    def by_impostor_pair(rng: np.random.Generator, rows: int) -> Weights:
        weights = np.ones((rows, len(people)))
        weights[:, ~genuine] = rng.exponential(size=(2, rows, int((~genuine).sum()))).prod(axis=0)
        return weights

    def by_pair(rng: np.random.Generator, rows: int) -> Weights:
        return rng.exponential(size=(rows, len(people)))

    rng = np.random.default_rng(seed)
    joint, impostor, independent = (
        _variances(figures, draw, len(people), replicates, rng)
        for draw in (by_person, by_impostor_pair, by_pair)
    )
    without_excess = joint - _EXCESS / (_EXCESS + 1) * impostor
    return Spread(
        of_people=without_excess * _correction(len(np.unique(people))),
        of_pairs=independent * _correction(len(people)),
    )


def variances_by_person(
    figures: Figures,
    people: npt.NDArray[np.int64],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Scores:
    """Return the variances of `spread_by_person`, (F,)."""
    return spread_by_person(figures, people, replicates=replicates, seed=seed).variances


def freedom_by_person(figures: Figures, people: npt.NDArray[np.int64]) -> Scores:
    """Return how many degrees of freedom the variances of `variances_by_person` have.

    Args:
        figures: As in `variances_by_person`.
        people: As in `variances_by_person`.

    Returns:
        (F,), less than there are people.
    """
    everybody = np.unique(people)
    parts = []
    most = max(1, _MOST_WEIGHTS // len(people))
    for start in range(0, len(everybody), most):
        left_out = everybody[start : start + most, None]
        parts.append(figures((~(people[None] == left_out[:, None]).any(axis=2)).astype(np.float64)))
    values = np.concatenate(parts)
    squares = (values - values.mean(axis=0)) ** 2
    total = squares.sum(axis=0)
    spread = (squares**2).sum(axis=0) - total**2 / len(everybody)
    most_freedom = float(max(len(everybody) - 1, _FEWEST_DEGREES))
    freedom = 2 * total**2 / np.where(spread > 0, spread, 1)
    return np.where(spread > 0, freedom, most_freedom).clip(_FEWEST_DEGREES, most_freedom)


def variances_of_shares(
    figures: Figures, count: int, *, replicates: int = REPLICATES, seed: int = 0
) -> Scores:
    """Return the variances that figures have where each trial is one person's alone.

    Args:
        figures: The figures as functions of the people's weights, (B, people) → (B, F).
        count: How many people there are.
        replicates: How many sets of weights are drawn.
        seed: Of the weights.

    Returns:
        (F,).
    """
    rng = np.random.default_rng(seed)

    def by_person(rng: np.random.Generator, rows: int) -> Weights:
        return rng.exponential(size=(rows, count))

    return _variances(figures, by_person, count, replicates, rng) * _correction(count)


def angles(shares: Weights) -> Weights:
    """Return arcsin √p of shares p, which varies by 1/(4n) in n trials; see `variance_of_share`."""
    turned: Weights = np.arcsin(np.sqrt(shares.clip(0, 1)))
    return turned


def variance_of_share(value: float, of_angle: float) -> float:
    """Return the variance that a figure has whose `angles` have that one.

    Args:
        value: The figure, within 0 … 1.
        of_angle: The variance of its angle.
    """
    return 4 * value * (1 - value) * of_angle


def score_interval(
    value: float, variance: float, people: int, freedom: float | None = None
) -> Interval:
    """Return the interval of a figure within 0 … 1.

    Args:
        value: The figure.
        variance: Its variance.
        people: How many it was measured on; that many trials it counts for where the variance is 0
            because nothing went wrong, or nothing right.
        freedom: Degrees of freedom of the variance; None for one less than there are people.
    """
    trials = value * (1 - value) / variance if variance > 0 else 0.0
    trials = trials if trials > 0 else float(people)
    quantile = _quantile(people - 1 if freedom is None else freedom)
    square = quantile**2
    middle = (value + square / (2 * trials)) / (1 + square / trials)
    spread = value * (1 - value) / trials + square / (4 * trials**2)
    half = quantile * float(np.sqrt(spread)) / (1 + square / trials)
    return max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half))


def difference_interval(
    value: float, variance: float, people: int, freedom: float | None = None
) -> Interval:
    """Return the interval of a difference of two figures, within -1 … 1.

    Args:
        value: The difference.
        variance: Its variance.
        people: How many it was measured on.
        freedom: Degrees of freedom of the variance; None for one less than there are people.
    """
    half = _quantile(people - 1 if freedom is None else freedom) * float(np.sqrt(variance))
    return max(-1.0, value - half), min(1.0, value + half)


def _quantile(freedom: float) -> float:
    """Return Student's quantile, by Cornish and Fisher's expansion."""
    normal = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    freedom = max(freedom, 2)
    first = (normal**3 + normal) / 4
    second = (5 * normal**5 + 16 * normal**3 + 3 * normal) / 96
    return normal + first / freedom + second / freedom**2


def _correction(people: int) -> float:
    """Return what makes the variance of a mean over so many people, weighted so, unbiased."""
    return (people + 1) / max(people - 1, 1)


def _variances(
    figures: Figures, draw: _Draw, pairs: int, replicates: int, rng: np.random.Generator
) -> Scores:
    """Return the variances of the figures over sets of weights drawn in some way, (F,)."""
    values = [figures(draw(rng, rows)) for rows in _in_parts(replicates, pairs)]
    variances: Scores = np.concatenate(values).var(axis=0, ddof=1)
    return variances


def _in_parts(replicates: int, pairs: int) -> Iterator[int]:
    """Yield how many replicates to do at once, so that their weights fit into memory."""
    most = max(1, _MOST_WEIGHTS // pairs)
    for start in range(0, replicates, most):
        yield min(most, replicates - start)
