"""Who is meant: people by their names, and how long they are kept."""

from datetime import UTC, datetime, timedelta

from data.errors import GalleryError

from .sealing import SealedConnection

RESTORABLE_DAYS = 30
"""How long someone deleted can be restored; after that they are erased."""

ENROLLED = "(deleted_at IS NULL AND ifnull(expires_on >= date('now'), TRUE))"
"""Holds of a row of `person` who is neither deleted nor past their consent."""

RESTORABLE = "(deleted_at >= ? AND ifnull(expires_on >= date('now'), TRUE))"
"""Holds of a row of `person` who was deleted and can come back; takes `restorable_since`."""

OVERDUE = "(deleted_at < ? OR expires_on < date('now'))"
"""Holds of a row of `person` who must not be kept; takes `restorable_since`.

Consent ends with the UTC day that it names; nobody is restored afterwards.
"""


def restorable_since() -> str:
    """The earliest `deleted_at` that can still be undone: ISO 8601, UTC."""
    moment = datetime.now(UTC) - timedelta(days=RESTORABLE_DAYS)
    return moment.isoformat(timespec="microseconds")


def person_id(connection: SealedConnection, name: str) -> int | None:
    """The id of the person who is enrolled under a name."""
    row = connection.execute(
        "SELECT id FROM person WHERE mark = ? AND deleted_at IS NULL",
        (connection.seal.mark(name),),
    ).fetchone()
    return None if row is None else int(row[0])


def require_person(connection: SealedConnection, name: str) -> int:
    """The same where there must be one.

    Raises:
        GalleryError: Nobody has that name.
    """
    person = person_id(connection, name)
    if person is None:
        raise GalleryError(
            f"nobody called '{name}' is enrolled: `likeness people list` has the names"
        )
    return person
