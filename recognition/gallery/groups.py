"""Who is in which group; a group is there as long as somebody is in it."""

from collections.abc import Sequence

from data.errors import GalleryError

from .names import person_name
from .people import ENROLLED
from .rows import Row, next_id
from .sealing import SealedConnection, group_place


def group_names(groups: Sequence[str]) -> tuple[str, ...]:
    """Bring names of groups to their one form, each once; what may be one is as for people.

    Raises:
        ArgumentError: One of them cannot be a name.
    """
    return tuple(dict.fromkeys(map(person_name, groups)))


def join(connection: SealedConnection, person: int, group: str) -> int | None:
    """Put somebody into a group; the new row's id, None where they are in it already."""
    mark = connection.seal.mark(group)
    known = connection.execute(
        "SELECT 1 FROM membership WHERE person_id = ? AND mark = ?", (person, mark)
    ).fetchone()
    if known:
        return None
    row = next_id(connection, Row.MEMBERSHIP)
    closed = connection.seal.close_text(group, group_place(row, person))
    connection.execute("INSERT INTO membership VALUES (?, ?, ?, ?)", (row, person, closed, mark))
    return row


def memberships(connection: SealedConnection, person: int, group: str) -> list[int]:
    """The row that says that somebody is in a group, if there is one."""
    rows = connection.execute(
        "SELECT id FROM membership WHERE person_id = ? AND mark = ?",
        (person, connection.seal.mark(group)),
    )
    return [int(row[0]) for row in rows]


def groups_of(
    connection: SealedConnection, person: int | None = None
) -> dict[int, tuple[str, ...]]:
    """A person's id → the groups that they are in, by name.

    Args:
        connection: The gallery.
        person: Whose; None asks for everybody's.
    """
    found: dict[int, list[str]] = {}
    whose, values = ("", ()) if person is None else (" WHERE person_id = ?", (person,))
    rows = connection.execute(f"SELECT id, person_id, name FROM membership{whose}", values)
    for row, owner, closed in rows:
        name = connection.seal.open_text(closed, group_place(row, owner))
        found.setdefault(owner, []).append(name)
    return {owner: tuple(sorted(names)) for owner, names in found.items()}


def members(connection: SealedConnection, groups: Sequence[str]) -> frozenset[int]:
    """The ids of those who are enrolled and in one of some groups.

    Raises:
        ArgumentError: One of them cannot be a name.
        GalleryError: Nobody is in one of them.
    """
    found: set[int] = set()
    for group in group_names(groups):
        rows = connection.execute(
            "SELECT person.id FROM membership JOIN person ON person.id = person_id"
            f" WHERE membership.mark = ? AND {ENROLLED}",
            (connection.seal.mark(group),),
        ).fetchall()
        if not rows:
            raise nobody_in(group)
        found.update(row[0] for row in rows)
    return frozenset(found)


def nobody_in(group: str) -> GalleryError:
    """The error of a gallery that is asked for a group without anybody."""
    return GalleryError(
        f"nobody who is enrolled is in the group '{group}': `likeness people list` has the groups"
    )
