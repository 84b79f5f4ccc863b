"""Cheaper convolutions, against plain loops and the closed forms of what they cost."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from backbones.blocks.convolutions import separable, shuffle_channels


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_a_separable_convolution_is_two_sums(kernel: int, stride: int) -> None:
    layer = separable(3, 4, kernel=kernel, stride=stride)
    depthwise, pointwise = (module.weight.detach() for module in layer)
    x = _random(2, 3, 7, 9)
    half = kernel // 2
    found = layer(x)
    for b in range(2):
        for n in range(4):
            for row in range(found.shape[2]):
                for column in range(found.shape[3]):
                    total = 0.0
                    for m in range(3):
                        for i in range(kernel):
                            for j in range(kernel):
                                y, z = row * stride + i - half, column * stride + j - half
                                if 0 <= y < 7 and 0 <= z < 9:
                                    part = depthwise[m, 0, i, j] * x[b, m, y, z]
                                    total += float(part * pointwise[n, m, 0, 0])
                    assert float(found[b, n, row, column].detach()) == pytest.approx(
                        total, abs=1e-5
                    )


def _cost(layer: nn.Module, inputs: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        layer.to("meta")(torch.empty(1, inputs, 8, 8))
    return counter.get_total_flops() // 2


@given(m=st.integers(1, 40), n=st.integers(1, 40), k=st.sampled_from([1, 3, 5, 7]))
def test_it_costs_one_over_n_plus_one_over_k_squared(m: int, n: int, k: int) -> None:
    layer, dense = separable(m, n, kernel=k), nn.Conv2d(m, n, k, padding=k // 2, bias=False)
    ratio = Fraction(1, n) + Fraction(1, k * k)
    assert Fraction(_cost(layer, m), _cost(dense, m)) == ratio
    weights = [sum(p.numel() for p in it.parameters()) for it in (layer, dense)]
    assert Fraction(*weights) == ratio


@given(g=st.integers(1, 8), m=st.integers(1, 6), n=st.integers(1, 6), k=st.sampled_from([1, 3]))
def test_g_groups_cost_one_gth(g: int, m: int, n: int, k: int) -> None:
    grouped, dense = (
        nn.Conv2d(g * m, g * n, k, padding=k // 2, groups=groups, bias=False) for groups in (g, 1)
    )
    assert grouped.weight.numel() * g == dense.weight.numel()
    assert _cost(grouped, g * m) * g == _cost(dense, g * m)


@given(groups=st.integers(1, 6), each=st.integers(1, 6))
def test_a_shuffle_deals_every_group_out_to_all(groups: int, each: int) -> None:
    channels = groups * each
    x = torch.arange(channels * 6.0).view(1, channels, 2, 3)
    shuffled = shuffle_channels(x, groups)
    for group in range(groups):
        for i in range(each):
            assert torch.equal(shuffled[0, i * groups + group], x[0, group * each + i])
    assert torch.equal(shuffle_channels(shuffled, each), x)  # its own way back
