"""The class, and who is closest."""

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from data.errors import AppError, ArgumentError

from ...matching import Matching
from ...results import (
    AuditEntry,
    Calibration,
    Consent,
    Match,
    Operation,
    PersonState,
    PersonSummary,
    PhotographSummary,
    Use,
    today,
)
from ...template_attention import Rule, combined
from ..names import kept_name
from ..protocol import AnyGallery, Writer, nobody_enrolled
from ..search.searcher import best_of
from ..storage.changes import Change
from ..storage.people import Who, group_names, nobody_in
from ..storage.records import BATCH, Added, Adding, PersonRecord, read_records
from ..storage.schema import AUDIT_DAYS
from ..storage.snapshot import Roll, Snapshot
from ..templates import (
    SAME_FACE,
    EmbeddingModel,
    Embeddings,
    Template,
    faces_of,
    unit_vectors,
)
from .connection import (
    MOST_RESULTS,
    Collections,
    MilvusAddress,
    StoredRow,
    StoredTemplate,
    columns_of,
    enrolled,
    label_of,
    overdue,
    restorable,
)
from .working_copy import WorkingCopy, first_id_of, new_gallery

# What templates that Milvus returns mean: whose they are, and who is meant by a search.

_MOST_TOLD = 20


def named(row: StoredRow) -> tuple[str, str]:
    """A person's name, and since when they are enrolled."""
    columns = json.loads(row.body)
    return str(columns["name"]), str(columns["enrolled_at"])


def groups_by_person(memberships: Iterable[StoredRow]) -> dict[int, set[str]]:
    """A person's id → the groups that they are in."""
    found: dict[int, set[str]] = {}
    for row in memberships:
        found.setdefault(row.owner, set()).add(str(json.loads(row.body)["name"]))
    return found


def summaries(
    people: Iterable[StoredRow],
    photographs: Mapping[int, int],
    groups: Mapping[int, set[str]],
) -> tuple[PersonSummary, ...]:
    """A line for each person, by name.

    Two machines that enrol one name at once make two people of it; they are told as one.

    Args:
        people: Who.
        photographs: A person's id → how many there are.
        groups: A person's id → the groups that they are in.
    """
    merged: dict[tuple[str, str], PersonSummary] = {}
    for row in people:
        name, since = named(row)
        count, key = photographs.get(row.number, 0), (name, row.deleted)
        joined = groups.get(row.number, set())
        if key in merged:
            count += merged[key].photographs
            since = min(since, merged[key].enrolled_at)
            joined = joined | set(merged[key].groups)
        about = json.loads(row.body)
        merged[key] = PersonSummary(
            name=name,
            photographs=count,
            enrolled_at=since,
            consent=about["consent"],
            consented_at=about["consented_at"],
            expires_on=about["expires_on"],
            person_id=merged[key].person_id if key in merged else row.number,
            deleted_at=row.deleted or None,
            groups=tuple(sorted(joined)),
        )
    return tuple(merged[key] for key in sorted(merged))


def members_in(collections: Collections, groups: Sequence[str]) -> frozenset[int]:
    """The ids of those who are enrolled and in one of some groups; see `AnyGallery.members`."""
    found: set[int] = set()
    for group in group_names(groups):
        joined = collections.rows_in(["membership"], "label", [label_of(group)])
        people = collections.rows_in(["person"], "number", {row.owner for row in joined})
        labels = {row.label for row in people if _is_enrolled(row)}
        if not labels:
            raise nobody_in(group)
        # By name, so that those whom two machines enrolled at once are in it as one.
        namesakes = collections.rows_in(["person"], "label", sorted(labels))
        found.update(row.number for row in namesakes if _is_enrolled(row))
    return frozenset(found)


