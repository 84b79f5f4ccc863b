"""Xception: Inception modules taken to depthwise separable convolutions."""

from ..spec import HALF, Tap
from .imagenet import OWN, classifier

SPECS = (
    classifier(
        "xception",
        "Xception: residual blocks of separable convolutions, made for images of 299 pixels",
        (
            Tap("conv2", 64, 2, least=9),
            Tap("block2", 128, 4, least=11),
            Tap("block3", 256, 8),
            Tap("block4", 728, 16),
            Tap("block12", 728, 16),
            Tap("block13", 1024, 32),
            Tap("conv4", 2048, 32),
        ),
        content="block4",
        style=("conv2", "block2", "block3", "block4"),
        paper="F. Chollet: Xception: Deep Learning with Depthwise Separable Convolutions, 2017",
        parameters=20_806_952,
        normalisation=HALF,
        side=299,
        licence=OWN,
    ),
)
