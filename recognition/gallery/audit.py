"""The audit log: who did what to whom and when, in ids; no name and no vector.

A line is written in the transaction of what it tells of, so there is none without the other. Lines
are only added: the database refuses to alter one, and to remove one before its time. They outlive
the people: an id is never given twice, and says nothing once its row is gone.
"""

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from ..inventory import AuditEntry
from .schema import AUDIT_DAYS


class Action(StrEnum):
    """What was done."""

    ENROL = "enrol"
    RENAME = "rename"
    DELETE = "delete"
    RESTORE = "restore"
    MERGE = "merge"
    MOVE = "move"
    SPLIT = "split"
    EXCLUDE = "exclude"
    CONSENT = "consent"
    GROUP = "group"
    UNDO = "undo"
    ERASE = "erase"
    EXPIRE = "expire"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    REWRAP = "rewrap"
    ROTATE = "rotate"
    IMPORT = "import"
    ROLL_BACK = "restore a backup"


def note(connection: sqlite3.Connection, action: Action, *people: int) -> None:
    """Write a line for each person an action concerns, or one for the whole gallery.

    Lines past their time are removed.

    Args:
        connection: In a transaction, which the action is part of.
        action: What is done.
        people: The ids of those whom it is done to.
    """
    user = os.getuid() if hasattr(os, "getuid") else None  # Windows has names alone
    now = datetime.now(UTC)
    connection.executemany(
        "INSERT INTO audit (done_at, action, person_id, user_id) VALUES (?, ?, ?, ?)",
        [(_text(now), action, person, user) for person in people or (None,)],
    )
    # A second to spare: the database has its own clock.
    kept_since = now - timedelta(days=AUDIT_DAYS, seconds=1)
    connection.execute("DELETE FROM audit WHERE done_at < ?", (_text(kept_since),))


def entries(connection: sqlite3.Connection) -> tuple[AuditEntry, ...]:
    """The whole log, the latest line first."""
    rows = connection.execute(
        "SELECT id, done_at, action, person_id, user_id FROM audit ORDER BY id DESC"
    )
    return tuple(AuditEntry(*row) for row in rows)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
