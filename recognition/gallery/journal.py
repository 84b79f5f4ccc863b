"""What has been done to the people by hand, and how it is undone: kept with them, in one file.

Before an operation changes a row, the columns that it changes are written down as they are. To undo
it is to put them back, the last one first. An operation that is not the latest is out of reach
until the later ones are undone, so that what was written down always fits. Templates and crops are
never written down: no operation but an erasure changes them, and an erasure clears the journal.
What is sealed in a row is written down sealed, for that row. Every operation also leaves its line
in the audit log.
"""

import json
from collections.abc import Iterable

from data import clock
from data.errors import GalleryError

from . import audit
from .audit import Action
from .people import restorable_since
from .rows import Row, hand_over, next_id
from .sealing import SealedConnection, operation_place

MOST_OPERATIONS = 50
"""How many operations can be undone; the oldest are forgotten."""


_COLUMNS = {
    Row.PERSON: (
        "name",
        "mark",
        "enrolled_at",
        "deleted_at",
        "consent",
        "consented_at",
        "expires_on",
    ),
    Row.TEMPLATE: ("person_id",),
    Row.EXCLUSION: ("person_id",),
    Row.MEMBERSHIP: ("person_id", "name", "mark"),
}
"""What operations may change of a row; of a membership, all: it is added or removed."""


class Journal:
    """One operation, as it is written down.

    Args:
        connection: In a transaction, which the operation is part of.
        action: The operation.
        what: The same in a few words, as `'Bob' merged into 'Ann'`.
        people: The ids of those whom it is done to.
        audited: Whether a line of the audit log is written here; else the caller writes them.
    """

    def __init__(
        self,
        connection: SealedConnection,
        action: Action,
        what: str,
        *people: int,
        audited: bool = True,
    ) -> None:
        self._connection = connection
        self._operation = next_id(connection, "operation")
        closed = connection.seal.close_text(what, operation_place(self._operation))
        connection.execute(
            "INSERT INTO operation (id, what, done_at) VALUES (?, ?, ?)",
            (self._operation, closed, _now()),
        )
        if audited:
            audit.note(connection, action, *people)
        connection.execute(
            "DELETE FROM operation"
            " WHERE id NOT IN (SELECT id FROM operation ORDER BY id DESC LIMIT ?)",
            (MOST_OPERATIONS,),
        )
        over = connection.execute(
            "SELECT id FROM operation WHERE done_at < ?", (restorable_since(),)
        ).fetchall()
        if over and audit.reading(connection).is_plausible:
            connection.executemany("DELETE FROM operation WHERE id = ?", over)

    def changes(self, kind: Row, ids: Iterable[int]) -> None:
        """Write down rows that are about to change, or to go.

        Args:
            kind: Which table's.
            ids: Which of them.
        """
        columns = ", ".join(f"'{name}', {name}" for name in _COLUMNS[kind])
        self._connection.executemany(
            "INSERT INTO reversal (operation_id, kind, row, before)"
            f" SELECT ?, ?, id, json_object({columns}) FROM {kind} WHERE id = ?",
            [(self._operation, kind, identifier) for identifier in ids],
        )

    def adds(self, kind: Row, identifier: int) -> None:
        """Write down that a row is new."""
        self._connection.execute(
            "INSERT INTO reversal (operation_id, kind, row) VALUES (?, ?, ?)",
            (self._operation, kind, identifier),
        )


def undo(connection: SealedConnection, expected: int | None = None) -> str:
    """Put everything back that the latest operation changed.

    Args:
        connection: In a transaction.
        expected: Which operation is taken for the latest; None takes whichever is.

    Returns:
        What has been undone, in a few words.

    Raises:
        GalleryError: Nothing can be undone, or another operation is the latest by now.
    """
    latest = connection.execute(
        "SELECT id, what FROM operation WHERE done_at >= ? ORDER BY id DESC", (restorable_since(),)
    ).fetchone()
    if latest is None:
        raise GalleryError("nothing to undo: no change since the last erasure, or in 30 days")
    operation, closed = latest
    if expected not in (None, operation):
        raise GalleryError(
            "something else was done since: look at `likeness people history` once more"
        )
    what = connection.seal.open_text(closed, operation_place(operation))
    rows = connection.execute(
        "SELECT kind, row, before FROM reversal WHERE operation_id = ? ORDER BY id DESC",
        (operation,),
    ).fetchall()
    people = {owner for kind, *row in rows for owner in _owners(connection, Row(kind), *row)}
    # Between two steps a template may belong to somebody who is not back yet.
    connection.execute("PRAGMA defer_foreign_keys = ON")
    for kind, identifier, before in rows:
        _put_back(connection, Row(kind), identifier, before)
    audit.note(connection, Action.UNDO, *sorted(people))
    connection.execute("DELETE FROM operation WHERE id = ?", (operation,))
    # Somebody whose deletion is brought back long afterwards has 30 days again.
    connection.execute(
        "UPDATE person SET deleted_at = ? WHERE deleted_at < ?", (_now(), restorable_since())
    )
    return what


def forget(connection: SealedConnection) -> None:
    """Clear the journal: it may name somebody who is being erased."""
    connection.execute("DELETE FROM operation")


def _owners(
    connection: SealedConnection, kind: Row, identifier: int, before: str | None
) -> set[int]:
    """Whose a row is, and whose it was."""
    if kind is Row.PERSON:
        return {identifier}
    rows = connection.execute(f"SELECT person_id FROM {kind} WHERE id = ?", (identifier,))
    was = () if before is None else (json.loads(before)["person_id"],)
    return {*was, *(row[0] for row in rows)}


def _put_back(connection: SealedConnection, kind: Row, identifier: int, before: str | None) -> None:
    if before is None:
        connection.execute(f"DELETE FROM {kind} WHERE id = ?", (identifier,))
        connection.execute("UPDATE gallery SET traces_remain = 1")
        return
    columns = json.loads(before)
    if kind in (Row.TEMPLATE, Row.EXCLUSION):
        hand_over(connection, kind, [identifier], columns["person_id"])
        return
    names = ", ".join(columns)
    places = ", ".join(f":{name}" for name in columns)
    values = columns | {"id": identifier}
    changed = connection.execute(f"UPDATE {kind} SET ({names}) = ({places}) WHERE id = :id", values)
    if not changed.rowcount:
        connection.execute(f"INSERT INTO {kind} (id, {names}) VALUES (:id, {places})", values)


def _now() -> str:
    return clock.now().isoformat(timespec="microseconds")
