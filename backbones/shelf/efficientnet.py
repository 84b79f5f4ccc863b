"""EfficientNet-B0: depth, width and resolution in proportion."""

from ..spec import Tap
from .imagenet import classifier, imagenet_weights

SPECS = (
    classifier(
        "efficientnet_b0",
        "EfficientNet-B0: the smallest of its family, 390 million multiply-accumulates",
        (
            Tap("stem", 32, 2),
            Tap("stage1", 16, 2),
            Tap("stage2", 24, 4),
            Tap("stage3", 40, 8),
            Tap("stage5", 112, 16),
            Tap("stage7", 320, 32),
            Tap("conv", 1280, 32),
        ),
        content="stage5",
        style=("stem", "stage2", "stage3", "stage5"),
        paper=(
            "M. Tan, Q. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural "
            "Networks, 2019"
        ),
        parameters=4_007_548,
        weights=imagenet_weights(
            "efficientnet_b0_rwightman-7f5810bc.pth",
            sha256="7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",
            size=21_444_401,
        ),
    ),
)
