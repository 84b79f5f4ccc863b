"""Who is enrolled, and who of them is closest to a face: the store and its index as one thing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError, GalleryError
from data.files import private_folder

from ..inventory import Consent
from ..results import Calibration, Match
from .audit import Action
from .cache import IndexCache
from .editable import Editable
from .editing import Editor
from .keys import FindSecret, Keep, new_secret
from .matching import Matching
from .reading import Readable
from .store import Store
from .templates import EmbeddingModel, Template, unit_vectors
from .views import Views

_DATABASE = "gallery.sqlite"


class Gallery(Readable, Editable):
    """People enrolled with one model's embeddings. Safe for several threads and processes at once.

    Every search first asks the store whether anything has changed, by this process or another.

    Use `Gallery.open`; close it, or use it in a `with` statement.
    """

    def __init__(self, folder: Path, find_secret: FindSecret = lambda _: None) -> None:
        super().__init__(Store(folder / _DATABASE, find_secret))
        self._folder = folder
        self._cache = IndexCache(folder / "index")
        self._views = Views(self._store, self._cache)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        model: EmbeddingModel | None = None,
        create: bool = False,
        find_secret: FindSecret = lambda _: None,
    ) -> "Gallery":
        """Open the gallery in a folder.

        Args:
            folder: Where it is kept.
            model: Whose embeddings will be enrolled or searched; None asks for no agreement, which
                is enough for reading names and for changing them.
            create: Make an empty gallery where there is none, and let one without anybody take up
                the model; needs `model`.
            find_secret: Called with the id of the gallery's key if it is encrypted, for the
                passphrase or key that opens it; None if it cannot be had.

        Raises:
            GalleryError: There is none (and `create` is False), its database is missing, empty,
                damaged or of a newer version, or it holds another model's embeddings.
            LockedError: It is encrypted, and the passphrase or key is missing or wrong.
        """
        if not cls.exists(folder):
            if model is None or not create:
                raise nobody_enrolled(folder)
            Store.create(private_folder(folder) / _DATABASE, model)
        gallery = cls(folder, find_secret)
        try:
            gallery._erase_overdue()
            # Those of a change that was killed on its way.
            with suppress(GalleryError):
                gallery._wipe_traces()
            if model is not None:
                gallery.require(model, adopt=create)
        except BaseException:
            gallery.close()
            raise
        return gallery

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a folder holds a gallery.

        Raises:
            GalleryError: It holds the remains of one: an index or a log without their database.
        """
        database = folder / _DATABASE
        if database.exists():
            return True
        log = database.with_name(f"{_DATABASE}-wal")
        if log.exists() or IndexCache(folder / "index").exists:
            raise GalleryError(
                f"the database {database} is missing beside its own files: "
                f"restore it from a backup, or remove {folder} to begin anew"
            )
        return False

    def require(self, model: EmbeddingModel, *, adopt: bool = False) -> None:
        """Make sure that a model's embeddings may be searched or enrolled here.

        Args:
            model: The model.
            adopt: Let a gallery without anybody take up the model.

        Raises:
            GalleryError: The gallery holds another model's embeddings; the message names both.
        """
        if self.model == model or (adopt and self._store.adopt(model)):
            return
        raise GalleryError(
            f"the gallery {self._folder} was made with {self.model} and cannot be used with "
            f"{model}: leave the choice of model and weights to the gallery, "
            "or give another --home"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_in_place(self) -> bool:
        """Whether this is still the gallery in its folder: neither removed nor replaced."""
        return self._store.is_in_place

    def calibrate(self, calibrations: Sequence[Calibration]) -> None:
        """Keep the gallery's own threshold for each use; see `Store.calibrate`."""
        with self._lock:
            self._store.calibrate(calibrations)

    def enrol(
        self, person: str, templates: Sequence[Template], consent: Consent | None = None
    ) -> dict[int, str]:
        """Enrol photographs under a name; see `Store.enrol`."""
        with self._changing():
            return self._store.enrol(person, templates, consent)

    @contextmanager
    def editing(self) -> Iterator[Editor]:
        """See `Editable.editing`."""
        with self._changing(), self._store.editing() as editor:
            yield editor

    def erase(self, name: str) -> None:
        """Remove a person for good: when this returns no byte of them is left in any file.

        Raises:
            GalleryError: Nobody has that name; or the person is gone but another program is in the
                way of wiping the traces, which the next change does.
        """
        with self._lock:
            self._erase_overdue()
            self._store.erase(name)
            self._wipe_traces()

    @property
    def is_encrypted(self) -> bool:
        """Whether everything that tells of a person is encrypted at rest."""
        with self._lock:
            return self._store.is_encrypted

    def encrypt(self, secret: str, keep: Keep | None = None) -> None:
        """Encrypt everything that tells of a person; nothing plain is left in any file.

        Args:
            secret: A passphrase of at least 8 characters, or a key of 64 hexadecimal digits.
            keep: Called with the id of the gallery's key and the secret; if it fails nothing is
                changed.

        Raises:
            ArgumentError: The passphrase is too short.
            GalleryError: It is encrypted already; or it is encrypted now, but another program is in
                the way of wiping what was plain, which the next opening does.
        """
        self._change_key(Action.ENCRYPT, new_secret(secret), keep)

    def decrypt(self) -> None:
        """Keep everything as it is from now on.

        Raises:
            GalleryError: It is not encrypted.
        """
        self._change_key(Action.DECRYPT, None)

    def rotate(self, secret: str, keep: Keep | None = None, *, data_key: bool = False) -> None:
        """Let another passphrase or key open the gallery, and the present one no longer.

        Args:
            secret: The new one; see `encrypt`.
            keep: As for `encrypt`.
            data_key: Encrypt every row anew by another key, too: who copied the gallery's files
                before and knew the old passphrase reads nothing of what is written from now on.

        Raises:
            ArgumentError: The passphrase is too short.
            GalleryError: It is not encrypted; or as in `encrypt`.
        """
        action = Action.ROTATE if data_key else Action.REWRAP
        self._change_key(action, new_secret(secret), keep)

    def _change_key(self, action: Action, secret: str | None, keep: Keep | None = None) -> None:
        with self._lock:
            self._erase_overdue()
            self._store.change_key(action, secret, keep)
            self._wipe_traces()

    def _erase_overdue(self) -> None:
        """Let those go whose time is over, where the gallery can be written.

        Where it cannot, they are neither listed nor restored, and the next change tries again.
        """
        with self._lock, suppress(GalleryError):
            if self._store.erase_overdue():
                self._wipe_traces()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            self._erase_overdue()
            yield
            # The change itself is done. If traces of an earlier erasure remain and cannot be wiped
            # now, the next change tries again.
            with suppress(GalleryError):
                self._wipe_traces()

    def _wipe_traces(self) -> None:
        """Wipe what erased people left in the files, also after a kill in the middle of it."""
        with self._store.reading() as snapshot:
            if not snapshot.traces_remain:
                return
        # No process writes an index that still holds them after this: `Views` would notice.
        try:
            with self._store.unchanging():
                self._cache.clear()
        except OSError as error:
            raise GalleryError(
                f"cannot remove the index in {self._folder} ({error}), so traces of what was "
                "erased remain in it: remove it, or check its permissions and erase again"
            ) from error
        self._store.wipe_traces()

    def search(
        self,
        vectors: npt.NDArray[np.floating],
        k: int,
        matching: Matching = Matching.BEST,
    ) -> list[list[Match]]:
        """Find the people closest to each query, without those who are excluded from it.

        Args:
            vectors: (Q, D) unit vectors.
            k: How many people to find, at least 1.
            matching: How a person's photographs are compared.

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
            self._erase_overdue()
            view = self._views.current()
            queries = unit_vectors(vectors, view.index.dimension)
            return [view.best_people(query, k, matching) for query in queries]

    def close(self) -> None:
        """Keep the index for the next process and close the database."""
        with self._lock:
            self._views.close()
            self._store.close()


def nobody_enrolled(folder: Path) -> GalleryError:
    """The error of a gallery that is asked who somebody is and knows nobody."""
    return GalleryError(
        f"nobody is enrolled in {folder}: enrol somebody first, "
        "`likeness enroll PHOTOGRAPH --name NAME`"
    )
