"""How far the network is from what it is told, and the changes that each batch undergoes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from data.augmentation import Draws, recolour

from ..one_stage_network import STRIDES

_FACE = 0.3  # from this score on a cell has a box and landmarks to learn
_MIRRORED_POINTS = (1, 0, 2, 4, 3)  # the left eye of a mirrored face was its right one


def losses(values: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The three losses of a batch.

    Scores are learnt by binary cross-entropy, weighted by how wrong they are (quality focal loss,
    Li et al. 2020, with exponent 1), so that the many cells of the background do not drown the
    faces. Boxes and landmarks are learnt where there is a face, as relative errors: a pixel counts
    more on a small face.

    Args:
        values: (B, cells, 15) of the network.
        targets: (B, cells, 16), see `mosaics.targets`.

    Returns:
        `score`, `box` and `landmarks`.
    """
    wanted = targets[..., 0]
    wrong = (values[..., 0].detach().sigmoid() - wanted).abs()
    entropy = F.binary_cross_entropy_with_logits(values[..., 0], wanted, reduction="none")
    face = wanted > _FACE
    weight, target, value = wanted[face], targets[face], values[face]  # (N,), (N, 16), (N, 15)
    norm = weight.sum().clamp(min=1)
    sides = target[:, 3:5].exp()  # (N, 2) in strides
    centre = ((value[:, 1:3] - target[:, 1:3]) / sides).abs().sum(1)
    size = (value[:, 3:5] - target[:, 3:5]).abs().sum(1)
    gaps = (value[:, 5:15] - target[:, 5:15]).abs().view(-1, 5, 2) / sides[:, None]
    points = gaps.mean((1, 2)) * target[:, 15]
    return {
        "score": (entropy * wrong).sum() / norm,
        "box": ((centre + size) * weight).sum() / norm,
        "landmarks": (points * weight).sum() / norm,
    }


def changed(pictures: Tensor, targets: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror half of the mosaics and recolour them all, with what the network is told of them.

    Args:
        pictures: (B, 3, S, S) uint8.
        targets: (B, cells, 16).
        source: Draws.

    Returns:
        Pictures (B, 3, S, S) float32 in [0, 1] and targets (B, cells, 16).
    """
    draws = Draws(len(pictures), source)
    images = recolour(
        pictures.float() / 255,
        draws,
        brightness=0.3,
        contrast=0.3,
        saturation=0.4,
        grey=0.1,
        pca_colour=0.3,
    )
    chosen = draws.chosen("mirror", 0.5)
    images, targets = images.clone(), targets.clone()
    images[chosen] = images[chosen].flip(3)
    targets[chosen] = mirrored(targets[chosen], pictures.shape[3])
    return images.contiguous(memory_format=torch.channels_last), targets


def mirrored(targets: Tensor, side: int) -> Tensor:
    """What the cells of a square picture are told once it is mirrored.

    Args:
        targets: (B, cells, 16).
        side: Of the picture in pixels.
    """
    levels = []
    start = 0
    for stride in STRIDES:
        count = side // stride
        grid = targets[:, start : start + count**2].view(-1, count, count, targets.shape[2])
        levels.append(grid.flip(2).flatten(1, 2))
        start += count**2
    turned = torch.cat(levels, 1)
    points = torch.unflatten(turned[..., 5:15], -1, (5, 2))[..., _MIRRORED_POINTS, :]
    points = points * torch.tensor([-1.0, 1.0])
    parts = [turned[..., :1], -turned[..., 1:2], turned[..., 2:5], points.flatten(-2)]
    return torch.cat([*parts, turned[..., 15:]], -1)
