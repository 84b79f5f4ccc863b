"""Rows of people: names, groups, consent, who is known not to be whom."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import chain

import numpy as np
import numpy.typing as npt

from data import clock
from data.errors import AmbiguousError, GalleryError

from ...results import LONGEST_NOTE, Consent, today
from ..names import person_name
from ..templates import SAME_FACE, EmbeddingModel, Embeddings, Template, from_blob, to_blob
from .encryption import (
    SealedConnection,
    consent_place,
    embedding_place,
    group_place,
    name_place,
    photograph_place,
)

# Who is meant: people by their ids or their names, and how long they are kept.

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
these call `today()` every connection knows; see `database.connect`.
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


# Rows whose contents are sealed: how they are made, read, and given to another person.


class Row(StrEnum):
    """A table whose rows operations change."""

    PERSON = "person"
    TEMPLATE = "template"
    EXCLUSION = "exclusion"
    MEMBERSHIP = "membership"


def next_id(connection: SealedConnection, table: str) -> int:
    """The id of a table's next row: what is sealed in a row is sealed for its id."""
    (highest,) = connection.execute(
        "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = ?", (table,)
    ).fetchone()
    return int(highest) + 1


def add_person(
    connection: SealedConnection, name: str, enrolled_at: str, deleted_at: str | None = None
) -> int:
    """Add somebody whose name is free, or who is deleted; their id."""
    person = next_id(connection, Row.PERSON)
    closed = connection.seal.close_text(name, name_place(person))
    connection.execute(
        "INSERT INTO person (id, name, mark, enrolled_at, deleted_at) VALUES (?, ?, ?, ?, ?)",
        (person, closed, connection.seal.mark(name), enrolled_at, deleted_at),
    )
    return person


def note_consent(connection: SealedConnection, person: int, consent: Consent) -> None:
    """Note what somebody agreed to; what the consent leaves open stays as it was noted."""
    if consent.note is not None:
        closed = connection.seal.close_text(consent.note, consent_place(person))
        connection.execute("UPDATE person SET consent = ? WHERE id = ?", (closed, person))
    if consent.until is not None or consent.for_ever:
        day = None if consent.until is None else consent.until.isoformat()
        connection.execute("UPDATE person SET expires_on = ? WHERE id = ?", (day, person))
    connection.execute("UPDATE person SET consented_at = ? WHERE id = ?", (now(), person))


def add_face(
    connection: SealedConnection, kind: Row, person: int, face: Template, model: EmbeddingModel
) -> int:
    """Add a template or an exclusion of a person; its id.

    Raises:
        GalleryError: The embedding is not a unit vector of the model's dimension.
    """
    seal, row = connection.seal, next_id(connection, kind)
    blob = to_blob(face.embedding, model.dimension)
    connection.execute(
        f"INSERT INTO {kind} (id, person_id, photograph_mark, photograph_sha256, embedding)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            row,
            person,
            seal.mark(face.photograph_sha256),
            seal.close_text(face.photograph_sha256, photograph_place(kind, row)),
            seal.close(blob, embedding_place(kind, row, person, model.weights_digest)),
        ),
    )
    return row


def faces_in(
    connection: SealedConnection, kind: Row, photograph_sha256: str, model: EmbeddingModel
) -> list[tuple[int, Embeddings]]:
    """Whose templates or exclusions there are of a photograph, with their embeddings (1, D).

    Raises:
        GalleryError: One of them is damaged.
    """
    seal = connection.seal
    rows = connection.execute(
        f"SELECT id, person_id, embedding FROM {kind} WHERE photograph_mark = ? ORDER BY id",
        (seal.mark(photograph_sha256),),
    ).fetchall()
    found = []
    for row, person, closed in rows:
        blob = seal.open(closed, embedding_place(kind, row, person, model.weights_digest))
        found.append((person, from_blob(blob, model.dimension)))
    return found


