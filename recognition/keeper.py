"""The people of one data folder: who they are, and what is done with them by hand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self

from data.errors import GalleryError, LockedError
from data.files import data_home, mode_for_others, printable

from .gallery.editable import Editable
from .gallery.editing import Editor
from .gallery.gallery import Gallery, nobody_enrolled
from .gallery.templates import EmbeddingModel
from .inventory import AuditEntry, Operation, PhotographSummary, today
from .results import PersonSummary
from .secrets import Ask, find_secret, keep_in_keyring


class PeopleKeeper(Editable):
    """Opens the gallery when it is first needed, and changes who is in it.

    Nothing here needs a network. Safe for several threads.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        ask: Asks for what opens an encrypted gallery, where it is neither in the environment nor in
            the operating system's keyring.
    """

    def __init__(self, home: Path | None = None, ask: Ask = lambda: None) -> None:
        self._ask = ask
        self._secret: str | None = None
        self._home = data_home(home)
        self._folder = self._home / "gallery"
        self._lock = threading.RLock()
        self._open_gallery: Gallery | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gallery, and keep its index for the next process."""
        with self._lock:
            if self._open_gallery is not None:
                self._open_gallery.close()
                self._open_gallery = None

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored."""
        if not Gallery.exists(self._folder):
            return ()
        return self._gallery().people(deleted=deleted)

    def expiring(self, days: int) -> tuple[PersonSummary, ...]:
        """Those whose consent ends within some days, the first to end first."""
        last = (today() + timedelta(days=days)).isoformat()
        found = [one for one in self.people() if one.expires_on and one.expires_on <= last]
        return tuple(sorted(found, key=lambda person: person.expires_on or ""))

    @property
    def exposed(self) -> tuple[str, ...]:
        """What of the gallery other users of this machine can reach, a warning each."""
        places = [self._folder, *self._folder.glob("*"), *self._folder.glob("index/*")]
        return tuple(
            f"{printable(place)} is open to other users of this machine (mode {mode:04o}): "
            f"chmod {'700' if place.is_dir() else '600'} it"
            for place in places
            if (mode := mode_for_others(place))
        )

    @contextmanager
    def editing(self) -> Iterator[Editor]:
        """See `Editable.editing`."""
        with self._gallery().editing() as editor:
            yield editor

    def erase(self, name: str) -> None:
        """Remove a person, enrolled or deleted, for good; see `Gallery.erase`."""
        self._gallery().erase(name)

    def thumbnail(self, person: str, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph as a PNG; None if none was kept.

        Args:
            person: The name.
            photograph: The photograph's number; None takes the first one.
        """
        return self._gallery().crop(person, photograph)

    def photographs(self, person: str) -> tuple[PhotographSummary, ...]:
        """The photographs that somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody has that name.
        """
        return self._gallery().photographs(person)

    def operations(self) -> tuple[Operation, ...]:
        """What `undo` would take back, the latest first."""
        return self._gallery().operations() if Gallery.exists(self._folder) else ()

    def audit(self) -> tuple[AuditEntry, ...]:
        """Who did what to whom, in ids, the latest first."""
        return self._gallery().audit() if Gallery.exists(self._folder) else ()

    @property
    def is_locked(self) -> bool:
        """Whether the gallery is encrypted, and what opens it is missing or wrong."""
        try:
            if Gallery.exists(self._folder):
                self._gallery()
        except LockedError:
            return True
        except GalleryError:
            return False  # whoever asks for more is told what is wrong
        return False

    @property
    def is_encrypted(self) -> bool:
        """Whether the gallery is encrypted; False where there is none."""
        return Gallery.exists(self._folder) and self._gallery().is_encrypted

    def unlock(self, secret: str) -> None:
        """Open an encrypted gallery; what opens it is remembered in memory.

        Raises:
            LockedError: It is not this passphrase or key.
        """
        with self._lock:
            before, self._secret = self._secret, secret
            try:
                self._gallery()
            except BaseException:
                self._secret = before
                raise

    def encrypt(self, secret: str, *, keyring: bool = False) -> None:
        """Encrypt the gallery; see `Gallery.encrypt`.

        Args:
            secret: What opens it from now on.
            keyring: Whether the operating system's keyring shall keep that.

        Raises:
            AppError: The keyring does not take it; nothing has been changed.
            GalleryError: There is no gallery.
        """
        with self._lock:
            gallery = self._existing()
            gallery.encrypt(secret, keep_in_keyring if keyring else None)
            self._secret = secret

    def rotate(self, secret: str, *, data_key: bool = False, keyring: bool = False) -> None:
        """Let something else open the gallery; see `Gallery.rotate`.

        Args:
            secret: What opens it from now on.
            data_key: Whether every row is encrypted anew.
            keyring: Whether the operating system's keyring shall keep the secret.

        Raises:
            AppError: The keyring does not take it; nothing has been changed.
            GalleryError: There is no gallery, or it is not encrypted.
        """
        with self._lock:
            gallery = self._existing()
            gallery.rotate(secret, keep_in_keyring if keyring else None, data_key=data_key)
            self._secret = secret

    def decrypt(self) -> None:
        """Decrypt the gallery; see `Gallery.decrypt`."""
        self._existing().decrypt()

    def _remembered_model(self) -> EmbeddingModel | None:
        return self._gallery().model if Gallery.exists(self._folder) else None

    def _gallery(self) -> Gallery:
        """The gallery, opened when it is first needed, and anew when it has been replaced."""
        with self._lock:
            if self._open_gallery is not None and not self._open_gallery.is_in_place:
                self.close()
            if self._open_gallery is None:
                self._open_gallery = Gallery.open(self._folder, find_secret=self._find_secret)
            return self._open_gallery

    def _existing(self) -> Gallery:
        """The gallery, which must be there.

        Raises:
            GalleryError: There is none.
        """
        if not Gallery.exists(self._folder):
            raise nobody_enrolled(self._folder)
        return self._gallery()

    def _find_secret(self, key_id: str) -> str | None:
        return self._secret or find_secret(key_id, self._ask)

    def _gallery_for(self, model: EmbeddingModel) -> Gallery:
        """The gallery, made where there is none."""
        with self._lock:
            if not Gallery.exists(self._folder):
                self.close()
                self._open_gallery = Gallery.open(
                    self._folder, model=model, create=True, find_secret=self._find_secret
                )
            return self._gallery()
