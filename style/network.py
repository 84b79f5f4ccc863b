"""What looks at the picture: a backbone cut off behind the last tap, as a painter needs it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from backbones.features import FeatureExtractor
from backbones.network import Backbone
from backbones.spec import BackboneSpec
from data.errors import ArgumentError

from .config import Precision, StyleConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleNetwork:
    """A frozen network as a painter needs it.

    Attributes:
        extract: Picture (1, 3, H, W) in [0, 1] → activations (1, C, H', W') by tap name.
        content_taps: Taps at which the content is compared → weight; only the ratios matter.
        style_taps: Taps at which the style is compared → weight; only the ratios matter.
        stride: Stride of the deepest of these taps, px.
        least: Shorter side of a picture, px, from which on each of them has two cells each way; 0:
            twice the stride.
    """

    extract: Callable[[Tensor], Mapping[str, Tensor]]
    content_taps: Mapping[str, float]
    style_taps: Mapping[str, float]
    stride: int
    least: int = 0

    @property
    def least_side(self) -> int:
        """Shorter side, px, of the smallest picture that it can be painted by."""
        return max(self.least, 2 * self.stride)

    @classmethod
    def of(cls, backbone: Backbone, config: StyleConfig | None = None) -> Self:
        """The network of a backbone, cut off behind the last tap that is looked at.

        Its first convolution sees the picture continued beyond its borders, by half a kernel of
        repeated pixels (K. Crowson's style-transfer-pytorch), and so do the others, departing
        from her, their maps: what is padded by zeros is painted with a frame of stripes.

        Args:
            backbone: On its device.
            config: Taps and their weights, pooling, precision; None for the usual ones.

        Raises:
            ArgumentError: The backbone has no such tap, or not as many as there are weights.
        """
        config = config or StyleConfig()
        spec = backbone.spec
        content = _weighted(spec, config.content_taps or spec.content_taps, config, "content")
        style = _weighted(spec, config.style_taps or spec.style_taps, config, "style")
        taps = tuple(dict.fromkeys((*content, *style)))
        extractor = FeatureExtractor(
            backbone,
            taps,
            pooling=config.pooling,
            continued=True,
            dtype=_precision(config.precision, next(backbone.parameters()).device),
        )
        extractor.to(memory_format=torch.channels_last)  # the faster order for convolutions
        return cls(
            extract=extractor,
            content_taps=content,
            style_taps=style,
            stride=max(spec.tap(tap).stride for tap in taps),
            least=max(spec.tap(tap).least_side for tap in taps),
        )


def _weighted(
    spec: BackboneSpec, taps: Sequence[str], config: StyleConfig, kind: str
) -> dict[str, float]:
    """The weights by tap that are asked for; or else those of the spec, or equal ones.

    Raises:
        ArgumentError: There is no such tap, or there are more or fewer weights than taps.
    """
    for tap in taps:
        spec.tap(tap)
    weights: Sequence[float] = getattr(config, f"{kind}_tap_weights")
    if not weights:
        published = dict(zip(spec.style_taps, spec.style_tap_weights, strict=True))
        known = kind == "style" and set(taps) <= set(published)
        weights = [published[tap] if known else 1.0 for tap in taps]
    if len(weights) != len(taps):
        raise ArgumentError(
            f"{kind}_tap_weights has {len(weights)} weights for {len(taps)} taps "
            f"({', '.join(taps)}): give one for each, or none"
        )
    return dict(zip(taps, weights, strict=True))


def _precision(precision: Precision, device: torch.device) -> torch.dtype:
    """In what the network computes; automatically bfloat16 where the processor has it natively.

    Elsewhere it is emulated, and far slower than float32.
    """
    if precision is Precision.AUTO:
        native = (
            torch.cuda.get_device_capability(device) >= (8, 0)
            if device.type == "cuda"
            else torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
        precision = Precision.BFLOAT16 if native else Precision.FLOAT32
    return torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float32
