"""`stylize`: a picture, or a folder of them, planned, painted and written."""

import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from data.errors import AppError, ArgumentError, WriteError
from data.folders import Account, sift
from data.formats import PICTURE_SUFFIXES, Depth, holds, holds_alpha
from style.config import Region, StyleConfig
from style.record import Record, SourceFile
from ui.cli.start import INTERRUPTED
from ui.settings import Settings

from .. import portraits, wording
from . import output
from .commands.batches import batch_code, print_accounts
from .destinations import UNFINISHED, check_folder, check_not_input, depth_of, kept
from .options import OTHER_PEOPLE

if TYPE_CHECKING:
    from torch import Tensor

    from data.images import Picture
    from style.checkpoint import Unfinished
    from style.planning import ResourcePlan, Room
    from style.results import PaintingProgress


# Long work on the command line is stopped by Ctrl-C, and keeps what is done.


@contextmanager
def stop_signals() -> Iterator[Event]:
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


# What a picture will take, as the command line tells it.


def show_plan(plan: "ResourcePlan", *, as_json: bool) -> None:
    """The whole plan on stdout."""
    if as_json:
        output.print_json(plan.as_json())
        return
    rows = [
        (
            f"{scale.size[1]}×{scale.size[0]}",
            str(scale.steps),
            "–" if scale.tile is None else f"{scale.tile} px",
            wording.gigabytes(scale.memory),
            wording.clock(scale.seconds),
        )
        for scale in plan.scales
    ]
    output.print_table(("size", "steps", "tiles", "memory", "time"), rows)
    output.print_line(_plan_in_words(plan))


def tell_plan(plan: "ResourcePlan") -> None:
    """One line on stderr, before the painting."""
    output.print_note(_plan_in_words(plan))


def time_left(seconds: float | None) -> str:
    """What stands at the end of a progress bar."""
    return "" if seconds is None else f"about {wording.clock(seconds)} left"


def _plan_in_words(plan: "ResourcePlan") -> str:
    """Memory, time and tiles in one line."""
    memory, limit = wording.gigabytes(plan.memory), wording.gigabytes(plan.limit)
    line = f"takes about {wording.clock(plan.seconds)} and {memory} of memory, of {limit} at most"
    in_tiles = [scale for scale in plan.scales if scale.tile is not None]
    if not in_tiles:
        return line
    first, last = in_tiles[0], in_tiles[-1]
    return f"{line}; in tiles of {last.tile} px from {max(first.size)} px on"


