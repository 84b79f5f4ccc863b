"""What is taken from a folder of photographs, and an account of all that is not.

Nothing is passed over in silence: what systems make for themselves and texts beside photographs are
counted; a file of a format that is not read, a photograph in a place where none is looked for, a
link out of the folder and what lies too deep are counted, named, and a reason to fail.
"""

import errno
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ArgumentError
from .files import printable
from .formats import IMAGE_SUFFIXES

HIDDEN, SIDECAR, AGAIN = "hidden", "sidecar", "linked again"
"""Kinds of what is passed over rightly."""

OUTSIDE, TOO_DEEP, LOOSE, DEEPER = (
    "link out of the folder",
    "too deep",
    "loose photograph",
    "below a person's folder",
)
"""Kinds of what may be missed; a file of another kind is one of its suffix, or of none."""

NO_SUFFIX = "without a suffix"

_PASSED_OVER = frozenset({HIDDEN, SIDECAR, AGAIN})
_NAMED = 3  # of each kind
_DEEPEST = 100  # folders in one another

# Network storage, macOS, Windows and Linux put these beside photographs, at any depth: thumbnails,
# wastebaskets, indexes. What begins with a dot is hidden everywhere; `._name` are macOS's.
_OF_SYSTEMS = frozenset(
    {
        "@eadir", "@tmp", "@sharebin", "@recycle", "@recently-snapshot", "@__thumb", "#recycle",
        "#snapshot", "__macosx", "$recycle.bin", "recycler", "system volume information",
        "lost+found", "network trash folder", "temporary items", "thevolumesettingsfolder",
        "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r",
    }
)  # fmt: skip
_CHECKED_DISK = re.compile(r"found\.\d{3}")

