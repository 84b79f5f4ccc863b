"""dlib's face network: a residual network of 29 convolutions that pads only where it must.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, 2015, with about half
of ResNet-34's layers; D. King trained it on some three million photographs and gave its weights
away (CC0). Where an ordinary residual network projects the input of a block that halves the image,
this one averages it over 2×2 pixels and pads the smaller of both maps with zeros, in channels as in
rows and columns. Its convolutions of stride 2 do not pad, so feature maps are a few cells smaller
than the image divided by the stride.

What stood behind each convolution in training, a factor and a summand a channel, is part of the
convolution here: the numbers are the same, and a third of the passes over memory is saved.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import ArgumentError

from ..network import Backbone
from ..spec import BackboneSpec

# Channels and how many blocks; the first block halves the image, but for the first stage's.
_STAGES = {
    "stage1": (32, 3),
    "stage2": (64, 4),
    "stage3": (128, 3),
    "stage4": (256, 3),
}
_STEM = 32
_SMALLEST = 103
"""Sides below this leave the last block fewer cells than its filters are wide."""


class DlibBlock(nn.Module):
    """Two convolutions, and the input added to what they give.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        down: Whether the image is halved.
    """

    def __init__(self, inputs: int, outputs: int, *, down: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if down else (1, 1)
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.AvgPool2d(2) if down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H', W')."""
        return F.relu(_sum(self.second(F.relu(self.first(x))), self.shortcut(x)))


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """Add feature maps; where one is smaller, zeros stand behind its last cell or channel."""
    if one.shape == other.shape:
        return one + other
    shape = [max(sides) for sides in zip(one.shape[1:], other.shape[1:], strict=True)]
    return _padded(one, shape) + _padded(other, shape)


def _padded(x: Tensor, shape: list[int]) -> Tensor:
    missing = [(0, wanted - side) for wanted, side in zip(shape, x.shape[1:], strict=True)]
    return F.pad(x, [pad for pads in reversed(missing) for pad in pads])


class DlibResNet(Backbone):
    """The network; its layers are numbered as dlib computes them."""

    own_rectifiers = True

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        if min(spec.input_size) < _SMALLEST:
            height, width = spec.input_size
            raise ArgumentError(
                f"{spec.name} needs sides of at least {_SMALLEST} pixels, not {height}x{width}"
            )
        self.stem = nn.Conv2d(3, _STEM, 7, 2)
        self.blocks = nn.Sequential()
        stages: dict[str, list[nn.Module]] = {"stem": [self.stem, nn.ReLU()]}
        channels = _STEM
        for name, (outputs, count) in _STAGES.items():
            stages[name] = [nn.MaxPool2d(3, 2)] if name == "stage1" else []
            for i in range(count):
                block = DlibBlock(channels, outputs, down=i == 0 and name != "stage1")
                self.blocks.append(block)
                stages[name].append(block)
                channels = outputs
        last = DlibBlock(channels, channels, down=True)
        self.blocks.append(last)
        self.embed = nn.Linear(channels, spec.dimension, bias=False)
        self.chain(stages, head=[last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.embed])
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """The ResNet of dlib, for 150×150 or any size that is not too small for its last block.

    Raises:
        ArgumentError: A side of the input size is too small.
    """
    return DlibResNet(spec)
