"""Presets at hand: full pictures drawn once and kept, a contact sheet bundled."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

import data.assets
from data.errors import ArgumentError
from data.files import atomic_output, data_home, printable, private_folder, sha256_of

from .registry import PRESETS, Preset

SHEET = Path(str(data.assets.__file__)).with_name("presets.webp")
"""All presets, in the order of `PRESETS`; `python -m style.presets.shelf` draws it anew."""

TILE = 256
"""Side of a picture on the sheet in px."""

COLUMNS = 4
"""Pictures in a row of the sheet."""


def preset_file(preset: Preset, home: Path | None = None) -> Path:
    """The picture of a preset as a file: the kept one, or else drawn in a second or two, and kept.

    Where the data folder cannot be written it is kept for this process alone.

    Args:
        preset: Which.
        home: The user's data folder; None for the usual one.

    Raises:
        ArgumentError: The data folder is none, or nothing can be written at all.
    """
    # Where a drawing changed, so did the sheet: what an older version kept is not taken for it.
    kept = data_home(home) / "presets" / f"{preset.name}-{sha256_of(SHEET)[:8]}.png"
    if _is_whole(kept):
        return kept
    picture = preset.draw()
    try:
        _save(picture, private_folder(kept.parent) / kept.name)
    except (OSError, ArgumentError) as error:
        try:
            kept = _for_this_process() / kept.name
            _save(picture, kept)
        except OSError:
            raise ArgumentError(
                f"cannot keep the preset {preset.name} in {printable(kept.parent)}: {error}; "
                "name another folder with --home, or draw it with `likeness styles --draw DIR`"
            ) from error
    return kept


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_output(path) as temporary:
        picture.save(temporary, "PNG")


@cache
def _for_this_process() -> Path:
    """A folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="likeness-"))  # 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_whole(path: Path) -> bool:
    """Whether there is a picture that can be read to its end."""
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError):  # the latter is Pillow's word for a damaged PNG
        return False
    return True


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in rows of four, each scaled to a square of 256 px."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * TILE), "white")
    for number, picture in enumerate(pictures):
        small = picture.resize((TILE, TILE), Image.Resampling.LANCZOS)
        sheet.paste(small, (number % COLUMNS * TILE, number // COLUMNS * TILE))
    return sheet


if __name__ == "__main__":
    drawn = contact_sheet([preset.draw() for preset in PRESETS])
    drawn.save(SHEET, "WEBP", quality=80, method=6)
