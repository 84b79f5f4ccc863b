"""Who is enrolled, and who of them is closest to a face: the store and its index as one thing."""

import logging
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError, GalleryError
from data.files import printable, private_folder
from data.progress import Progress
from data.temporary import sweep

from ..matching import Matching
from ..results import (
    AuditEntry,
    Calibration,
    Consent,
    Match,
    Operation,
    PersonState,
    PersonSummary,
    PhotographSummary,
    Use,
)
from ..template_attention import Rule, TemplateAttention
from .names import person_name
from .search.index_file import IndexCache
from .search.kinds import Kind, plan_of, read_kind, write_kind
from .storage.audit import Action
from .storage.changes import (
    Change,
    Editor,
    back_again,
    count_erased,
    erased_in,
    photographs_known,
    read_erased,
    write_erased,
)
from .storage.encryption import FindSecret, IsGiven, Keep, new_secret
from .storage.integrity import facts_of, faults_of
from .storage.people import Who
from .storage.postgres_address import PostgresAddress
from .storage.records import PersonRecord, RecordWriter, read_records
from .storage.snapshot import Glance, Revision, Roll, Snapshot
from .storage.store import (
    COMING,
    FORMER,
    Store,
    erase_from_former,
    forget_coming,
    has_former,
)
from .templates import (
    EmbeddingModel,
    Embeddings,
    Ids,
    Template,
    preprocessing_of,
    unit_vectors,
    way_to_re_embed,
)

if TYPE_CHECKING:
    from .search.milvus import MilvusAddress
    from .search.milvus_index import MilvusIndex
    from .search.searcher import Views

_MOST_TOLD = 10
_PATIENCE = 5.0  # seconds that a search waits for another machine's change
_log = logging.getLogger(__name__)

DATABASE = "gallery.sqlite"
"""The file that holds everything; all else in the folder can be made again."""

ASIDE = "damaged-"
"""What the name of a folder within the gallery's begins with that holds a damaged one."""


def aside_in(folder: Path) -> tuple[Path, ...]:
    """The damaged galleries that restorations have put aside in a gallery's folder."""
    return tuple(path for path in sorted(folder.glob(f"{ASIDE}*")) if path.is_dir())


def nobody_enrolled(place: object) -> GalleryError:
    """The error of a gallery that is asked who somebody is and knows nobody."""
    return GalleryError(
        f"nobody is enrolled in {place}: enrol somebody first, "
        "`likeness enroll PHOTOGRAPH --name NAME`"
    )


