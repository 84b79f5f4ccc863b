"""ShuffleNet v1, Xception, ViT-S and IR-SE-50: what is own in them, piece by piece."""

import pytest
import torch
import torch.nn.functional as F

from backbones.networks.iresnet import Excitation
from backbones.networks.shufflenet_v1 import ShuffleUnit
from backbones.networks.vit import Patches
from backbones.networks.xception import SeparableBlock
from backbones.registry import create


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_shufflenet_unit_is_its_papers_figure(stride: int) -> None:
    inputs, outputs, groups = (12, 24, 3) if stride == 2 else (24, 24, 3)
    unit = ShuffleUnit(inputs, outputs, groups=groups, stride=stride).eval()
    x = _random(2, inputs, 8, 9).relu()
    squeeze, _, _ = unit.squeeze
    depthwise, _, expand, _ = unit.expand
    middle = F.conv2d(x, squeeze.weight, groups=groups).relu() / (1 + 1e-5) ** 0.5
    # Channel i of group g goes to place i·G + g.
    order = [g * 2 + i for i in range(2) for g in range(3)]
    mixed = middle[:, order]
    new = F.conv2d(mixed, depthwise.weight, stride=stride, padding=1, groups=6) / (1 + 1e-5) ** 0.5
    new = F.conv2d(new, expand.weight, groups=groups) / (1 + 1e-5) ** 0.5
    if stride == 2:
        expected = torch.cat([F.avg_pool2d(x, 3, 2, 1), new], dim=1).relu()
    else:
        expected = (x + new).relu()
    torch.testing.assert_close(unit(x), expected)


def test_without_groups_in_the_first_layer_every_channel_is_seen() -> None:
    grouped, dense = (
        ShuffleUnit(24, 240, groups=3, stride=2, first_grouped=first) for first in (True, False)
    )
    assert dense.squeeze[0].weight.numel() == 3 * grouped.squeeze[0].weight.numel()


def test_an_xception_block_adds_its_input() -> None:
    block = SeparableBlock(8, (8, 8, 8)).eval()
    for module in block.body:
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(module.weight)  # nothing is added
    x = _random(1, 8, 7, 9)
    before = x.clone()
    torch.testing.assert_close(block(x), x)
    assert torch.equal(x, before)


def test_places_of_patches_are_interpolated_for_other_sizes() -> None:
    patches = Patches(4, (3, 5))
    zeros = torch.zeros(1, 3, 48, 80)
    bias = patches.projection.bias.detach().view(1, 4, 1, 1)
    positions = patches.positions.detach()
    torch.testing.assert_close(patches(zeros).detach(), bias + positions)
    found = patches(torch.zeros(1, 3, 96, 170)).detach()
    assert found.shape == (1, 4, 6, 10)
    expected = F.interpolate(positions, (6, 10), mode="bilinear")
    torch.testing.assert_close(found, bias + expected)


def test_attention_lets_the_first_patch_see_the_last_one() -> None:
    network = create("vit_small_16", seed=0, input_size=(32, 48))
    images = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    other = images.clone()
    other[..., 16:, 32:] = 1 - other[..., 16:, 32:]
    seen, changed = (network.features(it, ["patches", "block3"]) for it in (images, other))
    assert torch.equal(seen["patches"][..., 0, 0], changed["patches"][..., 0, 0])
    assert not torch.allclose(seen["block3"][..., 0, 0], changed["block3"][..., 0, 0])


def test_an_excitation_scales_each_channel_by_one_number() -> None:
    layer = Excitation(8, 2)
    x = _random(2, 8, 5, 5)
    found = layer(x).detach()
    _, first, _, second, _ = layer.weights
    mean = x.mean(dim=(2, 3))
    hidden = (mean @ first.weight.detach().view(2, 8).T).relu()
    factors = torch.sigmoid(hidden @ second.weight.detach().view(8, 2).T)
    torch.testing.assert_close(found, x * factors.view(2, 8, 1, 1))
