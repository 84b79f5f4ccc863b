"""Cheaper convolutions, against plain loops and the closed forms of what they cost."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from backbones.blocks.convolutions import (
    GROUPS,
    exchange_convolutions,
    separable,
    shuffle_channels,
)
from backbones.registry import create
from backbones.spec import Convolution
from data.errors import ArgumentError


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


def _exchanged(layer: nn.Conv2d, kind: Convolution) -> nn.Module:
    network = nn.Sequential(layer)
    exchange_convolutions(network, kind)
    return network[0]


def _taps(layer: nn.Conv2d, x: torch.Tensor, spread: int) -> torch.Tensor:
    """A convolution whose cells lie `spread` apart and which keeps the map's size, by loops."""
    found = torch.zeros(len(x), layer.out_channels, *x.shape[2:])
    high, wide = layer.kernel_size
    per_out = layer.out_channels // layer.groups
    per_in = layer.in_channels // layer.groups
    for n in range(layer.out_channels):
        for m in range(per_in):
            source = n // per_out * per_in + m
            for row in range(x.shape[2]):
                for column in range(x.shape[3]):
                    for i in range(high):
                        for j in range(wide):
                            y, z = row + spread * (i - high // 2), column + spread * (j - wide // 2)
                            if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]:
                                part = layer.weight[n, m, i, j] * x[:, source, y, z]
                                found[:, n, row, column] += part
        if layer.bias is not None:
            found[:, n] += layer.bias[n]
    return found


@pytest.mark.parametrize("kernel", [(3, 3), (1, 5)])
@torch.no_grad()
def test_a_dilated_convolution_sees_further_with_the_same_weights(kernel: tuple[int, int]) -> None:
    layer = nn.Conv2d(4, 4, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
    new, x = _exchanged(layer, Convolution.DILATED), _random(1, 4, 6, 7)
    assert isinstance(new, nn.Conv2d)
    assert new.weight is layer.weight
    torch.testing.assert_close(new(x), _taps(layer, x, spread=2), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_grouped_convolution_is_dealt_out_to_all_groups() -> None:
    new, x = _exchanged(nn.Conv2d(8, 12, 3, padding=1), Convolution.GROUPED), _random(1, 8, 4, 5)
    assert isinstance(new, nn.Conv2d)
    assert new.groups == GROUPS
    apart = _taps(new, x, spread=1)
    for group in range(GROUPS):
        for i in range(3):
            torch.testing.assert_close(
                new(x)[:, i * GROUPS + group], apart[:, group * 3 + i], rtol=1e-4, atol=1e-4
            )


@given(m=st.integers(4, 40), n=st.integers(1, 40), k=st.sampled_from([3, 5, 7]))
def test_exchanged_convolutions_cost_their_closed_forms(m: int, n: int, k: int) -> None:
    def dense() -> nn.Conv2d:
        return nn.Conv2d(m, n, k, padding=k // 2, bias=False)

    cost = _cost(dense(), m)
    assert _cost(_exchanged(dense(), Convolution.DILATED), m) == cost
    cheap = _exchanged(dense(), Convolution.SEPARABLE)
    assert Fraction(_cost(cheap, m), cost) == Fraction(1, n) + Fraction(1, k * k)
    if m % GROUPS == n % GROUPS == 0:
        grouped = _exchanged(dense(), Convolution.GROUPED)
        assert sum(p.numel() for p in grouped.parameters()) * GROUPS == dense().weight.numel()
        assert _cost(grouped, m) * GROUPS == cost


@pytest.mark.parametrize("kind", [kind for kind in Convolution if kind != "standard"])
@pytest.mark.parametrize(
    "name", ["vgg_slim", "resnet18", "googlenet", "dlib_resnet", "lenet5_modern"]
)
def test_every_map_keeps_its_shape(name: str, kind: Convolution) -> None:
    with torch.device("meta"):
        plain, other = create(name), create(name, conv=kind)
    sizes = []
    for network in (plain.to("meta"), other.to("meta")):
        taps = [tap.name for tap in network.spec.taps]
        maps = network.features(torch.empty(1, 3, 107, 113, device="meta"), taps)
        sizes.append([each.shape for each in maps.values()])
    assert sizes[0] == sizes[1]
    counts = [sum(p.numel() for p in network.parameters()) for network in (plain, other)]
    assert counts[0] == counts[1] if kind is Convolution.DILATED else counts[0] > counts[1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mobilenet_v1", Convolution.GROUPED),
        ("efficientnet_b0", Convolution.SEPARABLE),
        ("xnor_vgg_small", Convolution.DILATED),
        ("vit_small_16", Convolution.GROUPED),
    ],
)
def test_what_has_none_to_exchange_says_so(name: str, kind: Convolution) -> None:
    with torch.device("meta"), pytest.raises(ArgumentError, match="leave conv at standard"):
        create(name, conv=kind)
