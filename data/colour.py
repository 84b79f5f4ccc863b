"""The colours of an augmented image: all changes are linear, so that each image has one matrix."""

import torch
from torch import Tensor

from .draws import Draws

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

_AXES = ((-0.632, -0.569, -0.526), (-0.703, 0.134, 0.699), (0.327, -0.811, 0.485))
_DEVIATIONS = (0.388, 0.100, 0.037)
"""The principal axes of the colours of faces, and the standard deviation along each: of 2,000
people's aligned photographs, values in 0 … 1. Constants, not the batch's own, so that an image
does not depend on its neighbours."""


def recolour(
    images: Tensor,
    draws: Draws,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    grey: float,
    pca_colour: float,
) -> Tensor:
    """Change brightness, contrast, hue and saturation, in this order, and clamp to [0, 1].

    The hue moves along the principal axes of the colours, as in Krizhevsky et al. 2012: by a normal
    share of each axis's standard deviation. The paper's factor is the eigenvalue, a variance, which
    would depend on the unit of the values.

    Args:
        images: (B, 3, H, W) floating point RGB in [0, 1].
        draws: Of this batch.
        brightness: Most relative change of all values.
        contrast: Most relative change of the distance from the mean grey.
        saturation: Most relative change of the distance from grey.
        grey: Probability of taking all colour away.
        pca_colour: Standard deviation of the share.

    Returns:
        (B, 3, H, W). `images` itself where nothing is to be done.
    """
    if not any((brightness, contrast, saturation, grey, pca_colour)):
        return images
    luma = torch.tensor(_LUMA)
    brighter = 1 + draws.around_zero("brightness", brightness)
    stronger = 1 + draws.around_zero("contrast", contrast)
    colourful = 1 + draws.around_zero("saturation", saturation)
    colourful[draws.chosen("grey", grey)] = 0
    to_grey = (1 - colourful).view(-1, 1, 1) * luma  # (B, 1, 3), for each of the three rows
    matrix = colourful.view(-1, 1, 1) * torch.eye(3) + to_grey  # (B, 3, 3)
    hue = (matrix @ _hue_shift(draws, len(images), pca_colour)).to(images)  # (B, 3, 1)
    matrix = (matrix * (brighter * stronger).view(-1, 1, 1)).to(images)
    middle = images.mean(dim=(2, 3)) @ luma.to(images)  # (B,)
    middle = middle * (brighter * (1 - stronger)).to(images)
    flat = images.flatten(2)  # (B, 3, H*W)
    changed = torch.baddbmm(middle.view(-1, 1, 1) + hue, matrix, flat)
    return changed.clamp_(0, 1).view(images.shape)


def _hue_shift(draws: Draws, count: int, pca_colour: float) -> Tensor:
    """(B, 3, 1), what is added to red, green and blue."""
    shares = torch.randn((count, 3), generator=draws.stream("pca_colour")) * pca_colour
    return (shares * torch.tensor(_DEVIATIONS) @ torch.tensor(_AXES)).unsqueeze(2)
