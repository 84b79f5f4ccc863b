"""Everything that a gallery keeps of a person, read out and put in: how people move about.

A record knows nothing of rows and their numbers, so that it means the same in every gallery. The
journal stays behind, for what it would put back are rows.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

from data.errors import GalleryError

from ..results import Quality
from . import journal
from .names import person_name
from .snapshot import QUALITY_COLUMNS, Snapshot, person_id, restorable_since
from .store import enrolled_as, insert_template
from .templates import Template, from_blob, to_blob

BATCH = 500
"""How many people are written at once."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PersonRecord:
    """One person.

    Attributes:
        name: As it is kept.
        enrolled_at: ISO 8601, UTC.
        deleted_at: The same where the person is deleted and can be restored; else None.
        templates: Their faces, in the order in which they were enrolled.
        exclusions: Faces that are known not to be theirs; without a crop.
    """

    name: str
    enrolled_at: str
    deleted_at: str | None
    templates: tuple[Template, ...]
    exclusions: tuple[Template, ...] = ()


@dataclass(slots=True)
class Added:
    """What became of records.

    Attributes:
        people: How many people there were.
        new: How many photographs were put in.
        known: How many were there already.
        others: Of photographs that were left out because the same face of them is somebody else's
            here: whose it was to be, and whose it is.
    """

    people: int = 0
    new: int = 0
    known: int = 0
    others: list[tuple[str, str]] = field(default_factory=list)

    def plus(self, more: "Added") -> None:
        """Count these, too."""
        self.people += more.people
        self.new += more.new
        self.known += more.known
        self.others += more.others


def read_records(snapshot: Snapshot) -> Iterator[PersonRecord]:
    """Read everybody, by name; those who were deleted too long ago are gone.

    Raises:
        GalleryError: A template is damaged.
    """
    connection, dimension = snapshot.connection, snapshot.model.dimension
    people = connection.execute(
        "SELECT id, name, enrolled_at, deleted_at FROM person"
        " WHERE deleted_at IS NULL OR deleted_at >= ? ORDER BY name, deleted_at, id",
        (restorable_since(),),
    )
    has_quality, has_exclusions = (snapshot.has_table(name) for name in ("quality", "exclusion"))
    for person, name, enrolled_at, deleted_at in people:
        try:
            yield PersonRecord(
                name=name,
                enrolled_at=enrolled_at,
                deleted_at=deleted_at,
                templates=tuple(_templates(connection, person, dimension, has_quality)),
                exclusions=tuple(_exclusions(connection, person, dimension))
                if has_exclusions
                else (),
            )
        except GalleryError as error:
            raise GalleryError(f"a template of '{name}' is damaged ({error})") from error


def _templates(
    connection: sqlite3.Connection, person: int, dimension: int, has_quality: bool
) -> Iterator[Template]:
    quality = ", ".join(QUALITY_COLUMNS) if has_quality else "NULL"
    joined = " LEFT JOIN quality ON quality.template_id = template.id" if has_quality else ""
    rows = connection.execute(
        f"SELECT photograph_sha256, embedding, picture, {quality} FROM template"
        f" LEFT JOIN crop ON crop.template_id = template.id{joined}"
        " WHERE person_id = ? ORDER BY template.id",
        (person,),
    )
    for digest, blob, picture, *values in rows:
        measured = values[0] is not None
        yield Template(
            embedding=from_blob(blob, dimension)[0],
            photograph_sha256=digest,
            crop=picture,
            quality=Quality(**dict(zip(QUALITY_COLUMNS, values, strict=True)))
            if measured
            else None,
        )


def _exclusions(connection: sqlite3.Connection, person: int, dimension: int) -> Iterator[Template]:
    rows = connection.execute(
        "SELECT photograph_sha256, embedding FROM exclusion WHERE person_id = ? ORDER BY id",
        (person,),
    )
    for digest, blob in rows:
        yield Template(embedding=from_blob(blob, dimension)[0], photograph_sha256=digest)


