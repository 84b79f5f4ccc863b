"""Labeled Faces in the Wild: its list of pairs and where its photographs lie.

Huang, Ramesh, Berg, Learned-Miller: "Labeled Faces in the Wild", technical report 07-49, University
of Massachusetts, Amherst, 2007.

Celebrities in Frontal-Profile (Sengupta et al. 2016) in the same files and format: a person's
photographs 1 to 10 show the face from the front, 11 to 14 from the side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .errors import ArgumentError, DatasetError
from .files import printable, read_regular

PhotographKey = tuple[str, int]
"""A person's name and the number of one of their photographs, from 1."""

_FIRST_PROFILE = 11

_MOST_BYTES = 100_000_000


class FacePose(StrEnum):
    """From where a face is seen."""

    FRONTAL = "frontal"
    PROFILE = "profile"


class Layout(StrEnum):
    """What the numbers of a person's photographs mean."""

    LFW = "lfw"
    """Nothing."""
    CFP = "cfp"
    """From where the face is seen."""

    def view(self, photograph: PhotographKey) -> FacePose | None:
        """From where a photograph shows its face; None where its number does not tell."""
        if self is Layout.LFW:
            return None
        return FacePose.PROFILE if photograph[1] >= _FIRST_PROFILE else FacePose.FRONTAL


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photographs and whether they show the same person."""

    first: PhotographKey
    second: PhotographKey
    same: bool


@dataclass(frozen=True, slots=True)
class LfwProtocol:
    """Folds of pairs; no person is in two folds.

    Attributes:
        folds: Each fold's pairs, in the file's order.
    """

    folds: tuple[tuple[Pair, ...], ...]

    def photographs(self) -> list[PhotographKey]:
        """Return every photograph that a pair names, once, sorted."""
        return sorted({key for fold in self.folds for p in fold for key in (p.first, p.second)})

    def select(self, numbers: Sequence[int]) -> "LfwProtocol":
        """Return these folds alone, in the order given.

        Args:
            numbers: Folds, counted from 1.

        Raises:
            ArgumentError: There is no such fold, or one is named twice, or none at all.
        """
        count = len(self.folds)
        wrong = [n for n in numbers if not 1 <= n <= count]
        if wrong or not numbers or len(set(numbers)) < len(numbers):
            raise ArgumentError(
                f"cannot select the folds {list(numbers)}; "
                f"expected different numbers from 1 to {count}"
            )
        return LfwProtocol(tuple(self.folds[n - 1] for n in numbers))


def read_lfw_pairs(path: Path) -> LfwProtocol:
    """Read a list of pairs in LFW's format.

    The first line says how many folds there are and how many pairs of each kind a fold has
    (`10 300`; a single number means one fold). Each fold lists its pairs of one person
    (`name 1 4`), then its pairs of two (`name 1 other 2`), separated by tabs.

    Raises:
        ArgumentError: There is no such file.
        DatasetError: A line is not as it should be, with its number; or lines are missing.
    """
    content = read_regular(path, error=DatasetError, most_bytes=_MOST_BYTES)
    lines = content.decode("utf-8", "replace").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    folds, each = _read_counts(path, lines[0] if lines else "")
    expected = 1 + folds * each * 2
    if len(lines) != expected:
        raise DatasetError(
            f"{printable(path)} has {len(lines)} lines; its first line announces {expected}"
        )
    pairs = [
        _read_pair(path, number, line, same=(number - 2) % (2 * each) < each)
        for number, line in enumerate(lines[1:], start=2)
    ]
    starts = range(0, len(pairs), 2 * each)
    return LfwProtocol(tuple(tuple(pairs[start : start + 2 * each]) for start in starts))


def _read_counts(path: Path, line: str) -> tuple[int, int]:
    """Return the number of folds, and of pairs of each kind in a fold."""
    fields = line.split()
    if len(fields) in (1, 2) and all(_is_number(f) for f in fields):
        *folds, each = map(int, fields)
        return (folds[0] if folds else 1), each
    raise DatasetError(
        f"{printable(path)}, line 1: expected the number of folds and of pairs, like '10 300', "
        f"got '{printable(line)}'"
    )


def _read_pair(path: Path, number: int, line: str, *, same: bool) -> Pair:
    match line.split("\t"):
        case [name, one, two] if same and _is_number(one) and _is_number(two):
            names, numbers = (name, name), (one, two)
        case [name, one, other, two] if not same and _is_number(one) and _is_number(two):
            names, numbers = (name, other), (one, two)
        case _:
            wanted = "'name 1 2'" if same else "'name 1 other 2'"
            raise DatasetError(
                f"{printable(path)}, line {number}: expected {wanted} separated by tabs, "
                f"got '{printable(line)}'"
            )
    for name in names:
        # A name becomes a part of a path.
        if not name.isprintable() or name in ("", ".", "..") or "/" in name or "\\" in name:
            raise DatasetError(
                f"{printable(path)}, line {number}: '{printable(name)}' cannot be a person's folder"
            )
    return Pair((names[0], int(numbers[0])), (names[1], int(numbers[1])), same)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text[:9]) > 0 and len(text) < 10


def photograph_path(root: Path, name: str, number: int) -> Path:
    """Return `<root>/<Name>/<Name>_0001.jpg`, where LFW keeps a person's photograph."""
    return root / name / f"{name}_{number:04d}.jpg"
