"""How likely it is that two photographs show one person, from their cosine similarity.

The similarity s becomes q = (1 + s) / 2, and the logarithm of the likelihood ratio, how many times
as likely such a similarity is between photographs of one person as of two, is
a · ln q - b · ln(1 - q) + c with a, b ≥ 0: beta calibration (Kull, Silva Filho and Flach, "Beta
calibration: a well-founded and easily implemented improvement on logistic calibration", AISTATS
2017). It rises with the similarity, and fits the unequal spread of the two kinds, which a logistic
curve cannot. It is fitted as if both kinds were equally frequent, with Platt's softened labels
("Probabilities for SVMs", 1999), so that from n pairs without an error no certainty beyond n to 1
follows. What was likely before looking, the prior, is put in by Bayes' rule.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError

from .impostor_tail import Values
from .metrics import Scores

PRIOR = 0.5
"""How likely it is before looking that two photographs show one person, or that a face is of
somebody enrolled, where nothing else is said."""

_EDGE = 1e-6  # of q: a photograph compared with itself is not infinitely certain
_BINS = 4000  # similarities are fitted as a histogram, so that millions take no time
_RELIABILITY_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodRatio:
    """From a similarity to the logarithm of its likelihood ratio.

    Attributes:
        rise: a, not negative.
        fall: b, not negative.
        offset: c.
    """

    rise: float
    fall: float
    offset: float

    def logarithm(self, similarities: Scores) -> Values:
        """Return the natural logarithm of the likelihood ratio of each similarity, (n,)."""
        near, far = _features(similarities).T
        values: Values = self.rise * near + self.fall * far + self.offset
        return values

    def probability(self, similarities: Scores, prior: float = PRIOR) -> Values:
        """Return how likely each pair is one person's, (n,).

        Args:
            similarities: Cosines, (n,).
            prior: The same before looking, above 0 and below 1.
        """
        return _sigmoid(self.logarithm(similarities) + math.log(prior / (1 - prior)))

    def among(self, similarities: Sequence[float], enrolled: int, prior: float) -> list[float]:
        """Return how likely a face is that of each of the closest people.

        It is one of theirs, of somebody else enrolled, or a stranger's, and comparisons with
        different people say nothing about one another: P_i = π_i Λ_i / (1 - π + Σ_j π_j Λ_j), where
        π_j is the prior shared among all who are enrolled. Those who are not among the closest are
        left out of the sum: they are likely to add next to nothing.

        Args:
            similarities: Cosines, of the closest people.
            enrolled: How many people are enrolled.
            prior: How likely it is before looking that the face is one of theirs.

        Returns:
            For each similarity; they sum to less than 1.
        """
        if not similarities:
            return []
        logs = self.logarithm(np.array(similarities)) + math.log(prior / enrolled)
        stranger = math.log1p(-prior)
        highest = max(stranger, float(logs.max()))
        odds = np.exp(logs - highest)
        shares: list[float] = (odds / (odds.sum() + math.exp(stranger - highest))).tolist()
        return shares


def check_prior(prior: float) -> None:
    """Refuse what is no prior probability.

    Raises:
        ArgumentError: It is not above 0 and below 1.
    """
    if not 0 < prior < 1:
        raise ArgumentError(f"a prior of {prior:g}: give a probability above 0 and below 1")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Similarities of pairs of which it is known whether they are one person's.

    Attributes:
        genuine: Cosines of pairs of one person, (g,), at least one.
        genuine_weights: What each counts for, (g,).
        impostor: Cosines of pairs of two people, (i,), at least one.
        impostor_weights: What each counts for, (i,).
    """

    genuine: Scores
    genuine_weights: Values
    impostor: Scores
    impostor_weights: Values


