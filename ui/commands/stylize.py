"""`stylize`: paint a photograph in the manner of other pictures."""

import signal
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import ArgumentError
from style.config import Manner, Region, StyleConfig

from .. import output, portraits
from ..options import INTERRUPTED, OTHER_PEOPLE, JsonLinesOption, Settings, command, options_of
from ..outputs import check_picture

if TYPE_CHECKING:
    from style.results import Progress

app = typer.Typer()

_DEFAULTS = StyleConfig()
_HELP = {
    "size": "Longer side of the picture in pixels.",
    "steps": "Steps over all scales.",
    "strength": "From 0, the photograph, to 1, nothing but the style.",
    "content_weight": "More of it keeps more of the photograph.",
    "style_weight": "More of it takes more of the manner.",
    "tv_weight": "More of it gives a smoother picture.",
    "style_scale": "More of it gives larger strokes.",
    "style_mix": "Share of a style picture; once for each of them.",
    "colors": "Whose colours the picture has.",
    "color_method": "How the content's colours are kept.",
    "style_loss": "By which statistics the picture is compared with the style.",
    "style_taps": "Tap of the network at which the style is compared, instead of its own; "
    "once for each of them.",
    "style_tap_weights": "Weight of a style tap; once for each of them.",
    "content_taps": "Tap at which the photograph is compared, instead of the network's own.",
    "content_tap_weights": "Weight of a content tap; once for each of them.",
    "pooling": "What stands in the place of the network's max pooling.",
    "precision": "In what the network computes; auto is bfloat16 where the processor has it.",
    "optimizer": "How the picture is moved towards lower loss.",
    "learning_rate": "Step length with which Adam begins each scale.",
    "initial_image": "What the picture starts from.",
    "keep_identity": "Keep faces recognisable: paint them more gently, and go on until they are.",
    "seed": "Seed of the noise.",
}


@command(
    app,
    "stylize",
    example="likeness stylize harbour.jpg starry_night.jpg -o painted.png --size 768",
    fields=options_of(_DEFAULTS, _HELP),
)
def stylize(
    settings: Settings,
    content: Annotated[
        Path, typer.Argument(metavar="CONTENT", exists=True, help="The photograph to paint.")
    ],
    styles: Annotated[
        list[Path],
        typer.Argument(metavar="STYLE", exists=True, help="Pictures to take the manner from."),
    ],
    out: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="Where the picture goes."),
    ],
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="MASK=STYLE[:STRENGTH]",
            help="Where the mask, a grey picture, is white, paint in another style: a picture, "
            "`main` for the style of the rest, or `none` to keep the photograph. May be repeated; "
            "later ones cover earlier ones.",
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to keep the picture so far while painting."),
    ] = None,
    preview_every: Annotated[
        int, typer.Option(min=1, metavar="STEPS", help="How often the preview is renewed.")
    ] = 25,
    json_lines: JsonLinesOption = False,
    **fields: Any,
) -> int:
    """Paint a photograph in the manner of other pictures.

    Ctrl-C stops and keeps the picture so far. A PNG carries its settings.
    """
    config = StyleConfig(backbone=_network(settings), **fields)
    parts = [_region(text) for text in regions or ()]
    pictures = [given for part in parts for given in (part.mask, part.style)]
    inputs = (content, *styles, *(path for path in pictures if isinstance(path, Path)))
    for picture in (out, *([preview] if preview else [])):
        check_picture(picture, inputs=inputs)
    from data.images import save_image
    from style.service import StyleService

    painting = StyleService(home=settings.home, device=settings.chosen_device).stylize(
        content,
        styles,
        config,
        regions=parts,
        weights=settings.weights,
        portrait=portraits.Sitters(settings),
        preview_every=preview_every if preview else 0,
    )
    last = _paint(painting, preview=preview, json_lines=json_lines)
    interrupted = last.step < last.total
    made_with = config.settings() | ({"steps_done": last.step} if interrupted else {})
    save_image(last.render(), out, settings=made_with)
    if interrupted:
        output.print_error(
            f"interrupted at step {last.step} of {last.total}; the picture so far is in {out}"
        )
        return INTERRUPTED
    kept = portraits.verdicts(last.faces)
    if not all(face.same_person for face in last.faces):
        output.print_error(f"{kept}; the picture is in {out}: try a lower --strength")
        return OTHER_PEOPLE
    if not json_lines:
        done = f"{out}: {last.total} steps in {last.elapsed:.0f} s"
        output.print_line(f"{done}; {kept}" if kept else done)
    return 0


def _region(text: str) -> Region[Path]:
    """The region that `MASK=STYLE` or `MASK=STYLE:STRENGTH` asks for.

    Names that hold `=` or `:` themselves are understood where such files exist.

    Raises:
        ArgumentError: The text has no such form, a file does not exist, or the strength is none.
    """
    words = text.split("=")
    ways = [("=".join(words[:cut]), "=".join(words[cut:])) for cut in range(1, len(words))]
    mask, style = next((way for way in ways if Path(way[0]).is_file()), (ways or [("", "")])[0])
    strength = None
    if not Path(style).is_file() and ":" in style:
        style, _, number = style.rpartition(":")
        strength = _strength(number, text)
    if not mask or not style:
        raise ArgumentError(f"{text!r} is no region: expected MASK=STYLE or MASK=STYLE:STRENGTH")
    for name in (mask, *([] if style in set(Manner) else [style])):
        if not Path(name).is_file():
            raise ArgumentError(f"there is no file {name} for the region {text!r}; check the path")
    manner = Manner(style) if style in set(Manner) else Path(style)
    return Region(mask=Path(mask), style=manner, strength=strength)


def _strength(number: str, text: str) -> float:
    """The number behind the colon of a region's `text`."""
    try:
        return float(number)
    except ValueError:
        raise ArgumentError(
            f"{number!r} is no strength, in the region {text!r}: expected a number from 0 to 1"
        ) from None


def _network(settings: Settings) -> str:
    """The network asked for; else the one that the weights file names; else the default one."""
    if settings.model is None and settings.weights is not None:
        from backbones.places import weights_file

        return weights_file(settings.weights, None).architecture
    return settings.model or _DEFAULTS.backbone


def _paint(
    painting: "Generator[Progress, None, None]", *, preview: Path | None, json_lines: bool
) -> "Progress":
    """Go through the steps until the last one, or until the user stops; the last one done."""
    from data.images import save_image

    with closing(painting), _stop_signals() as stop, output.progress_bar("painting") as advance:
        for progress in painting:
            advance(progress.step, progress.total)
            if preview and progress.image:
                save_image(progress.image, preview)
            if json_lines:
                output.print_json(_as_json(progress, preview), compact=True)
            if stop.is_set():
                break
    return progress


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
