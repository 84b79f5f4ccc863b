"""What can be asked of a gallery."""

import threading
from collections.abc import Sequence

from ..inventory import AuditEntry, Operation, PhotographSummary, State
from ..results import Calibration, PersonSummary, Use
from .enrolling import photographs_known
from .names import person_name
from .people import Who
from .snapshot import Roll
from .store import Store
from .templates import EmbeddingModel, Embeddings


class Readable:
    """Answers each question from one state of a store. Safe for several threads.

    Args:
        store: The truth.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()

    @property
    def model(self) -> EmbeddingModel:
        """Whose embeddings the gallery holds."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.model

    @property
    def is_empty(self) -> bool:
        """Whether nobody is enrolled, leaving out those who are deleted."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.is_empty

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.people(deleted=deleted)

    def named(self, name: str) -> tuple[PersonSummary, ...]:
        """Everybody enrolled under a name; see `AnyGallery.named`."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.named(name)

    def members(self, groups: Sequence[str]) -> frozenset[int]:
        """The ids of those who are in one of some groups; see `Snapshot.members`."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.members(groups)

    @property
    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.size()

    def templates(self) -> tuple[Roll, Embeddings]:
        """Which template is whose, and the templates themselves, (N, D)."""
        with self._lock, self._store.reading() as snapshot:
            roll = snapshot.roll()
            return roll, snapshot.embeddings(roll.ids)

    def person(self, who: Who, state: State = State.ENROLLED) -> PersonSummary:
        """One person, who is to be changed; see `Snapshot.person`."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.person(who, state)

    def templates_of(self, person: Who) -> tuple[list[str], Embeddings]:
        """The SHA-256 of a person's photographs, and their templates (N, D) in that order.

        Raises:
            GalleryError: Nobody has that name.
        """
        with self._lock, self._store.reading() as snapshot:
            return snapshot.faces_of(person)

    def told_apart(self) -> frozenset[tuple[str, str]]:
        """Who is known to be two people; see `Snapshot.told_apart`."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.told_apart()

    def photographs_known(self, person: str) -> frozenset[str]:
        """The SHA-256 of the photographs that are enrolled under a name; none of nobody's."""
        with self._lock, self._store.reading() as snapshot:
            return photographs_known(snapshot.connection, person_name(person))

    def calibration(self, use: Use) -> Calibration | None:
        """The gallery's own threshold for a use; None if there is none for its model."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.calibration(use)

    def crop(self, person: Who, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph; see `Snapshot.crop`."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.crop(person, photograph)

    def photographs(self, person: Who) -> tuple[PhotographSummary, ...]:
        """What somebody is enrolled by; see `Snapshot.photographs`."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.photographs(person)

    def operations(self) -> tuple[Operation, ...]:
        """What can be undone, the latest first."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.operations()

    def audit(self) -> tuple[AuditEntry, ...]:
        """Who did what, in ids, the latest first."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.audit()
