"""stylize(): paint a photograph in the manner of other pictures, step by step."""

import time
from collections.abc import Generator, Sequence
from functools import partial

import torch
from PIL.Image import Image
from torch import Tensor

from data.errors import ArgumentError
from data.images import to_image

from .config import InitialImage, StyleConfig
from .objective import Objective, StyleNetwork
from .painters import Painter, painter
from .pyramid import fit, least_side, paintable, resize, scales, share_steps, shrink, size_of
from .results import Progress


def stylize(
    content: Tensor,
    styles: Sequence[Tensor],
    config: StyleConfig,
    network: StyleNetwork,
    *,
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
        preview_every: Every how many steps a `Progress` carries an image; 0 for the last only.

    Returns:
        A generator of one `Progress` a step.

    Raises:
        ArgumentError: No style, a `style_mix` of another length, or a picture too small or too
            elongated for the network.
        StyleError: While painting, a loss became infinite or NaN.
    """
    _check_styles(styles, config, network)
    sides = scales(config.size, config.first_scale, config.scale_factor)
    plan = share_steps(config.steps, paintable(size_of(content), sides, network.stride))
    return _paint(
        resize(_batched(content), fit(size_of(content), config.size)),
        [_scaled_style(_batched(style), config.size, config, network) for style in styles],
        plan,
        config,
        network,
        preview_every,
    )


def _paint(
    content: Tensor,
    styles: Sequence[Tensor],
    plan: Sequence[tuple[int, int]],
    config: StyleConfig,
    network: StyleNetwork,
    preview_every: int,
) -> Generator[Progress, None, None]:
    """Paint the scales of `plan`, (longer side, steps) each; the arguments are checked."""
    started = time.perf_counter()
    done = 0
    picture = _initial(content, plan[0][0], config)
    for side, steps in plan:
        size = fit(size_of(content), side)
        targets = [_scaled_style(style, side, config, network) for style in styles]
        objective = Objective(network, resize(content, size), targets, config)
        easel = painter(resize(picture, size), objective, config)
        render = partial(_render, easel, size_of(content))
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
                image=render() if shows else None,
                render=render,
            )
        picture = easel.picture()


def _batched(picture: Tensor) -> Tensor:
    """(1, 3, H, W) from that or from (3, H, W)."""
    return picture if picture.ndim == 4 else picture.unsqueeze(0)


def _check_styles(styles: Sequence[Tensor], config: StyleConfig, network: StyleNetwork) -> None:
    """Refuse no style, a `style_mix` of another length, and pictures too small to show one."""
    if not styles:
        raise ArgumentError("there is no style picture: give at least one")
    if config.style_mix and len(config.style_mix) != len(styles):
        raise ArgumentError(
            f"style_mix has {len(config.style_mix)} weights for {len(styles)} style picture(s): "
            "give one for each, or none"
        )
    least = least_side(network.stride)
    for number, (height, width) in enumerate(map(size_of, styles), start=1):
        if min(height, width) < least:
            raise ArgumentError(
                f"style picture {number} of {width}×{height} px is too small for this network, "
                f"which needs {least} px on the shorter side: choose a larger one"
            )


def _scaled_style(style: Tensor, side: int, config: StyleConfig, network: StyleNetwork) -> Tensor:
    """A style picture (1, 3, H, W) as it is looked at in the scale of this longer side, px."""
    longer = round(side * config.style_scale)
    return shrink(style, longer, shorter=least_side(network.stride))


def _initial(content: Tensor, side: int, config: StyleConfig) -> Tensor:
    """Where the coarsest scale, of this longer side in px, begins: the content, or grey noise."""
    if config.initial_image is InitialImage.CONTENT:
        return content
    # Drawn on the CPU, so that one seed is one picture on every device.
    source = torch.Generator().manual_seed(config.seed)
    noise = torch.randn(1, 3, *fit(size_of(content), side), generator=source)
    return noise.mul_(0.1).add_(0.5).clamp_(0, 1).to(content)


def _render(easel: Painter, size: tuple[int, int]) -> Image:
    """The picture so far, enlarged to `size` (H, W) while the scale is coarse."""
    return to_image(resize(easel.picture(), size))
