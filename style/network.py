"""What looks at the picture: a backbone cut off behind the last tap, as a painter needs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from backbones.features import FeatureExtractor
from backbones.network import Backbone

_MARGIN = 8  # px that a picture is continued on every side


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleNetwork:
    """A frozen network as a painter needs it.

    Attributes:
        extract: Picture (1, 3, H, W) in [0, 1] → activations (1, C, H', W') by tap name.
        content_taps: Taps at which the content is compared → weight; only the ratios matter.
        style_taps: Taps at which the style is compared → weight; only the ratios matter.
        stride: Stride of the deepest of these taps, px.
        margin: Pixels by which `extract` continues the picture on every side.
    """

    extract: Callable[[Tensor], Mapping[str, Tensor]]
    content_taps: Mapping[str, float]
    style_taps: Mapping[str, float]
    stride: int
    margin: int = 0

    @classmethod
    def of(cls, backbone: Backbone) -> Self:
        """The network of a backbone, cut off behind the last tap that its spec calls for.

        Pictures are continued beyond their borders first. Otherwise the outermost pixels lie
        under fewer filters than all others, and under filters that see padding: they drift away
        and frame the picture in strange colours.
        """
        spec = backbone.spec
        taps = tuple(dict.fromkeys((*spec.content_taps, *spec.style_taps)))
        extractor = FeatureExtractor(backbone, taps)
        extractor.to(memory_format=torch.channels_last)  # the faster order for convolutions
        return cls(
            extract=nn.Sequential(nn.ReplicationPad2d(_MARGIN), extractor),
            content_taps=dict.fromkeys(spec.content_taps, 1.0),
            style_taps=dict(zip(spec.style_taps, spec.style_tap_weights, strict=True)),
            stride=max(spec.tap(tap).stride for tap in taps),
            margin=_MARGIN,
        )
