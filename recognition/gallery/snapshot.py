"""One state of a gallery: every question that can be asked of it."""

from dataclasses import dataclass, fields
from itertools import chain

import numpy as np

from ..inventory import AuditEntry, Operation, PhotographSummary
from ..results import Calibration, PersonSummary, Quality, Use
from . import audit
from .alike import closest_other
from .holding import Holding
from .names import person_name
from .people import ENROLLED, OVERDUE, RESTORABLE, require_person, restorable_since
from .sealing import (
    consent_place,
    crop_place,
    embedding_place,
    name_place,
    operation_place,
    photograph_place,
)
from .templates import Embeddings, Ids, from_blob

CALIBRATION_COLUMNS = tuple(one.name for one in fields(Calibration) if one.name != "doubt")
"""What is kept of a calibration."""

QUALITY_COLUMNS = tuple(one.name for one in fields(Quality))
"""What is kept of a face's quality."""


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
            "SELECT ifnull(max(expires_on), '') FROM person WHERE expires_on < date('now')"
        ).fetchone()
        return f"{gallery}/{changes}/{mark}{expired and '/'}{expired}"

    @property
    def gallery_id(self) -> str:
        """Names the gallery, in whichever state."""
        (gallery,) = self._gallery("gallery_id")
        return str(gallery)

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
        condition = RESTORABLE if deleted else ENROLLED
        rows = self._connection.execute(
            "SELECT person.id, name, count(template.id), enrolled_at, consent, consented_at,"
            " expires_on FROM person LEFT JOIN template ON template.person_id = person.id"
            f" WHERE {condition} GROUP BY person.id",
            (restorable_since(),) if deleted else (),
        )
        found = [
            PersonSummary(
                name=self.seal.open_text(name, name_place(person)),
                photographs=photographs,
                enrolled_at=enrolled_at,
                consent=consent and self.seal.open_text(consent, consent_place(person)),
                consented_at=consented_at,
                expires_on=expires_on,
                person_id=person,
            )
            for person, name, photographs, enrolled_at, consent, consented_at, expires_on in rows
        ]
        return tuple(sorted(found, key=lambda person: person.name))

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
            Operation(self.seal.open_text(what, operation_place(number)), done_at)
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
        found: dict[int, list[Embeddings]] = {}
        model = self.model
        for row, person, closed in self._connection.execute(
            "SELECT id, person_id, embedding FROM exclusion ORDER BY id"
        ):
            place = embedding_place("exclusion", row, person, model.weights_digest)
            vector = from_blob(self.seal.open(closed, place), model.dimension)
            found.setdefault(person, []).append(vector)
        return {person: np.concatenate(vectors) for person, vectors in found.items()}

    def photographs(self, name: str) -> tuple[PhotographSummary, ...]:
        """What somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody has that name, or a template is damaged.
        """
        person = require_person(self._connection, person_name(name))
        rows = self._connection.execute(
            "SELECT id, photograph_sha256 FROM template WHERE person_id = ? ORDER BY id", (person,)
        ).fetchall()
        closest = closest_other(self.embeddings(np.array([row[0] for row in rows], np.int64)))
        qualities = self._qualities(person)
        return tuple(
            PhotographSummary(
                number=number,
                photograph_sha256=self.seal.open_text(digest, photograph_place("template", number)),
                cosine_similarity=similarity,
                quality=qualities.get(number),
            )
            for (number, digest), similarity in zip(rows, closest, strict=True)
        )

    def _qualities(self, person: int) -> dict[int, Quality]:
        rows = self._connection.execute(
            f"SELECT template_id, {', '.join(QUALITY_COLUMNS)} FROM quality"
            " JOIN template ON template.id = template_id WHERE person_id = ?",
            (person,),
        )
        return {
            number: Quality(**dict(zip(QUALITY_COLUMNS, values, strict=True)))
            for number, *values in rows
        }

    def crop(self, name: str, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph as a picture file; None if none was kept.

        Args:
            name: The person.
            photograph: Its number; None takes the first one whose face was kept.
        """
        row = self._connection.execute(
            "SELECT template_id, picture FROM crop JOIN template ON template.id = template_id"
            " WHERE person_id = ? AND ifnull(template_id = ?, TRUE) ORDER BY template_id",
            (require_person(self._connection, person_name(name)), photograph),
        ).fetchone()
        return None if row is None else self.seal.open(row[1], crop_place(row[0]))

    def roll(self) -> Roll:
        """Which template is whose, of everybody who is enrolled and not deleted."""
        rows = self._connection.execute(
            "SELECT template.id, person_id FROM template JOIN person ON person.id = person_id"
            f" WHERE {ENROLLED} ORDER BY template.id"
        )
        table = np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, 2)
        people = self._connection.execute(f"SELECT id, name FROM person WHERE {ENROLLED}")
        names = {person: self.seal.open_text(name, name_place(person)) for person, name in people}
        return Roll(ids=table[:, 0].copy(), people=table[:, 1].copy(), names=names)
