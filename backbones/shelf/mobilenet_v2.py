"""MobileNet v2: inverted residuals with linear bottlenecks."""

from ..spec import Tap
from .imagenet import classifier, imagenet_weights


def taps_of(_name: str, width: float) -> tuple[Tap, ...]:
    """The taps of MobileNet v2 of a width α; its last layer does not get narrower."""
    rows = (
        ("conv1", 32, 2),
        ("bottleneck1", 16, 2),
        ("bottleneck2", 24, 4),
        ("bottleneck3", 32, 8),
        ("bottleneck5", 96, 16),
        ("bottleneck7", 320, 32),
    )
    taps = [Tap(name, _eighths(width * channels), stride) for name, channels, stride in rows]
    return (*taps, Tap("conv2", _eighths(1280 * max(1.0, width)), 32))


def _eighths(channels: float) -> int:
    """The multiple of eight next to it, but not a tenth below it (as the authors have it)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


SPECS = (
    classifier(
        "mobilenet_v2",
        "MobileNet v2: inverted residuals, 300 million multiply-accumulates",
        taps_of("mobilenet_v2", 1.0),
        content="bottleneck5",
        style=("conv1", "bottleneck2", "bottleneck3", "bottleneck5"),
        paper=(
            "M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen: MobileNetV2: Inverted "
            "Residuals and Linear Bottlenecks, 2018"
        ),
        parameters=2_223_872,
        weights=imagenet_weights(
            "mobilenet_v2-b0353104.pth",
            sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
            size=14_213_000,
        ),
    ),
)
