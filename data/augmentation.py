"""Training batches changed at random: place, colour, wear; seeded."""

import functools
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .config import Configuration, Within
from .errors import ArgumentError

# The random numbers behind one augmented batch: one stream for each kind of change.


class Draws:
    """What is drawn for the images of one batch.

    Every kind of change has a stream of its own, so that switching one on, or giving it another
    strength, leaves the draws of the others as they were.
    """

    def __init__(self, count: int, generator: torch.Generator) -> None:
        """Take one number from a generator; all streams follow from it.

        Args:
            count: B, how many images the batch has.
            generator: On the CPU.
        """
        self._count = count
        self._seed = int(torch.randint(2**32, (1,), generator=generator))

    def stream(self, kind: str) -> torch.Generator:
        """The generator of one kind of change, at its beginning."""
        # The CPU's generator looks at the low 32 bits of its seed alone.
        return torch.Generator().manual_seed(self._seed ^ zlib.crc32(kind.encode()))

    def shares(self, kind: str) -> Tensor:
        """(B,) float32, uniform in [0, 1)."""
        return torch.rand(self._count, generator=self.stream(kind))

    def around_zero(self, kind: str, most: float) -> Tensor:
        """(B,) float32, uniform between -most and most."""
        return (self.shares(kind) * 2 - 1) * most

    def chosen(self, kind: str, probability: float) -> Tensor:
        """(n,) int64, ascending: the images to which a change that has a probability happens."""
        return (self.shares(kind) < probability).nonzero()[:, 0]


# The colours of an augmented image: all changes are linear, so that each image has one matrix.

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


# Where the pixels of an augmented image come from: mirror, turn, crop and warp in one go.

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


# What spoils a photograph: something in the way, blur, too few pixels, JPEG.
#
# Each of these happens to some images of a batch alone, and changes the batch in place.

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


# Seeded augmentation of training batches: place, colour, and what spoils a photograph.
#
# Written here, since `torchvision.transforms.v2` draws once for a whole batch and from the
# process's global generator; this draws for each image, from a generator of its own. The order is
# a camera's: a face somewhere, something before it, the light, the lens, the sensor, the file.

_Share = Annotated[float, Within(0, 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation(Configuration):
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

    mirror: _Share = 0.5
    rotation: Annotated[float, Within(0, 180)] = 8.0
    crop: _Share = 0.1
    warp: Annotated[float, Within(0, MOST_WARP)] = 0.02
    brightness: _Share = 0.2
    contrast: _Share = 0.2
    saturation: _Share = 0.2
    grey: _Share = 0.02
    pca_colour: _Share = 0.1
    blur: _Share = 0.1
    blur_sigma: Annotated[float, Within(0, 16)] = 1.5
    low_resolution: _Share = 0.1
    lowest_resolution: Annotated[float, Within(0, 1, above=True)] = 0.3
    jpeg: _Share = 0.1
    jpeg_quality: Annotated[int, Within(1, BEST_JPEG)] = 30
    occlusion: _Share = 0.1
    occlusion_area: _Share = 0.15

    def _check(self) -> None:
        if self.crop == 1:
            raise ArgumentError("augment.crop is 1, which leaves nothing: expected less")


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
