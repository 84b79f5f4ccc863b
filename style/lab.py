"""sRGB to CIE L*a*b* and back, white point D65 (IEC 61966-2-1, CIE 15)."""

import torch
from torch import Tensor

_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_BEND = 6 / 29  # where the cube root of L*a*b* goes over into a straight line


def to_lab(picture: Tensor) -> Tensor:
    """L* in [0, 100], a* and b*, (1, 3, H, W), of sRGB (1, 3, H, W) in [0, 1]."""
    linear = torch.where(
        picture <= 0.04045, picture / 12.92, ((picture.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    )
    xyz = _mixed(_relative(picture), linear)
    # The floor keeps the power of the branch that is not taken finite.
    root = torch.where(
        xyz > _BEND**3, xyz.clamp_min(_BEND**3) ** (1 / 3), xyz / (3 * _BEND**2) + 4 / 29
    )
    x, y, z = root[:, :1], root[:, 1:2], root[:, 2:]
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def from_lab(lab: Tensor) -> Tensor:
    """The sRGB (1, 3, H, W) of L*, a*, b*; outside of [0, 1] where a screen shows none."""
    lightness, a, b = lab[:, :1], lab[:, 1:2], lab[:, 2:]
    y = (lightness + 16) / 116
    root = torch.cat([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(root > _BEND, root**3, 3 * _BEND**2 * (root - 4 / 29))
    linear = _mixed(torch.linalg.inv(_relative(lab)), xyz)
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved)


def _relative(like: Tensor) -> Tensor:
    """(3, 3) from linear RGB to XYZ relative to white, which is (1, 1, 1)."""
    matrix = like.new_tensor(_TO_XYZ)
    return matrix / matrix.sum(dim=1, keepdim=True)


def _mixed(matrix: Tensor, picture: Tensor) -> Tensor:
    """The channels of a picture (1, 3, H, W) through a matrix (3, 3)."""
    return torch.einsum("ij,bjhw->bihw", matrix, picture)
