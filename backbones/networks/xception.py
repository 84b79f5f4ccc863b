"""Xception: residual blocks of depthwise separable convolutions.

F. Chollet: Xception: Deep Learning with Depthwise Separable Convolutions, 2017, figure 5. The first
two convolutions do not pad, so feature maps are a little smaller than the image by the stride.
"""

from typing import cast

from torch import Tensor, nn

from ..blocks.convolutions import separable
from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head

_MIDDLE = 8
"""Blocks of the middle flow."""


class SeparableBlock(nn.Module):
    """Separable convolutions, each rectified before, and the input added to what they give.

    Args:
        inputs: Channels that come in.
        widths: Channels behind each convolution.
        stride: 2 halves the image at the end, and projects the input.
        rectified: Whether the first convolution has a rectifier before it.
    """

    def __init__(
        self, inputs: int, widths: tuple[int, ...], *, stride: int = 1, rectified: bool = True
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = inputs
        for number, width in enumerate(widths):
            if rectified or number:
                layers.append(nn.ReLU())  # not in place: the shortcut reads the same numbers
            layers += [separable(channels, width), nn.BatchNorm2d(width)]
            channels = width
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, widths[-1], H/stride, W/stride)."""
        return cast(Tensor, self.body(x) + self.shortcut(x))


class Xception(Backbone):
    """The network; layers are numbered as in the paper's figure."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        self.stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, bias=False),
            *_rectified(32),
            nn.Conv2d(32, 64, 3, bias=False),
            *_rectified(64),
        )
        self.blocks = nn.ModuleList(
            [
                SeparableBlock(64, (128, 128), stride=2, rectified=False),
                SeparableBlock(128, (256, 256), stride=2),
                SeparableBlock(256, (728, 728), stride=2),
                *(SeparableBlock(728, (728, 728, 728)) for _ in range(_MIDDLE)),
                SeparableBlock(728, (728, 1024), stride=2),
            ]
        )
        self.exit = nn.Sequential(
            separable(1024, 1536), *_rectified(1536), separable(1536, 2048), *_rectified(2048)
        )
        self.head = pooled_head(spec)
        first, second, third, *middle, last = self.blocks
        self.chain(
            {
                "conv2": [self.stem],
                "block2": [first],
                "block3": [second],
                "block4": [third],
                "block12": middle,
                "block13": [last],
                "conv4": [self.exit],
            },
            head=[self.head],
        )
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """Xception."""
    return Xception(spec)


def _rectified(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
