"""VGG-16 and VGG-19: plain chains of 3×3 convolutions, the classic of style transfer.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition,
2015. The taps are named as in L. Gatys, A. Ecker, M. Bethge: Image Style Transfer Using
Convolutional Neural Networks, 2016: reluB_I is the Ith rectified convolution of block B.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

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

_CHANNELS = (64, 128, 256, 512, 512)
_STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def relu_taps(channels: Sequence[int], depths: Sequence[int]) -> tuple[Tap, ...]:
    """A tap behind each rectified convolution of a VGG.

    Args:
        channels: C of each block.
        depths: How many convolutions each block has.

    Returns:
        relu1_1, relu1_2, … in the order of computation; each block halves height and width.
    """
    return tuple(
        Tap(f"relu{block}_{i}", width, 2 ** (block - 1))
        for block, (width, depth) in enumerate(zip(channels, depths, strict=True), start=1)
        for i in range(1, depth + 1)
    )


VGG19 = BackboneSpec(
    name="vgg19",
    summary="VGG-19 up to relu5_4: the reference for style transfer",
    taps=relu_taps(_CHANNELS, (2, 2, 4, 4, 4)),
    content_taps=("relu4_2",),
    style_taps=_STYLE_TAPS,
    style_tap_weights=falling_weights(5),
    input_size=(224, 224),
    alignment=Alignment.NONE,
    normalisation=IMAGENET,
    embedding_size=None,
    weights=imagenet_weights(
        "vgg19-dcbb9e9d.pth",
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        size=574_673_361,
    ),
    licence="BSD-3-Clause (torchvision)",
)

VGG16 = replace(
    VGG19,
    name="vgg16",
    summary="VGG-16 up to relu5_3: a little smaller than VGG-19",
    taps=relu_taps(_CHANNELS, (2, 2, 3, 3, 3)),
    weights=imagenet_weights(
        "vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        size=553_433_881,
    ),
)


_SLIM = (16, 16, "M", 32, 32, "M", 64, 64, 64, 64, "M", 128, 128, 128, 128, "M", 128)

VGG_SLIM = replace(
    VGG19,
    name="vgg_slim",
    summary="VGG-19 up to relu5_1 at a quarter of its width, bundled: style at a fifth of the cost",
    taps=relu_taps((16, 32, 64, 128, 128), (2, 2, 4, 4, 1)),
    weights=(),
    licence="MIT (own implementation)",
)


class VGG(Backbone):
    """torchvision's convolutions, without the classifier (nine tenths of the published weights)."""

    surplus = ("classifier.*",)
    renamed: ClassVar = {"features.": "convolutions."}  # the name of a method here

    def __init__(self, spec: BackboneSpec, plan: Sequence[int | str]) -> None:
        """Build the convolutions.

        Args:
            spec: Of this very network.
            plan: torchvision's plan of it: channels of a convolution, or `M` for max pooling.
        """
        super().__init__(spec)
        self.convolutions: nn.Sequential = make_layers(plan, batch_norm=False)
        self.head = pooled_head(spec)
        # Each tap is a rectifier; a pooling layer belongs to the tap behind it, the last to none.
        layers = list(self.convolutions)
        ends = [i + 1 for i, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]
        stages = [layers[start:end] for start, end in pairwise([0, *ends])]
        names = [tap.name for tap in spec.taps]
        self.chain(dict(zip(names, stages, strict=True)), head=[self.head])
        self.initialise_convolutions()


@register(VGG16)
def vgg16(spec: BackboneSpec) -> Backbone:
    """VGG-16 with max pooling, as trained."""
    return VGG(spec, cfgs["D"])


@register(VGG19)
def vgg19(spec: BackboneSpec) -> Backbone:
    """VGG-19 with max pooling, as trained."""
    return VGG(spec, cfgs["E"])


@register(VGG_SLIM)
def vgg_slim(spec: BackboneSpec) -> Backbone:
    """The small VGG that `likeness train-style-net` teaches from a larger one."""
    return VGG(spec, _SLIM)
