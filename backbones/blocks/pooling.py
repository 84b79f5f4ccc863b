"""Pooling inside a network: what a window of cells becomes.

Networks are trained with the largest cell. Means, and means of squares (L2), hand the gradient to
every cell of a window instead of to one, which makes painted pictures smoother (Gatys et al.
2016). Both lie below the largest cell, so they are rescaled, with the factors of K. Crowson's
style-transfer-pytorch: later layers, trained on maxima, then see what they are used to.
"""

from torch import Tensor, nn

from ..spec import Pooling

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
