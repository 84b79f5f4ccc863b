"""ShuffleNet v2: channels split and shuffled, made for the time it takes."""

from ..spec import BackboneSpec, Tap
from .imagenet import classifier


def _shufflenet(width: str, channels: tuple[int, int, int], parameters: int) -> BackboneSpec:
    second, third, fourth = channels
    return classifier(
        f"shufflenet_v2_{width}",
        f"ShuffleNet v2 {width.replace('_', '.')}: half of the channels pass each block unchanged",
        (
            Tap("conv1", 24, 2),
            Tap("stage2", second, 8),
            Tap("stage3", third, 16),
            Tap("stage4", fourth, 32),
            Tap("conv5", 1024, 32),
        ),
        content="stage3",
        style=("conv1", "stage2", "stage3"),
        paper=(
            "N. Ma, X. Zhang, H.-T. Zheng, J. Sun: ShuffleNet V2: Practical Guidelines for "
            "Efficient CNN Architecture Design, 2018"
        ),
        parameters=parameters,
    )


SPECS = (
    _shufflenet("x0_5", (48, 96, 192), 341_792),
    _shufflenet("x1_0", (116, 232, 464), 1_253_604),
)