_SIDECARS = frozenset(
    {
        ".xmp", ".json", ".txt", ".csv", ".tsv", ".md", ".xml", ".yml", ".yaml", ".toml", ".ini",
        ".aae", ".pp3", ".dop", ".thm", ".url", ".log",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a folder that was not taken.

    Attributes:
        path: It.
        kind: Why: one of the kinds above, or a suffix.
    """

    path: Path
    kind: str

    @property
    def matters(self) -> bool:
        """Whether a photograph may be missed because of it."""
        return self.kind not in _PASSED_OVER


@dataclass(frozen=True, slots=True)
class Account:
    """What was not taken from a folder.

    Attributes:
        root: The folder.
        left: All of it, in order.
    """

    root: Path
    left: tuple[LeftOut, ...]

    @property
    def matters(self) -> bool:
        """Whether a photograph may be missed."""
        return any(one.matters for one in self.left)

    def line(self) -> str:
        """All of it in a line, by kind, the first of each kind that matters by name."""
        parts = [
            f"{count} {kind} ({', '.join(names)})"
            for kind, count, names in self._kinds(matter=True)
        ]
        passed = [f"{count} {kind}" for kind, count, _ in self._kinds(matter=False)]
        said = [f"not taken: {', '.join(parts)}"] if parts else []
        said += [f"passed over: {', '.join(passed)}"] if passed else []
        return f"{printable(self.root)}: {'; '.join(said)}"

    def as_json(self) -> dict[str, object]:
        """The same for a program."""
        return {
            "folder": str(self.root),
            "not_taken": {kind: count for kind, count, _ in self._kinds(matter=True)},
            "passed_over": {kind: count for kind, count, _ in self._kinds(matter=False)},
            "examples": [name for _, _, names in self._kinds(matter=True) for name in names],
        }

    def _kinds(self, *, matter: bool) -> Iterator[tuple[str, int, list[str]]]:
        """Each kind that matters, or does not: its count, and what the first are called."""
        these = [one for one in self.left if one.matters is matter]
        for kind, count in sorted(Counter(one.kind for one in these).items()):
            first = [one.path for one in these if one.kind == kind][:_NAMED]
            names = [printable(os.path.relpath(path, self.root)) for path in first]
            yield kind, count, names + (["…"] if count > _NAMED else [])


@dataclass(frozen=True, slots=True)
class Sifted:
    """A folder, looked through.

    Attributes:
        pictures: What is taken, sorted. A folder that may not be looked into stands for itself, so
            that reading it says why.
        account: What is not.
    """

    pictures: tuple[Path, ...]
    account: Account


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or one that systems make for themselves."""
    plain = name.casefold()
    return (
        plain.startswith(".") or plain in _OF_SYSTEMS or _CHECKED_DISK.fullmatch(plain) is not None
    )


def sift(root: Path) -> Sifted:
    """Look through a folder, through all its depth.

    Links to folders are followed inside the root only, and each folder is walked once. A link to a
    file is the file.

    Args:
        root: A folder, which is looked into whatever it is called.
    """
    root = Path(root)
    pictures: list[Path] = []
    left: list[LeftOut] = []
    inside = os.path.realpath(root)
    seen = {_identity(root)}
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                left.append(LeftOut(folder, TOO_DEEP))
            else:
                pictures.append(folder)
            continue
        for entry in entries:
            path = folder / entry.name
            if is_hidden(entry.name):
                left.append(LeftOut(path, HIDDEN))
            elif not _leads_to_folder(entry):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    pictures.append(path)
                else:
                    left.append(LeftOut(path, _kind_of(path)))
            elif (why := _not_entered(path, inside, seen, depth + 1)) is not None:
                left.append(LeftOut(path, why))
            else:
                waiting.append((path, depth + 1))
    ordered = tuple(sorted(left, key=lambda one: one.path))
    return Sifted(tuple(sorted(pictures)), Account(root, ordered))


def sift_all(paths: Iterable[Path]) -> list[tuple[Path, Sifted]]:
    """What each of some paths means: a folder what is taken from it, a file itself.

    Raises:
        ArgumentError: A path does not exist, or is empty.
    """
    found = []
    for given in paths:
        if not os.fspath(given):
            raise ArgumentError("a path is empty: name a file or a folder")
        path = Path(given)
        try:
            path.lstat()
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"there is no file or folder {printable(path)}; check the path"
            ) from error
        found.append((path, sift(path) if _is_folder(path) else _alone(path)))
    return found


def not_photographs(folder: Path, taken: Sequence[Path]) -> list[LeftOut]:
    """What was not taken from a person's folder, whose photographs are right in it."""
    sifted = sift(folder)
    known = set(taken)
    deeper = [LeftOut(path, DEEPER) for path in sifted.pictures if path not in known]
    return sorted([*sifted.account.left, *deeper], key=lambda one: one.path)


def beside_people(root: Path) -> list[LeftOut]:
    """What lies in a folder of people's folders and is no folder of somebody."""
    left = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        path = Path(root) / entry.name
        if is_hidden(entry.name):
            left.append(LeftOut(path, HIDDEN))
        elif not _leads_to_folder(entry):
            is_picture = path.suffix.lower() in IMAGE_SUFFIXES
            left.append(LeftOut(path, LOOSE if is_picture else _kind_of(path)))
    return left


def _alone(path: Path) -> Sifted:
    return Sifted((path,), Account(path, ()))


def _kind_of(path: Path) -> str:
    """Of a file that is no picture by its name."""
    suffix = path.suffix.lower()
    if suffix in _SIDECARS:
        return SIDECAR
    return printable(suffix) if suffix else NO_SUFFIX


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (Path.is_dir raises where permission is missing)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; asked of the entry, for its path may be too long."""
    try:
        return entry.is_dir()
    except OSError:
        return False  # reading it says why


def _identity(path: Path) -> tuple[int, int]:
    """What a folder is on its disk, by whichever way it is reached."""
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _not_entered(path: Path, root: str, seen: set[tuple[int, int]], depth: int) -> str | None:
    """Why a folder is not walked; None where it is, and is known from then on."""
    try:
        if path.is_symlink():
            target = os.path.realpath(path)
            if os.path.commonpath([root, target]) == target:  # the root, or a folder above it
                return AGAIN
            if os.path.commonpath([root, target]) != root:
                return OUTSIDE
        identity = _identity(path)
    except OSError as error:
        return TOO_DEEP if error.errno == errno.ENAMETOOLONG else None
    if identity in seen:
        return AGAIN
    if depth > _DEEPEST:
        return TOO_DEEP
    seen.add(identity)
    return None
