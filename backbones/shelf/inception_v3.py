"""Inception v3: factorised convolutions."""

from ..spec import HALF, Tap
from .imagenet import classifier, imagenet_weights

SPECS = (
    classifier(
        "inception_v3",
        "Inception v3: factorised convolutions, for 299 pixels; an auxiliary head in training",
        (
            Tap("conv2b", 64, 2, least=9),
            Tap("conv4a", 192, 4, least=23),
            Tap("mixed5d", 288, 8, least=35),
            Tap("mixed6e", 768, 16, least=59),
            Tap("mixed7c", 2048, 32, least=107),
        ),
        content="mixed5d",
        style=("conv2b", "conv4a", "mixed5d", "mixed6e"),
        paper=(
            "C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna: Rethinking the Inception "
            "Architecture for Computer Vision, 2016"
        ),
        parameters=21_785_568,
        weights=imagenet_weights(
            "inception_v3_google-0cc3c7bd.pth",
            sha256="0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
            size=108_949_747,
        ),
        normalisation=HALF,
        side=299,
        auxiliary=("mixed6e",),
    ),
)
