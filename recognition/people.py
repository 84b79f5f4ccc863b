"""The people of one gallery: who they are, and what is done with them by hand."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self

from data.errors import ArgumentError, GalleryError, LockedError
from data.files import data_home, mode_for_others, network_file_system, printable

from .gallery.gallery import Gallery, aside_in
from .gallery.locations import Folder, place_of
from .gallery.names import alike, person_name, spelling
from .gallery.protocol import AnyGallery, nobody_enrolled
from .gallery.storage.changes import Editable, Editor
from .gallery.storage.encryption import weakness_of
from .gallery.storage.people import Who, group_names
from .gallery.templates import EmbeddingModel
from .results import AuditEntry, Operation, PersonSummary, PhotographSummary, State, today
from .secrets import (
    KEY_FILE_VARIABLE,
    Ask,
    SecretFinder,
    Warn,
    keep_in_keyring,
    open_to_others,
    secret_in_environment,
)

_MOST_SPELLED = 100_000


class PeopleKeeper(Editable):
    """Opens the gallery when it is first needed, and changes who is in it.

    Nothing here needs a network. Safe for several threads.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address of Milvus; None takes LIKENESS_GALLERY, or else the data
            folder's own.
        ask: Asks for what opens an encrypted gallery, where it is neither in the environment nor in
            the operating system's keyring.
        warn: Told once if what opens it is easy to guess.
    """

    def __init__(
        self,
        home: Path | None = None,
        gallery: str | None = None,
        ask: Ask = lambda: None,
        warn: Warn = lambda _: None,
    ) -> None:
        self._find = SecretFinder(ask, warn)
        self._secret: str | None = None
        self._is_shut = False  # by `lock`, until `unlock`
        self._opened_by: str | None = None
        self._may_be_plain = False
        self._home = data_home(home)
        self._place = place_of(gallery, self._home, self._find_secret, self._is_given)
        self._lock = threading.RLock()
        self._open_gallery: AnyGallery | None = None

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

    def people(
        self, *, deleted: bool = False, groups: Sequence[str] = ()
    ) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored.

        Args:
            deleted: Whether those who were deleted are meant.
            groups: List only who is in one of these; empty: everybody.

        Raises:
            ArgumentError: A group's name cannot be one.
        """
        wanted = set(group_names(groups))
        if not self._is_there:
            return ()
        found = self._gallery().people(deleted=deleted)
        return tuple(one for one in found if wanted.intersection(one.groups)) if wanted else found

    def person_meant(self, name: str | None, person_id: int | None = None) -> PersonSummary:
        """Whoever is enrolled and meant by a name, an id, or both.

        Args:
            name: As it is enrolled.
            person_id: As `people` tells it; needed only where a name is more than one person's.

        Raises:
            ArgumentError: Nobody is meant, or more than one person may be; the message says who.
        """
        if name is None and person_id is None:
            raise ArgumentError("whom? Give a name, or the id of somebody who is enrolled")
        gallery = self._gallery() if self._is_there else None
        if name is None:
            found = [] if gallery is None else list(gallery.people())
        else:
            name = person_name(name)
            found = [] if gallery is None else list(gallery.named(name))
        if person_id is not None:
            found = [one for one in found if one.person_id == person_id]
        if len(found) == 1:
            return found[0]
        if found:
            raise ArgumentError(
                f"{len(found)} people are called '{name}': {_with_ids(found)}; say which by the id"
            )
        who = "" if name is None else f" called '{name}'"
        who += "" if person_id is None else f" with the id {person_id}"
        alike = () if gallery is None or name is None else _spelt_alike(gallery, name)
        hint = f"is one of these meant: {_with_ids(alike)}?" if alike else "check the spelling;"
        raise ArgumentError(f"nobody{who} is enrolled: {hint} `likeness people list` has the names")

    def spelled_alike(self, names: Iterable[str]) -> tuple[str, ...]:
        """Of some who are enrolled: whose name is spelled like somebody else's, a line each.

        In a gallery of very many people nobody is asked: reading all names takes too long.
        """
        if not self._is_there or self._gallery().size[0] > _MOST_SPELLED:
            return ()
        everybody = [person.name for person in self._gallery().people()]
        return tuple(
            f"'{name}' is spelled like '{other}', who is enrolled as somebody else: "
            "`likeness people merge` makes them one"
            for name, other in alike(names, everybody)
        )

    def expiring(self, days: int) -> tuple[PersonSummary, ...]:
        """Those whose consent ends within some days, the first to end first."""
        last = (today() + timedelta(days=days)).isoformat()
        found = [one for one in self.people() if one.expires_on and one.expires_on <= last]
        return tuple(sorted(found, key=lambda person: person.expires_on or ""))

    @property
    def exposed(self) -> tuple[str, ...]:
        """What of the gallery others can reach, or may damage, a warning each.

        Its files and that of its key, where other users of this machine can; and a file system
        that other machines share, on whose locks a database cannot rely.
        """
        if not isinstance(self._place, Folder) or not self._place.has_database:
            return ()
        folder = self._place.path
        places = [folder, *folder.glob("*"), *folder.glob("index/*")]
        named = os.environ.get(KEY_FILE_VARIABLE)
        key_file = open_to_others(Path(named)) if named else None
        shared = network_file_system(folder)
        warnings = [] if key_file is None else [key_file]
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
        return *warnings, *(
            f"{printable(place)} is open to other users of this machine (mode {mode:04o}): "
            f"chmod {'700' if place.is_dir() else '600'} it"
            for place in places
            if (mode := mode_for_others(place))
        )

    @property
    def weak_secret(self) -> str | None:
        """Why what has opened the gallery is easy to guess, in a line; None where it is not."""
        with self._lock:
            why = None if self._opened_by is None else weakness_of(self._opened_by)
        return None if why is None else f"the gallery's passphrase {why}; `likeness gallery rotate`"

    @contextmanager
    def editing(self) -> Iterator[Editor]:
        """See `Editable.editing`."""
        with self._gallery().editing() as editor:
            yield editor

    def person(self, who: Who, state: State = State.ENROLLED) -> PersonSummary:
        """One person, who is to be changed: by their id from then on.

        Args:
            who: An id, or a name.
            state: How things stand with them.

        Raises:
            AmbiguousError: Several people are meant.
            GalleryError: Nobody is.
        """
        return self._existing().person(who, state)

    def erase(self, who: Who) -> str | None:
        """Remove a person, enrolled or deleted, for good; see `AnyGallery.erase`.

        Returns:
            What that leaves for a while, in one line; None where it leaves no byte.
        """
        gallery = self._gallery()
        gallery.erase(who)
        return gallery.lingers

    def tidy(self) -> None:
        """Erase whoever's time is over; nothing where the gallery is locked, or there is none."""
        if self._is_there and not self.is_locked:
            self._gallery().tidy()

    def thumbnail(self, person: Who, photograph: int | None = None) -> bytes | None:
        """The aligned face of a person's photograph as a PNG; None if none was kept.

        Args:
            person: Who, by their id or name.
            photograph: The photograph's number; None takes the first one.
        """
        return self._gallery().crop(person, photograph)

    def photographs(self, person: Who) -> tuple[PhotographSummary, ...]:
        """The photographs that somebody is enrolled by, in the order of their numbers.

        Raises:
            GalleryError: Nobody has that name.
        """
        return self._gallery().photographs(person)

    def operations(self) -> tuple[Operation, ...]:
        """What `undo` would take back, the latest first."""
        return self._gallery().operations() if self._is_there else ()

    def audit(self) -> tuple[AuditEntry, ...]:
        """Who did what to whom, in ids, the latest first."""
        return self._gallery().audit() if self._is_there else ()

    def note_search(self, people: Sequence[int]) -> None:
        """Write into the audit log whom a search has named, in ids, or that it named nobody.

        Milvus keeps no such lines.
        """
        gallery = self._gallery() if self._is_there else None
        if isinstance(gallery, Gallery):
            gallery.note_search(people)

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
        return self._is_there and self._gallery().is_encrypted

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
            self._secret = self._opened_by = None
            self._is_shut = True
            return True

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
            with self._letting_it_be_plain():
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
        with self._lock:
            with self._letting_it_be_plain():
                self._existing().decrypt()
            self._secret = None

    @contextmanager
    def _letting_it_be_plain(self) -> Iterator[None]:
        """Use the gallery though a key is given and it is not encrypted, or not any more."""
        self._may_be_plain = True
        try:
            yield
        finally:
            self._may_be_plain = False

    def _remembered_model(self) -> EmbeddingModel | None:
        return self._gallery().model if self._is_there else None

    @property
    def _is_there(self) -> bool:
        """Whether there is a gallery; one that is open and in its place is not looked for."""
        with self._lock:
            opened = self._open_gallery
            return (opened is not None and opened.is_in_place) or self._place.exists

    def _gallery(self) -> AnyGallery:
        """The gallery, opened when it is first needed, and anew when it has been replaced."""
        with self._lock:
            if self._open_gallery is not None and not self._open_gallery.is_in_place:
                self.close()
            if self._open_gallery is None:
                self._open_gallery = self._place.open()
            return self._open_gallery

    def _existing(self) -> AnyGallery:
        """The gallery, which must be there.

        Raises:
            GalleryError: There is none.
        """
        if not self._is_there:
            raise nobody_enrolled(self._place)
        return self._gallery()

    def _find_secret(self, key_id: str) -> str | None:
        if self._is_shut:
            return None
        self._opened_by = self._secret or self._find(key_id)
        return self._opened_by

    def _is_given(self) -> bool:
        return not self._may_be_plain and (
            self._is_shut or self._secret is not None or secret_in_environment() is not None
        )

    def _gallery_for(self, model: EmbeddingModel) -> AnyGallery:
        """The gallery, made where there is none."""
        with self._lock:
            if not self._is_there:
                self.close()
                self._open_gallery = self._place.open(model=model, create=True)
            return self._gallery()


def _spelt_alike(gallery: AnyGallery, name: str) -> list[PersonSummary]:
    """Those whose names differ from one in capitals and blanks alone."""
    return [one for one in gallery.people() if spelling(one.name) == spelling(name)]


def _with_ids(people: Sequence[PersonSummary]) -> str:
    """People as a line tells them apart."""
    return ", ".join(
        f"'{one.name}' (id {one.person_id}, {one.photographs} photograph(s))" for one in people
    )
