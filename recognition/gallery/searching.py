"""A gallery in a folder is searched, and its index is made."""

from collections.abc import Collection
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError, GalleryError

from ..results import Match, PersonSummary
from .building import Progress, build
from .cache import IndexCache
from .erasing import write_erased
from .former import erase_overdue_from_former
from .keys import FindSecret, IsGiven
from .kinds import Kind, plan_of, read_kind, write_kind
from .matching import Matching
from .reading import Readable
from .store import Store
from .templates import Ids, unit_vectors
from .views import Views

DATABASE = "gallery.sqlite"
"""The file that holds everything; all else in the folder can be made again."""

ASIDE = "damaged-"
"""What the name of a folder within the gallery's begins with that holds a damaged one."""


def aside_in(folder: Path) -> tuple[Path, ...]:
    """The damaged galleries that restorations have put aside in a gallery's folder."""
    return tuple(path for path in sorted(folder.glob(f"{ASIDE}*")) if path.is_dir())


class Searchable(Readable):
    """Finds people by their faces, nobody whose time is over. Safe for several threads.

    Args:
        folder: The gallery's.
        find_secret: Asked for what opens it, if it is encrypted.
        is_given: See `Lock`.
    """

    def __init__(
        self,
        folder: Path,
        find_secret: FindSecret = lambda _: None,
        is_given: IsGiven = lambda: False,
    ) -> None:
        self._ask, self._secrets = find_secret, dict[str, str | None]()
        self._is_given = is_given
        self._folder = folder
        super().__init__(self._open_store())
        self._cache = IndexCache(folder / "index")
        self._views = Views(self._store, self._cache, self._open_store, lambda: self.index_kind)
        self._different: tuple[str, Ids, Ids] | None = None  # of which state, people, photographs

    def _find_secret(self, key_id: str) -> str | None:
        if key_id not in self._secrets:  # nobody is asked twice
            self._secrets[key_id] = self._ask(key_id)
        return self._secrets[key_id]

    def _open_store(self) -> Store:
        return Store(self._folder / DATABASE, self._find_secret, lambda: self._is_given())

    def _erase_overdue(self) -> None:
        """Let those go whose time is over, where the gallery can be written.

        Where it cannot, they are neither listed nor restored, and the next change tries again.
        """
        with self._lock, suppress(GalleryError):
            if self._store.erase_overdue():
                self.wipe_traces()
                erase_overdue_from_former(self._folder, self._find_secret)

    def wipe_traces(self) -> None:
        """Wipe what erased people left in the files, also after a kill in the middle of it.

        Raises:
            GalleryError: Another program is in the way; the next change tries again.
        """
        with self._store.reading() as snapshot:
            if not snapshot.traces_remain:
                return
        # No process writes an index that still holds them after this: `Views` would notice.
        try:
            with self._store.unchanging() as snapshot:
                self._cache.forget(snapshot)
                write_erased(self._folder, snapshot.connection)
        except OSError as error:
            raise GalleryError(
                f"cannot remove the index in {self._folder} ({error}), so traces of what was "
                "erased remain in it: remove it, or check its permissions and erase again"
            ) from error
        self._store.wipe_traces()

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored."""
        self._erase_overdue()
        return super().people(deleted=deleted)

    def tidy(self) -> None:
        """See `AnyGallery.tidy`."""
        self._erase_overdue()

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
        with self._lock:
            self._erase_overdue()
            with self._views.current() as view:
                queries = unit_vectors(vectors, view.dimension)
                return view.search(queries, k, matching, among)

    def photographs_a_person(self, among: Collection[int] | None = None) -> dict[int, int]:
        """See `AnyGallery.photographs_a_person`; those that are all but the same count once."""
        with self._lock, self._views.current() as view:
            if self._different is None or self._different[0] != view.revision:
                self._different = view.revision, *view.different_photographs()
            _, people, counts = self._different
            if among is not None:
                counts = counts[np.isin(people, np.fromiter(among, np.int64))]
            each, number = np.unique(counts, return_counts=True)
            return dict(zip(each.tolist(), number.tolist(), strict=True))

    @property
    def size(self) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""
        with self._lock, self._store.reading() as snapshot:
            return self._views.size(snapshot)

    @property
    def index_kind(self) -> Kind:
        """Which kind of index has been chosen."""
        return read_kind(self._folder)

    def make_index(
        self, kind: Kind | None = None, progress: Progress = lambda done, total: None
    ) -> str:
        """Make the index that fits the gallery now.

        Others may use the gallery meanwhile.

        Args:
            kind: Which kind it has from now on; None: the one that was chosen before.
            progress: Called with how many templates are in it, and of how many.

        Returns:
            Which index that is, and why, in words.

        Raises:
            GalleryError: A template is damaged, or the index cannot be written.
        """
        try:
            if kind is None:
                kind = self.index_kind
            write_kind(self._folder, kind)
            with closing(self._open_store()) as store:
                build(store, self._cache, partial(plan_of, kind), progress=progress)
        except OSError as error:
            reason = error.strerror or error
            raise GalleryError(f"cannot write the index in {self._folder}: {reason}") from error
        with self._lock, self._store.reading() as snapshot:
            return self._views.described(snapshot)