class Gallery:
    """People enrolled with one model's embeddings, and who of them is closest to a face.

    It is kept in a folder, or on a server. Safe for several threads and processes at once: every
    search first asks the store whether anything has changed, by this process or another.

    Use `Gallery.open`; close it, or use it in a `with` statement.

    Args:
        folder: The gallery's, or where this machine keeps its index of one on a server.
        find_secret: Asked for what opens it, if it is encrypted.
        is_given: See `Lock`.
        server: Where its database is; None: in the folder.
        index: Where in Milvus its vectors are searched; None: this machine has an index.
    """

    def __init__(
        self,
        folder: Path,
        find_secret: FindSecret = lambda _: None,
        is_given: IsGiven = lambda: False,
        server: PostgresAddress | None = None,
        index: "MilvusAddress | None" = None,
    ) -> None:
        self._server, self._index = server, index
        self._ask, self._secrets = find_secret, dict[str, str | None]()
        self._is_given = is_given
        self._folder = folder
        self._lock = threading.RLock()
        self._store = self._open_store()
        self._cache = IndexCache(folder / "index")
        self._erased: int | None = None  # how many rows, as far as this machine's index knows
        self._tidied: Revision | None = None  # the state in which this was looked at
        # By the attention that counts them: of which state, people, photographs.
        self._different: dict[TemplateAttention | None, tuple[Revision, Ids, Ids]] = {}

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        model: EmbeddingModel | None = None,
        create: bool = False,
        find_secret: FindSecret = lambda _: None,
        is_given: IsGiven = lambda: False,
        server: PostgresAddress | None = None,
        index: "MilvusAddress | None" = None,
    ) -> "Gallery":
        """Open the gallery in a folder, or on a server.

        Args:
            folder: Where it is kept, or this machine's index of it.
            model: Whose embeddings will be enrolled or searched; None asks for no agreement, which
                is enough for reading names and for changing them.
            create: Make an empty gallery where there is none, and let one without anybody take up
                the model; needs `model`.
            find_secret: Called with the id of the gallery's key if it is encrypted, for the
                passphrase or key that opens it; None if it cannot be had.
            is_given: Whether the user has given a passphrase or key: then a gallery that is not
                encrypted is refused, and a new one is encrypted by it.
            server: Where its database is; None: in the folder.
            index: Where in Milvus its vectors are searched; None: this machine has an index.

        Raises:
            GalleryError: There is none (and `create` is False), its database is missing, empty,
                damaged or of a newer version, or it holds another model's embeddings; or it is
                encrypted, and its vectors would be in the open in Milvus.
            LockedError: It is encrypted, and the passphrase or key is missing or wrong.
        """
        sweep(folder, folder / "index", Path(tempfile.gettempdir()))
        if not cls.exists(folder, server):
            if model is None or not create:
                raise nobody_enrolled(server or folder)
            if index is not None and is_given():
                from .search.milvus_index import refusal

                raise refusal(index)
            Store.create(server or private_folder(folder) / DATABASE, model)
            if is_given():
                with closing(cls(folder, find_secret, server=server)) as made:
                    secret = find_secret("")
                    if secret is not None and not made.is_encrypted and made.is_empty:
                        made.encrypt(secret)
        gallery = cls(folder, find_secret, is_given, server, index)
        try:
            if gallery._elsewhere is not None and gallery.is_encrypted:
                gallery._elsewhere.leave(gallery._store)
            gallery._erase_overdue()
            # Those of a change that was killed on its way.
            with suppress(GalleryError):
                gallery.wipe_traces()
            gallery._tell_who_is_back()
            if model is not None:
                gallery.require(model, adopt=create)
        except BaseException:
            gallery.close()
            raise
        return gallery

    @staticmethod
    def exists(folder: Path, server: PostgresAddress | None = None) -> bool:
        """Whether a folder holds a gallery, or a server does.

        Raises:
            GalleryError: The folder holds the remains of one: an index, a log or the former
                embeddings without their database; or the server does not answer.
        """
        if server is not None:
            from .storage.postgres import database_exists  # brings psycopg

            return database_exists(server)
        database = folder / DATABASE
        if database.exists():
            return True
        if has_former(folder):
            raise GalleryError(
                f"the database {printable(database)} is missing, and {FORMER} beside it is the "
                f"gallery as it was before it was embedded anew: `likeness gallery restore "
                f"{printable(folder / FORMER)}` brings that back"
            )
        log = database.with_name(f"{DATABASE}-wal")
        if log.exists() or (folder / COMING).exists() or IndexCache(folder / "index").exists:
            raise GalleryError(
                f"the database {database} is missing beside its own files: "
                f"restore it from a backup, or remove {folder} to begin anew"
            )
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __str__(self) -> str:
        """Where it is, for messages; no secret is in it."""
        return str(self._server or self._folder)

    def require(self, model: EmbeddingModel, *, adopt: bool = False) -> None:
        """Make sure that a model's embeddings may be searched or enrolled here.

        Args:
            model: The model.
            adopt: Let a gallery without anybody take up the model.

        Raises:
            GalleryError: The gallery holds embeddings of another model, or of faces that another
                detector found or that were aligned otherwise; the message names both.
        """
        own = self.model
        if own.fits(model) or (adopt and self.adopt(model)):
            return
        if own.is_same_network(model):

            def told(one: EmbeddingModel) -> str:
                return ", ".join(f"{what} {name}" for what, name in preprocessing_of(one).items())

            raise GalleryError(
                f"the faces of the gallery {self} are of {told(own)}, and cannot be "
                f"compared with those of {told(model)}: leave the choice of the detector to the "
                "gallery, give another --home or --gallery, or embed everybody anew with "
                + way_to_re_embed(own.model_id, in_folder=self.is_in_folder)
            )
        raise GalleryError(
            f"the gallery {self} was made with {own} and cannot be used with "
            f"{model}: leave the choice of model and weights to the gallery, give another --home "
            f"or --gallery, or move it with {way_to_re_embed(in_folder=self.is_in_folder)}"
        )

    # What can be asked: each answer from one state of the store.

    @property
    def is_in_folder(self) -> bool:
        """Whether it is kept in a folder of this machine: there alone it is embedded anew."""
        return self._server is None

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

    def named(self, name: str) -> tuple[PersonSummary, ...]:
        """Everybody enrolled under a name, in the form that `person_name` gives it."""
        with self._lock, self._store.reading() as snapshot:
            return snapshot.named(name)

    def members(self, groups: Sequence[str]) -> frozenset[int]:
        """The ids of those who are enrolled and in one of some groups.

        Raises:
            ArgumentError: One of them cannot be a name.
            GalleryError: Nobody is in one of them.
        """
        with self._lock, self._store.reading() as snapshot:
            return snapshot.members(groups)

    def templates(self) -> tuple[Roll, Embeddings]:
        """Which template is whose, and the templates themselves, (N, D).

        Raises:
            GalleryError: A template is damaged.
        """
        with self._lock, self._store.reading() as snapshot:
            roll = snapshot.roll()
            return roll, snapshot.embeddings(roll.ids)

    def person(self, who: Who, state: PersonState = PersonState.ENROLLED) -> PersonSummary:
        """One person, who is to be changed.

        Args:
            who: The id, or a name.
            state: How things stand with them.

        Raises:
            AmbiguousError: Several people are meant.
            GalleryError: Nobody is.
        """
        with self._lock, self._store.reading() as snapshot:
            return snapshot.person(who, state)

    def templates_of(self, person: Who) -> tuple[list[str], Embeddings]:
        """The SHA-256 of a person's photographs, and their templates (N, D) in that order.

        Raises:
            GalleryError: Nobody has that name, or a template is damaged.
        """
        with self._lock, self._store.reading() as snapshot:
            return snapshot.templates_of(person)

    def told_apart(self) -> frozenset[tuple[str, str]]:
        """The names of any two who are known to be two people, in order.

        Raises:
            GalleryError: A template or an exclusion is damaged.
        """
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
        """The aligned face of a person's photograph as a picture file; None if none was kept.

        Args:
            person: The person.
            photograph: Its number; None takes the first one whose face was kept.

        Raises:
            AmbiguousError: Several people are meant.
            GalleryError: Nobody is.
        """
        with self._lock, self._store.reading() as snapshot:
            return snapshot.crop(person, photograph)

    def photographs(self, person: Who) -> tuple[PhotographSummary, ...]:
        """What somebody is enrolled by, in the order of their numbers.

        Raises:
            AmbiguousError: Several people are meant.
            GalleryError: Nobody is, or a template is damaged.
        """
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

    # Searching, its index, and what an erasure leaves.

    @cached_property
    def _views(self) -> "Views":
        # FAISS takes a third of a second, which who lists or renames people need not wait for.
        from .search.searcher import Views

        return Views(
            self._store,
            self._cache,
            self._open_store,
            lambda: read_kind(self._folder),
            self._elsewhere,
        )

    @cached_property
    def _elsewhere(self) -> "MilvusIndex | None":
        """The index in Milvus, which nobody has connected to yet."""
        if self._index is None:
            return None
        from .search.milvus_index import MilvusIndex

        return MilvusIndex(self._index, self._folder)

    def _find_secret(self, key_id: str) -> str | None:
        if key_id not in self._secrets:  # nobody is asked twice
            self._secrets[key_id] = self._ask(key_id)
        return self._secrets[key_id]

    def _open_store(self) -> Store:
        place = self._server or self._folder / DATABASE
        return Store(place, self._find_secret, lambda: self._is_given())

    def _erase_overdue(self) -> Glance | None:
        """Let those go whose time is over, where the gallery can be written.

        Where it cannot, they are neither listed nor restored, and the next change tries again.

        Returns:
            What the gallery is now; None where that cannot be read at once.
        """
        with self._lock:
            glance = None
            with suppress(GalleryError):
                glance = self._store.glance()
                if glance.is_overdue:
                    if self._store.erase_overdue():
                        self.wipe_traces()
                    glance = self._store.glance()
            if self._server is not None and (glance is None or glance.revision != self._tidied):
                self._forget_erased_elsewhere()
                self._tidied = None if glance is None else glance.revision
            return glance

    def _forget_erased_elsewhere(self) -> None:
        """Leave nothing, in this machine's index, of whoever another machine has erased.

        Raises:
            GalleryError: The server cannot be reached, or the index cannot be removed.
        """
        with self._lock:
            if self._erased is None:
                with self._store.reading() as snapshot:
                    count = count_erased(snapshot.connection)
                    if self._knows_all_erased(snapshot):
                        self._erased = count
            else:
                count = self._store.count_erased()
            if count == self._erased:  # nobody was erased elsewhere since
                return
            with suppress(GalleryError):  # else whoever searches next takes them out
                self._forget_in_milvus(_PATIENCE)
            try:
                try:
                    with self._store.unchanging(_PATIENCE) as snapshot:
                        self._cache.forget(snapshot)
                        self._note_erased(snapshot)
                except GalleryError:
                    # Somebody changes it for long. An index is only ever written while nobody
                    # does, so none that holds them comes back after this.
                    with self._store.reading() as snapshot:
                        self._cache.clear()
                        self._note_erased(snapshot)
            except OSError as error:
                raise GalleryError(
                    f"cannot remove the index in {self._folder} ({error}), in which somebody is "
                    "who was erased: remove it"
                ) from error

    def _knows_all_erased(self, snapshot: Snapshot) -> bool:
        """Whether what is kept on this machine of who was erased is what a state says."""
        known, erased = read_erased(self._folder), erased_in(snapshot.connection)
        return erased <= known and all(
            origin != snapshot.origin_id for origin, _, _ in known - erased
        )

    def _note_erased(self, snapshot: Snapshot) -> None:
        write_erased(private_folder(self._folder), snapshot.connection)
        self._erased = count_erased(snapshot.connection)

    def _tell_who_is_back(self) -> None:
        """Say so where the database is an older one, with people who were erased since."""
        with self._lock, self._store.reading() as snapshot:
            back = back_again(self._folder, snapshot.connection)
        if back:
            _log.warning(
                "note: the gallery %s is an older one by now, and %s erased since, or photographs "
                "of theirs (by person_id: %s): `likeness people erase --id` erases anew%s",
                self,
                f"{len(back):,} {'person was' if len(back) == 1 else 'people were'}",
                ", ".join(map(str, back[:_MOST_TOLD])) + (", …" if len(back) > _MOST_TOLD else ""),
                ""
                if self._server
                else "; next time let `likeness gallery restore` put a backup in its place",
            )

    def wipe_traces(self) -> None:
        """Wipe what erased people left in the files, also after a kill in the middle of it.

        Raises:
            GalleryError: Another program is in the way; the next change tries again.
        """
        if not self._store.glance().traces_remain:
            return
        # No process writes an index that still holds them after this: `Views` would notice.
        try:
            with self._store.unchanging() as snapshot:
                self._cache.forget(snapshot)
                write_erased(private_folder(self._folder), snapshot.connection)
                erased = erased_in(snapshot.connection)
                self._erased, since = len(erased), snapshot.traces_since
        except OSError as error:
            raise GalleryError(
                f"cannot remove the index in {self._folder} ({error}), so traces of what was "
                "erased remain in it: remove it, or check its permissions and erase again"
            ) from error
        self._forget_in_milvus()
        self._store.wipe_traces(
            lambda: erase_from_former(self._folder, erased, self._find_secret), since
        )

    def _forget_in_milvus(self, wait: float | None = None) -> None:
        """Leave no vector, in Milvus, of whoever was erased.

        Raises:
            GalleryError: Milvus does not answer, and whoever opens the gallery next tries again; or
                somebody changes the gallery for longer than `wait`.
        """
        if self._elsewhere is None:
            return
        from .search.milvus import MilvusError

        try:
            self._elsewhere.connect()  # not while nobody else can change anything
            with self._store.unchanging(wait) as snapshot:
                self._elsewhere.forget(snapshot)
        except MilvusError as error:
            raise GalleryError(
                "who was erased is gone from the gallery, but not their vectors from Milvus, where "
                f"they lie without a name until the next change, or opening, reaches it: {error}"
            ) from error

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored."""
        self._erase_overdue()
        with self._lock, self._store.reading() as snapshot:
            return snapshot.people(deleted=deleted)

    def tidy(self) -> None:
        """Erase whoever's time is over, as every opening, listing, search and change does."""
        self._erase_overdue()

    def search(
        self,
        vectors: npt.NDArray[np.floating],
        k: int,
        matching: Rule = Matching.BEST,
        among: Collection[int] | None = None,
    ) -> list[list[Match]]:
        """Find the people closest to each query, without those who are excluded from it.

        Args:
            vectors: (Q, D) unit vectors.
            k: How many people to find, at least 1.
            matching: How a person's photographs are compared; attention by what was trained for it.
            among: The ids of the people who may be found; None: everybody.

        Returns:
            For each query at most k people, best first, those of equal similarity by name.

        Raises:
            ArgumentError: k is less than 1.
            GalleryError: The queries are not unit vectors of the gallery's dimension, or a template
                is damaged.
        """
        if k < 1:
            raise ArgumentError(f"asked for the best {k} people: ask for at least 1")
        with self._lock:
            glance = self._erase_overdue()
            try:
                return self._searched(glance, vectors, k, matching, among)
            except GalleryError:
                if self._elsewhere is None or not self._elsewhere.is_lost:
                    raise
                return self._searched(None, vectors, k, matching, among)  # without Milvus

    def _searched(
        self,
        glance: Glance | None,
        vectors: npt.NDArray[np.floating],
        k: int,
        matching: Rule,
        among: Collection[int] | None,
    ) -> list[list[Match]]:
        with self._views.current(glance) as view:
            queries = unit_vectors(vectors, view.dimension)
            return view.search(queries, k, matching, among)

    def photographs_a_person(
        self,
        among: Collection[int] | None = None,
        attention: TemplateAttention | None = None,
    ) -> dict[int, int]:
        """How many photographs → how many people are enrolled by so many.

        Photographs of a person that are all but the same count once.

        Args:
            among: The ids of the people who count; None: everybody.
            attention: Counts as many of a person's as weigh alike by it, or fewer.
        """
        with self._lock, self._views.current(self._store.glance()) as view:
            known = self._different.get(attention)
            if known is None or known[0] != view.revision:
                known = view.revision, *view.different_photographs(attention)
                self._different[attention] = known
            _, people, counts = known
            if among is not None:
                counts = counts[np.isin(people, np.fromiter(among, np.int64))]
            each, number = np.unique(counts, return_counts=True)
            return dict(zip(each.tolist(), number.tolist(), strict=True))

    @property
    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""
        with self._lock, self._store.reading() as snapshot:
            return self._views.size(snapshot)

    def make_index(
        self, kind: Kind | None = None, progress: "Progress" = lambda done, total: None
    ) -> str:
        """Make the index that fits the gallery now.

        Others may use the gallery meanwhile.

        Args:
            kind: Which kind it has from now on; None: the one that was chosen before.
            progress: Called with how many templates are in it, and of how many.

        Returns:
            Which index that is, and why, in words.

        Raises:
            ArgumentError: A kind is chosen, and the index is in Milvus, whose address says which.
            GalleryError: A template is damaged, or the index cannot be written.
        """
        if self._elsewhere is not None:
            if kind is not None:
                raise ArgumentError(
                    f"--kind {kind} is for an index of this machine's own: in Milvus the address "
                    "says which, as milvus://HOST/NAME?index=HNSW"
                )
            with closing(self._open_store()) as store:
                self._elsewhere.fill(store, progress=progress, anew=True)
            with self._lock, self._store.reading() as snapshot:
                return self._elsewhere.described(snapshot, snapshot.size()[1])
        from .search.builder import build_index

        try:
            if kind is None:
                kind = read_kind(self._folder)
            write_kind(self._folder, kind)
            with closing(self._open_store()) as store:
                build_index(store, self._cache, partial(plan_of, kind), progress=progress)
        except OSError as error:
            reason = error.strerror or error
            raise GalleryError(f"cannot write the index in {self._folder}: {reason}") from error
        with self._lock, self._store.reading() as snapshot:
            return self._views.described(snapshot)

    # Changes.

    def adopt(self, model: EmbeddingModel) -> bool:
        """Take up another model, which only a gallery without anybody can.

        Returns:
            Whether the gallery is now that model's.

        Raises:
            GalleryError: The gallery cannot be written.
        """
        with self._lock:
            return self._store.adopt(model)

    @property
    def is_in_place(self) -> bool:
        """Whether this is still the gallery in its place: neither removed nor replaced."""
        return self._store.is_in_place

    def remove_index(self) -> str:
        """Remove the vectors from Milvus.

        Returns:
            From where.

        Raises:
            ArgumentError: No index in Milvus is named.
            GalleryError: Milvus does not answer, or refuses.
        """
        if self._elsewhere is None:
            raise ArgumentError("name the index to remove: --index milvus://HOST/NAME")
        self._elsewhere.remove()
        return str(self._elsewhere)

    @property
    def lingers(self) -> str | None:
        """What an erasure leaves for a while, in one line; None where it leaves no byte.

        It leaves none where the gallery is in a folder and searched on this machine.
        """
        left = [*self._lingering_in_milvus(), *self._lingering_on_the_server()]
        return "; ".join(left) or None

    def _lingering_in_milvus(self) -> Iterator[str]:
        if self._index is not None:
            yield (
                "Milvus has removed their vectors, and keeps bytes of them until it has compacted, "
                "as it was asked to; its own backups keep them longer"
            )
        if others := self._other_indexes():
            yield (
                f"their vectors may still be in {' and '.join(others)}, until a command with "
                "--index reaches it"
            )

    def _other_indexes(self) -> list[str]:
        """Where in Milvus vectors have been put that the index named now is not."""
        from .search.milvus_index import known_indexes

        return [one for one in known_indexes(self._folder) if one != str(self._index)]

    def _lingering_on_the_server(self) -> Iterator[str]:
        if self._server is None:
            return
        yield (
            "the server's own files may keep bytes of them for a while: its tables until the space "
            "is used again, its write-ahead log until that is recycled, standbys likewise, and its "
            "backups as long as they are kept"
        )

    @property
    def older_rows_linger(self) -> str | None:
        """What is left of rows that were encrypted, or by another key; None where no byte is."""
        if self._server is None:
            return None
        return (
            "what was kept before stays as it was in the server's own files: in its tables until "
            "`VACUUM FULL`, in its write-ahead log until that is recycled, in standbys likewise, "
            "and in its backups as long as they are kept"
        )

    def calibrate(self, calibrations: Sequence[Calibration]) -> None:
        """Keep the gallery's own threshold for each use, in place of earlier ones.

        Raises:
            GalleryError: The gallery is by now another model's, or cannot be written.
        """
        with self._lock:
            self._store.calibrate(calibrations)

    def enrol(
        self,
        person: str,
        templates: Sequence[Template],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> dict[int, str]:
        """Enrol photographs under a name; see `enrol_all`.

        Returns:
            Position in `templates` → under which name that one is enrolled already.
        """
        (left_out,) = self.enrol_all([(person, templates)], consent, groups)
        return left_out

    def enrol_all(
        self,
        people: Sequence[tuple[str, Sequence[Template]]],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> list[dict[int, str]]:
        """Enrol several people's photographs as one change; see `Store.enrol_all`."""
        with self._changing():
            return self._store.enrol_all(people, consent, groups)

    @property
    def edit(self) -> Editor:
        """What is done to the people by hand, each an operation that can be undone."""
        return Editor(self.editing)

    @contextmanager
    def editing(self) -> Iterator[Change]:
        """One change by hand, for `Editor`: all of it, or nothing.

        Raises:
            GalleryError: The gallery cannot be written.
        """
        with self._changing(), self._store.editing() as change:
            yield change

    def note_search(self, people: Sequence[int]) -> None:
        """Write down whom a search has named; see `audit`."""
        with self._lock:
            self._store.note_search(people)

    def erase(self, who: Who) -> None:
        """Remove a person for good, enrolled or deleted; `lingers` tells what that leaves.

        In a folder, when this returns, no byte of them is left in any file.

        Raises:
            AmbiguousError: Several people have that name, of whom all but one are deleted.
            GalleryError: Nobody has that name or id; or the person is gone but another program is
                in the way of wiping the traces, which the next change does.
        """
        self._refuse_aside("erase somebody")
        with self._lock:
            self._erase_overdue()
            with self._store.reading() as snapshot:
                person = snapshot.person(who, PersonState.KEPT).person_id
            self._store.erase(person)
            self.wipe_traces()

    @property
    def is_encrypted(self) -> bool:
        """Whether everything that tells of a person is encrypted at rest."""
        with self._lock:
            return self._store.is_encrypted

    def encrypt(
        self, secret: str, keep: Keep | None = None, *, whatever_was_put_aside: bool = False
    ) -> None:
        """Encrypt everything that tells of a person; nothing plain is left in any file.

        Args:
            secret: A passphrase of at least 8 characters, or a key of 64 hexadecimal digits.
            keep: Called with the id of the gallery's key and the secret; if it fails nothing is
                changed.
            whatever_was_put_aside: Whether a damaged gallery beside this one may stay plain.

        Raises:
            ArgumentError: The passphrase is too short, or easy to guess.
            GalleryError: It is encrypted already, or a damaged one is beside it, in plain; or it is
                encrypted now, but another program is in the way of wiping what was plain, which the
                next opening does.
        """
        if not whatever_was_put_aside:
            self._refuse_aside("encrypt the gallery")
        if others := self._other_indexes():
            raise GalleryError(
                f"vectors of the gallery are in the open in {others[0]}: first "
                f"`likeness gallery index --remove --index {others[0]}`, then encrypt the gallery; "
                f"if it is there no more, remove the file index-milvus in {self._folder}"
            )
        if self._elsewhere is not None:
            self._elsewhere.remove()
        self._change_key(Action.ENCRYPT, new_secret(secret, self._names()), keep)

    def decrypt(self) -> None:
        """Keep everything as it is from now on; refused where that is so already."""
        self._change_key(Action.DECRYPT, None)
        self._is_given = lambda: False

    def rotate(self, secret: str, keep: Keep | None = None, *, data_key: bool = False) -> None:
        """Let another passphrase or key open the gallery, and the present one no longer.

        Args:
            secret: The new one; see `encrypt`.
            keep: As for `encrypt`.
            data_key: Encrypt every row anew by another key, too: who copied the gallery's files
                before and knew the old passphrase reads nothing of what is written from now on.

        Raises:
            ArgumentError: The passphrase is too short, or easy to guess.
            GalleryError: It is not encrypted; or as in `encrypt`.
        """
        action = Action.ROTATE if data_key else Action.REWRAP
        self._change_key(action, new_secret(secret, self._names()), keep)

    def _names(self) -> Iterator[str]:
        """The names of those enrolled."""
        return (person.name for person in self.people())

    def _refuse_aside(self, what: str) -> None:
        """Refuse what a damaged gallery beside this one would make a lie of.

        Raises:
            GalleryError: There is one.
        """
        aside = aside_in(self._folder)
        if aside:
            raise GalleryError(
                f"{printable(aside[0])} keeps everybody as they were when a damaged gallery was "
                f"put aside: take from it what you need, remove it with "
                f"`likeness gallery put-aside --remove`, and then {what}"
            )

    def _change_key(self, action: Action, secret: str | None, keep: Keep | None = None) -> None:
        def remember(key_id: str, new: str) -> None:
            if keep is not None:
                keep(key_id, new)
            self._secrets[key_id] = new  # for whoever opens the store once more

        if has_former(self._folder):
            raise GalleryError(
                "the gallery was moved to another network, which is not confirmed, and what it was "
                "before opens by the present key: first `likeness gallery re-embed --confirm`"
            )
        with self._lock:
            forget_coming(self._folder)
            self._erase_overdue()
            self._store.change_key(action, secret, remember)
            self.wipe_traces()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            self._erase_overdue()
            yield
            # The change itself is done. If traces of an earlier erasure remain and cannot be wiped
            # now, the next change tries again.
            with suppress(GalleryError):
                self.wipe_traces()

    @contextmanager
    def records(self) -> Iterator[Iterator[PersonRecord]]:
        """Everybody, with all that is kept of them, by name.

        They are of one state of the gallery, whatever is changed meanwhile.
        """
        with self._apart() as snapshot:
            yield read_records(snapshot)

    @contextmanager
    def adding(self) -> Iterator[RecordWriter]:
        """Put people in: all of the block, or nothing."""
        with self._changing(), self._store.adding() as connection:
            yield RecordWriter(connection)

    def faults(self) -> list[str]:
        """What is wrong with the gallery, a line each; looks at everything that is kept."""
        with self._apart() as snapshot:
            return faults_of(snapshot)

    def facts(self) -> dict[str, str | int]:
        """What there is to know of where and how it is kept, by name."""
        with self._lock, self._store.reading() as snapshot:
            facts = facts_of(snapshot, self._folder)
            if self._elsewhere is not None:
                facts["kind"] = str(facts["kind"]).replace("FAISS", "Milvus")
            return facts | {"index": self._views.described(snapshot)}

    @contextmanager
    def _apart(self) -> Iterator[Snapshot]:
        """A state of its own, while others are asked for."""
        with (
            closing(self._open_store()) as store,
            store.reading() as snapshot,
        ):
            yield snapshot

    def close(self) -> None:
        """Keep the index for the next process and close the database."""
        with self._lock:
            if "_views" in self.__dict__:  # something was searched
                self._views.close()
            if self._elsewhere is not None:
                self._elsewhere.close()
            self._store.close()
