"""The truth about who is enrolled. Every change is one transaction: all of it, or none."""

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from data.errors import GalleryError

from ..results import Calibration
from . import journal
from .database import Database, create_database
from .editing import Editable, Editor
from .journal import Journal, Row
from .names import person_name
from .snapshot import CALIBRATION_COLUMNS, QUALITY_COLUMNS, Snapshot, person_id, restorable_since
from .templates import EmbeddingModel, Template, from_blob, is_same_face, to_blob


class Store(Editable):
    """People, photographs' hashes, templates and crops in one SQLite file.

    Args:
        path: The database; see `Store.create` for making one.

    Raises:
        GalleryError: The file is not a gallery that this version can read.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    @staticmethod
    def create(path: Path, model: EmbeddingModel) -> None:
        """Make an empty gallery of a model's embeddings, unless there is one already.

        Raises:
            GalleryError: It cannot be written.
        """
        create_database(
            path,
            {
                "gallery_id": str(uuid.uuid4()),
                "created_at": _now(),
                "model_id": model.model_id,
                "weights_digest": model.weights_digest,
                "dimension": model.dimension,
                "weights_path": model.weights_path,
            },
        )

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open here is still the gallery at its path."""
        return self._database.is_in_place

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """One state of the gallery, untouched by changes made meanwhile.

        Raises:
            GalleryError: The file cannot be read.
        """
        with self._database.reading() as connection:
            yield Snapshot(connection)

    @contextmanager
    def unchanging(self) -> Iterator[Snapshot]:
        """The newest state of the gallery, and nobody changes it before the block ends.

        Raises:
            GalleryError: Another process goes on changing it for too long.
        """
        with self._database.writing() as connection:
            yield Snapshot(connection)

    def erase_overdue(self) -> bool:
        """Remove those who were deleted too long ago. Traces remain until `wipe_traces`.

        Returns:
            Whether there was anybody; the file is not written where there was not.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self.reading() as snapshot:
            if not snapshot.someone_is_overdue:
                return False
        with self._changing() as connection:
            return _erase(connection, "deleted_at < ?", restorable_since())

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._database.writing() as connection:
            before = connection.total_changes
            yield connection
            if connection.total_changes != before:
                connection.execute(
                    "UPDATE gallery SET changes = changes + 1, mark = hex(randomblob(16))"
                )

    def adopt(self, model: EmbeddingModel) -> bool:
        """Take up another model, which only a gallery without anybody can.

        Returns:
            Whether the gallery is now that model's.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self._changing() as connection:
            adopted = connection.execute(
                "UPDATE gallery SET model_id = ?, weights_digest = ?, dimension = ?,"
                " weights_path = ? WHERE NOT EXISTS (SELECT 1 FROM template)",
                (model.model_id, model.weights_digest, model.dimension, model.weights_path),
            )
            return adopted.rowcount > 0

    def enrol(self, person: str, templates: Sequence[Template]) -> dict[int, str]:
        """Enrol photographs under a name, known or new.

        A photograph that is enrolled already is left out: the same one under the same name, and
        the same face of it under another's.

        Args:
            person: The name.
            templates: One face of each photograph.

        Returns:
            Position in `templates` → under which name that one is enrolled already; empty when all
            were new.

        Raises:
            ArgumentError: The name cannot be one.
            GalleryError: An embedding is not a unit vector of the gallery's dimension, or the file
                cannot be written. Nothing has been enrolled.
        """
        name = person_name(person)
        left_out: dict[int, str] = {}
        with self._changing() as connection:
            dimension = Snapshot(connection).model.dimension
            blobs = [to_blob(template.embedding, dimension) for template in templates]
            entry: Journal | None = None
            for position, (template, blob) in enumerate(zip(templates, blobs, strict=True)):
                owner = enrolled_as(connection, name, template, dimension)
                if owner is not None:
                    left_out[position] = owner
                    continue
                entry = entry or Journal(connection, f"photographs of '{name}' enrolled")
                _insert(connection, entry, name, template, blob)
        return left_out

    @contextmanager
    def editing(self) -> Iterator[Editor]:
        """See `Editable.editing`."""
        with self._changing() as connection:
            yield Editor(connection)

    @contextmanager
    def adding(self) -> Iterator[sqlite3.Connection]:
        """One change for `records.add_records`.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self._changing() as connection:
            yield connection

    def erase(self, name: str) -> None:
        """Remove everybody of a name, deleted ones too. Traces remain until `wipe_traces`.

        Raises:
            GalleryError: Nobody has that name.
        """
        name = person_name(name)
        with self._changing() as connection:
            if not _erase(connection, "name = ?", name):
                raise GalleryError(f"nobody called '{name}' is enrolled or deleted")

    def calibrate(self, calibrations: Sequence[Calibration]) -> None:
        """Keep the gallery's own threshold for each use, in place of earlier ones.

        Nobody is changed by this, so what has been read of the gallery stays true.

        Raises:
            GalleryError: The gallery is by now another model's, or cannot be written.
        """
        columns = ", ".join(CALIBRATION_COLUMNS)
        places = ", ".join(f":{name}" for name in CALIBRATION_COLUMNS)
        with self._database.writing() as connection:
            model = Snapshot(connection).model
            if any(one.weights_digest != model.weights_digest for one in calibrations):
                raise GalleryError(f"the gallery is by now one of {model}: calibrate it again")
            connection.executemany(
                f"REPLACE INTO calibration ({columns}) VALUES ({places})",
                [{n: getattr(one, n) for n in CALIBRATION_COLUMNS} for one in calibrations],
            )

    def wipe_traces(self) -> None:
        """Leave no byte of those who were erased in the database's files.

        Raises:
            GalleryError: Another process is in the way; the next call tries again.
        """
        self._database.wipe_traces()
        with self._database.writing() as connection:
            connection.execute("UPDATE gallery SET traces_remain = 0")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def enrolled_as(
    connection: sqlite3.Connection, name: str, template: Template, dimension: int
) -> str | None:
    """Whose a template's photograph is already: this person's, or another's with the same face."""
    rows = connection.execute(
        "SELECT name, embedding FROM template JOIN person ON person.id = person_id"
        " WHERE photograph_sha256 = ? AND deleted_at IS NULL ORDER BY template.id",
        (template.photograph_sha256,),
    ).fetchall()
    for owner, blob in rows:
        if owner == name or is_same_face(from_blob(blob, dimension), template):
            return str(owner)
    return None


