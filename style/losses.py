"""Content, style and smoothness as numbers.

A comparison is three steps: a target's activations become a representation, once and without
gradient; the picture's activations become one too; the two are scored. Scores are relative,
‖R(x) − R(t)‖² / ‖R(t − mean t)‖²: 0 is the target itself, 1 is as far away as the target varies
about its channels' means. So one weight means the same to every network, tap and size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

_FLOOR = 1e-5  # of the whole energy: a target of one plain colour varies by rounding alone


class RelativeLoss(ABC):
    """Squared distance to a target's representation, relative to what varies in that target.

    Several targets are mixed: their representations are averaged by weight. Departing from
    Gatys et al. (2016), who divide by constants of the layer: the activations of different
    networks differ by orders of magnitude, and so does the share of them that never varies (99 %
    of the energy of a small network's deep Gram matrices is the channels' means, and says nothing
    about strokes).

    A loss of an area looks at some places of the picture alone. It is worth as much as its area,
    so that each place is pulled as hard as if the whole picture were to be like the target.
    """

    def __init__(
        self,
        targets: Sequence[Tensor],
        mix: Sequence[float] = (1.0,),
        *,
        share: Tensor | None = None,
    ) -> None:
        """Remember the mixed representation.

        Args:
            targets: Activations (1, C, H, W) of each target; H and W may differ among them
                where the representation allows it.
            mix: One weight for each target; only their ratios matter.
            share: (1, 1, H, W) in [0, 1], how far each place of the picture belongs to the area,
                somewhere above 0; None where all places do.
        """
        self._share = share
        with torch.no_grad():
            self.target = self._mixed(targets, mix)
            varying = [target - target.mean(dim=(2, 3), keepdim=True) for target in targets]
            energy = _energy(self._mixed(varying, mix)) + _FLOOR * _energy(self.target)
        # A target without any energy (a dead tap) has no scale of its own.
        self._scale = 1.0 / energy if energy > 0 else 1.0

    def __call__(self, activations: Tensor) -> Tensor:
        """The score of a picture's activations (1, C, H, W): a scalar, 0 at the target."""
        return self._difference(activations).square().sum() * self._scale

    @abstractmethod
    def _difference(self, activations: Tensor) -> Tensor:
        """Of a picture's representation in the area from the target, times √area."""

    @staticmethod
    @abstractmethod
    def represent(activations: Tensor) -> Tensor:
        """What is compared, from activations (1, C, H, W)."""

    def _mixed(self, targets: Sequence[Tensor], mix: Sequence[float]) -> Tensor:
        """The weighted mean of the representations of `targets`."""
        parts = [
            self.represent(target) * (weight / sum(mix))
            for target, weight in zip(targets, mix, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)


class ContentLoss(RelativeLoss):
    """What is where: the activations themselves (Gatys et al. 2016, equation 1)."""

    @staticmethod
    def represent(activations: Tensor) -> Tensor:
        """The activations as they are."""
        return activations

    def _difference(self, activations: Tensor) -> Tensor:
        difference = activations - self.target
        return difference if self._share is None else difference * self._share.sqrt()


class GramLoss(RelativeLoss):
    """What occurs together, wherever it is: the Gram matrix (Gatys et al. 2016, equation 3).

    In an area it is the guided Gram matrix of Gatys et al. 2017 (section 4), guided by √share, so
    that the matrices of several areas, weighted by their area, sum to that of the whole picture.
    """

    @staticmethod
    def represent(activations: Tensor) -> Tensor:
        """The Gram matrix (C, C) of `gram_matrix`."""
        return gram_matrix(activations)

    def _difference(self, activations: Tensor) -> Tensor:
        difference = gram_matrix(activations, self._share) - self.target
        return difference if self._share is None else difference * self._share.mean().sqrt()


def gram_matrix(activations: Tensor, share: Tensor | None = None) -> Tensor:
    """Mean products of all pairs of channels over all places.

    Args:
        activations: (1, C, H, W). Lower precision is raised to float32 first: sums over many
            places overflow in half precision.
        share: (1, 1, H, W), how much each place counts; None where all count alike.

    Returns:
        (C, C), divided by C·H·W, or by C times the sum of the shares, so that it does not depend
        on the picture's size.
    """
    _, channels, height, width = activations.shape
    if activations.dtype in (torch.float16, torch.bfloat16):
        activations = activations.float()
    places = activations.reshape(channels, height * width)  # (C, H*W)
    if share is None:
        return places @ places.T / (channels * height * width)  # (C, C)
    counted = places * share.reshape(1, height * width)
    return counted @ places.T / (channels * share.sum())


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


def _energy(tensor: Tensor) -> float:
    """The sum of squares."""
    return float(tensor.square().sum())
