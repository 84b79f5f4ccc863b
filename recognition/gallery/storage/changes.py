"""Enrolment, what is done by hand, erasure, and how each is undone."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path

from data import clock
from data.errors import ArgumentError, GalleryError
from data.files import write_atomic

from ...results import Consent
from ..names import person_name
from ..templates import EmbeddingModel, Template, is_same_face, unit_vectors
from . import audit
from .audit import Action
from .link import AMONG, Queries
from .people import (
    OLDEST_OPERATION,
    OVERDUE,
    Faces,
    Row,
    Who,
    add_face,
    add_person,
    agreement_of,
    faces_among,
    faces_in,
    forget_faces,
    group_names,
    groups_of,
    hand_over,
    join,
    joined,
    memberships,
    name_of,
    next_id,
    note_consent,
    person_id,
    require_deleted,
    require_person,
    restorable_since,
    set_agreement,
    template_ids_of,
    timestamp,
)
from .rows import SealedConnection
from .schema import LEAVES_TRACES
from .snapshot import QUALITY_COLUMNS, Snapshot, photographs_of

# What has been done to the people by hand, and how it is undone: kept with them, in one file.
#
# Before an operation changes a row, the columns that it changes are written down as they are. To
# undo it is to put them back, the last one first. An operation that is not the latest is out of
# reach until the later ones are undone, so that what was written down always fits. Templates and
# crops are never written down: no operation but an erasure changes them, and an erasure clears
# the journal. What is sealed in a row is written down sealed, for that row. Every operation also
# leaves its line in the audit log.

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
        connection.insert("operation", {"id": self._operation, "what": what, "done_at": _now()})
        if audited:
            audit.write_lines(connection, action, people)
        connection.execute(
            "DELETE FROM operation"
            " WHERE id NOT IN (SELECT id FROM operation ORDER BY id DESC LIMIT ?)",
            (MOST_OPERATIONS,),
        )
        if is_outdated(connection) and audit.reading(connection).is_plausible:
            connection.execute("DELETE FROM operation WHERE done_at < ?", (restorable_since(),))
            audit.forget_outdated(connection)

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
    latest = connection.read_one(
        ("id", "operation.what"),
        "FROM operation WHERE done_at >= ? ORDER BY id DESC LIMIT 1",
        (restorable_since(),),
    )
    if latest is None:
        raise GalleryError("nothing to undo: no change since the last erasure, or in 30 days")
    operation, what = latest
    if expected not in (None, operation):
        raise GalleryError(
            "something else was done since: look at `likeness people history` once more"
        )
    rows = connection.execute(
        "SELECT kind, row, before FROM reversal WHERE operation_id = ? ORDER BY id DESC",
        (operation,),
    ).fetchall()
    people = {owner for kind, *row in rows for owner in _owners(connection, Row(kind), *row)}
    # Between two steps a template may belong to somebody who is not back yet.
    connection.link.defer_references()
    for kind, identifier, before in rows:
        _put_back(connection, Row(kind), identifier, before)
    audit.note(connection, Action.UNDO, *sorted(people))
    connection.execute("DELETE FROM operation WHERE id = ?", (operation,))
    # Somebody whose deletion is brought back long afterwards has 30 days again.
    connection.execute(
        "UPDATE person SET deleted_at = ? WHERE deleted_at < ?", (_now(), restorable_since())
    )
    return str(what)


def is_outdated(connection: Queries) -> bool:
    """Whether something is written down, here or in the log, that is kept no longer."""
    operation, line = connection.execute(f"SELECT {OLDEST_OPERATION}, {audit.OLDEST}").fetchone()
    return (operation or "~") < restorable_since() or audit.was_outdated(line)


def forget_outdated(connection: Queries) -> bool:
    """Forget, in a transaction, what was written down too long ago, if the clock is believed.

    Returns:
        Whether the clock is.
    """
    if not audit.reading(connection).is_plausible:
        return False
    connection.execute("DELETE FROM operation WHERE done_at < ?", (restorable_since(),))
    audit.forget_outdated(connection)
    connection.execute(LEAVES_TRACES)  # it may name somebody
    return True


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
        connection.execute(LEAVES_TRACES)
        return
    columns = json.loads(before)
    if kind in (Row.TEMPLATE, Row.EXCLUSION):
        hand_over(connection, kind, [identifier], columns["person_id"])
        return
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    changed = connection.execute(
        f"UPDATE {kind} SET ({names}) = ({places}) WHERE id = ?", (*columns.values(), identifier)
    )
    if not changed.rowcount:
        connection.execute(
            f"INSERT INTO {kind} ({names}, id) VALUES ({places}, ?)",
            (*columns.values(), identifier),
        )


def _now() -> str:
    return clock.now().isoformat(timespec="microseconds")


# What is done to the people by hand. Each of these is one transaction and one operation, which
# `undo` takes back. Whom it is done to is said by their id, or by a name that is one enrolled
# person's alone; see `people.Who`.


class Change:
    """One transaction in which people are changed by hand.

    Args:
        connection: In that transaction.
    """

    def __init__(self, connection: SealedConnection) -> None:
        self.connection = connection

    def one(self, who: Who) -> tuple[int, str]:
        """The id and the name of somebody enrolled.

        Raises:
            GalleryError: Nobody is meant by that.
        """
        person = require_person(self.connection, who)
        return person, name_of(self.connection, person)

    def journal(self, action: Action, what: str, *people: int) -> Journal:
        """Begin to write the operation down."""
        return Journal(self.connection, action, what, *people)

    def join(self, entry: Journal, person: int, groups: Iterable[str]) -> None:
        """Put somebody into groups."""
        for group in groups:
            row = join(self.connection, person, group)
            if row is not None:
                entry.adds(Row.MEMBERSHIP, row)

    def agree(self, person: int, other: int) -> None:
        """Let somebody who gets photographs of another be covered by what both agreed to."""
        own, theirs = (agreement_of(self.connection, each) for each in (person, other))
        set_agreement(self.connection, person, joined(own, theirs))

    def refuse_taken(self, name: str) -> None:
        """Raise a GalleryError if somebody has that name."""
        if person_id(self.connection, name) is not None:
            raise GalleryError(f"'{name}' is enrolled already: choose another name")

    def refuse_enrolled(self, name: str) -> None:
        """Raise a GalleryError if somebody else has the name of whoever is to come back."""
        if person_id(self.connection, name) is not None:
            raise GalleryError(f"'{name}' is enrolled: rename that person before restoring")

    def ids(self, kind: Row, person: int) -> list[int]:
        """The ids of somebody's rows."""
        rows = self.connection.execute(
            f"SELECT id FROM {kind} WHERE person_id = ? ORDER BY id", (person,)
        )
        return [int(row[0]) for row in rows]

    def chosen(self, person: int, name: str, photographs: Sequence[int], to: str) -> list[int]:
        """Make sure that photographs are a person's, some but not all of them.

        Raises:
            GalleryError: They are not.
        """
        own = self.ids(Row.TEMPLATE, person)
        foreign = sorted(set(photographs) - set(own))
        if foreign or not photographs:
            what = f"'{name}' has no photograph {foreign[0]}" if foreign else "which photographs?"
            raise GalleryError(f"{what}: `likeness people show '{name}'` has their numbers")
        if set(photographs) == set(own):
            raise GalleryError(
                f"these are all photographs of '{name}': merge them into '{to}', or rename them"
            )
        return sorted(set(photographs))

    def hand_over(self, entry: Journal, templates: list[int], target: int, to: str) -> None:
        """Give templates to another person.

        Raises:
            GalleryError: A photograph shows both; in one photograph a person is only once.
        """
        for template in templates:
            shared = self.connection.execute(
                "SELECT one.photograph_mark FROM template AS one JOIN template AS other"
                " USING (photograph_mark) WHERE one.id = ? AND other.person_id = ?",
                (template, target),
            ).fetchone()
            if shared:
                raise GalleryError(
                    f"photograph {template} shows '{to}' and this face beside them, so they are "
                    "two people: leave it out, or erase the wrong one"
                )
        entry.changes(Row.TEMPLATE, templates)
        hand_over(self.connection, Row.TEMPLATE, templates, target)


