"""One state of a gallery: every question that can be asked of it."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError

from ..inventory import Operation, PhotographSummary
from ..results import Calibration, PersonSummary, Quality, Use
from .alike import closest_other
from .names import person_name
from .templates import EmbeddingModel, Embeddings, from_blob, unit_vectors

Ids = npt.NDArray[np.int64]

RESTORABLE_DAYS = 30
"""How long someone deleted can be restored; after that they are erased."""

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


class Snapshot:
    """One state of a gallery, as `Store.reading` and `Store.unchanging` hand it out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def connection(self) -> sqlite3.Connection:
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
        return f"{gallery}/{changes}/{mark}"

    @property
    def traces_remain(self) -> bool:
        """Whether bytes of somebody who was erased may still be in a file."""
        (remain,) = self._gallery("traces_remain")
        return bool(remain)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is enrolled, leaving out those who are deleted."""
        (anybody,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM person WHERE deleted_at IS NULL)"
        ).fetchone()
        return not anybody

    @property
    def someone_is_overdue(self) -> bool:
        """Whether somebody was deleted too long ago to be restored, and is still in the file."""
        (anybody,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM person WHERE deleted_at < ?)", (restorable_since(),)
        ).fetchone()
        return bool(anybody)

    def _gallery(self, columns: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT {columns} FROM gallery"
        ).fetchone()
        if row is None:
            raise GalleryError("the gallery does not say what it is: restore it from a backup")
        return row

    def has_table(self, name: str) -> bool:
        """Whether there is a table; an older gallery that cannot be written lacks newer ones."""
        (present,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?)", (name,)
        ).fetchone()
        return bool(present)

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, or those who can be restored, by name."""
        condition = "deleted_at >= ?" if deleted else "deleted_at IS NULL"
        rows = self._connection.execute(
            "SELECT name, count(template.id), enrolled_at"
            " FROM person LEFT JOIN template ON template.person_id = person.id"
            f" WHERE {condition} GROUP BY person.id ORDER BY name, person.id",
            (restorable_since(),) if deleted else (),
        )
        return tuple(PersonSummary(*row) for row in rows)

    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""
        people, templates = self._connection.execute(
            "SELECT count(DISTINCT person.id), count(template.id)"
            " FROM person LEFT JOIN template ON template.person_id = person.id"
            " WHERE deleted_at IS NULL"
        ).fetchone()
        return int(people), int(templates)

    def calibration(self, use: Use) -> Calibration | None:
        """The gallery's own threshold for a use; None if there is none for its model."""
        if not self.has_table("calibration"):
            return None
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
        if not self.has_table("operation"):
            return ()
        rows = self._connection.execute(
            "SELECT what, done_at FROM operation WHERE done_at >= ? ORDER BY id DESC",
            (restorable_since(),),
        )
        return tuple(Operation(*row) for row in rows)

    def exclusions(self) -> dict[int, Embeddings]:
        """A person's id → faces that are known not to be theirs, (n, D).

        Raises:
            GalleryError: One of them is damaged.
        """
        found: dict[int, list[Embeddings]] = {}
        if self.has_table("exclusion"):
            dimension = self.model.dimension
            for person, blob in self._connection.execute(
                "SELECT person_id, embedding FROM exclusion ORDER BY id"
            ):
                found.setdefault(person, []).append(from_blob(blob, dimension))
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
                photograph_sha256=digest,
                cosine_similarity=similarity,
                quality=qualities.get(number),
            )
            for (number, digest), similarity in zip(rows, closest, strict=True)
        )

    def _qualities(self, person: int) -> dict[int, Quality]:
        if not self.has_table("quality"):
            return {}
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
            "SELECT picture FROM crop JOIN template ON template.id = template_id"
            " WHERE person_id = ? AND ifnull(template_id = ?, TRUE) ORDER BY template_id",
            (require_person(self._connection, person_name(name)), photograph),
        ).fetchone()
        return None if row is None else bytes(row[0])

    def roll(self) -> Roll:
        """Which template is whose, of everybody who is enrolled and not deleted."""
        rows = self._connection.execute(
            "SELECT template.id, person_id FROM template JOIN person ON person.id = person_id"
            " WHERE deleted_at IS NULL ORDER BY template.id"
        ).fetchall()
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
        names = self._connection.execute("SELECT id, name FROM person WHERE deleted_at IS NULL")
        return Roll(ids=table[:, 0].copy(), people=table[:, 1].copy(), names=dict(names.fetchall()))

    def embeddings(self, ids: Ids) -> Embeddings:
        """The embeddings (n, D) of templates, in the order of their ids (n,), which ascend.

        Raises:
            GalleryError: One of them is damaged; the message names the person.
        """
        dimension = self.model.dimension
        rows = self._connection.execute(
            "SELECT name, embedding FROM template JOIN person ON person.id = person_id"
            " WHERE template.id IN (SELECT value FROM json_each(?)) ORDER BY template.id",
            (json.dumps(ids.tolist()),),
        ).fetchall()
        if all(len(blob) == 4 * dimension for _, blob in rows):
            table = np.frombuffer(b"".join(blob for _, blob in rows), dtype="<f4")
            with suppress(GalleryError):
                return unit_vectors(table.reshape(-1, dimension), dimension)
        raise _damage(rows, dimension)


def restorable_since() -> str:
    """The earliest `deleted_at` that can still be undone: ISO 8601, UTC."""
    moment = datetime.now(UTC) - timedelta(days=RESTORABLE_DAYS)
    return moment.isoformat(timespec="microseconds")


def person_id(connection: sqlite3.Connection, name: str) -> int | None:
    """The id of the person who is enrolled under a name."""
    row = connection.execute(
        "SELECT id FROM person WHERE name = ? AND deleted_at IS NULL", (name,)
    ).fetchone()
    return None if row is None else int(row[0])


def require_person(connection: sqlite3.Connection, name: str) -> int:
    """The same where there must be one.

    Raises:
        GalleryError: Nobody has that name.
    """
    person = person_id(connection, name)
    if person is None:
        raise GalleryError(
            f"nobody called '{name}' is enrolled: `likeness people list` has the names"
        )
    return person


def _damage(rows: Sequence[tuple[str, bytes]], dimension: int) -> GalleryError:
    """Say whose template is the first that cannot be read."""
    for name, blob in rows:
        try:
            from_blob(blob, dimension)
        except GalleryError as error:
            return GalleryError(
                f"a template of '{name}' is damaged ({error}): erase '{name}' and enrol again, "
                "or restore the gallery from a backup"
            )
    return GalleryError("the templates cannot be read: restore the gallery from a backup")
