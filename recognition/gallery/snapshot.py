"""One state of a gallery: every question that can be asked of it."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError

from ..inventory import AuditEntry, Operation, PhotographSummary
from ..results import Calibration, PersonSummary, Use
from . import audit
from .apart import enrolled_exclusions, exclusions_of
from .groups import members
from .listing import list_people, list_photographs, photographs_of
from .names import person_name
from .people import ENROLLED, OVERDUE, require_person, restorable_since
from .sealing import (
    SealedConnection,
    crop_place,
    embedding_place,
    name_place,
    operation_place,
)
from .templates import EmbeddingModel, Embeddings, from_blob, unit_vectors

Ids = npt.NDArray[np.int64]

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
        return list_people(self._connection, deleted=deleted)

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

    def photographs(self, name: str) -> tuple[PhotographSummary, ...]:
        """What somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody has that name, or a template is damaged.
        """
        person = require_person(self._connection, person_name(name))
        _, embeddings = self.templates_of(name)
        return list_photographs(self._connection, person, embeddings)

    def templates_of(self, name: str) -> tuple[list[str], Embeddings]:
        """The SHA-256 of a person's photographs, and their templates (N, D) in that order.

        Raises:
            GalleryError: Nobody has that name, or a template is damaged.
        """
        own = photographs_of(self._connection, require_person(self._connection, person_name(name)))
        numbers = np.array([number for number, _ in own], np.int64)
        return [digest for _, digest in own], self.embeddings(numbers)

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
        ).fetchall()
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
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
