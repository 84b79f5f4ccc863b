"""The way to one gallery: opened when it is first needed, locked, unlocked, and encrypted."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from data.errors import AppError, GalleryError, LockedError
from data.files import data_home, mode_for_others, network_file_system, printable

from .gallery.gallery import Gallery, aside_in, nobody_enrolled
from .gallery.locations import Folder, Server, index_of, place_of
from .gallery.storage.encryption import weakness_of
from .gallery.templates import EmbeddingModel
from .results import AuditEntry
from .secrets import (
    KEY_FILE_VARIABLE,
    Ask,
    SecretFinder,
    Warn,
    keep_in_keyring,
    open_to_others,
    secret_in_environment,
)


def _modes(places: Sequence[Path]) -> tuple[str, ...]:
    """A line for each file or folder that other users of this machine can reach."""
    return tuple(
        f"{printable(place)} is open to other users of this machine (mode {mode:04o}): "
        f"chmod {'700' if place.is_dir() else '600'} it"
        for place in places
        if (mode := mode_for_others(place))
    )


class GalleryAccess:
    """Opens a gallery when it is first needed, and anew when it has been replaced.

    Nothing here needs a network. Safe for several threads.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address; None takes LIKENESS_GALLERY, or else the data folder's
            own.
        ask: Asks for what opens an encrypted gallery, where it is neither in the environment nor in
            the operating system's keyring.
        warn: Told once if what opens it is easy to guess.
        index: The address of its index in Milvus; None takes LIKENESS_INDEX, or an index of this
            machine's own.
    """

    def __init__(
        self,
        home: Path | None = None,
        gallery: str | None = None,
        ask: Ask = lambda: None,
        warn: Warn = lambda _: None,
        index: str | None = None,
    ) -> None:
        self.home = data_home(home)
        self.place = place_of(
            gallery, self.home, self._find_secret, self._is_given, index_of(index)
        )
        self._find = SecretFinder(ask, warn)
        self._secret: str | None = None
        self._is_shut = False  # by `lock`, until `unlock`
        self._opened_by: str | None = None
        self._judged: tuple[str, str | None] | None = None  # what has opened it, and why it is weak
        self._may_be_plain = False
        self._lock = threading.RLock()
        self._opened: Gallery | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gallery, and keep its index for the next process."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @property
    def is_there(self) -> bool:
        """Whether there is a gallery; one that is open and in its place is not looked for."""
        with self._lock:
            opened = self._opened
            return (opened is not None and opened.is_in_place) or self.place.exists

    def open(self) -> Gallery:
        """The gallery, opened when it is first needed, and anew when it has been replaced.

        Raises:
            GalleryError: There is none, or it cannot be read.
            LockedError: It is encrypted, and what opens it is missing or wrong.
        """
        with self._lock:
            if self._opened is not None and not self._opened.is_in_place:
                self.close()
            if self._opened is None:
                self._opened = self.place.open()
            return self._opened

    def open_existing(self) -> Gallery:
        """The gallery, which must be there; the error tells how to enrol somebody.

        Raises:
            GalleryError: There is none.
        """
        if not self.is_there:
            raise nobody_enrolled(self.place)
        return self.open()

    def open_for(self, model: EmbeddingModel) -> Gallery:
        """The gallery, made for a model's embeddings where there is none."""
        with self._lock:
            if not self.is_there:
                self.close()
                self._opened = self.place.open(model=model, create=True)
            return self.open()

    def remembered_model(self) -> EmbeddingModel | None:
        """Whose embeddings the gallery holds; None where there is none."""
        return self.open().model if self.is_there else None

    def tidy(self) -> None:
        """Erase whoever's time is over; nothing where the gallery is locked, or there is none."""
        if self.is_there and not self.is_locked:
            self.open().tidy()

    def audit(self) -> tuple[AuditEntry, ...]:
        """Who did what to whom, in ids, the latest first."""
        return self.open().audit() if self.is_there else ()

    def note_search(self, people: Sequence[int]) -> None:
        """Write into the audit log whom a search has named, in ids, or that it named nobody."""
        gallery = self.open() if self.is_there else None
        if isinstance(gallery, Gallery):
            gallery.note_search(people)

    @property
    def exposed(self) -> tuple[str, ...]:
        """What of the gallery others can reach, or may damage, a warning each.

        Its files and that of its key, where other users of this machine can; and a file system
        that other machines share, on whose locks a database cannot rely.
        """
        named = os.environ.get(KEY_FILE_VARIABLE)  # it opens a gallery wherever that is
        key_file = open_to_others(Path(named)) if named else None
        warnings = [] if key_file is None else [key_file]
        if not isinstance(self.place, Folder | Server):
            return tuple(warnings)
        folder = self.place.path if isinstance(self.place, Folder) else self.place.folder
        if isinstance(self.place, Server):  # an index here holds the embeddings of everybody
            return *warnings, *_modes([folder, *folder.glob("*"), *folder.glob("index/*")])
        if not self.place.has_database:
            return tuple(warnings)
        shared = network_file_system(folder)
        if shared is not None:
            warnings.append(
                f"{printable(folder)} lies on a file system that other machines may share "
                f"({shared}): they may read it, and two at once may damage it; keep a gallery on a "
                "disk of this machine"
            )
        warnings += [
            f"{printable(place)} keeps everybody as they were when it was put aside, whoever was "
            "erased since: `likeness gallery put-aside` removes it"
            for place in aside_in(folder)
        ]
        return *warnings, *_modes([folder, *folder.glob("*"), *folder.glob("index/*")])

    @property
    def weak_secret(self) -> str | None:
        """Why what has opened the gallery is easy to guess, in a line; None where it is not."""
        with self._lock:
            opened_by = self._opened_by
            if opened_by is None:
                return None
            if self._judged is None or self._judged[0] != opened_by:
                names: list[str] = []
                with suppress(AppError):  # whoever opens it hears of that
                    names = [person.name for person in self.open_existing().people()]
                self._judged = opened_by, weakness_of(opened_by, names)
            why = self._judged[1]
        return None if why is None else f"the gallery's passphrase {why}; `likeness gallery rotate`"

    @property
    def is_locked(self) -> bool:
        """Whether the gallery is encrypted, and what opens it is missing or wrong.

        Another process may have encrypted it, or changed what opens it, since it was opened here.
        """
        try:
            _ = self.is_encrypted
        except LockedError:
            return True
        except GalleryError:
            return False  # whoever asks for more is told what is wrong
        return False

    @property
    def is_encrypted(self) -> bool:
        """Whether the gallery is encrypted; False where there is none."""
        return self.is_there and self.open().is_encrypted

    def unlock(self, secret: str) -> None:
        """Open an encrypted gallery; what opens it is remembered in memory.

        Raises:
            LockedError: It is not this passphrase or key.
        """
        with self._lock:
            if not self.is_locked:
                return  # somebody else was quicker
            before = self._secret, self._is_shut
            self._secret, self._is_shut = secret, False
            self.close()  # one that is open remembers what it was told
            try:
                _ = self.is_encrypted
            except BaseException:
                self._secret, self._is_shut = before
                raise

    def lock(self) -> bool:
        """Close an encrypted gallery, and forget what opens it until `unlock` tells it again.

        Until then the environment, a file or the keyring that hold it are not asked either.

        Returns:
            Whether it is locked now: a gallery that is not encrypted cannot be.
        """
        with self._lock:
            if self.is_locked:
                return True
            if not self.is_encrypted:
                return False
            self.close()
            self._secret = self._opened_by = self._judged = None
            self._is_shut = True
            return True

    def encrypt(self, secret: str, *, keyring: bool = False) -> str | None:
        """Encrypt the gallery; see `Gallery.encrypt`.

        Args:
            secret: What opens it from now on.
            keyring: Whether the operating system's keyring shall keep that.

        Returns:
            What that leaves of the rows as they were, in one line; None where it leaves no byte.

        Raises:
            AppError: The keyring does not take it; nothing has been changed.
            GalleryError: There is no gallery.
        """
        with self._lock:
            with self._letting_it_be_plain():
                gallery = self.open_existing()
                gallery.encrypt(secret, keep_in_keyring if keyring else None)
            self._secret = secret
            return gallery.older_rows_linger

    def rotate(self, secret: str, *, data_key: bool = False, keyring: bool = False) -> str | None:
        """Let something else open the gallery; see `Gallery.rotate`.

        Args:
            secret: What opens it from now on.
            data_key: Whether every row is encrypted anew.
            keyring: Whether the operating system's keyring shall keep the secret.

        Returns:
            As `encrypt` does.

        Raises:
            AppError: The keyring does not take it; nothing has been changed.
            GalleryError: There is no gallery, or it is not encrypted.
        """
        with self._lock:
            gallery = self.open_existing()
            gallery.rotate(secret, keep_in_keyring if keyring else None, data_key=data_key)
            self._secret = secret
            return gallery.older_rows_linger

    def decrypt(self) -> None:
        """Decrypt the gallery; see `Gallery.decrypt`."""
        with self._lock:
            with self._letting_it_be_plain():
                self.open_existing().decrypt()
            self._secret = None

    @contextmanager
    def _letting_it_be_plain(self) -> Iterator[None]:
        """Use the gallery though a key is given and it is not encrypted, or not any more."""
        self._may_be_plain = True
        try:
            yield
        finally:
            self._may_be_plain = False

    def _find_secret(self, key_id: str) -> str | None:
        if self._is_shut:
            return None
        self._opened_by = self._secret or self._find(key_id)
        return self._opened_by

    def _is_given(self) -> bool:
        return not self._may_be_plain and (
            self._is_shut or self._secret is not None or secret_in_environment() is not None
        )
