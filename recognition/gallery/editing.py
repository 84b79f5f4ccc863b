"""What is done to the people by hand. Each of these is one operation, which `undo` takes back."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from data.errors import GalleryError

from . import journal
from .journal import Journal, Row
from .names import person_name
from .snapshot import RESTORABLE_DAYS, Snapshot, person_id, require_person, restorable_since
from .templates import Template, from_blob, is_same_face, to_blob


class Editor:
    """Changes who is enrolled, within one transaction.

    Args:
        connection: In that transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rename(self, old: str, new: str) -> None:
        """See `Editable.rename`."""
        old, new = person_name(old), person_name(new)
        person = require_person(self._connection, old)
        if new == old:
            return
        self._refuse_taken(new)
        self._journal(f"'{old}' renamed '{new}'").changes(Row.PERSON, [person])
        self._connection.execute("UPDATE person SET name = ? WHERE id = ?", (new, person))

    def delete(self, name: str) -> None:
        """See `Editable.delete`."""
        name = person_name(name)
        person = require_person(self._connection, name)
        self._journal(f"'{name}' deleted").changes(Row.PERSON, [person])
        # To the microsecond, so that `restore` knows who was deleted last.
        deleted_at = datetime.now(UTC).isoformat(timespec="microseconds")
        self._connection.execute(
            "UPDATE person SET deleted_at = ? WHERE id = ?", (deleted_at, person)
        )

    def restore(self, name: str) -> None:
        """See `Editable.restore`."""
        name = person_name(name)
        if person_id(self._connection, name) is not None:
            raise GalleryError(f"'{name}' is enrolled: rename that person before restoring")
        row = self._connection.execute(
            "SELECT id FROM person WHERE name = ? AND deleted_at >= ?"
            " ORDER BY deleted_at DESC, id DESC",
            (name, restorable_since()),
        ).fetchone()
        if row is None:
            raise GalleryError(
                f"nobody called '{name}' was deleted in the last {RESTORABLE_DAYS} days"
            )
        self._journal(f"'{name}' restored").changes(Row.PERSON, row)
        self._connection.execute("UPDATE person SET deleted_at = NULL WHERE id = ?", row)

    def merge(self, name: str, into: str) -> None:
        """See `Editable.merge`."""
        name, into = person_name(name), person_name(into)
        gone, stays = (require_person(self._connection, each) for each in (name, into))
        if gone == stays:
            raise GalleryError(f"'{name}' cannot be merged into themselves: name two people")
        entry = self._journal(f"'{name}' merged into '{into}'")
        entry.changes(Row.PERSON, [stays, gone])
        self._hand_over(entry, self._ids(Row.TEMPLATE, gone), stays, into)
        entry.changes(Row.EXCLUSION, self._ids(Row.EXCLUSION, gone))
        self._connection.execute(
            "UPDATE exclusion SET person_id = ? WHERE person_id = ?", (stays, gone)
        )
        self._connection.execute(
            "UPDATE person SET enrolled_at ="
            " (SELECT min(enrolled_at) FROM person WHERE id IN (?, ?)) WHERE id = ?",
            (stays, gone, stays),
        )
        self._connection.execute("DELETE FROM person WHERE id = ?", (gone,))

    def move(self, name: str, photographs: Sequence[int], to: str) -> None:
        """See `Editable.move`."""
        name, to = person_name(name), person_name(to)
        target = require_person(self._connection, to)
        chosen = self._chosen(name, photographs, to)
        entry = self._journal(f"{_photographs(chosen)} of '{name}' moved to '{to}'")
        self._hand_over(entry, chosen, target, to)

    def split(self, name: str, photographs: Sequence[int], new: str) -> None:
        """See `Editable.split`."""
        name, new = person_name(name), person_name(new)
        chosen = self._chosen(name, photographs, new)
        self._refuse_taken(new)
        entry = self._journal(f"{_photographs(chosen)} of '{name}' split off as '{new}'")
        added = self._connection.execute(
            "INSERT INTO person (name, enrolled_at)"
            " SELECT ?, enrolled_at FROM person WHERE name = ? AND deleted_at IS NULL",
            (new, name),
        ).lastrowid
        entry.adds(Row.PERSON, added or 0)
        self._hand_over(entry, chosen, added or 0, new)

    def exclude(self, name: str, face: Template) -> None:
        """See `Editable.exclude`."""
        name = person_name(name)
        person = require_person(self._connection, name)
        dimension = Snapshot(self._connection).model.dimension
        blob = to_blob(face.embedding, dimension)
        if self._has(Row.TEMPLATE, person, face, dimension):
            raise GalleryError(
                f"this face is enrolled as '{name}': `likeness people split` makes somebody else "
                "of it"
            )
        if self._has(Row.EXCLUSION, person, face, dimension):
            return
        entry = self._journal(f"a face said not to be '{name}'")
        added = self._connection.execute(
            "INSERT INTO exclusion (person_id, photograph_sha256, embedding) VALUES (?, ?, ?)",
            (person, face.photograph_sha256, blob),
        ).lastrowid
        entry.adds(Row.EXCLUSION, added or 0)

    def undo(self) -> str:
        """See `Editable.undo`."""
        return journal.undo(self._connection)

    def _journal(self, what: str) -> Journal:
        return Journal(self._connection, what)

    def _refuse_taken(self, name: str) -> None:
        if person_id(self._connection, name) is not None:
            raise GalleryError(f"'{name}' is enrolled already: choose another name")

    def _ids(self, kind: Row, person: int) -> list[int]:
        rows = self._connection.execute(
            f"SELECT id FROM {kind} WHERE person_id = ? ORDER BY id", (person,)
        )
        return [int(row[0]) for row in rows]

    def _has(self, kind: Row, person: int, face: Template, dimension: int) -> bool:
        """Whether a face of a photograph is among a person's."""
        rows = self._connection.execute(
            f"SELECT embedding FROM {kind} WHERE person_id = ? AND photograph_sha256 = ?",
            (person, face.photograph_sha256),
        ).fetchall()
        return any(is_same_face(from_blob(blob, dimension), face) for (blob,) in rows)

    def _chosen(self, name: str, photographs: Sequence[int], to: str) -> list[int]:
        """Make sure that photographs are a person's, some but not all of them.

        Raises:
            GalleryError: They are not.
        """
        own = self._ids(Row.TEMPLATE, require_person(self._connection, name))
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
                "SELECT one.photograph_sha256 FROM template AS one JOIN template AS other"
                " USING (photograph_sha256) WHERE one.id = ? AND other.person_id = ?",
                (template, target),
            ).fetchone()
            if shared:
                raise GalleryError(
                    f"photograph {template} shows '{to}' and this face beside them, so they are "
                    "two people: leave it out, or erase the wrong one"
                )
        entry.changes(Row.TEMPLATE, templates)
        self._connection.executemany(
            "UPDATE template SET person_id = ? WHERE id = ?",
            [(target, template) for template in templates],
        )


