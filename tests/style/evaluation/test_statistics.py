"""The judge's numbers, against closed forms, slow loops and what must not change them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from style.evaluation.judge import (
    FeatureDistribution,
    correlation,
    feature_distance,
    gram_distance,
    similarity_matrix,
    wasserstein_distance,
)


def _activations(seed: int, *, channels: int = 3, height: int = 4, width: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=source, dtype=torch.float64)


def _normal(mean: list[float], deviations: list[float]) -> FeatureDistribution:
    """Independent channels of these means and deviations."""
    centre = torch.tensor(mean, dtype=torch.float64)
    covariance = torch.tensor(deviations, dtype=torch.float64).square().diag()
    return FeatureDistribution(mean=centre, second=covariance + torch.outer(centre, centre))


def test_wasserstein_distance_of_independent_channels_is_their_means_and_deviations() -> None:
    one, other = _normal([0, 1, 2], [1, 2, 0]), _normal([1, 1, 0], [3, 2, 0.5])
    expected = (1 + 0 + 4) + ((1 - 3) ** 2 + 0 + 0.5**2)
    assert wasserstein_distance(one, other) == pytest.approx(expected)
    assert wasserstein_distance(other, one) == pytest.approx(expected)


def test_distances_of_moments_from_themselves_are_nothing() -> None:
    moments = FeatureDistribution.of(_activations(0, channels=6))
    assert gram_distance(moments, moments) == 0
    assert wasserstein_distance(moments, moments) < 1e-12


def test_wasserstein_distance_of_a_moved_map_is_the_move_alone() -> None:
    activations = _activations(1)
    move = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64).view(1, 3, 1, 1)
    distance = wasserstein_distance(
        FeatureDistribution.of(activations + move), FeatureDistribution.of(activations)
    )
    assert distance == pytest.approx(1 + 4 + 0.25)


def test_gram_distance_equals_the_loops() -> None:
    one, other = _activations(2), _activations(3)

    def product(activations: Tensor, i: int, j: int) -> float:
        a, b = activations[0, i].flatten().tolist(), activations[0, j].flatten().tolist()
        return sum(x * y for x, y in zip(a, b, strict=True)) / len(a)

    expected = sum(
        (product(one, i, j) - product(other, i, j)) ** 2 for i in range(3) for j in range(3)
    )
    assert gram_distance(
        FeatureDistribution.of(one), FeatureDistribution.of(other)
    ) == pytest.approx(expected)


@given(order=st.permutations(range(20)))
@settings(max_examples=20)
def test_moments_do_not_know_where_anything_is(order: list[int]) -> None:
    activations = _activations(4)
    moved = activations.flatten(2)[..., order].reshape(activations.shape)
    torch.testing.assert_close(
        FeatureDistribution.of(moved).second, FeatureDistribution.of(activations).second
    )
    torch.testing.assert_close(
        FeatureDistribution.of(moved).mean, FeatureDistribution.of(activations).mean
    )


def test_mixed_moments_are_those_of_all_places_together() -> None:
    one, other = _activations(5), _activations(6, width=15)  # 20 and 60 places
    both = torch.cat([one, other], dim=3)
    mixed = FeatureDistribution.mixed(
        [FeatureDistribution.of(one), FeatureDistribution.of(other)], [1, 3]
    )
    torch.testing.assert_close(mixed.covariance, FeatureDistribution.of(both).covariance)


def test_feature_distance_is_one_at_the_mean_and_two_at_a_stranger() -> None:
    target = _activations(7, height=40, width=50)
    plain = target.mean(dim=(2, 3), keepdim=True).expand_as(target)
    assert feature_distance(target, target) == 0
    assert feature_distance(plain, target) == pytest.approx(1)
    stranger = _activations(8, height=40, width=50)
    assert feature_distance(stranger, target) == pytest.approx(2, abs=0.05)


def test_feature_distance_from_a_plain_target_is_all_or_nothing() -> None:
    plain = torch.ones(1, 2, 3, 3)
    assert feature_distance(plain, plain) == 0
    assert feature_distance(plain + 1, plain) == 1


def test_similarity_does_not_know_how_strong_a_place_is() -> None:
    activations = _activations(9)
    strength = 0.1 + _activations(10, channels=1).abs()
    torch.testing.assert_close(
        similarity_matrix(activations * strength, 32), similarity_matrix(activations, 32)
    )


def test_similarity_of_a_large_map_is_of_its_averages() -> None:
    blocks = _activations(11, height=4, width=6)
    large = blocks.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(similarity_matrix(large, 6), similarity_matrix(blocks, 6))


def test_correlation_is_pearsons() -> None:
    one = similarity_matrix(_activations(12), 32)
    other = similarity_matrix(_activations(13), 32)
    above = torch.triu_indices(20, 20, offset=1)
    pairs = torch.stack([one[above[0], above[1]], other[above[0], above[1]]])
    assert correlation(one, other) == pytest.approx(float(torch.corrcoef(pairs)[0, 1]))
    assert correlation(one, 3 * one + 2) == pytest.approx(1)
    assert correlation(one, -one) == pytest.approx(-1)


def test_correlation_with_what_does_not_vary_is_all_or_nothing() -> None:
    flat = torch.ones(4, 4, dtype=torch.float64)
    varied = similarity_matrix(_activations(14, height=2, width=2), 32)
    assert correlation(flat, flat) == 1
    assert correlation(flat, varied) == 0
    assert not math.isnan(correlation(varied, flat))
