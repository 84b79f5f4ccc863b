"""Changes after which no byte of who is erased, or of what was plain, is left in any file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.errors import GalleryError

from .audit import Action
from .cache import IndexCache
from .keys import Keep, new_secret
from .reading import Readable
from .store import Store

STAGING = ".restoring"
"""A folder within the gallery's, of a restoration that has not come to its end."""


class Erasing(Readable):
    """Erases and encrypts what a folder holds. Safe for several threads.

    Args:
        folder: Where the gallery is kept.
        store: The truth, which is in it.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        super().__init__(store)
        self._folder = folder
        self._cache = IndexCache(folder / "index")

    @property
    def lingers(self) -> str | None:
        """Nothing: `erase` leaves no byte."""
        return None

    def erase(self, name: str) -> None:
        """Remove a person for good: when this returns no byte of them is left in any file.

        Raises:
            GalleryError: Nobody has that name; or the person is gone but another program is in the
                way of wiping the traces, which the next change does.
        """
        with self._lock:
            self._erase_overdue()
            self._store.erase(name)
            self.wipe_traces()

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
        """Keep everything as it is from now on; refused where that is so already."""
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
            self.wipe_traces()

    def _erase_overdue(self) -> None:
        """Let those go whose time is over, where the gallery can be written.

        Where it cannot, they are neither listed nor restored, and the next change tries again.
        """
        with self._lock, suppress(GalleryError):
            if self._store.erase_overdue():
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
            with self._store.unchanging():
                self._cache.clear()
                shutil.rmtree(self._folder / STAGING, ignore_errors=True)
        except OSError as error:
            raise GalleryError(
                f"cannot remove the index in {self._folder} ({error}), so traces of what was "
                "erased remain in it: remove it, or check its permissions and erase again"
            ) from error
        self._store.wipe_traces()
