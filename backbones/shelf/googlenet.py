"""GoogLeNet: Inception modules, and two auxiliary heads half-way."""

from ..spec import HALF, Tap
from .imagenet import classifier, imagenet_weights

SPECS = (
    classifier(
        "googlenet",
        "GoogLeNet with batch norm, and 3×3 filters for its 5×5 ones; auxiliary heads in training",
        (
            Tap("conv1", 64, 2),
            Tap("conv3", 192, 4),
            Tap("inception3b", 480, 8),
            Tap("inception4a", 512, 16),
            Tap("inception4d", 528, 16),
            Tap("inception4e", 832, 16),
            Tap("inception5b", 1024, 32),
        ),
        content="inception4a",
        style=("conv1", "conv3", "inception3b", "inception4d"),
        paper="C. Szegedy et al.: Going Deeper with Convolutions, 2015",
        parameters=5_599_904,
        weights=imagenet_weights(
            "googlenet-1378be20.pth",
            sha256="1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef",
            size=52_147_000,
        ),
        normalisation=HALF,
        auxiliary=("inception4a", "inception4d"),
    ),
)
