"""Attention and pooling over places, against plain loops."""

import math

import pytest
import torch

from backbones.blocks.attention import (
    ChannelThenPlace,
    DualAttention,
    EfficientChannel,
    NonLocal,
    SelectiveKernel,
    SelfAttention,
    SqueezeExcite,
    make_attention,
)
from backbones.blocks.pooling import AttentionPooling, GeneralisedMean, GlobalDepthwise
from backbones.spec import Attention

KINDS = [kind for kind in Attention if kind is not Attention.NONE]


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5)])
def test_the_shape_stays_and_a_gradient_comes_through(
    kind: Attention, size: tuple[int, int]
) -> None:
    layer = make_attention(kind, 8)
    x = _random(2, 8, *size).requires_grad_()
    found = layer(x)
    assert found.shape == x.shape
    found.square().sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


def test_squeeze_and_excite() -> None:
    layer, x = SqueezeExcite(32).requires_grad_(False), _random(2, 32, 3, 4)
    found = layer(x)
    assert layer.squeeze.out_features == 2
    for b in range(2):
        means = [float(x[b, c].sum()) / 12 for c in range(32)]
        hidden = [
            max(0.0, sum(float(w) * m for w, m in zip(row, means, strict=True)) + float(bias))
            for row, bias in zip(layer.squeeze.weight, layer.squeeze.bias, strict=True)
        ]
        for c in range(32):
            row, bias = layer.excite.weight[c], layer.excite.bias[c]
            total = sum(float(w) * h for w, h in zip(row, hidden, strict=True)) + float(bias)
            torch.testing.assert_close(found[b, c], x[b, c] * _sigmoid(total))


