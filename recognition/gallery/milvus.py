"""A gallery in Milvus: people and templates both there, so that many machines share it."""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError

from ..inventory import Consent
from ..results import Calibration, Match
from .address import MilvusAddress
from .editing import Editor
from .loading import LoadingEditor
from .matching import Matching
from .milvus_reading import ReadableMilvus
from .neighbours import (
    named,
    scored,
)
from .people import Who
from .protocol import AnyGallery, Writer, nobody_enrolled
from .records import BATCH, Added, Adding, PersonRecord, read_records
from .remote import MOST_RESULTS
from .schema import AUDIT_DAYS
from .stored import enrolled, overdue, restorable
from .templates import EmbeddingModel, Embeddings, Template, unit_vectors
from .view import best_of
from .working import WorkingCopy, first_id_of, new_gallery

_AUDIT_SECONDS = AUDIT_DAYS * 86_400


class MilvusGallery(ReadableMilvus, AnyGallery):
    """A gallery in Milvus. What it cannot promise, `docs/scale.md` tells.

    Use `MilvusGallery.open`.
    """

    @classmethod
    def open(
        cls,
        address: MilvusAddress,
        *,
        model: EmbeddingModel | None = None,
        create: bool = False,
    ) -> "MilvusGallery":
        """Open a gallery; see `Place.open`."""
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
    def editing(self) -> Iterator[Editor]:
        """See `Editable.editing`."""
        with self._changing() as copy, copy.store.adding() as connection:
            yield LoadingEditor(connection, copy)

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
        matching: Matching = Matching.BEST,
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
