"""A picture at once, by two small networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.features import FeatureExtractor
from backbones.places import bundled_or_own
from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError
from data.files import printable
from data.tensors import read_tensors

from .color import Palette
from .config import Region, StyleConfig
from .regions import Area, divide, photograph_stays
from .scales import enough, fit, resize, shrink, size_of

# A network that makes a picture of feature maps: a U-Net whose skips are in the style's manner.
#
# AdaIN (Huang and Belongie 2017, Arbitrary Style Transfer in Real-time with Adaptive Instance
# Normalization): each channel of the photograph's maps is given the mean and the deviation that
# it has in the style, and a decoder, trained once for all styles, turns the maps into a picture.
# Departing from the paper, whose decoder sees the deepest maps alone, the finer ones come in by
# skips (Ronneberger et al. 2015, U-Net), normalised likewise and softened, so that they bring
# contours and neither colours nor texture.

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Of the encoder, from fine to coarse; each has half the height and width of the one before."""
_BLURS = {"relu1_1": 4, "relu2_1": 2}  # places over which the finest maps are averaged

_FLOOR = 1e-2  # deviation of a channel that varies by rounding alone
_DEEP = 4  # convolutions on the coarsest maps


@dataclass(frozen=True, slots=True, eq=False)
class ChannelMoments:
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


def adapted(maps: Tensor, manner: ChannelMoments, strength: Tensor | float = 1.0) -> Tensor:
    """Give each channel of some maps the mean and the deviation of a manner.

    Args:
        maps: (B, C, H, W).
        manner: Of the style.
        strength: How far to go, 0 (the maps as they are) to 1; a number, or one that can be
            multiplied with (B, 1, 1, 1).

    Returns:
        (B, C, H, W).
    """
    own = ChannelMoments.of(maps)
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


# A picture at once: no optimisation, one pass through two small networks.
#
# What `stylize` finds by hundreds of steps a decoder guesses. It takes the same photographs,
# styles, regions, colours and strengths, and serves as a preview or as the image to begin with.

ENCODER = "vgg_slim"
"""The network whose feature maps drafts are made of."""
NAME = "draft_decoder"
"""What the decoder's weights file is called."""

_STRIDE = 8  # of the coarsest maps, px
_MARGIN = 32  # px that a picture is continued on every side, at least


