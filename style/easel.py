"""Everything that is there before the first step: pictures put in order, and checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from data.errors import ArgumentError

from .color import Palette
from .config import Manner, Region, StyleConfig
from .elastic import ElasticObjective
from .initial import check_draft, initial_image
from .network import StyleNetwork
from .painters import Losses
from .portraits import Care, Penalised, gentler
from .pyramid import fit, paintable, resize, scales, share_steps, shrink, size_of
from .regions import Area, divide, photograph_stays
from .tiled import Cutter


@dataclass(frozen=True, slots=True, kw_only=True)
class Easel:
    """A picture that is about to be painted.

    Attributes:
        palette: The photograph, and what is done about colours.
        areas: What is painted where, at the finest size.
        start: (1, 3, H, W), what is painted over.
        schedule: (longer side in px, steps) of each scale, from coarse to fine.
        config: What to paint.
        network: What looks at the picture.
        cutter: Cuts pictures up for it.
        care: What holds parts of the picture to the photograph.
    """

    palette: Palette
    areas: Sequence[Area]
    start: Tensor
    schedule: Sequence[tuple[int, int]]
    config: StyleConfig
    network: StyleNetwork
    cutter: Cutter
    care: Care | None = None

    @property
    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """The schedule by (H, W) in px instead of longer sides."""
        return [(self.size(side), steps) for side, steps in self.schedule]

    def size(self, side: int) -> tuple[int, int]:
        """(H, W) of the scale whose longer side is `side` px."""
        return fit(size_of(self.palette.content), side)

    def objective(
        self, side: int, tile: int | None, tell: Callable[[str], None]
    ) -> ElasticObjective:
        """What is asked of the picture in the scale whose longer side is `side` px."""
        size = self.size(side)
        scaled = partial(_scaled_style, side=side, config=self.config, network=self.network)
        return ElasticObjective(
            self.network,
            resize(self.palette.content, size),
            [area.at(size, scaled) for area in self.areas],
            self.config,
            cutter=self.cutter,
            tile=tile,
            tell=tell,
        )

    def with_care(self, objective: Losses, side: int) -> Losses:
        """What is asked of that picture besides, where there is care to take."""
        if self.care is None:
            return objective
        size = self.size(side)
        stays = photograph_stays(self.areas)
        return Penalised(
            objective,
            self.care.penalty,
            resize(self.palette.content, size),
            None if stays is None else resize(stays, size),
        )


def set_up(
    content: Tensor,
    styles: Sequence[Tensor],
    config: StyleConfig,
    network: StyleNetwork,
    regions: Sequence[Region[Tensor]],
    initial: Tensor | None,
    care: Care | None = None,
) -> Easel:
    """Check everything, and put the pictures in order; see `style.optimize.stylize`."""
    regions = [_batched_region(region) for region in regions]
    _check_styles(styles, regions, config, network)
    check_draft(initial, config)
    sides = scales(config.size, config.first_scale, config.scale_factor)
    schedule = share_steps(config.steps, paintable(size_of(content), sides, network.least_side))
    photograph = resize(_batched(content), fit(size_of(content), config.size))
    main = Area(
        styles=tuple(map(_batched, styles)),
        mix=config.style_mix or (1.0,) * len(styles),
        strength=config.strength,
    )
    areas = divide(main, regions, size_of(content), size_of(photograph))
    if care is not None:
        areas = gentler(areas, care.relief.to(photograph))
    palette = Palette(photograph, config)
    prepared = [_prepared(area, palette, size_of(photograph), config, network) for area in areas]
    draft = None if initial is None else palette.seen(_batched(initial))
    return Easel(
        palette=palette,
        areas=prepared,
        start=initial_image(palette.content, prepared, schedule[0][0], config, draft),
        schedule=schedule,
        config=config,
        network=network,
        cutter=Cutter(network, photograph),
        care=care,
    )


def _batched(picture: Tensor) -> Tensor:
    """(1, C, H, W) from that or from (C, H, W)."""
    return picture if picture.ndim == 4 else picture.unsqueeze(0)


def _batched_region(region: Region[Tensor]) -> Region[Tensor]:
    """The region with its pictures as (1, C, H, W)."""
    style = region.style if isinstance(region.style, Manner) else _batched(region.style)
    return replace(region, mask=_batched(region.mask), style=style)


def _check_styles(
    styles: Sequence[Tensor],
    regions: Sequence[Region[Tensor]],
    config: StyleConfig,
    network: StyleNetwork,
) -> None:
    """Refuse no style, a `style_mix` of another length, and pictures too small to show one."""
    if not styles:
        raise ArgumentError("there is no style picture: give at least one")
    if config.style_mix and len(config.style_mix) != len(styles):
        raise ArgumentError(
            f"style_mix has {len(config.style_mix)} weights for {len(styles)} style picture(s): "
            "give one for each, or none"
        )
    named = {f"style picture {number}": style for number, style in enumerate(styles, start=1)}
    for number, region in enumerate(regions, start=1):
        if not isinstance(region.style, Manner):
            named[f"the style picture of region {number}"] = region.style
    least = network.least_side
    for name, style in named.items():
        height, width = size_of(style)
        if min(height, width) < least:
            raise ArgumentError(
                f"{name} of {width}×{height} px is too small for this network, "
                f"which needs {least} px on the shorter side: choose a larger one"
            )


def _prepared(
    area: Area,
    palette: Palette,
    size: tuple[int, int],
    config: StyleConfig,
    network: StyleNetwork,
) -> Area:
    """An area with its styles as the finest scale, of `size` (H, W), is to see them."""

    def style(given: Tensor) -> Tensor:
        scaled = _scaled_style(given, side=max(size), config=config, network=network)
        return palette.style(scaled, area.share)

    return area.at(size, style)


def _scaled_style(
    style: Tensor, *, side: int, config: StyleConfig, network: StyleNetwork
) -> Tensor:
    """A style picture (1, 3, H, W) as it is looked at in the scale of this longer side, px."""
    longer = round(side * config.style_scale)
    return shrink(style, longer, shorter=network.least_side)
