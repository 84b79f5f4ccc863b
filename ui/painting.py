"""Painting for the command line: one picture, or a folder of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import AppError, ArgumentError
from data.formats import PICTURE_SUFFIXES, Depth, holds, holds_alpha

from . import output, portraits
from .easel import Easel, Order, tell
from .options import INTERRUPTED, OTHER_PEOPLE, Settings
from .outputs import check_folder, check_not_input, depth_of

if TYPE_CHECKING:
    from torch import Tensor

    from style.results import Progress


def paint_picture(settings: Settings, order: Order, out: Path) -> int:
    """Paint one photograph; what is to be returned to the shell."""
    from data.images import load_picture

    depth_of(order.depth, out)
    picture = load_picture(order.content, warn=output.warner(order.content))
    if picture.alpha is not None and not holds_alpha(out.suffix):
        output.print_warning(f"{out.name} cannot be transparent: the picture will stand on white")
    easel = Easel(settings, order)
    if order.draft:
        easel.save(picture, order.content, easel.draft(picture.colours, order.config), out)
        if not order.json_lines:
            output.print_line(f"{out}: a draft")
        return 0
    last = easel.paint(picture.colours, order.config, out=out)
    easel.save(picture, order.content, last, out)
    if last.step < last.total:
        line = f"interrupted at step {last.step} of {last.total}; the picture so far is in {out}"
        output.print_error(line + ("; the same command goes on" if easel.goes_on(out) else ""))
        return INTERRUPTED
    kept = portraits.verdicts(last.faces)
    if not all(face.same_person for face in last.faces):
        output.print_error(f"{kept}; the picture is in {out}: try a lower --strength")
        return OTHER_PEOPLE
    if not order.json_lines:
        done = f"{out}: {last.total} steps in {last.elapsed:.0f} s"
        output.print_line(f"{done}; {kept}" if kept else done)
    return 0


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
    photographs = _photographs(order, out)
    easel = Easel(settings, order)
    painted = skipped = failed = 0
    for path in photographs:
        name = str(path.relative_to(order.content))
        target = out / _output_name(name, order.depth)
        if target.exists() and not overwrite:
            skipped += 1
            tell(order, {"image": name, "output": str(target), "skipped": True})
            continue
        try:
            whole = _paint_into(easel, order, path, name, target)
        except AppError as error:
            failed += 1
            tell(order, {"image": name, "error": str(error)})
            output.print_failure(name, str(error))
            continue
        if not whole:
            output.print_error(
                f"interrupted at {name}; {painted} painted: the same command goes on from there"
            )
            return INTERRUPTED
        painted += 1
    if not order.json_lines:
        output.print_line(f"{out}: {painted} painted, {skipped} there already, {failed} failed")
    return 1 if failed else 0


def _photographs(order: Order, out: Path) -> list[Path]:
    """The pictures of the order's folder, without those that were painted before.

    Raises:
        ArgumentError: There are none, `out` is no folder to write into, or the preview is one of
            the inputs.
    """
    from data.images import find_images

    folder = order.content
    check_folder(out)
    if out.exists() and out.samefile(folder):
        raise ArgumentError(f"{out} is also the input: choose another folder for the output")
    own = out.resolve()
    found = [path for path in find_images([folder]) if own not in path.resolve().parents]
    if not found:
        raise ArgumentError(f"there is no picture in {folder}: give a folder of photographs")
    if order.preview:
        check_not_input(order.preview, found)
    return found


def _output_name(name: str, depth: Depth | None) -> str:
    """What a photograph's picture is called: the same, with .png behind it where need be."""
    suffix = Path(name).suffix.lower()
    fits = suffix in PICTURE_SUFFIXES and holds(suffix, depth or Depth.EIGHT)
    return name if fits else f"{name}.png"


def _paint_into(easel: Easel, order: Order, path: Path, name: str, target: Path) -> bool:
    """Paint one photograph of a folder; whether it was finished, for only then it is kept.

    Raises:
        AppError: It cannot be read, painted or written.
    """
    from data.images import load_picture

    check_not_input(target, (path, *order.inputs))
    picture = load_picture(path, warn=output.warner(name))
    if order.draft:
        painted: Progress | Tensor = easel.draft(picture.colours, order.config)
    else:
        painted = easel.paint(picture.colours, order.config, title=name, told={"image": name})
        if painted.step < painted.total:
            return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(f"cannot make the folder {target.parent}: {error.strerror}") from error
    easel.save(picture, path, painted, target)
    tell(order, {"image": name, "output": str(target)})
    return True
