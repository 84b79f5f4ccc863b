"""The affine transforms that bring faces upright and to one size.

A transform (2, 3) maps pixels of an image to pixels of a crop, both counted from the outer corner
of the top left pixel, so that scaling an image scales its transform and shifts nothing.
"""

import math

import torch
from torch import Tensor

from data.errors import ImageError

CROP_SIZE = 112
"""Side of a crop aligned by five landmarks, in pixels."""

EYES_CROP_SIZE = 96
"""Side of a crop aligned by the eyes, in pixels."""

DLIB_CROP_SIZE = 150
"""Side of a chip as dlib cuts it, in pixels."""

BOX_CROP_SIZE = 160
"""Side of a crop aligned by the detector's box, in pixels."""

_BOX_MARGIN = 14

# Where ArcFace (Deng et al. 2019) wants the eyes, the nose and the corners of the mouth in 112×112.
_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)

# Where the eyes lie in 96×96. They are 36 pixels apart, so a pixel shows what one of the template
# above does, and the 96 show a face from the middle of the forehead to the chin. For a face that
# fits that template they lie within its 112×112: 9 pixels are left at the sides, 14 above, 4 below.
_EYES = ((30.0, 38.0), (66.0, 38.0))

# Where MTCNN's five landmarks lie in dlib's chip of 150×150, on average. dlib cuts it by landmarks
# of its own, which are no part of what it gave away: these were fitted to its chips.
_DLIB = (
    (48.0, 46.2),
    (102.0, 45.9),
    (74.4, 79.4),
    (51.7, 106.3),
    (98.9, 105.7),
)


def template(size: int = CROP_SIZE) -> Tensor:
    """Where the five landmarks lie in an aligned crop.

    Args:
        size: Side of the crop in pixels.

    Returns:
        (5, 2) float32, x and y in pixels: left eye, right eye, nose, left and right mouth corner.
    """
    return torch.tensor(_TEMPLATE) * (size / CROP_SIZE)


def eyes_template() -> Tensor:
    """Where the eyes lie in a crop that is aligned by them: (2, 2) float32, left, right; x, y."""
    return torch.tensor(_EYES)


def dlib_template() -> Tensor:
    """Where the five landmarks lie in dlib's chip: (5, 2) float32, as in `template`."""
    return torch.tensor(_DLIB)


def similarity_transforms(landmarks: Tensor, target: Tensor | None = None) -> Tensor:
    """Fit to each face the similarity that brings its landmarks closest to the template.

    The least-squares solution of S. Umeyama 1991, which never mirrors. In two dimensions it has a
    closed form: with centred points as complex numbers, turning and scaling is the product with
    Σ conj(source)·target / Σ |source|².

    Args:
        landmarks: (F, P, 2) in pixels of the image, P points at least 2.
        target: (P, 2) in pixels of the crop; None takes ArcFace's five for 112×112.

    Returns:
        (F, 2, 3) transforms from the image to the crop; differentiable in the landmarks.

    Raises:
        ImageError: The landmarks of a face coincide, or are not finite.
    """
    wanted = (template() if target is None else target).to(landmarks)
    source_centre, wanted_centre = landmarks.mean(1), wanted.mean(0)  # (F, 2), (2,)
    x, y = (landmarks - source_centre[:, None]).unbind(-1)  # (F, P) each
    u, v = (wanted - wanted_centre).unbind(-1)  # (P,) each
    spread = (x.square() + y.square()).sum(1)  # (F,)
    if not bool((torch.isfinite(spread) & (spread > 0)).all()):
        raise ImageError("a face's landmarks coincide or are not finite: it cannot be aligned")
    real = (x * u + y * v).sum(1) / spread
    imaginary = (x * v - y * u).sum(1) / spread
    linear = torch.stack([real, -imaginary, imaginary, real], 1).view(-1, 2, 2)
    return torch.cat([linear, _shift(linear, source_centre, wanted_centre)], 2)


def box_transforms(boxes: Tensor, landmarks: Tensor, sizes: Tensor) -> Tensor:
    """Bring each box, with FaceNet's margin, to a square crop of 160×160.

    As facenet-pytorch does: 14 pixels of the crop are margin, what would reach over the image's
    border is cut off, and the rest is stretched to a square. A face that lies on its side or upside
    down is turned upright by whole quarters first.

    Args:
        boxes: (F, 4) in pixels of the image.
        landmarks: (F, 5, 2), which say where a face's chin points.
        sizes: (F, 2) width and height of each face's image.

    Returns:
        (F, 2, 3) transforms from the image to the crop.
    """
    half_margin = (boxes[:, 2:] - boxes[:, :2]) * (_BOX_MARGIN / (BOX_CROP_SIZE - _BOX_MARGIN) / 2)
    low = (boxes[:, :2] - half_margin).clamp(min=0)
    high = torch.minimum(boxes[:, 2:] + half_margin, sizes.to(boxes))
    down = landmarks[:, 3:].mean(1) - landmarks[:, :2].mean(1)  # from the eyes to the mouth
    quarters = torch.round(torch.atan2(down[:, 0], down[:, 1]) / (math.pi / 2))
    cos, sin = (quarters * (math.pi / 2)).cos().round(), (quarters * (math.pi / 2)).sin().round()
    turn = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    extent = (turn.abs() @ (high - low).clamp(min=1)[:, :, None])[:, :, 0]  # as seen in the crop
    linear = turn * (BOX_CROP_SIZE / extent)[:, :, None]
    centre = boxes.new_full((2,), BOX_CROP_SIZE / 2)
    return torch.cat([linear, _shift(linear, (low + high) / 2, centre)], 2)


def inverted(transforms: Tensor) -> Tensor:
    """The transforms (F, 2, 3) from crops back to their images."""
    linear = torch.linalg.inv(transforms[:, :, :2])
    return torch.cat([linear, -linear @ transforms[:, :, 2:]], 2)


def of_parts(transforms: Tensor, origins: Tensor, factors: Tensor) -> Tensor:
    """The same transforms, for parts of the images instead of the images.

    Args:
        transforms: (F, 2, 3) from the images to the crops.
        origins: (F, 2) where in its image each part begins, in pixels.
        factors: (F,) how many pixels of the image, along one side, make one of the part.

    Returns:
        (F, 2, 3) from the parts to the crops.
    """
    linear = transforms[:, :, :2]
    shift = linear @ origins[:, :, None] + transforms[:, :, 2:]
    return torch.cat([linear * factors[:, None, None], shift], 2)


def shrinkage(transforms: Tensor) -> Tensor:
    """How many pixels of the image, along one side, make one pixel of the crop: (F,)."""
    areas: Tensor = torch.linalg.det(transforms[:, :, :2])
    return areas.abs().rsqrt()


def _shift(linear: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """The last column (F, 2, 1) that lets a linear part bring `source` to `target`."""
    return target[..., None] - linear @ source[..., None]
