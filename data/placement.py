"""Where the pixels of an augmented image come from: mirror, turn, crop and warp in one go."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .draws import Draws

MOST_WARP = 0.1
"""The strongest warp, as a share of a side. A field of cubic B-splines folds over nowhere while no
offset reaches 0.48 of the distance between two control points (Choi and Lee 2000), here a quarter
of the side."""

_CELLS = 4


def place(
    images: Tensor,
    size: tuple[int, int],
    draws: Draws,
    *,
    mirror: float,
    rotation: float,
    crop: float,
    warp: float,
) -> Tensor:
    """Mirror, turn, crop and warp in one resampling; what lies outside repeats the border.

    Args:
        images: (B, 3, H, W) floating point.
        size: Height and width of the result in pixels.
        draws: Of this batch.
        mirror: Probability of exchanging left and right.
        rotation: Most degrees turned either way.
        crop: Most of each side that is cropped away.
        warp: Most that a point is moved, as a share of each side.

    Returns:
        (B, 3, *size). `images` itself where nothing is to be done.
    """
    mirrored = draws.shares("mirror") < mirror
    if not (rotation or crop or warp) and size == tuple(images.shape[2:]):
        if not mirrored.any():
            return images
        return torch.where(mirrored.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
    angle = draws.around_zero("rotation", rotation * math.pi / 180)
    kept = 1 - crop * draws.shares("crop")
    across = torch.where(mirrored, -kept, kept)
    shift_x = draws.around_zero("crop across", 1.0) * (1 - kept)
    shift_y = draws.around_zero("crop down", 1.0) * (1 - kept)
    cos, sin = angle.cos(), angle.sin()
    # affine_grid's coordinates run from -1 to 1 on both axes: rotation must undo the aspect ratio.
    aspect = images.shape[2] / images.shape[3]
    rows = (
        torch.stack([cos * across, -sin * kept * aspect, shift_x], dim=1),
        torch.stack([sin * across / aspect, cos * kept, shift_y], dim=1),
    )
    theta = torch.stack(rows, dim=1).to(images)  # (B, 2, 3)
    grid = F.affine_grid(theta, [len(images), 3, *size], align_corners=False)  # (B, h, w, 2)
    if warp:
        offsets = torch.rand(
            (len(images), 2, _CELLS + 3, _CELLS + 3), generator=draws.stream("warp")
        )
        grid = grid + _smooth_field((offsets * 2 - 1).to(images) * 2 * warp, size)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _smooth_field(offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """Spread offsets of control points over all pixels, by cubic B-splines (Rueckert et al. 1999).

    Their weights are positive and sum to 1: no pixel moves further than a control point may.

    Args:
        offsets: (B, 2, K, K), across and down.
        size: Height h and width w.

    Returns:
        (B, h, w, 2)
    """
    down, across = (_spline_weights(side).to(offsets) for side in size)
    return (down @ offsets @ across.T).permute(0, 2, 3, 1)  # (B, 2, h, w) → (B, h, w, 2)


@functools.lru_cache(maxsize=8)
def _spline_weights(side: int) -> Tensor:
    """(side, K): how much each control point counts for each pixel."""
    position = (torch.arange(side) + 0.5) * _CELLS / side
    cell = position.floor().long()
    t = position - cell
    weights = torch.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], dim=1
    )
    columns = cell.unsqueeze(1) + torch.arange(4)  # (side, 4)
    return torch.zeros(side, _CELLS + 3).scatter_(1, columns, weights / 6)
