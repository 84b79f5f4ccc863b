"""DenseNet: each layer sees the feature maps of all before it."""

from ..spec import BackboneSpec, Tap, WeightsSource
from .imagenet import classifier, imagenet_weights


def _densenet(
    depth: int, channels: tuple[int, int], parameters: int, weights: tuple[WeightsSource, ...] = ()
) -> BackboneSpec:
    third, fourth = channels
    return classifier(
        f"densenet{depth}",
        f"DenseNet-{depth}: every layer of a block sees all those before it",
        (
            Tap("conv0", 64, 2),
            Tap("block1", 256, 4),
            Tap("block2", 512, 8),
            Tap("block3", third, 16),
            Tap("block4", fourth, 32),
        ),
        content="block3",
        style=("conv0", "block1", "block2", "block3"),
        paper=(
            "G. Huang, Z. Liu, L. van der Maaten, K. Weinberger: Densely Connected Convolutional "
            "Networks, 2017"
        ),
        parameters=parameters,
        weights=weights,
    )


SPECS = (
    _densenet(
        121,
        (1024, 1024),
        6_953_856,
        imagenet_weights(
            "densenet121-a639ec97.pth",
            sha256="a639ec97d7c33b07ae66f0b5fb7d0192f95a3b11b7576c66c0126c2a727c4395",
            size=32_342_954,
        ),
    ),
    _densenet(169, (1280, 1664), 12_484_480),
    _densenet(201, (1792, 1920), 18_092_928),
)
