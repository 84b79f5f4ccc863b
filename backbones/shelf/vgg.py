"""VGG-11 to VGG-19: plain chains of 3×3 convolutions, the classic of style transfer.

The taps are named as in L. Gatys, A. Ecker, M. Bethge: Image Style Transfer Using Convolutional
Neural Networks, 2016: reluB_I is the Ith rectified convolution of block B.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..spec import BackboneSpec, Tap, WeightsSource
from .imagenet import OWN, classifier, imagenet_weights

_CHANNELS = (64, 128, 256, 512, 512)
QUARTER = (16, 32, 64, 128, 128)
_STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

# How many convolutions each block has.
_DEPTHS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
QUARTER_DEPTHS = (2, 2, 4, 4, 1)


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


def _vgg(
    name: str, summary: str, parameters: int, weights: tuple[WeightsSource, ...] = ()
) -> BackboneSpec:
    return classifier(
        name,
        summary,
        relu_taps(_CHANNELS, _DEPTHS[name.removesuffix("_bn")]),
        content="relu4_2",
        style=_STYLE_TAPS,
        paper=(
            "K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image "
            "Recognition, 2015"
        ),
        parameters=parameters,
        weights=weights,
    )


SPECS = (
    _vgg("vgg11", "VGG-11 up to relu5_2: the shallowest of its family", 9_220_480),
    _vgg("vgg11_bn", "VGG-11 with batch norm, which trains from random weights", 9_225_984),
    _vgg("vgg13", "VGG-13 up to relu5_2", 9_404_992),
    _vgg("vgg13_bn", "VGG-13 with batch norm", 9_410_880),
    _vgg(
        "vgg16",
        "VGG-16 up to relu5_3: a little smaller than VGG-19",
        14_714_688,
        imagenet_weights(
            "vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            size=553_433_881,
        ),
    ),
    _vgg(
        "vgg16_bn",
        "VGG-16 with batch norm",
        14_723_136,
        imagenet_weights(
            "vgg16_bn-6c64b313.pth",
            sha256="6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a",
            size=553_507_836,
        ),
    ),
    VGG19 := _vgg(
        "vgg19",
        "VGG-19 up to relu5_4: the reference for style transfer",
        20_024_384,
        imagenet_weights(
            "vgg19-dcbb9e9d.pth",
            sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            size=574_673_361,
        ),
    ),
    _vgg(
        "vgg19_bn",
        "VGG-19 with batch norm",
        20_035_392,
        imagenet_weights(
            "vgg19_bn-c79401a0.pth",
            sha256="c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6",
            size=574_769_405,
        ),
    ),
    replace(
        VGG19,
        name="vgg_slim",
        summary="VGG-19 up to relu5_1 at a quarter of its width: paints unless told otherwise",
        taps=relu_taps(QUARTER, QUARTER_DEPTHS),
        weights=(),
        licence=OWN,
        parameters=810_128,
    ),
)
