"""`stylize`: paint a photograph in the manner of other pictures."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import AppError, ArgumentError
from data.formats import Depth, holds
from style.config import PaintingQuality, Region, RegionManner, StyleConfig, settings_of
from style.record import Record

from ...settings import Settings
from .. import output, painting, paintings
from ..destinations import check_picture, kept
from ..options import JsonLinesOption, JsonOption, command, options_of
from ..painting import Easel, Order, paint_folder, paint_picture, tell
from ..start import INTERRUPTED
from ..style_words import is_preset, style_file

if TYPE_CHECKING:
    from PIL.Image import Image


# `--grid`: what varies over a contact sheet, and its cells painted one after another.

Grid = Mapping[str, tuple[Any, ...]]
"""One or two settings, each with its values: the first from left to right, the other downwards."""

CELL_SIZE = 256
"""Longer side of a cell, px, where the user names no size: a sheet is many pictures."""

_MOST_CELLS = 100
_LONGEST, _MOST_PIXELS = 15_000, 45_000_000  # of a sheet, which every format must hold
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "size": (256, 384, 512),
    "steps": (50, 150, 500),
    "strength": (0.2, 0.35, 0.5, 0.65, 0.8),
    "style_scale": (0.5, 0.75, 1.0, 1.5),
    "seed": (0, 1, 2, 3),
}


def read_grid(text: str, config: StyleConfig, settings: Sequence[str]) -> Grid:
    """What `strength,style-scale` or `strength=0.2:0.8,style-scale=0.5:1` asks for.

    Args:
        text: One or two settings, with their values or without.
        config: The settings of everything that does not vary.
        settings: Names of the fields that may.

    Raises:
        ArgumentError: It names no such setting, three of them or one twice, a value makes no
            sense, or there are too many cells.
    """
    known = [name for name in settings if not isinstance(getattr(config, name), tuple)]
    grid: dict[str, tuple[Any, ...]] = {}
    for part in text.split(","):
        word, _, values = part.strip().partition("=")
        name = word.strip().removeprefix("--").replace("-", "_")
        if name in grid:
            raise ArgumentError(f"--grid names {_option(name)} twice: name two settings, or one")
        if name not in known:
            names = ", ".join(map(_option, known))
            raise ArgumentError(
                f"{part!r} is no setting for --grid: expected one or two of {names}"
            )
        grid[name] = (
            tuple(_value(value, getattr(config, name), name) for value in values.split(":"))
            if values
            else _usual(name, config)
        )
    check_grid(grid, config)
    return grid


def check_grid(grid: Grid, config: StyleConfig) -> None:
    """Refuse a grid that cannot be painted.

    Raises:
        ArgumentError: It has three settings, too many cells or too large ones, or a value that
            makes no sense.
    """
    if not 1 <= len(grid) <= 2:
        raise ArgumentError(f"a contact sheet has one or two settings, not {len(grid)}")
    cells = list(_cells(grid))
    if not 1 <= len(cells) <= _MOST_CELLS:
        raise ArgumentError(
            f"a contact sheet has 1 to {_MOST_CELLS} cells, not {len(cells)}: name fewer values"
        )
    side = max(_varied(config, cell).size for cell in cells)
    across, *down = (side * len(values) for values in grid.values())
    if max([across, *down]) > _LONGEST or across * (down or [side])[0] > _MOST_PIXELS:
        raise ArgumentError(
            f"{len(cells)} cells of {side} px are too large a sheet: name fewer values, or a "
            "smaller --size"
        )


def paint_sheet(settings: Settings, order: Order, grid: Grid, out: Path) -> int:
    """Paint a contact sheet; what is to be returned to the shell.

    Ctrl-C keeps the cells so far; the place of a cell that fails stays empty.

    Raises:
        AppError: What would fail for every cell, or all of them did.
    """
    from data.images import load_picture, save_image

    photograph = load_picture(order.content, warn=output.warner(order.content)).colours
    easel = Easel(settings, order)
    images: list[Image | None] = []
    steps, whole, failure = 0, True, None
    failed: list[dict[str, object]] = []
    cells = list(_cells(grid))
    for number, cell in enumerate(cells, start=1):
        title = f"cell {number} of {len(cells)}"
        told = {"cell": cell, "cells": len(cells)}
        try:
            last = easel.paint(photograph, _varied(order.config, cell), title=title, told=told)
        except AppError as error:
            failure = error
            images.append(None)
            failed.append({"cell": cell, "error": str(error)})
            tell(order, told | {"error": str(error)})
            output.print_failure(title, str(error))
            continue
        steps += last.step
        images.append(last.render())
        whole = last.step == last.total
        if not whole:
            break
    if failure and not any(images):
        raise failure
    record = easel.record(order.content, Depth.EIGHT, None if whole else steps)
    settings_told = dataclasses.replace(record, grid=grid).settings()
    sheet = _drawn(images, order, grid)
    out, misplaced = kept(
        out, settings.home, lambda path: save_image(sheet, path, settings=settings_told)
    )
    if misplaced is not None:
        output.print_error(misplaced)
    if order.as_json:
        known = {"output": str(out), "cells": len(cells), "steps": steps, "failed": failed}
        output.print_json(known | {"interrupted": not whole})
    if not whole:
        output.print_error(f"interrupted in {title}; the sheet so far is in {out}")
        return INTERRUPTED
    if order.in_words:
        output.print_line(f"{out}: {len(cells)} cells, {steps} steps")
    return 1 if failure or misplaced else 0


def _cells(grid: Grid) -> list[dict[str, Any]]:
    """What is particular to each cell, row by row."""
    names = list(grid)[::-1]  # the first setting varies fastest: it goes from left to right
    orders = product(*(grid[name] for name in names))
    return [dict(reversed(list(zip(names, values, strict=True)))) for values in orders]


def _drawn(images: Sequence["Image | None"], order: Order, grid: Grid) -> "Image":
    """The sheet; places of cells that were not painted are empty."""
    from style.contact_sheet import Axis, contact_sheet

    axes = [
        Axis(name=name.replace("_", " "), labels=tuple(map(_label, values)))
        for name, values in grid.items()
    ]
    across = len(axes[0].labels)
    down = len(axes[1].labels) if len(axes) == 2 else 1
    places = [*images, *[None] * (across * down - len(images))]
    config = order.config
    same = [f"{config.size} px"] if "size" not in grid else []
    same += [f"{config.steps} steps"] if "steps" not in grid else []
    return contact_sheet(
        [places[row * across : (row + 1) * across] for row in range(down)],
        *axes,
        title=f"{order.content.name} in the manner of "
        + ", ".join(style.name for style in order.styles),
        caption=", ".join([config.backbone, *same, f"seed {config.seed}"]),
    )


def _usual(name: str, config: StyleConfig) -> tuple[Any, ...]:
    """Values of a setting that show what it does; those that the config refuses are left out."""
    own = getattr(config, name)
    if name in _USUAL:
        tried = _USUAL[name]
    elif isinstance(own, StrEnum):
        tried = tuple(type(own))
    elif isinstance(own, bool):
        tried = (False, True)
    elif isinstance(own, int):
        tried = (own // 2, own, 2 * own) if own else (0, 1, 2)
    elif isinstance(own, float):
        tried = (own / 4, own, 4 * own) if own else (0.0, 0.5, 1.0)
    else:
        raise ArgumentError(f"name the values of {_option(name)}, as in {_option(name)}=A:B")
    values = []
    for value in tried:
        with suppress(ArgumentError):
            _varied(config, {name: value})
            values.append(value)
    return tuple(dict.fromkeys(values))


def _value(text: str, own: object, name: str) -> Any:
    """A value that a user typed, of the type of the config's own.

    Raises:
        ArgumentError: It is none of that type.
    """
    text = text.strip()
    try:
        if isinstance(own, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(own, int | float) and not isinstance(own, bool):
            return type(own)(text)
        return type(own)(text) if isinstance(own, StrEnum) else text
    except (KeyError, ValueError):
        kind = ", ".join(type(own)) if isinstance(own, StrEnum) else type(own).__name__
        raise ArgumentError(f"{text!r} is no value of {_option(name)}: expected {kind}") from None


def _varied(config: StyleConfig, cell: Mapping[str, Any]) -> StyleConfig:
    """The settings of one cell.

    Raises:
        ArgumentError: A value is out of its range.
    """
    try:
        return dataclasses.replace(config, **cell)
    except TypeError as error:  # no such setting: the record of a stranger's sheet
        raise ArgumentError(f"a contact sheet cannot vary {', '.join(cell)}") from error


def _label(value: object) -> str:
    """A value as it stands beside the sheet."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _option(name: str) -> str:
    """A setting as the user types it."""
    return name.replace("_", "-")


