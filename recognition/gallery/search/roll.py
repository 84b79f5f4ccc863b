"""Which template is whose, followed from one state of a gallery to the next."""

import json

import numpy as np

from ..storage.link import AMONG
from ..storage.people import ENROLLED
from ..storage.snapshot import Roll, Snapshot
from ..templates import Ids

# Reading all of a million rows takes a second. But whoever changes anything about a person leaves
# a line in the audit log, in the same transaction: so it is enough to look at those whom the
# lines since then are about.

_MOST_PEOPLE = 1_000
"""Of so many it is looked at what has changed; of more, everything is read."""


Line = tuple[int, str]
"""A line of the audit log, as it is told from any other: its id, and when it was written."""

NO_LINE: Line = (0, "")


def latest_line(snapshot: Snapshot) -> Line:
    """The audit log's latest line."""
    found = snapshot.connection.execute(
        "SELECT id, done_at FROM audit ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return NO_LINE if found is None else (int(found[0]), str(found[1]))


def is_past(snapshot: Snapshot, line: Line) -> bool:
    """Whether a state is a later one of that in which a line was the latest.

    It is not where somebody has put an older copy of the database back by hand: then ids may have
    been given again.
    """
    found = snapshot.connection.execute("SELECT 1 FROM audit WHERE (id, done_at) = (?, ?)", line)
    return line == NO_LINE or found.fetchone() is not None


def followed(roll: Roll, snapshot: Snapshot, line: Line) -> Roll | None:
    """Bring a roll of an earlier state of the same gallery up to the present one.

    Args:
        roll: The earlier one.
        snapshot: The present state.
        line: The audit log's latest line in the earlier state.

    Returns:
        The roll; None where everything has to be read.
    """
    lines = snapshot.connection.execute(
        "SELECT DISTINCT person_id FROM audit WHERE id > ? LIMIT ?", (line[0], _MOST_PEOPLE + 1)
    ).fetchall()
    if not lines or len(lines) > _MOST_PEOPLE or (None,) in lines:
        return None
    changed = np.array(lines, np.int64).reshape(-1)
    rows = _rows(snapshot, "person.id", changed)
    was_theirs = np.isin(roll.people, changed)
    # Where one of their templates is somebody else's now, no line need be about that person.
    elsewhere = np.setdiff1d(roll.ids[was_theirs], rows[:, 0])
    rows = np.concatenate([rows, _rows(snapshot, "template.id", elsewhere)])
    stays = ~(was_theirs | np.isin(roll.ids, rows[:, 0]))
    ids = np.concatenate([roll.ids[stays], rows[:, 0]])
    people = np.concatenate([roll.people[stays], rows[:, 1]])
    if not np.all(ids[:-1] < ids[1:]):
        order = np.argsort(ids)
        ids, people = ids[order], people[order]
    names = roll.names.copy()
    for person in changed.tolist():
        names.pop(person, None)
    names |= _names(snapshot, np.concatenate([changed, rows[:, 1]]))
    return Roll(ids=ids, people=people, names=names)


def _rows(snapshot: Snapshot, column: str, values: Ids) -> Ids:
    """Templates' ids and whose they are (n, 2), of those enrolled, by id."""
    if not len(values):
        return np.empty((0, 2), np.int64)
    found = snapshot.connection.execute(
        "SELECT template.id, person.id FROM template JOIN person ON person.id = person_id"
        f" WHERE {column} {AMONG} AND {ENROLLED} ORDER BY template.id",
        (json.dumps(values.tolist()),),
    ).fetchall()
    return np.array(found, np.int64).reshape(-1, 2)


def _names(snapshot: Snapshot, people: Ids) -> dict[int, str]:
    found = snapshot.connection.read(
        ("id", "person.name"),
        f"FROM person WHERE id {AMONG} AND {ENROLLED}",
        (json.dumps(np.unique(people).tolist()),),
    )
    return dict(found)
