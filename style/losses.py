"""Content, style and smoothness as numbers.

A comparison is three steps: a target's activations become a representation, once and without
gradient; the picture's activations become one too; the two are scored. Scores are relative to
the energy of the target, ‖R(x) − R(t)‖² / ‖R(t)‖², so that 0 is the target itself, and so that
one weight means the same to every network, tap and size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class RelativeLoss(ABC):
    """Squared distance to a target's representation, relative to that target's energy.

    Several targets are mixed: their representations are averaged by weight. Departing from
    Gatys et al. (2016), who divide by constants of the layer, this divides by the target's
    energy, since the activations of different networks differ by orders of magnitude.
    """

    def __init__(self, targets: Sequence[Tensor], mix: Sequence[float] = (1.0,)) -> None:
        """Remember the mixed representation.

        Args:
            targets: Activations (1, C, H, W) of each target; H and W may differ among them
                where the representation allows it.
            mix: One weight for each target; only their ratios matter.
        """
        with torch.no_grad():
            shares = [weight / sum(mix) for weight in mix]
            parts = [
                share * self.represent(target)
                for share, target in zip(shares, targets, strict=True)
            ]
            self.target = torch.stack(parts).sum(dim=0)
            energy = float(self.target.square().sum())
        # A target without any energy (a dead tap) has no scale of its own.
        self._scale = 1.0 / energy if energy > 0 else 1.0

    @staticmethod
    @abstractmethod
    def represent(activations: Tensor) -> Tensor:
        """What is compared, from activations (1, C, H, W)."""

    def __call__(self, activations: Tensor) -> Tensor:
        """The score of a picture's activations (1, C, H, W): a scalar, 0 at the target."""
        difference = self.represent(activations) - self.target
        return difference.square().sum() * self._scale


class ContentLoss(RelativeLoss):
    """What is where: the activations themselves (Gatys et al. 2016, equation 1)."""

    @staticmethod
    def represent(activations: Tensor) -> Tensor:
        """The activations as they are."""
        return activations


class GramLoss(RelativeLoss):
    """What occurs together, wherever it is: the Gram matrix (Gatys et al. 2016, equation 3)."""

    @staticmethod
    def represent(activations: Tensor) -> Tensor:
        """The Gram matrix (C, C) of `gram_matrix`."""
        return gram_matrix(activations)


def gram_matrix(activations: Tensor) -> Tensor:
    """Mean products of all pairs of channels over all places.

    Args:
        activations: (1, C, H, W). Lower precision is raised to float32 first: sums over many
            places overflow in half precision.

    Returns:
        (C, C), divided by C·H·W so that it does not depend on the picture's size.
    """
    _, channels, height, width = activations.shape
    if activations.dtype in (torch.float16, torch.bfloat16):
        activations = activations.float()
    places = activations.reshape(channels, height * width)  # (C, H*W)
    return places @ places.T / (channels * height * width)  # (C, C)


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