def ids_of(rows: Iterable[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """Templates' ids, ascending, each with its person's, as an array (N, 2).

    Raises:
        GalleryError: The ids are not one each, which they are in every table of ours.
    """
    with suppress(TypeError, ValueError, OverflowError):
        ids = np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, 2)
        if (np.diff(ids[:, 0]) > 0).all():
            return ids
    raise GalleryError(
        "the gallery is damaged, two templates have one id: restore it from a backup"
    )


def templates_of(connection: SealedConnection, people: Iterable[int]) -> set[int]:
    """The ids of some people's templates."""
    rows = connection.execute(
        "SELECT id FROM template WHERE person_id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(people)),),
    )
    return {int(row[0]) for row in rows}


def hand_over(connection: SealedConnection, kind: Row, ids: Iterable[int], person: int) -> None:
    """Give templates or exclusions to a person, for whom they are sealed anew.

    Raises:
        GalleryError: One of them was tampered with.
    """
    seal = connection.seal
    (digest,) = connection.execute("SELECT weights_digest FROM gallery").fetchone()
    for row in ids:
        owner, closed = connection.execute(
            f"SELECT person_id, embedding FROM {kind} WHERE id = ?", (row,)
        ).fetchone()
        content = seal.open(closed, embedding_place(kind, row, owner, digest))
        anew = seal.close(content, embedding_place(kind, row, person, digest))
        connection.execute(
            f"UPDATE {kind} SET person_id = ?, embedding = ? WHERE id = ?", (person, anew, row)
        )


def now() -> str:
    """The moment in UTC, to the second."""
    return clock.now().isoformat(timespec="seconds")


# What people agreed to, where photographs pass from one of them to another: none of it is lost.
#
# A consent covers photographs. Whoever gets somebody else's keeps them no longer than both agreed
# to, and what was noted of either is noted of both.


@dataclass(frozen=True, slots=True)
class Agreement:
    """What somebody agreed to, as it is kept.

    Attributes:
        note: In words; None where nothing was noted.
        noted_at: When that was noted: ISO 8601, UTC.
        until: The last day on which it holds, as 2027-01-31; None: without end.
    """

    note: str | None
    noted_at: str | None
    until: str | None

    @property
    def has_ended(self) -> bool:
        """Whether its last day is over."""
        return self.until is not None and self.until < today().isoformat()


def agreement_of(connection: SealedConnection, person: int) -> Agreement:
    """What somebody agreed to, of whom a row is there."""
    closed, noted_at, until = connection.execute(
        "SELECT consent, consented_at, expires_on FROM person WHERE id = ?", (person,)
    ).fetchone()
    note = closed and connection.seal.open_text(closed, consent_place(person))
    return Agreement(note, noted_at, until)


def set_agreement(connection: SealedConnection, person: int, agreement: Agreement) -> None:
    """Put an agreement in the place of what was noted of somebody."""
    note = agreement.note
    closed = note and connection.seal.close_text(note, consent_place(person))
    connection.execute(
        "UPDATE person SET consent = ?, consented_at = ?, expires_on = ? WHERE id = ?",
        (closed, agreement.noted_at, agreement.until, person),
    )


def joined(own: Agreement, other: Agreement) -> Agreement:
    """What covers one person's photographs together with another's: the earlier end, both notes.

    Raises:
        GalleryError: Both notes together are too long to be one.
    """
    ends = [each.until for each in (own, other) if each.until is not None]
    notes = [each.note for each in (own, other) if each.note is not None]
    parts = dict.fromkeys(part for note in notes for part in note.split("; "))
    note = "; ".join(parts) or None
    if note is not None and len(note) > LONGEST_NOTE:
        raise GalleryError(
            f"their notes of consent make one of {len(note)} characters, and at most "
            f"{LONGEST_NOTE} are kept: shorten one with `likeness people consent NAME --note NOTE`"
        )
    moments = [each.noted_at for each in (own, other) if each.noted_at is not None]
    return Agreement(note, max(moments, default=None), min(ends, default=None))


# Who is known not to be whom: faces that are not a person's, and what follows from them.
#
# A face that is not Ann's and is enrolled as Bob's says that Ann and Bob are two people. What is
# enrolled as a person's is theirs, whatever was said of the face before.


def exclusions_of(connection: SealedConnection, model: EmbeddingModel) -> dict[int, Embeddings]:
    """A person's id → faces that are known not to be theirs, (n, D).

    Raises:
        GalleryError: One of them is damaged.
    """
    taken_back = {
        row for row, person, owner, _ in enrolled_exclusions(connection, model) if person == owner
    }
    found: dict[int, list[Embeddings]] = {}
    for row, person, closed in connection.execute(
        "SELECT id, person_id, embedding FROM exclusion ORDER BY id"
    ):
        if row not in taken_back:
            vector = _opened(connection, model, "exclusion", (row, person, closed))
            found.setdefault(person, []).append(vector)
    return {person: np.concatenate(vectors) for person, vectors in found.items()}


def enrolled_exclusions(
    connection: SealedConnection, model: EmbeddingModel
) -> Iterator[tuple[int, int, int, int]]:
    """Exclusions whose face is enrolled: the row, whose it is not, as whose it is, the template.

    Raises:
        GalleryError: One of them is damaged.
    """
    rows = connection.execute(
        "SELECT exclusion.id, exclusion.person_id, exclusion.embedding,"
        " template.id, template.person_id, template.embedding"
        " FROM exclusion JOIN template USING (photograph_mark) ORDER BY exclusion.id, template.id"
    ).fetchall()
    for row in rows:
        face = _opened(connection, model, "exclusion", row[:3])
        enrolled = _opened(connection, model, "template", row[3:])
        if float(face[0] @ enrolled[0]) >= SAME_FACE:
            yield row[0], row[1], row[4], row[3]


def forget_faces(
    connection: SealedConnection, model: EmbeddingModel, templates: Collection[int]
) -> list[int]:
    """Remove what others' exclusions hold of faces whose templates are to be erased; their ids."""
    gone = [row for row, *_, one in enrolled_exclusions(connection, model) if one in templates]
    connection.executemany("DELETE FROM exclusion WHERE id = ?", [(row,) for row in gone])
    return gone


def _opened(
    connection: SealedConnection, model: EmbeddingModel, table: str, row: tuple[int, int, bytes]
) -> Embeddings:
    number, person, closed = row
    place = embedding_place(table, number, person, model.weights_digest)
    return from_blob(connection.seal.open(closed, place), model.dimension)


# Who is in which group; a group is there as long as somebody is in it.


def group_names(groups: Sequence[str]) -> tuple[str, ...]:
    """Bring names of groups to their one form, each once; what may be one is as for people.

    Raises:
        ArgumentError: One of them cannot be a name.
    """
    return tuple(dict.fromkeys(map(person_name, groups)))


def join(connection: SealedConnection, person: int, group: str) -> int | None:
    """Put somebody into a group; the new row's id, None where they are in it already."""
    mark = connection.seal.mark(group)
    known = connection.execute(
        "SELECT 1 FROM membership WHERE person_id = ? AND mark = ?", (person, mark)
    ).fetchone()
    if known:
        return None
    row = next_id(connection, Row.MEMBERSHIP)
    closed = connection.seal.close_text(group, group_place(row, person))
    connection.execute("INSERT INTO membership VALUES (?, ?, ?, ?)", (row, person, closed, mark))
    return row


def memberships(connection: SealedConnection, person: int, group: str) -> list[int]:
    """The row that says that somebody is in a group, if there is one."""
    rows = connection.execute(
        "SELECT id FROM membership WHERE person_id = ? AND mark = ?",
        (person, connection.seal.mark(group)),
    )
    return [int(row[0]) for row in rows]


def groups_of(
    connection: SealedConnection, person: int | None = None
) -> dict[int, tuple[str, ...]]:
    """A person's id → the groups that they are in, by name.

    Args:
        connection: The gallery.
        person: Whose; None asks for everybody's.
    """
    found: dict[int, list[str]] = {}
    whose, values = ("", ()) if person is None else (" WHERE person_id = ?", (person,))
    rows = connection.execute(f"SELECT id, person_id, name FROM membership{whose}", values)
    for row, owner, closed in rows:
        name = connection.seal.open_text(closed, group_place(row, owner))
        found.setdefault(owner, []).append(name)
    return {owner: tuple(sorted(names)) for owner, names in found.items()}


def members(connection: SealedConnection, groups: Sequence[str]) -> frozenset[int]:
    """The ids of those who are enrolled and in one of some groups.

    Raises:
        ArgumentError: One of them cannot be a name.
        GalleryError: Nobody is in one of them.
    """
    found: set[int] = set()
    for group in group_names(groups):
        rows = connection.execute(
            "SELECT person.id FROM membership JOIN person ON person.id = person_id"
            f" WHERE membership.mark = ? AND {ENROLLED}",
            (connection.seal.mark(group),),
        ).fetchall()
        if not rows:
            raise nobody_in(group)
        found.update(row[0] for row in rows)
    return frozenset(found)


def nobody_in(group: str) -> GalleryError:
    """The error of a gallery that is asked for a group without anybody."""
    return GalleryError(
        f"nobody who is enrolled is in the group '{group}': `likeness people list` has the groups"
    )
