"""SqueezeNet 1.0: AlexNet's accuracy with a million weights, and style at small cost.

F. Iandola, S. Han, M. Moskewicz, K. Ashraf, W. Dally, K. Keutzer: SqueezeNet: AlexNet-level
accuracy with 50x fewer parameters and <0.5MB model size, 2016. Taps are named as in its Table 1.
"""

from typing import ClassVar

from torch import nn
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

SPEC = BackboneSpec(
    name="squeezenet1_0",
    summary="SqueezeNet 1.0: a small network for style at small cost",
    taps=(
        Tap("relu1", 96, 2, least=9),
        Tap("fire2", 128, 4, least=13),
        Tap("fire3", 128, 4, least=13),
        Tap("fire4", 256, 4, least=13),
        Tap("fire5", 256, 8, least=21),
        Tap("fire6", 384, 8, least=21),
        Tap("fire7", 384, 8, least=21),
        Tap("fire8", 512, 8, least=21),
        Tap("fire9", 512, 16, least=37),
    ),
    content_taps=("fire5",),
    style_taps=("relu1", "fire2", "fire4", "fire6", "fire9"),
    style_tap_weights=falling_weights(5),
    input_size=(224, 224),
    alignment=Alignment.NONE,
    normalisation=IMAGENET,
    embedding_size=None,
    weights=imagenet_weights(
        "squeezenet1_0-b66bff10.pth",
        sha256="b66bff10",  # no project that was found pins all of it
        size=5_010_000,
        short_digest=(
            "Only the first 8 of the 64 digits of this file's SHA-256 are published: they tell a "
            "damaged file, not one that somebody has forged to fit them."
        ),
    ),
    licence="BSD-3-Clause (torchvision)",
)


class SqueezeNet(Backbone):
    """torchvision's convolutions, without the classifier."""

    surplus = ("classifier.*",)
    renamed: ClassVar = {"features.": "convolutions."}  # the name of a method here

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        self.convolutions: nn.Sequential = models.squeezenet1_0(weights=None).features
        self.head = pooled_head(spec)
        convolution, relu, *rest = self.convolutions
        stages: dict[str, list[nn.Module]] = {"relu1": [convolution, relu]}
        before: list[nn.Module] = []
        for layer in rest:
            if isinstance(layer, nn.MaxPool2d):
                before = [layer]
            else:
                stages[f"fire{len(stages) + 1}"] = [*before, layer]
                before = []
        self.chain(stages, head=[self.head])


@register(SPEC)
def squeezenet1_0(spec: BackboneSpec) -> Backbone:
    """SqueezeNet 1.0."""
    return SqueezeNet(spec)
