"""The three trained networks of MTCNN, run the quick way.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao: Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks, 2016. The weights are those in facenet-pytorch's wheel. Only the way they
are run is ours: channels-last, and pooling as a maximum of strided views, because PyTorch's own
pooling takes more of a processor's time than all convolutions do. Numbers are the same to rounding.
"""

from typing import Any

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import Tensor, nn


def max_pool(x: Tensor, size: int) -> Tensor:
    """Pool the maximum over windows of `size`×`size` with stride 2; the last window may be cut off.

    Args:
        x: Feature maps (B, C, H, W).
        size: Side of the window, at least 2.

    Returns:
        (B, C, ⌈(H - size)/2⌉ + 1, ⌈(W - size)/2⌉ + 1), as `max_pool2d(x, size, 2, ceil_mode=True)`.
    """
    return _max_along(_max_along(x, size, 2), size, 3)


def _max_along(x: Tensor, size: int, axis: int) -> Tensor:
    length = x.shape[axis]
    count = -(-(length - size) // 2) + 1
    every_second = [
        x[(slice(None),) * axis + (slice(first, first + 2 * count - 1, 2),)]
        for first in range(size)
    ]
    result = every_second[0].clone()
    for view in every_second[1:]:
        reached = result.narrow(axis, 0, view.shape[axis])  # a window cut off does not reach `view`
        torch.maximum(reached, view, out=reached)
    return result


class ProposalNetwork(nn.Module):
    """P-Net: looks at every 12×12 window of an image, two pixels apart."""

    window = 12
    stride = 2

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = PNet().eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Judge all windows of a batch.

        Args:
            x: Normalised pixels (B, 3, H, W), at least 12×12.

        Returns:
            Probability of a face in each window (B, h, w), movement of the window's edges in its
            sides (B, 4, h, w).
        """
        net = self.net
        # An odd last row or column would pool a window that reaches over the border.
        x = net.prelu1(net.conv1(x))
        x = max_pool(x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], 2)
        x = net.prelu3(net.conv3(net.prelu2(net.conv2(x))))
        return _face_probability(net.conv4_1(x)), net.conv4_2(x)


class RefinementNetwork(nn.Module):
    """R-Net: judges a candidate from 24×24 pixels."""

    side = 24

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = RNet().eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Judge candidates.

        Args:
            x: Normalised crops (N, 3, 24, 24).

        Returns:
            Probability of a face (N,), movement of the edges in sides of the box (N, 4).
        """
        net = self.net
        x = max_pool(net.prelu1(net.conv1(x)), 3)
        x = max_pool(net.prelu2(net.conv2(x)), 3)
        x = net.prelu4(net.dense4(_flat(net.prelu3(net.conv3(x)))))
        return _face_probability(net.dense5_1(x)), net.dense5_2(x)


class OutputNetwork(nn.Module):
    """O-Net: judges a candidate from 48×48 pixels and places five landmarks."""

    side = 48

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = ONet().eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge candidates and place their landmarks.

        Args:
            x: Normalised crops (N, 3, 48, 48).

        Returns:
            Probability of a face (N,), movement of the edges in sides of the box (N, 4), and five
            landmarks (N, 5, 2): x and y in sides of the box, from its top left corner.
        """
        net = self.net
        x = max_pool(net.prelu1(net.conv1(x)), 3)
        x = max_pool(net.prelu2(net.conv2(x)), 3)
        x = max_pool(net.prelu3(net.conv3(x)), 2)
        x = net.prelu5(net.dense5(_flat(net.prelu4(net.conv4(x)))))
        landmarks = (
            net.dense6_3(x).view(-1, 2, 5).transpose(1, 2)
        )  # five x, then five y → (N, 5, 2)
        return _face_probability(net.dense6_1(x)), net.dense6_2(x), landmarks


def _face_probability(logits: Tensor) -> Tensor:
    # The softmax of two classes, of which the second is "face".
    return (logits[:, 1] - logits[:, 0]).sigmoid()


def _flat(x: Tensor) -> Tensor:
    # The weights were made where the columns lie outermost and the channels innermost.
    return x.permute(0, 3, 2, 1).flatten(1)
