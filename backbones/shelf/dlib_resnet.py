"""dlib's face network."""

from ..spec import Alignment, BackboneSpec, Normalisation, Tap, falling_weights
from .imagenet import OWN

SPECS = (
    BackboneSpec(
        name="dlib_resnet",
        summary="dlib's ResNet: a face recogniser in the public domain",
        taps=(
            Tap("stem", 32, 2, least=9),
            Tap("stage1", 32, 4, least=15),
            Tap("stage2", 64, 8, least=23),
            Tap("stage3", 128, 16, least=39),
            Tap("stage4", 256, 32, least=71),
        ),
        content_taps=("stage3",),
        style_taps=("stem", "stage1", "stage2", "stage3"),
        style_tap_weights=falling_weights(4),
        input_size=(150, 150),
        alignment=Alignment.DLIB,
        # dlib subtracts the means from bytes and divides by 256.
        normalisation=Normalisation(
            mean=(122.782 / 255, 117.001 / 255, 104.298 / 255),
            std=(256 / 255, 256 / 255, 256 / 255),
        ),
        embedding_size=128,
        weights=(),
        licence=OWN,
        paper=(
            "K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image "
            "Recognition, 2016; D. King: dlib, 2017"
        ),
        parameters=5_607_488,
    ),
)
