"""ViT-S: a Transformer over patches of 16 pixels."""

from ..spec import HALF, Tap
from .imagenet import TORCHVISION, classifier

SPECS = (
    classifier(
        "vit_small_16",
        "ViT-S/16: a Transformer over patches of 16 pixels; it wants much data",
        (
            Tap("patches", 384, 16),
            Tap("block3", 384, 16),
            Tap("block6", 384, 16),
            Tap("block9", 384, 16),
            Tap("block12", 384, 16),
        ),
        content="block6",
        style=("patches", "block3", "block6", "block9"),
        paper=(
            "A. Dosovitskiy et al.: An Image is Worth 16x16 Words, 2021; with an average in the "
            "place of the class token: L. Beyer, X. Zhai, A. Kolesnikov, 2022"
        ),
        parameters=21_664_896,
        normalisation=HALF,
        licence=TORCHVISION,
    ),
)
