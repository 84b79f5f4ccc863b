"""The audit log: who did what to whom and when, in ids; no name and no vector.

A line is written in the transaction of what it tells of, so there is none without the other. Lines
are only added: the database refuses to alter one, and to remove one before its time. They outlive
the people: an id is never given twice, and says nothing once its row is gone.
"""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from data import clock
from data.clock import Reading
from data.errors import GalleryError

from ...results import AuditEntry
from .link import Queries
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
    HIDE = "hide"
    EXPIRE = "expire"
    CLOCK = "clock"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    REWRAP = "rewrap"
    ROTATE = "rotate"
    IMPORT = "import"
    ROLL_BACK = "restore a backup"
    SEARCH = "search"
    RE_EMBED = "re-embed"


def note(connection: Queries, action: Action, *people: int) -> None:
    """Write a line for each person an action concerns, or one for the whole gallery.

    Lines past their time are removed, if the clock can be believed.

    Args:
        connection: In a transaction, which the action is part of.
        action: What is done.
        people: The ids of those whom it is done to.
    """
    write_lines(connection, action, people)
    if is_outdated(connection) and reading(connection).is_plausible:
        forget_outdated(connection)


def write_lines(connection: Queries, action: Action, people: Sequence[int]) -> None:
    """As `note`, but no line is removed: the caller looks after that."""
    user = os.getuid() if hasattr(os, "getuid") else None  # Windows has names alone
    now = clock.now()
    connection.executemany(
        "INSERT INTO audit (done_at, action, person_id, user_id) VALUES (?, ?, ?, ?)",
        [(_text(now), action, person, user) for person in people or (None,)],
    )


def is_outdated(connection: Queries) -> bool:
    """Whether the oldest line is past its time."""
    oldest = connection.execute(f"SELECT {OLDEST}").fetchone()
    return was_outdated(oldest[0])


OLDEST = "(SELECT done_at FROM audit ORDER BY id LIMIT 1)"
"""When the oldest line was written, for a statement; null where there is none."""


def was_outdated(oldest: str | None) -> bool:
    """Whether a line written then is past its time."""
    return oldest is not None and oldest < _kept_since()


def forget_outdated(connection: Queries) -> None:
    """Remove lines that are past their time; the caller has asked whether the clock is right."""
    connection.execute("DELETE FROM audit WHERE done_at < ?", (_kept_since(),))


def _kept_since() -> str:
    # A second to spare: the database has its own clock.
    return _text(clock.now() - timedelta(days=AUDIT_DAYS, seconds=1))


def reading(connection: Queries) -> Reading:
    """What the clock is worth, by what the log has seen of it."""
    rows = connection.execute("SELECT done_at FROM audit ORDER BY id DESC")
    try:
        return clock.judged(clock.now(), (datetime.fromisoformat(row[0]) for row in rows))
    except (ValueError, TypeError) as error:  # somebody else wrote it
        raise GalleryError(
            "a line of the audit log has no date: `likeness gallery restore` a backup"
        ) from error


def entries(connection: Queries) -> tuple[AuditEntry, ...]:
    """The whole log, the latest line first."""
    rows = connection.execute(
        "SELECT id, done_at, action, person_id, user_id FROM audit ORDER BY id DESC"
    )
    return tuple(AuditEntry(*row) for row in rows)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
