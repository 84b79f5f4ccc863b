"""Pairs of photographs compared: whose they are, how similar, and how they are decided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from data.errors import DatasetError
from data.lfw import LfwProtocol, PhotographKey

from .embedding import Embedding
from .metrics import Scores, best_threshold
from .specialists import CONFUSABLE, fit_referral

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
