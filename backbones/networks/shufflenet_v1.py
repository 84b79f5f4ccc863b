"""ShuffleNet v1: bottlenecks of grouped 1×1 convolutions whose channels are shuffled.

X. Zhang, X. Zhou, M. Lin, J. Sun: ShuffleNet: An Extremely Efficient Convolutional Neural Network
for Mobile Devices, 2018. Without the shuffle a group would only ever see its own channels.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..blocks.convolutions import shuffle_channels
from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head

_UNITS = {"stage2": 4, "stage3": 8, "stage4": 4}
_SQUEEZE = 4
"""A bottleneck has a quarter of its unit's channels."""


class ShuffleUnit(nn.Module):
    """The paper's figure 2 b; at stride 2 its figure 2 c, which concatenates instead of adding.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        groups: Of the 1×1 convolutions.
        stride: 1 or 2.
        first_grouped: Whether the first 1×1 convolution is grouped too; the very first unit's sees
            too few channels for that (section 3.2).
    """

    def __init__(
        self, inputs: int, outputs: int, *, groups: int, stride: int, first_grouped: bool = True
    ) -> None:
        super().__init__()
        self.groups = groups
        middle = outputs // _SQUEEZE
        new = outputs - inputs if stride == 2 else outputs
        self.squeeze = nn.Sequential(
            nn.Conv2d(inputs, middle, 1, groups=groups if first_grouped else 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
        )
        self.expand = nn.Sequential(
            nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False),
            nn.BatchNorm2d(middle),
            nn.Conv2d(middle, new, 1, groups=groups, bias=False),
            nn.BatchNorm2d(new),
        )
        self.shortcut = nn.AvgPool2d(3, 2, 1) if stride == 2 else None
        self.rectify = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""
        new = cast(Tensor, self.expand(shuffle_channels(self.squeeze(x), self.groups)))
        if self.shortcut is None:
            return cast(Tensor, self.rectify(x + new))
        return cast(Tensor, self.rectify(torch.cat([self.shortcut(x), new], dim=1)))


class ShuffleNetV1(Backbone):
    """The network."""

    def __init__(self, spec: BackboneSpec, groups: int) -> None:
        """Build it.

        Args:
            spec: Its taps say how wide each stage is.
            groups: G.
        """
        super().__init__(spec)
        stem, *widths = (tap.channels for tap in spec.taps)
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleDict()
        inputs = stem
        for (name, count), outputs in zip(_UNITS.items(), widths, strict=True):
            first = ShuffleUnit(
                inputs, outputs, groups=groups, stride=2, first_grouped=name != "stage2"
            )
            others = [
                ShuffleUnit(outputs, outputs, groups=groups, stride=1) for _ in range(count - 1)
            ]
            self.stages[name] = nn.Sequential(first, *others)
            inputs = outputs
        self.head = pooled_head(spec)
        stages: dict[str, list[nn.Module]] = {"conv1": [self.conv1]}
        for name, stage in self.stages.items():
            stages[name] = [self.maxpool, stage] if name == "stage2" else [stage]
        self.chain(stages, head=[self.head])
        self.initialise_convolutions()


def build(spec: BackboneSpec) -> Backbone:
    """ShuffleNet v1 of width 1, with as many groups as its name says."""
    return ShuffleNetV1(spec, int(spec.name.rpartition("_g")[2]))
