"""Faces of any size and pose in photographs → upright crops of one size, many at once."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment

from ..results import Face
from .geometry import (
    BOX_CROP_SIZE,
    CROP_SIZE,
    DLIB_CROP_SIZE,
    EYES_CROP_SIZE,
    box_transforms,
    dlib_template,
    eyes_template,
    inverted,
    of_parts,
    shrinkage,
    similarity_transforms,
)

_FACES_PER_PASS = 64
"""So many faces are warped at once, which bounds the memory."""


def align_faces(
    images: Sequence[Image.Image],
    faces: Sequence[Sequence[Face]],
    alignment: Alignment = Alignment.FIVE_POINT,
) -> Tensor:
    """Cut the faces out of photographs.

    Args:
        images: RGB photographs of any sizes.
        faces: The faces of each.
        alignment: `BOX` for crops of 160×160 from the detector's box, `EYES` for 96×96 from the
            eyes, `DLIB` for dlib's 150×150 from five landmarks; any other for ArcFace's 112×112
            from five landmarks.

    Returns:
        (F, 3, S, S) float32, 0 … 1, black outside of the photograph: all faces of the first image,
        then those of the second, and so on.

    Raises:
        ImageError: A face's landmarks coincide.
    """
    pairs = [(image, face) for image, own in zip(images, faces, strict=True) for face in own]
    sizes = [image.size for image, _ in pairs]
    if not pairs:
        size = crop_size(alignment)
        return torch.zeros(0, 3, size, size)
    transforms = transforms_to_crops([face for _, face in pairs], sizes, alignment)
    return cut_out([image for image, _ in pairs], transforms, crop_size(alignment))


def cut_out(images: Sequence[Image.Image], transforms: Tensor, size: int) -> Tensor:
    """Draw a crop of each photograph, smoothed where it is smaller than its place there.

    Args:
        images: RGB photographs of any sizes, one a crop; the same one may stand there again.
        transforms: (F, 2, 3) from each photograph to its crop, in pixels.
        size: Side of the crops in pixels.

    Returns:
        (F, 3, size, size) float32, 0 … 1, black outside of the photograph.
    """
    crops = [torch.zeros(0, 3, size, size)]
    for start in range(0, len(images), _FACES_PER_PASS):
        part = slice(start, start + _FACES_PER_PASS)
        tiles, to_crops = _tiles(images[part], transforms[part], size)
        crops.append(warp(tiles, to_crops, size))
    return torch.cat(crops)


def crop_size(alignment: Alignment) -> int:
    """Side in pixels of the crops that an alignment gives."""
    sizes = {
        Alignment.BOX: BOX_CROP_SIZE,
        Alignment.EYES: EYES_CROP_SIZE,
        Alignment.DLIB: DLIB_CROP_SIZE,
    }
    return sizes.get(alignment, CROP_SIZE)


def transforms_to_crops(
    faces: Sequence[Face], sizes: Sequence[tuple[int, int]], alignment: Alignment
) -> Tensor:
    """Where an alignment puts faces.

    Args:
        faces: The faces.
        sizes: Width and height of each face's image in pixels.
        alignment: As in `align_faces`.

    Returns:
        (F, 2, 3) float32 from the images to the crops, in pixels.

    Raises:
        ImageError: A face's landmarks coincide.
    """
    landmarks = torch.tensor([face.landmarks for face in faces], dtype=torch.float32)
    if alignment is Alignment.EYES:
        return similarity_transforms(landmarks[:, :2], eyes_template())
    if alignment is Alignment.DLIB:
        return similarity_transforms(landmarks, dlib_template())
    if alignment is not Alignment.BOX:
        return similarity_transforms(landmarks)
    boxes = torch.tensor([face.box for face in faces], dtype=torch.float32)
    return box_transforms(boxes, landmarks, torch.tensor(sizes))


def align_tensors(
    images: Tensor, owners: Tensor, transforms: Tensor, size: int = CROP_SIZE
) -> Tensor:
    """Cut faces out of images that gradients flow back to.

    Args:
        images: (B, 3, H, W) floating point.
        owners: (F,) int64, the image of each face.
        transforms: (F, 2, 3) from an image to the crop, in pixels, as `similarity_transforms` and
            `box_transforms` give them.
        size: Side of the crops in pixels.

    Returns:
        (F, 3, size, size), zero outside of the image; differentiable in the images.
    """
    factors = _reduction(transforms)
    smaller_transforms = of_parts(transforms, torch.zeros_like(transforms[:, :, 2]), factors)
    crops = images.new_zeros(len(transforms), images.shape[1], size, size)
    for factor in torch.unique(factors).tolist():
        mine = (factors == factor).nonzero()[:, 0]
        smaller = images
        if factor > 1:
            smaller = F.avg_pool2d(images, factor, ceil_mode=True, count_include_pad=False)
        warped = warp(smaller[owners[mine]], smaller_transforms[mine], size)
        crops = crops.index_copy(0, mine, warped)
    return crops


def warp(images: Tensor, transforms: Tensor, size: int) -> Tensor:
    """Draw each image as its transform says, between pixels linearly.

    Nothing is smoothed: who shrinks by more than about 1.5 reduces the image first.

    Args:
        images: (F, C, H, W) floating point.
        transforms: (F, 2, 3) from the image to the crop, in pixels.
        size: Side of the crops in pixels.

    Returns:
        (F, C, size, size), zero outside of the image; differentiable in both.
    """
    count, channels, height, width = images.shape
    to_image = inverted(transforms)
    # affine_grid counts from -1 to 1 between the outer edges, on both sides.
    extent = to_image.new_tensor([width, height])[:, None]  # (2, 1)
    linear = to_image[:, :, :2] * size / extent
    centre = to_image[:, :, :2].sum(2, keepdim=True) * (size / 2) + to_image[:, :, 2:]
    theta = torch.cat([linear, 2 * centre / extent - 1], 2)
    grid = F.affine_grid(theta, [count, channels, size, size], align_corners=False)
    return F.grid_sample(
        images, grid.to(images), mode="bilinear", padding_mode="zeros", align_corners=False
    )


def _reduction(transforms: Tensor) -> Tensor:
    """By which whole number each image is to be reduced before it is warped: (F,) int64.

    What is left to the warp is a factor of 1.5 at most, which needs no smoothing.
    """
    return (shrinkage(transforms) + 0.5).floor().clamp(min=1).long()


def _tiles(images: Sequence[Image.Image], transforms: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cut out what each crop will be drawn from, reduced where that is large.

    Only the face's surroundings are touched, however large the photograph.

    Returns:
        (F, 3, h, w) float32, 0 … 1, tiles padded to a common size with black, and the transforms
        (F, 2, 3) from the tiles to the crops.
    """
    corners = transforms.new_tensor([[0, size, 0, size], [0, 0, size, size]])
    to_image = inverted(transforms)
    seen = to_image[:, :, :2] @ corners + to_image[:, :, 2:]  # (F, 2, 4)
    regions = torch.cat([seen.amin(2), seen.amax(2)], 1)  # (F, 4)
    factors = _reduction(transforms)
    cut = [_tile(*each) for each in zip(images, regions.tolist(), factors.tolist(), strict=True)]
    height, width = (max(pixels.shape[axis] for pixels, _ in cut) for axis in (0, 1))
    tiles = torch.zeros(len(cut), 3, height, width)
    for tile, (pixels, _) in zip(tiles, cut, strict=True):
        tile[:, : pixels.shape[0], : pixels.shape[1]] = pixels.permute(2, 0, 1)
    origins = transforms.new_tensor([origin for _, origin in cut])
    return tiles / 255, of_parts(transforms, origins, factors)


def _tile(
    image: Image.Image, region: Sequence[float], factor: int
) -> tuple[Tensor, tuple[int, int]]:
    """Cut a region out of an image and average squares of factor×factor pixels.

    Returns:
        (h, w, 3) uint8 and where in the image it begins, x and y. At least one pixel.
    """
    # One pixel of the tile more on each side, for the interpolation.
    left = min(max(0, math.floor(region[0]) - factor), image.width - 1)
    top = min(max(0, math.floor(region[1]) - factor), image.height - 1)
    right = max(min(image.width, math.ceil(region[2]) + factor), left + 1)
    bottom = max(min(image.height, math.ceil(region[3]) + factor), top + 1)
    part = image.crop((left, top, right, bottom)).reduce(factor)
    return torch.from_numpy(np.array(part)), (left, top)
