"""Data sets of people: folders of identities, splits by person; LFW's protocol beside them."""

import os
import random
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from .errors import DatasetError
from .files import printable, read_regular, sha256_of
from .folders import Account, LeftOut, beside_people, is_hidden, not_photographs
from .formats import IMAGE_SUFFIXES
from .images import find_images
from .lfw import LfwProtocol, Pair, PhotographKey, photograph_path, read_lfw_pairs

__all__ = [
    "MOST_CORRUPT",
    "Identity",
    "LfwProtocol",
    "Pair",
    "People",
    "PhotographKey",
    "check_corrupt",
    "find_doubts",
    "listed_names",
    "photograph_path",
    "read_identities",
    "read_lfw_pairs",
    "read_people",
    "split_identities",
]

MOST_CORRUPT = 0.2
"""The part of a data set's photographs that may be unreadable before it is refused."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One person of a data set.

    Attributes:
        name: The folder's name.
        photographs: Paths, sorted by name.
    """

    name: str
    photographs: tuple[Path, ...]


def read_identities(
    root: Path, *, minimum_photographs: int = 1, minimum_people: int = 2
) -> list[Identity]:
    """Read a folder of folders, `root/<person>/<photograph>`, sorted by person.

    Nothing is decoded. `read_people` tells what was not taken, too.

    Args:
        root: The folder.
        minimum_photographs: People with fewer are left out.
        minimum_people: How many people must remain.

    Raises:
        DatasetError: There is no such folder; it holds no photographs, or too few people; or a
            folder's photographs lie deeper than `root/<person>`.
    """
    return list(
        read_people(
            root, minimum_photographs=minimum_photographs, minimum_people=minimum_people
        ).identities
    )


@dataclass(frozen=True, slots=True)
class People:
    """A folder of people's folders.

    Attributes:
        identities: The people, sorted by name.
        account: What was not taken.
        empty: The folders that hold no photograph that is read, sorted.
    """

    identities: tuple[Identity, ...]
    account: Account
    empty: tuple[Path, ...]


def read_people(root: Path, *, minimum_photographs: int = 1, minimum_people: int = 2) -> People:
    """Read a folder of folders as `read_identities` does, and give an account of the rest."""
    shown = printable(root)
    folders = _folders(root)
    everyone = [_read_identity(folder) for folder in folders]
    account = Account(Path(root), tuple(_left(root, folders, everyone)))
    people = [p for p in everyone if len(p.photographs) >= max(1, minimum_photographs)]
    if not any(p.photographs for p in everyone):
        told = f" ({account.line()})" if account.left else ""
        raise DatasetError(
            f"{shown} holds no photographs of people; expected {shown}/<person>/<photograph>{told}"
        )
    if len(people) < minimum_people:
        raise DatasetError(
            f"{shown} holds {len(people)} of the at least {minimum_people} people needed, counting "
            f"those with at least {minimum_photographs} photograph(s); add people or photographs"
        )
    empty = [folder for folder, one in zip(folders, everyone, strict=True) if not one.photographs]
    return People(tuple(people), account, tuple(empty))


def _left(root: Path, folders: Sequence[Path], everyone: Sequence[Identity]) -> Iterator[LeftOut]:
    """What was not taken, beside the people's folders and in them."""
    yield from beside_people(root)
    for folder, identity in zip(folders, everyone, strict=True):
        yield from not_photographs(folder, identity.photographs)


def _folders(root: Path) -> list[Path]:
    """Return the folders in `root`, sorted, without hidden ones and those of systems."""
    try:
        return sorted(f for f in Path(root).iterdir() if f.is_dir() and not is_hidden(f.name))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"there is no readable folder {printable(root)}; "
            "expected a folder that holds one folder for each person"
        ) from error


def _read_identity(folder: Path) -> Identity:
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(
            f"cannot look into {printable(folder)}: {error.strerror}; check its permissions"
        ) from error
    photographs = tuple(f for f in files if _is_photograph(f))
    if not photographs and (deeper := find_images([folder])):
        raise DatasetError(
            f"the photographs of {printable(folder)} lie too deep, as {printable(deeper[0])}; "
            "expected <folder>/<person>/<photograph>: name the folder right above the people"
        )
    return Identity(folder.name, photographs)


