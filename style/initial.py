"""What the painting begins from, at the coarsest scale."""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.errors import ArgumentError

from .color import colours, recoloured
from .config import ColorMethod, InitialImage, StyleConfig
from .pyramid import fit, resize, size_of
from .regions import Area


def check_draft(draft: Tensor | None, config: StyleConfig) -> None:
    """Refuse to begin from a draft that is not there.

    Raises:
        ArgumentError: It is not.
    """
    if config.initial_image is InitialImage.DRAFT and draft is None:
        raise ArgumentError(
            "initial_image is draft, and no draft was handed in: make one, or begin from another "
            "image"
        )


def initial_image(
    content: Tensor,
    areas: Sequence[Area],
    side: int,
    config: StyleConfig,
    draft: Tensor | None = None,
) -> Tensor:
    """The picture (1, 3, h, w) in [0, 1] that is painted over.

    Args:
        content: (1, 3, H, W) in [0, 1].
        areas: What is painted where, at that size.
        side: Longer side of the coarsest scale, px, for what does not have a size of its own.
        config: Which one.
        draft: (1, 3, h, w) in [0, 1] of any size, instead of what the configuration says.
    """
    if draft is not None:
        # In the usual order in memory, by which the optimisers pair pixels and gradients.
        return resize(draft, size_of(content)).clamp(0, 1).contiguous()
    if config.initial_image is InitialImage.NOISE:
        return _noise(fit(size_of(content), side), config.seed).to(content)
    if config.initial_image is InitialImage.STATISTICS:
        return _in_style_colours(content, areas)
    return content


def _noise(size: tuple[int, int], seed: int) -> Tensor:
    """Grey noise (1, 3, H, W); drawn on the CPU, so that one seed is one picture everywhere."""
    source = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 3, *size, generator=source)
    return noise.mul_(0.1).add_(0.5).clamp_(0, 1)


def _in_style_colours(content: Tensor, areas: Sequence[Area]) -> Tensor:
    """The content in each area's style's colours; those of several styles are averaged."""
    picture = torch.zeros_like(content)
    for area in areas:
        share = 1.0 if area.share is None else area.share
        if not area.styles:
            picture += content * share
            continue
        for style, weight in zip(area.styles, area.mix, strict=True):
            moved = recoloured(content, colours(style), ColorMethod.TRANSPORT)
            picture += moved * share * (weight / sum(area.mix))
    return picture.clamp_(0, 1)
