"""MobileNet v1: depthwise separable convolutions, of a width α and for any resolution ρ."""

from ..spec import BackboneSpec, Tap
from .imagenet import OWN, classifier

WIDTHS = {
    "mobilenet_v1": 1.0,
    "mobilenet_v1_x0_75": 0.75,
    "mobilenet_v1_x0_5": 0.5,
    "mobilenet_v1_x0_25": 0.25,
}
"""α of each registered member."""


def channels_of(name: str, width: float, channels: int) -> int:
    """Channels of a layer.

    Args:
        name: Of a member.
        width: How many times as wide as registered.
        channels: At α = 1.
    """
    return max(1, round(WIDTHS[name] * width * channels))


def taps_of(name: str, width: float) -> tuple[Tap, ...]:
    """The taps of a member, so many times as wide."""
    return tuple(
        Tap(tap, channels_of(name, width, channels), stride)
        for tap, channels, stride in (
            ("conv1", 32, 2),
            ("separable1", 64, 2),
            ("separable3", 128, 4),
            ("separable5", 256, 8),
            ("separable11", 512, 16),
            ("separable13", 1024, 32),
        )
    )


def _mobilenet(name: str, parameters: int) -> BackboneSpec:
    return classifier(
        name,
        f"MobileNet v1 of width {WIDTHS[name]:g}: depthwise separable convolutions",
        taps_of(name, 1.0),
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
    _mobilenet("mobilenet_v1", 3_206_976),
    _mobilenet("mobilenet_v1_x0_75", 1_816_560),
    _mobilenet("mobilenet_v1_x0_5", 818_592),
    _mobilenet("mobilenet_v1_x0_25", 213_072),
)
