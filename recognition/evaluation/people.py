"""Folders of people, `root/<person>/<photograph>`, and the embeddings of their photographs."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from data.datasets import Identity, only_listed, read_identities
from data.errors import DatasetError
from data.files import read_regular

from .embedding import Embedding
from .searches import People


def people_to_draw_from(
    root: Path, listing: Path | Sequence[Path] | None, leave_out: Path | None = None
) -> list[Identity]:
    """Return the people of a folder, or whom of them one list or several name.

    Args:
        root: The folder.
        listing: Text files, a name a line; None takes everybody.
        leave_out: One of whom not to take, such as who is there under another name as well.

    Raises:
        DatasetError: The folder or a list is unusable; see `read_identities`, `only_listed`.
    """
    everybody = read_identities(root)
    listings = [listing] if isinstance(listing, Path) else listing or []
    chosen = everybody
    if listings:
        named = {one.name for path in listings for one in only_listed(everybody, path)}
        chosen = [one for one in everybody if one.name in named]
    if leave_out is None:
        return chosen
    text = read_regular(leave_out, error=DatasetError).decode("utf-8", "replace")
    left_out = {line.split()[0] for line in text.splitlines() if line.strip()}
    return [one for one in chosen if one.name not in left_out]


def two_folders(gallery: Path, probes: Path) -> list[list[Identity]]:
    """Return who is enrolled and who is searched for.

    Raises:
        DatasetError: A folder is unusable; see `read_identities`.
    """
    return [read_identities(root, minimum_people=1) for root in (gallery, probes)]


def photographs_of(folders: Sequence[Sequence[Identity]]) -> list[Path]:
    """Return all photographs of all people, in order."""
    everyone = chain.from_iterable(folders)
    return [path for person in everyone for path in person.photographs]


def by_name(
    folders: Sequence[Sequence[Identity]], vectors: Sequence[Embedding | None]
) -> list[dict[str, list[Embedding | None]]]:
    """Return each folder's people, given the embeddings of `photographs_of` in order."""
    remaining = iter(vectors)
    return [
        {person.name: [next(remaining) for _ in person.photographs] for person in folder}
        for folder in folders
    ]


def missing(people: People) -> int:
    """Return in how many photographs no face was found."""
    return sum(vector is None for vectors in people.values() for vector in vectors)


def numbered(*groups: People) -> dict[str, int]:
    """Return a number for everybody in any of the groups."""
    return {name: number for number, name in enumerate(sorted(set(chain.from_iterable(groups))))}
