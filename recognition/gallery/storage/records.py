"""Everything that a gallery keeps of a person, read out and put in: how people move about.

A record knows nothing of rows and their numbers, so that it means the same in every gallery. The
journal stays behind, for what it would put back are rows.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

from data.errors import GalleryError
from data.files import printable

from ...results import Quality
from ..names import person_name
from ..templates import EmbeddingModel, Template, from_blob
from . import audit, changes
from .audit import Action
from .changes import CONSENT_ENDED, Journal, enrolled_as, insert_template
from .link import AMONG, AMONG_TEXTS
from .people import (
    ENROLLED,
    RESTORABLE,
    Agreement,
    Row,
    add_face,
    add_membership,
    add_person,
    agreement_of,
    faces_in,
    group_names,
    groups_of,
    join,
    joined,
    person_id,
    restorable_since,
    set_agreement,
)
from .rows import SealedConnection
from .snapshot import QUALITY_COLUMNS, Snapshot

MOST_ROWS = 100_000
"""How many new rows one operation writes down: undoing holds them in memory."""

BATCH = 500
"""How many people are read or written at once, where not all are."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PersonRecord:
    """One person.

    Attributes:
        name: As it is kept.
        enrolled_at: ISO 8601, UTC.
        deleted_at: The same where the person is deleted and can be restored; else None.
        templates: Their faces, in the order in which they were enrolled.
        exclusions: Faces that are known not to be theirs; without a crop.
        consent: What they agreed to; None where nothing was noted.
        consented_at: When that was noted: ISO 8601, UTC.
        expires_on: The last day on which it holds, as 2027-01-31; None: without end.
        groups: Those that they are in, by name.
    """

    name: str
    enrolled_at: str
    deleted_at: str | None
    templates: tuple[Template, ...]
    exclusions: tuple[Template, ...] = ()
    consent: str | None = None
    consented_at: str | None = None
    expires_on: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(slots=True)
