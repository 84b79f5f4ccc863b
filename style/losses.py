"""Content, style and smoothness as numbers.

A comparison is three steps: a target's activations become a representation, once and without
gradient; the picture's activations become one too; the two are scored. Scores are relative: 0 is
the target itself, 1 is as far away as the target varies about its channels' means. So one weight
means the same to every network, tap, size and kind of loss.

All of them are made of sums over places: a style loss sees nothing but `Moments`, which add up
over tiles, and the content losses of tiles add up themselves.
"""

from typing import Protocol

import torch
from torch import Tensor

from .config import StyleLossKind
from .moments import Moments
from .roots import root, trace_of_root

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
            self._unit = _unit(target)
            self._mean = target.mean
            covariance = self._conditioned(target)
            self._root = root(covariance)
            self._trace = covariance.trace()

    def __call__(self, moments: Moments) -> Tensor:
        """(‖μ − ν‖² + tr(A + B − 2 (√A B √A)^½)) / tr A, of means and covariances."""
        shifted = (moments.mean - self._mean).square().sum() / self._unit
        covariance = self._conditioned(moments)
        common = trace_of_root(self._root @ covariance @ self._root)
        return (shifted + self._trace + covariance.trace() - 2 * common) / len(self._mean)

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


def _raised(activations: Tensor) -> Tensor:
    """In float32 at least."""
    half = activations.dtype in (torch.float16, torch.bfloat16)
    return activations.float() if half else activations
