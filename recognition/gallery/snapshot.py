"""One state of a gallery: every question that can be asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..inventory import AuditEntry, Operation, PhotographSummary, State
from ..results import Calibration, PersonSummary, Use
from . import audit
from .apart import enrolled_exclusions, exclusions_of
from .groups import members
from .holding import Holding
from .listing import list_people, list_photographs, photographs_of, summary_of
from .people import (
    ENROLLED,
    OVERDUE,
    Who,
    require_deleted,
    require_kept,
    require_person,
    restorable_since,
)
from .rows import ids_of
from .sealing import (
    crop_place,
    name_place,
    operation_place,
)
from .templates import Embeddings, Ids

CALIBRATION_COLUMNS = tuple(one.name for one in fields(Calibration) if one.name != "doubt")
"""What is kept of a calibration."""


@dataclass(frozen=True, slots=True, eq=False)
class Roll:
    """Which template is whose, in one state of the gallery.

    Attributes:
        ids: (N,) the templates' ids, ascending.
        people: (N,) for each of them, the person's id.
        names: A person's id → name.
    """

    ids: Ids
    people: Ids
    names: dict[int, str]


class Snapshot(Holding):
    """One state of a gallery, as `Store.reading` and `Store.unchanging` hand it out."""

    @property
    def revision(self) -> str:
        """Names this state of this gallery: no other gallery and no other state has the same."""
        gallery, changes, marks = self._gallery("gallery_id, changes, mark")
        mark, _, _ = marks.partition("/")  # see `lineage`
        # Whoever's consent ends is gone with the day, and nothing is changed.
        (expired,) = self._connection.execute(
            "SELECT ifnull(max(expires_on), '') FROM person WHERE expires_on < today()"
        ).fetchone()
        return f"{gallery}/{changes}/{mark}{expired and '/'}{expired}"

    @property
    def gallery_id(self) -> str:
        """Names the gallery, in whichever state."""
        (gallery,) = self._gallery("gallery_id")
        return str(gallery)

    @property
    def origin_id(self) -> str:
        """Names the gallery and all that were restored from its backups: whose ids these are."""
        (origin,) = self._gallery("origin_id")
        return str(origin)

    @property
    def traces_remain(self) -> bool:
        """Whether bytes of somebody who was erased may still be in a file."""
        (remain,) = self._gallery("traces_remain")
        return bool(remain)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is enrolled, leaving out those who are deleted."""
        (anybody,) = self._connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM person WHERE {ENROLLED})"
        ).fetchone()
        return not anybody

    @property
    def someone_is_overdue(self) -> bool:
        """Whether somebody's time is over who is still in the file.

        They were deleted too long ago to be restored, or their consent has ended.
        """
        (anybody,) = self._connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM person WHERE {OVERDUE})", (restorable_since(),)
        ).fetchone()
        return bool(anybody)

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, or those who can be restored, by name."""
        return list_people(self._connection, deleted=deleted)

    def named(self, name: str) -> tuple[PersonSummary, ...]:
        """Everybody enrolled under a name, found by its mark."""
        return list_people(self._connection, deleted=False, name=name)

    def members(self, groups: Sequence[str]) -> frozenset[int]:
        """The ids of those in one of some groups; see `groups.members`."""
        return members(self._connection, groups)

    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""
        people, templates = self._connection.execute(
            "SELECT count(DISTINCT person.id), count(template.id)"
            " FROM person LEFT JOIN template ON template.person_id = person.id"
            f" WHERE {ENROLLED}"
        ).fetchone()
        return int(people), int(templates)

    def calibration(self, use: Use) -> Calibration | None:
        """The gallery's own threshold for a use; None if there is none for its model."""
        row = self._connection.execute(
            f"SELECT {', '.join(CALIBRATION_COLUMNS)} FROM calibration"
            " WHERE use = ? AND weights_digest = ?",
            (use, self.model.weights_digest),
        ).fetchone()
        if row is None:
            return None
        found = dict(zip(CALIBRATION_COLUMNS, row, strict=True))
        return Calibration(**(found | {"use": use}))

    def operations(self) -> tuple[Operation, ...]:
        """What can be undone, the latest first."""
        rows = self._connection.execute(
            "SELECT id, what, done_at FROM operation WHERE done_at >= ? ORDER BY id DESC",
            (restorable_since(),),
        )
        return tuple(
            Operation(self.seal.open_text(what, operation_place(number)), done_at, number)
            for number, what, done_at in rows
        )

    def audit(self) -> tuple[AuditEntry, ...]:
        """Who did what, the latest first; see `audit`."""
        return audit.entries(self._connection)

    def exclusions(self) -> dict[int, Embeddings]:
        """A person's id → faces that are known not to be theirs, (n, D).

        Raises:
            GalleryError: One of them is damaged.
        """
        return exclusions_of(self._connection, self.model)

    def told_apart(self) -> frozenset[tuple[str, str]]:
        """The names of any two who are known to be two people, in order.

        Raises:
            GalleryError: A template or an exclusion is damaged.
        """
        pairs = {(a, b) for _, a, b in enrolled_exclusions(self._connection, self.model) if a != b}
        if not pairs:
            return frozenset()
        names = self.roll().names
        return frozenset(
            (min(names[a], names[b]), max(names[a], names[b]))
            for a, b in pairs
            if a in names and b in names
        )

    def person(self, who: Who, state: State = State.ENROLLED) -> PersonSummary:
        """One person, who is to be changed.

        Args:
            who: The id, or a name.
            state: How things stand with them.

        Raises:
            AmbiguousError: Several people are meant.
            GalleryError: Nobody is.
        """
        require = {
            State.ENROLLED: require_person,
            State.DELETED: require_deleted,
            State.KEPT: require_kept,
        }[state]
        return summary_of(self._connection, require(self._connection, who))

    def photographs(self, who: Who) -> tuple[PhotographSummary, ...]:
        """What somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody is meant, or a template is damaged.
        """
        person = require_person(self._connection, who)
        _, embeddings = self.faces_of(person)
        return list_photographs(self._connection, person, embeddings)

    def faces_of(self, who: Who) -> tuple[list[str], Embeddings]:
        """The SHA-256 of a person's photographs, and their templates (N, D) in that order.

        Raises:
            GalleryError: Nobody is meant, or a template is damaged.
        """
        own = photographs_of(self._connection, require_person(self._connection, who))
        numbers = np.array([number for number, _ in own], np.int64)
        return [digest for _, digest in own], self.embeddings(numbers)

    def crop(self, who: Who, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph as a picture file; None if none was kept.

        Args:
            who: The person.
            photograph: Its number; None takes the first one whose face was kept.
        """
        row = self._connection.execute(
            "SELECT template_id, picture FROM crop JOIN template ON template.id = template_id"
            " WHERE person_id = ? AND ifnull(template_id = ?, TRUE) ORDER BY template_id",
            (require_person(self._connection, who), photograph),
        ).fetchone()
        return None if row is None else self.seal.open(row[1], crop_place(row[0]))

    def roll(self) -> Roll:
        """Which template is whose, of everybody who is enrolled and not deleted.

        Raises:
            GalleryError: As `ids_of`.
        """
        rows = self._connection.execute(
            "SELECT template.id, person_id FROM template JOIN person ON person.id = person_id"
            f" WHERE {ENROLLED} ORDER BY template.id"
        )
        table = ids_of(rows)
        people = self._connection.execute(f"SELECT id, name FROM person WHERE {ENROLLED}")
        names = {person: self.seal.open_text(name, name_place(person)) for person, name in people}
        return Roll(ids=table[:, 0].copy(), people=table[:, 1].copy(), names=names)
