"""What has been done to the people by hand, and how it is undone: kept with them, in one file.

Before an operation changes a row, the columns that it changes are written down as they are. To undo
it is to put them back, the last one first. An operation that is not the latest is out of reach
until the later ones are undone, so that what was written down always fits. Templates and crops are
never written down: no operation but an erasure changes them, and an erasure clears the journal.
"""

import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

from data.errors import GalleryError

from .snapshot import restorable_since

MOST_OPERATIONS = 50
"""How many operations can be undone; the oldest are forgotten."""


class Row(StrEnum):
    """A table whose rows operations change."""

    PERSON = "person"
    TEMPLATE = "template"
    EXCLUSION = "exclusion"


_COLUMNS = {
    Row.PERSON: ("name", "enrolled_at", "deleted_at"),
    Row.TEMPLATE: ("person_id",),
    Row.EXCLUSION: ("person_id",),
}
"""What operations may change of a row."""


class Journal:
    """One operation, as it is written down.

    Args:
        connection: In a transaction, which the operation is part of.
        what: The operation in a few words, as `'Bob' merged into 'Ann'`.
    """

    def __init__(self, connection: sqlite3.Connection, what: str) -> None:
        self._connection = connection
        self._operation = connection.execute(
            "INSERT INTO operation (what, done_at) VALUES (?, ?)",
            (what, _now()),
        ).lastrowid
        connection.execute(
            "DELETE FROM operation WHERE done_at < ?"
            " OR id NOT IN (SELECT id FROM operation ORDER BY id DESC LIMIT ?)",
            (restorable_since(), MOST_OPERATIONS),
        )

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


def undo(connection: sqlite3.Connection) -> str:
    """Put everything back that the latest operation changed.

    Args:
        connection: In a transaction.

    Returns:
        What has been undone, in a few words.

    Raises:
        GalleryError: Nothing can be undone.
    """
    latest = connection.execute(
        "SELECT id, what FROM operation WHERE done_at >= ? ORDER BY id DESC", (restorable_since(),)
    ).fetchone()
    if latest is None:
        raise GalleryError("nothing to undo: no change since the last erasure, or in 30 days")
    operation, what = latest
    rows = connection.execute(
        "SELECT kind, row, before FROM reversal WHERE operation_id = ? ORDER BY id DESC",
        (operation,),
    ).fetchall()
    # Between two steps a template may belong to somebody who is not back yet.
    connection.execute("PRAGMA defer_foreign_keys = ON")
    for kind, identifier, before in rows:
        _put_back(connection, Row(kind), identifier, before)
    connection.execute("DELETE FROM operation WHERE id = ?", (operation,))
    # Somebody whose deletion is brought back long afterwards has 30 days again.
    connection.execute(
        "UPDATE person SET deleted_at = ? WHERE deleted_at < ?", (_now(), restorable_since())
    )
    return str(what)


def forget(connection: sqlite3.Connection) -> None:
    """Clear the journal: it may name somebody who is being erased."""
    connection.execute("DELETE FROM operation")


def _put_back(
    connection: sqlite3.Connection, kind: Row, identifier: int, before: str | None
) -> None:
    if before is None:
        connection.execute(f"DELETE FROM {kind} WHERE id = ?", (identifier,))
        connection.execute("UPDATE gallery SET traces_remain = 1")
        return
    columns = json.loads(before)
    names = ", ".join(columns)
    places = ", ".join(f":{name}" for name in columns)
    values = columns | {"id": identifier}
    changed = connection.execute(f"UPDATE {kind} SET ({names}) = ({places}) WHERE id = :id", values)
    if not changed.rowcount:
        connection.execute(f"INSERT INTO {kind} (id, {names}) VALUES (:id, {places})", values)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
