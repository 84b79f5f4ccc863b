import math
from pathlib import Path

import torch
import torch.nn.functional as F

from backbones.registry import create
from backbones.weights import load_backbone

NAMES = ["11", "12", "21", "22", "31", "32", "33", "34", "41", "42", "43", "44", "51"]


def test_taps_are_the_rectified_convolutions_with_reflected_borders() -> None:
    network = create("vgg19_quarter", seed=0)
    state = network.state_dict()
    images = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    found = network.features(images, [tap.name for tap in network.spec.taps])
    x = F.conv2d(images, state["conv0.weight"], state["conv0.bias"])
    for name in NAMES:
        if name in ("21", "31", "41", "51"):
            x = F.max_pool2d(x, 2)
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.conv2d(x, state[f"conv{name}.weight"], state[f"conv{name}.bias"]).relu()
        torch.testing.assert_close(found[f"relu{name[0]}_{name[1]}"], x, rtol=1e-4, atol=1e-4)


def test_only_the_maps_of_the_distillation_are_left_out() -> None:
    network = create("vgg19_quarter", seed=0)
    assert network.own_key("conv31_aux.weight") is None
    assert network.own_key("conv31.weight") == "conv31.weight"
    assert network.own_key("conv31_extra.weight") == "conv31_extra.weight"


def test_the_fixed_transform_is_not_trained() -> None:
    network = create("vgg19_quarter", seed=0)
    assert not network.get_parameter("conv0.weight").requires_grad
    assert network.get_parameter("conv11.weight").requires_grad


def test_the_shared_weights_see_more_than_noise(shared: Path) -> None:
    weights = shared / "weights" / "vgg19-quarter-width-distilled.safetensors"
    network = load_backbone("vgg19_quarter", weights=weights).backbone
    conv0 = network.get_parameter("conv0.weight")[:, :, 0, 0]
    # RGB in 0 … 1 becomes BGR in 0 … 255, as Caffe's VGG had it.
    torch.testing.assert_close(conv0, 255 * torch.eye(3).flip(0), rtol=0, atol=1)
    flat = torch.full((1, 3, 64, 64), 0.5)
    edges = flat.clone()
    edges[..., 32:] = 1
    taps = network.spec.style_taps
    with torch.inference_mode():
        calm, stirred = network.features(flat, taps), network.features(edges, taps)
    for tap in taps:
        change = (calm[tap] - stirred[tap]).norm() / calm[tap].norm()
        assert math.isfinite(change)
        assert change > 0.1
