"""Convolutions of signs, against plain loops and what XNOR-Net's paper derives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from backbones.blocks.binary import BinaryConv2d, pack, sign, unpack


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _layer(*, xnor: bool, stride: int = 1) -> BinaryConv2d:
    layer = BinaryConv2d(3, 4, 3, stride=stride, xnor=xnor)
    layer.weight.data = _random(4, 3, 3, 3, seed=1)
    return layer


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("xnor", [False, True])
def test_it_is_the_sum_of_the_paper(xnor: bool, stride: int) -> None:
    layer, x = _layer(xnor=xnor, stride=stride), _random(2, 3, 5, 7)
    found = layer(x).detach()
    weight = layer.weight.detach()
    for b in range(2):
        for n in range(4):
            alpha = float(weight[n].abs().sum()) / 27
            for row in range(found.shape[2]):
                for column in range(found.shape[3]):
                    total, size = 0.0, 0.0
                    for i in range(3):
                        for j in range(3):
                            y, z = row * stride + i - 1, column * stride + j - 1
                            if not (0 <= y < 5 and 0 <= z < 7):
                                continue
                            size += float(x[b, :, y, z].abs().sum()) / 3 / 9
                            for m in range(3):
                                value = float(x[b, m, y, z])
                                seen = (1 if value >= 0 else -1) if xnor else value
                                total += seen * (1 if weight[n, m, i, j] >= 0 else -1)
                    expected = total * alpha * (size if xnor else 1)
                    assert float(found[b, n, row, column]) == pytest.approx(expected, abs=1e-4)


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=40), st.floats(0, 5))
def test_no_other_scale_lies_nearer(weights: list[float], other: float) -> None:
    weight = torch.tensor(weights, dtype=torch.float64)
    signs = torch.where(weight >= 0, 1.0, -1.0)
    best = (weight - weight.abs().mean() * signs).square().sum()
    assert best <= (weight - other * signs).square().sum() + 1e-9


def test_a_sign_is_never_zero_and_its_slope_is_one_from_minus_one_to_one() -> None:
    x = torch.tensor([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    signs = sign(x)
    assert signs.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    (signs * torch.arange(1.0, 9.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 7, 0]


def test_the_gradient_of_the_weights_goes_through_sign_and_scale() -> None:
    layer, x = _layer(xnor=False), _random(2, 3, 6, 6)
    layer(x).square().sum().backward()
    weight = layer.weight.detach()
    # By hand: dL/dW̃, then W̃ = α sign(W) with α = mean |W|.
    binary = (weight.abs().mean(dim=(1, 2, 3), keepdim=True) * weight.sign()).requires_grad_()
    F.conv2d(x, binary, padding=1).square().sum().backward()
    outer = binary.grad
    assert outer is not None
    scale = weight.abs().mean(dim=(1, 2, 3), keepdim=True)
    through_scale = (outer * weight.sign()).sum(dim=(1, 2, 3), keepdim=True) * weight.sign() / 27
    expected = through_scale + outer * scale * (weight.abs() <= 1)
    torch.testing.assert_close(layer.weight.grad, expected, rtol=1e-4, atol=1e-4)


@given(
    filters=st.integers(1, 5), each=st.integers(1, 30), seed=st.integers(0, 99), zeros=st.booleans()
)
def test_bits_and_one_scale_a_filter_are_the_same_filters(
    filters: int, each: int, seed: int, zeros: bool
) -> None:
    weight = _random(filters, each, seed=seed)
    if zeros:
        weight[:, 0] = 0
    bits, scales = pack(weight)
    assert bits.dtype == torch.uint8
    assert bits.numel() == -(-weight.numel() // 8)
    assert (scales.dtype, scales.shape) == (torch.float32, (filters,))
    expected = weight.abs().mean(dim=1, keepdim=True) * sign(weight)
    assert torch.equal(unpack(bits, scales, weight.shape), expected)


@pytest.mark.parametrize("xnor", [False, True])
def test_a_layer_of_unpacked_bits_computes_the_same_bit_for_bit(xnor: bool) -> None:
    layer, x = _layer(xnor=xnor), _random(2, 3, 8, 8)
    bits, scales = pack(layer.weight.detach())
    filters = unpack(bits, scales, layer.weight.shape)
    if xnor:
        ones = F.conv2d(sign(x), filters.sign(), padding=1)
        sizes = F.conv2d(x.abs().mean(1, keepdim=True), torch.full((1, 1, 3, 3), 1 / 9), padding=1)
        expected = ones * scales.view(1, -1, 1, 1) * sizes
    else:
        expected = F.conv2d(x, filters, padding=1)
    assert torch.equal(layer(x), expected)
