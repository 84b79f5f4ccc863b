"""Transparency: what is seen of a picture on white, and which picture is seen so on white."""

import torch
from torch import Tensor
from torch.nn import functional as F


def on_white(colours: Tensor, alpha: Tensor) -> Tensor:
    """What is seen on white; colours under alpha 0 are not.

    Args:
        colours: (3, H, W) in [0, 1].
        alpha: (1, H, W) in [0, 1].

    Returns:
        (3, H, W) in [0, 1].
    """
    return torch.lerp(torch.ones_like(colours), colours, alpha)


def off_white(seen: Tensor, alpha: Tensor) -> Tensor:
    """The colours that on white are seen as `seen`: without them edges would keep a white fringe.

    Where no colour is dark enough for that, the darkest one is taken.

    Args:
        seen: (3, H, W) in [0, 1].
        alpha: (1, H, W) in [0, 1].

    Returns:
        (3, H, W) in [0, 1]; white where alpha is 0.
    """
    colours = ((seen - (1 - alpha)) / alpha.clamp_min(1e-6)).clamp(0, 1)
    return torch.where(alpha > 0, colours, 1.0)


def resized(alpha: Tensor, size: tuple[int, int]) -> Tensor:
    """An alpha channel (1, H, W) at `size` (H, W), px, scaled as the painted picture is."""
    if alpha.shape[-2:] == size:
        return alpha
    scaled = F.interpolate(
        alpha.unsqueeze(0), size, mode="bicubic", align_corners=False, antialias=True
    )
    return scaled[0].clamp_(0, 1)
