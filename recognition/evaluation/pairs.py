"""Pairs compared and decided, and their figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from data.errors import DatasetError
from data.lfw import LfwProtocol, PhotographKey

from . import metrics
from .embeddings import Embedding
from .intervals import (
    REPLICATES,
    Interval,
    angles,
    difference_interval,
    freedom_by_person,
    score_interval,
    spread_by_person,
    variance_of_share,
    variances_by_person,
)
from .metrics import Scores, WeightedCurve, Weights, best_threshold, weighted_share
from .specialists import CONFUSABLE, fit_referral

# Pairs of photographs compared: whose they are, how similar, and how they are decided.

_INNER_PARTS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Pairs of photographs, compared.

    Attributes:
        scores: Cosine similarities, (n,); -inf and +inf for a genuine and an impostor pair of which
            a face was not found.
        people: The number of each photograph's person, (n, 2).
        second_opinion: What the scores would be if specialists were asked about every pair, (n,);
            None where there are none to ask.
    """

    scores: Scores
    people: npt.NDArray[np.int64]
    second_opinion: Scores | None = None

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """Which pairs are genuine, (n,)."""
        same: npt.NDArray[np.bool_] = self.people[:, 0] == self.people[:, 1]
        return same

    @property
    def genuine(self) -> Scores:
        """Similarities of the pairs of one person."""
        return self.scores[self.same]

    @property
    def impostor(self) -> Scores:
        """Similarities of the pairs of two people."""
        return self.scores[~self.same]

    def select(self, chosen: npt.NDArray[np.bool_]) -> "Comparisons":
        """Return some of the pairs, in their order."""
        second = None if self.second_opinion is None else self.second_opinion[chosen]
        return Comparisons(self.scores[chosen], self.people[chosen], second)


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Pairs decided with a threshold that they had no part in.

    Attributes:
        right: Which were decided rightly, (n,).
        threshold: The cosine similarity; of pairs decided in parts, the parts' mean.
        scores: The similarities that they were decided by, (n,).
        asked: About which the specialists were asked, (n,).
    """

    right: npt.NDArray[np.bool_]
    threshold: float
    scores: Scores
    asked: npt.NDArray[np.bool_]


def joined(parts: Sequence[Comparisons]) -> Comparisons:
    """Return all the parts' comparisons, one part after the other."""
    second: list[Scores] = [p.second_opinion for p in parts if p.second_opinion is not None]
    opinions = np.concatenate(second).astype(np.float64) if second else None
    scores = np.concatenate([part.scores for part in parts])
    return Comparisons(scores, np.concatenate([part.people for part in parts]), opinions)


def compare_pairs(
    protocol: LfwProtocol, embedding_of: Mapping[PhotographKey, Embedding | None]
) -> list[Comparisons]:
    """Compare a protocol's pairs, fold by fold.

    Args:
        protocol: The folds.
        embedding_of: For each photograph a unit vector (D,), or None where no face was found.

    Raises:
        KeyError: `embedding_of` lacks a photograph.
    """
    names = sorted({name for name, _ in protocol.photographs()})
    number_of = {name: number for number, name in enumerate(names)}
    folds = []
    for fold in protocol.folds:
        scores = []
        for pair in fold:
            first, second = embedding_of[pair.first], embedding_of[pair.second]
            if first is None or second is None:
                scores.append(-math.inf if pair.same else math.inf)
            else:
                scores.append(float(first @ second))
        people = [(number_of[pair.first[0]], number_of[pair.second[0]]) for pair in fold]
        folds.append(Comparisons(np.array(scores), np.array(people, dtype=np.int64)))
    return folds


