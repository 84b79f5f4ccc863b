"""Pooling exchanged, and rescaled."""

import pytest
import torch
from torch import Tensor, nn

from backbones.blocks.pooling import exchange_pooling
from backbones.spec import Pooling


def _features(height: int = 6, width: int = 8) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, height, width, generator=source, dtype=torch.float64)


def test_maxima_and_other_layers_stay() -> None:
    pool, convolution = nn.MaxPool2d(2), nn.Conv2d(3, 3, 3)
    assert exchange_pooling(pool, Pooling.MAX) is pool
    assert exchange_pooling(convolution, Pooling.L2) is convolution


def test_average_is_twice_the_mean() -> None:
    x = _features()
    pooled = exchange_pooling(nn.MaxPool2d(2), Pooling.AVERAGE)(x)
    expected = 2 * x.reshape(1, 3, 3, 2, 4, 2).mean(dim=(3, 5))
    torch.testing.assert_close(pooled, expected)


def test_l2_is_the_root_of_the_sum_of_four_squares_times_078() -> None:
    x = _features()
    pooled = exchange_pooling(nn.MaxPool2d(2), Pooling.L2)(x)
    expected = 0.78 * x.square().reshape(1, 3, 3, 2, 4, 2).sum(dim=(3, 5)).sqrt()
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize("pooling", [Pooling.AVERAGE, Pooling.L2])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_the_windows_are_those_of_the_network(pooling: Pooling, size: tuple[int, int]) -> None:
    pool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
    constant = torch.ones(1, 3, *size)
    pooled = exchange_pooling(pool, pooling)(constant)
    assert pooled.shape == pool(constant).shape
    # Windows beyond the border count what they see.
    torch.testing.assert_close(pooled, pooled[..., :1, :1].expand_as(pooled))


def test_windows_of_zeros_have_a_gradient_that_is_a_number() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    exchange_pooling(nn.MaxPool2d(2), Pooling.L2)(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_the_gradient_of_l2_equals_two_sided_differences() -> None:
    pool = exchange_pooling(nn.MaxPool2d(2), Pooling.L2)
    assert torch.autograd.gradcheck(pool, _features().requires_grad_(True))