def add_records(connection: sqlite3.Connection, records: Iterable[PersonRecord]) -> Added:
    """Put people in, in a transaction; what is there already is left as it is.

    A person joins whoever has the name. What was done before cannot be undone afterwards: the
    journal would not fit any more.

    Args:
        connection: In that transaction.
        records: The people.

    Raises:
        ArgumentError: A name cannot be one.
        GalleryError: An embedding is not a unit vector of the gallery's dimension.
    """
    added = Added()
    dimension = Snapshot(connection).model.dimension
    before = connection.total_changes
    for record in records:
        added.plus(_add(connection, record, dimension))
    if connection.total_changes != before:
        journal.forget(connection)
    return added


def _add(connection: sqlite3.Connection, record: PersonRecord, dimension: int) -> Added:
    name = person_name(record.name)
    added, person = Added(people=1), _find(connection, name, record.deleted_at)
    if person is None:
        person = connection.execute(
            "INSERT INTO person (name, enrolled_at, deleted_at) VALUES (?, ?, ?)",
            (name, record.enrolled_at, record.deleted_at),
        ).lastrowid
    for template in record.templates:
        blob = to_blob(template.embedding, dimension)
        owner = _owner(connection, person or 0, name, template, dimension)
        if owner is None:
            insert_template(connection, person or 0, template, blob)
            added.new += 1
        elif owner == name:
            added.known += 1
        else:
            added.others.append((name, owner))
    for face in record.exclusions:
        row = person, face.photograph_sha256, to_blob(face.embedding, dimension)
        connection.execute(
            "INSERT INTO exclusion (person_id, photograph_sha256, embedding) SELECT ?1, ?2, ?3"
            " WHERE NOT EXISTS (SELECT 1 FROM exclusion WHERE person_id = ?1"
            " AND photograph_sha256 = ?2 AND embedding = ?3)",
            row,
        )
    return added


def _find(connection: sqlite3.Connection, name: str, deleted_at: str | None) -> int | None:
    if deleted_at is None:
        return person_id(connection, name)
    row = connection.execute(
        "SELECT id FROM person WHERE name = ? AND deleted_at = ?", (name, deleted_at)
    ).fetchone()
    return None if row is None else int(row[0])


def _owner(
    connection: sqlite3.Connection, person: int, name: str, template: Template, dimension: int
) -> str | None:
    """Whose a photograph is here already; somebody deleted is asked for themselves alone."""
    own = connection.execute(
        "SELECT 1 FROM template WHERE person_id = ? AND photograph_sha256 = ?",
        (person, template.photograph_sha256),
    ).fetchone()
    if own:
        return name
    if person_id(connection, name) != person:
        return None
    return enrolled_as(connection, name, template, dimension)


def fingerprints(record: PersonRecord) -> Iterator[bytes]:
    """A digest of each thing that is kept of a person: of themselves, of a face, of an exclusion.

    A gallery that has all of another's lacks nothing that is in it, to the last bit.
    """
    own = [record.name, record.deleted_at]
    yield _digest([*own])
    for template in record.templates:
        quality = None if template.quality is None else asdict(template.quality)
        about = [*own, template.photograph_sha256, quality, template.crop is not None]
        yield _digest(about, template.embedding.tobytes(), template.crop or b"")
    for face in record.exclusions:
        yield _digest([*own, "not", face.photograph_sha256], face.embedding.tobytes())


def _digest(about: object, *content: bytes) -> bytes:
    digest = hashlib.sha256(json.dumps(about).encode())
    for part in content:
        digest.update(hashlib.sha256(part).digest())
    return digest.digest()


def checksum(digests: Iterable[bytes]) -> str:
    """SHA-256 over fingerprints, in whichever order they come; hexadecimal."""
    whole = hashlib.sha256()
    for digest in sorted(digests):
        whole.update(digest)
    return whole.hexdigest()
