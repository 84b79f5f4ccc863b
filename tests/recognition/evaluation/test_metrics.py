"""x"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score, roc_curve

from recognition.evaluation import metrics
from recognition.evaluation.metrics import (
    WeightedCurve,
    accuracy,
    auc,
    auc_variance,
    best_threshold,
    equal_error_rate,
    is_supported,
    roc,
    smallest_supported_far,
    tar_at_far,
    threshold_at_far,
    weighted_share,
)

# Few different values, so that ties are the rule.
coarse = st.integers(-8, 8).map(lambda i: i / 8)
few = hnp.arrays(np.float64, st.integers(1, 40), elements=coarse)
labelled = st.lists(st.tuples(coarse, st.booleans()), min_size=1, max_size=40).map(
    lambda pairs: (np.array([s for s, _ in pairs]), np.array([k for _, k in pairs]))
)


@given(few, few)
def test_auc_is_that_of_an_independent_library(genuine: np.ndarray, impostor: np.ndarray):
    truth = np.repeat([1, 0], [len(genuine), len(impostor)])
    expected = roc_auc_score(truth, np.concatenate([genuine, impostor]))
    assert auc(genuine, impostor) == pytest.approx(expected, abs=1e-12)


@given(few, few)
def test_auc_is_the_chance_that_genuine_is_more_similar(genuine: np.ndarray, impostor: np.ndarray):
    wins = sum(float(g > i) + 0.5 * float(g == i) for g in genuine for i in impostor)
    assert auc(genuine, impostor) == pytest.approx(wins / len(genuine) / len(impostor))


@given(few, few)
def test_roc_is_that_of_an_independent_library(genuine: np.ndarray, impostor: np.ndarray):
    truth = np.repeat([1, 0], [len(genuine), len(impostor)])
    scores = np.concatenate([genuine, impostor])
    far, tar, _ = roc_curve(truth, scores, drop_intermediate=False)
    ours = roc(genuine, impostor)
    assert np.allclose(ours[0], far)
    assert np.allclose(ours[1], tar)


def test_without_one_kind_there_is_no_area():
    assert auc(np.array([]), np.array([0.5])) is None
    assert auc(np.array([0.5]), np.array([])) is None


@given(few, hnp.arrays(np.float64, st.integers(10, 60), elements=coarse), st.floats(0, 1))
def test_tar_is_the_best_that_keeps_the_far(genuine: np.ndarray, impostor: np.ndarray, far: float):
    tar = tar_at_far(genuine, impostor, far)
    if far * len(impostor) < 10 - 1e-9:
        assert tar is None
        return
    # Slowly: try every threshold that makes a difference.
    candidates = [*genuine, *impostor, math.inf]
    allowed = [t for t in candidates if np.mean(impostor >= t) <= far + 1e-9]
    assert tar == max(np.mean(genuine >= t) for t in allowed)


def test_a_rate_is_quoted_only_where_ten_errors_are_expected():
    scores = np.linspace(0, 1, 1000)
    assert tar_at_far(scores, scores, 0.01) is not None
    assert tar_at_far(scores, scores[:999], 0.01) is None
    assert is_supported(0.001, 10_000)
    assert not is_supported(0.001, 9_999)
    # 0.07 · 200 is a little more than 14 in floating point, 0.29 · 100 a little less than 29.
    assert threshold_at_far(np.arange(100.0), 0.29) == pytest.approx(70, abs=1e-9)


@given(st.integers(0, 5000))
def test_the_smallest_supported_rate_is_supported_and_nothing_below(impostors: int):
    smallest = smallest_supported_far(impostors)
    if smallest is None:
        assert impostors < 10
        assert not is_supported(1.0, impostors)
    else:
        assert is_supported(smallest, impostors)
        assert not is_supported(smallest * 0.999, impostors)


def test_everything_is_accepted_at_a_rate_of_one():
    assert tar_at_far(np.array([-0.9]), np.linspace(-1, 1, 20), 1.0) == 1.0
    assert threshold_at_far(np.linspace(-1, 1, 20), 1.0) == -math.inf


def test_nothing_genuine_has_no_rate():
    assert tar_at_far(np.array([]), np.linspace(0, 1, 100), 0.5) is None


def test_a_face_that_was_not_found_is_an_error_at_any_threshold():
    genuine = np.array([0.9] * 8 + [-np.inf] * 2)
    impostor = np.concatenate([np.linspace(0, 0.5, 90), [np.inf] * 10])
    assert tar_at_far(genuine, impostor, 0.10) == 0.8
    assert tar_at_far(genuine, np.append(impostor, np.inf), 0.10) == 0.0
    assert auc(genuine, impostor) == pytest.approx(0.8 * 0.9)


@given(labelled)
def test_no_threshold_decides_more_rightly(comparisons: tuple[np.ndarray, np.ndarray]):
    scores, same = comparisons
    ours = accuracy(scores, same, best_threshold(scores, same))
    every = [*scores, -math.inf, math.inf]
    assert ours == max(accuracy(scores, same, t) for t in every)
    assert math.isfinite(best_threshold(scores, same))


def test_the_threshold_lies_in_the_middle_of_the_widest_gap():
    scores = np.array([0.1, 0.2, 0.5, 0.9])
    same = np.array([False, False, True, True])
    assert best_threshold(scores, same) == pytest.approx(0.35)
    # Two gaps are equally right; the wider one is safer.
    scores = np.array([0.1, 0.2, 0.3, 0.9])
    same = np.array([False, True, False, True])
    assert best_threshold(scores, same) == pytest.approx(0.6)


def test_faces_that_were_not_found_choose_no_threshold():
    scores = np.array([-np.inf, 0.2, 0.4, np.inf])
    same = np.array([True, False, True, False])
    assert best_threshold(scores, same) == pytest.approx(0.3)
    assert best_threshold(scores[[0, 3]], same[[0, 3]]) == 0


@given(labelled)
def test_accuracy_counts_right_decisions(comparisons: tuple[np.ndarray, np.ndarray]):
    scores, same = comparisons
    right = sum((s >= 0.25) == k for s, k in zip(scores, same, strict=True))
    assert accuracy(scores, same, 0.25) == pytest.approx(right / len(scores))


def test_the_equal_error_rate_is_where_the_errors_cross():
    # At 0.45 one of four impostors is accepted, and one of four genuine rejected.
    genuine = np.array([0.4, 0.6, 0.7, 0.8])
    impostor = np.array([0.1, 0.2, 0.3, 0.5])
    assert equal_error_rate(genuine, impostor) == pytest.approx(0.25)
    assert equal_error_rate(impostor, genuine) == pytest.approx(0.75)
    assert equal_error_rate(genuine, genuine) == pytest.approx(0.5)
    assert equal_error_rate(genuine, np.array([])) is None
    assert equal_error_rate(np.array([]), impostor) is None


def test_the_equal_error_rate_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(2, 1, 200_000), rng.normal(0, 1, 300_000)
    assert equal_error_rate(genuine, impostor) == pytest.approx(0.15866, abs=0.002)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1, 2, 10]))
def test_the_best_threshold_costs_no_more_than_any_other(seed: int, cost: float):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-5, 6, 20) / 5
    same = rng.random(20) < 0.5

    def price(threshold: float) -> float:
        accepted = scores >= threshold
        return float(cost * (accepted & ~same).sum() + (~accepted & same).sum())

    chosen = price(best_threshold(scores, same, false_accept_cost=cost))
    assert chosen == min(price(t) for t in np.arange(-1.1, 1.3, 0.1))


def test_the_variance_of_the_auc_is_that_of_exponential_similarities():
    # An impostor is exponential, a genuine one r times as large: the AUC is r / (r + 1).
    rng = np.random.default_rng(0)
    times, drawn = 4.0, []
    for _ in range(3000):
        drawn.append(auc(times * rng.exponential(size=30), rng.exponential(size=20)))
    area = times / (times + 1)
    assert np.mean(drawn) == pytest.approx(area, abs=0.003)
    assert np.var(drawn) == pytest.approx(auc_variance(area, 30, 20), rel=0.08)
    assert auc_variance(1.0, 30, 20) == 0


@st.composite
def counted(draw: st.DrawFn):
    """Comparisons, some of them tied, and how often each of them counts."""
    count = draw(st.integers(2, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.integers(-4, 5, count) / 4
    same = np.arange(count) % 2 == 0
    times = rng.integers(1, 5, (3, count))
    return scores, same, times


@given(counted())
def test_a_weight_is_a_number_of_times(case):
    scores, same, times = case
    curve = WeightedCurve(scores, same, times.astype(float))
    right = scores >= 0.1
    for row, often in enumerate(times):
        repeated, kind = np.repeat(scores, often), np.repeat(same, often)
        genuine, impostor = repeated[kind], repeated[~kind]
        assert curve.auc()[row] == pytest.approx(metrics.auc(genuine, impostor))
        assert curve.equal_error_rate()[row] == pytest.approx(
            metrics.equal_error_rate(genuine, impostor)
        )
        for far in (0.3, 1.0):
            if metrics.is_supported(far, len(impostor)):
                assert curve.tar_at_far(far)[row] == pytest.approx(
                    metrics.tar_at_far(genuine, impostor, far)
                )
        share = weighted_share(right, times.astype(float))[row]
        assert share == pytest.approx(np.mean(np.repeat(right, often)))


def test_missed_faces_lie_at_the_ends():
    scores = np.array([-np.inf, 0.5, 0.1, np.inf])
    same = np.array([True, True, False, False])
    curve = WeightedCurve(scores, same, np.array([[1.0, 1, 1, 1], [0, 1, 1, 0]]))
    assert curve.auc() == pytest.approx([0.25, 1])
    assert curve.equal_error_rate() == pytest.approx([0.5, 0])


def test_where_nothing_weighs_anything_nothing_is_divided_by_zero():
    scores, same = np.array([0.5, 0.1]), np.array([True, False])
    curve = WeightedCurve(scores, same, np.zeros((1, 2)))
    assert np.isfinite([*curve.auc(), *curve.equal_error_rate(), *curve.tar_at_far(0.1)]).all()
    assert weighted_share(same, np.zeros((1, 2))) == pytest.approx([0])


def test_the_tar_along_several_far():
    rng = np.random.default_rng(0)
    scores, same = rng.normal(size=200), np.arange(200) < 100
    curve = WeightedCurve(scores + same, same, np.ones((1, 200)))
    along = curve.tar_along([0.1, 0.2, 1.0])
    assert along.shape == (1, 3)
    assert along[0, 1] == pytest.approx(
        metrics.tar_at_far((scores + same)[same], (scores + same)[~same], 0.2)
    )
    assert along[0, 2] == 1
