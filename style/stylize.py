"""The optimisation: what there is before the first step, and step by step."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from data.errors import ArgumentError
from data.images import to_image

from .checkpoint import PaintingPosition, Saved, Unfinished, digest_of
from .color import Palette, colours, recoloured
from .config import ColorMethod, InitialImage, Region, RegionManner, StyleConfig
from .network import StyleNetwork
from .optimizers import Losses, Painter, painter
from .planning import ResourcePlan, Room, make_plan, measure_cost
from .portraits import Care, Penalised, gentler
from .regions import Area, divide, photograph_stays
from .results import PaintingProgress
from .scales import fit, paintable, resize, scales, share_steps, shrink, size_of
from .tiling import Cutter, ElasticObjective

# What the painting begins from, at the coarsest scale.


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


# How far a painting is: what is done, what is left, what the user is to hear, what is kept.


class Course:
    """The course of one painting through its scales.

    Attributes:
        scale: Number of the scale that is being painted, from 0.
        taken: Steps done in it.
        done: Steps done in all.
        tiles: By scale, the longest side of the tiles, px; None: in one piece.
    """

    def __init__(
        self,
        schedule: Sequence[tuple[tuple[int, int], int]],
        plan: ResourcePlan | None,
        unfinished: Unfinished | None,
        saved: Saved | None,
    ) -> None:
        """Stand at the beginning, or where a saved painting stands.

        Args:
            schedule: ((H, W) in px, steps) of each scale.
            plan: What was planned; None: nothing.
            unfinished: Where a half-painted picture is kept.
            saved: What was found there.
        """
        self._steps = [steps for _, steps in schedule]
        # What a step of each scale takes; only the ratios matter.
        self._weights = (
            [float(height * width) for (height, width), _ in schedule]
            if plan is None
            else [max(scale.seconds, 1e-9) / scale.steps for scale in plan.scales]
        )
        self.tiles: list[int | None] = [None] * len(schedule)
        if plan is not None:
            self.tiles = [scale.tile for scale in plan.scales]
        self.scale = self.taken = self.done = 0
        self._elsewhere = 0.0  # seconds before the painting was gone on with
        self._unfinished = unfinished
        self._notes: list[str] = []
        self._gives_way = False
        if saved is not None:
            position = saved.position
            self.scale, self.taken, self.done = position.scale, position.taken, position.done
            self.tiles = list(position.tiles)
            self._elsewhere = position.elapsed
            self._notes.append(f"going on after step {self.done} of {sum(self._steps)}")
        self._started = self._scale_started = time.perf_counter()
        self._before = self.taken  # steps of this scale that were done elsewhere

    @property
    def elapsed(self) -> float:
        """Seconds of painting."""
        return self._elsewhere + time.perf_counter() - self._started

    @property
    def seconds_left(self) -> float | None:
        """By the speed of this scale, and by what the others were to take beside it."""
        here = self.taken - self._before
        if here == 0:
            return None
        speed = (time.perf_counter() - self._scale_started) / (here * self._weights[self.scale])
        left = (self._steps[self.scale] - self.taken) * self._weights[self.scale]
        later = range(self.scale + 1, len(self._steps))
        left += sum(self._steps[number] * self._weights[number] for number in later)
        return speed * left

    def begin(self, number: int) -> None:
        """Begin a scale, or go on with it."""
        if number != self.scale:
            self.scale, self.taken = number, 0
        self._scale_started, self._before = time.perf_counter(), self.taken

    def tell(self, line: str) -> None:
        """Hear from the objective that its tiles become smaller."""
        self._notes.append(line)
        self._gives_way = True

    def new_notes(self) -> tuple[str, ...]:
        """What the user has not heard yet, a line each."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def step(self, objective: ElasticObjective, brush: Painter) -> None:
        """A step is done; keep the picture if it is time to."""
        self.taken += 1
        self.done += 1
        if self._gives_way and objective.tile is not None:
            most = objective.tile
            self.tiles[self.scale :] = [min(it or most, most) for it in self.tiles[self.scale :]]
            self._gives_way = False
        if self._unfinished is not None and self._unfinished.is_due():
            self.keep(brush)

    def keep(self, brush: Painter) -> None:
        """Keep the picture as it is, unless it is finished: then it is the caller's to keep."""
        if self._unfinished is None or self.done == sum(self._steps):
            return
        position = PaintingPosition(
            scale=self.scale,
            taken=self.taken,
            done=self.done,
            elapsed=self.elapsed,
            tiles=tuple(self.tiles),
        )
        try:
            self._unfinished.keep(position, brush.state())
        except OSError as error:
            self._notes.append(
                f"cannot keep the half-painted picture: {error.strerror}; make room on the disk"
            )