def decide(
    folds: Sequence[Comparisons], *, false_accept_cost: float = 1, confusable: float = CONFUSABLE
) -> list[Decisions]:
    """Decide each fold with the threshold that is best on the others.

    A fold that has no others is split into ten parts, each decided with the threshold of the
    others. Each part takes its share of both kinds, in the fold's order.

    Args:
        folds: At least one, none of them empty.
        false_accept_cost: Of a false accept, where a false reject costs 1.
        confusable: The share of pairs, those nearest the others' threshold, about which specialists
            are asked, where there are any.

    Raises:
        DatasetError: The only fold has a single pair.
    """
    if len(folds) > 1:
        return _across(folds, false_accept_cost, confusable)
    fold = folds[0]
    count = len(fold.scores)
    parts = min(_INNER_PARTS, count)
    if parts < 2:
        raise DatasetError("a single pair cannot be evaluated; expected at least two")
    by_kind = list(chain(np.flatnonzero(fold.same), np.flatnonzero(~fold.same)))
    part_of = np.empty(count, dtype=np.int64)
    part_of[by_kind] = np.arange(count) % parts
    chosen = [part_of == part for part in range(parts)]
    decided = _across([fold.select(part) for part in chosen], false_accept_cost, confusable)
    right, asked = np.empty(count, dtype=np.bool_), np.empty(count, dtype=np.bool_)
    scores = np.empty(count)
    for part, decisions in zip(chosen, decided, strict=True):
        right[part], scores[part] = decisions.right, decisions.scores
        asked[part] = decisions.asked
    threshold = float(np.mean([decisions.threshold for decisions in decided]))
    return [Decisions(right, threshold, scores, asked)]


def _across(
    folds: Sequence[Comparisons], false_accept_cost: float, confusable: float
) -> list[Decisions]:
    decided = []
    for left_out, fold in enumerate(folds):
        others = joined([other for number, other in enumerate(folds) if number != left_out])
        scores, of_others = fold.scores, others.scores
        asked = np.zeros(len(scores), dtype=np.bool_)
        if others.second_opinion is not None and fold.second_opinion is not None:
            rule = fit_referral(of_others, others.second_opinion, others.same, confusable)
            asked = rule.in_doubt(scores)
            scores = rule.settle(scores, fold.second_opinion)
            of_others = rule.settle(of_others, others.second_opinion)
        threshold = best_threshold(of_others, others.same, false_accept_cost=false_accept_cost)
        decided.append(Decisions((scores >= threshold) == fold.same, threshold, scores, asked))
    return decided


# The figures of pairs that were compared and decided, and how far they can be trusted.

FAR_POINTS = (0.01, 0.001)
"""The false accept rates at which the TAR is quoted, where the pairs support them."""

SMALLEST = "tar_at_smallest_supported_far"

_SHARE_OF_THE_AUC_MODEL = 0.2  # as simulated scores need it; the others are lower bounds


def tar_name(far: float) -> str:
    """Return the name of the TAR at a FAR among the figures, as `tar_at_far_0.01`."""
    return f"tar_at_far_{far:g}"


