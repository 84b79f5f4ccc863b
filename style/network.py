"""What looks at the picture: a backbone cut off behind the last tap."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from backbones.features import FeatureExtractor
from backbones.network import Backbone
from backbones.spec import BackboneSpec
from data.errors import ArgumentError, StyleError

from .config import PaintingPrecision, StyleConfig
from .scales import size_of

# What looks at the picture: a backbone cut off behind the last tap, as a painter needs it.


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
        own = _detail_taps(spec) if config.compares_detail else spec.content_taps
        content = _weighted(spec, config.content_taps or own, config, "content")
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


def _detail_taps(spec: BackboneSpec) -> tuple[str, ...]:
    """The style taps from the second up to the depth of the content taps; without any, the latter.

    The shallowest is left out: there the photograph's very pixels are held, colours and all.
    """
    deepest = max(spec.tap(tap).stride for tap in spec.content_taps)
    found = tuple(tap for tap in spec.style_taps[1:] if spec.tap(tap).stride <= deepest)
    return found or spec.content_taps


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


def _precision(precision: PaintingPrecision, device: torch.device) -> torch.dtype:
    """In what the network computes; automatically bfloat16 where the processor has it natively.

    Elsewhere it is emulated, and far slower than float32.
    """
    if precision is PaintingPrecision.AUTO:
        native = (
            torch.cuda.get_device_capability(device) >= (8, 0)
            if device.type == "cuda"
            else torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
        precision = PaintingPrecision.BFLOAT16 if native else PaintingPrecision.FLOAT32
    return torch.bfloat16 if precision is PaintingPrecision.BFLOAT16 else torch.float32


# How far each tap of a network sees: measured, so that it holds for every network there is.
#
# A NaN survives convolution, rectifier, pooling and normalisation, whatever the weights. Where it
# arrives in a feature map tells which places see the pixels that it was put into.

_SHORTEST, _LONGEST = 16, 512  # of a strip, in strides


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What a tap sees: place `i` looks at the pixels from i·stride − before to i·stride + after.

    Attributes:
        stride: Pixels between neighbouring places.
        before: Pixels before the place's first one; less than a stride too many at most.
        after: Pixels from there on; the same.
    """

    stride: int
    before: int
    after: int


def measure_views(
    extract: Callable[[Tensor], Mapping[str, Tensor]], stride: int, like: Tensor
) -> dict[str, ReceptiveField]:
    """The view of each tap, alike across and down.

    Args:
        extract: Picture (1, 3, H, W) → activations (1, C, H', W') by tap name.
        stride: A multiple of the strides of all taps, px.
        like: A picture of the type and on the device that `extract` wants.

    Raises:
        StyleError: A tap sees farther than any tile could reach: normalisation over the picture,
            for example.
    """
    with torch.no_grad(), _plain_convolutions():
        down = _views(extract, stride, like)
        across = _views(lambda strip: _turned(extract(strip.mT)), stride, like)
    return {
        tap: ReceptiveField(
            view.stride,
            max(view.before, across[tap].before),
            max(view.after, across[tap].after),
        )
        for tap, view in down.items()
    }


@contextlib.contextmanager
def _plain_convolutions() -> Iterator[None]:
    """Convolutions that touch what they see and nothing else.

    The fast ones mix neighbours, or multiply what lies behind a row's end by 0, which is NaN again.
    """
    with warnings.catch_warnings():  # of a setting for Intel's GPUs, which is handed back unchanged
        warnings.simplefilter("ignore")
        cudnn, onednn = torch.backends.cudnn, torch.backends.mkldnn
        with cudnn.flags(enabled=False), onednn.flags(enabled=False):
            yield


def _turned(activations: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {tap: features.mT for tap, features in activations.items()}


def _views(
    extract: Callable[[Tensor], Mapping[str, Tensor]], stride: int, like: Tensor
) -> dict[str, ReceptiveField]:
    """The view of each tap downwards, on a strip that is made longer until it holds all of it."""
    strides = _strides(extract, stride, like)
    factor = _SHORTEST
    while factor <= _LONGEST:
        edge = stride * factor // 2
        strip = _strip(stride * factor, stride, like)
        strip[..., edge:, :] = torch.nan
        below = {tap: _rows_reached(features) for tap, features in extract(strip).items()}
        strip = _strip(stride * factor, stride, like)
        strip[..., :edge, :] = torch.nan
        above = {tap: _rows_reached(features) for tap, features in extract(strip).items()}
        if all(not below[tap][0] and not above[tap][-1] for tap in strides):
            return {tap: _view(step, edge, below[tap], above[tap]) for tap, step in strides.items()}
        factor *= 2
    raise StyleError(
        "every place of this network sees the whole picture, so that it cannot paint in tiles: "
        "choose another network, or a size that fits the memory"
    )


def _view(stride: int, edge: int, below: Tensor, above: Tensor) -> ReceptiveField:
    """From the rows that see the NaNs below an edge, px, and those that see the ones above it."""
    blind = int((~below).sum()) - 1  # the last row that sees nothing below the edge
    first = int(above.sum())  # the first one that sees nothing above it
    return ReceptiveField(stride, before=first * stride - edge, after=edge - 1 - blind * stride)


def _strides(
    extract: Callable[[Tensor], Mapping[str, Tensor]], stride: int, like: Tensor
) -> dict[str, int]:
    """The stride of each tap: what a strip's length grows by over what its map grows by."""
    lengths = (stride * _SHORTEST, stride * (_SHORTEST + 1))
    short, long = (extract(_strip(length, stride, like)) for length in lengths)
    return {
        tap: stride // (size_of(long[tap])[0] - size_of(features)[0])
        for tap, features in short.items()
    }


def _strip(length: int, stride: int, like: Tensor) -> Tensor:
    """A grey strip (1, 3, length, W), wide enough for the network's deepest tap."""
    return like.new_full((1, 3, length, max(16, 4 * stride)), 0.5)


def _rows_reached(features: Tensor) -> Tensor:
    """Which rows (H',) of a map (1, C, H', W') hold a NaN."""
    return features.isnan().any(dim=3).any(dim=1).flatten()
