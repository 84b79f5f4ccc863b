"""What is done to the people by hand. Each of these is one operation, which `undo` takes back."""

from collections.abc import Iterable, Sequence
from operator import itemgetter

from data import clock
from data.errors import ArgumentError, GalleryError

from ..inventory import Consent
from . import journal
from .agreements import agreement_of, joined, set_agreement
from .audit import Action
from .groups import group_names, groups_of, join, memberships
from .journal import Journal
from .names import person_name
from .people import Who, name_of, person_id, require_deleted, require_person
from .rows import Row, add_face, add_person, faces_in, hand_over, note_consent
from .sealing import SealedConnection, name_place
from .snapshot import Snapshot
from .templates import Template, is_same_face, unit_vectors


class Editor:
    """Changes who is enrolled, within one transaction.

    Args:
        connection: In that transaction.
    """

    def __init__(self, connection: SealedConnection) -> None:
        self._connection = connection
        self._seal = connection.seal

    def rename(self, who: Who, new: str) -> None:
        """See `Editable.rename`."""
        new = person_name(new)
        person, old = self._one(who)
        if new == old:
            return
        self._refuse_taken(new)
        entry = self._journal(Action.RENAME, f"'{old}' renamed '{new}'", person)
        entry.changes(Row.PERSON, [person])
        self._connection.execute(
            "UPDATE person SET name = ?, mark = ? WHERE id = ?",
            (self._seal.close_text(new, name_place(person)), self._seal.mark(new), person),
        )

    def delete(self, who: Who) -> None:
        """See `Editable.delete`."""
        person, name = self._one(who)
        self._journal(Action.DELETE, f"'{name}' deleted", person).changes(Row.PERSON, [person])
        # To the microsecond, so that `restore` knows who was deleted last.
        deleted_at = clock.now().isoformat(timespec="microseconds")
        self._connection.execute(
            "UPDATE person SET deleted_at = ? WHERE id = ?", (deleted_at, person)
        )

    def restore(self, who: Who) -> None:
        """See `Editable.restore`."""
        if isinstance(who, str):
            self._refuse_enrolled(person_name(who))
        person = require_deleted(self._connection, who)
        name = name_of(self._connection, person)
        self._refuse_enrolled(name)
        self._journal(Action.RESTORE, f"'{name}' restored", person).changes(Row.PERSON, [person])
        self._connection.execute("UPDATE person SET deleted_at = NULL WHERE id = ?", (person,))

    def merge(self, who: Who, into_whom: Who) -> None:
        """See `Editable.merge`."""
        (gone, name), (stays, into) = self._one(who), self._one(into_whom)
        if gone == stays:
            raise GalleryError(f"'{name}' cannot be merged into themselves: name two people")
        entry = self._journal(Action.MERGE, f"'{name}' merged into '{into}'", gone, stays)
        entry.changes(Row.PERSON, [stays, gone])
        entry.changes(Row.MEMBERSHIP, self._ids(Row.MEMBERSHIP, gone))
        self._join(entry, stays, groups_of(self._connection, gone).get(gone, ()))
        self._hand_over(entry, self._ids(Row.TEMPLATE, gone), stays, into)
        self._agree(stays, gone)
        exclusions = self._ids(Row.EXCLUSION, gone)
        entry.changes(Row.EXCLUSION, exclusions)
        hand_over(self._connection, Row.EXCLUSION, exclusions, stays)
        self._connection.execute(
            "UPDATE person SET enrolled_at ="
            " (SELECT min(enrolled_at) FROM person WHERE id IN (?, ?)) WHERE id = ?",
            (stays, gone, stays),
        )
        self._connection.execute("DELETE FROM person WHERE id = ?", (gone,))

    def move(self, who: Who, photographs: Sequence[int], to_whom: Who) -> None:
        """See `Editable.move`."""
        (person, name), (target, to) = self._one(who), self._one(to_whom)
        chosen = self._chosen(person, name, photographs, to)
        what = f"{_photographs(chosen)} of '{name}' moved to '{to}'"
        entry = self._journal(Action.MOVE, what, person, target)
        entry.changes(Row.PERSON, [target])
        self._hand_over(entry, chosen, target, to)
        self._agree(target, person)

    def split(self, who: Who, photographs: Sequence[int], new: str) -> None:
        """See `Editable.split`."""
        new = person_name(new)
        person, name = self._one(who)
        chosen = self._chosen(person, name, photographs, new)
        self._refuse_taken(new)
        (enrolled_at,) = self._connection.execute(
            "SELECT enrolled_at FROM person WHERE id = ?", (person,)
        ).fetchone()
        added = add_person(self._connection, new, enrolled_at)
        set_agreement(self._connection, added, agreement_of(self._connection, person))
        what = f"{_photographs(chosen)} of '{name}' split off as '{new}'"
        entry = self._journal(Action.SPLIT, what, person, added)
        entry.adds(Row.PERSON, added)
        self._join(entry, added, groups_of(self._connection, person).get(person, ()))
        self._hand_over(entry, chosen, added, new)

    def exclude(self, who: Who, face: Template) -> None:
        """See `Editable.exclude`."""
        person, name = self._one(who)
        model = Snapshot(self._connection).model
        unit_vectors(face.embedding[None], model.dimension)

        def is_among(kind: Row) -> bool:
            faces = faces_in(self._connection, kind, face.photograph_sha256, model)
            return any(owner == person and is_same_face(one, face) for owner, one in faces)

        if is_among(Row.TEMPLATE):
            raise GalleryError(
                f"this face is enrolled as '{name}': `likeness people split` makes somebody else "
                "of it"
            )
        if is_among(Row.EXCLUSION):
            return
        entry = self._journal(Action.EXCLUDE, f"a face said not to be '{name}'", person)
        entry.adds(Row.EXCLUSION, add_face(self._connection, Row.EXCLUSION, person, face, model))

    def tell_apart(self, who: Who, other_one: Who) -> None:
        """See `Editable.tell_apart`."""
        (one, name), (another, other) = self._one(who), self._one(other_one)
        people = [one, another]
        if people[0] == people[1]:
            raise GalleryError(f"'{name}' is one person: name two")
        snapshot = Snapshot(self._connection)
        if (min(name, other), max(name, other)) in snapshot.told_apart():
            return
        faces = [
            [Template(vector, digest) for digest, vector in zip(*found, strict=True)]
            for found in map(snapshot.faces_of, people)
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
        entry = self._journal(Action.EXCLUDE, what, *people)
        for person, face in zip(people, (second, first), strict=True):
            entry.adds(
                Row.EXCLUSION,
                add_face(self._connection, Row.EXCLUSION, person, face, snapshot.model),
            )

    def consent(self, who: Who, consent: Consent) -> None:
        """See `Editable.consent`."""
        person, name = self._one(who)
        entry = self._journal(Action.CONSENT, f"consent of '{name}' noted", person)
        entry.changes(Row.PERSON, [person])
        note_consent(self._connection, person, consent)

    def group(
        self, whom: Sequence[Who], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """See `Editable.group`."""
        add, remove = group_names(add), group_names(remove)
        names = dict(map(self._one, whom))
        if not names or not (add or remove) or set(add) & set(remove):
            raise ArgumentError("who joins which groups, and who leaves which others?")
        people = list(names)
        who = f"'{names[people[0]]}'" if len(names) == 1 else f"{len(names)} people"
        done = [f"put into '{one}'" for one in add] + [f"taken out of '{one}'" for one in remove]
        entry = self._journal(Action.GROUP, f"{who} {', '.join(done)}", *people)
        for group in remove:
            rows = [
                row for person in people for row in memberships(self._connection, person, group)
            ]
            if not rows:
                raise GalleryError(f"{who}: not in the group '{group}'")
            entry.changes(Row.MEMBERSHIP, rows)
            self._connection.executemany(
                "DELETE FROM membership WHERE id = ?", [(row,) for row in rows]
            )
        for person in people:
            self._join(entry, person, add)

    def _join(self, entry: Journal, person: int, groups: Iterable[str]) -> None:
        for group in groups:
            row = join(self._connection, person, group)
            if row is not None:
                entry.adds(Row.MEMBERSHIP, row)

    def undo(self, operation: int | None = None) -> str:
        """See `Editable.undo`."""
        return journal.undo(self._connection, operation)

    def _one(self, who: Who) -> tuple[int, str]:
        """The id and the name of somebody enrolled.

        Raises:
            GalleryError: Nobody is meant by that.
        """
        person = require_person(self._connection, who)
        return person, name_of(self._connection, person)

    def _agree(self, person: int, other: int) -> None:
        """Let somebody who gets photographs of another be covered by what both agreed to."""
        own, theirs = (agreement_of(self._connection, each) for each in (person, other))
        set_agreement(self._connection, person, joined(own, theirs))

    def _journal(self, action: Action, what: str, *people: int) -> Journal:
        return Journal(self._connection, action, what, *people)

    def _refuse_taken(self, name: str) -> None:
        if person_id(self._connection, name) is not None:
            raise GalleryError(f"'{name}' is enrolled already: choose another name")

    def _refuse_enrolled(self, name: str) -> None:
        if person_id(self._connection, name) is not None:
            raise GalleryError(f"'{name}' is enrolled: rename that person before restoring")

    def _ids(self, kind: Row, person: int) -> list[int]:
        rows = self._connection.execute(
            f"SELECT id FROM {kind} WHERE person_id = ? ORDER BY id", (person,)
        )
        return [int(row[0]) for row in rows]

    def _chosen(self, person: int, name: str, photographs: Sequence[int], to: str) -> list[int]:
        """Make sure that photographs are a person's, some but not all of them.

        Raises:
            GalleryError: They are not.
        """
        own = self._ids(Row.TEMPLATE, person)
        foreign = sorted(set(photographs) - set(own))
        if foreign or not photographs:
            what = f"'{name}' has no photograph {foreign[0]}" if foreign else "which photographs?"
            raise GalleryError(f"{what}: `likeness people show '{name}'` has their numbers")
        if set(photographs) == set(own):
            raise GalleryError(
                f"these are all photographs of '{name}': merge them into '{to}', or rename them"
            )
        return sorted(set(photographs))

    def _hand_over(self, entry: Journal, templates: list[int], target: int, to: str) -> None:
        """Give templates to another person.

        Raises:
            GalleryError: A photograph shows both; in one photograph a person is only once.
        """
        for template in templates:
            shared = self._connection.execute(
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
        hand_over(self._connection, Row.TEMPLATE, templates, target)


def _photographs(chosen: Sequence[int]) -> str:
    return f"photograph{'s' if len(chosen) > 1 else ''} {', '.join(map(str, chosen))}"