# The command.

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
    "content_detail": "Compare the photograph at several depths of the network, not at one: nearer "
    "to the style at the same likeness.",
    "pooling": "What stands in the place of the network's max pooling.",
    "precision": "In what the network computes; auto is bfloat16 where the processor has it.",
    "optimizer": "How the picture is moved towards lower loss.",
    "learning_rate": "Step length with which Adam begins each scale.",
    "initial_image": "What the picture starts from.",
    "first_scale": "Longer side of the coarsest scale in pixels.",
    "keep_identity": "Keep faces recognisable: paint them more gently, and go on until they are.",
    "seed": "Seed of the noise.",
}


@command(
    app,
    "stylize",
    example="likeness stylize harbour.jpg starry_night.jpg -o painted.png --size 768",
    fields=options_of(_DEFAULTS, _HELP),
    given_alone=True,
)
def stylize(
    settings: Settings,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Where the picture goes."),
    ] = None,
    content: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONTENT", exists=True, help="The photograph to paint, or a folder of them."
        ),
    ] = None,
    styles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STYLE",
            help="Pictures to take the manner from, or presets (preset:mosaic; see styles).",
        ),
    ] = None,
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="MASK=STYLE[:STRENGTH]",
            help="Where the mask, a grey picture, is white, paint in another style: a STYLE, "
            "`main` for the style of the rest, or `none` to keep the photograph. May be repeated; "
            "later ones cover earlier ones.",
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE",
            exists=True,
            help="Repeat the settings of this picture, but for the options given; its photograph "
            "and style pictures too, unless others are named.",
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="SETTING[=A:B…][,SETTING…]",
            help="Paint a contact sheet on which one or two settings vary, such as "
            f"strength,style-scale=0.5:1. Its cells have {CELL_SIZE} pixels unless --size is "
            "given.",
        ),
    ] = None,
    depth: Annotated[
        Depth | None,
        typer.Option(help="Bits of a channel; 16 for PNG and TIFF. A TIFF has 16 by itself."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="In a folder, paint again what is there already.")
    ] = False,
    quality: Annotated[
        PaintingQuality | None,
        typer.Option(help="Size, steps and detail, by one word; options beside it go before it."),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to keep the picture so far while painting, a draft to begin with.",
        ),
    ] = None,
    preview_every: Annotated[
        int,
        typer.Option(min=1, max=100_000, metavar="STEPS", help="How often the preview is renewed."),
    ] = 25,
    draft: Annotated[
        bool, typer.Option("--draft", help="Paint at once, in one go: a preview of the style.")
    ] = False,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|none|PIXELS",
            help="Longest side of what the network looks at: as the memory allows, the whole "
            "picture, or so many pixels. Tiles give the same picture.",
        ),
    ] = "auto",
    memory: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            min=0,
            max=65_536,
            help="What may be taken; without it, most of what is at hand.",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what memory and time it will take, and end.")
    ] = False,
    as_json: JsonOption = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Begin anew where the picture is half painted already."),
    ] = False,
    json_lines: JsonLinesOption = False,
    **fields: Any,
) -> int:
    """Paint a photograph in the manner of other pictures, or every photograph of a folder.

    Ctrl-C stops and keeps the picture so far. A picture carries its settings, for --like. In a
    folder, what is painted already is passed over. What was interrupted or killed goes on from
    OUT.part with the same command.
    """
    record = None if like is None else paintings.record_of(like)
    given = [style_file(text, settings.home) for text in styles or ()]
    content, chosen = _inputs(content, given, record, like, settings.home)
    if regions or record is None or like is None:
        parts = tuple(_region(text, settings.home) for text in regions or ())
    else:
        parts = paintings.regions_of(record, like, content, settings.home)
    named = {} if quality is None else settings_of(quality)
    config = _config(settings, record, named | fields, small=grid is not None)
    if depth is None and record and record.depth and out and holds(out.suffix, record.depth):
        depth = record.depth
    order = Order(
        content=content,
        styles=chosen,
        regions=parts,
        config=config,
        depth=depth,
        draft=draft or bool(record and record.draft),
        repeats=record,
        preview=preview,
        preview_every=preview_every,
        tile=tile,
        memory=memory,
        fresh=fresh,
        json_lines=json_lines,
        as_json=as_json,
    )
    if plan:
        painting.show_plan(Easel(settings, order).plan(), as_json=as_json)
        return 0
    if out is None:
        raise ArgumentError("where the picture goes is missing: name it with --output")
    return _painted(settings, order, _grid(grid, record, config), out, overwrite=overwrite)