# Everything that is there before the first step: pictures put in order, and checked.


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPainting:
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
) -> PreparedPainting:
    """Check everything, and put the pictures in order; see `style.stylize.stylize`."""
    regions = [_batched_region(region) for region in regions]
    _check_styles(styles, regions, config, network)
    check_draft(initial, config)
    sides = scales(config.size, config.first_scale, config.scale_factor)
    schedule = share_steps(config.steps, paintable(size_of(content), sides, network.least_side))
    photograph = resize(_batched(content), fit(size_of(content), config.size))
    main = Area(
        styles=tuple(map(_batched, styles)),
        mix=config.mix_of(len(styles)),
        strength=config.strength,
    )
    areas = divide(main, regions, size_of(content), size_of(photograph))
    if care is not None:
        areas = gentler(areas, care.relief.to(photograph))
    palette = Palette(photograph, config)
    prepared = [_prepared(area, palette, size_of(photograph), config, network) for area in areas]
    draft = None if initial is None else palette.seen(_batched(initial))
    return PreparedPainting(
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
    style = region.style if isinstance(region.style, RegionManner) else _batched(region.style)
    return replace(region, mask=_batched(region.mask), style=style)


def _check_styles(
    styles: Sequence[Tensor],
    regions: Sequence[Region[Tensor]],
    config: StyleConfig,
    network: StyleNetwork,
) -> None:
    """Refuse pictures too small to show a style; and no style, or a mix of another number."""
    config.mix_of(len(styles))
    named = {f"style picture {number}": style for number, style in enumerate(styles, start=1)}
    for number, region in enumerate(regions, start=1):
        if not isinstance(region.style, RegionManner):
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


# stylize(): paint a photograph in the manner of other pictures, step by step.


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
    room: Room | None = None,
    planned: Callable[[ResourcePlan], None] | None = None,
    unfinished: Unfinished | None = None,
) -> Generator[PaintingProgress, None, None]:
    """Paint `content` in the manner of `styles` (Gatys et al. 2016), coarse to fine (2017).

    The arguments are checked at once; the work is done as the generator is asked for steps.
    Closing the generator cancels the run; the last `PaintingProgress` can still render its picture.
    On one CPU, with one number of threads, the same seed gives the same picture, also where it
    was killed and gone on with.

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
        preview_every: Every how many steps a `PaintingProgress` carries an image; 0 for the last
            only.
        room: What memory there is, for which a plan is made first; None begins without one, in
            one piece, and goes over to tiles where memory runs out.
        planned: Told the plan before anything is painted.
        unfinished: Where a half-painted picture is kept, and gone on with.

    Returns:
        A generator of one `PaintingProgress` a step.

    Raises:
        ArgumentError: No style, a `style_mix` of another length, a picture too small or too
            elongated for the network, regions that make no sense (see `style.regions.divide`), a
            draft without being asked for one, or none, a picture that does not fit the memory, or
            another half-painted one.
        StyleError: While painting, a loss became infinite or NaN, or memory ran out.
    """
    easel = set_up(content, styles, config, network, regions, initial, care)
    plan = None if room is None else _plan(easel, room)
    if plan is not None and planned is not None:
        planned(plan)
    saved = None
    if unfinished is not None:
        given = _given(content, styles, regions, initial)
        saved = unfinished.begin(config.settings(), _digests(given, network))
    return _paint(easel, plan, preview_every, unfinished, saved)