def _is_photograph(path: Path) -> bool:
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not is_hidden(path.name)
        and not os.path.isdir(path)  # noqa: PTH112  (Path.is_dir raises where permission is missing)
    )


def only_listed(identities: Sequence[Identity], listing: Path) -> list[Identity]:
    """Return the people whom a text file names, by the first word of each line.

    Raises:
        ArgumentError: There is no such file.
        DatasetError: It cannot be read, or it names nobody among `identities`.
    """
    names = listed_names([listing])
    found = [identity for identity in identities if identity.name in names]
    if not found:
        raise DatasetError(
            f"nobody listed in {printable(listing)} has a folder of photographs; "
            "expected a name a line, as the folders have it"
        )
    return found


def listed_names(listings: Iterable[Path]) -> set[str]:
    """Return the first word of each line of some text files.

    Raises:
        ArgumentError: There is no such file.
        DatasetError: One cannot be read.
    """
    texts = (read_regular(f, error=DatasetError).decode("utf-8", "replace") for f in listings)
    return {line.split()[0] for text in texts for line in text.splitlines() if line.strip()}


def find_doubts(identities: Iterable[Identity]) -> list[str]:
    """Return one line for each thing that is allowed, and yet rarely meant.

    Names that differ only in case or in how an accent is encoded; one photograph, byte for byte,
    under two names.
    """
    same_name: dict[str, list[str]] = defaultdict(list)
    same_size: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for identity in identities:
        plain = unicodedata.normalize("NFC", identity.name).casefold()
        same_name[plain].append(identity.name)
        for path in identity.photographs:
            if path.is_file():
                same_size[path.stat().st_size].append((identity.name, path))
    doubts = [
        f"{' and '.join(map(printable, names))} may be one person under two names"
        for names in same_name.values()
        if len(names) > 1
    ]
    for candidates in same_size.values():
        doubts += _shared_photographs(candidates)
    return doubts


def _shared_photographs(candidates: Sequence[tuple[str, Path]]) -> Iterator[str]:
    """Yield a line for each of these files, all of one length, that another name has too."""
    if len({name for name, _ in candidates}) < 2:
        return
    first: dict[str, tuple[str, Path]] = {}
    for name, path in candidates:
        other, twin = first.setdefault(sha256_of(path), (name, path))
        if other != name:
            yield f"{printable(path)} is the same photograph as {printable(twin)}"


def check_corrupt(corrupt: int, total: int, *, root: Path) -> None:
    """Refuse a data set of which too many photographs could not be read.

    Args:
        corrupt: How many could not be read.
        total: How many there are.
        root: The data set, for the message.

    Raises:
        DatasetError: They are more than `MOST_CORRUPT`.
    """
    if corrupt > MOST_CORRUPT * total:
        raise DatasetError(
            f"{corrupt} of the {total} photographs in {printable(root)} cannot be read; "
            f"at most {MOST_CORRUPT:.0%} may be: mend the data set; `train` takes --allow-corrupt"
        )


def split_identities(
    identities: Sequence[Identity],
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> tuple[list[Identity], ...]:
    """Split by person, so that no one is in two parts.

    Args:
        identities: The people, in any order; the split depends on their names and the seed alone.
        fractions: Each part's share of the people; they sum to 1.
        seed: Of the shuffle.

    Returns:
        One list a fraction, sorted by name. Sizes are within one of the exact share.

    Raises:
        ValueError: The fractions are negative or do not sum to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"expected fractions that sum to 1, got {tuple(fractions)}")
    shuffled = sorted(identities, key=lambda identity: identity.name)
    random.Random(seed).shuffle(shuffled)
    edges = [round(share * len(shuffled)) for share in accumulate(fractions, initial=0.0)]
    return tuple(
        sorted(shuffled[start:end], key=lambda identity: identity.name)
        for start, end in pairwise(edges)
    )
