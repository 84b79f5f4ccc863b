"""Seeded augmentation of training batches: place, colour, and what spoils a photograph.

Written here, since `torchvision.transforms.v2` draws once for a whole batch and from the process's
global generator; this draws for each image, from a generator of its own. The order is a camera's:
a face somewhere, something before it, the light, the lens, the sensor, the file.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .colour import recolour
from .draws import Draws
from .placement import MOST_WARP, place
from .wear import BEST_JPEG, blur, compress, occlude, shrink

_SHARES = (
    "mirror",
    "crop",
    "brightness",
    "contrast",
    "saturation",
    "grey",
    "pca_colour",
    "blur",
    "low_resolution",
    "lowest_resolution",
    "jpeg",
    "occlusion",
    "occlusion_area",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far training images may stray; the defaults suit aligned faces.

    What is zero does not happen, and what happens draws the same random numbers whatever else does.

    Attributes:
        mirror: Probability of exchanging left and right.
        rotation: Most degrees turned either way, 0 … 180.
        crop: Most of each side that is cropped away, 0 … 1; where the rest lies is random.
        warp: Most that a point is moved by a smooth random field, as a share of each side, 0 … 0.1.
        brightness: Most relative change of all values, 0 … 1.
        contrast: Most relative change of the distance from the mean grey, 0 … 1.
        saturation: Most relative change of the distance from grey, 0 … 1.
        grey: Probability of taking all colour away.
        pca_colour: Standard deviation of the move along the principal axes of the colours, as a
            share of the colours' own, 0 … 1.
        blur: Probability of a Gaussian blur.
        blur_sigma: Its largest standard deviation in pixels, 0 … 16.
        low_resolution: Probability of being shrunk and enlarged again.
        lowest_resolution: Share of each side that the shrunk image has at least, above 0.
        jpeg: Probability of being compressed.
        jpeg_quality: Lowest quality, 1 … 95.
        occlusion: Probability of a rectangle of noise or of the mean colour.
        occlusion_area: Most of the image that the rectangle covers, 0 … 1.
    """

    mirror: float = 0.5
    rotation: float = 8.0
    crop: float = 0.1
    warp: float = 0.02
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    grey: float = 0.02
    pca_colour: float = 0.1
    blur: float = 0.1
    blur_sigma: float = 1.5
    low_resolution: float = 0.1
    lowest_resolution: float = 0.3
    jpeg: float = 0.1
    jpeg_quality: int = 30
    occlusion: float = 0.1
    occlusion_area: float = 0.15

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            ValueError: A value is outside its range.
        """
        most = dict.fromkeys(_SHARES, 1.0) | {
            "rotation": 180.0,
            "warp": MOST_WARP,
            "blur_sigma": 16.0,
            "jpeg_quality": BEST_JPEG,
        }
        for name, high in most.items():
            value, low = getattr(self, name), 1 if name == "jpeg_quality" else 0
            if not low <= value <= high:
                raise ValueError(f"expected {name} within {low} … {high:g}, got {value}")
        if self.crop == 1:
            raise ValueError("expected crop below 1, got 1: nothing would be left")
        if self.lowest_resolution == 0:
            raise ValueError("expected lowest_resolution above 0, got 0: nothing would be left")


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
    most = strength or Augmentation()

    def augment(images: Tensor) -> Tensor:
        draws = Draws(len(images), generator)
        changed = place(
            images,
            size,
            draws,
            mirror=most.mirror,
            rotation=most.rotation,
            crop=most.crop,
            warp=most.warp,
        )
        changed = changed.clone() if changed is images else changed
        occlude(changed, draws, probability=most.occlusion, area=most.occlusion_area)
        changed = recolour(
            changed,
            draws,
            brightness=most.brightness,
            contrast=most.contrast,
            saturation=most.saturation,
            grey=most.grey,
            pca_colour=most.pca_colour,
        )
        blur(changed, draws, probability=most.blur, sigma=most.blur_sigma)
        shrink(changed, draws, probability=most.low_resolution, least=most.lowest_resolution)
        compress(changed, draws, probability=most.jpeg, quality=most.jpeg_quality)
        return changed

    return augment
