"""What the commands on several photographs have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ArgumentError
from data.folders import Account, sift_all
from recognition.results import Detection, FailedImage, Identification

from .. import output

if TYPE_CHECKING:
    from collections.abc import Iterable


def pictures_of(paths: Sequence[Path]) -> tuple[list[Path], list[FailedImage], list[Account]]:
    """The pictures that paths and folders mean, at least one.

    Returns:
        The pictures; the folders that hold none; and what was not taken from folders.

    Raises:
        ArgumentError: A path does not exist, or there is no picture.
    """
    by_path = sift_all(paths)
    found = [picture for _, sifted in by_path for picture in sifted.pictures]
    accounts = [sifted.account for _, sifted in by_path if sifted.account.left]
    if not found:
        told = "".join(f" ({account.line()})" for account in accounts)
        raise ArgumentError(f"no pictures in {', '.join(map(str, paths))}{told}: name others")
    return (
        found,
        [
            FailedImage(image=str(path), error="no pictures in this folder: name another")
            for path, sifted in by_path
            if not sifted.pictures
        ],
        accounts,
    )


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


def print_accounts(accounts: "Iterable[Account]") -> None:
    """Print on stderr what was not taken from folders, a line each."""
    for account in accounts:
        (output.print_error if account.matters else output.print_note)(account.line())


def batch_code(results: "Iterable[object]", accounts: "Iterable[Account]") -> int:
    """The exit code: whether everything was taken, and nothing failed."""
    failed = any(isinstance(result, FailedImage) for result in results)
    return 1 if failed or any(account.matters for account in accounts) else 0
