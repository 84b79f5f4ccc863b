"""A gallery's vectors in Milvus, as an index: what a search looks at, never what it believes.

Milvus says which templates may be the closest ones. Each is then looked up in the store: one that
is not there is passed over, and of the others the similarity is computed from the template itself.
What Milvus can do wrong is to miss somebody, so it is asked only while it is known to hold the
present state's templates, all of them and nothing else.

Two rules make that cheap to know. Whoever writes to Milvus holds the store still meanwhile, as if
to change it: so no two do at once, on whichever machines, and nobody who was erased is put back by
somebody who had read them before. And with the vectors lies a note of the state that they are of,
by its mark, which is taken away before they are touched and put back afterwards: who finds no mark
there compares all ids.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError
from data.files import printable, private_folder, write_atomic
from data.progress import Progress

from ..storage.snapshot import Glance, Snapshot, lineage
from ..storage.store import Store
from ..templates import Embeddings, Ids
from .background import Background
from .milvus import MOST_RESULTS, MilvusAddress, MilvusError, MilvusVectors
from .roll import Line, is_past, latest_line

_log = logging.getLogger(__name__)

MOST_IN_PASSING = 2_000
"""So many vectors are put in while somebody waits for an answer; more, in the background."""

SAMPLED = 32
"""So many vectors are compared with the store's before the others are believed to be its own."""

_LEAST_SIMILAR = 0.99  # of a sampled vector to the template: some indexes keep them only nearly
_RECHECKED = 30.0  # seconds after which Milvus is asked again whether all of them are there
_PATIENCE = 1.0  # seconds that a search waits for another machine's change
_ROWS_AT_ONCE = 4_096
_FEW_AMONG = 20_000  # ids in one question, where only some count

IdsOf = Callable[[Snapshot], Ids]
"""A state's templates that are searched, by their ids (N,), ascending."""


class Note(NamedTuple):
    """What is noted beside the vectors.

    Attributes:
        gallery: The gallery's id, which changes with its network.
        network: SHA-256 of the network's weights.
        mark: That of the state whose templates they are; empty while that is not certain.
        line: The audit log's latest line when they were last touched: see `is_past`.
    """

    gallery: str
    network: str
    mark: str
    line: Line

    @property
    def state(self) -> tuple[str, str, str]:
        """What tells a state from all others. A search writes lines, and changes nothing."""
        return self[:3]

    def is_of_same(self, other: "Note") -> bool:
        """Whether both are of one gallery with one network, in whichever states."""
        return self[:2] == other[:2]

    @classmethod
    def read(cls, found: Mapping[str, Any] | None) -> "Note | None":
        """What Milvus returns; None where it is none."""
        match found:
            case {
                "gallery": str(gallery), "network": str(network), "mark": str(mark),
                "line": [int(number), str(moment)],
            }:  # fmt: skip
                return cls(gallery, network, mark, (number, moment))
        return None

    @classmethod
    def of(cls, snapshot: Snapshot, *, is_whole: bool) -> "Note":
        """What is noted of a state; without its mark unless the vectors are all there."""
        own = lineage(snapshot.connection)
        mark = own.mark if is_whole else ""
        return cls(own.gallery, snapshot.model.weights_digest, mark, latest_line(snapshot))


