"""Rows of people: names, groups, consent, who is known not to be whom."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import chain

import numpy as np
import numpy.typing as npt

from data import clock
from data.errors import AmbiguousError, GalleryError
from data.files import printable

from ...results import LONGEST_NOTE, Consent
from ..names import person_name
from ..templates import SAME_FACE, EmbeddingModel, Embeddings, Template, from_blob, to_blob
from .link import AMONG, AMONG_TEXTS
from .rows import SealedConnection

# Who is meant: people by their ids or their names, and how long they are kept.

Who = int | str
"""Who is meant: a person's id, or the name of somebody enrolled, which is one person's alone.

A name may have passed to somebody else since it was read. Whoever was shown somebody, in a list or
in a question, passes on the id.
"""

RESTORABLE_DAYS = 30
"""How long someone deleted can be restored; after that they are erased."""

ENROLLED = "(deleted_at IS NULL AND coalesce(expires_on >= today(), TRUE))"
"""Holds of a row of `person` who is neither deleted nor past their consent."""

RESTORABLE = "(deleted_at >= ? AND coalesce(expires_on >= today(), TRUE))"
"""Holds of a row of `person` who was deleted and can come back; takes `restorable_since`."""

OVERDUE = "(deleted_at < ? OR expires_on < today())"
"""Holds of a row of `person` who must not be kept; takes `restorable_since`.

Consent ends with the day that it names, where the user is; nobody is restored afterwards. What
these call `today()` every connection knows; see `link`. Whether it holds of anybody is asked by
`OLDEST_DELETION` and `LAST_EXPIRY`: of "or" PostgreSQL reads all people.
"""


OLDEST_DELETION = "(SELECT min(deleted_at) FROM person WHERE deleted_at IS NOT NULL)"
"""When whoever is deleted for the longest was, for a statement; null where nobody is."""

LAST_EXPIRY = "(SELECT coalesce(max(expires_on), '') FROM person WHERE expires_on < today())"
"""The last day of the consent that ended last, for a statement; empty where none has."""

OLDEST_OPERATION = "(SELECT min(done_at) FROM operation)"
"""When the oldest thing was done that can be undone, for a statement; null where there is none."""


def restorable_since() -> str:
    """The earliest `deleted_at` that can still be undone: ISO 8601, UTC."""
    moment = clock.now() - timedelta(days=RESTORABLE_DAYS)
    return moment.isoformat(timespec="microseconds")


def person_id(connection: SealedConnection, name: str) -> int | None:
    """The id of the person who is enrolled under a name."""
    row = connection.execute(
        "SELECT id FROM person WHERE mark = ? AND deleted_at IS NULL",
        (connection.mark(name),),
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
        raise _several(f"{len(found)} people called '{printable(str(who))}' are deleted", found)
    if not found:
        called = f"person {who}" if isinstance(who, int) else f"nobody called '{printable(who)}'"
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
        told = f"{len(found)} people are called '{printable(str(who))}', enrolled or deleted"
        raise _several(told, found)
    if not found:
        raise (
            gone(who)
            if isinstance(who, int)
            else GalleryError(f"nobody called '{printable(who)}' is enrolled or deleted")
        )
    return int(found[0][0])


def name_of(connection: SealedConnection, person: int) -> str:
    """What somebody is called, of whom a row is there."""
    [(name,)] = connection.read(("person.name",), "FROM person WHERE id = ?", (person,))
    return str(name)


def gone(person: int) -> GalleryError:
    """The error where somebody is meant who is not there any more."""
    return GalleryError(
        f"person {person} is not enrolled, or not any more: `likeness people list --json` has "
        "everybody's person_id"
    )


def _mark(connection: SealedConnection, name: str) -> str:
    return connection.mark(person_name(name))


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
    return connection.link.next_id(table)


def add_person(
    connection: SealedConnection,
    name: str,
    enrolled_at: str,
    deleted_at: str | None = None,
    agreement: "Agreement | None" = None,
) -> int:
    """Add somebody whose name is free, or who is deleted; their id."""
    person = next_id(connection, Row.PERSON)
    row: dict[str, str | int | None] = {
        "id": person,
        "name": name,
        "enrolled_at": enrolled_at,
        "deleted_at": deleted_at,
    }
    if agreement is not None:
        row |= _columns_of(agreement)
    connection.insert(Row.PERSON, row)
    return person


def note_consent(connection: SealedConnection, person: int, consent: Consent) -> None:
    """Note what somebody agreed to; what the consent leaves open stays as it was noted."""
    noted: dict[str, str | None] = {"consented_at": timestamp()}
    if consent.note is not None:
        noted["consent"] = consent.note
    if consent.until is not None or consent.for_ever:
        noted["expires_on"] = None if consent.until is None else consent.until.isoformat()
    connection.update(Row.PERSON, person, noted)


def add_face(
    connection: SealedConnection, kind: Row, person: int, face: Template, model: EmbeddingModel
) -> int:
    """Add a template or an exclusion of a person; its id.

    Raises:
        GalleryError: The embedding is not a unit vector of the model's dimension.
    """
    row = next_id(connection, kind)
    connection.insert(
        kind,
        {
            "id": row,
            "person_id": person,
            "photograph_sha256": face.photograph_sha256,
            "embedding": to_blob(face.embedding, model.dimension),
        },
    )
    return row


Faces = list[tuple[int, Embeddings]]
"""Of a photograph: whose templates or exclusions there are, with their embeddings (1, D)."""


def faces_in(
    connection: SealedConnection, kind: Row, photograph_sha256: str, model: EmbeddingModel
) -> Faces:
    """Whose templates or exclusions there are of a photograph, with their embeddings (1, D).

    Raises:
        GalleryError: One of them is damaged.
    """
    return faces_among(connection, kind, [photograph_sha256])(model)[photograph_sha256]


def faces_among(
    connection: SealedConnection, kind: Row, photographs: Iterable[str]
) -> Callable[[EmbeddingModel], dict[str, Faces]]:
    """Ask whose templates or exclusions there are of photographs.

    Args:
        connection: The gallery.
        kind: Templates or exclusions.
        photographs: The photographs' SHA-256.

    Returns:
        Takes the gallery's model, and gives for each photograph its faces; raises a GalleryError
        where one of them is damaged.
    """
    marks = {connection.mark(one): one for one in photographs}
    rows = connection.read(
        ("photograph_mark", "person_id", f"{kind}.embedding"),
        f"FROM {kind} WHERE photograph_mark {AMONG_TEXTS} ORDER BY id",
        (json.dumps([*marks]),),
    )

    def found(model: EmbeddingModel) -> dict[str, Faces]:
        faces: dict[str, Faces] = {one: [] for one in marks.values()}
        for mark, person, blob in rows:
            faces[marks[mark]].append((person, from_blob(blob, model.dimension)))
        return faces

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


def template_ids_of(connection: SealedConnection, people: Iterable[int]) -> set[int]:
    """The ids of some people's templates."""
    rows = connection.execute(
        f"SELECT id FROM template WHERE person_id {AMONG}",
        (json.dumps(sorted(people)),),
    )
    return {int(row[0]) for row in rows}