def _insert(
    connection: sqlite3.Connection, entry: Journal, name: str, template: Template, blob: bytes
) -> None:
    person = person_id(connection, name)
    if person is None:
        person = connection.execute(
            "INSERT INTO person (name, enrolled_at) VALUES (?, ?)", (name, _now())
        ).lastrowid
        entry.adds(Row.PERSON, person or 0)
    entry.adds(Row.TEMPLATE, insert_template(connection, person or 0, template, blob))


def insert_template(
    connection: sqlite3.Connection, person: int, template: Template, blob: bytes
) -> int:
    """Add a template, with what belongs to it, to a person's; its id."""
    identifier = connection.execute(
        "INSERT INTO template (person_id, photograph_sha256, embedding) VALUES (?, ?, ?)",
        (person, template.photograph_sha256, blob),
    ).lastrowid
    if template.crop is not None:
        connection.execute("INSERT INTO crop VALUES (?, ?)", (identifier, template.crop))
    if template.quality is not None:
        columns = ", ".join(QUALITY_COLUMNS)
        places = ", ".join("?" * len(QUALITY_COLUMNS))
        values = [getattr(template.quality, name) for name in QUALITY_COLUMNS]
        connection.execute(
            f"INSERT INTO quality (template_id, {columns}) VALUES (?, {places})",
            (identifier, *values),
        )
    return identifier or 0


def _erase(connection: sqlite3.Connection, condition: str, value: str) -> bool:
    erased = connection.execute(f"DELETE FROM person WHERE {condition}", (value,)).rowcount > 0
    if erased:
        journal.forget(connection)
        connection.execute("UPDATE gallery SET traces_remain = 1")
    return erased