class Editable(ABC):
    """Something whose people can be changed by hand: the store, the gallery, the service."""

    @abstractmethod
    def editing(self) -> AbstractContextManager[Editor]:
        """One transaction of changes: all of them, or none.

        Raises:
            GalleryError: The file cannot be written.
        """

    def rename(self, old: str, new: str) -> None:
        """Give a person another name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: Nobody has the old name, or somebody else has the new one.
        """
        with self.editing() as editor:
            editor.rename(old, new)

    def delete(self, name: str) -> None:
        """Hide a person; `restore` undoes it for `RESTORABLE_DAYS` days, then they are erased.

        Raises:
            GalleryError: Nobody has that name.
        """
        with self.editing() as editor:
            editor.delete(name)

    def restore(self, name: str) -> None:
        """Bring back whoever was deleted last under a name.

        Raises:
            GalleryError: Nobody was, or the name has been given to somebody else since.
        """
        with self.editing() as editor:
            editor.restore(name)

    def merge(self, name: str, into: str) -> None:
        """Make two people one: the second gets all that is the first one's.

        Raises:
            GalleryError: One of them is not enrolled, they are the same, or a photograph shows
                both.
        """
        with self.editing() as editor:
            editor.merge(name, into)

    def move(self, name: str, photographs: Sequence[int], to: str) -> None:
        """Give some of a person's photographs to somebody else.

        Args:
            name: Whose they are.
            photographs: Their numbers.
            to: Whose they shall be; enrolled already.

        Raises:
            GalleryError: One of the two is not enrolled, the photographs are not the first one's or
                are all of theirs, or one shows both people.
        """
        with self.editing() as editor:
            editor.move(name, photographs, to)

    def split(self, name: str, photographs: Sequence[int], new: str) -> None:
        """Make a person of their own of some of a person's photographs.

        Args:
            name: Whose they are.
            photographs: Their numbers.
            new: The new person's name.

        Raises:
            ArgumentError: The new name cannot be one.
            GalleryError: The person is not enrolled, the photographs are not theirs or are all of
                theirs, or somebody has the new name.
        """
        with self.editing() as editor:
            editor.split(name, photographs, new)

    def exclude(self, name: str, face: Template) -> None:
        """Remember of a face that it is not a person's.

        From now on no face is given that name which is more like this one than like the person.

        Raises:
            GalleryError: Nobody has that name, or the embedding is not one of the gallery's.
        """
        with self.editing() as editor:
            editor.exclude(name, face)

    def undo(self) -> str:
        """Take back the latest of these operations, or the latest enrolment.

        Returns:
            What it was, in a few words.

        Raises:
            GalleryError: Nothing can be undone.
        """
        with self.editing() as editor:
            return editor.undo()


def _photographs(chosen: Sequence[int]) -> str:
    return f"photograph{'s' if len(chosen) > 1 else ''} {', '.join(map(str, chosen))}"
