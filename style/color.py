"""The colours of the content kept."""

import numpy as np
import torch
from torch import Tensor

from .config import ColorMethod, Colors, StyleConfig

# sRGB to CIE L*a*b* and back, white point D65 (IEC 61966-2-1, CIE 15).

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


# Whose colours a picture has: the content's may be kept (Gatys et al. 2016b).
#
# Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style Transfer".
# Two methods put the content's colours on what was painted, four recolour the style picture
# before it:
#
#     luminance   painted in grey, of a style whose grey has the content's mean and deviation;
#                 the colours are the content's, pixel by pixel
#     lab         painted in colour; its lightness is kept, and a* and b* are the content's
#     linear      each colour of the style is moved by one linear map, so that mean and covariance
#                 become the content's: Σc^½ Σs^-½, by eigenvectors
#     cholesky    the same by Lc Ls⁻¹
#     transport   the same by the map that moves colours least (Pitié and Kokaram 2007)
#     histogram   red, green and blue each get the content's histogram
#
# Pictures are RGB, (1, 3, H, W) in [0, 1]; lists of colours are (N, 3).

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey (ITU-R BT.601)
_LEAST_VARIANCE = (2 / 255) ** 2  # below it there is the noise of compression, not colour
_HALVINGS = 12  # of the search for the most colourful pixel that a screen can show
_LEAST_COLOURS = 16  # a region with fewer pixels inside has no colours of its own


class Palette:
    """What the choice of colours does to one picture before and after it is painted.

    Attributes:
        content: (1, 3, H, W): the photograph as the network is to see it.
    """

    def __init__(self, content: Tensor, config: StyleConfig) -> None:
        """Remember the photograph (1, 3, H, W) and what was chosen."""
        self._method = config.color_method if config.colors is Colors.CONTENT else None
        self._photograph = content
        self.content = self.seen(content)

    def seen(self, picture: Tensor) -> Tensor:
        """A picture (1, 3, H, W) that is to be painted on, as the network is to see it."""
        greyed = self._method is ColorMethod.LUMINANCE
        return luminance(picture).expand_as(picture) if greyed else picture

    def style(self, style: Tensor, share: Tensor | None = None) -> Tensor:
        """A style picture as the network is to see it.

        Args:
            style: (1, 3, h, w).
            share: (1, 1, H, W) in [0, 1], the part of the photograph that is painted in this
                style, whose colours are then the ones to keep; None for all of it.
        """
        if self._method is None or self._method is ColorMethod.LAB:
            return style
        reference = colours(self._photograph)
        if share is not None:
            inside = share.flatten() >= 0.5
            reference = reference[inside] if inside.sum() >= _LEAST_COLOURS else reference
        if self._method is ColorMethod.LUMINANCE:
            return match_luminance(style, reference)
        if self._method is ColorMethod.HISTOGRAM:
            return match_histogram(style, reference)
        return recoloured(style, reference, self._method)

    def restored(self, painted: Tensor) -> Tensor:
        """What was painted, (1, 3, H, W) at the photograph's size, in the colours it is to have."""
        if self._method is ColorMethod.LUMINANCE:
            return with_chroma(painted, self._photograph)
        if self._method is ColorMethod.LAB:
            return with_lab_chroma(painted, self._photograph)
        return painted


def luminance(picture: Tensor) -> Tensor:
    """The grey (1, 1, H, W) of a picture: Y of YIQ."""
    weights = picture.new_tensor(_LUMA).view(1, 3, 1, 1)
    return (picture * weights).sum(dim=1, keepdim=True)


def match_luminance(style: Tensor, reference: Tensor) -> Tensor:
    """A style picture in grey, with the reference's mean and deviation of grey (section 3.2).

    Args:
        style: (1, 3, H, W).
        reference: Colours (N, 3), two at least.
    """
    grey = luminance(style)
    wanted = reference @ reference.new_tensor(_LUMA)  # (N,)
    deviation = grey.std(correction=0).clamp_min(_LEAST_VARIANCE**0.5)
    stretch = wanted.std(correction=0) / deviation
    return ((grey - grey.mean()) * stretch + wanted.mean()).clamp_(0, 1).expand_as(style)


