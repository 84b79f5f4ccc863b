"""stylize(): paint a photograph in the manner of other pictures, step by step."""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from data.images import to_image

from .color import Palette
from .config import Manner, Region, StyleConfig
from .course import Course
from .easel import Easel, set_up
from .network import StyleNetwork
from .painters import Painter, painter
from .planning import Plan, Room, make_plan, measure_cost
from .portraits import Care
from .pyramid import resize, size_of
from .regions import photograph_stays
from .results import Progress
from .unfinished import Saved, Unfinished, digest_of


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
    planned: Callable[[Plan], None] | None = None,
    unfinished: Unfinished | None = None,
) -> Generator[Progress, None, None]:
    """Paint `content` in the manner of `styles` (Gatys et al. 2016), coarse to fine (2017).

    The arguments are checked at once; the work is done as the generator is asked for steps.
    Closing the generator cancels the run; the last `Progress` can still render its picture.
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
        preview_every: Every how many steps a `Progress` carries an image; 0 for the last only.
        room: What memory there is, for which a plan is made first; None begins without one, in
            one piece, and goes over to tiles where memory runs out.
        planned: Told the plan before anything is painted.
        unfinished: Where a half-painted picture is kept, and gone on with.

    Returns:
        A generator of one `Progress` a step.

    Raises:
        ArgumentError: No style, a `style_mix` of another length, a picture too small or too
            elongated for the network, regions that make no sense (see `style.regions.divide`), no
            draft where the configuration asks for one, a picture that does not fit the memory, or
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
) -> Plan:
    """What `stylize` would take with the same arguments; it raises the same errors."""
    return _plan(set_up(content, styles, config, network, regions, initial, None), room)


def _plan(easel: Easel, room: Room) -> Plan:
    """What the painting will take."""
    device = easel.start.device
    painted = sum(1 for area in easel.areas if area.styles)
    cost = measure_cost(easel.network, easel.config, device, areas=painted)
    return make_plan(easel.sizes, cost, easel.cutter, room, device)


def _paint(
    easel: Easel,
    plan: Plan | None,
    preview_every: int,
    unfinished: Unfinished | None,
    saved: Saved | None,
) -> Generator[Progress, None, None]:
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
            progress = Progress(
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
        if not isinstance(region.style, Manner):
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