def _painted(
    settings: Settings, order: Order, grid: Grid | None, out: Path, *, overwrite: bool
) -> int:
    """Check where the pictures go, and paint them; what is to be returned to the shell."""
    folder = order.content.is_dir()
    if folder and grid is not None:
        raise ArgumentError("a contact sheet is of one photograph: give no folder with --grid")
    for picture in (*([] if folder else [out]), *([order.preview] if order.preview else [])):
        check_picture(picture, inputs=order.inputs)
    if folder:
        return paint_folder(settings, order, out, overwrite=overwrite)
    if grid is not None:
        return paint_sheet(settings, order, grid, out)
    return paint_picture(settings, order, out)


def _inputs(
    content: Path | None,
    styles: Sequence[Path],
    record: Record | None,
    like: Path | None,
    home: Path | None,
) -> tuple[Path, tuple[Path, ...]]:
    """The photograph and the style pictures: those given, else those of the picture repeated.

    Raises:
        ArgumentError: There are none.
    """
    if record is None or like is None:
        if content is None or not styles:
            missing = "CONTENT" if content is None else "STYLE"
            raise ArgumentError(f"missing argument {missing!r}; see likeness stylize --help")
        return content, tuple(styles)
    return (
        content or paintings.content_of(record, like),
        tuple(styles) or paintings.styles_of(record, like, home),
    )


