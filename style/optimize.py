"""stylize(): paint a photograph in the manner of other pictures, step by step."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from data.errors import ArgumentError
from data.images import to_image

from .color import Palette
from .config import Manner, Region, StyleConfig
from .initial import check_draft, initial_image
from .network import StyleNetwork
from .objective import Objective
from .painters import Losses, Painter, painter
from .portraits import Care, Penalised, gentler
from .pyramid import fit, least_side, paintable, resize, scales, share_steps, shrink, size_of
from .regions import Area, divide, photograph_stays
from .results import Progress


def stylize(
    content: Tensor,
    styles: Sequence[Tensor],
    config: StyleConfig,
    network: StyleNetwork,
    *,
    regions: Sequence[Region[Tensor]] = (),
    initial: Tensor | None = None,
    care: Care | None = None,
    preview_every: int = 0,
) -> Generator[Progress, None, None]:
    """Paint `content` in the manner of `styles` (Gatys et al. 2016), coarse to fine (2017).

    The arguments are checked at once; the work is done as the generator is asked for steps.
    Closing the generator cancels the run; the last `Progress` can still render its picture.
    On one CPU, with one number of threads, the same seed gives the same picture.

    Args:
        content: (1, 3, H, W) or (3, H, W), RGB in [0, 1], any size, on the network's device.
        styles: One or more such pictures.
        config: What to paint.
        network: What looks at the picture.
        regions: Parts of the photograph that are painted in their own way: masks (1, H, W) or
            (1, 1, H, W) in [0, 1], and styles like the others.
        initial: What the picture starts from instead of what the config says, of any size: a
            draft, or a picture to go on with.
        care: What holds parts of the picture to the photograph, at the size of the picture.
        preview_every: Every how many steps a `Progress` carries an image; 0 for the last only.

    Returns:
        A generator of one `Progress` a step.

    Raises:
        ArgumentError: No style, a `style_mix` of another length, a picture too small or too
            elongated for the network, regions that make no sense (see `style.regions.divide`), or
            no draft where the configuration asks for one.
        StyleError: While painting, a loss became infinite or NaN.
    """
    regions = [_batched_region(region) for region in regions]
    _check_styles(styles, regions, config, network)
    check_draft(initial, config)
    sides = scales(config.size, config.first_scale, config.scale_factor)
    plan = share_steps(config.steps, paintable(size_of(content), sides, network.stride))
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
    begin = None if initial is None else palette.seen(_batched(initial))
    start = initial_image(palette.content, prepared, plan[0][0], config, begin)
    return _paint(palette, prepared, start, plan, config, network, care, preview_every)


def _paint(
    palette: Palette,
    areas: Sequence[Area],
    picture: Tensor,
    plan: Sequence[tuple[int, int]],
    config: StyleConfig,
    network: StyleNetwork,
    care: Care | None,
    preview_every: int,
) -> Generator[Progress, None, None]:
    """Paint over `picture` in the scales of `plan`, (longer side, steps) each."""
    started = time.perf_counter()
    done = 0
    content = palette.content
    before: Mapping[str, Tensor] | None = None
    for side, steps in plan:
        size = fit(size_of(content), side)
        scaled = partial(_scaled_style, side=side, config=config, network=network)
        here = [area.at(size, scaled) for area in areas]
        objective: Losses = Objective(network, resize(content, size), here, config)
        if care is not None:
            stays = photograph_stays(here)
            objective = Penalised(objective, care.penalty, resize(content, size), stays)
        easel = painter(resize(picture, size), objective, config, steps=steps, before=before)
        render = partial(_render, easel, palette, photograph_stays(areas))
        for _ in range(steps):
            losses = easel.step()
            done += 1
            shows = done == config.steps or (preview_every > 0 and done % preview_every == 0)
            yield Progress(
                step=done,
                total=config.steps,
                losses=losses,
                elapsed=time.perf_counter() - started,
                size=size,
                image=to_image(render()) if shows else None,
                render_tensor=render,
            )
        picture, before = easel.picture(), easel.state()


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
    least = least_side(network.stride)
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
    return shrink(style, longer, shorter=least_side(network.stride))


def _render(easel: Painter, palette: Palette, stays: Tensor | None) -> Tensor:
    """The picture so far, enlarged while the scale is coarse, in the colours it is to have.

    `stays` (1, 1, H, W) tells how far each pixel is still the photograph's; None: nowhere.
    """
    content = palette.content
    painted = resize(easel.picture(), size_of(content))
    return palette.restored(painted if stays is None else painted.lerp(content, stays))
