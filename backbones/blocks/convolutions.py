"""Convolutions that cost less than a dense one, and those that see further at the same cost.

Of a k×k convolution from M to N channels, one that is depthwise separable takes 1/N + 1/k² of the
multiply-accumulates and weights, and one in G groups takes 1/G.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from data.errors import ArgumentError

from ..spec import Convolution


def separable(
    inputs: int,
    outputs: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    between: Callable[[int], nn.Module] | None = None,
) -> nn.Sequential:
    """A depthwise separable convolution: one filter a channel, then a 1×1 convolution over all.

    Args:
        inputs: M.
        outputs: N.
        kernel: k, odd; the image keeps its size but for the stride.
        stride: Of the depthwise convolution.
        between: Makes a layer of M channels between the two (MobileNet v1 has a norm and a
            rectifier there, Xception nothing).
    """
    layers = [
        nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
        *([between(inputs)] if between else []),
        nn.Conv2d(inputs, outputs, 1, bias=False),
    ]
    return nn.Sequential(*layers)


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Deal the channels of each group out to all groups, as ShuffleNet does (Zhang et al. 2018).

    Args:
        x: (B, C, H, W), where C is a multiple of `groups`.
        groups: G; channel g·C/G + i moves to i·G + g.

    Returns:
        (B, C, H, W).
    """
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).reshape(batch, channels, height, width)


GROUPS = 4
"""Of a convolution that is exchanged for a grouped one, where its channels are multiples."""


class ShuffledConv2d(nn.Conv2d):
    """A grouped convolution whose outputs are shuffled, so that the next one sees all groups."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H', W')."""
        return shuffle_channels(super().forward(x), self.groups)


def exchange_convolutions(
    network: nn.Module, kind: Convolution, *, head: Sequence[nn.Module] = ()
) -> dict[nn.Module, nn.Module]:
    """Put cheaper convolutions, or some that see further, in the place of a network's own.

    The shapes of all feature maps stay. New weights are drawn by He et al. 2015; a dilated
    convolution keeps the weights that it had.

    | kind | in the place of | by |
    |---|---|---|
    | grouped | dense ones wider than a cell | `GROUPS` groups, or as many as divide its channels |
    | depthwise_separable | the same | `separable` |
    | dilated | all that are wider than a cell, of stride 1 | cells two apart (Yu, Koltun 2016) |

    Args:
        network: As built; nothing changes for `Convolution.STANDARD`. Its first convolution, which
            sees colours, stays; so do those of the head.
        kind: What it gets.
        head: The layers behind the last tap.

    Returns:
        What was exchanged, and for what.

    Raises:
        ArgumentError: The network has no convolution of that sort.
    """
    if kind is Convolution.STANDARD:
        return {}
    kept = {module for layer in head for module in layer.modules()}
    exchanged: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            # Subclasses compute something else: signs, or a part of the connections.
            if type(child) is not nn.Conv2d or child in kept or child.in_channels <= _COLOURS:
                continue
            if (new := _exchanged(child, kind)) is not None:
                exchanged[child] = new
                setattr(parent, name, new)
    if not exchanged:
        raise ArgumentError(
            f"the network has no convolution that could be {kind}: "
            f"leave conv at {Convolution.STANDARD}"
        )
    return exchanged


_COLOURS = 3


def _exchanged(layer: nn.Conv2d, kind: Convolution) -> nn.Module | None:
    """What stands in the place of a convolution; None: it stays."""
    if max(layer.kernel_size) == 1:
        return None
    if kind is Convolution.DILATED:
        odd = all(side % 2 for side in layer.kernel_size)
        return _dilated(layer) if odd and layer.stride == (1, 1) else None
    if layer.groups > 1:
        return None
    if kind is Convolution.GROUPED:
        groups = math.gcd(layer.in_channels, layer.out_channels, GROUPS)
        if groups == 1:
            return None
        new: nn.Module = _like(layer, ShuffledConv2d, groups=groups)
    else:
        depthwise = _like(layer, nn.Conv2d, outputs=layer.in_channels, groups=layer.in_channels)
        depthwise.bias = None
        with_bias = layer.bias is not None
        pointwise = nn.Conv2d(layer.in_channels, layer.out_channels, 1, bias=with_bias)
        new = nn.Sequential(depthwise, pointwise)
    for module in new.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return new


def _dilated(layer: nn.Conv2d) -> nn.Conv2d:
    """The same weights, their cells twice as far apart; padded so that the map keeps its size."""
    new = _like(layer, nn.Conv2d, spread=2)
    new.weight, new.bias = layer.weight, layer.bias
    return new


def _like(
    layer: nn.Conv2d,
    kind: type[nn.Conv2d],
    *,
    outputs: int | None = None,
    groups: int | None = None,
    spread: int = 1,
) -> nn.Conv2d:
    """A convolution of the same windows, of another kind, width or dilation."""
    height, width = layer.kernel_size
    down, across = layer.dilation
    above, left = (int(side) for side in layer.padding)
    return kind(
        layer.in_channels,
        outputs or layer.out_channels,
        (height, width),
        (layer.stride[0], layer.stride[1]),
        padding=(
            above + (height - 1) * down * (spread - 1) // 2,
            left + (width - 1) * across * (spread - 1) // 2,
        ),
        dilation=(down * spread, across * spread),
        groups=groups or layer.groups,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
    )
