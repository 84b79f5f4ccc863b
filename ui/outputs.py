"""Places to write to, checked before any work, so that a refusal leaves nothing behind."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from data.errors import ArgumentError
from data.formats import PICTURE_SUFFIXES, Depth, holds, usual_depth

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
