"""ResNet-18 and ResNet-50: residual networks, the usual start for training one's own.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, 2016; with
torchvision's stride in the 3×3 convolution of a bottleneck.
"""

from dataclasses import replace

from torchvision import models

from ..network import Backbone
from ..registry import register
from ..spec import (
    IMAGENET,
    Alignment,
    BackboneSpec,
    Tap,
    falling_weights,
)
from .head import pooled_head
from .imagenet import imagenet_weights


def _taps(*channels: int) -> tuple[Tap, ...]:
    """The first convolution, then the four layers of which each halves height and width."""
    layers = (Tap(f"layer{i}", width, 2 ** (i + 1)) for i, width in enumerate(channels, start=1))
    return (Tap("conv1", 64, 2), *layers)


RESNET18 = BackboneSpec(
    name="resnet18",
    summary="ResNet-18: a residual network of 11 million weights, to train from",
    taps=_taps(64, 128, 256, 512),
    content_taps=("layer3",),
    style_taps=("conv1", "layer1", "layer2", "layer3"),
    style_tap_weights=falling_weights(4),
    input_size=(224, 224),
    alignment=Alignment.NONE,
    normalisation=IMAGENET,
    embedding_size=None,
    weights=imagenet_weights(
        "resnet18-f37072fd.pth",
        sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        size=46_830_571,
    ),
    licence="BSD-3-Clause (torchvision)",
)

RESNET50 = replace(
    RESNET18,
    name="resnet50",
    summary="ResNet-50: a residual network of 24 million weights, to train from",
    taps=_taps(256, 512, 1024, 2048),
    weights=imagenet_weights(
        "resnet50-0676ba61.pth",
        sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        size=102_530_333,
    ),
)


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


@register(RESNET18)
def resnet18(spec: BackboneSpec) -> Backbone:
    """ResNet-18."""
    return ResNet(spec, models.resnet18(weights=None))


@register(RESNET50)
def resnet50(spec: BackboneSpec) -> Backbone:
    """ResNet-50."""
    return ResNet(spec, models.resnet50(weights=None))
