"""Painting for the command line: one picture, or a folder of them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import AppError, ArgumentError
from data.folders import Account, sift
from data.formats import PICTURE_SUFFIXES, Depth, holds, holds_alpha

from . import output, portraits
from .commands.batches import batch_code, print_accounts
from .easel import Easel, Order, as_json, tell
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
        painted: Progress | Tensor = easel.draft(picture.colours, order.config)
    else:
        painted = easel.paint(picture.colours, order.config, title=name, told={"image": name})
        if painted.step < painted.total:
            return None
    with suppress(OSError):  # saving says what is wrong with it
        target.parent.mkdir(parents=True, exist_ok=True)
    return easel.save(picture, path, painted, target)
