"""A picture at once: no optimisation, one pass through two small networks.

What `stylize` finds by hundreds of steps a decoder guesses. It takes the same photographs, styles,
regions, colours and strengths, and serves as a preview or as the image to begin with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from backbones.features import FeatureExtractor
from backbones.places import bundled_or_own
from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError
from data.files import printable
from data.tensors import read_tensors

from .color import Palette
from .config import Region, StyleConfig
from .decoder import TAPS, DraftDecoder, Manner, adapted, softened
from .pyramid import enough, fit, resize, shrink, size_of
from .regions import Area, divide, photograph_stays

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
            extract: Gives the maps at `decoder.TAPS`; frozen.
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
                Manner.mixed([Manner.of(look[tap]) for look in looks], area.mix),
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
        mix=config.style_mix or (1.0,) * len(styles),
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
    """Refuse no style, a `style_mix` of another length, and pictures too small to show one."""
    if not styles:
        raise ArgumentError("there is no style picture: give at least one")
    if config.style_mix and len(config.style_mix) != len(styles):
        raise ArgumentError(
            f"style_mix has {len(config.style_mix)} weights for {len(styles)} style picture(s): "
            "give one for each, or none"
        )
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
