"""Residual face networks with squeeze and excitation."""

from ..spec import HALF, SIGNED, Alignment, BackboneSpec, Tap, falling_weights
from .imagenet import OWN

SPECS = (
    BackboneSpec(
        name="iresnet_se",
        summary="IResNet-SE: a small residual face recogniser that is aligned by the eyes alone",
        taps=(
            Tap("stem", 32, 2),
            Tap("stage1", 48, 4),
            Tap("stage2", 96, 8),
            Tap("stage3", 128, 16),
        ),
        content_taps=("stage2",),
        style_taps=("stem", "stage1", "stage2", "stage3"),
        style_tap_weights=falling_weights(4),
        input_size=(96, 96),
        alignment=Alignment.EYES,
        normalisation=SIGNED,
        embedding_size=128,
        weights=(),
        licence=OWN,
        paper=(
            "J. Deng, J. Guo, N. Xue, S. Zafeiriou: ArcFace, 2019; J. Hu, L. Shen, G. "
            "Sun: Squeeze-and-Excitation Networks, 2018"
        ),
        parameters=1_147_888,
    ),
    BackboneSpec(
        name="ir_se50",
        summary="IR-SE-50: ArcFace's residual network with squeeze and excitation, to train",
        taps=(
            Tap("stem", 64, 1),
            Tap("stage1", 64, 2),
            Tap("stage2", 128, 4),
            Tap("stage3", 256, 8),
            Tap("stage4", 512, 16),
        ),
        content_taps=("stage3",),
        style_taps=("stem", "stage1", "stage2", "stage3"),
        style_tap_weights=falling_weights(4),
        input_size=(112, 112),
        alignment=Alignment.FIVE_POINT,
        normalisation=HALF,
        embedding_size=512,
        weights=(),
        licence=OWN,
        paper=(
            "J. Deng, J. Guo, N. Xue, S. Zafeiriou: ArcFace, 2019; J. Hu, L. Shen, G. "
            "Sun: Squeeze-and-Excitation Networks, 2018"
        ),
        parameters=43_797_696,
    ),
)
