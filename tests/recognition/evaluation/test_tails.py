import numpy as np
import pytest
from scipy.stats import genpareto

from recognition.evaluation.impostor_tail import Tail, fit_tail


def one(level: float, share: float, scale: float, shape: float) -> Tail:
    return Tail(level, np.array([share]), np.array([scale]), np.array([shape]))


@pytest.mark.parametrize("shape", [-0.4, -0.1, 0.0, 1e-12, 0.2])
@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.04])
def test_thresholds_and_rates_are_those_of_the_generalised_pareto_distribution(
    shape: float, rate: float
) -> None:
    tail = one(0.3, 0.05, 0.02, shape)
    expected = 0.3 + genpareto.isf(rate / 0.05, shape, scale=0.02)
    assert tail.threshold(rate) == pytest.approx([expected], rel=1e-6)
    assert tail.rate(float(tail.threshold(rate)[0])) == pytest.approx([rate], rel=1e-5)


def test_nothing_reaches_beyond_the_end_of_a_tail_that_ends() -> None:
    tail = one(0.0, 0.1, 0.5, -0.5)  # it ends at 1
    assert tail.rate(1.0) == 0
    assert tail.rate(2.0) == 0


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_a_tail_is_found_again(shape: float) -> None:
    draws = genpareto.rvs(shape, scale=2, size=40_000, random_state=np.random.default_rng(0))
    values = np.sort(1 + draws)
    tail = fit_tail(values, np.ones((1, len(values))), level=1.0, total=80_000)
    assert tail.share == 0.5
    assert tail.scale == pytest.approx([2], rel=0.03)
    assert tail.shape == pytest.approx([shape], abs=0.03)


def test_exponential_excesses_have_a_known_threshold() -> None:
    # At the quantiles of an exponential distribution, mean 1: exceeded by one in a million at
    # ln(10^6) where all of it is tail.
    values = -np.log1p(-(np.arange(20_000) + 0.5) / 20_000)
    tail = fit_tail(values, np.ones((1, 20_000)), level=0.0, total=20_000)
    assert tail.shape == pytest.approx([0], abs=1e-3)
    assert tail.threshold(1e-6) == pytest.approx([np.log(1e6)], rel=0.01)


def test_a_weight_of_two_is_the_same_value_twice() -> None:
    rng = np.random.default_rng(1)
    values = np.sort(rng.exponential(size=200))
    doubled = rng.integers(1, 3, size=200)
    twice = np.repeat(values, doubled)
    weighted = fit_tail(values, doubled[None].astype(float), level=0.0, total=1000)
    repeated = fit_tail(twice, np.ones((1, len(twice))), level=0.0, total=1000)
    assert weighted.share == repeated.share
    assert weighted.threshold(0.001) == pytest.approx(repeated.threshold(0.001), rel=1e-6)


def test_many_sets_of_weights_are_fitted_at_once_as_one_by_one() -> None:
    rng = np.random.default_rng(2)
    values = np.sort(rng.exponential(size=50))
    weights = rng.exponential(size=(4, 50))
    together = fit_tail(values, weights, level=0.0, total=100.0).threshold(0.01)
    for row, threshold in zip(weights, together, strict=True):
        alone = fit_tail(values, row[None], level=0.0, total=100.0).threshold(0.01)
        assert threshold == pytest.approx(alone[0])