def plan_painting(
    content: Tensor,
    styles: Sequence[Tensor],
    config: StyleConfig,
    network: StyleNetwork,
    *,
    regions: Sequence[Region[Tensor]] = (),
    initial: Tensor | None = None,
    room: Room,
) -> ResourcePlan:
    """What `stylize` would take with the same arguments; it raises the same errors."""
    return _plan(set_up(content, styles, config, network, regions, initial), room)


def _plan(easel: PreparedPainting, room: Room) -> ResourcePlan:
    """What the painting will take."""
    device = easel.start.device
    painted = sum(1 for area in easel.areas if area.styles)
    cost = measure_cost(easel.network, easel.config, device, areas=painted)
    return make_plan(easel.sizes, cost, easel.cutter, room, device)


def _paint(
    easel: PreparedPainting,
    plan: ResourcePlan | None,
    preview_every: int,
    unfinished: Unfinished | None,
    saved: Saved | None,
) -> Generator[PaintingProgress, None, None]:
    """Paint the scales, from the beginning or from where a saved painting stands."""
    config, palette = easel.config, easel.palette
    course = Course(easel.sizes, plan, unfinished, saved)
    picture: Tensor | None = easel.start
    before: Mapping[str, Tensor] | None = None
    for number, (side, steps) in enumerate(easel.schedule):
        if number < course.scale:
            continue
        course.begin(number)
        objective = easel.objective(side, course.tiles[number], course.tell)
        image = resize(easel.start if picture is None else picture, easel.size(side))
        asked = easel.with_care(objective, side)
        brush = painter(image, asked, config, steps=steps, before=before)
        picture = before = None  # they take as much room as those that follow from them
        if saved is not None:
            brush.restore(saved.state)
            saved = None
        render = partial(_render, brush, palette, photograph_stays(easel.areas))
        for _ in range(course.taken, steps):
            losses = brush.step()
            course.step(objective, brush)
            done = course.done
            shows = done == config.steps or (preview_every > 0 and done % preview_every == 0)
            progress = PaintingProgress(
                step=done,
                total=config.steps,
                losses=losses,
                elapsed=course.elapsed,
                size=easel.size(side),
                image=to_image(render()) if shows else None,
                render_tensor=render,
                seconds_left=course.seconds_left,
                notes=course.new_notes(),
            )
            try:
                yield progress
            except GeneratorExit:
                course.keep(brush)
                raise
        picture, before = brush.picture(), brush.state()


def _given(
    content: Tensor,
    styles: Sequence[Tensor],
    regions: Sequence[Region[Tensor]],
    initial: Tensor | None,
) -> dict[str, Tensor]:
    """All pictures by what they are called."""
    given = {"photograph": content}
    given |= {f"style picture {number}": style for number, style in enumerate(styles, start=1)}
    for number, region in enumerate(regions, start=1):
        given[f"mask of region {number}"] = region.mask
        if not isinstance(region.style, RegionManner):
            given[f"style picture of region {number}"] = region.style
    return given if initial is None else given | {"draft": initial}


def _digests(given: Mapping[str, Tensor], network: StyleNetwork) -> dict[str, str]:
    """What the picture is made from and by, by name."""
    digests = {name: digest_of([picture]) for name, picture in given.items()}
    if isinstance(network.extract, nn.Module):
        digests["network"] = digest_of(network.extract.state_dict().values())
    return digests


def _render(brush: Painter, palette: Palette, stays: Tensor | None) -> Tensor:
    """The picture so far, enlarged while the scale is coarse, in the colours it is to have.

    `stays` (1, 1, H, W) tells how far each pixel is still the photograph's; None: nowhere.
    """
    content = palette.content
    painted = resize(brush.picture(), size_of(content))
    return palette.restored(painted if stays is None else painted.lerp(content, stays))
