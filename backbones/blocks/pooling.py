"""Pooling inside a network: what a window of cells becomes.

Networks are trained with the largest cell. Means, and means of squares (L2), hand the gradient to
every cell of a window instead of to one, which makes painted pictures smoother (Gatys et al.
2016). Both lie below the largest cell, so they are rescaled, with the factors of K. Crowson's
style-transfer-pytorch: later layers, trained on maxima, then see what they are used to.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from data.errors import ArgumentError

from ..spec import HeadPooling, Pooling

_AVERAGE = 2.0
_L2 = 2 * 0.78  # of the root of the mean square; 0.78 of the root of the sum over 2×2 cells
_TINY = 1e-12  # a root has no finite slope at 0, where whole windows of rectified cells are


class RescaledPool2d(nn.Module):
    """Average or L2 pooling over the windows of a max pooling layer."""

    def __init__(self, pool: nn.MaxPool2d, pooling: Pooling) -> None:
        """Take the windows over.

        Args:
            pool: A layer of the network.
            pooling: The kind; not `Pooling.MAX`.
        """
        super().__init__()
        self._squares = pooling is Pooling.L2
        self._windows = nn.AvgPool2d(
            pool.kernel_size,
            pool.stride,
            pool.padding,
            ceil_mode=pool.ceil_mode,
            count_include_pad=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Pool a feature map (B, C, H, W) to (B, C, H/stride, W/stride)."""
        if not self._squares:
            pooled: Tensor = self._windows(x)
            return _AVERAGE * pooled
        squares: Tensor = self._windows(x.square())
        return _L2 * squares.clamp_min(_TINY).sqrt()


def exchange_pooling(layer: nn.Module, pooling: Pooling) -> nn.Module:
    """The layer; or, if it is max pooling and another kind is wanted, that in its place."""
    if pooling is Pooling.MAX or not isinstance(layer, nn.MaxPool2d):
        return layer
    return RescaledPool2d(layer, pooling)


class GeneralisedMean(nn.Module):
    """(mean xᵖ)^(1/p) over all places; p is trained, 3 at first (Radenović et al. 2019).

    1 is the average, and a large p comes near the maximum. Numbers below a small one count as it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, 1, 1)."""
        floor = x.clamp_min(1e-6)
        return floor.pow(self.power).mean(dim=(2, 3), keepdim=True).pow(1 / self.power)


class AttentionPooling(nn.Module):
    """One learned query attends over all places, as a decoder's cross-attention does.

    The query begins at 0, which attends to all places alike: the average.

    Args:
        channels: C of the feature map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(channels))
        self.key = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, 1, 1)."""
        places = x.flatten(2)  # (B, C, H*W)
        keys = self.key(places.transpose(1, 2))  # (B, H*W, C)
        likeness = keys @ self.query / len(self.query) ** 0.5  # (B, H*W)
        weights = torch.softmax(likeness, dim=1)
        return (places * weights[:, None]).sum(dim=2)[:, :, None, None]


class GlobalDepthwise(nn.Conv2d):
    """One learned weight a channel and place, as MobileFaceNet has it (Chen et al. 2018).

    The weights are alike at first: the average.

    Args:
        channels: C of the feature map.
        size: (H, W) of the feature map.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__(channels, channels, size, groups=channels, bias=False)

    def reset_parameters(self) -> None:
        """Make it the average."""
        height, width = self.kernel_size
        nn.init.constant_(self.weight, 1 / (height * width))


def exchange_head_pooling(
    network: nn.Module,
    pooling: HeadPooling,
    head: Sequence[nn.Module],
    channels: int,
    last_map: Callable[[], tuple[int, int]],
) -> dict[nn.Module, nn.Module]:
    """Put another pooling in the place of a head's average over the image.

    Args:
        network: As built; nothing changes for `HeadPooling.OWN`.
        pooling: The kind that it gets.
        head: The layers behind the last tap.
        channels: C of the last tap.
        last_map: Finds (H, W) of the last tap's feature map; called where it is needed.

    Returns:
        What was exchanged, and for what, among the layers of the head themselves.

    Raises:
        ArgumentError: The head has no such average.
    """
    if pooling is HeadPooling.OWN:
        return {}

    def new() -> nn.Module:
        if pooling is HeadPooling.GENERALISED_MEAN:
            return GeneralisedMean()
        if pooling is HeadPooling.ATTENTION:
            return AttentionPooling(channels)
        if pooling is HeadPooling.GLOBAL_DEPTHWISE:
            return GlobalDepthwise(channels, last_map())
        return nn.AdaptiveAvgPool2d(1)

    exchanged: dict[nn.Module, nn.Module] = {}
    for layer in head:
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            exchanged[layer] = new()
            # Registered, so that its numbers are among the network's.
            network.add_module("head_pooling", exchanged[layer])
            return exchanged
        for name, child in layer.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                setattr(layer, name, new())
                return exchanged
    raise ArgumentError(
        f"the network does not end in an average over the image: leave head_pooling at "
        f"{HeadPooling.OWN}"
    )
