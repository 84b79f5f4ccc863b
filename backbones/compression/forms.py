"""What a tensor may be computed from: fewer numbers than it has; and how such a form is found.

A form holds a few numbers and whatever says how the tensor comes out of them. The tensor is
differentiable in these numbers, so they can be trained while the rest of the form stays: which
weights are zero, and which share a value. The gradient of a shared number is then the sum of the
gradients of all weights that it stands for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Form(Protocol):
    """A tensor by fewer numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's."""

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """What may be trained, float32."""

    def with_numbers(self, numbers: Sequence[Tensor]) -> Self:
        """The same form with other numbers, as many of the same shapes."""

    def tensor(self) -> Tensor:
        """The tensor, float32, differentiable in the numbers."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ValueForm:
    """Numbers at some places and zeros elsewhere, each number its own or one of a few values.

    Attributes:
        shape: Of the tensor.
        values: (n,) the numbers themselves, or (k,) the values that they share.
        places: (n,) int64, rising, where the numbers stand; None: everywhere.
        codes: (n,) int64, which value each number takes; None: its own.
        scale: (shape[0],), what the values of each output are multiplied by; None: nothing.
    """

    shape: tuple[int, ...]
    values: Tensor
    places: Tensor | None = None
    codes: Tensor | None = None
    scale: Tensor | None = None

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """The values."""
        return (self.values,)

    def with_numbers(self, numbers: Sequence[Tensor]) -> Self:
        """The same places and codes with other values."""
        (values,) = numbers
        return replace(self, values=values)

    def tensor(self) -> Tensor:
        """Of `shape`, float32."""
        flat = self.values if self.codes is None else self.values[self.codes]
        if self.places is not None:
            zeros = flat.new_zeros(math.prod(self.shape))
            flat = zeros.index_put((self.places,), flat)
        if self.scale is not None:
            flat = flat.view(self.shape[0], -1) * self.scale[:, None]
        return flat.view(self.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LowRankForm:
    """A product of two narrow matrices.

    Attributes:
        shape: Of the tensor; its first axis is the matrix's rows, the others its columns.
        left: (rows, rank).
        right: (rank, columns).
    """

    shape: tuple[int, ...]
    left: Tensor
    right: Tensor

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """Both matrices."""
        return (self.left, self.right)

    def with_numbers(self, numbers: Sequence[Tensor]) -> Self:
        """The product of others."""
        left, right = numbers
        return replace(self, left=left, right=right)

    def tensor(self) -> Tensor:
        """Of `shape`, float32.

        Summed in float64: in which order hardly ever changes what it is rounded to.
        """
        return (self.left.double() @ self.right.double()).float().view(self.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProductForm:
    """Short runs of each output's weights, each one of a few vectors.

    Attributes:
        shape: Of the tensor.
        codebook: (k, d), the vectors.
        codes: (shape[0] * runs,) int64, which vector each run is; the last run of an output may
            reach beyond its weights.
        scale: (shape[0],), powers of two that the vectors of each output are multiplied by.
    """

    shape: tuple[int, ...]
    codebook: Tensor
    codes: Tensor
    scale: Tensor

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """The codebook."""
        return (self.codebook,)

    def with_numbers(self, numbers: Sequence[Tensor]) -> Self:
        """The same codes into another codebook."""
        (codebook,) = numbers
        return replace(self, codebook=codebook)

    def tensor(self) -> Tensor:
        """Of `shape`, float32."""
        rows = self.codebook[self.codes].view(self.shape[0], -1)  # (rows, runs * d)
        columns = math.prod(self.shape[1:])
        return (rows[:, :columns] * self.scale[:, None]).view(self.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HashedForm:
    """Few numbers, and a hash that says which of them each weight is, and with which sign.

    Attributes:
        shape: Of the tensor.
        buckets: (k,), the numbers.
        seed: Of the hash.
        places: (weights,) int64, the bucket of each weight; follows from the seed.
        signs: (weights,) float32, 1 or -1; follows from the seed.
    """

    shape: tuple[int, ...]
    buckets: Tensor
    seed: int
    places: Tensor
    signs: Tensor

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """The buckets."""
        return (self.buckets,)

    def with_numbers(self, numbers: Sequence[Tensor]) -> Self:
        """The same hash into other buckets."""
        (buckets,) = numbers
        return replace(self, buckets=buckets)

    def tensor(self) -> Tensor:
        """Of `shape`, float32."""
        return (self.buckets[self.places] * self.signs).view(self.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegerForm:
    """Integers of eight bits, times a step an output; nothing of it is trained.

    Attributes:
        shape: Of the tensor.
        codes: Of that shape, int8.
        scale: (shape[0],), the steps.
        ends: The least and the largest number that flows into the layer; 0 lies between them.
    """

    shape: tuple[int, ...]
    codes: Tensor
    scale: Tensor
    ends: tuple[float, float]

    @property
    def numbers(self) -> tuple[Tensor, ...]:
        """None: what a step is follows from the largest integer."""
        return ()

    def with_numbers(self, numbers: Sequence[Tensor]) -> Self:
        """The same."""
        return self

    def tensor(self) -> Tensor:
        """Of `shape`, float32."""
        steps = self.scale.view(-1, *[1] * (len(self.shape) - 1))
        return self.codes.float() * steps


def detached(form: Form) -> tuple[Tensor, ...]:
    """A form's numbers as leaves to be trained, apart from the form's own."""
    return tuple(part.detach().contiguous().clone().requires_grad_(True) for part in form.numbers)


def moved(form: Form, device: torch.device) -> Form:
    """The same form with all of its tensors on a device."""
    kept: Any = form  # a frozen data class, as all forms are
    held = {field.name: getattr(kept, field.name) for field in fields(kept)}
    tensors = {name: one.to(device) for name, one in held.items() if isinstance(one, Tensor)}
    changed: Form = replace(kept, **tensors)
    return changed


def rows_of(tensor: Tensor) -> Tensor:
    """(outputs, weights of each), float64, on the CPU."""
    return tensor.detach().cpu().double().reshape(len(tensor), -1)


# Tensors as products of two narrow matrices: the singular values that matter.
#
# E. Denton et al.: Exploiting Linear Structure Within Convolutional Networks, 2014. Of all
# matrices of a rank, the one that keeps the largest singular values lies nearest (Eckart and
# Young, 1936); the square of what is missing is the sum of the squares of those left out.


def low_rank_form(
    tensor: Tensor, *, energy: float | None = None, rank: int | None = None
) -> LowRankForm:
    """Find the nearest product of two narrow matrices.

    Args:
        tensor: (outputs, …), finite.
        energy: The part of the sum of squares that it keeps at least, above 0 … 1; the rank
            follows. None: `rank` says it.
        rank: Of the product; what is beyond the tensor's own is left out.

    Returns:
        The product, each matrix with the root of the singular values.
    """
    rows = rows_of(tensor)
    left, sizes, right = torch.linalg.svd(rows, full_matrices=False)
    kept = len(sizes)
    if energy is not None:
        shares = sizes.square().cumsum(0)
        if float(shares[-1]) > 0:
            kept = 1 + int(torch.searchsorted(shares, energy * shares[-1] * (1 - 1e-12)))
        else:
            kept = 1
    if rank is not None:
        kept = rank
    kept = max(1, min(kept, len(sizes)))
    roots = sizes[:kept].sqrt()
    return LowRankForm(
        shape=tuple(tensor.shape),
        left=(left[:, :kept] * roots).float(),
        right=(right[:kept] * roots[:, None]).float(),
    )


# Product quantisation of weights: short runs of them, each replaced by one of a few vectors.
#
# Y. Gong, L. Liu, M. Yang, L. Bourdev: Compressing Deep Convolutional Networks using Vector
# Quantization, 2014; H. Jégou, M. Douze, C. Schmid, 2011, for the k-means of vectors. The paper
# has a codebook for each column of runs, which a matrix of thousands of rows can fill; a
# convolution of 128 outputs cannot, so here a tensor has one codebook for all of its runs, each
# divided by the size of its output's weights. That size is rounded to a power of two, which loses
# no bit.


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


# Hashed weights: many weights share a number, and a hash of its place says which.
#
# W. Chen, J. Wilson, S. Tyree, K. Weinberger, Y. Chen: Compressing Neural Networks with the
# Hashing Trick, 2015. Nothing but the numbers is written, for the hash is computed again. A second
# hash gives each weight a sign, so that sums of weights that share a number tend to cancel.


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