def hand_over(connection: SealedConnection, kind: Row, ids: Iterable[int], person: int) -> None:
    """Give templates or exclusions to a person, for whom they are sealed anew.

    Raises:
        GalleryError: One of them was tampered with.
    """
    for row in ids:
        connection.update(kind, row, {"person_id": person})


def timestamp() -> str:
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
        return self.until is not None and self.until < clock.today().isoformat()


def agreement_of(connection: SealedConnection, person: int) -> Agreement:
    """What somebody agreed to, of whom a row is there."""
    [terms] = connection.read(
        ("person.consent", "consented_at", "expires_on"), "FROM person WHERE id = ?", (person,)
    )
    return Agreement(*terms)


def set_agreement(connection: SealedConnection, person: int, agreement: Agreement) -> None:
    """Put an agreement in the place of what was noted of somebody."""
    connection.update(Row.PERSON, person, _columns_of(agreement))


def _columns_of(agreement: Agreement) -> dict[str, str | None]:
    return {
        "consent": agreement.note,
        "consented_at": agreement.noted_at,
        "expires_on": agreement.until,
    }


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
    found: dict[int, list[Embeddings]] = {}
    columns = ("id", "person_id", "exclusion.embedding")
    kept = list(connection.read(columns, "FROM exclusion ORDER BY id"))
    if not kept:
        return {}
    taken_back = {
        row for row, person, owner, _ in enrolled_exclusions(connection, model) if person == owner
    }
    for row, person, blob in kept:
        if row not in taken_back:
            found.setdefault(person, []).append(from_blob(blob, model.dimension))
    return {person: np.concatenate(vectors) for person, vectors in found.items()}


def enrolled_exclusions(
    connection: SealedConnection, model: EmbeddingModel
) -> Iterator[tuple[int, int, int, int]]:
    """Exclusions whose face is enrolled: the row, whose it is not, as whose it is, the template.

    Raises:
        GalleryError: One of them is damaged.
    """
    rows = connection.read(
        (
            "exclusion.id",
            "exclusion.person_id",
            "template.person_id",
            "template.id",
            "exclusion.embedding",
            "template.embedding",
        ),
        "FROM exclusion JOIN template USING (photograph_mark) ORDER BY exclusion.id, template.id",
    )
    for row, person, owner, template, *blobs in list(rows):
        face, enrolled = (from_blob(blob, model.dimension)[0] for blob in blobs)
        if float(face @ enrolled) >= SAME_FACE:
            yield row, person, owner, template


def forget_faces(
    connection: SealedConnection, model: EmbeddingModel, templates: Collection[int]
) -> list[int]:
    """Remove what others' exclusions hold of faces whose templates are to be erased; their ids."""
    gone = [row for row, *_, one in enrolled_exclusions(connection, model) if one in templates]
    connection.executemany("DELETE FROM exclusion WHERE id = ?", [(row,) for row in gone])
    return gone


# Who is in which group; a group is there as long as somebody is in it.


def group_names(groups: Sequence[str]) -> tuple[str, ...]:
    """Bring names of groups to their one form, each once; what may be one is as for people.

    Raises:
        ArgumentError: One of them cannot be a name.
    """
    return tuple(dict.fromkeys(map(person_name, groups)))


def join(connection: SealedConnection, person: int, group: str) -> int | None:
    """Put somebody into a group; the new row's id, None where they are in it already."""
    if memberships(connection, person, group):
        return None
    return add_membership(connection, person, group)


def add_membership(connection: SealedConnection, person: int, group: str) -> int:
    """Put somebody into a group that they are not in; the new row's id."""
    row = next_id(connection, Row.MEMBERSHIP)
    connection.insert(Row.MEMBERSHIP, {"id": row, "person_id": person, "name": group})
    return row


def memberships(connection: SealedConnection, person: int, group: str) -> list[int]:
    """The row that says that somebody is in a group, if there is one."""
    rows = connection.execute(
        "SELECT id FROM membership WHERE person_id = ? AND mark = ?",
        (person, connection.mark(group)),
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
    columns = ("membership.person_id", "membership.name")
    for owner, name in connection.read(columns, f"FROM membership{whose}", values):
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
            (connection.mark(group),),
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
