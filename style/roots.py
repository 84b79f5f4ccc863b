"""Square roots of covariance matrices, and the gradient of their trace."""

import math
from typing import Any

import torch
from torch import Tensor

_ITERATIONS = 12
_SMALLEST = 1e-4  # of the largest root: smaller ones drown in float32


def root(matrix: Tensor) -> Tensor:
    """The square root of a symmetric positive semidefinite matrix (C, C): exact, and slow."""
    values, vectors = torch.linalg.eigh(matrix.double())
    square: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return square.to(matrix)


def trace_of_root(matrix: Tensor) -> Tensor:
    """The trace of the square root of a symmetric positive definite matrix (C, C), a scalar.

    Its gradient is half the inverse root, which comes along with the root: nothing has to be
    differentiated. On a GPU both come from Newton and Schulz. On a CPU, the eigenvalues of 128
    channels take half as long, those of 512 a sixth.
    """
    trace: Tensor = _TraceOfRoot.apply(matrix)
    return trace


class _TraceOfRoot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        trace, inverse = (eigenvalues if matrix.device.type == "cpu" else newton_schulz)(matrix)
        ctx.save_for_backward(inverse)
        return trace

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        inverse: Tensor = ctx.saved_tensors[0]
        return gradients[0] / 2 * inverse


def eigenvalues(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The trace of the root of a positive definite matrix (C, C), and the root's inverse (C, C)."""
    if not matrix.isfinite().all():  # eigh would raise: a loss that is not finite is told later
        return matrix.trace() * torch.nan, matrix * torch.nan
    values, vectors = torch.linalg.eigh(matrix)
    roots = values.clamp_min(float(values[-1]) * _SMALLEST**2).sqrt()
    inverse: Tensor = (vectors / roots) @ vectors.T
    return roots.sum(), inverse


def newton_schulz(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The same by matrix products alone, without a word to the host.

    The coupled iteration of N. Higham: Functions of Matrices, 2008 (equation 6.35). Each step is
    stretched as in J. Chen, E. Chow: A Stable Scaling of Newton–Schulz, 2014: unstretched, twelve
    steps leave all roots below a hundredth of the largest far too small, and most of a
    covariance's are there.
    """
    size = torch.linalg.matrix_norm(matrix)
    three = 3 * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    square, inverse = matrix / size, three / 3
    least = _SMALLEST
    for _ in range(_ITERATIONS):
        stretch = math.sqrt(3 / (1 + least + least**2))
        step = torch.addmm(three, inverse, square, alpha=-(stretch**2)) * (stretch / 2)
        square, inverse = square @ step, step @ inverse
        least = stretch / 2 * least * (3 - (stretch * least) ** 2)
    return square.trace() * size.sqrt(), inverse / size.sqrt()
