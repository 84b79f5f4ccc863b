"""A network that makes a picture of feature maps: a U-Net whose skips are in the style's manner.

AdaIN (Huang and Belongie 2017, Arbitrary Style Transfer in Real-time with Adaptive Instance
Normalization): each channel of the photograph's maps is given the mean and the deviation that it
has in the style, and a decoder, trained once for all styles, turns the maps into a picture.
Departing from the paper, whose decoder sees the deepest maps alone, the finer ones come in by skips
(Ronneberger et al. 2015, U-Net), normalised likewise and softened, so that they bring contours and
neither colours nor texture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Of the encoder, from fine to coarse; each has half the height and width of the one before."""
_BLURS = {"relu1_1": 4, "relu2_1": 2}  # places over which the finest maps are averaged

_FLOOR = 1e-2  # deviation of a channel that varies by rounding alone
_DEEP = 4  # convolutions on the coarsest maps


@dataclass(frozen=True, slots=True, eq=False)
class Manner:
    """What is taken of a style at one tap: moments of each channel.

    Attributes:
        mean: (B, C, 1, 1).
        square: (B, C, 1, 1), the mean of the squares.
    """

    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> Self:
        """The moments of feature maps (B, C, H, W)."""
        return cls(
            maps.mean(dim=(2, 3), keepdim=True), maps.square().mean(dim=(2, 3), keepdim=True)
        )

    @classmethod
    def mixed(cls, manners: Sequence[Self], weights: Sequence[float]) -> Self:
        """The weighted mean of several; only the ratios of the weights count."""
        shares = [weight / sum(weights) for weight in weights]
        pairs = list(zip(manners, shares, strict=True))
        return cls(
            torch.stack([manner.mean * share for manner, share in pairs]).sum(dim=0),
            torch.stack([manner.square * share for manner, share in pairs]).sum(dim=0),
        )

    @property
    def deviation(self) -> Tensor:
        """(B, C, 1, 1), above 0."""
        return (self.square - self.mean.square()).clamp_min(_FLOOR**2).sqrt()


def softened(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Maps by tap, the finest ones without what is smaller than 4 px: strokes are to replace it.

    With every hair of the photograph at hand, a decoder paints the photograph.
    """
    return {tap: _averaged(each, _BLURS.get(tap, 1)) for tap, each in maps.items()}


def _averaged(maps: Tensor, places: int) -> Tensor:
    """Maps (B, C, H, W) averaged over squares of so many places a side, and enlarged again."""
    if places == 1:
        return maps
    coarse = F.avg_pool2d(maps, places, ceil_mode=True, count_include_pad=False)
    return F.interpolate(coarse, maps.shape[-2:], mode="bilinear", align_corners=False)


def adapted(maps: Tensor, manner: Manner, strength: Tensor | float = 1.0) -> Tensor:
    """Give each channel of some maps the mean and the deviation of a manner.

    Args:
        maps: (B, C, H, W).
        manner: Of the style.
        strength: How far to go, 0 (the maps as they are) to 1; a number, or one that can be
            multiplied with (B, 1, 1, 1).

    Returns:
        (B, C, H, W).
    """
    own = Manner.of(maps)
    mean = own.mean + strength * (manner.mean - own.mean)
    deviation = own.deviation + strength * (manner.deviation - own.deviation)
    return (maps - own.mean) / own.deviation * deviation + mean


class DraftDecoder(nn.Module):
    """From maps at four taps to a picture."""

    def __init__(self, channels: Sequence[int]) -> None:
        """Build it with random weights.

        Args:
            channels: Of the encoder's taps, from fine to coarse.
        """
        super().__init__()
        *finer, deepest = channels
        self.deep = nn.ModuleList(_convolution(deepest, deepest) for _ in range(_DEEP))
        self.joining, self.smoothing = nn.ModuleList(), nn.ModuleList()
        before = deepest
        for width in reversed(finer):
            self.joining.append(_convolution(before + width, width))
            self.smoothing.append(_convolution(width, width))
            before = width
        self.last = _convolution(before, 3)

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Make a picture.

        Args:
            maps: By tap, (B, C, H/stride, W/stride).

        Returns:
            (B, 3, H, W) in (0, 1).
        """
        *finer, deepest = (maps[tap] for tap in TAPS)
        x = deepest
        for first, second in zip(self.deep[::2], self.deep[1::2], strict=True):
            x = x + second(first(x).relu())
        for skip, join, smooth in zip(reversed(finer), self.joining, self.smoothing, strict=True):
            # Enlarged by repetition: transposed convolutions leave checkerboards.
            x = F.interpolate(x, skip.shape[-2:], mode="nearest")
            x = join(torch.cat([x, skip], dim=1)).relu()
            x = smooth(x).relu()
        picture: Tensor = torch.sigmoid(self.last(x))
        return picture


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """3×3, He's initial weights."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution
