"""Coarse to fine: the arithmetic of sizes and steps.

Large shapes are cheap to move in a small picture and nearly impossible in a large one, whose
network sees only a few strokes at once (Gatys et al. 2017, section 6).
"""

from itertools import accumulate

from torch import Tensor
from torch.nn import functional as F

from data.errors import ArgumentError

from .config import MAX_SIZE, MIN_SIZE


def size_of(picture: Tensor) -> tuple[int, int]:
    """(H, W) of a picture (..., H, W), px."""
    return picture.shape[-2], picture.shape[-1]


def fit(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """(H, W) of the proportions of `size` whose longer side is `longer` px; no side below 1."""
    height, width = size
    ratio = longer / max(size)
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def scales(size: int, first: int, factor: float) -> tuple[int, ...]:
    """Longer sides from coarse to fine: `size`, and what divides down from it to `first`.

    Counting down from the finest gives every scale the same ratio to the next.
    """
    sides = [size]
    while (smaller := round(size / factor ** len(sides))) >= first:
        sides.append(smaller)
    return tuple(reversed(sides))


def share_steps(steps: int, sides: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """(longer side, steps) for each scale, in inverse proportion to the side.

    Where the strokes lie is decided in the coarse scales, whose steps are cheap; the fine ones
    add detail to what lies there. Every scale has a step at least; with fewer steps than scales
    the coarsest are left out. The steps always sum to `steps`.
    """
    used = sides[-steps:]
    free = steps - len(used)
    parts = list(accumulate(1 / side for side in used))
    ends = [round(free * part / parts[-1]) for part in parts]
    return tuple((side, 1 + b - a) for side, a, b in zip(used, [0, *ends], ends, strict=False))


def paintable(photograph: tuple[int, int], sides: tuple[int, ...], least: int) -> tuple[int, ...]:
    """The scales in which the network's deepest tap still sees something.

    Args:
        photograph: (H, W) of the content, px.
        sides: Longer sides of the scales, px, ascending.
        least: Shorter side, px, from which on the network sees something.

    Raises:
        ArgumentError: Not even the finest is large enough.
    """
    usable = tuple(side for side in sides if min(fit(photograph, side)) >= least)
    if not usable:
        height, width = fit(photograph, sides[-1])
        raise ArgumentError(
            f"a picture of {width}×{height} px is too small for this network, which needs "
            f"{least} px on the shorter side: {enough(photograph, least)}"
        )
    return usable


def enough(photograph: tuple[int, int], least: int) -> str:
    """What to do about a picture whose shorter side would come out too short, in words.

    Args:
        photograph: (H, W) of the content, px.
        least: How long the shorter side must be, px.
    """
    longer = max(least, MIN_SIZE)
    while min(fit(photograph, longer)) < least:
        # Proportions first; rounding may ask for a pixel more.
        longer = max(longer + 1, (least - 1) * max(photograph) // min(photograph))
        if longer > MAX_SIZE:
            ratio = MAX_SIZE // least
            return f"no size will do; crop it so that it is at most {ratio} times as long as wide"
    return f"a size of {longer} will do, or a less elongated picture"


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale a picture (1, C, H, W) in [0, 1] to `size` (H, W), bicubic, antialiased."""
    if size_of(picture) == size:
        return picture
    scaled = F.interpolate(picture, size, mode="bicubic", align_corners=False, antialias=True)
    return scaled.clamp_(0, 1)  # bicubic overshoots at edges


def shrink(picture: Tensor, longer: int, *, shorter: int) -> Tensor:
    """Scale a picture (1, C, H, W) down, never up.

    Args:
        picture: In [0, 1].
        longer: The longer side that it is to have, px.
        shorter: What its shorter side must not fall below, px; an elongated picture stays larger.
    """
    size = size_of(picture)
    wanted = max(longer / max(size), shorter / min(size))
    return resize(picture, fit(size, round(min(wanted, 1.0) * max(size))))
