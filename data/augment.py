"""Seeded augmentation of training batches: mirror, crop, rotation, colour.

Written here, since `torchvision.transforms.v2` draws once for a whole batch and from the process's
global generator; this draws for each image, from a generator of its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far training images may stray; the defaults suit aligned faces.

    Attributes:
        mirror: Probability of exchanging left and right.
        rotation: Most degrees turned either way.
        crop: Most of each side that is cropped away, 0 … 1; where the rest lies is random.
        brightness: Most relative change of all values, 0 … 1.
        contrast: Most relative change of the distance from the mean grey, 0 … 1.
        saturation: Most relative change of the distance from grey, 0 … 1.
        grey: Probability of taking all colour away.
    """

    mirror: float = 0.5
    rotation: float = 8.0
    crop: float = 0.1
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    grey: float = 0.02

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            ValueError: A value is outside its range.
        """
        for name in ("mirror", "crop", "brightness", "contrast", "saturation", "grey"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"expected {name} within 0 … 1, got {value}")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"expected rotation within 0 … 180 degrees, got {self.rotation}")
        if self.crop == 1:
            raise ValueError("expected crop below 1, got 1: nothing would be left")


def training_augmentation(
    size: tuple[int, int],
    *,
    generator: torch.Generator,
    strength: Augmentation | None = None,
) -> Callable[[Tensor], Tensor]:
    """Return a function that augments a batch (B, 3, H, W) in [0, 1] to (B, 3, *size) in [0, 1].

    Args:
        size: Height and width of the result in pixels.
        generator: On the CPU; its state fixes all that follows.
        strength: How far images may stray.
    """
    limits = strength or Augmentation()

    def augment(images: Tensor) -> Tensor:
        return _change_colour(_change_place(images, size, limits, generator), limits, generator)

    return augment


def _change_place(
    images: Tensor, size: tuple[int, int], limits: Augmentation, generator: torch.Generator
) -> Tensor:
    """Mirror, rotate and crop in one resampling; what lies outside repeats the border."""
    count, _, height, width = images.shape
    angle = _uniform(count, limits.rotation * math.pi / 180, generator)
    kept = 1 - limits.crop * torch.rand(count, generator=generator)
    across = torch.where(torch.rand(count, generator=generator) < limits.mirror, -kept, kept)
    shift_x = (1 - kept) * _uniform(count, 1.0, generator)
    shift_y = (1 - kept) * _uniform(count, 1.0, generator)
    cos, sin = angle.cos(), angle.sin()
    # affine_grid's coordinates run from -1 to 1 on both axes: rotation must undo the aspect ratio.
    aspect = height / width
    rows = (
        torch.stack([cos * across, -sin * kept * aspect, shift_x], dim=1),
        torch.stack([sin * across / aspect, cos * kept, shift_y], dim=1),
    )
    theta = torch.stack(rows, dim=1).to(images)  # (B, 2, 3)
    grid = F.affine_grid(theta, [count, 3, *size], align_corners=False)  # (B, h, w, 2)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _change_colour(images: Tensor, limits: Augmentation, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation, in this order, and clamp to [0, 1]."""
    count = images.shape[0]

    def factor(most: float) -> Tensor:
        return (1 + _uniform(count, most, generator)).to(images).view(-1, 1, 1, 1)

    images = images * factor(limits.brightness)
    middle = _grey(images).mean(dim=(2, 3), keepdim=True)  # (B, 1, 1, 1)
    images = middle + (images - middle) * factor(limits.contrast)
    colourful = factor(limits.saturation)
    drained = (torch.rand(count, generator=generator) < limits.grey).to(images.device)
    colourful = torch.where(drained.view(-1, 1, 1, 1), torch.zeros_like(colourful), colourful)
    grey = _grey(images)  # (B, 1, H, W)
    return (grey + (images - grey) * colourful).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    weights = images.new_tensor(_LUMA).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _uniform(count: int, most: float, generator: torch.Generator) -> Tensor:
    """Draw from -most … most."""
    return (torch.rand(count, generator=generator) * 2 - 1) * most
