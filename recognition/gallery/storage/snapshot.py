"""One state of the truth: every question."""

import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import chain
from string import hexdigits
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError
from data.files import printable

from ...results import (
    AuditEntry,
    Calibration,
    LookAlikes,
    Operation,
    PersonState,
    PersonSummary,
    PhotographSummary,
    Quality,
    Use,
)
from ..templates import EmbeddingModel, Embeddings, Ids, from_blob, unit_vectors
from . import audit
from .encryption import KEY_TABLE
from .link import AMONG, Queries, quoted
from .people import (
    ENROLLED,
    LAST_EXPIRY,
    OLDEST_DELETION,
    OLDEST_OPERATION,
    RESTORABLE,
    Who,
    enrolled_exclusions,
    exclusions_of,
    groups_of,
    ids_of,
    members,
    name_of,
    require_deleted,
    require_kept,
    require_person,
    restorable_since,
)
from .rows import SealedConnection

# Of which state an index on disk is, and whether that is one of the gallery's own past.
#
# A template's id is never given twice and its embedding never changes, so an index of an earlier
# state needs only what has come and gone since. But a file may also be of a future that never
# was: somebody put an older copy of the database back by hand, and ids were given again. So each
# state has a mark, drawn at random, and the database remembers the mark of the state whose index
# was last written: in the column `mark`, behind its own, as `NOW/INDEXED`. Copies of the database
# take it with them. An index of either state is this gallery's own; one of any other state is
# not.