class Drafter:
    """Encoder and decoder, ready to paint."""

    def __init__(self, extract: FeatureExtractor, decoder: DraftDecoder) -> None:
        """Put both together.

        Args:
            extract: Gives the maps at `TAPS`; frozen.
            decoder: With trained weights.
        """
        self._extract = extract
        self._decoder = decoder.eval().requires_grad_(False)

    @classmethod
    def load(cls, *, home: Path | None = None, device: torch.device) -> Self:
        """The drafter that came with the application, or that the user has trained.

        Args:
            home: The user's data folder, where weights are looked for; None for the usual one.
            device: Where it goes.

        Raises:
            WeightsError: Weights are missing or damaged, or the decoder was made for others of the
                encoder.
        """
        encoder = load_backbone(ENCODER, home=home, device=device)
        path = bundled_or_own(NAME, home)
        if path is None:
            raise WeightsError(
                f"there is no {NAME}.safetensors at hand: train one by "
                "`likeness train-style-net recipes/style-draft.toml`"
            )
        file = read_tensors(path)
        decoder = DraftDecoder([encoder.backbone.spec.tap(tap).channels for tap in TAPS])
        try:
            decoder.load_state_dict(file.tensors)
        except RuntimeError as error:
            raise WeightsError(
                f"{printable(path)} holds no weights of the decoder of drafts; name another file so"
            ) from error
        if encoder.weights.sha256 not in file.metadata.get("encoder", ""):
            raise WeightsError(
                f"{printable(path)} was made for other weights of {ENCODER} than "
                f"{printable(encoder.weights.path)}: train it anew, or remove the latter"
            )
        extract = FeatureExtractor(encoder.backbone, TAPS)
        return cls(extract, decoder.to(device).to(memory_format=torch.channels_last))

    @torch.no_grad()
    def paint(self, photograph: Tensor, areas: Sequence[Area]) -> Tensor:
        """Paint a photograph.

        Args:
            photograph: (1, 3, H, W) in [0, 1].
            areas: What is painted where, at this size; their strengths are as in `StyleConfig`.

        Returns:
            (1, 3, H, W) in [0, 1].
        """
        height, width = size_of(photograph)
        right, below = (-width) % _STRIDE + _MARGIN, (-height) % _STRIDE + _MARGIN
        margins = (_MARGIN, right, _MARGIN, below)
        maps = softened(self._extract(F.pad(photograph, margins, mode="replicate")))
        painted = [self._in_manner(maps, replace(area, share=None)) for area in areas]
        if len(areas) > 1:
            shares = [F.pad(_share(area), margins, mode="replicate") for area in areas]
            mixed = {tap: _mixed([each[tap] for each in painted], shares) for tap in TAPS}
        else:
            [mixed] = painted
        picture: Tensor = self._decoder(mixed)[..., _MARGIN:-below, _MARGIN:-right]
        stays = photograph_stays(areas)
        return (picture if stays is None else picture.lerp(photograph, stays)).contiguous()

    def _in_manner(self, maps: dict[str, Tensor], area: Area) -> dict[str, Tensor]:
        """The photograph's maps as an area's styles have them."""
        if not area.styles:
            return maps
        looks = [self._extract(style) for style in area.styles]
        # In balance, at 0.5, the style is taken as it is: more of it the decoder cannot give.
        strength = min(1.0, 2 * area.strength)
        return {
            tap: adapted(
                maps[tap],
                ChannelMoments.mixed([ChannelMoments.of(look[tap]) for look in looks], area.mix),
                strength,
            )
            for tap in TAPS
        }


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A draft.

    Attributes:
        painted: (1, 3, H, W), as an optimisation may begin with it.
        picture: The same in the colours that it is to have.
    """

    painted: Tensor
    picture: Tensor


def draft(
    content: Tensor,
    styles: Sequence[Tensor],
    config: StyleConfig,
    drafter: Drafter,
    *,
    regions: Sequence[Region[Tensor]] = (),
) -> Draft:
    """Paint `content` in the manner of `styles` at once; the arguments are those of `stylize`.

    Args:
        content: (1, 3, H, W) in [0, 1], any size, on the drafter's device.
        styles: One or more such pictures.
        config: Its size, strength, colours, and the mix and the scale of the styles count.
        drafter: Paints.
        regions: Parts of the photograph that are painted in their own way, masks (1, 1, H, W).

    Raises:
        ArgumentError: No style, a `style_mix` of another length, a picture too small, or regions
            that make no sense.
    """
    _check(content, styles, config)
    photograph = resize(content, fit(size_of(content), config.size))
    main = Area(
        styles=tuple(styles),
        mix=config.mix_of(len(styles)),
        strength=config.strength,
    )
    areas = divide(main, regions, size_of(content), size_of(photograph))
    palette = Palette(photograph, config)
    longer = round(config.size * config.style_scale)

    def seen(area: Area) -> Area:
        shrunk = (shrink(style, longer, shorter=2 * _STRIDE) for style in area.styles)
        return replace(area, styles=tuple(palette.style(style, area.share) for style in shrunk))

    painted = drafter.paint(palette.content, [seen(area) for area in areas])
    return Draft(painted, palette.restored(painted))


def _check(content: Tensor, styles: Sequence[Tensor], config: StyleConfig) -> None:
    """Refuse pictures too small to show a style; and no style, or a mix of another number."""
    config.mix_of(len(styles))
    least = 2 * _STRIDE
    for number, style in enumerate(styles, start=1):
        height, width = size_of(style)
        if min(height, width) < least:
            raise ArgumentError(
                f"style picture {number} of {width}×{height} px is too small: expected {least} px "
                "on the shorter side"
            )
    height, width = fit(size_of(content), config.size)
    if min(height, width) < least:
        raise ArgumentError(
            f"a picture of {width}×{height} px is too small for a draft, which needs {least} px on "
            f"the shorter side: {enough(size_of(content), least)}"
        )


def _share(area: Area) -> Tensor:
    assert area.share is not None  # several areas share the picture out
    return area.share


def _mixed(maps: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
    """Maps of one tap, each where it belongs."""
    size = size_of(maps[0])
    parts = [
        each * F.adaptive_avg_pool2d(share, size) for each, share in zip(maps, shares, strict=True)
    ]
    return torch.stack(parts).sum(dim=0)
