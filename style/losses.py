"""Content, style (Gram or Wasserstein-2), smoothness; moments and matrix roots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from .config import StyleLossKind

# Square roots of covariance matrices, and the gradient of their trace.

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


# Statistics of style: how often, how much and how much together the channels of a tap fire.
#
# They are raw moments, plain sums over places, so those of a picture are the sums of those of its
# tiles, and those of several styles mix linearly. Means and covariances do neither.


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Sums over the places of a tap, in float32, or in float64 where the activations are.

    Differentiable: `of` hands the gradients of `total` and `products` back to the activations.

    Attributes:
        count: Number of places, or the sum of their shares, a scalar above 0.
        total: (C,), the sum of the activations.
        products: (C, C), the sum of the products of all pairs of channels.
    """

    count: Tensor
    total: Tensor
    products: Tensor

    @classmethod
    def of(cls, activations: Tensor, share: Tensor | None = None) -> Self:
        """Add up what a tap shows.

        Args:
            activations: (1, C, H, W). Lower precision is raised to float32 first: sums over many
                places overflow or drown in half precision.
            share: (1, 1, H, W), how much each place counts; None where all count alike.
        """
        if activations.dtype in (torch.float16, torch.bfloat16):
            activations = activations.float()
        # Channels last is how convolutions leave their maps: there this is a view.
        places = activations.permute(0, 2, 3, 1).flatten(0, 2)  # (H*W, C)
        if share is None:
            count = places.new_tensor(float(len(places)))
        else:
            share = share.to(places.dtype).reshape(-1, 1)  # (H*W, 1)
            count = share.sum()
        total, products = _Sums.apply(places, share)
        return cls(count=count, total=total, products=products)

    @classmethod
    def mixed(cls, parts: Sequence["Moments"], mix: Sequence[float]) -> Self:
        """The moments of several styles mixed by weight, as if of one place.

        Args:
            parts: Of each style.
            mix: A weight for each; only their ratios matter.
        """
        weights = [weight / sum(mix) for weight in mix]
        return cls(
            count=torch.ones_like(parts[0].count),
            total=_weighted([part.mean for part in parts], weights),
            products=_weighted([part.second for part in parts], weights),
        )

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets of places together."""
        return Moments(
            count=self.count + other.count,
            total=self.total + other.total,
            products=self.products + other.products,
        )

    @property
    def mean(self) -> Tensor:
        """(C,), the mean of each channel."""
        return self.total / self.count

    @property
    def second(self) -> Tensor:
        """(C, C), the second raw moments: mean products of all pairs of channels."""
        return self.products / self.count

    @property
    def covariance(self) -> Tensor:
        """(C, C), what is left of the second moments when each channel's mean is taken away."""
        mean = self.mean
        return self.second - torch.outer(mean, mean)


