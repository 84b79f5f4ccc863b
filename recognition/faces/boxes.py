"""Arithmetic of boxes: (x1, y1, x2, y2) in pixels, many at a time, of many images at a time.

`owners` says for each box which image of the batch it lies in; boxes of two images never meet.
"""

import torch
from torch import Tensor
from torchvision.ops import batched_nms


def moved(boxes: Tensor, movement: Tensor) -> Tensor:
    """Move the edges of boxes as a network says.

    Args:
        boxes: (N, 4) in pixels.
        movement: (N, 4), for each edge in sides of the box, positive to the right and down.

    Returns:
        The moved boxes (N, 4).
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + movement * sides.repeat(1, 2)


def squared(boxes: Tensor) -> Tensor:
    """Grow the shorter side of boxes (N, 4) to the longer one, about the same centre."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def strongest(scores: Tensor, owners: Tensor, limit: int) -> Tensor:
    """Pick the best-scored boxes of each image.

    Args:
        scores: (N,).
        owners: (N,) image of each box.
        limit: At most so many of one image.

    Returns:
        Indices of what stays, in the given order.
    """
    if len(scores) <= limit:
        return torch.arange(len(scores), device=scores.device)
    order = scores.argsort(descending=True, stable=True)
    order = order[owners[order].argsort(stable=True)]  # by image, and in each by score
    counts = owners.bincount()
    first = counts.cumsum(0) - counts
    rank = torch.arange(len(order), device=order.device) - first[owners[order]]
    return order[rank < limit].sort().values


def overlapping_removed(boxes: Tensor, scores: Tensor, owners: Tensor, threshold: float) -> Tensor:
    """Suppress each box that overlaps a better one of its image (non-maximum suppression).

    Args:
        boxes: (N, 4).
        scores: (N,).
        owners: (N,) image of each box.
        threshold: Intersection over union above which the weaker box goes.

    Returns:
        Indices of what stays, best first.
    """
    # In double precision: images are kept apart by large offsets, and rounding them would let the
    # result for one image depend on how many others share its batch.
    kept: Tensor = batched_nms(boxes.double(), scores.double(), owners, threshold)
    return kept


def nested_removed(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Suppress each box of one image that lies mostly inside a better one, or around it.

    Args:
        boxes: (N, 4) of a single image.
        scores: (N,).
        threshold: Intersection over the smaller area above which the weaker box goes.

    Returns:
        Indices of what stays, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    clashes = shared > threshold * torch.minimum(areas[:, None], areas)
    kept = torch.ones(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if kept[i]:
            kept[i + 1 :] &= ~clashes[i, i + 1 :]
    return order[kept]