@pytest.mark.parametrize(("channels", "kernel"), [(8, 3), (64, 3), (128, 5), (512, 5)])
def test_efficient_channel_attention_looks_at_neighbours(channels: int, kernel: int) -> None:
    layer, x = EfficientChannel(channels), _random(1, channels, 2, 2)
    [[weights]] = layer.convolution.weight.detach()
    assert len(weights) == kernel
    found = layer(x).detach()
    for c in range(0, channels, 7):
        total = 0.0
        for i in range(kernel):
            if 0 <= (other := c + i - kernel // 2) < channels:
                total += float(weights[i]) * float(x[0, other].mean())
        torch.testing.assert_close(found[0, c], x[0, c] * _sigmoid(total))


def test_cbam_weighs_channels_first_and_places_then() -> None:
    layer, x = ChannelThenPlace(16), _random(1, 16, 5, 4)
    found = layer(x).detach()
    first, _, second = layer.channels
    weights = torch.zeros(16)
    for summary in (x[0].mean(dim=(1, 2)), x[0].amax(dim=(1, 2))):
        hidden = (first.weight.detach() @ summary + first.bias.detach()).clamp_min(0)
        weights += second.weight.detach() @ hidden + second.bias.detach()
    y = x[0] * torch.sigmoid(weights).view(16, 1, 1)
    kernel = layer.places.weight.detach()[0]
    for row in range(5):
        for column in range(4):
            total = 0.0
            for i in range(7):
                for j in range(7):
                    r, s = row + i - 3, column + j - 3
                    if 0 <= r < 5 and 0 <= s < 4:
                        total += float(kernel[0, i, j] * y[:, r, s].mean())
                        total += float(kernel[1, i, j] * y[:, r, s].max())
            expected = y[:, row, column] * _sigmoid(total)
            torch.testing.assert_close(found[0, :, row, column], expected)


def test_a_non_local_layer_begins_as_nothing_and_mixes_places_by_likeness() -> None:
    layer, x = NonLocal(4), _random(1, 4, 2, 3)
    assert torch.equal(layer(x), x)
    layer.gain.data.fill_(0.7)
    found = layer(x).detach()
    places = x[0].flatten(1).T  # (H*W, C)

    def linear(convolution: torch.nn.Conv2d, v: torch.Tensor) -> torch.Tensor:
        weight = convolution.weight.detach()[:, :, 0, 0]
        return weight @ v + convolution.bias.detach()  # type: ignore[union-attr]

    for i, place in enumerate(places):
        powers = [
            math.exp(float(linear(layer.query, place) @ linear(layer.key, other)))
            for other in places
        ]
        seen = torch.zeros(2)
        for power, other in zip(powers, places, strict=True):
            seen += power / sum(powers) * linear(layer.value, other)
        expected = place + 0.7 * linear(layer.out, seen)
        torch.testing.assert_close(found[0].flatten(1)[:, i], expected)


def _softmax(numbers: list[float]) -> list[float]:
    powers = [math.exp(number - max(numbers)) for number in numbers]
    return [power / sum(powers) for power in powers]


def test_a_selective_kernel_weighs_a_narrow_view_against_a_wide_one() -> None:
    layer, x = SelectiveKernel(4).eval().requires_grad_(False), _random(2, 4, 5, 6)
    views = []
    for wide, (convolution, _, _) in enumerate(layer.views, start=1):  # type: ignore[misc]
        view = torch.zeros_like(x)
        for c in range(4):  # as many groups as channels
            for row in range(5):
                for column in range(6):
                    for i in range(3):
                        for j in range(3):
                            y, z = row + (i - 1) * wide, column + (j - 1) * wide
                            if 0 <= y < 5 and 0 <= z < 6:
                                view[:, c, row, column] += (
                                    convolution.weight[c, 0, i, j] * x[:, c, y, z]
                                )
        views.append((view / (1 + 1e-5) ** 0.5).relu())
    found = layer(x)
    for b in range(2):
        means = (views[0][b] + views[1][b]).mean(dim=(1, 2))
        hidden = (layer.fuse[0].weight @ means + layer.fuse[0].bias).relu()
        logits = layer.select.weight @ hidden + layer.select.bias
        for c in range(4):
            narrow, wide_share = _softmax([float(logits[c]), float(logits[4 + c])])
            expected = narrow * views[0][b, c] + wide_share * views[1][b, c]
            torch.testing.assert_close(found[b, c], expected)


def test_dual_attention_adds_places_and_channels_by_their_likeness() -> None:
    layer, x = DualAttention(8).requires_grad_(False), _random(1, 8, 2, 3)
    assert torch.equal(layer(x), x)
    layer.place_gain.fill_(0.6)
    layer.channel_gain.fill_(-0.4)
    places = x[0].flatten(1)  # (C, H*W)

    def linear(convolution: torch.nn.Conv2d, v: torch.Tensor) -> torch.Tensor:
        return convolution.weight[:, :, 0, 0] @ v + convolution.bias  # type: ignore[operator]

    expected = places.clone()
    for i in range(6):
        query = linear(layer.query, places[:, i])
        shares = _softmax([float(query @ linear(layer.key, places[:, j])) for j in range(6)])
        for j, share in enumerate(shares):
            expected[:, i] += 0.6 * share * linear(layer.value, places[:, j])
    for c in range(8):
        shares = _softmax([float(places[c] @ places[other]) for other in range(8)])
        for other, share in enumerate(shares):
            expected[c] -= 0.4 * share * places[other]
    torch.testing.assert_close(layer(x)[0].flatten(1), expected, rtol=1e-4, atol=1e-5)


def test_self_attention_has_heads_that_see_their_own_channels() -> None:
    layer, x = SelfAttention(16).requires_grad_(False), _random(1, 16, 2, 2)
    assert torch.equal(layer(x), x)
    layer.gain.fill_(1.5)
    normal = (x[0] - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    places = normal.flatten(1)
    all_three = layer.queries.weight[:, :, 0, 0] @ places + layer.queries.bias[:, None]
    seen = torch.zeros(16, 4)
    for head in range(8):
        own = slice(2 * head, 2 * head + 2)
        query, key, value = (all_three[16 * k : 16 * (k + 1)][own] for k in range(3))
        for i in range(4):
            logits = [float(query[:, i] @ key[:, j]) / 2**0.5 for j in range(4)]
            for j, share in enumerate(_softmax(logits)):
                seen[own, i] += share * value[:, j]
    out = layer.out.weight[:, :, 0, 0] @ seen + layer.out.bias[:, None]
    torch.testing.assert_close(layer(x)[0].flatten(1), x[0].flatten(1) + 1.5 * out)


def test_a_generalised_mean_lies_between_average_and_maximum() -> None:
    layer, x = GeneralisedMean(), _random(2, 3, 4, 5).abs() + 0.1
    for power in (1.0, 3.0, 40.0):
        layer.power.data.fill_(power)
        found = layer(x).detach()[:, :, 0, 0]
        for b in range(2):
            for c in range(3):
                total = sum(float(v) ** power for v in x[b, c].flatten()) / 20
                assert float(found[b, c]) == pytest.approx(total ** (1 / power), rel=1e-4)
    assert torch.all(found <= x.amax(dim=(2, 3)))
    layer.power.data.fill_(1.0)
    torch.testing.assert_close(layer(x).detach(), x.mean(dim=(2, 3), keepdim=True))


def test_attention_pooling_begins_as_the_average_and_follows_its_query() -> None:
    layer, x = AttentionPooling(4), _random(2, 4, 3, 2)
    torch.testing.assert_close(layer(x), x.mean(dim=(2, 3), keepdim=True))
    layer.query.data = _random(4, seed=1) * 3
    found = layer(x).detach()
    for b in range(2):
        places = x[b].flatten(1).T
        powers = [
            math.exp(float((layer.key.weight.detach() @ place) @ layer.query.detach()) / 2)
            for place in places
        ]
        weighted = [w / sum(powers) * place for w, place in zip(powers, places, strict=True)]
        torch.testing.assert_close(found[b, :, 0, 0], torch.stack(weighted).sum(dim=0))


def test_a_global_depthwise_pooling_weighs_each_channel_and_place() -> None:
    layer, x = GlobalDepthwise(3, (2, 4)).requires_grad_(False), _random(2, 3, 2, 4)
    torch.testing.assert_close(layer(x), x.mean(dim=(2, 3), keepdim=True))
    layer.weight.copy_(_random(3, 1, 2, 4, seed=1))
    found = layer(x)
    for b in range(2):
        for c in range(3):
            total = sum(
                float(layer.weight[c, 0, i, j] * x[b, c, i, j]) for i in range(2) for j in range(4)
            )
            assert float(found[b, c, 0, 0]) == pytest.approx(total, abs=1e-5)