class Lineage(NamedTuple):
    """Which gallery's states these are.

    Attributes:
        gallery: The gallery's id.
        mark: That of the present state.
        indexed: Those of the states whose index was written, the last one first.
    """

    gallery: str
    mark: str
    indexed: tuple[str, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """Those of all states of which an index is this gallery's own."""
        return self.mark, *self.indexed


def lineage(connection: Queries) -> Lineage:
    """What the database says of its states."""
    gallery, marks = connection.execute("SELECT gallery_id, mark FROM gallery").fetchone()
    mark, *indexed = marks.split("/")
    return Lineage(gallery, mark, tuple(indexed))


def begin_state(connection: Queries) -> None:
    """Tell the state that a transaction makes from all others."""
    connection.execute(
        f"UPDATE gallery SET changes = changes + 1, mark = ? || ltrim(mark, '{hexdigits}')",
        (secrets.token_hex(16),),
    )


def note_indexed(connection: SealedConnection) -> None:
    """Remember, in a transaction, that the index on disk is of the present state.

    Nothing else is changed by that: the state keeps its mark.
    """
    own = lineage(connection)
    indexed = [*dict.fromkeys((own.mark, *own.indexed))][: connection.link.indexes]
    connection.execute("UPDATE gallery SET mark = ?", ("/".join((own.mark, *indexed)),))


class Revision(NamedTuple):
    """Names a state of a gallery: no other gallery and no other state has the same.

    Attributes:
        gallery: The gallery's id.
        changes: How many there have been.
        mark: The state's.
        expired: The last day of the consent that ended last, which changes nothing in the
            database and leaves no line in the audit log; empty where none has.
    """

    gallery: str
    changes: int
    mark: str
    expired: str


# Whoever's consent ends is gone with the day, and nothing is changed.
_REVISION = f"gallery_id, changes, mark, {LAST_EXPIRY}"


def _revision_of(row: tuple[Any, ...]) -> Revision:
    gallery, changes, marks, expired = row
    return Revision(gallery, changes, marks.partition("/")[0], expired)


class Glance(NamedTuple):
    """What has to be known before each question and each change, asked for at once.

    Attributes:
        revision: Which state the gallery is in.
        is_encrypted: Whether it is encrypted at rest.
        is_overdue: Whether somebody's time is over, or that of something written down.
        traces_remain: Whether bytes of somebody who was erased may still be in a file.
    """

    revision: Revision
    is_encrypted: bool
    is_overdue: bool
    traces_remain: bool


GLANCE = (
    f"SELECT {_REVISION}, EXISTS (SELECT 1 FROM {KEY_TABLE}), traces_remain,"
    f" {OLDEST_DELETION}, {OLDEST_OPERATION}, {audit.OLDEST}"
    " FROM gallery"
)
"""Gives the row that `glance_of` takes. Each part is one look into an index."""


def glance_of(row: tuple[Any, ...] | None) -> Glance:
    """What a row of `GLANCE` says.

    Raises:
        GalleryError: There is none.
    """
    if row is None:
        raise no_gallery()
    *revision, is_encrypted, traces_since, deletion, operation, line = row
    return Glance(
        revision=_revision_of(tuple(revision)),
        is_encrypted=bool(is_encrypted),
        is_overdue=_is_due(deletion, expired=revision[-1])
        or (operation is not None and operation < restorable_since())
        or audit.was_outdated(line),
        traces_remain=bool(traces_since),
    )


def _is_due(deletion: str | None, expired: str) -> bool:
    """Whether somebody must go, by what `OLDEST_DELETION` and `LAST_EXPIRY` gave."""
    return bool(expired) or (deletion is not None and deletion < restorable_since())


def no_gallery() -> GalleryError:
    """The error where the one row is missing that says what a gallery is."""
    return GalleryError("the gallery does not say what it is: restore it from a backup")


# One state of a gallery: every question that can be asked of it.

MODEL_COLUMNS = ", ".join(one.name for one in fields(EmbeddingModel))
"""What is kept of the model whose embeddings a gallery holds."""

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


class Snapshot:
    """One state of a gallery, as `Store.reading` and `Store.unchanging` hand it out.

    Args:
        connection: In the transaction that it looks through.
    """

    def __init__(self, connection: SealedConnection) -> None:
        self._connection = connection
        self._model: EmbeddingModel | None = None
        self._revision: Revision | None = None

    @property
    def connection(self) -> SealedConnection:
        """The transaction that it looks through."""
        return self._connection

    @property
    def is_encrypted(self) -> bool:
        """Whether the gallery is encrypted at rest."""
        return self._connection.is_encrypted

    @property
    def model(self) -> EmbeddingModel:
        """Whose embeddings these are."""
        if self._model is None:  # it stays the same within a transaction that looks
            columns = self._gallery(MODEL_COLUMNS)
            self._model = EmbeddingModel(*columns)
        return self._model

    def _gallery(self, columns: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._connection.execute(
            f"SELECT {columns} FROM gallery"
        ).fetchone()
        if row is None:
            raise no_gallery()
        return row

    def embeddings_of(self, people: Ids) -> tuple[Ids, Embeddings]:
        """Whose each template of people (p,) is, (n,), and their embeddings (n, D), by their ids.

        Raises:
            GalleryError: One of them is damaged; the message names the person.
        """
        return self._embeddings(f"person_id {AMONG}", people)

    def kept(self, ids: Ids) -> Ids:
        """Those of some templates' ids (n,), ascending, that are still there."""
        rows = self._connection.execute(
            f"SELECT id FROM template WHERE id {AMONG} ORDER BY id",
            (json.dumps(ids.tolist()),),
        )
        return np.fromiter(chain.from_iterable(rows), np.int64)

    def embeddings(self, ids: Ids) -> Embeddings:
        """The embeddings (n, D) of templates, in the order of their ids (n,), which ascend.

        Raises:
            GalleryError: One of them is damaged; the message names the person.
        """
        return self._embeddings(f"id {AMONG}", ids)[1]

    def _embeddings(self, condition: str, among: Ids) -> tuple[Ids, Embeddings]:
        """Whose those templates are, (n,), of which a condition on ids holds, and (n, D)."""
        dimension = self.model.dimension
        rows = list(
            self._connection.read(
                ("person_id", "template.embedding"),
                f"FROM template WHERE {condition} ORDER BY id",
                (json.dumps(among.tolist()),),
            )
        )
        owners = [person for person, _ in rows]
        blobs = [blob for _, blob in rows]
        if all(len(blob) == 4 * dimension for blob in blobs):
            table = np.frombuffer(b"".join(blobs), dtype="<f4")
            with suppress(GalleryError):
                embeddings = unit_vectors(table.reshape(-1, dimension), dimension)
                return np.array(owners, np.int64), embeddings
        raise self._damage(owners, blobs, dimension)

    def _damage(self, owners: list[int], blobs: list[bytes], dimension: int) -> GalleryError:
        """Say whose template is the first that cannot be read."""
        for person, blob in zip(owners, blobs, strict=True):
            try:
                from_blob(blob, dimension)
            except GalleryError as error:
                name = printable(name_of(self._connection, person))
                return GalleryError(
                    f"a template of '{name}' is damaged ({error}): erase '{name}' and enrol "
                    "again, or restore the gallery from a backup"
                )
        return GalleryError("the templates cannot be read: restore the gallery from a backup")

    @property
    def revision(self) -> Revision:
        """Which state this is."""
        if self._revision is None:  # it stays the same, as the model does
            row = self._gallery(f"{MODEL_COLUMNS}, {_REVISION}")
            width = len(fields(EmbeddingModel))
            self._model, self._revision = EmbeddingModel(*row[:width]), _revision_of(row[width:])
        return self._revision

    @property
    def gallery_id(self) -> str:
        """Names the gallery, in whichever state."""
        return self.revision.gallery

    @property
    def origin_id(self) -> str:
        """Names the gallery and all that were restored from its backups: whose ids these are."""
        (origin,) = self._gallery("origin_id")
        return str(origin)

    @property
    def traces_remain(self) -> bool:
        """Whether bytes of somebody who was erased may still be in a file."""
        return self.traces_since != 0

    @property
    def traces_since(self) -> int:
        """The number of the last change that left such bytes; 0 where all are wiped."""
        (number,) = self._gallery("traces_remain")
        return int(number)

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
        deletion, expired = self._connection.execute(
            f"SELECT {OLDEST_DELETION}, {LAST_EXPIRY}"
        ).fetchone()
        return _is_due(deletion, expired)

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, or those who can be restored, by name."""
        return list_people(self._connection, deleted=deleted)

    def named(self, name: str) -> tuple[PersonSummary, ...]:
        """Everybody enrolled under a name, found by its mark."""
        return list_people(self._connection, deleted=False, name=name)

    def members(self, groups: Sequence[str]) -> frozenset[int]:
        """The ids of those in one of some groups; see `people.members`."""
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
            f"SELECT {quoted(CALIBRATION_COLUMNS)} FROM calibration"
            " WHERE use = ? AND weights_digest = ?",
            (use, self.model.weights_digest),
        ).fetchone()
        if row is None:
            return None
        found = dict(zip(CALIBRATION_COLUMNS, row, strict=True))
        return Calibration(**(found | {"use": use}))

    def operations(self) -> tuple[Operation, ...]:
        """What can be undone, the latest first."""
        rows = self._connection.read(
            ("operation.what", "done_at", "id"),
            "FROM operation WHERE done_at >= ? ORDER BY id DESC",
            (restorable_since(),),
        )
        return tuple(Operation(*row) for row in rows)

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
        pairs = {
            (a, b) for _, a, b, _ in enrolled_exclusions(self._connection, self.model) if a != b
        }
        if not pairs:
            return frozenset()
        names = self.roll().names
        return frozenset(
            (min(names[a], names[b]), max(names[a], names[b]))
            for a, b in pairs
            if a in names and b in names
        )

    def person(self, who: Who, state: PersonState = PersonState.ENROLLED) -> PersonSummary:
        """One person, who is to be changed.

        Args:
            who: The id, or a name.
            state: How things stand with them.

        Raises:
            AmbiguousError: Several people are meant.
            GalleryError: Nobody is.
        """
        require = {
            PersonState.ENROLLED: require_person,
            PersonState.DELETED: require_deleted,
            PersonState.KEPT: require_kept,
        }[state]
        return summary_of(self._connection, require(self._connection, who))

    def photographs(self, who: Who) -> tuple[PhotographSummary, ...]:
        """What somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody is meant, or a template is damaged.
        """
        person = require_person(self._connection, who)
        _, embeddings = self.templates_of(person)
        return list_photographs(self._connection, person, embeddings)

    def templates_of(self, who: Who) -> tuple[list[str], Embeddings]:
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
        row = self._connection.read_one(
            ("crop.picture",),
            "FROM crop JOIN template ON template.id = template_id"
            " WHERE person_id = ? AND coalesce(template_id = ?, TRUE) ORDER BY template_id",
            (require_person(self._connection, who), photograph),
        )
        return None if row is None else bytes(row[0])

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
        names = self._connection.read(("id", "person.name"), f"FROM person WHERE {ENROLLED}")
        return Roll(ids=table[:, 0].copy(), people=table[:, 1].copy(), names=dict(names))


# What is told of people and of their photographs, a line each.

QUALITY_COLUMNS = tuple(one.name for one in fields(Quality))
"""What is kept of a face's quality."""


def list_people(
    connection: SealedConnection, *, deleted: bool, name: str | None = None
) -> tuple[PersonSummary, ...]:
    """Everybody enrolled, or those who can be restored, by name.

    Args:
        connection: The gallery.
        deleted: Whether those who can be restored are meant.
        name: List only who is called so; None: everybody.
    """
    condition = RESTORABLE if deleted else ENROLLED
    values = [restorable_since()] if deleted else []
    if name is not None:
        condition += " AND person.mark = ?"
        values.append(connection.mark(name))
    return _summaries(connection, condition, values, groups_of(connection))


def summary_of(connection: SealedConnection, person: int) -> PersonSummary:
    """One person, of whom a row is there."""
    [found] = _summaries(connection, "person.id = ?", [person], groups_of(connection, person))
    return found


def _summaries(
    connection: SealedConnection,
    condition: str,
    values: Sequence[str | int],
    groups: Mapping[int, tuple[str, ...]],
) -> tuple[PersonSummary, ...]:
    rows = connection.read(
        (
            "person.id",
            "person.name",
            "count(template.id)",
            "enrolled_at",
            "deleted_at",
            "person.consent",
            "consented_at",
            "expires_on",
        ),
        "FROM person LEFT JOIN template ON template.person_id = person.id"
        f" WHERE {condition} GROUP BY person.id",
        values,
    )
    found = [
        PersonSummary(
            name=name,
            photographs=photographs,
            enrolled_at=enrolled_at,
            consent=consent,
            consented_at=consented_at,
            expires_on=expires_on,
            person_id=person,
            groups=groups.get(person, ()),
            deleted_at=deleted_at,
        )
        for (
            person,
            name,
            photographs,
            enrolled_at,
            deleted_at,
            consent,
            consented_at,
            expires_on,
        ) in rows
    ]
    return tuple(sorted(found, key=lambda person: (person.name, person.deleted_at or "")))


def photographs_of(connection: SealedConnection, person: int) -> list[tuple[int, str]]:
    """The number of each of a person's photographs, ascending, and its SHA-256."""
    rows = connection.read(
        ("id", "template.photograph_sha256"),
        "FROM template WHERE person_id = ? ORDER BY id",
        (person,),
    )
    return [(number, digest) for number, digest in rows]


def list_photographs(
    connection: SealedConnection, person: int, embeddings: Embeddings
) -> tuple[PhotographSummary, ...]:
    """What somebody is enrolled by, in the order of the numbers.

    Args:
        connection: The gallery.
        person: Whose.
        embeddings: The person's templates (N, D), in that order.
    """
    qualities = {
        number: Quality(**dict(zip(QUALITY_COLUMNS, values, strict=True)))
        for number, *values in connection.execute(
            f"SELECT template_id, {', '.join(QUALITY_COLUMNS)} FROM quality"
            " JOIN template ON template.id = template_id WHERE person_id = ?",
            (person,),
        )
    }
    own = photographs_of(connection, person)
    return tuple(
        PhotographSummary(
            number=number,
            photograph_sha256=digest,
            cosine_similarity=similarity,
            quality=qualities.get(number),
        )
        for (number, digest), similarity in zip(own, closest_other(embeddings), strict=True)
    )


# Who of those enrolled is alike, and which photograph is unlike the others of its person.

MOST_COMPARED = 200_000
"""How many photographs are compared with one another: minutes, and 0.4 GB at 512 numbers."""

FALSE_DISCOVERIES = 0.1
"""Which part of those who are told to be perhaps one person may be two."""

_PAIRS_AT_ONCE = 8_000_000  # 32 MB of similarities


def require_few(photographs: int, instead: str) -> None:
    """Make sure that all photographs can be compared with one another.

    Args:
        photographs: How many there are.
        instead: What else to do.

    Raises:
        GalleryError: There are too many.
    """
    if photographs > MOST_COMPARED:
        raise GalleryError(
            f"{photographs:,} photographs are too many to compare each with each other, which is "
            f"done for at most {MOST_COMPARED:,}: {instead}"
        )


def look_alikes(
    roll: "Roll",
    embeddings: Embeddings,
    threshold: float,
    margin: float,
    apart: Collection[tuple[str, str]] = (),
) -> list[LookAlikes]:
    """Find all pairs of people with photographs that are nearly as alike as one person's.

    All photographs are compared: time grows with the square of their number, memory does not.

    Args:
        roll: Which template is whose.
        embeddings: The templates, (N, D), in the roll's order.
        threshold: Cosine similarity from which on two photographs are taken for one person's.
        margin: How far below it is near.
        apart: The names of any two who are known to be two people, in order.

    Returns:
        The most alike first, those of equal similarity by name.
    """
    closest: dict[tuple[int, int], tuple[float, int, int]] = {}
    reaching: dict[tuple[int, int], int] = defaultdict(int)
    rows = max(1, _PAIRS_AT_ONCE // max(1, len(embeddings)))
    for start in range(0, len(embeddings), rows):
        similarities = embeddings[start : start + rows] @ embeddings.T
        firsts, seconds = np.nonzero(similarities >= threshold - margin)
        for first, second in zip((firsts + start).tolist(), seconds.tolist(), strict=True):
            pair = int(roll.people[first]), int(roll.people[second])
            if first >= second or pair[0] == pair[1]:
                continue
            value = float(similarities[first - start, second])
            key = min(pair), max(pair)
            closest[key] = max(closest.get(key, (-2.0, 0, 0)), (value, first, second))
            reaching[key] += value >= threshold
    counts = Counter(roll.people.tolist())
    found = [
        _pair(roll, at, reaching[key] / (counts[key[0]] * counts[key[1]]), threshold)
        for key, at in closest.items()
    ]
    found = [replace(one, told_apart=(one.person, one.other) in apart) for one in found]
    return sorted(found, key=lambda pair: (-pair.cosine_similarity, pair.person, pair.other))


def by_chance(
    found: list[LookAlikes],
    roll: "Roll",
    chance: Callable[[float, npt.NDArray[np.int64]], npt.NDArray[np.float64]],
) -> list[LookAlikes]:
    """Say of pairs of people which part of those so much alike are two, given all who are compared.

    Args:
        found: The most alike first; all of them who may be told.
        roll: Which template is whose.
        chance: A similarity and the photographs of two people, (n, 2) → how likely two different
            people are so alike by any of them, (n,).

    Returns:
        The same, `above` where at most `FALSE_DISCOVERIES` are expected to be false.
    """
    counts = Counter(roll.people.tolist())
    pairs = len(roll.names) * (len(roll.names) - 1) / 2
    chances = np.array(
        [
            float(chance(one.cosine_similarity, photographs)[0])
            for one in found
            for photographs in (np.array([[counts[one.person_id], counts[one.other_id]]]),)
        ]
    )
    order = np.argsort(chances, kind="stable")
    expected = chances[order] * pairs / np.arange(1, len(found) + 1)
    # Of a pair and all that are less likely by chance: as small as that of any further on.
    parts = np.empty(len(found))
    parts[order] = np.minimum.accumulate(expected[::-1])[::-1].clip(max=1.0)
    return [
        replace(one, by_chance=part, above=part <= FALSE_DISCOVERIES)
        for one, part in zip(found, parts.tolist(), strict=True)
    ]


def closest_other(embeddings: Embeddings) -> list[float | None]:
    """Compare a person's templates (N, D): for each the cosine similarity to the closest other."""
    if len(embeddings) < 2:
        return [None] * len(embeddings)
    similarities: npt.NDArray[np.float32] = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -2)
    return [min(1.0, value) for value in similarities.max(axis=1).tolist()]


def _pair(roll: "Roll", at: tuple[float, int, int], share: float, threshold: float) -> LookAlikes:
    value, *rows = at
    (person, first, person_id), (other, second, other_id) = sorted(
        (roll.names[int(roll.people[row])], int(roll.ids[row]), int(roll.people[row]))
        for row in rows
    )
    return LookAlikes(
        person=person,
        other=other,
        cosine_similarity=min(1.0, value),
        photographs=(first, second),
        share=share,
        above=value >= threshold,
        person_id=person_id,
        other_id=other_id,
    )
