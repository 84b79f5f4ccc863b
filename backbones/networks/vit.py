"""ViT-S/16: torchvision's Transformer blocks over patches, in feature maps.

A. Dosovitskiy et al.: An Image is Worth 16x16 Words, 2021. An average over all patches stands in
the place of the class token (L. Beyer, X. Zhai, A. Kolesnikov: Better plain ViT baselines for
ImageNet-1k, 2022), so every tap is a feature map and nothing else. The positions are learned for
the spec's grid and interpolated for images of other sizes.
"""

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

from data.errors import ArgumentError

from ..network import Backbone
from ..spec import BackboneSpec
from .head import pooled_head

_PATCH = 16
_DEPTH = 12
_HEADS = 6
_EXPANSION = 4
_GROUP = 3
"""Blocks from tap to tap."""


class Patches(nn.Module):
    """A linear map of each patch, and what is learned about its place.

    Args:
        channels: Numbers a patch.
        grid: Patches down and across that the places are learned for.
    """

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, channels, _PATCH, _PATCH)
        self.positions = nn.Parameter(torch.empty(1, channels, *grid).normal_(std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, C, H/16, W/16)."""
        x = self.projection(x)
        positions: Tensor = self.positions
        if positions.shape[-2:] != x.shape[-2:]:
            size = (x.shape[-2], x.shape[-1])
            positions = F.interpolate(positions, size, mode="bilinear", align_corners=False)
        return x + positions


class Blocks(nn.Module):
    """Transformer blocks over the cells of a feature map.

    Args:
        channels: Numbers a cell.
        count: How many blocks.
        norm: Whether a layer norm follows.
    """

    def __init__(self, channels: int, count: int, *, norm: bool = False) -> None:
        super().__init__()
        layer_norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.Sequential(
            *(
                EncoderBlock(_HEADS, channels, _EXPANSION * channels, 0.0, 0.0, layer_norm)
                for _ in range(count)
            )
        )
        self.norm = layer_norm(channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        tokens = x.flatten(2).transpose(1, 2)  # (B, H*W, C)
        tokens = cast(Tensor, self.norm(self.blocks(tokens)))
        return tokens.transpose(1, 2).reshape(x.shape)


class VisionTransformer(Backbone):
    """The network, in four groups of blocks."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        channels = spec.taps[0].channels
        height, width = (side // _PATCH for side in spec.input_size)
        if not height or not width:
            raise ArgumentError(
                f"{spec.name} needs sides of at least {_PATCH} pixels, not "
                f"{spec.input_size[0]}x{spec.input_size[1]}"
            )
        self.patches = Patches(channels, (height, width))
        names = [tap.name for tap in spec.taps[1:]]
        self.groups = nn.ModuleDict(
            {name: Blocks(channels, _GROUP, norm=name == names[-1]) for name in names}
        )
        self.head = pooled_head(spec)
        stages: dict[str, list[nn.Module]] = {"patches": [self.patches]}
        stages |= {name: [group] for name, group in self.groups.items()}
        self.chain(stages, head=[self.head])


def build(spec: BackboneSpec) -> Backbone:
    """ViT-S/16.

    Raises:
        ArgumentError: A side of the input size is below one patch.
    """
    return VisionTransformer(spec)
