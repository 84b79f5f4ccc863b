"""Places to write to, checked before any work, so that a refusal leaves nothing behind."""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data.errors import AppError, ArgumentError, WriteError
from data.files import data_home, printable, private_folder
from data.formats import PICTURE_SUFFIXES, Depth, holds, usual_depth

RESCUED = "rescued"
"""The folder in the data folder for results that could not be written where they were to go."""

UNFINISHED = ".part"
"""What stands behind the name of a picture that is half painted."""


def check_picture(
    path: Path, *, inputs: Sequence[Path], suffixes: Sequence[str] = PICTURE_SUFFIXES
) -> None:
    """Refuse a picture that could not be saved, or would overwrite an input.

    Args:
        path: Where it is to be saved.
        inputs: What it must not overwrite.
        suffixes: Of the formats in which it can be saved.

    Raises:
        ArgumentError: The suffix names no format, the folder is not there or not writable, the
            path is a folder, or it is one of the inputs.
    """
    if path.suffix.lower() not in suffixes:
        raise ArgumentError(
            f"{path} does not say in which format: end it in one of {', '.join(suffixes)}"
        )
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder: give the name of a picture")
    if not path.parent.is_dir():
        raise ArgumentError(f"the folder {path.parent} does not exist: make it first")
    _check_writable(path.parent)
    check_not_input(path, inputs)


def check_file(path: Path, *, suffixes: Sequence[str], inputs: Sequence[Path] = ()) -> None:
    """Refuse a file that could not be written, or would overwrite an input.

    Unlike that of a picture, its folder may be made.

    Args:
        path: Where it is to be.
        suffixes: Of what is written.
        inputs: What it must not overwrite.

    Raises:
        ArgumentError: It has another suffix, is a folder or one of the inputs, or its folder can
            neither be written nor be made.
    """
    if path.suffix not in suffixes:
        raise ArgumentError(f"{path} is not {' or '.join(suffixes)}: name such a file")
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder: give the name of a file in it")
    check_folder(path.parent)
    check_not_input(path, inputs)


def check_not_input(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file that would be written over an input.

    Raises:
        ArgumentError: It is one of the inputs.
    """
    if path.exists() and any(source.exists() and path.samefile(source) for source in inputs):
        raise ArgumentError(f"{path} is also an input: choose another output")


def check_folder(path: Path) -> None:
    """Refuse a folder that can neither be written nor be made.

    Raises:
        ArgumentError: The path, or what stands in its way, is no folder or not writable.
    """
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise ArgumentError(f"{nearest} is no folder: choose another place")
    _check_writable(nearest)


def _check_writable(folder: Path) -> None:
    """Refuse a folder that takes no file.

    Permissions alone do not tell: a disk may be read-only or full, and the administrator is let
    through everywhere.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArgumentError(
            f"the folder {folder} cannot be written ({error.strerror}): choose another place"
        ) from error


def kept(path: Path, home: Path | None, write: Callable[[Path], object]) -> tuple[Path, str | None]:
    """Write a finished result; where its place does not take it, write it elsewhere.

    What took long to make is not thrown away because a disk is full at the end, or a folder gone:
    it goes into the data folder, or else into the system's temporary one, under a name of its own.

    Args:
        path: Where it is to go.
        home: The data folder; None takes the user's.
        write: Writes it to a path, whole or not at all.

    Returns:
        Where it is; and in one line why it is not in its place, or None where it is.

    Raises:
        WriteError: It could be written nowhere.
    """
    try:
        write(path)
        return path, None
    except (OSError, WriteError) as error:
        why = str(error) if isinstance(error, WriteError) else (error.strerror or str(error))
    why = why.removesuffix("; name another place").removeprefix(f"cannot write {printable(path)}: ")
    for folder in _refuges(home):
        try:
            other = _free(folder(), path.name)
            write(other)
        except (OSError, AppError):
            continue
        return other, f"cannot write {printable(path)} ({why}): it is kept as {printable(other)}"
    raise WriteError(f"cannot write {printable(path)} ({why}), nor anywhere else: make room")


def _refuges(home: Path | None) -> Iterator[Callable[[], Path]]:
    """Where a result is kept that its place does not take; each makes its folder."""
    yield lambda: private_folder(data_home(home) / RESCUED)
    yield lambda: Path(tempfile.mkdtemp(prefix="likeness-"))


def _free(folder: Path, name: str) -> Path:
    """A path in a folder that nothing has yet."""
    names = itertools.chain([name], (f"{number}-{name}" for number in itertools.count(2)))
    return next(folder / one for one in names if not (folder / one).exists())


def depth_of(asked: Depth | None, path: Path) -> Depth:
    """Bits of a channel with which `path` is written.

    Raises:
        ArgumentError: Its format cannot hold what was asked for.
    """
    depth = asked or usual_depth(path.suffix)
    if not holds(path.suffix, depth):
        raise ArgumentError(
            f"{path.name} cannot hold {depth} bits a channel: end it in .png or .tif, "
            "or take --depth 8"
        )
    return depth
