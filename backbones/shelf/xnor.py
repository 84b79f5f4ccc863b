"""XNOR-Net and Binary-Weight-Network: filters that are signs, in two shapes."""

from ..spec import BackboneSpec, Tap
from .imagenet import OWN, classifier

_PAPER = (
    "M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi: XNOR-Net: ImageNet Classification Using "
    "Binary Convolutional Neural Networks, 2016"
)
_KINDS = {"xnor": "weights and inputs are signs", "bwn": "weights are signs"}


def _vgg(kind: str, parameters: int) -> BackboneSpec:
    return classifier(
        f"{kind}_vgg_small",
        f"VGG-small whose {_KINDS[kind]}, but for the first layer",
        (
            Tap("conv1", 128, 1),
            Tap("conv2", 128, 1),
            Tap("conv3", 256, 2),
            Tap("conv4", 256, 2),
            Tap("conv5", 512, 4),
            Tap("conv6", 512, 4),
        ),
        content="conv4",
        style=("conv1", "conv3", "conv5"),
        paper=_PAPER,
        parameters=parameters,
        side=32,
        licence=OWN,
    )


def _resnet(kind: str, parameters: int) -> BackboneSpec:
    return classifier(
        f"{kind}_resnet18",
        f"ResNet-18 whose {_KINDS[kind]}, but for the first layer and the projections",
        (
            Tap("conv1", 64, 2),
            Tap("layer1", 64, 4),
            Tap("layer2", 128, 8),
            Tap("layer3", 256, 16),
            Tap("layer4", 512, 32),
        ),
        content="layer3",
        style=("conv1", "layer1", "layer2", "layer3"),
        paper=_PAPER,
        parameters=parameters,
        licence=OWN,
    )


SPECS = (
    _vgg("xnor", 4_577_408),
    _vgg("bwn", 4_578_176),
    _resnet("xnor", 11_175_616),
    _resnet("bwn", 11_176_512),
)
