"""Statistics of style: how often, how much and how much together the channels of a tap fire.

They are raw moments, plain sums over places, so those of a picture are the sums of those of its
tiles, and those of several styles mix linearly. Means and covariances do neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


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