def told_apart_in(collections: Collections) -> frozenset[tuple[str, str]]:
    """The names of any two who are known to be two people; see `AnyGallery.told_apart`."""
    pairs = {
        (row.owner, owner)
        for row, owner in _enrolled_exclusions(collections, collections.rows('kind == "exclusion"'))
    }
    people = collections.rows_in(["person"], "number", {one for pair in pairs for one in pair})
    names = {row.number: named(row)[0] for row in people if _is_enrolled(row)}
    found = {(names[a], names[b]) for a, b in pairs if a in names and b in names}
    return frozenset((min(pair), max(pair)) for pair in found if pair[0] != pair[1])


def _enrolled_exclusions(
    collections: Collections, exclusions: Iterable[StoredRow]
) -> Iterator[tuple[StoredRow, int]]:
    """Exclusions whose face is enrolled, and as whose it is; see `storage.people`."""
    faces = [(row, columns_of(row)) for row in exclusions]
    digests = sorted({columns["photograph_sha256"] for _, columns in faces})
    enrolled: dict[str, list[StoredTemplate]] = {}
    for template in collections.templates_in("photograph", digests):
        enrolled.setdefault(template.photograph, []).append(template)
    for row, columns in faces:
        face = np.frombuffer(columns["embedding"], "<f4")
        for template in enrolled.get(columns["photograph_sha256"], ()):
            if float(face @ template.embedding) >= SAME_FACE:
                yield row, template.person


def roll_of(
    people: Iterable[StoredRow], templates: Iterable[StoredTemplate], dimension: int
) -> tuple[Roll, Embeddings]:
    """Which template is whose, of those who are enrolled, and the templates (N, D).

    Raises:
        GalleryError: A template is damaged.
    """
    names = {row.number: named(row)[0] for row in people}
    firsts = {name: number for number, name in sorted(names.items(), reverse=True)}
    own = sorted(
        (template for template in templates if template.person in names),
        key=lambda template: template.id,
    )
    rows = [template.embedding for template in own]
    table = np.stack(rows) if rows else np.empty((0, dimension), np.float32)
    roll = Roll(
        ids=np.array([template.id for template in own], np.int64),
        people=np.array([firsts[names[template.person]] for template in own], np.int64),
        names={number: name for name, number in firsts.items()},
    )
    return roll, unit_vectors(table, dimension)


def _is_enrolled(row: StoredRow) -> bool:
    """Whether a person is neither deleted nor past their consent."""
    return not row.deleted and (not row.expires or row.expires >= today().isoformat())


def scored(
    collections: Collections, query: Embeddings, best: Mapping[int, float], matching: Rule
) -> dict[tuple[str, int], float]:
    """Name and id → cosine similarity by a rule, of those found who are enrolled.

    Left out is whoever is known not to have this face.

    Args:
        collections: The gallery.
        query: (D,) a unit vector.
        best: A person's id → cosine similarity of their closest template.
        matching: How a person's templates are compared.
    """
    rows = collections.rows_in(["person"], "number", best)
    people = {row.number: named(row)[0] for row in rows if _is_enrolled(row)}
    excluded: dict[int, float] = {}
    exclusions = collections.rows_in(["exclusion"], "owner", people)
    taken_back = {
        row.key
        for row, owner in _enrolled_exclusions(collections, exclusions)
        if people.get(owner) == people[row.owner]
    }
    for row in exclusions:
        if row.key in taken_back:
            continue
        face = np.frombuffer(columns_of(row)["embedding"], "<f4")
        excluded[row.owner] = max(excluded.get(row.owner, -1.0), float(face @ query))
    values = {
        person: best[person] for person in people if excluded.get(person, -2.0) < best[person]
    }
    if matching is not Matching.BEST:
        templates: dict[int, list[npt.NDArray[np.float32]]] = {person: [] for person in values}
        for template in collections.templates_in("person", values):
            templates[template.person].append(template.embedding)
        values = {
            person: combined(np.stack(own) @ query, matching, np.stack(own))
            for person, own in templates.items()
            if own
        }
    ids = {people[person]: person for person in sorted(people, reverse=True)}  # see `summaries`
    found: dict[tuple[str, int], float] = {}
    for person, value in values.items():
        key = people[person], ids[people[person]]
        found[key] = max(found.get(key, -2.0), value)
    return found


