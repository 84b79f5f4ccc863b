"""One face cut out several times, a little beside and around: whoever averages sees it better.

AlexNet (Krizhevsky et al., NIPS 2012) averages what it says of the centre and the four corners of a
picture, and of their mirror images. An aligned face fills its picture, so its corners are near.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from data.errors import ArgumentError

_SHIFT = 1 / 28
"""How far a corner lies from the centre, of the side: 4 of 112 pixels."""

_ZOOM = 1.06
"""By how much a scale is larger than the next."""

_CORNERS = ((0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1))
_VIEWS = {
    1: [(0, 0, 1.0)],
    5: [(x, y, 1.0) for x, y in _CORNERS],
    15: [(x, y, zoom) for zoom in (1.0, _ZOOM, 1 / _ZOOM) for x, y in _CORNERS],
}

CROP_COUNTS = tuple(_VIEWS)
"""The face as it is; with four corners; these five at three scales."""


def check_crops(count: int) -> None:
    """Refuse a number of crops for which there is no set.

    Raises:
        ArgumentError: It is not one of `CROP_COUNTS`.
    """
    if count not in _VIEWS:
        known = ", ".join(map(str, CROP_COUNTS))
        raise ArgumentError(f"a face cannot be cut out {count} times: take one of {known}")


def cut_several(faces: Tensor, count: int) -> Iterator[Tensor]:
    """Cut each face out several times.

    Args:
        faces: (F, 3, S, S) floating point, aligned.
        count: One of `CROP_COUNTS`.

    Yields:
        (F, 3, S, S), the faces as they are first; beyond the edge its pixels are repeated.
    """
    for x, y, zoom in _VIEWS[count]:
        yield faces if (x, y, zoom) == (0, 0, 1.0) else _cut(faces, x, y, zoom)


def _cut(faces: Tensor, x: int, y: int, zoom: float) -> Tensor:
    # A side is 2 long for affine_grid.
    theta = faces.new_tensor([[1 / zoom, 0, 2 * _SHIFT * x], [0, 1 / zoom, 2 * _SHIFT * y]])
    grid = F.affine_grid(theta.expand(len(faces), 2, 3), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)
