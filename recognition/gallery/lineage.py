"""Of which state an index on disk is, and whether that is one of the gallery's own past.

A template's id is never given twice and its embedding never changes, so an index of an earlier
state needs only what has come and gone since. But a file may also be of a future that never was:
somebody put an older copy of the database back by hand, and ids were given again. So each state has
a mark, drawn at random, and the database remembers the mark of the state whose index was last
written: in the column `mark`, behind its own, as `NOW/INDEXED`. Copies of the database take it with
them. An index of either state is this gallery's own; one of any other state is not.
"""

import sqlite3

NEW_MARK = (
    "hex(randomblob(16)) || CASE instr(mark, '/') WHEN 0 THEN ''"
    " ELSE substr(mark, instr(mark, '/')) END"
)
"""In SQL, the mark of the next state."""


def gallery_and_marks(connection: sqlite3.Connection) -> tuple[str, list[str]]:
    """The gallery's id; the mark of its state, and that of the state last indexed, if any was."""
    gallery, mark = connection.execute("SELECT gallery_id, mark FROM gallery").fetchone()
    return gallery, mark.split("/")


def note_indexed(connection: sqlite3.Connection) -> None:
    """Remember, in a transaction, that the index on disk is of the present state.

    Nothing else is changed by that: the state keeps its mark.
    """
    _, (mark, *_) = gallery_and_marks(connection)
    connection.execute("UPDATE gallery SET mark = ?", (f"{mark}/{mark}",))
