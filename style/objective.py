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
from .portraits import Penalty
from .regions import Area, at_tap, photograph_stays

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
        margin: Pixels by which `extract` continues the picture on every side.
    """

    extract: Callable[[Tensor], Mapping[str, Tensor]]
    content_taps: tuple[str, ...]
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
            content_taps=spec.content_taps,
            style_taps=dict(zip(spec.style_taps, spec.style_tap_weights, strict=True)),
            stride=max(spec.tap(tap).stride for tap in taps),
            margin=_MARGIN,
        )


class Objective:
    """Content, style and smoothness of a picture at one scale.

    Everything that does not change while the picture does is computed here, once.
    """

    def __init__(
        self,
        network: StyleNetwork,
        content: Tensor,
        areas: Sequence[Area],
        config: StyleConfig,
        penalty: Penalty | None = None,
    ) -> None:
        """Look at the targets.

        Args:
            network: Its weights are frozen.
            content: (1, 3, H, W) in [0, 1], at the size of this scale.
            areas: What is painted where, at this size; one for the whole picture, or several that
                share it out.
            config: Weights of the losses.
            penalty: One more term.
        """
        self._network = network
        self._photograph = content
        self._stays = photograph_stays(areas)
        with torch.no_grad():
            seen = network.extract(content)
            painted = [area for area in areas if area.styles]
            self._areas = [_AreaLosses(network, seen, area) for area in painted]
        strengths = content.new_tensor([area.strength for area in painted])
        self._content_weights = 2 * _CONTENT * config.content_weight * (1 - strengths)
        self._style_weights = 2 * _STYLE * config.style_weight * strengths
        self._variation_weight = _VARIATION * config.tv_weight
        self._penalty = penalty
        self._penalise = None if penalty is None else penalty.of(content)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """The losses of a picture (1, 3, H, W).

        Returns:
            Scalars by name: "content", "style", "total_variation", and "total", which is the
            weighted sum and the only one to differentiate; and the penalty's by its own name.
        """
        image = self.shown(image)
        activations = self._network.extract(image)
        contents = torch.stack([area.content(activations) for area in self._areas])
        styles = torch.stack([area.style(activations) for area in self._areas])
        variation = total_variation(image)
        total = (
            self._content_weights @ contents
            + self._style_weights @ styles
            + self._variation_weight * variation
        )
        losses = {
            "content": contents.sum(),
            "style": styles.sum(),
            "total_variation": variation,
            "total": total,
        }
        if self._penalty and self._penalise:
            losses[self._penalty.name] = penalty = self._penalise(image)
            losses["total"] = total + self._penalty.weight * penalty
        return losses

    def shown(self, image: Tensor) -> Tensor:
        """A picture (1, 3, H, W) with the photograph in its place where that stays."""
        return image if self._stays is None else image.lerp(self._photograph, self._stays)


class _AreaLosses:
    """Content and style of one area."""

    def __init__(self, network: StyleNetwork, seen: Mapping[str, Tensor], area: Area) -> None:
        """Look at its styles; `seen` are the activations of the content."""
        shares = {
            tap: None if area.share is None else at_tap(area.share, features, network.margin)
            for tap, features in seen.items()
        }
        looks = [network.extract(style) for style in area.styles]
        self.content = _Weighted(
            {tap: ContentLoss([seen[tap]], share=shares[tap]) for tap in network.content_taps},
            dict.fromkeys(network.content_taps, 1.0),
        )
        self.style = _Weighted(
            {
                tap: GramLoss([look[tap] for look in looks], area.mix, share=shares[tap])
                for tap in network.style_taps
            },
            network.style_taps,
        )


class _Weighted:
    """The weighted mean of one loss a tap."""

    def __init__(self, losses: Mapping[str, RelativeLoss], weights: Mapping[str, float]) -> None:
        whole = sum(weights.values())
        self._parts = [(tap, loss, weights[tap] / whole) for tap, loss in losses.items()]

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        scores = [share * loss(activations[tap]) for tap, loss, share in self._parts]
        return torch.stack(scores).sum()
