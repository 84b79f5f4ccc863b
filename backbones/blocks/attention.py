"""Attention behind a stage: what a feature map lets through, by channel, by place, or by likeness.

| kind | what weighs what |
|---|---|
| se | each channel, by the averages of all channels (Hu et al. 2018) |
| eca | each channel, by those of its neighbours alone (Wang et al. 2020) |
| cbam | each channel by averages and maxima, then each place by those (Woo et al. 2018) |
| non_local | each place, by all places that are like it (Wang et al. 2018) |

All keep the shape of the map. A departure from the papers: they sit behind a whole stage of the
network, not inside each of its blocks, so that every network can have them.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from ..spec import Attention

_REDUCTION = 16
_SPATIAL_KERNEL = 7


def make_attention(kind: Attention, channels: int) -> nn.Module:
    """A layer that keeps the shape of a feature map.

    Args:
        kind: Not `Attention.NONE`.
        channels: C of the map.
    """
    kinds: dict[Attention, type[nn.Module]] = {
        Attention.SE: SqueezeExcite,
        Attention.ECA: EfficientChannel,
        Attention.CBAM: ChannelThenPlace,
        Attention.NON_LOCAL: NonLocal,
    }
    return kinds[kind](channels)


class SqueezeExcite(nn.Module):
    """x · σ(W₂ relu(W₁ mean(x))), a sixteenth of the channels between W₁ and W₂."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(1, channels // _REDUCTION)
        self.squeeze = nn.Linear(channels, middle)
        self.excite = nn.Linear(middle, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3))))))
        return x * weights[:, :, None, None]


class EfficientChannel(nn.Module):
    """x · σ(a convolution over the channels' averages), its kernel wider for more channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int(abs(math.log2(channels) / 2 + 0.5))  # the paper's γ = 2 and b = 1
        kernel += 1 - kernel % 2
        self.convolution = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        weights = torch.sigmoid(self.convolution(x.mean(dim=(2, 3))[:, None]))[:, 0]
        return x * weights[:, :, None, None]


class ChannelThenPlace(nn.Module):
    """Averages and maxima of each channel through one small network; then those of each place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(1, channels // _REDUCTION)
        self.channels = nn.Sequential(
            nn.Linear(channels, middle), nn.ReLU(inplace=True), nn.Linear(middle, channels)
        )
        half = _SPATIAL_KERNEL // 2
        self.places = nn.Conv2d(2, 1, _SPATIAL_KERNEL, padding=half, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        weights = self.channels(x.mean(dim=(2, 3))) + self.channels(x.amax(dim=(2, 3)))
        x = x * torch.sigmoid(weights)[:, :, None, None]
        both = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.places(both))


class NonLocal(nn.Module):
    """x + γ W softmax(θ(x)ᵀ φ(x)) g(x); γ begins at 0, where x passes as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(1, channels // 2)
        self.query = nn.Conv2d(channels, middle, 1)
        self.key = nn.Conv2d(channels, middle, 1)
        self.value = nn.Conv2d(channels, middle, 1)
        self.out = nn.Conv2d(middle, channels, 1)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        likeness = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # (B, H*W, H*W)
        seen = (value @ likeness.transpose(1, 2)).view(x.shape[0], -1, *x.shape[2:])
        return cast(Tensor, x + self.gain * self.out(seen))
