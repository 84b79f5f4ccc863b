import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError
from recognition.evaluation.metrics import auc, best_threshold
from recognition.evaluation.pairs import Comparisons, decide
from recognition.evaluation.specialists import Panel, Referral, check_confusable, fit_referral

RULE = Referral(threshold=0.5, width=0.1, second_threshold=0.2)


def test_only_pairs_in_doubt_are_asked_about():
    scores = np.array([-1, 0.39, 0.41, 0.5, 0.59, 0.61, 1])
    assert RULE.in_doubt(scores).tolist() == [False, False, True, True, True, False, False]
    second = np.full(7, 0.25)
    settled = RULE.settle(scores, second)
    assert settled.tolist() == pytest.approx([-1, 0.39, 0.55, 0.55, 0.55, 0.61, 1])
    # However sure the specialists are, a pair stays within the band.
    assert RULE.settle(scores, second + 9)[3] == pytest.approx(0.6)
    assert RULE.settle(scores, second - 9)[3] == pytest.approx(0.4)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_the_band_holds_the_share_nearest_the_threshold(seed: int, share: float):
    rng = np.random.default_rng(seed)
    same = np.arange(60) % 2 == 0
    scores, second = (rng.normal(size=60) + same for _ in range(2))
    rule = fit_referral(scores, second, same, share)
    assert rule.threshold == best_threshold(scores, same)
    assert rule.second_threshold == best_threshold(second, same)
    asked = rule.in_doubt(scores)
    assert asked.sum() == math.ceil(share * 60)
    distances = np.abs(scores - rule.threshold)
    assert distances[asked].max() <= distances[~asked].min()


def world(seed: int, folds: int, confusable: float):
    """A good and a poor recogniser of the same pairs, and the poor one that asks the good one."""
    rng = np.random.default_rng(seed)
    poor, always, both = [], [], []
    for _ in range(folds):
        people = np.stack([np.arange(200), np.where(np.arange(200) < 100, np.arange(200), 999)], 1)
        same = people[:, 0] == people[:, 1]
        one = same + rng.normal(0, 0.6, 200)
        mean = (one + same + rng.normal(0, 0.2, 200)) / 2
        poor.append(Comparisons(one, people))
        always.append(Comparisons(mean, people))
        both.append(Comparisons(one, people, mean))

    def accuracy(of: list[Comparisons]) -> float:
        return float(np.mean([np.mean(d.right) for d in decide(of, confusable=confusable)]))

    return accuracy(poor), accuracy(always), accuracy(both), decide(both, confusable=confusable)


@pytest.mark.parametrize("folds", [1, 5])
def test_asking_a_better_one_in_doubt_pays_and_costs_little(folds: int):
    poor, always, both, decided = world(0, folds, 0.3)
    assert poor < both <= always
    asked = np.mean([decision.asked.mean() for decision in decided])
    assert asked == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("folds", [1, 4])
def test_asking_always_decides_as_the_average_does(folds: int):
    _, always, both, decided = world(1, folds, 1.0)
    assert both == always
    assert all(decision.asked.all() for decision in decided)


def test_no_pair_has_a_part_in_the_rule_that_decides_it():
    rng = np.random.default_rng(2)
    people = np.stack([np.arange(80), np.where(np.arange(80) < 40, np.arange(80), 99)], 1)
    folds = [Comparisons(rng.normal(size=80), people, rng.normal(size=80)) for _ in range(3)]
    before = decide(folds)
    # Other people in the first fold: how its pairs count changes, what they are decided by not.
    turned = Comparisons(folds[0].scores, people[::-1], folds[0].second_opinion)
    after = decide([turned, *folds[1:]])
    np.testing.assert_array_equal(after[0].scores, before[0].scores)
    np.testing.assert_array_equal(after[0].asked, before[0].asked)
    assert after[0].threshold == before[0].threshold
    assert after[1].threshold != before[1].threshold


def test_a_face_that_a_specialist_does_not_find_is_an_error_where_it_is_asked():
    scores, second = np.array([0.5, 0.5, 0.9, -np.inf]), np.array([-np.inf, np.inf, -np.inf, -1])
    assert RULE.settle(scores, second).tolist() == pytest.approx([0.4, 0.6, 0.9, -np.inf])


def test_candidates_are_ranked_anew_and_the_others_stay_behind():
    panel = Panel(dimension=3, voters=2, share=0.4)
    assert [panel.candidates(n) for n in (1, 2, 4, 5, 10)] == [1, 2, 2, 2, 4]
    scores = np.array([[0.9, 0.8, 0.7, 0.1, 0.2]])
    second = np.array([[0.3, 0.6, 0.9, 0.9, 0.9]])
    settled = panel.settle(scores, second)[0]
    assert settled[:2].tolist() == [0.3, 0.6]
    assert settled[3] < settled[4] < settled[2] < 0.3  # in the generalist's order
    # Where they lie behind anyhow, they stay where they are.
    settled = panel.settle(scores, second + 1)[0]
    assert settled.tolist() == pytest.approx([1.3, 1.6, 0.7, 0.1, 0.2])
    assert panel.settle(scores[:, :2], second[:, :2]).tolist() == [[0.3, 0.6]]


def test_the_generalists_vectors_are_the_first_of_the_joined():
    rng = np.random.default_rng(3)
    own, other = (rng.normal(size=(4, size)).astype(np.float32) for size in (3, 5))
    own, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (own, other))
    joined = (np.concatenate([own, other], axis=1) / np.sqrt(2)).astype(np.float32)
    np.testing.assert_allclose(Panel(dimension=3, voters=2, share=1).generalist(joined), own, 1e-5)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, math.nan, math.inf])
def test_a_share_that_is_none_is_refused(share: float):
    with pytest.raises(ArgumentError):
        check_confusable(share)
    check_confusable(1)


def test_a_settled_pair_never_passes_one_that_was_sure():
    rng = np.random.default_rng(4)
    scores = rng.normal(size=400)
    settled = RULE.settle(scores, rng.normal(size=400))
    sure = ~RULE.in_doubt(scores)
    above, below = scores[sure] > 0.5, scores[sure] < 0.5
    assert auc(scores[sure][above], settled[~sure]) == 1
    assert auc(settled[~sure], scores[sure][below]) == 1
