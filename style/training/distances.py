"""How far feature maps are from others, relative to what varies in those.

As in `style.losses`, for batches: 0 is the target itself, 1 is as far away as the target varies.
"""

from torch import Tensor

_FLOOR = 1e-3  # of the whole energy: a crop of one plain colour varies by rounding alone


def feature_distance(maps: Tensor, targets: Tensor) -> Tensor:
    """Squared distance place by place, relative to the targets' variance about channel means.

    Args:
        maps: (B, C, H, W) float32.
        targets: The same shape.

    Returns:
        A scalar.
    """
    means = targets.mean(dim=(0, 2, 3), keepdim=True)
    energy = (targets - means).square().mean() + _FLOOR * targets.square().mean()
    return (maps - targets).square().mean() / energy


def gram_distance(grams: Tensor, wanted: Tensor, energy: Tensor) -> Tensor:
    """Squared distance of Gram matrices, relative to the energy of all in the batch.

    Relative to each one's own, the plainest picture would outweigh all others.

    Args:
        grams: (B, C, C).
        wanted: (B, C, C).
        energy: (B,), of `gram_energy`.

    Returns:
        A scalar.
    """
    return (grams - wanted).square().sum() / energy.sum()


def gram_matrices(maps: Tensor) -> Tensor:
    """Mean products of all pairs of channels over all places: (B, C, H, W) → (B, C, C)."""
    places = maps.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H*W, C)
    return places.transpose(1, 2) @ places / places.shape[1]


def gram_energy(maps: Tensor, grams: Tensor) -> Tensor:
    """What a distance from these Gram matrices is measured by.

    Args:
        maps: (B, C, H, W).
        grams: Theirs, (B, C, C).

    Returns:
        (B,): the energy of the Gram matrix of what varies about the channels' means.
    """
    varying = gram_matrices(maps - maps.mean(dim=(2, 3), keepdim=True))
    energy = varying.square().sum(dim=(1, 2)) + _FLOOR * grams.square().sum(dim=(1, 2))
    return energy.clamp_min(1e-12)
