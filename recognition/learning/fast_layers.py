"""Layers with a faster backward pass on the CPU, for training alone.

Functions and gradients are those of PyTorch's layers, whose backward passes are slow in three
places that mobile networks are full of. The slopes of a PReLU: half a MobileFaceNet step; here a
few vectorised passes and a product with ones. A depthwise convolution that strides: ten times one
that does not; here every place is computed and most are dropped. A depthwise convolution as large
as its input: a product and a sum. Beyond that, `compiled` fuses what lies between convolutions.
"""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.errors import ArgumentError
from data.files import data_home, private_folder


class _PReLU(torch.autograd.Function):
    """max(x, 0) + slope · min(x, 0), a slope a channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.slope_type = slope.dtype  # float32, also where autocast made x bfloat16
        slope = slope.to(x.dtype)
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        x, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, x, 0)  # the gradient where x > 0
        below = gradient - above
        products = (below * x).movedim(1, -1).reshape(-1, slope.numel())  # (B*H*W, C)
        # Summed by a matrix product: it accumulates in float32, also where its input is bfloat16.
        of_slope = products.new_ones(1, len(products)) @ products  # (1, C)
        shape = (1, -1, *[1] * (x.ndim - 2))
        return torch.addcmul(above, below, slope.view(shape)), of_slope[0].to(ctx.slope_type)


class QuickPReLU(nn.PReLU):
    """`nn.PReLU` with a slope a channel; the same state, another backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) → (B, C, …)."""
        return cast(Tensor, _PReLU.apply(x, self.weight))


class QuickStrided(nn.Conv2d):
    """A depthwise convolution that strides, computed at every place."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H', W'), as `nn.Conv2d`."""
        every = F.conv2d(x, self.weight, self.bias, 1, self.padding, self.dilation, self.groups)
        down, across = self.stride
        return every[:, :, ::down, ::across]


class QuickGlobal(nn.Conv2d):
    """A depthwise convolution without padding; quick where it is as large as its input."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H', W'), as `nn.Conv2d`."""
        if tuple(x.shape[2:]) != self.kernel_size:
            return super().forward(x)
        # Summed in float32, as convolutions are, also where autocast made x bfloat16.
        wide = torch.promote_types(x.dtype, torch.float32)
        summed = (x.to(wide) * self.weight[:, 0]).sum((2, 3), keepdim=True)
        if self.bias is not None:
            summed = summed + self.bias.view(1, -1, 1, 1)
        return summed.to(x.dtype)


def quicken(network: nn.Module) -> None:
    """Exchange the slow layers inside a network for quick ones, which share their weights."""
    for name, child in network.named_children():
        if type(child) is nn.PReLU and child.num_parameters > 1:
            quick = QuickPReLU(child.num_parameters)
            quick.weight = child.weight
            setattr(network, name, quick)
        elif type(child) is nn.Conv2d and (kind := _quick_kind(child)) is not None:
            child.__class__ = kind  # the same layer in all but `forward`
        else:
            quicken(child)


def _quick_kind(layer: nn.Conv2d) -> type[nn.Conv2d] | None:
    """Which quick class stands in for a convolution; None: PyTorch's own is quick enough."""
    depthwise = layer.groups == layer.in_channels == layer.out_channels > 1
    plain = layer.padding_mode == "zeros" and layer.dilation == (1, 1)
    if not depthwise or not plain:
        return None
    if layer.stride != (1, 1):
        return QuickStrided
    # Of the kernels in use, only those that span the whole feature map are so large.
    return QuickGlobal if layer.padding == (0, 0) and min(layer.kernel_size) >= 5 else None


def compiled(network: nn.Module) -> Callable[..., Tensor]:
    """The network's `forward` as fused machine code, made when it is first called.

    The network itself stays as it is, and shares its weights with what is returned.

    Raises:
        ArgumentError: There is no C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise ArgumentError(
            f"compile needs the C++ compiler {compiler}, which is not there: install it, or leave "
            "compile out"
        )
    _keep_code_private()
    # It would say on every start, without being asked, that there is no GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    return cast(Callable[..., Tensor], torch.compile(network))


def _keep_code_private() -> None:
    """Have machine code kept where no other account can put any.

    By itself torch keeps it under a name that everybody knows in the folder of temporary files,
    and runs what it finds there.
    """
    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")
    # Once imported, torch's compiler has named its own place there, as if somebody had chosen it.
    if not named or Path(named).name.startswith("torchinductor_"):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = named = str(data_home() / "compiled")
    os.environ.setdefault("TRITON_CACHE_DIR", str(private_folder(Path(named)) / "triton"))
    # Headers that are compiled in advance would lie in the other place all the same.
    os.environ["TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS"] = "0"
    from torch._inductor import config

    config.cpp_cache_precompile_headers = False
