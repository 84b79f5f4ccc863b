"""What can be asked of a gallery in Milvus."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from ..inventory import AuditEntry, Operation, PhotographSummary, State
from ..results import Calibration, PersonSummary, Use
from .address import MilvusAddress
from .neighbours import (
    facts_in,
    faults_in,
    groups_by_person,
    members_in,
    roll_of,
    summaries,
    told_apart_in,
)
from .people import Who
from .remote import Collections
from .snapshot import Roll, Snapshot
from .stored import columns_of, enrolled, restorable
from .templates import EmbeddingModel, Embeddings
from .working import WorkingCopy


class ReadableMilvus:
    """Answers from the collections, or by the gallery's own rules from a copy of some rows.

    Args:
        address: Where the gallery is.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self._address = address
        self._lock = threading.RLock()
        self._collections = Collections(address)

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
        return EmbeddingModel(
            about["model_id"], about["weights_digest"], about["dimension"], about["weights_path"]
        )

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

    def person(self, who: Who, state: State = State.ENROLLED) -> PersonSummary:
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
        return facts_in(self._collections) | {"erasure": self.lingers or ""}
