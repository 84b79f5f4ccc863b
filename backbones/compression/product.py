"""Product quantisation of weights: short runs of them, each replaced by one of a few vectors.

Y. Gong, L. Liu, M. Yang, L. Bourdev: Compressing Deep Convolutional Networks using Vector
Quantization, 2014; H. Jégou, M. Douze, C. Schmid, 2011, for the k-means of vectors. The paper has a
codebook for each column of runs, which a matrix of thousands of rows can fill; a convolution of 128
outputs cannot, so here a tensor has one codebook for all of its runs, each divided by the size of
its output's weights. That size is rounded to a power of two, which loses no bit.
"""

import math

import torch
from torch import Tensor

from .forms import ProductForm, rows_of

_MOST_STEPS = 40
_CHUNK = 8192


def default_length(shape: tuple[int, ...]) -> int:
    """How long a run is unless somebody says: a filter's plane, or four weights of a 1×1 filter."""
    plane = math.prod(shape[2:])
    return plane if plane > 1 else 4


def product_form(
    tensor: Tensor, *, centroids: int, length: int | None = None, seed: int = 0
) -> ProductForm:
    """Find a codebook for the runs of a tensor's weights.

    Args:
        tensor: (outputs, …), finite.
        centroids: k, how many vectors at most.
        length: d, weights a run; None takes `default_length`.
        seed: Of the vectors that k-means begins with.

    Returns:
        The form; it is the tensor itself, to the last bit, where there are no more different runs
        than centroids.
    """
    shape = tuple(tensor.shape)
    rows = rows_of(tensor.float())
    length = length or default_length(shape)
    size = rows.square().mean(1).sqrt()
    exponents = torch.where(size > 0, size, 1.0).log2().round().clamp(-100, 100)
    scale = torch.exp2(exponents)
    missing = -rows.shape[1] % length
    padded = torch.nn.functional.pad(rows / scale[:, None], (0, missing))
    vectors = padded.reshape(-1, length)
    codebook, codes = vector_means(vectors, centroids, seed)
    return ProductForm(shape=shape, codebook=codebook.float(), codes=codes, scale=scale.float())


def vector_means(vectors: Tensor, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """k-means of vectors, by Lloyd's algorithm.

    Args:
        vectors: (n, d) float64, n ≥ 1.
        count: How many means at most.
        seed: Of the different vectors that it begins with.

    Returns:
        (k ≤ count, d) means, and for each vector the index of the nearest, (n,) int64.
    """
    different = torch.unique(vectors, dim=0)
    if len(different) <= count:
        return different, _nearest(vectors, different)
    draw = torch.Generator().manual_seed(seed)
    means = different[torch.randperm(len(different), generator=draw)[:count]]
    codes = _nearest(vectors, means)
    for _ in range(_MOST_STEPS):
        sums = torch.zeros_like(means).index_add(0, codes, vectors)
        sizes = torch.bincount(codes, minlength=len(means))
        kept = sizes > 0
        means = sums[kept] / sizes[kept, None]
        if bool((~kept).any()):  # a mean that nothing is near to begins anew at what is farthest
            off = (vectors - sums[codes] / sizes[codes, None]).square().sum(1)
            means = torch.cat([means, vectors[off.topk(int((~kept).sum())).indices]])
        new = _nearest(vectors, means)
        if torch.equal(new, codes) and bool(kept.all()):
            break
        codes = new
    return means, codes


def _nearest(vectors: Tensor, means: Tensor) -> Tensor:
    """(n,) int64, the index of the nearest mean; the first of those equally near."""
    lengths = means.square().sum(1)
    parts = [
        (lengths - 2 * part @ means.T).argmin(1) for part in torch.split(vectors, _CHUNK)
    ]  # ‖v‖² is the same for all means
    codes = torch.cat(parts)
    # Rounding may prefer a neighbour to a mean that is the vector itself.
    off = (vectors - means[codes]).square().sum(1)
    for at in torch.nonzero((off > 0) & (off < 1e-12 * vectors.square().sum(1)))[:, 0].tolist():
        codes[at] = (means - vectors[at]).square().sum(1).argmin()
    return codes
