"""What a tensor may be computed from: fewer numbers than it has.

A form holds a few numbers and whatever says how the tensor comes out of them. The tensor is
differentiable in these numbers, so they can be trained while the rest of the form stays: which
weights are zero, and which share a value. The gradient of a shared number is then the sum of the
gradients of all weights that it stands for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import torch
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