@dataclass(frozen=True, slots=True, eq=False)
class DecidedPairs:
    """All pairs of a protocol.

    Attributes:
        comparisons: Of all folds.
        right: Which pairs count as decided rightly, (n,).
        right_by_cost: The same where false accepts cost more, (n,).
        false_accept_cost: How much, where a false reject costs 1.
    """

    comparisons: Comparisons
    right: npt.NDArray[np.bool_]
    right_by_cost: npt.NDArray[np.bool_]
    false_accept_cost: float

    @property
    def fars(self) -> dict[str, float]:
        """The FAR of each TAR that the pairs support, by the TAR's name."""
        genuine, impostor = len(self.comparisons.genuine), len(self.comparisons.impostor)
        smallest = metrics.smallest_supported_far(impostor)
        if smallest is None or genuine == 0:
            return {}
        supported = [far for far in FAR_POINTS if metrics.is_supported(far, impostor)]
        return {**{tar_name(far): far for far in supported}, SMALLEST: smallest}

    def values(self) -> dict[str, float]:
        """Return the figures that the pairs support, by their names.

        They are the accuracy `mean`, `weighted_error`, `auc`, `eer` and TARs at FAR.
        """
        scores, same = self.comparisons.scores, self.comparisons.same
        costs = np.where(same, 1.0, self.false_accept_cost)
        figures = {
            "mean": float(np.mean(self.right)),
            "weighted_error": float(costs[~self.right_by_cost].sum() / costs.sum()),
        }
        genuine, impostor = scores[same], scores[~same]
        area = metrics.auc(genuine, impostor)
        eer = metrics.equal_error_rate(genuine, impostor)
        if area is not None and eer is not None:
            figures |= {"auc": area, "eer": eer}
        for name, far in self.fars.items():
            tar = metrics.tar_at_far(genuine, impostor, far)
            if tar is not None:
                figures[name] = tar
        return figures

    def weighted_values(self, weights: Weights) -> Weights:
        """Return the figures of `values`, in that order, for sets of weights: (B, n) → (B, F)."""
        scores, same = self.comparisons.scores, self.comparisons.same
        costs = np.where(same, 1.0, self.false_accept_cost)
        columns = [
            weighted_share(self.right, weights),
            weighted_share(~self.right_by_cost, weights * costs),
        ]
        if same.any() and not same.all():
            curve = WeightedCurve(scores, same, weights)
            columns += [curve.auc(), curve.equal_error_rate()]
            columns += [curve.tar_at_far(far) for far in self.fars.values()]
        return np.stack(columns, axis=1)

    def intervals(self, *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Interval]:
        """Return the 95 % interval of each figure of `values`, bootstrapped by identity."""
        people = self.comparisons.people
        spread = spread_by_person(
            lambda weights: angles(self.weighted_values(weights)),
            people,
            replicates=replicates,
            seed=seed,
        )
        values = self.values()
        variance_of = {
            name: variance_of_share(value, float(of_angle))
            for (name, value), of_angle in zip(values.items(), spread.variances, strict=True)
        }
        for name, expected in self._variances_of_independent_pairs(values).items():
            # Few pairs decide them, and the bootstrap often misses what these few leave open.
            share = _SHARE_OF_THE_AUC_MODEL if name == "auc" else 1.0
            at_least = (1 - share) * variance_of[name] + share * expected * spread.design_effect
            variance_of[name] = max(variance_of[name], at_least)
        count = len(np.unique(people))
        return {
            name: score_interval(value, variance_of[name], count, (count - 1) / 4)
            for name, value in values.items()
        }

    def _variances_of_independent_pairs(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the variances that a model expects of figures which a few pairs decide.

        The AUC's is that of exponential similarities; the weighted error's that of half a pair more
        of either kind decided rightly, and half a pair wrongly (as by Jeffreys' prior). A TAR
        varies at least as a share of the genuine pairs does, the EER at least as a share of all.
        """
        same = self.comparisons.same
        genuine, impostor = int(same.sum()), int((~same).sum())
        cost = self.false_accept_cost
        wrong = ~self.right_by_cost
        rejected = (int(wrong[same].sum()) + 0.5) / (genuine + 1)
        accepted = (int(wrong[~same].sum()) + 0.5) / (impostor + 1)
        spread = genuine * rejected * (1 - rejected)
        spread += cost**2 * impostor * accepted * (1 - accepted)
        variances = {"weighted_error": spread / (genuine + cost * impostor) ** 2}
        if "auc" in values:
            eer = values["eer"]
            variances["eer"] = eer * (1 - eer) / (genuine + impostor)
            variances["auc"] = metrics.auc_variance(values["auc"], genuine, impostor)
        variances |= {tar: values[tar] * (1 - values[tar]) / genuine for tar in self.fars}
        return variances


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much one recogniser's figure is above another's on the same pairs.

    Attributes:
        value: The first one's figure less the second one's.
        interval: 95 %, bootstrapped by identity, the same people drawn for both.
    """

    value: float
    interval: Interval

    def to_json(self) -> dict[str, object]:
        """Return both as JSON's own types."""
        return {"value": self.value, "interval": list(self.interval)}


def differences(
    first: DecidedPairs, second: DecidedPairs, *, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Difference]:
    """Compare two recognisers that have decided the same pairs.

    Args:
        first: One recogniser's decisions.
        second: The other's, on the same pairs in the same order.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: The pairs are not the same.
    """
    people = first.comparisons.people
    if not np.array_equal(people, second.comparisons.people):
        raise ValueError("only figures of the same pairs can be compared")

    def difference(weights: Weights) -> Weights:
        return first.weighted_values(weights) - second.weighted_values(weights)

    variances = variances_by_person(difference, people, replicates=replicates, seed=seed)
    freedom = freedom_by_person(difference, people)
    count = len(np.unique(people))
    found = {}
    pairs = zip(first.values().items(), second.values().values(), variances, freedom, strict=True)
    for (name, one), other, variance, degrees in pairs:
        value = one - other
        interval = difference_interval(value, float(variance), count, float(degrees))
        found[name] = Difference(value=value, interval=interval)
    return found
