"""x"""

import numpy as np
import pytest

from data.errors import DatasetError
from data.lfw import LfwProtocol, Pair
from recognition.evaluation.intervals import score_interval
from recognition.evaluation.pairs import (
    SMALLEST,
    Comparisons,
    DecidedPairs,
    compare_pairs,
    decide,
    differences,
    joined,
    tar_name,
)

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


def decided(noise: float, *, seed: int = 0, people: int = 30, each: int = 2) -> DecidedPairs:
    """Every pair of photographs of some people, with the same scores but for the noise."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(people), each)
    first, second = np.triu_indices(len(whose), k=1)
    pairs = np.stack([whose[first], whose[second]], axis=1)
    same = pairs[:, 0] == pairs[:, 1]
    scores = same * 0.5 + rng.normal(0, 0.1, len(pairs))
    scores = scores + np.random.default_rng(99).normal(0, noise, len(pairs))
    right = (scores >= 0.25) == same
    return DecidedPairs(Comparisons(scores, pairs), right, right, 10.0)


def test_equal_weights_give_the_figures():
    pairs = decided(0.2)
    values = pairs.values()
    weighted = pairs.weighted_values(np.ones((2, len(pairs.right))))
    assert weighted.shape == (2, len(values))
    assert weighted[1] == pytest.approx(list(values.values()))
    assert {"mean", "weighted_error", "auc", "eer", tar_name(0.01), SMALLEST} <= values.keys()


def test_every_figure_lies_in_its_interval():
    pairs = decided(0.2)
    values, intervals = pairs.values(), pairs.intervals()
    assert values.keys() == intervals.keys()
    for name, (low, high) in intervals.items():
        assert 0 <= low < values[name] < high <= 1, name


def test_more_people_narrow_the_interval():
    def width(people: int) -> float:
        low, high = decided(0.2, people=people).intervals(replicates=200)["mean"]
        return high - low

    assert width(60) < 0.6 * width(15)


def test_what_the_pairs_cannot_support_has_no_interval():
    pairs = decided(0.1, people=4, each=2)  # 24 impostor pairs
    assert tar_name(0.01) not in pairs.intervals()
    assert pairs.fars == {SMALLEST: pytest.approx(10 / 24)}


def test_a_single_error_is_no_surer_than_one_in_as_many_pairs():
    people = np.stack([np.arange(400), np.arange(400)], axis=1)
    people[200:, 1] += 1
    same = people[:, 0] == people[:, 1]
    scores = np.where(same, 0.9, 0.1) + np.arange(400) / 10_000
    scores[0] = 0.1101  # among the impostors
    right = (scores >= 0.5) == same
    pairs = DecidedPairs(Comparisons(scores, people), right, right, 10.0)
    for name, trials in (("eer", 400), ("mean", 400), (SMALLEST, 200)):
        value = pairs.values()[name]
        low, high = pairs.intervals()[name]
        wilson = score_interval(value, value * (1 - value) / trials, 600)
        assert high - low >= 0.8 * (wilson[1] - wilson[0]), name


def test_pairs_of_one_kind_have_an_accuracy_only():
    every = decided(0.1)
    same = every.comparisons.same
    genuine = DecidedPairs(
        every.comparisons.select(same), every.right[same], every.right_by_cost[same], 10.0
    )
    assert genuine.intervals().keys() == {"mean", "weighted_error"}


def test_the_weighted_error_counts_a_false_accept_as_often_as_it_costs():
    people = np.array([[0, 0], [1, 1], [2, 3], [4, 5]])
    scores = np.array([0.9, 0.1, 0.8, 0.2])
    right = np.array([True, False, False, True])
    pairs = DecidedPairs(Comparisons(scores, people), right, right, 3.0)
    assert pairs.values()["weighted_error"] == pytest.approx((1 + 3) / (2 + 2 * 3))


def test_a_recogniser_is_no_better_than_itself():
    for difference in differences(decided(0.2), decided(0.2), replicates=200).values():
        assert difference.value == 0
        assert difference.interval == (0, 0)


def test_a_paired_difference_is_surer_than_two_figures():
    # Their errors have much in common, which the difference leaves out.
    better, worse = decided(0.1), decided(0.18)
    found = differences(better, worse)["auc"]
    low, high = found.interval
    assert found.value == pytest.approx(better.values()["auc"] - worse.values()["auc"])
    assert 0 < low < found.value < high
    alone = [pairs.intervals()["auc"] for pairs in (better, worse)]
    assert high - low < max(top - bottom for bottom, top in alone)


def test_a_difference_turns_its_sign():
    one, other = decided(0.1), decided(0.2)
    there, back = (differences(*both, replicates=200) for both in ((one, other), (other, one)))
    for name, difference in there.items():
        assert back[name].value == -difference.value
        assert back[name].interval == pytest.approx(
            (-difference.interval[1], -difference.interval[0])
        )


def test_other_pairs_cannot_be_compared():
    with pytest.raises(ValueError, match="same pairs"):
        differences(decided(0.1), decided(0.1, people=10))
