"""Convolutions that cost less than a dense one.

Of a k×k convolution from M to N channels, one that is depthwise separable takes 1/N + 1/k² of the
multiply-accumulates and weights, and one in G groups takes 1/G.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


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
