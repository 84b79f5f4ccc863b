"""Which style where: masks share the picture out among areas (Gatys et al. 2017, section 4)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from data.errors import ArgumentError

from .config import Region, RegionManner
from .scales import resize, size_of

INVISIBLE = 0.5 / 255
"""A share below half a level of an 8-bit grey, which rounding hides."""

_SHAPE_TOLERANCE = 0.01  # by which the proportions of mask and photograph may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A part of the picture, painted in one way.

    Attributes:
        styles: Style pictures, each (1, 3, h, w) in [0, 1]; none, and the photograph stays.
        mix: One weight for each of them.
        strength: As in `StyleConfig`.
        share: (1, 1, H, W) in [0, 1], how far each pixel belongs to the area; the shares of all
            areas sum to 1 in every pixel. None: the area is the whole picture.
    """

    styles: tuple[Tensor, ...]
    mix: tuple[float, ...] = (1.0,)
    strength: float = 0.5
    share: Tensor | None = None

    def at(self, size: tuple[int, int], scaled: Callable[[Tensor], Tensor]) -> "Area":
        """The same area of a picture of `size` (H, W), px, with its styles `scaled`."""
        share = self.share if self.share is None else resize(self.share, size)
        return replace(self, styles=tuple(map(scaled, self.styles)), share=share)


def divide(
    main: Area,
    regions: Sequence[Region[Tensor]],
    photograph: tuple[int, int],
    size: tuple[int, int],
) -> list[Area]:
    """Share a picture out among its regions; what is in none of them is the main area's.

    Args:
        main: The area of what is in no region; its share is not looked at.
        regions: Each with a mask (1, 1, h, w) in [0, 1] and perhaps a style (1, 3, h, w). Later
            ones lie on top of earlier ones.
        photograph: (H, W) of the content, px, whose proportions the masks are to have.
        size: (H, W) of the picture, px, at which the shares are.

    Returns:
        The main area, if anything is left for it, and one for each region.

    Raises:
        ArgumentError: A mask has other proportions than the photograph, nothing of its region can
            be seen, or the photograph is to stay everywhere.
    """
    if not regions:
        return [replace(main, share=None)]
    for number, region in enumerate(regions, start=1):
        check_proportions(size_of(region.mask), number, photograph)
    masks = [resize(region.mask, size) for region in regions]
    left = torch.ones_like(masks[0])
    areas = []
    for number in range(len(regions), 0, -1):  # from the top
        share = masks[number - 1] * left
        if share.max() < INVISIBLE:
            raise ArgumentError(
                f"nothing can be seen of region {number}: its mask is black, or later regions "
                "cover it; expected white where the region is"
            )
        areas.append(_area(regions[number - 1], main, share))
        left = left - share
    if left.max() >= INVISIBLE:
        areas.append(replace(main, share=left))
    if not any(area.styles for area in areas):
        raise ArgumentError(
            "nothing is left to paint: the photograph is to stay everywhere; expected black "
            "somewhere in the masks of such regions"
        )
    return areas[::-1]


def photograph_stays(areas: Sequence[Area]) -> Tensor | None:
    """How far (1, 1, H, W) each pixel stays the photograph's; None where none does."""
    shares = [area.share for area in areas if not area.styles and area.share is not None]
    return torch.stack(shares).sum(dim=0) if shares else None


def at_tap(share: Tensor, tap: Tensor) -> Tensor:
    """An area's share (1, 1, H, W) of each place of a tap's map (1, C, H', W').

    Returns:
        (1, 1, H', W'), the means of the shares under each place.
    """
    return F.adaptive_avg_pool2d(share, size_of(tap))


def _area(region: Region[Tensor], main: Area, share: Tensor) -> Area:
    """What is painted in a region, and how strongly."""
    strength = main.strength if region.strength is None else region.strength
    if region.style is RegionManner.MAIN:
        return replace(main, strength=strength, share=share)
    styles = () if isinstance(region.style, RegionManner) else (region.style,)
    return Area(styles=styles, strength=strength, share=share)


def check_proportions(mask: tuple[int, int], number: int, photograph: tuple[int, int]) -> None:
    """Refuse a mask whose (H, W) has other proportions than the photograph's.

    Raises:
        ArgumentError: It has; the message calls it that of region `number`.
    """
    (height, width), (tall, wide) = mask, photograph
    tolerance = _SHAPE_TOLERANCE + 1 / min(height, width)  # sides are whole pixels
    if abs(math.log(width * tall / (height * wide))) > tolerance:
        raise ArgumentError(
            f"the mask of region {number} has {width}×{height} px, the photograph {wide}×{tall}: "
            "expected a mask of the photograph's proportions"
        )
