"""People are erased for good, and it is remembered who is gone.

That somebody was erased is remembered by their id and those of their templates, and never trimmed:
where an older state of the gallery comes back, from a backup, they go from it once more. An id is
never given twice in galleries of one origin, and says nothing once its row is gone. The ids lie in
the database, and once more beside it, for whoever has to restore a backup because the database
is damaged.

Whoever was deleted too long ago, or whose consent has ended, is hidden by the very condition that
finds people. They are erased later: when the audit log has a line of it that is a day old, and the
clock can be believed by that log. So a clock that is wrong hides people for a while, and nobody is
lost.
"""

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from data import clock
from data.files import write_atomic

from . import audit, journal
from .apart import forget_faces
from .audit import Action
from .people import OVERDUE, restorable_since
from .sealing import SealedConnection
from .snapshot import Snapshot

Erased = tuple[str, str, int]
"""A gallery's origin, `person` or `template`, and an id of a row that was erased from it."""

_FILE = "erased.json"
_LONGEST_FILE = 100_000_000  # bytes; a template's id takes ten


def erase_people(connection: SealedConnection, action: Action, people: Collection[int]) -> None:
    """Remove people, in a transaction; traces remain until they are wiped.

    Args:
        connection: In that transaction.
        action: Why: they are erased, or their time is over.
        people: Their ids.
    """
    if not people:
        return
    audit.note(connection, action, *sorted(people))
    forget_faces(connection, Snapshot(connection).model, people)
    each = [(person,) for person in people]
    origin = "(SELECT origin_id FROM gallery)"
    connection.executemany(
        f"INSERT OR IGNORE INTO erased SELECT {origin}, 'template', id FROM template"
        " WHERE person_id = ?",
        each,
    )
    connection.executemany(f"INSERT OR IGNORE INTO erased VALUES ({origin}, 'person', ?)", each)
    connection.executemany("DELETE FROM person WHERE id = ?", each)
    journal.forget(connection)
    connection.execute("UPDATE gallery SET traces_remain = 1")


@dataclass(frozen=True, slots=True)
class Overdue:
    """Who is hidden because their time is over.

    Attributes:
        due: The ids of those who are to be erased now.
        unseen: Of those of whom the log has no line yet that counts.
        clock_begins: Whether the clock is not what the log would lead one to expect.
    """

    due: frozenset[int]
    unseen: frozenset[int]
    clock_begins: bool

    @property
    def is_news(self) -> bool:
        """Whether anything is to be done, or to be noted."""
        return bool(self.due or self.unseen or self.clock_begins)


def overdue(connection: SealedConnection) -> Overdue:
    """Find whose time is over, and who of them is to be erased."""
    rows = connection.execute(
        f"SELECT id FROM person WHERE {OVERDUE}", (restorable_since(),)
    ).fetchall()
    reading, now = audit.reading(connection), clock.now()
    due, unseen = set(), set()
    for (person,) in rows:
        hidden = _hidden_since(connection, person)
        if hidden is None or hidden > now:
            unseen.add(person)
        elif now - hidden >= clock.GRACE and reading.is_plausible:
            due.add(person)
    begins = reading.begins and not unseen  # a line of somebody's does as well
    return Overdue(frozenset(due), frozenset(unseen), begins)


def _hidden_since(connection: SealedConnection, person: int) -> datetime | None:
    """When it was noted that somebody is hidden, unless something was done to them since."""
    row = connection.execute(
        "SELECT done_at, action FROM audit WHERE person_id = ? ORDER BY id DESC LIMIT 1", (person,)
    ).fetchone()
    if row is None or row[1] != Action.HIDE:
        return None
    return datetime.fromisoformat(row[0])


def erase_once_more(connection: SealedConnection) -> int:
    """Erase, in a transaction, whoever is back who was erased from this gallery before.

    Whoever has no photograph left by that goes as well: they were merged into somebody else, say,
    who was then erased.

    Returns:
        How many people went.
    """
    people = {row[0] for row in connection.execute(_BACK.format("person"))}
    templates = {row[0] for row in connection.execute(_BACK.format("template"))}
    left = "(SELECT count(*) FROM template WHERE person_id = person.id AND id NOT IN"
    left += " (SELECT value FROM json_each(?1)))"
    people |= {
        row[0]
        for row in connection.execute(
            f"SELECT DISTINCT person.id FROM person JOIN template ON person_id = person.id"
            f" WHERE template.id IN (SELECT value FROM json_each(?1)) AND {left} = 0",
            (json.dumps(sorted(templates)),),
        )
    }
    erase_people(connection, Action.ERASE, people)
    if templates:
        connection.executemany("DELETE FROM template WHERE id = ?", [(one,) for one in templates])
        journal.forget(connection)
        connection.execute("UPDATE gallery SET traces_remain = 1")
    return len(people)


_BACK = (
    "SELECT id FROM {0} JOIN erased ON row = id AND kind = '{0}'"
    " WHERE origin_id = (SELECT origin_id FROM gallery)"
)


def remember_erased(connection: SealedConnection, erased: Iterable[Erased]) -> None:
    """Remember, in a transaction, that these were erased."""
    connection.executemany("INSERT OR IGNORE INTO erased VALUES (?, ?, ?)", list(erased))


def write_erased(folder: Path, connection: SealedConnection) -> None:
    """Keep beside a gallery's database who was erased from it.

    Raises:
        OSError: It cannot be written.
    """
    rows = connection.execute("SELECT origin_id, kind, row FROM erased").fetchall()
    if rows:
        write_atomic(folder / _FILE, json.dumps(rows).encode())


def read_erased(folder: Path) -> set[Erased]:
    """Who was erased from a gallery, by what is kept beside its database; none where nothing is."""
    found: set[Erased] = set()
    with suppress(OSError, ValueError, TypeError, RecursionError):
        path = folder / _FILE
        if path.is_symlink() or path.stat().st_size > _LONGEST_FILE:
            return found
        for origin, kind, row in json.loads(path.read_bytes()):
            if isinstance(origin, str) and kind in ("person", "template") and type(row) is int:
                found.add((origin, kind, row))
    return found