def _config(
    settings: Settings, record: Record | None, fields: Mapping[str, Any], *, small: bool
) -> StyleConfig:
    """The settings given, over those of the picture repeated, over the usual ones."""
    base = record.config if record else _DEFAULTS
    if small and record is None:
        base = replace(base, size=CELL_SIZE)
    return replace(base, **fields, backbone=_network(settings, base.backbone))


def _grid(text: str | None, record: Record | None, config: StyleConfig) -> Grid | None:
    """What varies over the contact sheet; None where a picture is asked for."""
    if text is not None:
        return read_grid(text, config, list(_HELP))
    if record is None or record.grid is None:
        return None
    check_grid(record.grid, config)
    return record.grid


def _region(text: str, home: Path | None) -> Region[Path]:
    """The region that `MASK=STYLE` or `MASK=STYLE:STRENGTH` asks for.

    Names that hold `=` or `:` themselves are understood where such files exist.

    Raises:
        ArgumentError: The text has no such form, a file does not exist, or the strength is none.
    """
    words = text.split("=")
    ways = [("=".join(words[:cut]), "=".join(words[cut:])) for cut in range(1, len(words))]
    mask, style = next((way for way in ways if Path(way[0]).is_file()), (ways or [("", "")])[0])
    strength = None
    if not Path(style).is_file() and style.count(":") > is_preset(style):
        style, _, number = style.rpartition(":")
        strength = _strength(number, text)
    if not mask or not style:
        raise ArgumentError(f"{text!r} is no region: expected MASK=STYLE or MASK=STYLE:STRENGTH")
    own = style not in set(RegionManner)
    for name in (mask, *([style] if own and not is_preset(style) else [])):
        if not Path(name).is_file():
            raise ArgumentError(f"there is no file {name} for the region {text!r}; check the path")
    manner = style_file(style, home) if own else RegionManner(style)
    return Region(mask=Path(mask), style=manner, strength=strength)


def _strength(number: str, text: str) -> float:
    """The number behind the colon of a region's `text`."""
    try:
        return float(number)
    except ValueError:
        raise ArgumentError(
            f"{number!r} is no strength, in the region {text!r}: expected a number from 0 to 1"
        ) from None


def _network(settings: Settings, usual: str) -> str:
    """The network asked for; else the one that the weights file names; else the usual one."""
    if settings.model is None and settings.weights is not None:
        from backbones.places import weights_file

        return weights_file(settings.weights, None).architecture
    return settings.model or usual
