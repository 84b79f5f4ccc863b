"""XNOR-Net and Binary-Weight-Network variants of VGG-small and ResNet-18.

M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi: XNOR-Net: ImageNet Classification Using Binary
Convolutional Neural Networks, 2016. The first layer keeps its float weights, and so do the 1×1
projections of the residual network. Where inputs are signs, a norm comes before the convolution
and pooling behind it, as in the paper's figure 3; where they are not, the order is the usual one.
"""

from typing import cast

from torch import Tensor, nn

from ..blocks.binary import BinaryConv2d
from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head


def _binary(inputs: int, outputs: int, *, stride: int = 1, xnor: bool) -> list[nn.Module]:
    """A binary 3×3 convolution with its norm where it belongs."""
    convolution = BinaryConv2d(inputs, outputs, 3, stride=stride, xnor=xnor)
    if xnor:
        return [nn.BatchNorm2d(inputs), convolution]
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class BinaryVGG(Backbone):
    """VGG-small: six 3×3 convolutions, of which every second is followed by pooling."""

    def __init__(self, spec: BackboneSpec, *, xnor: bool) -> None:
        """Build it.

        Args:
            spec: Its taps say how wide each layer is.
            xnor: Whether inputs are signs too.
        """
        super().__init__(spec)
        first, *rest = spec.taps
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first.channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(first.channels),
            nn.ReLU(inplace=True),
        )
        stages: dict[str, list[nn.Module]] = {first.name: [self.conv1]}
        before = first
        for tap in rest:
            layers = _binary(before.channels, tap.channels, xnor=xnor)
            pooling = [nn.MaxPool2d(2)] if tap.stride > before.stride else []
            module = nn.Sequential(*layers)
            self.add_module(tap.name, module)
            stages[tap.name] = [*pooling, module]
            before = tap
        self.head = pooled_head(spec)
        self.chain(stages, head=[self.head])
        self.initialise_convolutions()


class BinaryBlock(nn.Module):
    """The basic block of a residual network, of binary convolutions.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: 1 or 2.
        xnor: Whether inputs are signs too.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, xnor: bool) -> None:
        super().__init__()
        layers = _binary(inputs, outputs, stride=stride, xnor=xnor)
        layers += _binary(outputs, outputs, xnor=xnor)
        self.body = nn.Sequential(*(layers if xnor else layers[:-1]))  # rectified behind the sum
        self.rectify = nn.Identity() if xnor else nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""
        return cast(Tensor, self.rectify(self.body(x) + self.shortcut(x)))


class BinaryResNet(Backbone):
    """ResNet-18: four layers of two blocks."""

    def __init__(self, spec: BackboneSpec, *, xnor: bool) -> None:
        """Build it.

        Args:
            spec: Its taps say how wide each layer is.
            xnor: Whether inputs are signs too.
        """
        super().__init__(spec)
        first, *rest = spec.taps
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, first.channels, 7, 2, 3, bias=False),
            nn.BatchNorm2d(first.channels),
            nn.ReLU(inplace=True),
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages: dict[str, list[nn.Module]] = {first.name: [self.conv1]}
        inputs = first.channels
        for number, tap in enumerate(rest):
            layer = nn.Sequential(
                BinaryBlock(inputs, tap.channels, stride=2 if number else 1, xnor=xnor),
                BinaryBlock(tap.channels, tap.channels, stride=1, xnor=xnor),
            )
            self.add_module(tap.name, layer)
            stages[tap.name] = [layer] if number else [self.maxpool, layer]
            inputs = tap.channels
        self.head = pooled_head(spec)
        self.chain(stages, head=[self.head])
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """A network of signs, of the kind and shape that its name says."""
    kind, _, shape = spec.name.partition("_")
    network = BinaryVGG if shape == "vgg_small" else BinaryResNet
    return network(spec, xnor=kind == "xnor")
