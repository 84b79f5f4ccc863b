"""MobileFaceNet."""

from ..spec import SIGNED, Alignment, BackboneSpec, Tap, falling_weights
from .imagenet import OWN

SPECS = (
    BackboneSpec(
        name="mobilefacenet",
        summary="MobileFaceNet: a small face recogniser",
        taps=(
            Tap("conv1", 64, 2),
            Tap("stage2", 64, 4),
            Tap("stage3", 128, 8),
            Tap("stage4", 128, 16),
            Tap("conv2", 512, 16),
        ),
        content_taps=("stage3",),
        style_taps=("conv1", "stage2", "stage3", "stage4"),
        style_tap_weights=falling_weights(4),
        input_size=(112, 112),
        alignment=Alignment.FIVE_POINT,
        normalisation=SIGNED,
        embedding_size=128,
        weights=(),
        licence=OWN,
        paper=(
            "S. Chen, Y. Liu, X. Gao, Z. Han: MobileFaceNets: Efficient CNNs for "
            "Accurate Real-Time Face Verification on Mobile Devices, 2018"
        ),
        parameters=1_003_136,
    ),
)