class _Sums(torch.autograd.Function):
    """Sums and sums of products in one pass, and their gradients in one matrix product.

    Automatic differentiation would multiply twice, once for each factor, and add the maps up.
    """

    @staticmethod
    def forward(ctx: Any, places: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(places, share)
        counted = places if share is None else places * share
        return counted.sum(dim=0), counted.T @ places

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        places, share = ctx.saved_tensors
        of_total, of_products = gradients
        gradient = torch.addmm(of_total, places, of_products + of_products.T)  # (H*W, C)
        return gradient if share is None else gradient * share, None


def _weighted(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted sum of tensors of one shape."""
    parts = [tensor * weight for tensor, weight in zip(tensors, weights, strict=True)]
    return torch.stack(parts).sum(dim=0)


# Content, style and smoothness as numbers.
#
# A comparison is three steps: a target's activations become a representation, once and without
# gradient; the picture's activations become one too; the two are scored. Scores are relative: 0
# is the target itself, 1 is as far away as the target varies about its channels' means. So one
# weight means the same to every network, tap, size and kind of loss.
#
# All of them are made of sums over places: a style loss sees nothing but `Moments`, which add up
# over tiles, and the content losses of tiles add up themselves.

_FLOOR = 1e-5  # of the whole energy: a target of one plain colour varies by rounding alone
_EPSILON = 1e-4  # of the mean variance of a channel, added to all: keeps roots differentiable


class ContentLoss:
    """What is where: squared distance of activations (Gatys et al. 2016, equation 1).

    Relative to what varies in the target, ‖x − t‖² / ‖t − mean t‖²: the activations of different
    networks differ by orders of magnitude.
    """

    def __init__(
        self, target: Tensor, *, whole: Moments | None = None, share: Tensor | None = None
    ) -> None:
        """Remember the target.

        Args:
            target: Activations (1, C, H, W) of the content.
            whole: Of the whole content, where `target` is but a tile of it: the losses of the
                tiles then sum to that of the whole. None: the target is all there is.
            share: (1, 1, H, W) in [0, 1], how far each place belongs to the area that is looked
                at; None where all do. An area is worth as much as its size, so that each place
                is pulled as hard as if it belonged to all.
        """
        self._target = target.detach()
        self._share = share
        self._scale = 1 / _unit(Moments.of(self._target) if whole is None else whole, places=True)

    def __call__(self, activations: Tensor) -> Tensor:
        """The score of a picture's activations (1, C, H, W): a scalar, 0 at the target."""
        difference = _raised(activations) - _raised(self._target)
        if self._share is None:
            return difference.square().sum() * self._scale
        return (difference.square() * self._share).sum() * self._scale


class StyleLoss(Protocol):
    """What occurs how often, wherever it is: the distance of a picture's moments from a style's."""

    def __call__(self, moments: Moments) -> Tensor:
        """The score of a picture's, or an area's, moments: a scalar, 0 at the target."""


class GramLoss:
    """Squared distance of Gram matrices, the second moments (Gatys et al. 2016, equation 3).

    Departing from them, who divide by constants of the layer, it is relative to the squared norm
    of the target's covariance: 99 % of the energy of a small network's deep Gram matrices is the
    channels' means, and says nothing about strokes.

    In an area it is the guided Gram matrix of Gatys et al. 2017 (section 4), guided by √share.
    """

    def __init__(self, target: Moments) -> None:
        """Remember the moments of a style, or the mixed ones of several."""
        with torch.no_grad():
            self._target = target.second
            energy = target.covariance.square().sum() + _FLOOR * self._target.square().sum()
        self._scale = 1 / _positive(energy)

    def __call__(self, moments: Moments) -> Tensor:
        """‖S − T‖² / ‖cov T‖²."""
        return (moments.second - self._target).square().sum() * self._scale


class WassersteinLoss:
    """Squared Wasserstein-2 distance of normal distributions of the same mean and covariance.

    It is the work to carry one cloud of activations over to the other. Relative to the target's
    variance, which is the work to carry its cloud into its mean.
    """

    def __init__(self, target: Moments) -> None:
        """Remember the moments of a style, or the mixed ones of several."""
        with torch.no_grad():
            target = _exact(target)
            self._unit = _unit(target)
            self._mean = target.mean
            covariance = self._conditioned(target)
            self._root = root(covariance)
            self._trace = covariance.trace()

    def __call__(self, moments: Moments) -> Tensor:
        """(‖μ − ν‖² + tr(A + B − 2 (√A B √A)^½)) / tr A, of means and covariances."""
        exact = _exact(moments)
        shifted = (exact.mean - self._mean).square().sum() / self._unit
        covariance = self._conditioned(exact)
        common = trace_of_root(self._root @ covariance @ self._root)
        score = (shifted + self._trace + covariance.trace() - 2 * common) / len(self._mean)
        return score.to(moments.total.dtype)

    def _conditioned(self, moments: Moments) -> Tensor:
        """The covariance in units of the target's mean variance, away from being singular."""
        covariance = moments.covariance / self._unit
        return covariance + _EPSILON * torch.eye(
            len(covariance), dtype=covariance.dtype, device=covariance.device
        )


def style_loss(kind: StyleLossKind, target: Moments) -> StyleLoss:
    """The style loss of a kind, towards a target."""
    return WassersteinLoss(target) if kind is StyleLossKind.MOMENTS else GramLoss(target)


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, across plus down.

    Args:
        image: (1, 3, H, W), at least 2×2.

    Returns:
        A scalar, 0 for a plain colour. Squares, unlike absolute values, have a gradient that
        fades with the difference, which leaves no plateaus of one colour.
    """
    across = image[..., :, 1:] - image[..., :, :-1]
    down = image[..., 1:, :] - image[..., :-1, :]
    return across.square().mean() + down.square().mean()


def _unit(moments: Moments, *, places: bool = False) -> float:
    """What varies: a channel's mean variance; or, of `places`, all squares in all of them.

    A target without any energy (a dead tap) has no scale of its own: 1.
    """
    with torch.no_grad():
        varying = moments.covariance.trace() + _FLOOR * moments.second.trace()
        scale = moments.count if places else 1 / len(moments.total)
        return _positive(varying * scale)


def _positive(energy: Tensor) -> float:
    """The energy as a number; 1 where there is none."""
    return float(energy) if energy > 0 else 1.0


def _exact(moments: Moments) -> Moments:
    """The same in float64 on a CPU; a GPU may be slow at it.

    Inverse roots make a thousandfold of what covariances lose to rounding.
    """
    if moments.total.device.type != "cpu":
        return moments
    return Moments(
        count=moments.count.double(),
        total=moments.total.double(),
        products=moments.products.double(),
    )


def _raised(activations: Tensor) -> Tensor:
    """In float32 at least."""
    half = activations.dtype in (torch.float16, torch.bfloat16)
    return activations.float() if half else activations
