"""What spoils a photograph: something in the way, blur, too few pixels, JPEG.

Each of these happens to some images of a batch alone, and changes the batch in place.
"""

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .draws import Draws

BEST_JPEG = 95
"""Quality above which JPEG leaves no visible trace."""

_SMALLEST_AREA = 0.02
_FLATTEST = 0.3  # least ratio of an occluder's sides


def occlude(images: Tensor, draws: Draws, *, probability: float, area: float) -> None:
    """Cover a random rectangle by the image's mean colour or by noise (Zhong et al. 2020).

    Args:
        images: (B, 3, H, W) floating point in [0, 1]; changed.
        draws: Of this batch.
        probability: That an image is covered.
        area: Most of an image that is covered, as a share.
    """
    chosen = draws.chosen("occlusion", probability)
    if not len(chosen) or not area:
        return
    smallest = min(_SMALLEST_AREA, area)
    covered = smallest + (area - smallest) * draws.shares("occlusion area")[chosen]
    ratio = (draws.around_zero("occlusion ratio", -math.log(_FLATTEST))[chosen]).exp()
    height, width = (covered * ratio).sqrt().clamp(max=1), (covered / ratio).sqrt().clamp(max=1)
    down = _within(draws.shares("occlusion down")[chosen], height, images.shape[2])
    across = _within(draws.shares("occlusion across")[chosen], width, images.shape[3])
    hidden = (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1)  # (n, 1, H, W)
    before = images[chosen]
    noise = torch.rand(before.shape, generator=draws.stream("occlusion noise")).to(images)
    noisy = (draws.shares("occlusion kind")[chosen] < 0.5).view(-1, 1, 1, 1).to(images.device)
    cover = torch.where(noisy, noise, before.mean(dim=(2, 3), keepdim=True))
    images[chosen] = torch.where(hidden.to(images.device), cover, before)


def _within(place: Tensor, length: Tensor, side: int) -> Tensor:
    """(n, side) bool: the pixels of a side that lie in a part of it, somewhere."""
    pixels = (torch.arange(side) + 0.5) / side
    start = (place * (1 - length)).unsqueeze(1)
    return (pixels >= start) & (pixels < start + length.unsqueeze(1))


def blur(images: Tensor, draws: Draws, *, probability: float, sigma: float) -> None:
    """Smooth by a Gaussian of random width; the border is repeated outwards.

    Args:
        images: (B, 3, H, W) floating point; changed.
        draws: Of this batch.
        probability: That an image is blurred.
        sigma: Largest standard deviation in pixels.
    """
    chosen = draws.chosen("blur", probability)
    if not len(chosen) or not sigma:
        return
    widths = (draws.shares("blur sigma")[chosen] * sigma).clamp(min=1e-3)
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1)
    kernels = (-((offsets / widths.unsqueeze(1)) ** 2) / 2).softmax(dim=1)  # (n, K)
    kernels = kernels.repeat_interleave(3, dim=0).to(images)  # (3n, K)
    height, width = images.shape[2:]
    planes = images[chosen].view(1, -1, height, width)  # (1, 3n, H, W)
    planes = F.pad(planes, [radius] * 4, mode="replicate")
    planes = F.conv2d(planes, kernels[:, None, :, None], groups=len(kernels))
    planes = F.conv2d(planes, kernels[:, None, None, :], groups=len(kernels))
    images[chosen] = planes.view(-1, 3, height, width)


def shrink(images: Tensor, draws: Draws, *, probability: float, least: float) -> None:
    """Leave only what a photograph of a small face would show: shrunk, and enlarged again.

    Args:
        images: (B, 3, H, W) floating point; changed.
        draws: Of this batch.
        probability: That an image is shrunk.
        least: Share of each side that is left at least.
    """
    size = tuple(images.shape[2:])
    shares = least + (1 - least) * draws.shares("low_resolution share")
    for index in draws.chosen("low_resolution", probability).tolist():
        smaller = [max(1, round(side * float(shares[index]))) for side in size]
        if tuple(smaller) != size:
            small = F.interpolate(images[index, None], smaller, mode="bilinear", antialias=True)
            images[index] = F.interpolate(small, size, mode="bilinear")[0]


def compress(images: Tensor, draws: Draws, *, probability: float, quality: int) -> None:
    """Write as JPEG and read again, in memory.

    Args:
        images: (B, 3, H, W) floating point in [0, 1]; changed.
        draws: Of this batch.
        probability: That an image is compressed.
        quality: Lowest quality; the highest is `BEST_JPEG`.
    """
    chosen = draws.chosen("jpeg", probability)
    if not len(chosen):
        return
    span = BEST_JPEG + 1 - quality
    qualities = (quality + draws.shares("jpeg quality")[chosen] * span).long().tolist()
    pixels = (images[chosen] * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    spoilt = [_as_jpeg(each, quality) for each, quality in zip(pixels, qualities, strict=True)]
    read = torch.from_numpy(np.stack(spoilt)).permute(0, 3, 1, 2)  # (n, 3, H, W) uint8
    images[chosen] = read.to(images) / 255


def _as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB, as it comes back."""
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=quality)
    with Image.open(written, formats=("JPEG",)) as image:
        return np.array(image)
