"""`--grid`: what varies over a contact sheet, and its cells painted one after another."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import AppError, ArgumentError
from data.formats import Depth
from style.config import StyleConfig
from ui.cli.start import INTERRUPTED
from ui.settings import Settings

from . import output
from .destinations import kept
from .painting import Easel, Order, tell

if TYPE_CHECKING:
    from PIL.Image import Image


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