class MilvusIndex:
    """A gallery's index in Milvus. Not for several threads at once, but for `fill`.

    Args:
        address: Where it is.
        folder: The gallery's own; it remembers there in which indexes vectors of it are.
    """

    is_exact = False
    """What it says is compared with the store."""

    def __init__(self, address: MilvusAddress, folder: Path) -> None:
        self.address, self.dimension = address, 0
        self._folder = folder
        self._connected: MilvusVectors | None = None
        self._connecting = threading.Lock()
        self._note: Note | None = None  # as this process has last seen or written it
        self._ids: Ids = np.empty(0, np.int64)  # what Milvus held then
        self._checked = 0.0
        self._is_sampled = False
        self._lost_until, self._is_told = 0.0, False
        self._filling: Background[None] | None = None

    def __str__(self) -> str:
        return str(self.address)

    @property
    def _vectors(self) -> MilvusVectors:
        with self._connecting:
            if self._connected is None:
                self._connected = MilvusVectors(self.address)
            return self._connected

    def connect(self) -> None:
        """Connect to Milvus now.

        Raises:
            MilvusError: It does not answer, or did not a moment ago.
        """
        if self.is_lost:
            raise MilvusError(f"{self}: Milvus did not answer a moment ago")
        try:
            _ = self._vectors
        except MilvusError:
            self._lost_until = time.monotonic() + _RECHECKED
            raise

    @property
    def is_lost(self) -> bool:
        """Whether Milvus has not answered, and is not asked for a while."""
        return time.monotonic() < self._lost_until

    def close(self) -> None:
        """Stop filling it, and let go of the connection."""
        if self._filling is not None:
            self._filling.stop()
            self._filling = None
        with suppress(MilvusError):
            if self._connected is not None:
                self._connected.close()
        self._connected = None

    # Searching.

    def search(
        self, queries: Embeddings, count: int, among: Ids | None = None
    ) -> tuple[npt.NDArray[np.float32], Ids]:
        """Ask which templates may be closest to each query.

        Args:
            queries: (Q, D) unit vectors.
            count: How many for each.
            among: (n,) the ids of those that count; None: all.

        Returns:
            Similarities (Q, count), nearly so and descending, and ids (Q, count), of which the last
            are -1 where there are no more.

        Raises:
            MilvusError: It does not answer, or has lost what it held.
        """
        count = min(count, MOST_RESULTS)
        try:
            if among is None:
                similarities, ids = self._vectors.nearest(queries, count)
                if len(self._ids) and not (ids >= 0).any():
                    raise MilvusError(f"{self}: Milvus holds nothing any more")
                return similarities, ids
            found = [
                self._vectors.nearest(queries, min(count, len(some)), some)
                for some in np.array_split(among, -(-len(among) // _FEW_AMONG))
            ]
        except MilvusError as error:
            self._lose(error)
            raise
        similarities = np.concatenate([one for one, _ in found], axis=1)
        ids = np.concatenate([one for _, one in found], axis=1)
        order = np.argsort(np.where(ids < 0, 2, -similarities), axis=1, kind="stable")[:, :count]
        return np.take_along_axis(similarities, order, 1), np.take_along_axis(ids, order, 1)

    def _lose(self, error: Exception) -> None:
        """Do without Milvus for a while, and say so once."""
        if not self._is_told:
            _log.warning(
                "note: %s; until it answers, people are searched for without it: the same are "
                "found, but it may take long",
                error,
            )
        self._note, self._is_told = None, True
        self._lost_until = time.monotonic() + _RECHECKED

    # Following the store.

    def follow(
        self, store: Store, ids_of: IdsOf, open_store: Callable[[], Store] | None = None
    ) -> bool:
        """Bring Milvus to the store's present state, where that is soon done.

        Args:
            store: The truth.
            ids_of: See `IdsOf`.
            open_store: Opens it once more, for filling the index in the background; None: there is
                no time for that.

        Returns:
            Whether Milvus holds that state: whether it is worth asking.

        Raises:
            GalleryError: The gallery is encrypted by now.
        """
        with store.reading() as snapshot:
            is_encrypted, now = snapshot.is_encrypted, Note.of(snapshot, is_whole=True)
            dimension = snapshot.model.dimension
        if is_encrypted:
            self.leave(store)
        is_seen = self._note is not None and self._note.state == now.state
        moment = time.monotonic()
        if is_seen and self.dimension == dimension and moment - self._checked < _RECHECKED:
            return True
        if self.is_lost:
            return False
        try:
            return self._followed(store, ids_of, open_store)
        except MilvusError as error:
            self._lose(error)
        except GalleryError:  # somebody changes the gallery for long, or it can only be read
            self._note = None
        return False

    def is_fresh(self, glance: Glance) -> bool:
        """Whether Milvus was seen to hold the store's present state a moment ago."""
        return (
            self._note is not None
            and (self._note.gallery, self._note.mark)
            == (glance.revision.gallery, glance.revision.mark)
            and not glance.is_encrypted
            and time.monotonic() - self._checked < _RECHECKED
        )

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether it is a state that Milvus was last brought up to."""
        own = lineage(snapshot.connection)
        return self._note is not None and self._note.mark == own.mark != ""

    def _followed(
        self, store: Store, ids_of: IdsOf, open_store: Callable[[], Store] | None
    ) -> bool:
        if self._filling is not None:
            if self._filling.is_busy:
                return False
            error, self._filling = self._filling.error, None
            if error is not None:
                self._lose(error)
                return False
        with store.reading() as snapshot:
            if self._holds(snapshot, ids_of(snapshot)):
                return True
        with store.unchanging(_PATIENCE) as snapshot:
            ids = ids_of(snapshot)
            held = self._held(snapshot)
            missing = np.setdiff1d(ids, held, assume_unique=True)
            if len(missing) <= MOST_IN_PASSING:
                self._bring(snapshot, ids, held)
                return True
        if open_store is not None:
            self._filling = Background(open_store, self.fill)
        return False

    def _holds(self, snapshot: Snapshot, ids: Ids) -> bool:
        """Whether Milvus holds a state's templates, by its note, their number and a sample."""
        vectors = self._vectors
        found = Note.read(vectors.state())
        if found is None or found.state != Note.of(snapshot, is_whole=True).state:
            return False
        if vectors.dimension != snapshot.model.dimension or vectors.count() != len(ids):
            return False
        if not self._is_sampled and not self._is_sample_right(snapshot, ids):
            return False
        self._see(found, ids, snapshot)
        return True

    def _see(self, note: Note, ids: Ids, snapshot: Snapshot) -> None:
        """Believe from now on that Milvus holds these."""
        self._note, self._ids = note, ids
        self.dimension = snapshot.model.dimension
        self._checked, self._is_sampled = time.monotonic(), True
        self._lost_until, self._is_told = 0.0, False

    def _is_sample_right(self, snapshot: Snapshot, ids: Ids) -> bool:
        """Whether some vectors are nearly the templates of their ids."""
        some = np.random.default_rng().choice(ids, min(len(ids), SAMPLED), replace=False)
        some = snapshot.kept(np.sort(some))
        found = self._vectors.vectors(some) if len(some) else {}
        templates = snapshot.embeddings(some)
        return all(
            number in found and float(found[number] @ template) >= _LEAST_SIMILAR
            for number, template in zip(some.tolist(), templates, strict=True)
        )

    def _held(self, snapshot: Snapshot, *, anew: bool = False) -> Ids:
        """The ids that Milvus holds of a gallery, ascending; all else is removed from it.

        Args:
            snapshot: A state, which nobody changes before it is let go.
            anew: Remove everything.
        """
        vectors, own = self._vectors, Note.of(snapshot, is_whole=False)
        found = Note.read(vectors.state())
        is_ours = (
            found is not None
            and found.is_of_same(own)
            and is_past(snapshot, found.line)
            and vectors.dimension == snapshot.model.dimension
        )
        if is_ours and not anew:
            if self._is_as_seen(found) and vectors.count() == len(self._ids):
                return self._ids
            held = vectors.ids()
            if self._is_sample_right(snapshot, held):
                return held
        if found is not None and not found.is_of_same(own):
            _log.warning("note: %s was another gallery's index, or another network's", self)
        vectors.drop()
        vectors.create(snapshot.model.dimension)
        vectors.note(own._asdict())
        return np.empty(0, np.int64)

    def _is_as_seen(self, found: Note | None) -> bool:
        """Whether nobody else has touched the vectors since this process has."""
        own = self._note
        return own is not None and found is not None and own.mark != "" and found.state == own.state

    def _bring(self, snapshot: Snapshot, ids: Ids, held: Ids) -> None:
        """Let Milvus hold exactly a state's templates.

        Args:
            snapshot: The state, which nobody changes before it is let go.
            ids: Its templates' (N,), ascending.
            held: Milvus's, ascending.
        """
        vectors = self._vectors
        surplus = np.setdiff1d(held, ids, assume_unique=True)
        missing = np.setdiff1d(ids, held, assume_unique=True)
        note = Note.of(snapshot, is_whole=True)
        if len(surplus) or len(missing):
            self._note = None
            vectors.note(note._replace(mark="")._asdict())
            vectors.remove(surplus)
            for start in range(0, len(missing), _ROWS_AT_ONCE):
                some = missing[start : start + _ROWS_AT_ONCE]
                vectors.put(some, snapshot.embeddings(some))
            if len(missing):
                self._remember()
            vectors.settle()
        vectors.note(note._asdict())
        self._see(note, ids, snapshot)

    def fill(
        self,
        store: Store,
        check: Callable[[], None] = lambda: None,
        progress: Progress = lambda done, total: None,
        *,
        anew: bool = False,
    ) -> None:
        """Put every template in; others may use and change the gallery in between.

        Args:
            store: The truth, for this thread alone.
            check: Called now and then; raises `Stopped` where the index is not wanted any more.
            progress: Called with how many templates are in it, and of how many.
            anew: Whether what is there goes first.

        Raises:
            MilvusError: Milvus does not answer, or refuses.
            GalleryError: The gallery is encrypted; a template is damaged; or another gallery was
                restored in this one's place.
            Stopped: As `check` raised it.
        """
        with store.reading() as snapshot:
            is_encrypted = snapshot.is_encrypted
        if is_encrypted:
            self.leave(store)
        vectors = self._vectors  # not under the lock: it may take a while
        with store.unchanging() as snapshot:
            held = self._held(snapshot, anew=anew)
            began = Note.of(snapshot, is_whole=False)
            vectors.note(began._asdict())
            ids = snapshot.roll().ids
        self._remember()
        missing = np.setdiff1d(ids, held, assume_unique=True)
        for start in range(0, len(missing), _ROWS_AT_ONCE):
            check()
            with store.unchanging() as snapshot:
                _require(snapshot, began)
                some = snapshot.kept(missing[start : start + _ROWS_AT_ONCE])
                vectors.put(some, snapshot.embeddings(some))
            progress(len(ids) - len(missing) + start + len(some), len(ids))
        vectors.settle()
        with store.unchanging() as snapshot:
            _require(snapshot, began)
            ids = snapshot.roll().ids
            self._bring(snapshot, ids, self._held(snapshot))

    def described(self, snapshot: Snapshot, photographs: int) -> str:
        """Where the index is, and how much it holds, in words."""
        try:
            vectors = self._vectors
            if Note.read(vectors.state()) is None:
                return f"in {self}: not made yet; `likeness gallery index` makes it"
            return (
                f"in {self}: {vectors.server}, {vectors.index}, {vectors.count():,} of "
                f"{photographs:,} photographs; what it finds is compared as it is in the gallery"
            )
        except MilvusError as error:
            return str(error)

    # Erasing.

    def forget(self, snapshot: Snapshot) -> None:
        """Leave no vector of whoever is not in a state, and ask Milvus to let go of the bytes.

        Args:
            snapshot: The state, which nobody changes before it is let go.

        Raises:
            MilvusError: Milvus does not answer, or refuses.
        """
        vectors, own = self._vectors, Note.of(snapshot, is_whole=False)
        found = Note.read(vectors.state())
        if found is None:
            return
        self._note = None
        if not (found.is_of_same(own) and is_past(snapshot, found.line)):
            vectors.drop()  # of no use to anybody: who needs it makes it anew
            return
        vectors.note(own._asdict())
        vectors.remove(np.setdiff1d(vectors.ids(), snapshot.roll().ids, assume_unique=True))
        vectors.compact()

    def remove(self) -> None:
        """Remove everything from Milvus.

        Raises:
            MilvusError: Milvus does not answer, or refuses.
        """
        self._note = None
        self._vectors.drop()
        self._remember(is_there=False)

    def leave(self, store: Store) -> None:
        """Remove an encrypted gallery's vectors from Milvus, and refuse to go on.

        Raises:
            GalleryError: Always: the gallery is encrypted.
        """
        left = ""
        try:
            own = Note.read(self._vectors.state())
            with store.reading() as snapshot:
                is_ours = own is not None and own.gallery == snapshot.gallery_id
            if is_ours:
                self.remove()
                left = " (they have been removed from it)"
        except MilvusError as error:
            if str(self) in known_indexes(self._folder):
                left = f" (they may still be there: {error})"
        raise refusal(self.address, left)

    def _remember(self, *, is_there: bool = True) -> None:
        """Note in the gallery's folder whether vectors of it are in Milvus."""
        with suppress(OSError):
            known = set(known_indexes(self._folder))
            wanted = known | {str(self)} if is_there else known - {str(self)}
            if wanted != known:
                text = "".join(f"{one}\n" for one in sorted(wanted))
                write_atomic(private_folder(self._folder) / _KNOWN, text.encode())


_KNOWN = "index-milvus"  # a name that begins as all of an index's files do


def known_indexes(folder: Path) -> tuple[str, ...]:
    """Where in Milvus this machine has put vectors of a gallery, and not removed them."""
    try:
        lines = (folder / _KNOWN).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return ()
    return tuple(printable(line) for line in lines if line)


def refusal(address: MilvusAddress, left: str = "") -> GalleryError:
    """The error of an encrypted gallery that is to have its index in Milvus."""
    return GalleryError(
        f"the gallery is encrypted, and its vectors would be in the open in {address}{left}: "
        "leave --index and LIKENESS_INDEX out, and it is searched by an encrypted index of this "
        "machine's own"
    )


def _require(snapshot: Snapshot, began: Note) -> None:
    """Refuse to go on where the gallery is not the one that was begun with.

    Raises:
        GalleryError: It is not.
    """
    if snapshot.is_encrypted:
        raise GalleryError("the gallery is encrypted by now: its vectors are not put into Milvus")
    if snapshot.gallery_id != began.gallery or not is_past(snapshot, began.line):
        raise GalleryError("another gallery was restored in this one's place: make the index again")
