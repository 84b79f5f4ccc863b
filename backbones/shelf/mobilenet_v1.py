"""MobileNet v1: depthwise separable convolutions, of a width α and for any resolution ρ."""

from ..spec import BackboneSpec, Tap
from .imagenet import OWN, classifier


def _mobilenet(suffix: str, width: float, parameters: int) -> BackboneSpec:
    return classifier(
        f"mobilenet_v1{suffix}",
        f"MobileNet v1 of width {width:g}: depthwise separable convolutions",
        tuple(
            Tap(name, round(width * channels), stride)
            for name, channels, stride in (
                ("conv1", 32, 2),
                ("separable1", 64, 2),
                ("separable3", 128, 4),
                ("separable5", 256, 8),
                ("separable11", 512, 16),
                ("separable13", 1024, 32),
            )
        ),
        content="separable5",
        style=("separable1", "separable3", "separable5", "separable11"),
        paper=(
            "A. Howard et al.: MobileNets: Efficient Convolutional Neural Networks for Mobile "
            "Vision Applications, 2017"
        ),
        parameters=parameters,
        licence=OWN,
    )


SPECS = (
    _mobilenet("", 1.0, 3_206_976),
    _mobilenet("_x0_75", 0.75, 1_816_560),
    _mobilenet("_x0_5", 0.5, 818_592),
    _mobilenet("_x0_25", 0.25, 213_072),
)
