"""`stylize`: paint a photograph in the manner of other pictures."""

import signal
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from style.config import StyleConfig

from .. import output
from ..options import INTERRUPTED, JsonLinesOption, Settings, command, options_of
from ..outputs import check_picture

if TYPE_CHECKING:
    from style.results import Progress

app = typer.Typer()

_DEFAULTS = StyleConfig()
_HELP = {
    "size": "Longer side of the picture in pixels.",
    "steps": "Steps over all scales.",
    "content_weight": "More of it keeps more of the photograph.",
    "style_weight": "More of it takes more of the manner.",
    "tv_weight": "More of it gives a smoother picture.",
    "style_scale": "More of it gives larger strokes.",
    "style_mix": "Share of a style picture; once for each of them.",
    "optimizer": "How the picture is moved towards lower loss.",
    "learning_rate": "Step length of Adam.",
    "initial_image": "What the picture starts from.",
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
    for picture in (out, *([preview] if preview else [])):
        check_picture(picture, inputs=(content, *styles))
    from data.images import save_image
    from style.service import StyleService

    painting = StyleService(home=settings.home, device=settings.chosen_device).stylize(
        content,
        styles,
        config,
        weights=settings.weights,
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
    if not json_lines:
        output.print_line(f"{out}: {last.total} steps in {last.elapsed:.0f} s")
    return 0


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