class Editor:
    """Changes who is enrolled, by hand: what `edit` of a gallery or a store is.

    Args:
        changing: Begins a transaction, which ends with the block: kept whole, or not at all.
            Raises a GalleryError where the gallery cannot be written.
    """

    def __init__(self, changing: Callable[[], AbstractContextManager[Change]]) -> None:
        self._changing = changing

    def rename(self, who: Who, new: str) -> None:
        """Give a person another name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: Nobody is meant, or somebody else has the new name.
        """
        with self._changing() as change:
            new = person_name(new)
            person, old = change.one(who)
            if new == old:
                return
            change.refuse_taken(new)
            entry = change.journal(Action.RENAME, f"'{old}' renamed '{new}'", person)
            entry.changes(Row.PERSON, [person])
            change.connection.update(Row.PERSON, person, {"name": new})

    def delete(self, who: Who) -> None:
        """Hide a person; `restore` undoes it for `RESTORABLE_DAYS` days, then they are erased.

        Raises:
            GalleryError: Nobody is meant by that.
        """
        with self._changing() as change:
            person, name = change.one(who)
            entry = change.journal(Action.DELETE, f"'{name}' deleted", person)
            entry.changes(Row.PERSON, [person])
            # To the microsecond, so that `restore` knows who was deleted last.
            deleted_at = clock.now().isoformat(timespec="microseconds")
            change.connection.execute(
                "UPDATE person SET deleted_at = ? WHERE id = ?", (deleted_at, person)
            )

    def restore(self, who: Who) -> None:
        """Bring back somebody who was deleted.

        Raises:
            AmbiguousError: Several people of that name were.
            GalleryError: Nobody was, or the name has been given to somebody else since.
        """
        with self._changing() as change:
            if isinstance(who, str):
                change.refuse_enrolled(person_name(who))
            person = require_deleted(change.connection, who)
            name = name_of(change.connection, person)
            change.refuse_enrolled(name)
            entry = change.journal(Action.RESTORE, f"'{name}' restored", person)
            entry.changes(Row.PERSON, [person])
            change.connection.execute("UPDATE person SET deleted_at = NULL WHERE id = ?", (person,))

    def merge(self, who: Who, into_whom: Who) -> None:
        """Make two people one: the second gets all that is the first one's.

        What is kept is covered by what both agreed to: by both notes, until the earlier end.

        Raises:
            GalleryError: One of them is not enrolled, they are the same, or a photograph shows
                both.
        """
        with self._changing() as change:
            (gone, name), (stays, into) = change.one(who), change.one(into_whom)
            if gone == stays:
                raise GalleryError(f"'{name}' cannot be merged into themselves: name two people")
            entry = change.journal(Action.MERGE, f"'{name}' merged into '{into}'", gone, stays)
            entry.changes(Row.PERSON, [stays, gone])
            entry.changes(Row.MEMBERSHIP, change.ids(Row.MEMBERSHIP, gone))
            change.join(entry, stays, groups_of(change.connection, gone).get(gone, ()))
            change.hand_over(entry, change.ids(Row.TEMPLATE, gone), stays, into)
            change.agree(stays, gone)
            exclusions = change.ids(Row.EXCLUSION, gone)
            entry.changes(Row.EXCLUSION, exclusions)
            hand_over(change.connection, Row.EXCLUSION, exclusions, stays)
            change.connection.execute(
                "UPDATE person SET enrolled_at ="
                " (SELECT min(enrolled_at) FROM person WHERE id IN (?, ?)) WHERE id = ?",
                (stays, gone, stays),
            )
            change.connection.execute("DELETE FROM person WHERE id = ?", (gone,))

    def move(self, who: Who, photographs: Sequence[int], to_whom: Who) -> None:
        """Give some of a person's photographs to somebody else, who is covered as in `merge`.

        Args:
            who: Whose they are.
            photographs: Their numbers.
            to_whom: Whose they shall be; enrolled already.

        Raises:
            GalleryError: One of the two is not enrolled, the photographs are not the first one's or
                are all of theirs, or one shows both people.
        """
        with self._changing() as change:
            (person, name), (target, to) = change.one(who), change.one(to_whom)
            chosen = change.chosen(person, name, photographs, to)
            what = f"{_photographs(chosen)} of '{name}' moved to '{to}'"
            entry = change.journal(Action.MOVE, what, person, target)
            entry.changes(Row.PERSON, [target])
            change.hand_over(entry, chosen, target, to)
            change.agree(target, person)

    def split(self, who: Who, photographs: Sequence[int], new: str) -> None:
        """Make a person of their own of some of a person's photographs, with the same consent.

        Args:
            who: Whose they are.
            photographs: Their numbers.
            new: The new person's name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: The person is not enrolled, the photographs are not theirs or are all of
                theirs, or somebody has the new name.
        """
        with self._changing() as change:
            new = person_name(new)
            person, name = change.one(who)
            chosen = change.chosen(person, name, photographs, new)
            change.refuse_taken(new)
            (enrolled_at,) = change.connection.execute(
                "SELECT enrolled_at FROM person WHERE id = ?", (person,)
            ).fetchone()
            added = add_person(change.connection, new, enrolled_at)
            set_agreement(change.connection, added, agreement_of(change.connection, person))
            what = f"{_photographs(chosen)} of '{name}' split off as '{new}'"
            entry = change.journal(Action.SPLIT, what, person, added)
            entry.adds(Row.PERSON, added)
            change.join(entry, added, groups_of(change.connection, person).get(person, ()))
            change.hand_over(entry, chosen, added, new)

    def exclude(self, who: Who, face: Template) -> None:
        """Remember of a face that it is not a person's.

        From now on no face is given that name which is more like this one than like the person.

        Raises:
            GalleryError: Nobody is meant by that, or the embedding is not one of the gallery's.
        """
        with self._changing() as change:
            person, name = change.one(who)
            model = Snapshot(change.connection).model
            unit_vectors(face.embedding[None], model.dimension)

            def is_among(kind: Row) -> bool:
                faces = faces_in(change.connection, kind, face.photograph_sha256, model)
                return any(owner == person and is_same_face(one, face) for owner, one in faces)

            if is_among(Row.TEMPLATE):
                raise GalleryError(
                    f"this face is enrolled as '{name}': `likeness people split` makes somebody "
                    "else of it"
                )
            if is_among(Row.EXCLUSION):
                return
            entry = change.journal(Action.EXCLUDE, f"a face said not to be '{name}'", person)
            row = add_face(change.connection, Row.EXCLUSION, person, face, model)
            entry.adds(Row.EXCLUSION, row)

    def tell_apart(self, who: Who, other_one: Who) -> None:
        """Remember that two people who look alike are two.

        What is kept is of either the face most like the other, as not the other's; see `exclude`.

        Raises:
            GalleryError: One of them is not enrolled, or they are the same.
        """
        with self._changing() as change:
            (one, name), (another, other) = change.one(who), change.one(other_one)
            people = [one, another]
            if people[0] == people[1]:
                raise GalleryError(f"'{name}' is one person: name two")
            snapshot = Snapshot(change.connection)
            if (min(name, other), max(name, other)) in snapshot.told_apart():
                return
            faces = [
                [Template(vector, digest) for digest, vector in zip(*found, strict=True)]
                for found in map(snapshot.templates_of, people)
            ]
            for each, theirs in zip((name, other), faces, strict=True):
                if not theirs:
                    raise GalleryError(f"'{each}' has no photograph: enrol one first")
            _, first, second = max(
                (
                    (float(one.embedding @ two.embedding), one, two)
                    for one in faces[0]
                    for two in faces[1]
                ),
                key=itemgetter(0),
            )
            what = f"'{name}' and '{other}' said to be two people"
            entry = change.journal(Action.EXCLUDE, what, *people)
            for person, face in zip(people, (second, first), strict=True):
                row = add_face(change.connection, Row.EXCLUSION, person, face, snapshot.model)
                entry.adds(Row.EXCLUSION, row)

    def consent(self, who: Who, consent: Consent) -> None:
        """Note what somebody agreed to, and until when.

        After that day they are not recognised any more, and are erased by the first use of the
        gallery a day after that was first seen.

        Raises:
            GalleryError: Nobody is meant by that.
        """
        with self._changing() as change:
            person, name = change.one(who)
            entry = change.journal(Action.CONSENT, f"consent of '{name}' noted", person)
            entry.changes(Row.PERSON, [person])
            note_consent(change.connection, person, consent)

    def group(
        self, whom: Sequence[Who], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Put people into groups, and take them out of others.

        Args:
            whom: The people.
            add: Groups that they join, known or new.
            remove: Groups that they leave.

        Raises:
            ArgumentError: No group is given, one is given twice, or it cannot be a name.
            GalleryError: Somebody is not enrolled, or none of them is in a group to be left.
        """
        with self._changing() as change:
            add, remove = group_names(add), group_names(remove)
            names = dict(map(change.one, whom))
            if not names or not (add or remove) or set(add) & set(remove):
                raise ArgumentError("who joins which groups, and who leaves which others?")
            people = list(names)
            if not remove and all(
                memberships(change.connection, person, group) for person in people for group in add
            ):
                return  # nothing to undo
            who = f"'{names[people[0]]}'" if len(names) == 1 else f"{len(names)} people"
            done = [f"put into '{one}'" for one in add] + [
                f"taken out of '{one}'" for one in remove
            ]
            entry = change.journal(Action.GROUP, f"{who} {', '.join(done)}", *people)
            for group in remove:
                rows = [
                    row
                    for person in people
                    for row in memberships(change.connection, person, group)
                ]
                if not rows:
                    raise GalleryError(f"{who}: not in the group '{group}'")
                entry.changes(Row.MEMBERSHIP, rows)
                change.connection.executemany(
                    "DELETE FROM membership WHERE id = ?", [(row,) for row in rows]
                )
            for person in people:
                change.join(entry, person, add)

    def undo(self, operation: int | None = None) -> str:
        """Take back the latest of these operations, or the latest enrolment.

        Args:
            operation: Which one is meant, by its number; None takes whichever is the latest.

        Returns:
            What it was, in a few words.

        Raises:
            GalleryError: Nothing can be undone, or another operation is the latest by now.
        """
        with self._changing() as change:
            return undo(change.connection, operation)


def _photographs(chosen: Sequence[int]) -> str:
    return f"photograph{'s' if len(chosen) > 1 else ''} {', '.join(map(str, chosen))}"


# Photographs are enrolled under a name, within one transaction.

CONSENT_ENDED = ""
"""Stands where a name would, of a photograph that is left out because no consent covers it."""


def enrol(
    connection: SealedConnection,
    name: str,
    templates: Sequence[Template],
    consent: Consent | None,
    groups: Sequence[str],
) -> dict[int, str]:
    """Enrol photographs; see `Store.enrol`."""
    photographs = faces_among(
        connection, Row.TEMPLATE, [template.photograph_sha256 for template in templates]
    )
    known = person_id(connection, name)
    model = Snapshot(connection).model
    for template in templates:
        unit_vectors(template.embedding[None], model.dimension)
    renewed = consent is not None and (consent.until is not None or consent.for_ever)
    if known is not None and not renewed and agreement_of(connection, known).has_ended:
        return dict.fromkeys(range(len(templates)), CONSENT_ENDED)
    left_out, new = dict[int, str](), dict[str, Template]()
    enrolled = photographs(model)
    for position, template in enumerate(templates):
        digest = template.photograph_sha256
        owner = name if digest in new else _owner(connection, name, template, enrolled[digest])
        if owner is None:
            new[digest] = template
        else:
            left_out[position] = owner
    if new:
        connection.link.reserve_ids(
            {"operation": 1, Row.PERSON: int(known is None), Row.TEMPLATE: len(new)}
        )
        person, entry = _begin(connection, name, known, consent, groups)
        for template in new.values():
            entry.adds(Row.TEMPLATE, insert_template(connection, person, template, model))
    return left_out


def photographs_known(connection: SealedConnection, name: str) -> frozenset[str]:
    """The SHA-256 of the photographs that are enrolled under a name; none of nobody's."""
    person = person_id(connection, name)
    if person is None:
        return frozenset()
    return frozenset(digest for _, digest in photographs_of(connection, person))


def enrolled_as(
    connection: SealedConnection, name: str, template: Template, model: EmbeddingModel
) -> str | None:
    """Whose a template's photograph is already: this person's, or another's with the same face."""
    faces = faces_in(connection, Row.TEMPLATE, template.photograph_sha256, model)
    return _owner(connection, name, template, faces)


def _owner(connection: SealedConnection, name: str, template: Template, faces: Faces) -> str | None:
    """Whose a template's photograph is already, of which these are the enrolled faces."""
    for person, embedding in faces:
        [(owner, deleted_at)] = connection.read(
            ("person.name", "deleted_at"), "FROM person WHERE id = ?", (person,)
        )
        if deleted_at is None and (owner == name or is_same_face(embedding, template)):
            return str(owner)
    return None


def _begin(
    connection: SealedConnection,
    name: str,
    person: int | None,
    consent: Consent | None,
    groups: Sequence[str],
) -> tuple[int, Journal]:
    """Make sure that there is somebody to enrol photographs of; their id."""
    what = f"photographs of '{name}' enrolled"
    if person is None:
        person = add_person(connection, name, timestamp())
        entry = Journal(connection, Action.ENROL, what, person)
        entry.adds(Row.PERSON, person)
    else:
        entry = Journal(connection, Action.ENROL, what, person)
        if consent is not None:
            entry.changes(Row.PERSON, [person])
    if consent is not None:
        note_consent(connection, person, consent)
    for group in groups:
        row = join(connection, person, group)
        if row is not None:
            entry.adds(Row.MEMBERSHIP, row)
    return person, entry


def insert_template(
    connection: SealedConnection, person: int, template: Template, model: EmbeddingModel
) -> int:
    """Add a template, with what belongs to it, to a person's; its id."""
    identifier = add_face(connection, Row.TEMPLATE, person, template, model)
    if template.crop is not None:
        connection.insert("crop", {"template_id": identifier, "picture": template.crop})
    if template.quality is not None:
        quality = {name: getattr(template.quality, name) for name in QUALITY_COLUMNS}
        connection.insert("quality", {"template_id": identifier, **quality})
    return identifier


# People are erased for good, and it is remembered who is gone.
#
# That somebody was erased is remembered by their id and those of their templates, and never
# trimmed: where an older state of the gallery comes back, from a backup, they go from it once
# more. An id is never given twice in galleries of one origin, and says nothing once its row is
# gone. The ids lie in the database, and once more beside it, for whoever has to restore a backup
# because the database is damaged.
#
# Whoever was deleted too long ago, or whose consent has ended, is hidden by the very condition
# that finds people. They are erased later: when the audit log has a line of it that is a day old,
# and the clock can be believed by that log. So a clock that is wrong hides people for a while,
# and nobody is lost.

Erased = tuple[str, str, int]
"""A gallery's origin, a kind of `_KINDS`, and an id of a row that was erased from it."""

_KINDS = (Row.PERSON, Row.TEMPLATE, Row.EXCLUSION)

_FILE = "erased.json"
_LONGEST_FILE = 100_000_000  # bytes; a template's id takes ten


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
    _forget_faces(connection, template_ids_of(connection, people))
    each = [(person,) for person in people]
    origin = "(SELECT origin_id FROM gallery)"
    for kind in (Row.TEMPLATE, Row.EXCLUSION):
        connection.executemany(
            f"INSERT INTO erased SELECT {origin}, '{kind}', id FROM {kind}"
            " WHERE person_id = ? ON CONFLICT DO NOTHING",
            each,
        )
    connection.executemany(
        f"INSERT INTO erased VALUES ({origin}, 'person', ?) ON CONFLICT DO NOTHING", each
    )
    connection.executemany("DELETE FROM person WHERE id = ?", each)
    forget(connection)
    connection.execute(LEAVES_TRACES)


def _forget_faces(connection: SealedConnection, templates: Collection[int]) -> None:
    """Forget, for good, others' exclusions that hold faces whose templates are to be erased."""
    gone = forget_faces(connection, Snapshot(connection).model, templates)
    connection.executemany(
        "INSERT INTO erased SELECT origin_id, 'exclusion', ? FROM gallery WHERE TRUE"
        " ON CONFLICT DO NOTHING",
        [(row,) for row in gone],
    )


@dataclass(frozen=True, slots=True)
class Overdue:
    """Who is hidden because their time is over.

    Attributes:
        due: The ids of those who are to be erased now.
        unseen: Of those of whom the log has no line yet that counts.
        clock_begins: Whether the clock is not what the log would lead one to expect.
    """

    due: frozenset[int]
    unseen: frozenset[int]
    clock_begins: bool

    @property
    def is_news(self) -> bool:
        """Whether anything is to be done, or to be noted."""
        return bool(self.due or self.unseen or self.clock_begins)


def overdue(connection: SealedConnection) -> Overdue:
    """Find whose time is over, and who of them is to be erased."""
    rows = connection.execute(
        f"SELECT id FROM person WHERE {OVERDUE}", (restorable_since(),)
    ).fetchall()
    reading, now = audit.reading(connection), clock.now()
    due, unseen = set(), set()
    for (person,) in rows:
        hidden = _hidden_since(connection, person)
        if hidden is None or hidden > now:
            unseen.add(person)
        elif now - hidden >= clock.GRACE and reading.is_plausible:
            due.add(person)
    begins = reading.begins and not unseen  # a line of somebody's does as well
    return Overdue(frozenset(due), frozenset(unseen), begins)


def _hidden_since(connection: SealedConnection, person: int) -> datetime | None:
    """When it was noted that somebody is hidden, unless something was done to them since."""
    row = connection.execute(
        "SELECT done_at, action FROM audit WHERE person_id = ? ORDER BY id DESC LIMIT 1", (person,)
    ).fetchone()
    if row is None or row[1] != Action.HIDE:
        return None
    return datetime.fromisoformat(row[0])


def erase_once_more(connection: SealedConnection) -> int:
    """Erase, in a transaction, whoever is back who was erased from this gallery before.

    Whoever has no photograph left by that goes as well: they were merged into somebody else, say,
    who was then erased.

    Returns:
        How many people went.
    """
    people = {row[0] for row in connection.execute(_BACK.format("person"))}
    templates = {row[0] for row in connection.execute(_BACK.format("template"))}
    left = f"(SELECT count(*) FROM template WHERE person_id = person.id AND NOT id {AMONG})"
    ids = json.dumps(sorted(templates))
    people |= {
        row[0]
        for row in connection.execute(
            f"SELECT DISTINCT person.id FROM person JOIN template ON person_id = person.id"
            f" WHERE template.id {AMONG} AND {left} = 0",
            (ids, ids),
        )
    }
    erase_people(connection, Action.ERASE, people)
    if templates:
        _forget_faces(connection, templates)
        connection.executemany("DELETE FROM template WHERE id = ?", [(one,) for one in templates])
        forget(connection)
        connection.execute(LEAVES_TRACES)
    exclusions = [(row[0],) for row in connection.execute(_BACK.format("exclusion"))]
    if exclusions:
        connection.executemany("DELETE FROM exclusion WHERE id = ?", exclusions)
        forget(connection)
        connection.execute(LEAVES_TRACES)
    return len(people)


_BACK = (
    "SELECT id FROM {0} JOIN erased ON row = id AND kind = '{0}'"
    " WHERE origin_id = (SELECT origin_id FROM gallery)"
)


def remember_erased(connection: SealedConnection, erased: Iterable[Erased]) -> None:
    """Remember, in a transaction, that these were erased."""
    connection.executemany(
        "INSERT INTO erased VALUES (?, ?, ?) ON CONFLICT DO NOTHING", list(erased)
    )


def erased_in(connection: Queries) -> set[Erased]:
    """Who was erased, by what a gallery remembers."""
    return set(connection.execute("SELECT origin_id, kind, row FROM erased"))


COUNT_ERASED = "SELECT count(*) FROM erased"


def count_erased(connection: Queries) -> int:
    """How many rows were erased, by what a gallery remembers; never fewer than before."""
    (count,) = connection.execute(COUNT_ERASED).fetchone()
    return int(count)


def write_erased(folder: Path, connection: SealedConnection) -> None:
    """Keep beside a gallery's database who was erased from it.

    Who is kept there already stays: the database may be an older one by now, that knows fewer.

    Raises:
        OSError: It cannot be written.
    """
    rows = sorted(erased_in(connection) | read_erased(folder))
    if rows:
        write_atomic(folder / _FILE, json.dumps(rows).encode())


def back_again(folder: Path, connection: Queries) -> list[int]:
    """Who is in a gallery though it is kept beside it that they, or photographs, were erased.

    Somebody has put an older file in the place of the database by hand.

    Returns:
        Their ids, ascending.
    """
    count = count_erased(connection)
    with suppress(OSError):
        # None is ever forgotten, so an older one knows fewer. Counted first: they may be very many.
        if (folder / _FILE).read_bytes().count(b"[") - 1 <= count:
            return []
    lacking = read_erased(folder) - erased_in(connection)
    (origin,) = connection.execute("SELECT origin_id FROM gallery").fetchone()
    rows = [json.dumps([row for one, kind, row in lacking if (one, kind) == (origin, which)])
            for which in ("person", "template")]  # fmt: skip
    found = connection.execute(
        f"SELECT id FROM person WHERE id {AMONG}"
        f" UNION SELECT person_id FROM template WHERE id {AMONG} ORDER BY 1",
        rows,
    )
    return [int(row[0]) for row in found]


def read_erased(folder: Path) -> set[Erased]:
    """Who was erased from a gallery, by what is kept beside its database; none where nothing is."""
    found: set[Erased] = set()
    with suppress(OSError, ValueError, TypeError, RecursionError):
        path = folder / _FILE
        if path.is_symlink() or path.stat().st_size > _LONGEST_FILE:
            return found
        for origin, kind, row in json.loads(path.read_bytes()):
            if isinstance(origin, str) and kind in _KINDS and type(row) is int:
                found.add((origin, kind, row))
    return found
