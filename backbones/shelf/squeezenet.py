"""SqueezeNet: AlexNet's accuracy with a million weights; taps named as in its Table 1."""

from ..spec import Tap
from .imagenet import classifier, imagenet_weights

_PAPER = (
    "F. Iandola, S. Han, M. Moskewicz, K. Ashraf, W. Dally, K. Keutzer: SqueezeNet: AlexNet-level "
    "accuracy with 50x fewer parameters and <0.5MB model size, 2016"
)

SPECS = (
    classifier(
        "squeezenet1_0",
        "SqueezeNet 1.0: a small network for style at small cost",
        (
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
        content="fire5",
        style=("relu1", "fire2", "fire4", "fire6", "fire9"),
        paper=_PAPER,
        parameters=735_424,
        weights=imagenet_weights(
            "squeezenet1_0-b66bff10.pth",
            sha256="b66bff10",  # no project that was found pins all of it
            size=5_010_000,
            short_digest=(
                "Only the first 8 of the 64 digits of this file's SHA-256 are published: they tell "
                "a damaged file, not one that somebody has forged to fit them."
            ),
        ),
    ),
    classifier(
        "squeezenet1_1",
        "SqueezeNet 1.1: the same at less than half of its cost",
        (
            Tap("relu1", 64, 2, least=5),
            Tap("fire2", 128, 4, least=9),
            Tap("fire3", 128, 4, least=9),
            Tap("fire4", 256, 8, least=17),
            Tap("fire5", 256, 8, least=17),
            Tap("fire6", 384, 16, least=33),
            Tap("fire7", 384, 16, least=33),
            Tap("fire8", 512, 16, least=33),
            Tap("fire9", 512, 16, least=33),
        ),
        content="fire5",
        style=("relu1", "fire2", "fire4", "fire6", "fire9"),
        paper=_PAPER,
        parameters=722_496,
        weights=imagenet_weights(
            "squeezenet1_1-b8a52dc0.pth",
            sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
            size=4_958_839,
        ),
    ),
)
