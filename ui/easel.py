"""Painting for the command line: an order, and the easel that it is painted on."""

from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import AppError, ArgumentError, WriteError
from data.formats import Depth, holds_alpha
from style.config import Region, StyleConfig
from style.record import Record, Source

from . import output, plans, portraits
from .options import Settings
from .outputs import UNFINISHED, depth_of, kept
from .stopping import stop_signals

if TYPE_CHECKING:
    from torch import Tensor

    from data.images import Picture
    from style.checkpoint import Unfinished
    from style.planning import Plan, Room
    from style.results import Progress


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
        draft: Whether it is painted at once, in one go.
        preview: Where to keep the picture so far.
        preview_every: How often that is renewed, in steps.
        tile: `auto`, `none`, or the longest side of what the network looks at, px.
        memory: GB that may be taken; None for most of what is at hand.
        fresh: Whether a half-painted picture is begun anew.
        json_lines: Whether progress is reported on stdout.
        as_json: Whether the result is told there, as JSON.
    """

    content: Path
    styles: tuple[Path, ...]
    regions: tuple[Region[Path], ...] = ()
    config: StyleConfig
    depth: Depth | None = None
    repeats: Record | None = None
    draft: bool = False
    preview: Path | None = None
    preview_every: int = 25
    tile: str = "auto"
    memory: float | None = None
    fresh: bool = False
    json_lines: bool = False
    as_json: bool = False

    @property
    def in_words(self) -> bool:
        """Whether the result is told in a line for people."""
        return not (self.json_lines or self.as_json)

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
        from style.service import StyleService

        self._order = order
        self._weights, self._home = settings.weights, settings.home
        self._portrait = portraits.Sitters(settings)
        self._service = StyleService(home=settings.home, device=settings.chosen_device)
        loaded = self._service.load(order.config.backbone, weights=settings.weights)
        self._digest = loaded.weights.sha256
        self._styles = [
            load_picture(style, warn=output.warner(style)).colours for style in order.styles
        ]
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
        out: Path | None = None,
        title: str = "painting",
        told: Mapping[str, object] | None = None,
    ) -> "Progress":
        """Paint until the last step, or until the user stops; the last step done.

        Args:
            photograph: (3, H, W) in [0, 1].
            config: The settings.
            out: Where the picture goes: half painted it is kept beside that, and gone on with.
            title: What the progress bar says.
            told: What each line of JSON says besides the step.
        """
        order = self._order
        if order.preview:
            with suppress(AppError):  # what is really wrong, the painting itself will say
                self._keep_preview(self.draft(photograph, config))
        painting = self._service.stylize(
            photograph,
            self._styles,
            config,
            regions=order.regions,
            weights=self._weights,
            portrait=self._portrait,
            preview_every=order.preview_every if order.preview else 0,
            room=self._room(),
            planned=self._tell_plan if out else None,
            unfinished=self._unfinished(out) if out else None,
        )
        return _paint(painting, order, title=title, told=told or {})

    def _tell_plan(self, plan: "Plan") -> None:
        if self._order.json_lines:
            tell(self._order, {"plan": plan.as_json()})
        else:
            plans.tell(plan)

    def plan(self) -> "Plan":
        """What painting the order's photograph will take.

        Raises:
            ArgumentError: It is a folder.
        """
        from data.images import load_picture

        order = self._order
        if order.content.is_dir():
            raise ArgumentError("a plan is of one photograph: give no folder with --plan")
        return self._service.plan(
            load_picture(order.content, warn=output.warner(order.content)).colours,
            self._styles,
            order.config,
            regions=order.regions,
            weights=self._weights,
            room=self._room(),
        )

    def _room(self) -> "Room":
        from style.planning import Room

        return Room(tile=self._order.tile, memory=self._order.memory)  # type: ignore[arg-type]  # it reads text

    def _unfinished(self, out: Path) -> "Unfinished":
        from style.checkpoint import Unfinished

        return Unfinished(out.with_name(f"{out.name}{UNFINISHED}"), fresh=self._order.fresh)

    def goes_on(self, out: Path) -> bool:
        """Whether the picture is kept half painted, so that the same command goes on."""
        return self._unfinished(out).is_there

    def draft(self, photograph: "Tensor", config: StyleConfig) -> "Tensor":
        """Paint at once; the picture (1, 3, H, W).

        Args:
            photograph: (3, H, W) in [0, 1].
            config: The settings.
        """
        return self._service.draft(photograph, self._styles, config, regions=self._order.regions)

    def _keep_preview(self, picture: "Tensor") -> None:
        from data.images import save_image

        if self._order.preview:
            save_image(picture, self._order.preview)

    def record(
        self, content: Path, depth: Depth, steps_done: int | None, *, draft: bool = False
    ) -> Record:
        """How the picture that `content` became was painted; None: to the end."""
        return Record(
            config=self._order.config,
            content=Source.of(content),
            styles=self._sources,
            regions=tuple(_remembered(region) for region in self._order.regions),
            weights=self._digest,
            depth=depth,
            draft=draft,
            steps_done=steps_done,
        )

    def save(
        self, picture: "Picture", content: Path, painted: "Progress | Tensor", out: Path
    ) -> tuple[Path, str | None]:
        """Write what was painted of `picture`, as transparent as that, to `out`.

        Args:
            picture: The photograph.
            content: Where that was read.
            painted: The last step, or a draft.
            out: Where to.

        Returns:
            See `outputs.kept`.
        """
        from torch import Tensor

        from data.images import save_image

        depth = depth_of(self._order.depth, out)
        steps_done: int | None = None
        if isinstance(painted, Tensor):
            shown, draft = painted, True
        else:
            shown, draft = painted.render_tensor(), False
            steps_done = painted.step if painted.step < painted.total else None
        settings = self.record(content, depth, steps_done, draft=draft).settings()
        alpha = picture.alpha if holds_alpha(out.suffix) else None
        place, why = kept(
            out,
            self._home,
            lambda path: save_image(shown, path, depth=depth, alpha=alpha, settings=settings),
        )
        if steps_done is None and why is None:
            self._unfinished(out).remove()
        return place, why


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

    preview = order.preview
    bar = output.progress_bar(title, shown=not order.json_lines)
    with closing(painting), stop_signals() as stop, bar as advance:
        for progress in painting:
            advance(progress.step, progress.total, "", plans.time_left(progress.seconds_left))
            for note in () if order.json_lines else progress.notes:
                output.print_note(note)
            if preview and progress.image:
                try:
                    save_image(progress.image, preview)
                except WriteError as error:  # no reason to lose the painting
                    output.print_warning(f"there is no preview any more: {error}")
                    preview = None
            tell(order, {**told, **as_json(progress, preview)})
            if stop.is_set():
                break
    return progress


def tell(order: Order, line: Mapping[str, object]) -> None:
    """One line of JSON, if they are asked for."""
    if order.json_lines:
        output.print_json(line, compact=True)


def as_json(progress: "Progress", preview: Path | None) -> dict[str, object]:
    """One step for a program; `preview` is there in the steps that renewed it."""
    line: dict[str, object] = {
        "step": progress.step,
        "total": progress.total,
        "losses": dict(progress.losses),
        "elapsed": round(progress.elapsed, 3),
    }
    if progress.seconds_left is not None:
        line["seconds_left"] = round(progress.seconds_left, 1)
    if progress.notes:
        line["notes"] = list(progress.notes)
    if preview and progress.image:
        line["preview"] = str(preview)
    if progress.faces:
        line["faces"] = portraits.as_json(progress.faces)
    return line
