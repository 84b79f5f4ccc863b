"""Presets at hand: full pictures drawn once and kept, thumbnails bundled."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import data.assets
from data.errors import AppError
from data.files import atomic_output, data_home, private_folder
from data.images import load_image

from .registry import PRESETS, Preset

SHEET = Path(str(data.assets.__file__)).with_name("presets.webp")
"""All presets in one picture, in the order of `PRESETS`; `likeness styles --sheet` made it."""

TILE = 256
"""Side of a picture on the sheet in px."""

_COLUMNS = 4
_EDITION = 1  # of the drawings: raise it when one of them changes, and kept ones are drawn anew


def preset_picture(preset: Preset, home: Path | None = None) -> Image.Image:
    """The picture of a preset: the kept one, or else drawn in about a second, and kept.

    Args:
        preset: Which.
        home: The user's data folder; None for the usual one. Where it cannot be written, the
            picture is drawn every time.

    Raises:
        ArgumentError: The data folder is a file, or lies below one.
    """
    kept = data_home(home) / "presets" / f"{preset.name}-{_EDITION}.png"
    try:
        return load_image(kept)
    except AppError:  # not there, or damaged
        picture = preset.draw()
    try:
        private_folder(kept.parent)
        with atomic_output(kept) as temporary:
            picture.save(temporary, "PNG")
    except (OSError, AppError):
        pass  # it is a convenience, and the picture is there
    return picture


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in rows of four, each scaled to a square of 256 px."""
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * TILE, rows * TILE), "white")
    for number, picture in enumerate(pictures):
        small = picture.resize((TILE, TILE), Image.Resampling.LANCZOS)
        sheet.paste(small, (number % _COLUMNS * TILE, number // _COLUMNS * TILE))
    return sheet


def thumbnails() -> dict[str, Image.Image]:
    """A small picture of every preset by its name, cut out of the bundled sheet."""
    with Image.open(SHEET) as opened:
        sheet = opened.convert("RGB")
    corners = [(n % _COLUMNS * TILE, n // _COLUMNS * TILE) for n in range(len(PRESETS))]
    return {
        preset.name: sheet.crop((left, top, left + TILE, top + TILE))
        for preset, (left, top) in zip(PRESETS, corners, strict=True)
    }