class Added:
    """What became of records.

    Attributes:
        people: How many people there were.
        new: How many photographs were put in.
        known: How many were there already.
        others: Of photographs that were left out because the same face of them is somebody else's
            here: whose it was to be, and whose it is; or `CONSENT_ENDED`, because the consent of
            whoever has the name here is over.
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
    connection = snapshot.connection
    rows = connection.read(
        (
            "person.name",
            "id",
            "enrolled_at",
            "deleted_at",
            "person.consent",
            "consented_at",
            "expires_on",
        ),
        f"FROM person WHERE {ENROLLED} OR {RESTORABLE}",
        (restorable_since(),),
    )
    groups = groups_of(connection)
    everybody = sorted(rows, key=lambda one: (one[0], one[3] or "", one[1]))
    for start in range(0, len(everybody), _READ_AT_ONCE):
        part = everybody[start : start + _READ_AT_ONCE]
        faces = _faces_of(snapshot, [person for _, person, *_ in part])
        for name, row, enrolled_at, deleted_at, consent, consented_at, expires_on in part:
            # Where one of theirs is damaged, it is looked whose.
            theirs = faces or _faces_of(snapshot, [row], name) or {}
            templates, exclusions = theirs[row]
            yield PersonRecord(
                name=name,
                enrolled_at=enrolled_at,
                deleted_at=deleted_at,
                templates=tuple(templates),
                exclusions=tuple(exclusions),
                consent=consent,
                consented_at=consented_at,
                expires_on=expires_on,
                groups=groups.get(row, ()),
            )


_READ_AT_ONCE = 50
"""Of so many people the faces are read at once: with their crops they are held in memory."""


def _faces_of(
    snapshot: Snapshot, people: Sequence[int], name: str | None = None
) -> dict[int, tuple[list[Template], list[Template]]] | None:
    """The templates and the exclusions of people, by their ids.

    Args:
        snapshot: The gallery.
        people: Their ids.
        name: What the only one of them is called.

    Returns:
        None where one is damaged and nobody is named.

    Raises:
        GalleryError: One is damaged.
    """
    found: dict[int, tuple[list[Template], list[Template]]] = {one: ([], []) for one in people}
    try:
        for person, template in _templates(snapshot, people):
            found[person][0].append(template)
        for person, template in _exclusions(snapshot, people):
            found[person][1].append(template)
    except GalleryError as error:
        if name is None:
            return None
        raise GalleryError(f"a template of '{printable(name)}' is damaged ({error})") from error
    return found


def _templates(snapshot: Snapshot, people: Sequence[int]) -> Iterator[tuple[int, Template]]:
    rows = snapshot.connection.read(
        (
            "template.person_id",
            "template.photograph_sha256",
            "template.embedding",
            "crop.picture",
            *QUALITY_COLUMNS,
        ),
        "FROM template LEFT JOIN crop ON crop.template_id = template.id"
        " LEFT JOIN quality ON quality.template_id = template.id"
        f" WHERE template.person_id {AMONG} ORDER BY template.id",
        (json.dumps(people),),
    )
    for person, digest, blob, picture, *values in rows:
        yield (
            person,
            Template(
                embedding=from_blob(blob, snapshot.model.dimension)[0],
                photograph_sha256=digest,
                crop=picture,
                quality=None
                if values[0] is None
                else Quality(**dict(zip(QUALITY_COLUMNS, values, strict=True))),
            ),
        )


def _exclusions(snapshot: Snapshot, people: Sequence[int]) -> Iterator[tuple[int, Template]]:
    rows = snapshot.connection.read(
        ("exclusion.person_id", "exclusion.photograph_sha256", "exclusion.embedding"),
        f"FROM exclusion WHERE person_id {AMONG} ORDER BY id",
        (json.dumps(people),),
    )
    for person, digest, blob in rows:
        embedding = from_blob(blob, snapshot.model.dimension)[0]
        yield person, Template(embedding=embedding, photograph_sha256=digest)


class RecordWriter:
    """Puts people in, some at a time, in one transaction and as one operation for `undo`.

    A person joins whoever has the name; what is there already is left as it is. Where more rows are
    new than are written down for one operation, neither this nor what was done before can be undone
    afterwards.

    Args:
        connection: In that transaction.
    """

    def __init__(self, connection: SealedConnection) -> None:
        self._connection, self._written_down = connection, True
        self._entry: Journal | None = None
        self._rows = 0

    def __call__(self, records: Iterable[PersonRecord]) -> Added:
        """Put people in.

        Raises:
            ArgumentError: A name cannot be one.
            GalleryError: An embedding is not a unit vector of the gallery's dimension.
        """
        added, waiting = Added(), iter(records)
        model = Snapshot(self._connection).model
        before = self._connection.total_changes
        while batch := list(islice(waiting, BATCH)):
            known = _Known(self._connection, batch)
            self._connection.link.reserve_ids(known.lacking(batch))
            for record in batch:
                if known.has_some_of(record):
                    added.plus(_add(self._connection, record, model, self))
                else:
                    added.plus(_add_new(self._connection, record, model, self))
                known.note(record)
        if self._connection.has_changed_since(before):
            if audit.is_outdated(self._connection) and audit.reading(self._connection).is_plausible:
                audit.forget_outdated(self._connection)
            if not self._written_down:
                changes.forget(self._connection)
        return added

    def adds(self, kind: Row, identifier: int) -> None:
        """Write down that a row is new."""
        if entry := self._begun():
            entry.adds(kind, identifier)

    def changes(self, kind: Row, identifier: int) -> None:
        """Write down a row that is about to change."""
        if entry := self._begun():
            entry.changes(kind, [identifier])

    def _begun(self) -> Journal | None:
        """The operation, which begins with its first row; None where it is too large to be one."""
        self._rows += 1
        if self._rows > MOST_ROWS:
            self._written_down, self._entry = False, None
        elif self._written_down and self._entry is None:
            self._entry = Journal(self._connection, Action.IMPORT, "people imported", audited=False)
        return self._entry


class _Known:
    """What a gallery has of the people of a batch: of nobody else anything has to be asked.

    Args:
        connection: In a transaction.
        batch: The people.

    Raises:
        ArgumentError: A name cannot be one.
    """

    def __init__(self, connection: SealedConnection, batch: Sequence[PersonRecord]) -> None:
        names = {connection.mark(person_name(one.name)): person_name(one.name) for one in batch}
        photographs = {
            connection.mark(face.photograph_sha256): face.photograph_sha256
            for one in batch
            for face in (*one.templates, *one.exclusions)
        }
        asked = (
            (Row.PERSON, "mark", names),
            (Row.TEMPLATE, "photograph_mark", photographs),
            (Row.EXCLUSION, "photograph_mark", photographs),
        )
        found = [
            connection.execute(
                f"SELECT {column} FROM {table} WHERE {column} {AMONG_TEXTS}",
                (json.dumps([*marks]),),
            )
            for table, column, marks in asked
        ]
        self._names, self._templates, self._exclusions = (
            {marks[mark] for (mark,) in rows}
            for rows, (_, _, marks) in zip(found, asked, strict=True)
        )

    def lacking(self, batch: Iterable[PersonRecord]) -> dict[str, int]:
        """Table → how many rows are to come of those of whom nothing is there."""
        new = [one for one in batch if not self.has_some_of(one)]
        return {
            Row.PERSON: len({person_name(one.name) for one in new}),
            Row.TEMPLATE: len({face.photograph_sha256 for one in new for face in one.templates}),
            Row.EXCLUSION: len({face.photograph_sha256 for one in new for face in one.exclusions}),
            Row.MEMBERSHIP: sum(len(group_names(one.groups)) for one in new),
        }

    def has_some_of(self, record: PersonRecord) -> bool:
        """Whether anything of somebody may be there already, or is in the record twice."""
        templates, exclusions = (
            [face.photograph_sha256 for face in faces]
            for faces in (record.templates, record.exclusions)
        )
        return (
            person_name(record.name) in self._names
            or not self._templates.isdisjoint(templates)
            or not self._exclusions.isdisjoint(exclusions)
            or len(set(templates)) < len(templates)
            or len(set(exclusions)) < len(exclusions)
        )

    def note(self, record: PersonRecord) -> None:
        """Know of somebody who has been put in."""
        self._names.add(person_name(record.name))
        self._templates.update(face.photograph_sha256 for face in record.templates)
        self._exclusions.update(face.photograph_sha256 for face in record.exclusions)


def _add_new(
    connection: SealedConnection, record: PersonRecord, model: EmbeddingModel, writer: RecordWriter
) -> Added:
    """Put somebody in of whom nothing is there; no question is asked."""
    person = _new(connection, person_name(record.name), record)
    writer.adds(Row.PERSON, person)
    for template in record.templates:
        writer.adds(Row.TEMPLATE, insert_template(connection, person, template, model))
    for face in record.exclusions:
        writer.adds(Row.EXCLUSION, add_face(connection, Row.EXCLUSION, person, face, model))
    for group in group_names(record.groups):
        writer.adds(Row.MEMBERSHIP, add_membership(connection, person, group))
    audit.write_lines(connection, Action.IMPORT, [person])
    return Added(people=1, new=len(record.templates))


def _add(
    connection: SealedConnection, record: PersonRecord, model: EmbeddingModel, writer: RecordWriter
) -> Added:
    name = person_name(record.name)
    before = connection.total_changes
    added, person = Added(people=1), _find(connection, name, record.deleted_at)
    if person is None:
        person = _new(connection, name, record)
        writer.adds(Row.PERSON, person)
    elif record.deleted_at is None:
        if agreement_of(connection, person).has_ended:
            added.others = [(name, CONSENT_ENDED)] * len(record.templates)
            return added
        _agree(connection, person, record, writer)
    for template in record.templates:
        owner = _owner(connection, person, name, template, model)
        if owner is None:
            writer.adds(Row.TEMPLATE, insert_template(connection, person, template, model))
            added.new += 1
        elif owner == name:
            added.known += 1
        else:
            added.others.append((name, owner))
    for face in record.exclusions:
        known = faces_in(connection, Row.EXCLUSION, face.photograph_sha256, model)
        vector = face.embedding.tobytes()
        if not any(owner == person and one.tobytes() == vector for owner, one in known):
            writer.adds(Row.EXCLUSION, add_face(connection, Row.EXCLUSION, person, face, model))
    for group in group_names(record.groups):
        row = join(connection, person, group)
        if row is not None:
            writer.adds(Row.MEMBERSHIP, row)
    if connection.has_changed_since(before):
        audit.write_lines(connection, Action.IMPORT, [person])
    return added


def _agree(
    connection: SealedConnection, person: int, record: PersonRecord, writer: RecordWriter
) -> None:
    """Let somebody who is there already be covered by what their record says as well."""
    own = agreement_of(connection, person)
    both = joined(own, Agreement(record.consent, record.consented_at, record.expires_on))
    if both != own:
        writer.changes(Row.PERSON, person)
        set_agreement(connection, person, both)


def _new(connection: SealedConnection, name: str, record: PersonRecord) -> int:
    """Add a person without their faces; their id."""
    agreement = Agreement(record.consent, record.consented_at, record.expires_on)
    return add_person(connection, name, record.enrolled_at, record.deleted_at, agreement)


def _find(connection: SealedConnection, name: str, deleted_at: str | None) -> int | None:
    if deleted_at is None:
        return person_id(connection, name)
    row = connection.execute(
        "SELECT id FROM person WHERE mark = ? AND deleted_at = ?",
        (connection.mark(name), deleted_at),
    ).fetchone()
    return None if row is None else int(row[0])


def _owner(
    connection: SealedConnection, person: int, name: str, template: Template, model: EmbeddingModel
) -> str | None:
    """Whose a photograph is here already; somebody deleted is asked for themselves alone."""
    own = connection.execute(
        "SELECT 1 FROM template WHERE person_id = ? AND photograph_mark = ?",
        (person, connection.mark(template.photograph_sha256)),
    ).fetchone()
    if own:
        return name
    if person_id(connection, name) != person:
        return None
    return enrolled_as(connection, name, template, model)


def fingerprints(record: PersonRecord) -> Iterator[bytes]:
    """A digest of each thing kept of a person: themselves, a group, a face, an exclusion.

    A gallery that has all of another's lacks nothing that is in it, to the last bit.
    """
    own = [record.name, record.deleted_at]
    noted = [record.consent, record.consented_at, record.expires_on]
    yield _digest([*own, *(noted if any(noted) else ())])
    for group in record.groups:
        yield _digest([*own, "group", group])
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