def with_chroma(painted: Tensor, photograph: Tensor) -> Tensor:
    """The luminance of one picture and the chroma of another, (1, 3, H, W) both.

    I and Q of YIQ are linear in what a colour has beyond its grey, so that this is what is added.
    Where the sum is no colour of a screen, it is taken towards grey until it is: the luminance,
    which holds the strokes, stays in any case. Clamping, as Gatys et al. do, would change it.
    """
    grey = luminance(painted)
    chroma = photograph - luminance(photograph)
    room = torch.where(chroma > 0, 1 - grey, grey)
    fit = (room / chroma.abs().clamp_min(1e-6)).amin(dim=1, keepdim=True).clamp_(0, 1)
    return (grey + fit * chroma).clamp_(0, 1)


def with_lab_chroma(painted: Tensor, photograph: Tensor) -> Tensor:
    """The lightness of one picture and a* and b* of another, (1, 3, H, W) both.

    Where that is no colour of a screen, a* and b* are made smaller until it is.
    """
    lightness = to_lab(painted)[:, :1]
    chroma = to_lab(photograph)[:, 1:]
    low, high = torch.zeros_like(lightness), torch.ones_like(lightness)
    for halving in range(_HALVINGS):
        tried = high if halving == 0 else (low + high) / 2
        colour = from_lab(torch.cat([lightness, tried * chroma], dim=1))
        fits = ((colour >= -1e-4) & (colour <= 1 + 1e-4)).all(dim=1, keepdim=True)
        low, high = torch.where(fits, tried, low), torch.where(fits, high, tried)
    return from_lab(torch.cat([lightness, low * chroma], dim=1)).clamp_(0, 1)


def recoloured(picture: Tensor, reference: Tensor, method: ColorMethod) -> Tensor:
    """A picture (1, 3, H, W) with the mean and covariance of the colours `reference` (N, 3)."""
    matrix, shift = linear_map(colours(picture), reference, method)
    moved = torch.einsum("ij,bjhw->bihw", matrix, picture) + shift.view(1, 3, 1, 1)
    return moved.clamp_(0, 1)


def linear_map(source: Tensor, target: Tensor, method: ColorMethod) -> tuple[Tensor, Tensor]:
    """The linear map after which `source` has the mean and the covariance of `target`.

    Directions in which the source hardly varies are not stretched to their full variance: what is
    there is noise.

    Args:
        source: Colours (N, 3).
        target: Colours (M, 3).
        method: LINEAR, CHOLESKY or TRANSPORT.

    Returns:
        Matrix (3, 3) and shift (3,) in the source's type: colour → matrix · colour + shift.
    """
    (mean, covariance), (wanted_mean, wanted) = _moments(source), _moments(target)
    if method is ColorMethod.CHOLESKY:
        below = torch.linalg.cholesky(covariance)
        matrix = torch.linalg.cholesky(wanted) @ torch.linalg.inv(below)
    elif method is ColorMethod.LINEAR:
        matrix = _power(wanted, 0.5) @ _power(covariance, -0.5)
    elif method is ColorMethod.TRANSPORT:
        root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
        matrix = inverse @ _power(root @ wanted @ root, 0.5) @ inverse
    else:
        raise ValueError(f"{method} is no linear map")
    return matrix.to(source), (wanted_mean - matrix @ mean).to(source)


def match_histogram(style: Tensor, reference: Tensor) -> Tensor:
    """A style picture whose channels each have the reference's histogram.

    Equal values stay equal, so that plain surfaces stay plain.

    Args:
        style: (1, 3, H, W).
        reference: Colours (N, 3).
    """
    given, wanted = colours(style).cpu().numpy(), reference.cpu().numpy()
    matched = np.empty_like(given)
    ranks = (np.arange(len(wanted)) + 0.5) / len(wanted)
    for channel in range(3):
        _, place, counts = np.unique(given[:, channel], return_inverse=True, return_counts=True)
        rank = (counts.cumsum() - counts / 2) / len(given)
        values = np.interp(rank, ranks, np.sort(wanted[:, channel]))
        matched[:, channel] = values[place]
    return torch.from_numpy(matched).to(style).T.reshape(style.shape)


def colours(picture: Tensor) -> Tensor:
    """The colours (H*W, 3) of a picture (1, 3, H, W)."""
    return picture[0].flatten(1).T


def _moments(given: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3,) and covariance (3, 3) of colours (N, 3) in float64, no variance all but zero."""
    exact = given.double()
    mean = exact.mean(dim=0)
    deviations = exact - mean
    values, vectors = torch.linalg.eigh(deviations.T @ deviations / len(exact))
    return mean, vectors * values.clamp_min(_LEAST_VARIANCE) @ vectors.T


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = vectors * values**exponent @ vectors.T
    return power