def faults_in(collections: Collections, dimension: int) -> list[str]:
    """What is wrong with a gallery in Milvus, a line each; all of it is looked at."""
    found: list[str] = []
    names: dict[int, str] = {}
    for row in collections.rows('kind == "person"'):
        names[row.number] = named(row)[0]
        try:
            if kept_name(names[row.number]) != names[row.number]:
                found.append(f"the name '{names[row.number]}' is not kept in its one form")
        except AppError as error:
            found.append(str(error))
    for template in collections.templates():
        if len(found) > _MOST_TOLD:
            return [*found, "and perhaps more"]
        whose = names.get(template.person)
        if whose is None:
            found.append(
                f"template {template.id} is nobody's: a change was interrupted; it is never found"
            )
            continue
        what = "other bits than were put in"
        with suppress(AppError):
            unit_vectors(template.embedding[np.newaxis], dimension)
            what = "" if template.is_exact else what
        if what:
            found.append(f"template {template.id} of '{whose}' is damaged: {what}")
    return found


def facts_in(collections: Collections) -> dict[str, str | int]:
    """What there is to know of how a gallery in Milvus is kept."""
    address = collections.address
    return {
        "kind": collections.server,
        "index": collections.index,
        "metric": address.metric,
        "consistency": address.consistency,
        "crops": collections.count('kind == "crop" and part == 0', rows=True),
    }


# A gallery in Milvus: people and templates both there, so that many machines share it.

_AUDIT_SECONDS = AUDIT_DAYS * 86_400


