"""One state of a gallery: every question that can be asked of it."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError

from ..inventory import AuditEntry, Operation, PhotographSummary
from ..results import Calibration, PersonSummary, Quality, Use
from . import audit
from .alike import closest_other
from .names import person_name
from .people import ENROLLED, OVERDUE, RESTORABLE, require_person, restorable_since
from .rows import ids_of
from .sealing import (
    SealedConnection,
    consent_place,
    crop_place,
    embedding_place,
    name_place,
    operation_place,
    photograph_place,
)
from .templates import EmbeddingModel, Embeddings, from_blob, unit_vectors

Ids = npt.NDArray[np.int64]

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

    @property
    def digest(self) -> str:
        """SHA-256 of which template is whose, hexadecimal."""
        return hashlib.sha256(self.ids.tobytes() + self.people.tobytes()).hexdigest()


class Snapshot:
    """One state of a gallery, as `Store.reading` and `Store.unchanging` hand it out."""

    def __init__(self, connection: SealedConnection) -> None:
        self._connection = connection
        self.seal = connection.seal

    @property
    def connection(self) -> SealedConnection:
        """The transaction that it looks through."""
        return self._connection

    @property
    def model(self) -> EmbeddingModel:
        """Whose embeddings these are."""
        return EmbeddingModel(*self._gallery("model_id, weights_digest, dimension, weights_path"))

    @property
    def revision(self) -> str:
        """Names this state of this gallery: no other gallery and no other state has the same."""
        gallery, changes, mark = self._gallery("gallery_id, changes, mark")
        # Whoever's consent ends is gone with the day, and nothing is changed.
        (expired,) = self._connection.execute(
            "SELECT ifnull(max(expires_on), '') FROM person WHERE expires_on < date('now')"
        ).fetchone()
        return f"{gallery}/{changes}/{mark}{expired and '/'}{expired}"

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

    def _gallery(self, columns: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT {columns} FROM gallery"
        ).fetchone()
        if row is None:
            raise GalleryError("the gallery does not say what it is: restore it from a backup")
        return row

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
        """Which template is whose, of everybody who is enrolled and not deleted.

        Raises:
            GalleryError: As `ids_of`.
        """
        rows = self._connection.execute(
            "SELECT template.id, person_id FROM template JOIN person ON person.id = person_id"
            f" WHERE {ENROLLED} ORDER BY template.id"
        ).fetchall()
        table = ids_of(rows)
        people = self._connection.execute(f"SELECT id, name FROM person WHERE {ENROLLED}")
        names = {person: self.seal.open_text(name, name_place(person)) for person, name in people}
        return Roll(ids=table[:, 0].copy(), people=table[:, 1].copy(), names=names)

    def embeddings(self, ids: Ids) -> Embeddings:
        """The embeddings (n, D) of templates, in the order of their ids (n,), which ascend.

        Raises:
            GalleryError: One of them is damaged; the message names the person.
        """
        model = self.model
        dimension, digest = model.dimension, model.weights_digest
        rows = self._connection.execute(
            "SELECT id, person_id, embedding FROM template"
            " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(ids.tolist()),),
        )
        owners, blobs = [], []
        for row, person, closed in rows:
            owners.append(person)
            place = embedding_place("template", row, person, digest)
            blobs.append(self.seal.open(closed, place))
        if all(len(blob) == 4 * dimension for blob in blobs):
            table = np.frombuffer(b"".join(blobs), dtype="<f4")
            with suppress(GalleryError):
                return unit_vectors(table.reshape(-1, dimension), dimension)
        raise self._damage(owners, blobs, dimension)

    def _damage(self, owners: list[int], blobs: list[bytes], dimension: int) -> GalleryError:
        """Say whose template is the first that cannot be read."""
        for person, blob in zip(owners, blobs, strict=True):
            try:
                from_blob(blob, dimension)
            except GalleryError as error:
                (closed,) = self._connection.execute(
                    "SELECT name FROM person WHERE id = ?", (person,)
                ).fetchone()
                name = self.seal.open_text(closed, name_place(person))
                return GalleryError(
                    f"a template of '{name}' is damaged ({error}): erase '{name}' and enrol "
                    "again, or restore the gallery from a backup"
                )
        return GalleryError("the templates cannot be read: restore the gallery from a backup")
