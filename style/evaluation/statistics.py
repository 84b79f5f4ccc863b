"""Numbers of feature maps by which pictures are compared.

None of this is shared with the losses: a judge that computes by the code that was optimised
repeats its mistakes. Everything is float64 and exact, by eigenvectors; nothing needs a gradient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """How the channels of a feature map are distributed, wherever in the picture.

    Attributes:
        mean: (C,) float64.
        second: (C, C) float64, mean products of all pairs of channels: the Gram matrix over H·W.
    """

    mean: Tensor
    second: Tensor

    @classmethod
    def of(cls, activations: Tensor) -> Self:
        """The moments of activations (1, C, H, W)."""
        places = activations[0].flatten(1).double()  # (C, H*W)
        return cls(mean=places.mean(dim=1), second=places @ places.T / places.shape[1])

    @classmethod
    def mixed(cls, parts: "Sequence[Moments]", shares: Sequence[float]) -> Self:
        """Those of several pictures in one, as large as `shares`, of which only ratios matter."""
        weights = torch.tensor(shares, dtype=torch.float64) / sum(shares)
        return cls(
            mean=sum_weighted([part.mean for part in parts], weights),
            second=sum_weighted([part.second for part in parts], weights),
        )

    @property
    def covariance(self) -> Tensor:
        """(C, C)."""
        return self.second - torch.outer(self.mean, self.mean)


def sum_weighted(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The sum of tensors of one shape, by `weights` (N,)."""
    return torch.einsum("n,n...->...", weights.to(tensors[0]), torch.stack(list(tensors)))


def gram_distance(one: Moments, other: Moments) -> float:
    """Squared Frobenius distance of the Gram matrices (Gatys et al. 2016, equation 4)."""
    return float((one.second - other.second).square().sum())


def wasserstein_distance(one: Moments, other: Moments) -> float:
    """Squared 2-Wasserstein distance of the normal distributions of these moments.

    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₂^½ Σ₁ Σ₂^½)^½), Givens and Shortt 1984; at least 0.
    """
    first, second = one.covariance, other.covariance
    values, vectors = torch.linalg.eigh(second)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    crossed = torch.linalg.eigvalsh(root @ first @ root).clamp_min(0).sqrt().sum()
    spread = first.trace() + second.trace() - 2 * crossed
    return max(0.0, float((one.mean - other.mean).square().sum() + spread))


def feature_distance(activations: Tensor, target: Tensor) -> float:
    """Squared distance of activations (1, C, H, W), over how far the target varies within itself.

    0 is the target; 1 is as far away as a picture whose every place holds the target's mean.
    """
    exact = target.double()
    varying = (exact - exact.mean(dim=(2, 3), keepdim=True)).square().sum()
    difference = (activations.double() - exact).square().sum()
    return float(difference / varying) if varying > 0 else float(difference > 0)


def similarity_matrix(activations: Tensor, most: int) -> Tensor:
    """How alike the places of a feature map are to one another: their cosine similarities.

    The matrix says what belongs together in a picture, and nothing about its colours or strokes
    (Kolkin et al. 2019, "Style Transfer by Relaxed Optimal Transport and Self-Similarity").

    Args:
        activations: (1, C, H, W).
        most: Places a side beyond which the map is averaged down: the matrix is of places squared.

    Returns:
        (N, N) float64 in [-1, 1], N places.
    """
    height, width = activations.shape[-2:]
    shrink = min(1.0, most / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    places = F.adaptive_avg_pool2d(activations, size)[0].flatten(1).T.double()  # (N, C)
    unit = F.normalize(places, dim=1)
    return unit @ unit.T


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's correlation of two symmetric matrices' entries above the diagonal.

    Returns:
        -1 to 1; where neither varies 1, and where one alone does 0.
    """
    above = torch.triu_indices(one.shape[0], one.shape[1], offset=1)
    first, second = (matrix[above[0], above[1]] for matrix in (one, other))
    first, second = first - first.mean(), second - second.mean()
    norms = float(first.norm()), float(second.norm())
    flat = [norm < 1e-9 * max(1, len(first)) ** 0.5 for norm in norms]
    if any(flat):
        return float(all(flat))
    return float((first @ second) / (norms[0] * norms[1]))
