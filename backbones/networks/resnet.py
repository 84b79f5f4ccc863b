"""ResNet-18 to ResNet-152, ResNeXt-50 and Wide ResNet-50: torchvision's residual networks.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, 2016; with
torchvision's stride in the 3×3 convolution of a bottleneck.
"""

import math

from torchvision import models
from torchvision.models.resnet import Bottleneck

from data.errors import ArgumentError

from ..network import Backbone
from ..spec import MOST_GROUPS, BackboneSpec
from .head import pooled_head

_DEPTHS_50 = (3, 4, 6, 3)
"""Bottlenecks of each layer, of those of fifty."""


class ResNet(Backbone):
    """torchvision's layers, without the classifier."""

    surplus = ("fc.*",)

    def __init__(self, spec: BackboneSpec, network: models.ResNet) -> None:
        """Take a network apart.

        Args:
            spec: Of this very network.
            network: As torchvision builds it.
        """
        super().__init__(spec)
        for name, layer in network.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, layer)
        self.head = pooled_head(spec)
        self.chain(
            {
                "conv1": [network.conv1, network.bn1, network.relu],
                "layer1": [network.maxpool, network.layer1],
                "layer2": [network.layer2],
                "layer3": [network.layer3],
                "layer4": [network.layer4],
            },
            head=[self.head],
        )


def build(spec: BackboneSpec) -> Backbone:
    """A residual network.

    Raises:
        ArgumentError: It is wanted with another cardinality than 1 … 64.
    """
    if spec.cardinality is None:
        return ResNet(spec, models.get_model(spec.name, weights=None))
    width = width_per_group(spec.cardinality)
    layers = models.ResNet(
        Bottleneck, list(_DEPTHS_50), groups=spec.cardinality, width_per_group=width
    )
    return ResNet(spec, layers)


def width_per_group(cardinality: int) -> int:
    """Channels a group by which a ResNeXt bottleneck costs what ResNet-50's does.

    That is d in C · (256 d + 3·3·d·d + 256 d) = 256·64 + 3·3·64·64 + 64·256 (section 3.3 and
    table 2 of Xie et al. 2017: 1×64, 2×40, 4×24, 8×14, 32×4).

    Args:
        cardinality: C, 1 … 64.

    Raises:
        ArgumentError: It is another number.
    """
    if not 1 <= cardinality <= MOST_GROUPS:
        raise ArgumentError(f"cardinality is {cardinality}: give 1 to {MOST_GROUPS}")
    each = (256 * 64 + 9 * 64 * 64 + 64 * 256) / cardinality
    return round((math.sqrt(512**2 + 4 * 9 * each) - 512) / (2 * 9))
