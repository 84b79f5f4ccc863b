"""The deconvnet against Zeiler and Fergus' steps, written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.registry import create
from backbones.visualisation.deconvnet import deconvolve, project
from backbones.visualisation.units import Unit


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2)])
def test_of_a_linear_layer_it_is_the_transposed_map(stride: int, padding: int) -> None:
    weight, image = _random(5, 3, 3, 3), _random(3, 9, 11, seed=1)

    def see(x: Tensor) -> Tensor:
        return F.conv2d(x, weight, stride=stride, padding=padding)

    maps = see(image[None])
    left_over = [(side + 2 * padding - 3) % stride for side in (9, 11)]
    for channel in range(5):
        one = torch.zeros_like(maps)
        place = divmod(int(maps[0, channel].argmax()), maps.shape[3])
        one[0, channel][place] = maps[0, channel][place]
        expected = F.conv_transpose2d(
            one, weight, stride=stride, padding=padding, output_padding=left_over
        )
        found = project(see, image, channel)
        torch.testing.assert_close(found, expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inplace", [False, True])
def test_pools_switch_and_rectifiers_let_pass_what_is_positive(inplace: bool) -> None:
    """Convolution, rectifier, pooling, convolution, rectifier; back by hand, step by step."""
    first, second = _random(4, 3, 3, 3), _random(6, 4, 3, 3, seed=1)
    image = _random(3, 12, 12, seed=2)
    rectify, pool = nn.ReLU(inplace=inplace), nn.MaxPool2d(2)

    def see(x: Tensor) -> Tensor:
        middle = pool(rectify(F.conv2d(x, first, padding=1)))
        return rectify(F.conv2d(middle, second, padding=1))

    before = F.conv2d(image[None], first, padding=1).relu()
    pooled, switches = F.max_pool2d(before, 2, return_indices=True)
    maps = F.conv2d(pooled, second, padding=1).relu()
    for channel in range(6):
        one = torch.zeros_like(maps)
        place = divmod(int(maps[0, channel].argmax()), maps.shape[3])
        one[0, channel][place] = maps[0, channel][place]
        signal = F.conv_transpose2d(one.relu(), second, padding=1)
        signal = F.max_unpool2d(signal, switches, 2).relu()
        expected = F.conv_transpose2d(signal, first, padding=1)
        torch.testing.assert_close(project(see, image, channel), expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["squeezenet1_1", "dlib_resnet", "googlenet", "mobilenet_v2"])
def test_rectifiers_are_found_wherever_they_stand(name: str) -> None:
    """As modules, in place, as functions inside of blocks, and with an upper limit."""
    network = create(name, seed=0).requires_grad_(False)
    tap = network.spec.taps[2]
    image = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0))
    maps = network.features(image[None], [tap.name])[tap.name][0]
    channel = int(maps.flatten(1).amax(dim=1).argmax())
    found = deconvolve(network, image, Unit(tap.name, channel))
    assert found.shape == image.shape
    assert torch.isfinite(found).all()
    assert found.abs().sum() > 0
    pixels = image[None].clone().requires_grad_()
    maps = network.features(pixels, [tap.name])[tap.name][0, channel]
    [slope] = torch.autograd.grad(maps.max() * maps.max().detach(), pixels)
    # The plain gradient stops where a rectifier gave nothing; this one, where it is below 0.
    assert float((found - slope[0]).abs().max()) > 0.01 * float(slope.abs().max())