def fit_likelihood_ratio(pairs: Labelled) -> LikelihoodRatio:
    """Fit the likelihood ratio of similarities.

    Args:
        pairs: Of both kinds. The weights say how many pairs each is worth, too: their sums limit
            how sure the ratio may become.
    """
    middles = (np.arange(_BINS) + 0.5) / _BINS * 2 - 1
    features, targets, weights = [], [], []
    kinds = (pairs.genuine, pairs.genuine_weights), (pairs.impostor, pairs.impostor_weights)
    for label, (scores, own) in zip((1, 0), kinds, strict=True):
        counted, _ = np.histogram(scores.clip(-1, 1), _BINS, (-1, 1), weights=own)
        present = counted > 0
        softening = 1 / (float(own.sum()) + 2)
        share = counted[present] / counted.sum()
        for target, part in ((label, 1 - softening), (1 - label, softening)):
            features.append(_features(middles[present]))
            targets.append(np.full(len(share), target))
            weights.append(share * part)
    table = np.concatenate(features), np.concatenate(targets), np.concatenate(weights)
    slopes, offset = _logistic(*table, columns=(0, 1))
    for negative, other in ((0, 1), (1, 0)):  # as the paper does: the other one alone
        if slopes[negative] < 0:
            slopes, offset = _logistic(*table, columns=(other,))
    if (slopes < 0).any():  # nobody is more similar to himself than to others
        return LikelihoodRatio(rise=0.0, fall=0.0, offset=0.0)
    rise, fall = slopes.tolist()
    return LikelihoodRatio(rise=rise, fall=fall, offset=offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How well probabilities hold.

    Attributes:
        error: Expected calibration error: the mean distance of what was said from what was so, over
            ten bins of equal width (Naeini, Cooper and Hauskrecht, AAAI 2015).
        said: Mean probability in each bin that is not empty.
        observed: The share of one person's pairs there.
        weights: The part of all pairs there.
    """

    error: float
    said: tuple[float, ...]
    observed: tuple[float, ...]
    weights: tuple[float, ...]


def reliability(probabilities: Values, same: npt.NDArray[np.bool_], weights: Values) -> Reliability:
    """Measure how well probabilities hold.

    Args:
        probabilities: That each pair is one person's, (n,).
        same: Whether it is, (n,).
        weights: What each counts for, (n,).
    """
    bins = np.minimum((probabilities * _RELIABILITY_BINS).astype(np.int64), _RELIABILITY_BINS - 1)
    mass, sum_said, sum_same = (
        np.bincount(bins, weights * value, _RELIABILITY_BINS).astype(np.float64)
        for value in (1.0, probabilities, same)
    )
    filled = mass > 0
    mass = mass[filled]
    said, observed = sum_said[filled] / mass, sum_same[filled] / mass
    parts = mass / mass.sum()
    return Reliability(
        error=float(parts @ np.abs(said - observed)),
        said=tuple(said.tolist()),
        observed=tuple(observed.tolist()),
        weights=tuple(parts.tolist()),
    )


def reliability_of(ratio: LikelihoodRatio, pairs: Labelled, prior: float = PRIOR) -> Reliability:
    """Measure how well a ratio's probabilities hold for pairs as frequent as the prior says."""
    similarities = np.concatenate([pairs.genuine, pairs.impostor])
    same = np.arange(len(similarities)) < len(pairs.genuine)
    weights = np.concatenate(
        [
            prior * pairs.genuine_weights / pairs.genuine_weights.sum(),
            (1 - prior) * pairs.impostor_weights / pairs.impostor_weights.sum(),
        ]
    )
    return reliability(ratio.probability(similarities, prior), same, weights)


def _features(similarities: Scores) -> Values:
    """Return ln q and -ln(1 - q), (n, 2)."""
    q = ((1 + similarities.astype(np.float64)) / 2).clip(_EDGE, 1 - _EDGE)
    return np.stack([np.log(q), -np.log1p(-q)], axis=1)


def _logistic(
    features: Values, targets: Values, weights: Values, *, columns: tuple[int, ...]
) -> tuple[Values, float]:
    """Fit a logistic regression on some columns; return the slopes, 0 for the others, and offset.

    Newton's steps on standardised columns, which end even where all similarities are the same;
    scikit-learn's solvers warn there.
    """
    chosen = features[:, columns]
    middle, spread = chosen.mean(axis=0), chosen.std(axis=0) + _EDGE
    design = np.column_stack([(chosen - middle) / spread, np.ones(len(chosen))])
    ridge = 1e-9 * np.eye(design.shape[1])
    found = np.zeros(design.shape[1])
    for _ in range(100):
        said = _sigmoid(design @ found)
        slope = design.T @ (weights * (targets - said)) - ridge @ found
        curvature = (design * (weights * said * (1 - said))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, slope)
        # A long step may overshoot where the curve is flat.
        found += step / max(1.0, float(np.abs(step).max()) / 2)
        if np.abs(step).max() < 1e-9:
            break
    slopes = np.zeros(features.shape[1])
    slopes[list(columns)] = found[:-1] / spread
    return slopes, float(found[-1] - (found[:-1] / spread) @ middle)


def _sigmoid(values: Values) -> Values:
    """Return 1 / (1 + e^-x), without overflow."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))
