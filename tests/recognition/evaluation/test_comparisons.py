import numpy as np
import pytest

from data.errors import DatasetError
from data.lfw import LfwProtocol, Pair
from recognition.evaluation.pairs import Comparisons, compare_pairs, decide, joined

ONE = np.array([1, 0], np.float32)
OTHER = np.array([0, 1], np.float32)


def test_pairs_know_whose_they_are():
    folds = (
        (Pair(("Bo", 1), ("Bo", 2), True), Pair(("Bo", 1), ("Ann", 1), False)),
        (Pair(("Cy", 1), ("Cy", 2), True),),
    )
    vectors = {("Ann", 1): OTHER, ("Bo", 1): ONE, ("Bo", 2): ONE, ("Cy", 1): ONE, ("Cy", 2): None}
    first, second = compare_pairs(LfwProtocol(folds), vectors)
    assert first.people.tolist() == [[1, 1], [1, 0]]
    assert first.scores.tolist() == [1, 0]
    assert second.people.tolist() == [[2, 2]]
    assert second.scores.tolist() == [-np.inf]
    together = joined([first, second])
    assert together.genuine.tolist() == [1, -np.inf]
    assert together.impostor.tolist() == [0]


def fold(scores: list[float], same: list[bool]) -> Comparisons:
    numbers = np.arange(len(scores))
    people = np.stack([numbers, np.where(same, numbers, numbers + 1)], axis=1)
    return Comparisons(np.array(scores), people)


def test_a_dear_false_accept_makes_the_threshold_strict():
    # Among the lowest of the genuine there are as many impostors.
    overlapping = fold([0.2, 0.4, 0.6, 0.5, 0.9, 0.7, 0.8, 0.9], [False] * 4 + [True] * 4)
    overlapping.people[4] = (4, 5)  # an impostor at 0.9
    first, _ = decide([overlapping, overlapping])
    dear, _ = decide([overlapping, overlapping], false_accept_cost=10)
    cheap, _ = decide([overlapping, overlapping], false_accept_cost=0.1)
    assert cheap.threshold <= first.threshold < 0.9 < dear.threshold


def test_a_fold_alone_keeps_the_order_of_its_pairs():
    alone = fold([0.9, 0.1] * 10, [True, False] * 10)
    alone.people[0] = (0, 1)  # an impostor as similar as can be
    (decisions,) = decide([alone])
    assert decisions.right.tolist() == [False, *[True] * 19]


def test_one_pair_cannot_be_decided():
    with pytest.raises(DatasetError, match="single pair"):
        decide([fold([0.5], [True])])
