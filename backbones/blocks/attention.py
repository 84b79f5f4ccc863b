"""Attention behind a stage: what a feature map lets through, by channel, by place, or by likeness.

| kind | what weighs what |
|---|---|
| se | each channel, by the averages of all channels (Hu et al. 2018) |
| sk | two widths of view against each other, channel by channel (Li et al. 2019) |
| eca | each channel, by those of its neighbours alone (Wang et al. 2020) |
| cbam | each channel by averages and maxima, then each place by those (Woo et al. 2018) |
| danet | each place by those like it, and each channel by those like it (Fu et al. 2019) |
| non_local | each place, by all places that are like it (Wang et al. 2018) |
| self | the same with several heads, a Transformer's attention (Vaswani et al. 2017) |

All keep the shape of the map. A departure from the papers: they sit behind a whole stage of the
network, not inside each of its blocks, so that every network can have them. Those that compare all
places with all others begin as nothing (their gain is 0), and stand only behind maps of at most
`MOST_PLACES` places: their cost grows with the square of it.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from ..spec import Attention, BackboneSpec, Tap

PREFIX = "attention"
"""What `state_dict` calls the attention that is added to a network."""
MOST_PLACES = 32 * 32
COMPARES_PLACES = frozenset({Attention.DANET, Attention.NON_LOCAL, Attention.SELF})
"""Kinds whose memory and time grow with the square of a map's places."""

_REDUCTION = 16
_SPATIAL_KERNEL = 7
_HEADS = 8
_CARDINALITY = 32


def attended_taps(spec: BackboneSpec) -> tuple[str, ...]:
    """The taps behind whose stages a network has its attention; none where no map is small enough.

    Args:
        spec: Of the network, with attention.
    """
    if spec.attention_taps is not None:
        return tuple(tap.name for tap in spec.taps if tap.name in spec.attention_taps)

    def has_room(tap: Tap) -> bool:
        height, width = (-(-side // tap.stride) for side in spec.seen_size)
        return spec.attention not in COMPARES_PLACES or height * width <= MOST_PLACES

    return tuple(tap.name for tap in spec.taps[1:] if has_room(tap))


def with_attention_of(spec: BackboneSpec, names: Iterable[str]) -> BackboneSpec:
    """The same network with its attention where trained weights have theirs.

    Networks were trained with attention behind every stage but the first before larger maps were
    left out, and weights may come from a run at another resolution.

    Args:
        spec: Of the network.
        names: Of the weights' tensors, as `state_dict` has them.

    Returns:
        The spec, itself where it has no attention, or the weights have none or have it there.
    """
    found = {name.split(".")[1] for name in names if name.startswith(f"{PREFIX}.")}
    taps = tuple(tap.name for tap in spec.taps if tap.name in found)
    if spec.attention is Attention.NONE or not taps or taps == attended_taps(spec):
        return spec
    return replace(spec, attention_taps=taps)


def make_attention(kind: Attention, channels: int) -> nn.Module:
    """A layer that keeps the shape of a feature map.

    Args:
        kind: Not `Attention.NONE`.
        channels: C of the map.
    """
    kinds: dict[Attention, type[nn.Module]] = {
        Attention.SE: SqueezeExcite,
        Attention.SK: SelectiveKernel,
        Attention.ECA: EfficientChannel,
        Attention.CBAM: ChannelThenPlace,
        Attention.DANET: DualAttention,
        Attention.NON_LOCAL: NonLocal,
        Attention.SELF: SelfAttention,
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


class SelectiveKernel(nn.Module):
    """Split into a 3×3 and a 5×5 view, fuse their averages, select between both by channel.

    The 5×5 view is a 3×3 kernel of cells two apart, and both are grouped, as in the paper.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        groups = math.gcd(channels, _CARDINALITY)
        self.views = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    channels, channels, 3, padding=wide, dilation=wide, groups=groups, bias=False
                ),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            for wide in (1, 2)
        )
        middle = max(32, channels // _REDUCTION)
        self.fuse = nn.Sequential(nn.Linear(channels, middle), nn.ReLU(inplace=True))
        self.select = nn.Linear(middle, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        views = torch.stack([view(x) for view in self.views], dim=1)  # (B, 2, C, H, W)
        fused = self.fuse(views.sum(dim=1).mean(dim=(2, 3)))
        shares = torch.softmax(self.select(fused).view(len(x), 2, -1), dim=1)  # (B, 2, C)
        return (views * shares[:, :, :, None, None]).sum(dim=1)


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


class DualAttention(nn.Module):
    """x + α · places by their likeness + β · channels by theirs; α and β begin at 0.

    A departure from the paper, whose two branches have convolutions of their own around them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(1, channels // 8)
        self.query = nn.Conv2d(channels, middle, 1)
        self.key = nn.Conv2d(channels, middle, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.place_gain = nn.Parameter(torch.zeros(()))
        self.channel_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        likeness = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # (B, H*W, H*W)
        by_place = value @ likeness.transpose(1, 2)  # (B, C, H*W)
        flat = x.flatten(2)
        kinship = torch.softmax(flat @ flat.transpose(1, 2), dim=2)  # (B, C, C)
        seen: Tensor = self.place_gain * by_place + self.channel_gain * (kinship @ flat)
        return x + seen.view_as(x)


class SelfAttention(nn.Module):
    """x + γ W softmax(QᵀK / √d) V in several heads, of the layer-normalised map; γ begins at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = math.gcd(channels, _HEADS)
        self.norm = nn.GroupNorm(1, channels)
        self.queries = nn.Conv2d(channels, 3 * channels, 1)  # keys and values too
        self.out = nn.Conv2d(channels, channels, 1)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        batch, channels, height, width = x.shape
        each = channels // self.heads
        shape = (batch, 3, self.heads, each, height * width)
        query, key, value = self.queries(self.norm(x)).view(shape).unbind(dim=1)
        likeness = torch.softmax(query.transpose(2, 3) @ key / each**0.5, dim=3)
        seen = (value @ likeness.transpose(2, 3)).reshape(x.shape)  # (B, C, H, W)
        return cast(Tensor, x + self.gain * self.out(seen))
