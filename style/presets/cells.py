"""Cells: the surroundings of scattered places, and how far a pixel is from their borders."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .ground import Array, Random, grid


def inner(label: Array) -> Array:
    """Whether a pixel's neighbours have its label, (S, S)."""
    same = np.ones(label.shape, bool)
    across = label[:, 1:] == label[:, :-1]
    down = label[1:] == label[:-1]
    same[:, 1:] &= across
    same[1:] &= down
    return same


def nearest(places: Array, x: Array, y: Array) -> Array:
    """The number of the nearest place (N, 2) to each pixel, (S, S)."""
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    return cKDTree(places).query(pixels)[1].reshape(x.shape)


def spread_out(random: Random, count: int, rounds: int = 4) -> Array:
    """Places (N, 2) that keep away from each other: Lloyd's relaxation on a coarse grid."""
    places = random.random((count, 2)).astype(np.float32)
    x, y = grid(160)
    for _ in range(rounds):
        owner = nearest(places, x, y)
        index = np.arange(count)
        weight = np.maximum(ndimage.sum(np.ones_like(x), owner, index), 1)
        places = np.stack([ndimage.sum(v, owner, index) / weight for v in (x, y)], axis=1)
    return places.astype(np.float32)
