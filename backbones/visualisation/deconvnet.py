"""The deconvnet: one activation of a unit, projected back to the pixels that made it.

M. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks, 2014. On the way back a
pooling layer puts each number where the maximum came from (its switch), a rectifier lets positive
numbers pass whatever it saw on the way there, and a convolution applies its transposed filters. All
but the rectifier is what the backward pass of automatic differentiation does; so that pass is
taken, with rectifiers exchanged. Other activations (PReLU, SiLU, GELU) pass back by their slope.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..network import Backbone
from .units import Unit, check_size, device_of


class _Rectifier(torch.autograd.Function):
    """max(x, 0), perhaps with an upper limit; backwards, what is positive of the signal."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, most: float) -> Tensor:
        return x.clamp(0, most)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple[Tensor, None]:
        return signals[0].clamp_min(0), None


class _Rectified(TorchFunctionMode):
    """Exchanges every rectifier that is called while it lasts, wherever in a layer it stands."""

    _LIMITS: ClassVar[dict[Any, float]] = {
        torch.relu: torch.inf,
        torch.relu_: torch.inf,
        torch.Tensor.relu: torch.inf,
        torch.Tensor.relu_: torch.inf,
        torch.nn.functional.relu: torch.inf,
        torch.nn.functional.relu6: 6.0,
    }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        bounds = (kwargs.get("min_val"), kwargs.get("max_val"))
        if func is torch.nn.functional.hardtanh and bounds == (0.0, 6.0):  # as ReLU6 calls it
            return _Rectifier.apply(args[0], 6.0)
        if (limit := self._LIMITS.get(func)) is not None:
            return _Rectifier.apply(args[0] if args else kwargs["input"], limit)
        return func(*args, **kwargs)


def project(see: Callable[[Tensor], Tensor], image: Tensor, channel: int) -> Tensor:
    """Project the strongest activation of a channel back to the image.

    Args:
        see: What gives the maps, (1, 3, H, W) → (1, C, h, w).
        image: (3, H, W).
        channel: Of the maps.

    Returns:
        (3, H, W), of both signs; zeros where the channel is nowhere above 0.
    """
    pixels = image[None].detach().clone().requires_grad_()
    with torch.enable_grad(), _Rectified():
        maps = see(pixels)
    one = torch.zeros_like(maps)
    peak = int(maps.detach()[0, channel].argmax())
    one[0, channel].view(-1)[peak] = maps.detach()[0, channel].flatten()[peak].clamp_min(0)
    maps.backward(one)  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    return pixels.grad[0]


def deconvolve(network: Backbone, image: Tensor, unit: Unit) -> Tensor:
    """What made a unit's strongest activation in an image.

    Args:
        network: With trained weights, frozen.
        image: (3, H, W) float32, 0 … 1.
        unit: Whose activation.

    Returns:
        (3, H, W) float32 of both signs, in no particular range.

    Raises:
        ArgumentError: The image is too small for the tap.
    """
    check_size(network.spec, unit.tap, image)
    device = device_of(network)
    return project(
        lambda pixels: network.features(pixels.to(device), [unit.tap])[unit.tap],
        image,
        unit.channel,
    )
