"""Who is meant: people by their ids or their names, and how long they are kept."""

from datetime import timedelta

from data import clock
from data.errors import AmbiguousError, GalleryError

from .names import person_name
from .sealing import SealedConnection, name_place

Who = int | str
"""Who is meant: a person's id, or the name of somebody enrolled, which is one person's alone.

A name may have passed to somebody else since it was read. Whoever was shown somebody, in a list or
in a question, passes on the id.
"""

RESTORABLE_DAYS = 30
"""How long someone deleted can be restored; after that they are erased."""

ENROLLED = "(deleted_at IS NULL AND ifnull(expires_on >= today(), TRUE))"
"""Holds of a row of `person` who is neither deleted nor past their consent."""

RESTORABLE = "(deleted_at >= ? AND ifnull(expires_on >= today(), TRUE))"
"""Holds of a row of `person` who was deleted and can come back; takes `restorable_since`."""

OVERDUE = "(deleted_at < ? OR expires_on < today())"
"""Holds of a row of `person` who must not be kept; takes `restorable_since`.

Consent ends with the day that it names, where the user is; nobody is restored afterwards. What
these call `today()` every connection knows; see `opening.connect`.
"""


def restorable_since() -> str:
    """The earliest `deleted_at` that can still be undone: ISO 8601, UTC."""
    moment = clock.now() - timedelta(days=RESTORABLE_DAYS)
    return moment.isoformat(timespec="microseconds")


def person_id(connection: SealedConnection, name: str) -> int | None:
    """The id of the person who is enrolled under a name."""
    row = connection.execute(
        "SELECT id FROM person WHERE mark = ? AND deleted_at IS NULL",
        (connection.seal.mark(name),),
    ).fetchone()
    return None if row is None else int(row[0])


def require_person(connection: SealedConnection, who: Who) -> int:
    """The id of somebody who is enrolled.

    Raises:
        ArgumentError: No name can be like this.
        GalleryError: Nobody has that name or id.
    """
    if isinstance(who, int):
        row = connection.execute(
            "SELECT 1 FROM person WHERE id = ? AND deleted_at IS NULL", (who,)
        ).fetchone()
        if row is None:
            raise gone(who)
        return who
    name = person_name(who)
    person = person_id(connection, name)
    if person is None:
        raise GalleryError(
            f"nobody called '{name}' is enrolled: `likeness people list` has the names"
        )
    return person


def require_deleted(connection: SealedConnection, who: Who) -> int:
    """The id of somebody who was deleted and can be restored.

    Raises:
        ArgumentError: No name can be like this.
        AmbiguousError: Several people who were deleted have that name.
        GalleryError: Nobody who can be restored has that name or id.
    """
    column, value = ("id", who) if isinstance(who, int) else ("mark", _mark(connection, who))
    found = connection.execute(
        f"SELECT id FROM person WHERE {column} = ? AND {RESTORABLE} ORDER BY id",
        (value, restorable_since()),
    ).fetchall()
    if len(found) > 1:
        raise _several(f"{len(found)} people called '{who}' are deleted", found)
    if not found:
        called = f"person {who}" if isinstance(who, int) else f"nobody called '{who}'"
        verb = "was not" if isinstance(who, int) else "was"
        raise GalleryError(
            f"{called} {verb} deleted in the last {RESTORABLE_DAYS} days: "
            "`likeness people list --deleted` has the names"
        )
    return int(found[0][0])


def require_kept(connection: SealedConnection, who: Who) -> int:
    """The id of somebody of whom anything is kept: enrolled, deleted, or past their consent.

    Raises:
        ArgumentError: No name can be like this.
        AmbiguousError: Several people have that name, of whom all but one are deleted.
        GalleryError: Nobody has that name or id.
    """
    column, value = ("id", who) if isinstance(who, int) else ("mark", _mark(connection, who))
    found = connection.execute(
        f"SELECT id FROM person WHERE {column} = ? ORDER BY id", (value,)
    ).fetchall()
    if len(found) > 1:
        raise _several(f"{len(found)} people are called '{who}', enrolled or deleted", found)
    if not found:
        raise (
            gone(who)
            if isinstance(who, int)
            else GalleryError(f"nobody called '{who}' is enrolled or deleted")
        )
    return int(found[0][0])


def name_of(connection: SealedConnection, person: int) -> str:
    """What somebody is called, of whom a row is there."""
    (closed,) = connection.execute("SELECT name FROM person WHERE id = ?", (person,)).fetchone()
    return connection.seal.open_text(closed, name_place(person))


def gone(person: int) -> GalleryError:
    """The error where somebody is meant who is not there any more."""
    return GalleryError(
        f"person {person} is not enrolled, or not any more: `likeness people list --json` has "
        "everybody's person_id"
    )


def _mark(connection: SealedConnection, name: str) -> str:
    return connection.seal.mark(person_name(name))


def _several(what: str, found: list[tuple[int]]) -> AmbiguousError:
    ids = " or ".join(str(row[0]) for row in found)
    return AmbiguousError(f"{what}: say which by --id {ids}")
