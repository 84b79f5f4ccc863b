"""People are erased for good, and it is remembered who is gone.

That somebody was erased is remembered by their id and those of their templates, and never trimmed:
where an older state of the gallery comes back, from a backup, they go from it once more. An id is
never given twice in galleries of one origin, and says nothing once its row is gone.
"""

from collections.abc import Collection

from . import audit, journal
from .apart import forget_faces
from .audit import Action
from .sealing import SealedConnection
from .snapshot import Snapshot


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
