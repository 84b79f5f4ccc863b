"""The objective of a picture that is looked at tile by tile, with the gradient of the whole.

The losses are functions of sums over places, and those of the tiles add up. A first pass adds up
the moments, without gradient; the style losses of the totals say how each moment is to change; a
second pass brings that, the content and the smoothness back to the pixels, tile by tile. So a
picture costs one look more than in one piece, and the memory of one tile.

What is kept of the size of the picture: the content at its taps, and the areas' shares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import torch
from torch import Tensor

from .config import StyleConfig
from .moments import Moments
from .network import StyleNetwork
from .objective import (
    AreaContent,
    AreaStyle,
    Balance,
    Shares,
    moments_at_taps,
    shares_at_taps,
)
from .pyramid import size_of
from .regions import Area, photograph_stays
from .tiles import Overlap, Tile
from .views import View, measure_views


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How pictures are cut up for a network.

    Attributes:
        views: By tap of the network; see `measure_views`.
        overlap: What these need.
        side: Longest side of a tile with its overlap, px.
    """

    views: Mapping[str, View]
    overlap: Overlap
    side: int

    def cut(self, picture: Tensor) -> list[Tile]:
        """The tiles of a picture (1, C, H, W)."""
        return self.overlap.tiles(size_of(picture), self.side)

    def own(self, seen: Mapping[str, Tensor], tile: Tile) -> dict[str, Tensor]:
        """What a tile owns of the activations of its crop, by tap."""
        return {tap: tile.own(features, self.views[tap].stride) for tap, features in seen.items()}

    def of(self, shares: Shares, tile: Tile) -> Shares:
        """What a tile owns of an area's shares."""
        return {
            tap: None if share is None else tile.of(share, self.views[tap].stride)
            for tap, share in shares.items()
        }

    def look(self, network: StyleNetwork, picture: Tensor, tile: Tile) -> dict[str, Tensor]:
        """What a tile owns of the activations of a picture (1, 3, H, W), by tap."""
        with torch.no_grad():
            return self.own(network.extract(tile.crop(picture)), tile)

    def map_of_whole(self, tap: str, tile: Tile, own: Tensor) -> Tensor:
        """A map of the whole picture's shape, without values, from what the last tile owns."""
        stride = self.views[tap].stride
        height, width = size_of(own)
        down, across = tile.rows.places(stride).start, tile.columns.places(stride).start
        return own.new_empty((1, 1, down + height, across + width), device="meta")