class MilvusGallery(AnyGallery):
    """A gallery in Milvus. What it cannot promise, `docs/scale.md` tells.

    It answers from the collections, or by the gallery's own rules from a copy of some rows. Use
    `MilvusGallery.open`.

    Args:
        address: Where the gallery is.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self._address = address
        self._lock = threading.RLock()
        self._collections = Collections(address)

    @classmethod
    def open(
        cls,
        address: MilvusAddress,
        *,
        model: EmbeddingModel | None = None,
        create: bool = False,
    ) -> "MilvusGallery":
        """Open a gallery; see `Folder.open`."""
        gallery = cls(address)
        try:
            if not gallery._is_there:
                if model is None or not create:
                    raise nobody_enrolled(address)
                gallery._collections.create(model.dimension)
                gallery._collections.put_rows([new_gallery(model)])
            gallery._erase_overdue()
            if model is not None:
                gallery.require(model, adopt=create)
        except BaseException:
            gallery.close()
            raise
        return gallery

    @staticmethod
    def exists(address: MilvusAddress) -> bool:
        """Whether there is a gallery.

        Raises:
            GalleryError: Milvus does not answer.
        """
        with closing(MilvusGallery(address)) as gallery:
            return gallery._is_there

    def __str__(self) -> str:
        return str(self._address)

    @contextmanager
    def _copy(self, *whom: Who, crops: bool = False) -> Iterator[WorkingCopy]:
        """What is kept of some people, to be asked by the gallery's own rules."""
        with self._lock, closing(WorkingCopy(self._collections)) as copy:
            copy.load(whom, crops=crops)
            yield copy

    @contextmanager
    def _asking(self, *whom: Who, crops: bool = False) -> Iterator[Snapshot]:
        with self._copy(*whom, crops=crops) as copy, copy.store.reading() as snapshot:
            yield snapshot

    @property
    def model(self) -> EmbeddingModel:
        """See `AnyGallery.model`."""
        [row] = self._collections.rows('kind == "gallery"')
        about = columns_of(row)
        known = {one.name for one in fields(EmbeddingModel)}
        return EmbeddingModel(**{name: value for name, value in about.items() if name in known})

    @property
    def is_empty(self) -> bool:
        """See `AnyGallery.is_empty`."""
        return not self._collections.count(enrolled(), rows=True)

    @property
    def lingers(self) -> str | None:
        """See `AnyGallery.lingers`."""
        return (
            "Milvus was asked to compact, and keeps bytes of what was erased until it has; its own "
            "backups keep them longer"
        )

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """See `AnyGallery.people`."""
        rows = self._collections.rows(restorable() if deleted else enrolled())
        counts = Counter(person for _, person in self._collections.owners())
        groups = groups_by_person(self._collections.rows('kind == "membership"'))
        return summaries(rows, counts, groups)

    def person(self, who: Who, state: PersonState = PersonState.ENROLLED) -> PersonSummary:
        """See `AnyGallery.person`."""
        with self._asking(who) as snapshot:
            return snapshot.person(who, state)

    def members(self, groups: Sequence[str]) -> frozenset[int]:
        """See `AnyGallery.members`."""
        return members_in(self._collections, groups)

    def told_apart(self) -> frozenset[tuple[str, str]]:
        """See `AnyGallery.told_apart`."""
        return told_apart_in(self._collections)

    @property
    def size(self) -> tuple[int, int]:
        """See `AnyGallery.size`."""
        hidden = self._collections.rows(f'kind == "person" and not ({enrolled()})')
        out_of_sight = self._collections.count_in("person", [row.number for row in hidden])
        people = self._collections.count(enrolled(), rows=True)
        return people, self._collections.count() - out_of_sight

    def templates(self) -> tuple[Roll, Embeddings]:
        """See `AnyGallery.templates`."""
        return roll_of(
            self._collections.rows(enrolled()), self._collections.templates(), self.model.dimension
        )

    def templates_of(self, person: Who) -> tuple[list[str], Embeddings]:
        """See `AnyGallery.templates_of`."""
        with self._asking(person) as snapshot:
            return snapshot.faces_of(person)

    def calibration(self, use: Use) -> Calibration | None:
        """See `AnyGallery.calibration`."""
        with self._asking() as snapshot:
            return snapshot.calibration(use)

    def crop(self, person: Who, photograph: int | None = None) -> bytes | None:
        """See `AnyGallery.crop`."""
        with self._asking(person, crops=True) as snapshot:
            return snapshot.crop(person, photograph)

    def photographs(self, person: Who) -> tuple[PhotographSummary, ...]:
        """See `AnyGallery.photographs`."""
        with self._asking(person) as snapshot:
            return snapshot.photographs(person)

    def operations(self) -> tuple[Operation, ...]:
        """See `AnyGallery.operations`."""
        with self._asking() as snapshot:
            return snapshot.operations()

    def audit(self) -> tuple[AuditEntry, ...]:
        """See `AnyGallery.audit`."""
        rows = self._collections.rows('kind == "audit"')
        found = [AuditEntry(*columns_of(row).values()) for row in rows]
        return tuple(sorted(found, key=lambda entry: -entry.number))

    def faults(self) -> list[str]:
        """See `AnyGallery.faults`."""
        return faults_in(self._collections, self.model.dimension)

    def facts(self) -> dict[str, str | int]:
        """See `AnyGallery.facts`."""
        about = facts_in(self._collections) | faces_of(self.model)
        return about | {"erasure": self.lingers or ""}

    @property
    def _is_there(self) -> bool:
        rows = self._collections
        return rows.exist and bool(rows.count('kind == "gallery"', rows=True))

    @contextmanager
    def _changing(self, *whom: Who) -> Iterator[WorkingCopy]:
        self._erase_overdue()
        with self._copy(*whom) as copy:
            yield copy
            copy.put_back()
        self._collections.remove_older("audit", first_id_of(time.time() - _AUDIT_SECONDS))

    def adopt(self, model: EmbeddingModel) -> bool:
        """See `AnyGallery.adopt`."""
        with self._copy() as copy:
            if self._collections.count():
                return False
            with copy.store.reading() as snapshot:
                other = snapshot.model.dimension != model.dimension
            if other:
                self._collections.drop_templates()
                self._collections.create_templates(model.dimension)
            adopted = copy.store.adopt(model)
            copy.put_back()
            return adopted

    @property
    def is_in_place(self) -> bool:
        """Nothing is kept here that could be outdated: each question is Milvus's to answer."""
        return True

    def calibrate(self, calibrations: Sequence[Calibration]) -> None:
        """See `AnyGallery.calibrate`."""
        with self._copy() as copy:
            copy.store.calibrate(calibrations)
            copy.put_back()

    def enrol_all(
        self,
        people: Sequence[tuple[str, Sequence[Template]]],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> list[dict[int, str]]:
        """See `AnyGallery.enrol_all`."""
        with self._changing(*(person for person, _ in people)) as copy:
            copy.load_photographs(
                template.photograph_sha256 for _, templates in people for template in templates
            )
            return copy.store.enrol_all(people, consent, groups)

    @contextmanager
    def editing(self) -> Iterator[Change]:
        """See `AnyGallery.editing`."""
        with self._changing() as copy, copy.store.adding() as connection:
            yield Change(connection, copy)

    def erase(self, who: Who) -> None:
        """See `AnyGallery.erase`."""
        with self._changing(who) as copy:
            copy.load_exclusions_of_faces()
            copy.store.erase(who)
        self._collections.compact()

    def tidy(self) -> None:
        """See `AnyGallery.tidy`."""
        self._erase_overdue()

    def _erase_overdue(self) -> None:
        gone = self._collections.rows(overdue())
        if gone:
            with self._copy() as copy:
                copy.load_people(gone)
                copy.load_exclusions_of_faces()
                copy.load_audit()
                erased = copy.store.erase_overdue()
                copy.put_back()
            if erased:
                self._collections.compact()

    def search(
        self,
        vectors: npt.NDArray[np.floating],
        k: int,
        matching: Rule = Matching.BEST,
        among: Collection[int] | None = None,
    ) -> list[list[Match]]:
        """See `AnyGallery.search`."""
        if k < 1:
            raise ArgumentError(f"asked for the best {k} people: ask for at least 1")
        queries = unit_vectors(vectors, self.model.dimension)

        def look(query: Embeddings, count: int) -> tuple[dict[tuple[str, int], float], float, bool]:
            hits = self._collections.nearest(query, count, among)
            best: dict[int, float] = {}
            for person, value in hits:
                best.setdefault(person, value)
            found = scored(self._collections, query, best, matching)
            return found, hits[-1][1] if hits else -1.0, len(hits) < count

        return [
            best_of(lambda count, query=query: look(query, count), k, MOST_RESULTS)  # type: ignore[misc]
            for query in queries
        ]

    @contextmanager
    def records(self) -> Iterator[Iterator[PersonRecord]]:
        """Everybody, some at a time: what is changed meanwhile may be in it or not."""
        yield self._records()

    def _records(self) -> Iterator[PersonRecord]:
        rows = [
            row
            for condition in (enrolled(), restorable())
            for row in self._collections.rows(condition)
        ]
        rows.sort(key=lambda row: (named(row)[0], row.deleted, row.number))
        for start in range(0, len(rows), BATCH):
            with self._copy() as copy:
                copy.load_people(rows[start : start + BATCH], crops=True)
                copy.refuse_other_bits()
                with copy.store.reading() as snapshot:
                    yield from read_records(snapshot)

    @contextmanager
    def adding(self) -> Iterator[Writer]:
        """Put people in, batch after batch; a batch that is interrupted is done again."""

        def add(records: Sequence[PersonRecord]) -> Added:
            with self._changing(*(record.name for record in records)) as copy:
                copy.load_photographs(
                    template.photograph_sha256 for one in records for template in one.templates
                )
                with copy.store.adding() as connection:
                    added = Adding(connection, written_down=False)(records)
            self._collections.settle()
            return added

        yield add

    def close(self) -> None:
        """See `AnyGallery.close`."""
        self._collections.close()