# Painting for the command line: an order, and the easel that it is painted on.


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
        self._portrait = portraits.PortraitFinder(settings)
        self._service = StyleService(home=settings.home, device=settings.chosen_device)
        loaded = self._service.load(order.config.backbone, weights=settings.weights)
        self._digest = loaded.weights.sha256
        self._styles = [
            load_picture(style, warn=output.warner(style)).colours for style in order.styles
        ]
        self._sources = tuple(SourceFile.of(style) for style in order.styles)
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
    ) -> "PaintingProgress":
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

    def _tell_plan(self, plan: "ResourcePlan") -> None:
        if self._order.json_lines:
            tell(self._order, {"plan": plan.as_json()})
        else:
            tell_plan(plan)

    def plan(self) -> "ResourcePlan":
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
            content=SourceFile.of(content),
            styles=self._sources,
            regions=tuple(_remembered(region) for region in self._order.regions),
            weights=self._digest,
            depth=depth,
            draft=draft,
            steps_done=steps_done,
        )

    def save(
        self, picture: "Picture", content: Path, painted: "PaintingProgress | Tensor", out: Path
    ) -> tuple[Path, str | None]:
        """Write what was painted of `picture`, as transparent as that, to `out`.

        Args:
            picture: The photograph.
            content: Where that was read.
            painted: The last step, or a draft.
            out: Where to.

        Returns:
            See `destinations.kept`.
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


def _remembered(region: Region[Path]) -> Region[SourceFile]:
    """A region as the picture remembers it."""
    style = SourceFile.of(region.style) if isinstance(region.style, Path) else region.style
    return Region(mask=SourceFile.of(region.mask), style=style, strength=region.strength)


def _paint(
    painting: "Generator[PaintingProgress, None, None]",
    order: Order,
    *,
    title: str,
    told: Mapping[str, object],
) -> "PaintingProgress":
    """Go through the steps until the last one, or until the user stops; the last one done."""
    from data.images import save_image

    preview = order.preview
    bar = output.progress_bar(title, shown=not order.json_lines)
    with closing(painting), stop_signals() as stop, bar as advance:
        for progress in painting:
            advance(progress.step, progress.total, "", time_left(progress.seconds_left))
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


def as_json(progress: "PaintingProgress", preview: Path | None) -> dict[str, object]:
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


# Painting for the command line: one picture, or a folder of them.


def paint_picture(settings: Settings, order: Order, out: Path) -> int:
    """Paint one photograph; what is to be returned to the shell."""
    from data.images import load_picture

    depth_of(order.depth, out)
    picture = load_picture(order.content, warn=output.warner(order.content))
    if picture.alpha is not None and not holds_alpha(out.suffix):
        output.print_warning(f"{out.name} cannot be transparent: the picture will stand on white")
    easel = Easel(settings, order)
    if order.draft:
        draft = easel.draft(picture.colours, order.config)
        out, misplaced = easel.save(picture, order.content, draft, out)
        if order.in_words:
            output.print_line(f"{out}: a draft")
        elif order.as_json:
            output.print_json({"output": str(out), "draft": True})
        return _told(misplaced)
    last = easel.paint(picture.colours, order.config, out=out)
    asked_for = out
    out, misplaced = easel.save(picture, order.content, last, out)
    if order.as_json:
        output.print_json({"output": str(out), "draft": False, **as_json(last, None)})
    elif misplaced is not None:
        tell(order, {"output": str(out), "error": misplaced})
    code = _told(misplaced)
    if last.step < last.total:
        line = f"interrupted at step {last.step} of {last.total}; the picture so far is in {out}"
        output.print_error(
            line + ("; the same command goes on" if easel.goes_on(asked_for) else "")
        )
        return INTERRUPTED
    kept = portraits.verdicts(last.faces)
    if not all(face.same_person for face in last.faces):
        output.print_error(f"{kept}; the picture is in {out}: try a lower --strength")
        return OTHER_PEOPLE
    if order.in_words:
        done = f"{out}: {last.total} steps in {last.elapsed:.0f} s"
        output.print_line(f"{done}; {kept}" if kept else done)
    return code


def _told(misplaced: str | None) -> int:
    """Say that a picture is not where it was to go; the exit code."""
    if misplaced is None:
        return 0
    output.print_error(misplaced)
    return 1


def paint_folder(settings: Settings, order: Order, out: Path, *, overwrite: bool) -> int:
    """Paint every photograph of a folder into another one; what is to be returned to the shell.

    What is there already is passed over, so that the same command goes on where it was stopped. A
    picture that fails is reported, and the rest goes on.

    Args:
        settings: The shared options.
        order: Its content is the folder.
        out: The folder that the pictures go to; what is missing of it is made.
        overwrite: Whether pictures that are there already are painted again.

    Raises:
        AppError: What would fail for every picture: there is none, or a style cannot be read.
    """
    photographs, account = _photographs(order, out)
    accounts = [account] if account.left else []
    easel = Easel(settings, order)
    found: list[dict[str, object]] = []
    code = _paint_each(easel, order, photographs, out, found, overwrite=overwrite)
    for one in accounts:
        tell(order, one.as_json())
    if order.as_json:
        output.print_json(found + [one.as_json() for one in accounts])
    elif order.in_words and code != INTERRUPTED:
        skipped, failed = (sum(kind in one for one in found) for kind in ("skipped", "error"))
        painted = len(found) - skipped - failed
        output.print_line(f"{out}: {painted} painted, {skipped} there already, {failed} failed")
    print_accounts(accounts)
    return code or batch_code((), accounts)


def _paint_each(
    easel: Easel,
    order: Order,
    photographs: Sequence[Path],
    out: Path,
    found: list[dict[str, object]],
    *,
    overwrite: bool,
) -> int:
    """Paint one photograph after the other; the exit code, and in `found` what became of each."""

    def note(line: dict[str, object]) -> None:
        found.append(line)
        tell(order, line)

    failed = False
    for path in photographs:
        name = str(path.relative_to(order.content))
        target = out / _output_name(name, order.depth)
        if target.exists() and not overwrite:
            note({"image": name, "output": str(target), "skipped": True})
            continue
        try:
            placed = _paint_into(easel, order, path, name, target)
        except AppError as error:
            failed = True
            note({"image": name, "error": str(error)})
            output.print_failure(name, str(error))
            continue
        if placed is None:
            painted = sum("skipped" not in one and "error" not in one for one in found)
            output.print_error(
                f"interrupted at {name}; {painted} painted: the same command goes on from there"
            )
            return INTERRUPTED
        place, misplaced = placed
        if misplaced is None:
            note({"image": name, "output": str(place)})
        else:
            failed = True
            note({"image": name, "output": str(place), "error": misplaced})
            output.print_failure(name, misplaced)
    return 1 if failed else 0


def _photographs(order: Order, out: Path) -> tuple[list[Path], Account]:
    """The pictures of the order's folder, without those that were painted before, and the rest.

    Raises:
        ArgumentError: There are none, `out` is no folder to write into, or the preview is one of
            the inputs.
    """
    folder = order.content
    check_folder(out)
    if out.exists() and out.samefile(folder):
        raise ArgumentError(f"{out} is also the input: choose another folder for the output")
    own = out.resolve()
    sifted = sift(folder)
    found = [path for path in sifted.pictures if own not in path.resolve().parents]
    left = tuple(one for one in sifted.account.left if own not in one.path.resolve().parents)
    account = Account(folder, left)
    if not found:
        told = f" ({account.line()})" if left else ""
        raise ArgumentError(f"there is no picture in {folder}{told}: give a folder of photographs")
    if order.preview:
        check_not_input(order.preview, found)
    return found, account


def _output_name(name: str, depth: Depth | None) -> str:
    """What a photograph's picture is called: the same, with .png behind it where need be."""
    suffix = Path(name).suffix.lower()
    fits = suffix in PICTURE_SUFFIXES and holds(suffix, depth or Depth.EIGHT)
    return name if fits else f"{name}.png"


def _paint_into(
    easel: Easel, order: Order, path: Path, name: str, target: Path
) -> tuple[Path, str | None] | None:
    """Paint one photograph of a folder; where it is, or None where it was not finished.

    Raises:
        AppError: It cannot be read, painted or written.
    """
    from data.images import load_picture

    check_not_input(target, (path, *order.inputs))
    picture = load_picture(path, warn=output.warner(name))
    if order.draft:
        painted: PaintingProgress | Tensor = easel.draft(picture.colours, order.config)
    else:
        painted = easel.paint(picture.colours, order.config, title=name, told={"image": name})
        if painted.step < painted.total:
            return None
    with suppress(OSError):  # saving says what is wrong with it
        target.parent.mkdir(parents=True, exist_ok=True)
    return easel.save(picture, path, painted, target)
