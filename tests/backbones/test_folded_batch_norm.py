"""Folded networks give what they gave, whatever their norms had learned."""

import copy

import pytest
import torch
from torch import Tensor, nn

from backbones.folded_batch_norm import folded
from backbones.network import Backbone
from backbones.registry import create
from backbones.spec import Attention, Norm

FACES = ("mobilefacenet", "iresnet_se", "inception_resnet_v1", "dlib_resnet")
OTHERS = ("resnet18", "mobilenet_v1_x0_25", "efficientnet_b0", "shufflenet_v2_x1_0", "googlenet")
OTHERS += ("xnor_resnet18", "densenet121")


def lived(backbone: Backbone, seed: int) -> Backbone:
    """The network with norms that have seen something, as trained ones have."""
    source = torch.Generator().manual_seed(seed)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, least in (("running_mean", -0.3), ("running_var", 0.5), ("bias", -0.3)):
                tensor = getattr(module, name)
                tensor.data.copy_(least + 0.6 * torch.rand(tensor.shape, generator=source))
            module.weight.data.uniform_(0.5, 1.5, generator=source)
    return backbone.requires_grad_(False).eval()


def pictures(backbone: Backbone, seed: int = 0) -> Tensor:
    return torch.rand(
        2, 3, *backbone.spec.input_size, generator=torch.Generator().manual_seed(seed)
    )


def agree(found: Tensor, expected: Tensor) -> None:
    """Equal to the rounding of float32, of numbers as large as these."""
    largest = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * largest)


def norms(backbone: Backbone) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())


@pytest.mark.parametrize("name", FACES + OTHERS)
def test_a_folded_network_gives_what_it_gave(name: str) -> None:
    backbone = lived(create(name, seed=0), seed=1)
    before = copy.deepcopy(backbone.state_dict())
    images = pictures(backbone)
    expected = backbone.embedding(images)
    agree(folded(backbone).embedding(images), expected)
    # The network itself stays as it is.
    assert torch.equal(backbone.embedding(images), expected)
    assert all(torch.equal(tensor, before[key]) for key, tensor in backbone.state_dict().items())


@pytest.mark.parametrize(
    ("name", "kept"), [("mobilefacenet", 0), ("iresnet_se", 7), ("resnet18", 0)]
)
def test_only_norms_before_a_convolution_are_kept(name: str, kept: int) -> None:
    assert norms(folded(lived(create(name, seed=0), seed=1))) == kept


@pytest.mark.parametrize("attention", [Attention.NONE, Attention.SE, Attention.CBAM])
def test_added_attention_is_kept(attention: Attention) -> None:
    backbone = lived(create("mobilefacenet", seed=0, attention=attention), seed=2)
    images = pictures(backbone)
    agree(folded(backbone).embedding(images), backbone.embedding(images))


def test_norms_of_another_kind_are_kept() -> None:
    backbone = create("mobilefacenet", seed=0, norm=Norm.INSTANCE).eval()
    images = pictures(backbone)
    assert torch.equal(folded(backbone).embedding(images), backbone.embedding(images))


def test_a_norm_in_training_is_kept() -> None:
    backbone = create("mobilefacenet", seed=0).train()
    assert norms(folded(backbone)) == norms(backbone) > 0


def test_other_tensors_are_shared() -> None:
    backbone = lived(create("mobilefacenet", seed=0), seed=3)
    own = {tensor.data_ptr() for tensor in backbone.parameters()}
    slopes = [m for m in folded(backbone).modules() if isinstance(m, nn.PReLU)]
    assert slopes
    assert all(layer.weight.data_ptr() in own for layer in slopes)


def test_gradients_flow_as_before() -> None:
    backbone = lived(create("mobilefacenet", seed=0), seed=4)
    images = pictures(backbone).requires_grad_()
    [expected] = torch.autograd.grad(backbone.embedding(images).square().sum(), images)
    [found] = torch.autograd.grad(folded(backbone).embedding(images).square().sum(), images)
    # Rounding moves a few units over a rectifier's kink, where the slope is another.
    assert float((found - expected).norm() / expected.norm()) < 0.01
