"""MobileNet v3: searched for, with squeeze and excitation and hard swish."""

from ..spec import BackboneSpec, Tap, WeightsSource
from .imagenet import classifier, imagenet_weights


def _mobilenet(
    size: str,
    channels: tuple[int, ...],
    strides: tuple[int, ...],
    parameters: int,
    weights: tuple[WeightsSource, ...],
) -> BackboneSpec:
    taps = tuple(
        Tap(f"stage{i}", width, stride)
        for i, (width, stride) in enumerate(zip(channels, strides, strict=True))
    )
    content = next(tap.name for tap in reversed(taps) if tap.stride == 16)
    return classifier(
        f"mobilenet_v3_{size}",
        f"MobileNet v3, {size}: searched for by its time on a telephone",
        taps,
        content=content,
        style=("stage0", "stage2", "stage3", content),
        paper="A. Howard et al.: Searching for MobileNetV3, 2019",
        parameters=parameters,
        weights=weights,
    )


SPECS = (
    _mobilenet(
        "small",
        (16, 16, 24, 48, 96, 576),
        (2, 4, 8, 16, 32, 32),
        927_008,
        imagenet_weights(
            "mobilenet_v3_small-047dcff4.pth",
            sha256="047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
            size=10_306_551,
        ),
    ),
    _mobilenet(
        "large",
        (16, 16, 24, 40, 112, 160, 960),
        (2, 2, 4, 8, 16, 32, 32),
        2_971_952,
        imagenet_weights(
            "mobilenet_v3_large-8738ca79.pth",
            sha256="8738ca797c879b547d18bbd15da5736ff2557b2036a9af72225393ca61759a04",
            size=22_139_423,
        ),
    ),
)
