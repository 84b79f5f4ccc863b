"""MobileNet v2: inverted residuals with linear bottlenecks."""

from ..spec import Tap
from .imagenet import classifier, imagenet_weights

SPECS = (
    classifier(
        "mobilenet_v2",
        "MobileNet v2: inverted residuals, 300 million multiply-accumulates",
        (
            Tap("conv1", 32, 2),
            Tap("bottleneck1", 16, 2),
            Tap("bottleneck2", 24, 4),
            Tap("bottleneck3", 32, 8),
            Tap("bottleneck5", 96, 16),
            Tap("bottleneck7", 320, 32),
            Tap("conv2", 1280, 32),
        ),
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
