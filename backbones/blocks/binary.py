"""Convolutions whose weights, or weights and inputs, are signs.

M. Rastegari, V. Ordonez, J. Redmon, A. Farhadi: XNOR-Net: ImageNet Classification Using Binary
Convolutional Neural Networks, 2016. A filter W becomes α B with B = sign(W) and α = mean |W|, the
nearest to W of all of that form. In an XNOR layer the input becomes signs too; what that loses in
size is given back by K, the mean of |input| over the channels, averaged over each window.

A sign has no slope. In the backward pass it counts as the identity where its argument lies in
-1 … 1, and as a constant beyond (the straight-through estimator). The slope of α is taken as it is.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Sign(torch.autograd.Function):
    """1 from 0 on, -1 below; so one bit says which."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed: Tensor = gradient * (x.abs() <= 1)
        return passed


def sign(x: Tensor) -> Tensor:
    """-1 or 1, with the straight-through estimator as its slope."""
    result: Tensor = _Sign.apply(x)
    return result


def scales_of(weight: Tensor) -> Tensor:
    """α of each filter, (C, …) → (C, 1, …): the mean size of its numbers."""
    sizes, others = weight.abs(), tuple(range(1, weight.ndim))
    mean = sizes.mean(dim=others, keepdim=True)
    # Of weights that came from bits all are α or -α, and a mean of them might not be α: sums are
    # rounded. The largest one's slope is that of the mean where all are as large.
    most = sizes.amax(dim=others, keepdim=True)
    return torch.where(sizes.amin(dim=others, keepdim=True) == most, most, mean)


class BinaryConv2d(nn.Conv2d):
    """A convolution of α sign(W); its own weights W are what training changes.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Of the square filters, odd.
        stride: In cells.
        xnor: Whether the input is made binary too.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, xnor: bool
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.xnor = xnor

    def scales(self) -> Tensor:
        """α: (C, 1, 1, 1), the mean size of each filter's weights."""
        return scales_of(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""
        if not self.xnor:
            return cast(Tensor, self._conv_forward(x, self.scales() * sign(self.weight), None))
        # Signs first and α behind, as bits would be computed: the sums are whole numbers.
        signs: Tensor = self._conv_forward(sign(x), sign(self.weight), None)
        return signs * self.scales().view(1, -1, 1, 1) * self._sizes(x)

    def _sizes(self, x: Tensor) -> Tensor:
        """K: (B, 1, H/stride, W/stride), the mean of |x| in each window."""
        height, width = self.kernel_size
        box = x.new_full((1, 1, height, width), 1 / (height * width))
        sizes = x.abs().mean(dim=1, keepdim=True)
        if self.padding_mode == "zeros":
            return F.conv2d(sizes, box, None, self.stride, self.padding)
        around = (width // 2, width // 2, height // 2, height // 2)
        return F.conv2d(F.pad(sizes, around, mode=self.padding_mode), box, None, self.stride)


def pack(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's filters as bits and one float32 each: a thirty-second of their size.

    Args:
        weight: (C, …) float32, as trained.

    Returns:
        (⌈numbers / 8⌉,) uint8, the lowest bit first, 1 for 0 and above; and α (C,) float32.
    """
    bits = (weight >= 0).flatten().to(torch.uint8)
    bits = F.pad(bits, (0, -len(bits) % 8)).view(-1, 8)
    places = 2 ** torch.arange(8, dtype=torch.uint8)
    return (bits * places).sum(dim=1, dtype=torch.uint8), scales_of(weight).flatten()


def unpack(bits: Tensor, scales: Tensor, shape: torch.Size) -> Tensor:
    """Filters α B from what `pack` has made of them.

    Args:
        bits: (⌈numbers / 8⌉,) uint8.
        scales: α (C,) float32.
        shape: Of the filters, (C, …).

    Returns:
        Float32 of that shape, each number α or -α of its filter.
    """
    places = torch.arange(8, dtype=torch.uint8)
    found = bits[:, None].bitwise_right_shift(places).bitwise_and(1).flatten()[: shape.numel()]
    signs = found.to(scales.dtype).mul(2).sub(1).view(shape)
    return signs * scales.view(-1, *[1] * (len(shape) - 1))
