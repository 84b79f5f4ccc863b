"""ConvNeXt-T: a convolutional network with the proportions of a Transformer."""

from ..spec import Tap
from .imagenet import classifier, imagenet_weights

SPECS = (
    classifier(
        "convnext_tiny",
        "ConvNeXt-T: 7×7 depthwise convolutions and layer norm",
        (
            Tap("stem", 96, 4),
            Tap("stage1", 96, 4),
            Tap("stage2", 192, 8),
            Tap("stage3", 384, 16),
            Tap("stage4", 768, 32),
        ),
        content="stage3",
        style=("stem", "stage1", "stage2", "stage3"),
        paper=(
            "Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie: A ConvNet for the "
            "2020s, 2022"
        ),
        parameters=27_818_592,
        weights=imagenet_weights(
            "convnext_tiny-983f1562.pth",
            sha256="983f1562536e84ff750a1576fb08e54de751dbf2e17c0d8a4a13704341fdcd3d",
            size=114_419_221,
        ),
    ),
)
