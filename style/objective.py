"""What a picture is asked to be: the losses of one scale, weighted and summed.

The parts are there one by one too, for a picture that is looked at tile by tile: `AreaContent` of
each tile sums to that of the picture, moments of tiles add up to what `AreaStyle` wants, and
`Balance` makes one sum of all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .config import StyleConfig, StyleLossKind
from .losses import ContentLoss, Moments, style_loss, total_variation
from .network import StyleNetwork
from .regions import Area, at_tap, photograph_stays

# At weights of 1, a balance found by looking: photograph and style are both there at a strength of
# a half. Gram matrices are products of activations, so their distances fall twice as fast.
_CONTENT, _VARIATION = 1 / 60, 0.15
_DETAIL = 1 / 4  # of that where content is compared in detail: so the picture is as far from it
_STYLE = {StyleLossKind.MOMENTS: 1.0, StyleLossKind.GRAM: 1 / 30}

Shares = Mapping[str, Tensor | None]
"""By tap, how far each of its places belongs to an area, (1, 1, H', W'); None where all do."""


class StyleObjective:
    """Content, style and smoothness of a picture at one scale.

    Everything that does not change while the picture does is computed here, once.
    """

    def __init__(
        self,
        network: StyleNetwork,
        content: Tensor,
        areas: Sequence[Area],
        config: StyleConfig,
    ) -> None:
        """Look at the targets.

        Args:
            network: Its weights are frozen.
            content: (1, 3, H, W) in [0, 1], at the size of this scale.
            areas: What is painted where, at this size; one for the whole picture, or several that
                share it out.
            config: Weights and kinds of the losses.
        """
        self._network = network
        self._photograph = content
        self._stays = photograph_stays(areas)
        painted = [area for area in areas if area.styles]
        with torch.no_grad():
            seen = network.extract(content)
            self._shares = [shares_at_taps(area, seen) for area in painted]
            self._contents = [AreaContent(network, seen, shares) for shares in self._shares]
            self._styles = [
                None
                if _asks_no_style(area)
                else AreaStyle(network, area, [_look(network, it) for it in area.styles], config)
                for area in painted
            ]
        self._balance = Balance.of(painted, config, content)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """The losses of a picture (1, 3, H, W), as `Balance.losses` names them."""
        image = self.shown(image)
        activations = self._network.extract(image)
        contents = [content(activations) for content in self._contents]
        styles = [
            image.new_zeros(())
            if style is None
            else style(moments_at_taps(self._network, activations, shares))
            for style, shares in zip(self._styles, self._shares, strict=True)
        ]
        return self._balance.losses(
            torch.stack(contents), torch.stack(styles), total_variation(image)
        )

    def shown(self, image: Tensor) -> Tensor:
        """A picture (1, 3, H, W) with the photograph in its place where that stays."""
        return image if self._stays is None else image.lerp(self._photograph, self._stays)


class AreaContent:
    """The content loss of an area, or of a tile of it: the weighted mean over the taps."""

    def __init__(
        self,
        network: StyleNetwork,
        seen: Mapping[str, Tensor],
        shares: Shares,
        whole: Mapping[str, Moments] | None = None,
    ) -> None:
        """Remember the content.

        Args:
            network: Which taps count how much.
            seen: The content's activations by tap.
            shares: The area's.
            whole: The moments of the whole content by content tap, where `seen` is of a tile.
        """
        weights = _shares_of_one(network.content_taps)
        self._parts = [
            (
                tap,
                weight,
                ContentLoss(
                    seen[tap], whole=None if whole is None else whole[tap], share=shares[tap]
                ),
            )
            for tap, weight in weights.items()
        ]

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The loss of a picture's activations: a scalar."""
        return torch.stack([w * loss(activations[tap]) for tap, w, loss in self._parts]).sum()


class AreaStyle:
    """The style loss of an area: the weighted mean over the taps, times the area's size.

    So each place is pulled as hard as if the whole picture were to be like the style.
    """

    def __init__(
        self,
        network: StyleNetwork,
        area: Area,
        looks: Sequence[Mapping[str, Moments]],
        config: StyleConfig,
    ) -> None:
        """Mix the area's styles.

        Args:
            network: Which taps count how much.
            area: Its mix and its share count, its styles are not looked at.
            looks: Moments by style tap of each of its styles.
            config: The kind of the loss.
        """
        size = 1.0 if area.share is None else float(area.share.mean())
        self._parts = []
        for tap, weight in _shares_of_one(network.style_taps).items():
            target = Moments.mixed([look[tap] for look in looks], area.mix)
            self._parts.append((tap, size * weight, style_loss(config.style_loss, target)))

    def __call__(self, moments: Mapping[str, Moments]) -> Tensor:
        """The loss of the area's moments by style tap: a scalar."""
        return torch.stack([w * loss(moments[tap]) for tap, w, loss in self._parts]).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """How the losses are weighed against each other.

    Attributes:
        contents: A weight for each area's content loss, (A,).
        styles: A weight for each area's style loss, (A,).
        variation: The weight of the total variation.
    """

    contents: Tensor
    styles: Tensor
    variation: float

    @classmethod
    def of(cls, painted: Sequence[Area], config: StyleConfig, like: Tensor) -> Self:
        """The balance of areas that have styles, on the device and in the precision of `like`."""
        strengths = like.new_tensor([area.strength for area in painted])
        content = _CONTENT * (_DETAIL if config.compares_detail else 1)
        return cls(
            contents=2 * content * config.content_weight * (1 - strengths),
            styles=2 * _STYLE[config.style_loss] * config.style_weight * strengths,
            variation=_VARIATION * config.tv_weight,
        )

    def losses(self, contents: Tensor, styles: Tensor, variation: Tensor) -> dict[str, Tensor]:
        """The losses by name.

        Args:
            contents: Of each area, (A,).
            styles: Of each area, (A,).
            variation: A scalar.

        Returns:
            Scalars by name: "content", "style", "total_variation", and "total", which is the
            weighted sum and the only one to differentiate.
        """
        total = self.contents @ contents + self.styles @ styles + self.variation * variation
        return {
            "content": contents.sum(),
            "style": styles.sum(),
            "total_variation": variation,
            "total": total,
        }


def moments_at_taps(
    network: StyleNetwork, activations: Mapping[str, Tensor], shares: Shares | None = None
) -> dict[str, Moments]:
    """The moments by style tap: of everything, or of an area."""
    return {
        tap: Moments.of(activations[tap], None if shares is None else shares[tap])
        for tap in network.style_taps
    }


def shares_at_taps(area: Area, seen: Mapping[str, Tensor]) -> Shares:
    """What of each tap's map belongs to an area; `seen` are activations of the picture's size."""
    if area.share is None:
        return dict.fromkeys(seen)
    return {tap: at_tap(area.share, features) for tap, features in seen.items()}


def _asks_no_style(area: Area) -> bool:
    """Whether a part of a picture is held to the photograph alone, and its style counts nothing."""
    return area.share is not None and area.strength == 0


def _look(network: StyleNetwork, style: Tensor) -> dict[str, Moments]:
    """The moments of a style picture (1, 3, h, w)."""
    return moments_at_taps(network, network.extract(style))


def _shares_of_one(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that sum to 1, in the same ratios."""
    return {tap: weight / sum(weights.values()) for tap, weight in weights.items()}
