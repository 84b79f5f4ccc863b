"""What a picture is asked to be: the losses of one scale, weighted and summed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from backbones.features import FeatureExtractor
from backbones.network import Backbone

from .config import StyleConfig
from .losses import ContentLoss, GramLoss, RelativeLoss, total_variation

_MARGIN = 8  # px that a picture is continued on every side
_CONTENT, _STYLE, _VARIATION = 0.2, 1.0, 5.0  # at weights of 1, a balance found by looking


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleNetwork:
    """A frozen network as a painter needs it.

    Attributes:
        extract: Picture (1, 3, H, W) in [0, 1] → activations (1, C, H', W') by tap name.
        content_taps: Taps at which the content is compared, each with the same share.
        style_taps: Taps at which the style is compared → weight; only the ratios matter.
        stride: Stride of the deepest of these taps, px.
    """

    extract: Callable[[Tensor], Mapping[str, Tensor]]
    content_taps: tuple[str, ...]
    style_taps: Mapping[str, float]
    stride: int

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
            content_taps=spec.content_taps,
            style_taps=dict(zip(spec.style_taps, spec.style_tap_weights, strict=True)),
            stride=max(spec.tap(tap).stride for tap in taps),
        )


class Objective:
    """Content, style and smoothness of a picture at one scale.

    Everything that does not change while the picture does is computed here, once.
    """

    def __init__(
        self,
        network: StyleNetwork,
        content: Tensor,
        styles: Sequence[Tensor],
        config: StyleConfig,
    ) -> None:
        """Look at the targets.

        Args:
            network: Its weights are frozen.
            content: (1, 3, H, W) in [0, 1], at the size of this scale.
            styles: Each (1, 3, H, W) in [0, 1], at sizes of their own.
            config: Weights of the losses and of the styles.
        """
        self._network = network
        self._config = config
        mix = config.style_mix or (1.0,) * len(styles)
        with torch.no_grad():
            seen = network.extract(content)
            self._content = _Weighted(
                {tap: ContentLoss([seen[tap]]) for tap in network.content_taps},
                dict.fromkeys(network.content_taps, 1.0),
            )
            looks = [network.extract(style) for style in styles]
            self._style = _Weighted(
                {tap: GramLoss([look[tap] for look in looks], mix) for tap in network.style_taps},
                network.style_taps,
            )

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """The losses of a picture (1, 3, H, W).

        Returns:
            Scalars by name: "content", "style", "total_variation", and "total", which is the
            weighted sum and the only one to differentiate.
        """
        activations = self._network.extract(image)
        content = self._content(activations)
        style = self._style(activations)
        variation = total_variation(image)
        total = (
            self._config.content_weight * _CONTENT * content
            + self._config.style_weight * _STYLE * style
            + self._config.tv_weight * _VARIATION * variation
        )
        return {"content": content, "style": style, "total_variation": variation, "total": total}


class _Weighted:
    """The weighted mean of one loss a tap."""

    def __init__(self, losses: Mapping[str, RelativeLoss], weights: Mapping[str, float]) -> None:
        whole = sum(weights.values())
        self._parts = [(tap, loss, weights[tap] / whole) for tap, loss in losses.items()]

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        scores = [share * loss(activations[tap]) for tap, loss, share in self._parts]
        return torch.stack(scores).sum()
