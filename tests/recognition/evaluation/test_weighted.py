import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognition.evaluation import metrics
from recognition.evaluation.metrics import WeightedCurve, weighted_share


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
