"""Hashed weights: many weights share a number, and a hash of its place says which.

W. Chen, J. Wilson, S. Tyree, K. Weinberger, Y. Chen: Compressing Neural Networks with the Hashing
Trick, 2015. Nothing but the numbers is written, for the hash is computed again. A second hash gives
each weight a sign, so that sums of weights that share a number tend to cancel.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .forms import HashedForm

MOST_SHARING = 1024
"""Weights that share a number, on average; with more, a few bytes would stand for any size."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 20  # keys hashed at once, each of which takes some 40 bytes meanwhile


def hashed_places(weights: int, buckets: int, seed: int) -> tuple[Tensor, Tensor]:
    """Which bucket each weight takes, and with which sign.

    Args:
        weights: How many there are.
        buckets: How many there are. With as many as weights or more, each has its own.
        seed: 0 … 2**32 - 1.

    Returns:
        (weights,) int64, 0 … buckets - 1; and (weights,) float32, 1 or -1.
    """
    if buckets >= weights:
        return torch.arange(weights), torch.ones(weights)
    places, signs = np.empty(weights, np.int64), np.empty(weights, np.float32)
    for first in range(0, weights, _BLOCK):
        last = min(first + _BLOCK, weights)
        keys = np.arange(first, last, dtype=np.uint64)
        mixed = _mixed(keys + (np.uint64(seed) << np.uint64(32)))
        places[first:last] = (mixed >> np.uint64(1)) % np.uint64(buckets)
        signs[first:last] = 1.0 - 2.0 * (mixed & np.uint64(1)).astype(np.float32)
    return torch.from_numpy(places), torch.from_numpy(signs)


def hashed_form(tensor: Tensor, *, buckets: int, seed: int = 0) -> HashedForm:
    """Find the numbers in the buckets: each the mean of its weights, their signs undone.

    Args:
        tensor: (outputs, …), finite.
        buckets: How many numbers at most.
        seed: Of the hash.
    """
    flat = tensor.detach().cpu().double().reshape(-1)
    count = min(buckets, len(flat))
    places, signs = hashed_places(len(flat), count, seed)
    sums = torch.zeros(count, dtype=torch.float64).index_add(0, places, flat * signs)
    sizes = torch.bincount(places, minlength=count).clamp(min=1)
    return HashedForm(
        shape=tuple(tensor.shape),
        buckets=(sums / sizes).float(),
        seed=seed,
        places=places,
        signs=signs,
    )


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter keys over all of 64 bits (SplitMix64: Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        z = (keys + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
