"""Moments against slow loops; that they add up over tiles, and mix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from style.losses import Moments


def _activations(seed: int, *, channels: int = 3, height: int = 4, width: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=source, dtype=torch.float64)


def _share(seed: int = 20, height: int = 4, width: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, height, width, generator=source, dtype=torch.float64)


def _slow(activations: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    _, channels, height, width = activations.shape
    total = torch.zeros(channels, dtype=activations.dtype)
    products = torch.zeros(channels, channels, dtype=activations.dtype)
    for y in range(height):
        for x in range(width):
            place = activations[0, :, y, x]
            total += share[0, 0, y, x] * place
            products += share[0, 0, y, x] * torch.outer(place, place)
    return total, products


def _close(one: Moments, other: Moments) -> None:
    for name in ("count", "total", "products"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("last", [False, True])
def test_moments_are_the_sums_of_the_loops(last: bool) -> None:
    activations = _activations(0)
    if last:
        activations = activations.to(memory_format=torch.channels_last)
    moments = Moments.of(activations)
    total, products = _slow(activations, torch.ones(1, 1, 4, 5))
    assert moments.count == 20
    torch.testing.assert_close(moments.total, total)
    torch.testing.assert_close(moments.products, products)


def test_places_count_as_much_as_their_share() -> None:
    activations, share = _activations(1), _share()
    moments = Moments.of(activations, share)
    total, products = _slow(activations, share)
    torch.testing.assert_close(moments.count, share.sum())
    torch.testing.assert_close(moments.total, total)
    torch.testing.assert_close(moments.products, products)


@given(cut=st.integers(min_value=1, max_value=4), shared=st.booleans())
@settings(max_examples=8)
def test_those_of_tiles_add_up_to_those_of_the_picture(cut: int, shared: bool) -> None:
    activations, share = _activations(2), _share() if shared else None
    parts = [
        Moments.of(activations[..., slice_], None if share is None else share[..., slice_])
        for slice_ in (slice(0, cut), slice(cut, 5))
    ]
    _close(parts[0] + parts[1], Moments.of(activations, share))


@given(order=st.permutations(range(20)))
@settings(max_examples=20)
def test_they_do_not_know_where_anything_is(order: list[int]) -> None:
    activations = _activations(3)
    moved = activations.flatten(2)[..., order].reshape(activations.shape)
    _close(Moments.of(moved), Moments.of(activations))


def test_covariance_is_that_of_the_places() -> None:
    activations = _activations(4) + 2
    places = activations[0].flatten(1)
    torch.testing.assert_close(Moments.of(activations).covariance, torch.cov(places, correction=0))


def test_mixed_ones_are_those_of_a_picture_with_places_of_both() -> None:
    """Means and second raw moments mix; covariances do not: two plain colours have some."""
    first, second = _activations(5), _activations(6)
    both = Moments.of(torch.cat([first, second, second, second], dim=3))
    mixed = Moments.mixed([Moments.of(first), Moments.of(second)], (0.5, 1.5))
    torch.testing.assert_close(mixed.mean, both.mean)
    torch.testing.assert_close(mixed.covariance, both.covariance)
    plain = [Moments.of(torch.full((1, 1, 4, 5), value)) for value in (0.0, 1.0)]
    torch.testing.assert_close(Moments.mixed(plain, (1, 1)).covariance, torch.tensor([[0.25]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_of_half_precision_they_are_finite_float32(dtype: torch.dtype) -> None:
    large = torch.full((1, 2, 64, 64), 200.0, dtype=dtype)  # squares sum to far over 65504
    moments = Moments.of(large, torch.ones(1, 1, 64, 64, dtype=dtype))
    torch.testing.assert_close(moments.second, torch.full((2, 2), 40_000.0))


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_equal_two_sided_differences(shared: bool) -> None:
    share = _share() if shared else None
    weight = _activations(8, channels=3, height=3, width=1)[0, :, :, 0]

    def score(activations: Tensor) -> Tensor:
        moments = Moments.of(activations, share)
        return (weight * moments.products).sum() + moments.total.cos().sum()

    assert torch.autograd.gradcheck(score, _activations(7).requires_grad_(True))