class Cutter:
    """Cuts pictures up for one network, whose views are measured when first they are needed."""

    def __init__(self, network: StyleNetwork, like: Tensor) -> None:
        """Remember the network, and a picture of the type and on the device that it wants."""
        self._network = network
        self._like = like.new_zeros(1)

    @cached_property
    def _views(self) -> dict[str, View]:
        return measure_views(self._network.extract, self._network.stride, self._like)

    @cached_property
    def overlap(self) -> Overlap:
        """What the network's tiles need.

        Raises:
            StyleError: The network cannot be looked at in tiles.
        """
        return Overlap.of(self._views.values(), self._network.stride)

    def fitting(self, side: int) -> int:
        """The longest side of a tile up to `side` px that wastes nothing; no less than possible."""
        return max(self.overlap.least_tile, side // self._network.stride * self._network.stride)

    def tiling(self, side: int) -> Tiling:
        """Tiles whose longest side is `side` px with their overlap."""
        return Tiling(views=self._views, overlap=self.overlap, side=side)


class TiledObjective:
    """As `Objective`, tile by tile; losses and gradient come together."""

    def __init__(
        self,
        network: StyleNetwork,
        content: Tensor,
        areas: Sequence[Area],
        config: StyleConfig,
        tiling: Tiling,
    ) -> None:
        """Look at the targets; the arguments are those of `Objective`."""
        self._network = network
        self._tiling = tiling
        self._tiles = tiling.cut(content)
        self._photograph = content
        self._stays = photograph_stays(areas)
        painted = [area for area in areas if area.styles]
        with torch.no_grad():
            self._styles = [
                AreaStyle(network, area, [self._moments(style) for style in area.styles], config)
                for area in painted
            ]
            self._parts = self._look_at_content(content, painted)
        self._balance = Balance.of(painted, config, content)

    def __call__(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of a picture (1, 3, H, W), as in `Objective`, and the gradient of "total"."""
        shown = self.shown(image)
        styles, pulls = self._style(shown)
        gradient = torch.zeros_like(shown)
        contents = torch.zeros_like(self._balance.contents)
        variation = shown.new_zeros(())
        for part in self._parts:
            crop = part.tile.crop(shown).clone().requires_grad_(True)
            with torch.enable_grad():
                of_content, smoothness, total = self._losses(part, crop, size_of(shown), pulls)
                (pulled,) = torch.autograd.grad(total, crop)
            part.tile.crop(gradient).add_(pulled)
            contents += of_content.detach()
            variation += smoothness.detach()
        if self._stays is not None:
            gradient *= 1 - self._stays
        return self._balance.losses(contents, styles, variation), gradient

    def shown(self, image: Tensor) -> Tensor:
        """As `Objective.shown`."""
        return image if self._stays is None else image.lerp(self._photograph, self._stays)

    def _style(self, shown: Tensor) -> tuple[Tensor, list[dict[str, "_Pull"]]]:
        """The first pass: the style loss of each area, (A,), and what it asks of the moments."""
        totals: list[dict[str, Moments]] = []
        for part in self._parts:
            seen = self._tiling.look(self._network, shown, part.tile)
            here = [moments_at_taps(self._network, seen, shares) for shares in part.shares]
            totals = list(map(_both, totals, here)) if totals else here
        leaves = [{tap: _leaf(moments) for tap, moments in it.items()} for it in totals]
        with torch.enable_grad():
            losses = [loss(leaf) for loss, leaf in zip(self._styles, leaves, strict=True)]
            styles = torch.stack(losses)
            sums = [it for leaf in leaves for m in leaf.values() for it in (m.total, m.products)]
            found = torch.autograd.grad(self._balance.styles @ styles, sums, allow_unused=True)
        pulls = map(_Pull, found[::2], found[1::2])
        return styles.detach(), [{tap: next(pulls) for tap in leaf} for leaf in leaves]

    def _losses(
        self,
        part: "_Part",
        crop: Tensor,
        size: tuple[int, int],
        pulls: Sequence[Mapping[str, "_Pull"]],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The content losses (A,) and the variation of a tile, and what to differentiate."""
        seen = self._tiling.own(self._network.extract(crop), part.tile)
        contents = torch.stack([content(seen) for content in part.contents])
        variation = _variation(crop, part.tile, size)
        total = self._balance.contents @ contents + self._balance.variation * variation
        for shares, pull in zip(part.shares, pulls, strict=True):
            for tap, moments in moments_at_taps(self._network, seen, shares).items():
                total = total + pull[tap].of(moments)
        return contents, variation, total

    def _moments(self, picture: Tensor) -> dict[str, Moments]:
        """The moments of a style picture (1, 3, h, w), of any size."""
        looks = (
            self._tiling.look(self._network, picture, tile) for tile in self._tiling.cut(picture)
        )
        return reduce(_both, (moments_at_taps(self._network, seen) for seen in looks))

    def _look_at_content(self, content: Tensor, painted: Sequence[Area]) -> list["_Part"]:
        """Keep what each tile owns of the content at its taps, and of the areas' shares."""
        tiles = self._tiling.cut(content)
        targets, shapes, wholes = [], {}, []
        for tile in tiles:
            seen = self._tiling.look(self._network, content, tile)
            targets.append({tap: seen[tap].clone() for tap in self._network.content_taps})
            wholes.append({tap: Moments.of(target) for tap, target in targets[-1].items()})
            shapes = {tap: self._tiling.map_of_whole(tap, tile, it) for tap, it in seen.items()}
        whole = reduce(_both, wholes)
        shares = [shares_at_taps(area, shapes) for area in painted]
        parts = []
        for tile, target in zip(tiles, targets, strict=True):
            here = [self._tiling.of(of_area, tile) for of_area in shares]
            contents = [AreaContent(self._network, target, it, whole) for it in here]
            parts.append(_Part(tile, here, contents))
        return parts


@dataclass(frozen=True, slots=True)
class _Part:
    """A tile with the shares and the content losses of each area."""

    tile: Tile
    shares: Sequence[Shares]
    contents: Sequence[AreaContent]


class _Pull(NamedTuple):
    """The gradient of the style losses by the moments of one tap; None is 0."""

    total: Tensor | None
    products: Tensor | None

    def of(self, moments: Moments) -> Tensor:
        """A scalar with that gradient."""
        pairs = ((moments.total, self.total), (moments.products, self.products))
        return torch.stack([(sums * pull).sum() for sums, pull in pairs if pull is not None]).sum()


def _both(one: Mapping[str, Moments], other: Mapping[str, Moments]) -> dict[str, Moments]:
    """The moments of two tiles together."""
    return {tap: moments + other[tap] for tap, moments in one.items()}


def _leaf(moments: Moments) -> Moments:
    """The same moments, by which to differentiate."""
    return Moments(
        count=moments.count,
        total=moments.total.detach().requires_grad_(True),
        products=moments.products.detach().requires_grad_(True),
    )


def _variation(crop: Tensor, tile: Tile, size: tuple[int, int]) -> Tensor:
    """The pairs of neighbours of `total_variation` whose first one the tile owns.

    Args:
        crop: What is looked at of the picture (1, 3, h, w).
        tile: The tile.
        size: (H, W) of the picture, px.
    """
    height, width = size
    rows, columns = tile.rows, tile.columns
    down = range(rows.first - rows.start, rows.last - rows.start)
    over = range(columns.first - columns.start, columns.last - columns.start)
    near = crop[..., down.start : down.stop + 1, over.start : over.stop + 1]
    across = near[..., : len(down), 1:] - near[..., : len(down), :-1]
    downwards = near[..., 1:, : len(over)] - near[..., :-1, : len(over)]
    return across.square().sum() / (3 * height * (width - 1)) + downwards.square().sum() / (
        3 * (height - 1) * width
    )
