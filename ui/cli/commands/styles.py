"""`styles`: the style pictures that need no file."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError
from ui.settings import Settings

from .. import output
from ..destinations import check_folder, kept
from ..options import MAX_SEED, JsonOption, command

if TYPE_CHECKING:
    from style.presets.registry import Preset


app = typer.Typer()


@command(app, "styles", example="likeness styles --draw pictures/ --only mosaic --size 1024")
def styles(
    settings: Settings,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", metavar="DIR", help="Draw them into this folder, as PNG."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Draw this one; may be repeated."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="N", min=64, max=2048, help="Side in pixels; else 768."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            max=MAX_SEED,
            help="Draw another variant than the preset itself.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List the presets, style pictures that are drawn here: `stylize PHOTO preset:NAME`.

    The same size and seed draw the same picture.
    """
    from style.presets.registry import PREFIX, PRESETS, SIZE, find_preset

    if draw is None and (only or size is not None or seed is not None):
        raise ArgumentError("--only, --size and --seed go with --draw: name a folder")
    chosen = [find_preset(name) for name in only or ()] or list(PRESETS)
    files = (
        {}
        if draw is None
        else _drawn(chosen, draw, SIZE if size is None else size, seed, settings.home)
    )
    if as_json:
        rows = [{"name": PREFIX + preset.name, "about": preset.about} for preset in chosen]
        for row, preset in zip(rows, chosen, strict=True):
            row.update({"file": str(files[preset.name])} if files else {})
        output.print_json(rows)
    elif files:
        for file in files.values():
            output.print_line(str(file))
    else:
        output.print_table(("style", "shows"), [(PREFIX + it.name, it.about) for it in chosen])
    return 0 if all(file.parent == draw for file in files.values()) else 1


def _drawn(
    presets: "list[Preset]", folder: Path, size: int, seed: int | None, home: Path | None
) -> dict[str, Path]:
    """Draw presets into a folder, which is made where need be; the file of each name."""
    from data.images import save_image
    from style.presets.registry import check_drawing

    check_drawing(size, seed)
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    with output.progress_bar("drawing") as advance:
        for number, preset in enumerate(presets, start=1):
            picture = preset.draw(size, seed)
            files[preset.name], misplaced = kept(
                folder / f"{preset.name}.png", home, partial(save_image, picture)
            )
            if misplaced is not None:
                output.print_error(misplaced)
            advance(number, len(presets))
    return files
