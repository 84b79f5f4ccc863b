"""Painting for the command line: an order, and the easel that it is painted on."""

import signal
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from data.errors import ArgumentError
from data.formats import Depth, holds, holds_alpha, usual_depth
from style.config import Region, StyleConfig
from style.record import Record, Source

from . import output, plans, portraits
from .options import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from data.images import Picture
    from style.planning import Plan
    from style.results import Progress
    from style.unfinished import Unfinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be painted, and how it is reported.

    Attributes:
        content: The photograph, or a folder of them.
        styles: The pictures to take the manner from.
        regions: What is painted in another way.
        config: The settings.
        depth: Bits of a channel; None for what is usual in the format.
        repeats: The record of the picture that is repeated, for its weights are to be the same.
        preview: Where to keep the picture so far.
        preview_every: How often that is renewed, in steps.
        json_lines: Whether progress is reported on stdout.
        tile: Longest side of what is looked at, as `style.planning.Room` reads it.
        memory: What may be taken, GB; None for most of what is at hand.
        fresh: Whether half-painted pictures are forgotten.
    """

    content: Path
    styles: tuple[Path, ...]
    regions: tuple[Region[Path], ...] = ()
    config: StyleConfig
    depth: Depth | None = None
    repeats: Record | None = None
    preview: Path | None = None
    preview_every: int = 25
    json_lines: bool = False
    tile: str = "auto"
    memory: float | None = None
    fresh: bool = False

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file that is read, and must not be written over."""
        used = [part for region in self.regions for part in (region.mask, region.style)]
        return (self.content, *self.styles, *(path for path in used if isinstance(path, Path)))


class Easel:
    """Paints one picture after another from one order's styles, with one network."""

    def __init__(self, settings: Settings, order: Order) -> None:
        """Load the network and the style pictures.

        Raises:
            AppError: A style picture cannot be read, or there are no weights.
        """
        from data.images import load_picture
        from style.planning import Room
        from style.service import StyleService

        self._order = order
        self._room = Room(tile=order.tile, memory=order.memory)  # type: ignore[arg-type]
        self._weights = settings.weights
        self._portrait = portraits.Sitters(settings)
        self._service = StyleService(home=settings.home, device=settings.chosen_device)
        loaded = self._service.load(order.config.backbone, weights=settings.weights)
        self._digest = loaded.weights.sha256
        self._styles = [load_picture(style).colours for style in order.styles]
        self._sources = tuple(Source.of(style) for style in order.styles)
        asked_for = settings.weights or settings.model
        if order.repeats and order.repeats.weights not in (None, self._digest) and not asked_for:
            output.print_warning(
                f"the weights of {order.config.backbone} are others than those of the picture "
                "that is repeated: expect another picture, or give those by --weights"
            )

    def paint(
        self,
        photograph: "Tensor",
        config: StyleConfig,
        *,
        title: str = "painting",
        told: Mapping[str, object] | None = None,
        unfinished: "Unfinished | None" = None,
        says_plan: bool = False,
    ) -> "Progress":
        """Paint until the last step, or until the user stops; the last step done.

        Args:
            photograph: (3, H, W) in [0, 1].
            config: The settings.
            title: What the progress bar says.
            told: What each line of JSON says besides the step.
            unfinished: Where the half-painted picture is kept; None keeps none.
            says_plan: Whether a line tells first what it will take.
        """
        order = self._order
        painting = self._service.stylize(
            photograph,
            self._styles,
            config,
            regions=order.regions,
            weights=self._weights,
            portrait=self._portrait,
            preview_every=order.preview_every if order.preview else 0,
            room=self._room,
            planned=plans.tell if says_plan and not order.json_lines else None,
            unfinished=unfinished,
        )
        return _paint(painting, order, title=title, told=told or {})

    def plan(self, photograph: "Tensor") -> "Plan":
        """What the order's picture of a photograph (3, H, W) will take."""
        order = self._order
        return self._service.plan(
            photograph,
            self._styles,
            order.config,
            regions=order.regions,
            weights=self._weights,
            room=self._room,
        )

    def unfinished(self, out: Path) -> "Unfinished":
        """Where the picture that goes to `out` is kept while it is painted."""
        from style.unfinished import Unfinished

        return Unfinished(out.with_name(f"{out.name}.part"), fresh=self._order.fresh)

    def record(self, content: Path, depth: Depth, steps_done: int | None) -> Record:
        """How the picture that `content` became was painted; None: to the end."""
        return Record(
            config=self._order.config,
            content=Source.of(content),
            styles=self._sources,
            regions=tuple(_remembered(region) for region in self._order.regions),
            weights=self._digest,
            depth=depth,
            steps_done=steps_done,
        )

    def save(self, picture: "Picture", content: Path, last: "Progress", out: Path) -> None:
        """Write the picture that was painted of `picture`, as transparent as that, to `out`."""
        from data.images import save_image

        depth = depth_of(self._order.depth, out)
        steps_done = last.step if last.step < last.total else None
        save_image(
            last.render_tensor(),
            out,
            depth=depth,
            alpha=picture.alpha if holds_alpha(out.suffix) else None,
            settings=self.record(content, depth, steps_done).settings(),
        )


def depth_of(asked: Depth | None, path: Path) -> Depth:
    """Bits of a channel with which `path` is written.

    Raises:
        ArgumentError: Its format cannot hold what was asked for.
    """
    depth = asked or usual_depth(path.suffix)
    if not holds(path.suffix, depth):
        raise ArgumentError(
            f"{path.name} cannot hold {depth} bits a channel: end it in .png or .tif, "
            "or take --depth 8"
        )
    return depth


def _remembered(region: Region[Path]) -> Region[Source]:
    """A region as the picture remembers it."""
    style = Source.of(region.style) if isinstance(region.style, Path) else region.style
    return Region(mask=Source.of(region.mask), style=style, strength=region.strength)


def _paint(
    painting: "Generator[Progress, None, None]",
    order: Order,
    *,
    title: str,
    told: Mapping[str, object],
) -> "Progress":
    """Go through the steps until the last one, or until the user stops; the last one done."""
    from data.images import save_image

    with closing(painting), _stop_signals() as stop, output.progress_bar(title) as advance:
        for progress in painting:
            advance(progress.step, progress.total, "", plans.time_left(progress.seconds_left))
            for note in () if order.json_lines else progress.notes:
                output.print_note(note)
            if order.preview and progress.image:
                save_image(progress.image, order.preview)
            tell(order, {**told, **_as_json(progress, order.preview)})
            if stop.is_set():
                break
    return progress


def tell(order: Order, line: Mapping[str, object]) -> None:
    """One line of JSON, if they are asked for."""
    if order.json_lines:
        output.print_json(line, compact=True)


def _as_json(progress: "Progress", preview: Path | None) -> dict[str, object]:
    """One step for a program; `preview` is there in the steps that renewed it."""
    line: dict[str, object] = {
        "step": progress.step,
        "total": progress.total,
        "losses": dict(progress.losses),
        "elapsed": round(progress.elapsed, 3),
    }
    if preview and progress.image:
        line["preview"] = str(preview)
    if progress.seconds_left is not None:
        line["seconds_left"] = round(progress.seconds_left, 1)
    if progress.notes:
        line["notes"] = list(progress.notes)
    if progress.faces:
        line["faces"] = portraits.as_json(progress.faces)
    return line


@contextmanager
def _stop_signals() -> Iterator[Event]:
    """An event that Ctrl-C or SIGTERM sets within the block; a second one ends at once."""
    stop = Event()

    def request(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {
        number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
