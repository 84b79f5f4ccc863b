"""What the commands on several photographs have in common."""

from collections.abc import Sequence
from pathlib import Path

from data.errors import ArgumentError
from recognition.results import Detection, FailedImage, Identification

from .. import output


def pictures_of(paths: Sequence[Path]) -> tuple[list[Path], list[FailedImage]]:
    """The pictures that paths and folders mean, at least one; and the folders that hold none."""
    from data.images import find_images

    by_path = [(path, find_images([path])) for path in paths]
    found = [picture for _, pictures in by_path for picture in pictures]
    if not found:
        raise ArgumentError(f"no pictures in {', '.join(map(str, paths))}: name others")
    return found, [
        FailedImage(image=str(path), error="no pictures in this folder: name another")
        for path, pictures in by_path
        if not pictures
    ]


def print_oddities(results: Sequence[object]) -> None:
    """Print a line on stderr for what is odd about each photograph that was read all the same."""
    for result in results:
        if isinstance(result, Detection | Identification):
            for warning in result.warnings:
                output.print_warning(f"{result.image}: {warning}")


def print_failures(results: Sequence[object]) -> None:
    """Print a line on stderr for each photograph that failed, among others that did not."""
    for result in results:
        if isinstance(result, FailedImage):
            output.print_failure(result.image, result.error)
