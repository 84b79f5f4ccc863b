import numpy as np
import pytest

from data.errors import ArgumentError
from recognition.evaluation.probability import (
    Labelled,
    LikelihoodRatio,
    check_prior,
    fit_likelihood_ratio,
    reliability,
    reliability_of,
)


def labelled(genuine: np.ndarray, impostor: np.ndarray) -> Labelled:
    return Labelled(genuine, np.ones(len(genuine)), impostor, np.ones(len(impostor)))


def beta_pairs(count: int, seed: int) -> Labelled:
    """q = (1 + s) / 2 of genuine pairs is Beta(6, 3), of impostor pairs Beta(3, 5)."""
    rng = np.random.default_rng(seed)
    return labelled(2 * rng.beta(6, 3, count) - 1, 2 * rng.beta(3, 5, 3 * count) - 1)


def test_the_ratio_of_beta_densities_is_found_again() -> None:
    # Their logarithms' difference: 3 ln q - (-2) ln(1 - q) + c, as 6 - 3 = 3 and 5 - 3 = 2.
    ratio = fit_likelihood_ratio(beta_pairs(100_000, 0))
    assert ratio.rise == pytest.approx(3, rel=0.05)
    assert ratio.fall == pytest.approx(2, rel=0.05)
    assert reliability_of(ratio, beta_pairs(20_000, 1)).error < 0.01


def test_a_prior_is_put_in_by_bayes_rule() -> None:
    ratio = LikelihoodRatio(rise=0.0, fall=0.0, offset=float(np.log(4)))
    assert ratio.probability(np.array([0.3])) == pytest.approx([0.8])
    assert ratio.probability(np.array([0.3]), prior=0.2) == pytest.approx([0.5])


def test_probabilities_rise_with_the_similarity_and_stay_within_bounds() -> None:
    ratio = fit_likelihood_ratio(beta_pairs(500, 2))
    said = ratio.probability(np.linspace(-1, 1, 201))
    assert (np.diff(said) >= 0).all()
    assert ((said > 0) & (said < 1)).all()


def test_no_certainty_follows_from_a_few_faultless_pairs() -> None:
    ratio = fit_likelihood_ratio(labelled(np.full(5, 0.9), np.full(5, 0.1)))
    assert ratio.probability(np.array([0.9]))[0] == pytest.approx(6 / 7, abs=0.01)
    assert ratio.probability(np.array([0.1]))[0] == pytest.approx(1 / 7, abs=0.01)


@pytest.mark.parametrize("genuine", [0.1, 0.5])
def test_similarities_that_tell_nothing_leave_the_prior(genuine: float) -> None:
    ratio = fit_likelihood_ratio(labelled(np.full(9, genuine), np.full(9, 0.5)))
    assert ratio.probability(np.array([0.0, 1.0]), prior=0.3) == pytest.approx([0.3, 0.3], abs=1e-3)


def test_a_face_is_one_of_those_enrolled_or_a_stranger() -> None:
    ratio = LikelihoodRatio(rise=0.0, fall=20.0, offset=-20.0)
    similarities = [0.6, 0.3, -0.2]
    odds = np.exp(ratio.logarithm(np.array(similarities))) * 0.4 / 10
    expected = odds / (odds.sum() + 0.6)
    assert ratio.among(similarities, enrolled=10, prior=0.4) == pytest.approx(expected.tolist())
    assert ratio.among([], enrolled=10, prior=0.4) == []
    alone = ratio.among([0.6], enrolled=1, prior=0.4)
    assert alone == pytest.approx(ratio.probability(np.array([0.6]), prior=0.4).tolist())


def test_two_who_are_equally_alike_share_the_probability() -> None:
    ratio = LikelihoodRatio(rise=0.0, fall=60.0, offset=-40.0)
    first, second = ratio.among([0.9, 0.9], enrolled=2, prior=0.5)
    assert first == second == pytest.approx(0.5, abs=0.01)


def test_the_calibration_error_is_the_mean_distance_over_the_bins() -> None:
    held = reliability(
        np.array([0.25, 0.25, 0.85, 1.0]), np.array([True, False, True, True]), np.ones(4)
    )
    assert held.said == (0.25, 0.85, 1.0) or held.said == pytest.approx((0.25, 0.85, 1.0))
    assert held.observed == pytest.approx((0.5, 1, 1))
    assert held.weights == pytest.approx((0.5, 0.25, 0.25))
    assert held.error == pytest.approx(0.5 * 0.25 + 0.25 * 0.15)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, float("nan")])
def test_certainty_is_no_prior(prior: float) -> None:
    with pytest.raises(ArgumentError, match="prior"):
        check_prior(prior)
