"""Who is enrolled, and who of them is closest to a face: the store and its index as one thing."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from data.errors import GalleryError
from data.files import printable, private_folder
from data.temporary import sweep

from ..inventory import Consent, State
from ..results import Calibration
from .audit import Action
from .cache import IndexCache
from .checking import facts_of, faults_of
from .editing import Editor
from .former import erase_from_former, forget_coming, has_former
from .keys import FindSecret, IsGiven, Keep, new_secret
from .people import Who
from .protocol import AnyGallery, Writer, nobody_enrolled
from .records import Adding, PersonRecord, read_records
from .searching import DATABASE, Searchable, aside_in
from .snapshot import Snapshot
from .store import Store
from .templates import EmbeddingModel, Template


class Gallery(Searchable, AnyGallery):
    """A gallery in a folder of this machine. Safe for several threads and processes at once.

    Every search first asks the store whether anything has changed, by this process or another.

    Use `Gallery.open`; close it, or use it in a `with` statement.
    """

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        model: EmbeddingModel | None = None,
        create: bool = False,
        find_secret: FindSecret = lambda _: None,
        is_given: IsGiven = lambda: False,
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
            is_given: Whether the user has given a passphrase or key: then a gallery that is not
                encrypted is refused, and a new one is encrypted by it.

        Raises:
            GalleryError: There is none (and `create` is False), its database is missing, empty,
                damaged or of a newer version, or it holds another model's embeddings.
            LockedError: It is encrypted, and the passphrase or key is missing or wrong.
        """
        sweep(folder, folder / "index", Path(tempfile.gettempdir()))
        if not cls.exists(folder):
            if model is None or not create:
                raise nobody_enrolled(folder)
            Store.create(private_folder(folder) / DATABASE, model)
            if is_given():
                with closing(cls(folder, find_secret)) as made:
                    secret = find_secret("")
                    if secret is not None and not made.is_encrypted and made.is_empty:
                        made.encrypt(secret)
        gallery = cls(folder, find_secret, is_given)
        try:
            gallery._erase_overdue()
            # Those of a change that was killed on its way.
            with suppress(GalleryError):
                gallery.wipe_traces()
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
        database = folder / DATABASE
        if database.exists():
            return True
        log = database.with_name(f"{DATABASE}-wal")
        if log.exists() or IndexCache(folder / "index").exists:
            raise GalleryError(
                f"the database {database} is missing beside its own files: "
                f"restore it from a backup, or remove {folder} to begin anew"
            )
        return False

    def __str__(self) -> str:
        return str(self._folder)

    def adopt(self, model: EmbeddingModel) -> bool:
        """See `AnyGallery.adopt`."""
        with self._lock:
            return self._store.adopt(model)

    @property
    def is_in_place(self) -> bool:
        """Whether this is still the gallery in its folder: neither removed nor replaced."""
        return self._store.is_in_place

    @property
    def lingers(self) -> str | None:
        """Nothing: `erase` leaves no byte."""
        return None

    def calibrate(self, calibrations: Sequence[Calibration]) -> None:
        """Keep the gallery's own threshold for each use; see `Store.calibrate`."""
        with self._lock:
            self._store.calibrate(calibrations)

    def enrol_all(
        self,
        people: Sequence[tuple[str, Sequence[Template]]],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> list[dict[int, str]]:
        """Enrol several people's photographs; see `Store.enrol_all`."""
        with self._changing():
            return self._store.enrol_all(people, consent, groups)

    @contextmanager
    def editing(self) -> Iterator[Editor]:
        """See `Editable.editing`."""
        with self._changing(), self._store.editing() as editor:
            yield editor

    def note_search(self, people: Sequence[int]) -> None:
        """Write down whom a search has named; see `audit`."""
        with self._lock:
            self._store.note_search(people)

    def erase(self, who: Who) -> None:
        """Remove a person for good: when this returns no byte of them is left in any file.

        Raises:
            AmbiguousError: Several people have that name, of whom all but one are deleted.
            GalleryError: Nobody has that name or id; or the person is gone but another program is
                in the way of wiping the traces, which the next change does.
        """
        self._refuse_aside("erase somebody")
        with self._lock:
            self._erase_overdue()
            with self._store.reading() as snapshot:
                person = snapshot.person(who, State.KEPT).person_id
            self._store.erase(person)
            self.wipe_traces()
            erase_from_former(self._folder, person, self._find_secret)

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
            ArgumentError: The passphrase is too short.
            GalleryError: It is encrypted already, or a damaged one is beside it, in plain; or it is
                encrypted now, but another program is in the way of wiping what was plain, which the
                next opening does.
        """
        if not whatever_was_put_aside:
            self._refuse_aside("encrypt the gallery")
        self._change_key(Action.ENCRYPT, new_secret(secret), keep)

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
            ArgumentError: The passphrase is too short.
            GalleryError: It is not encrypted; or as in `encrypt`.
        """
        action = Action.ROTATE if data_key else Action.REWRAP
        self._change_key(action, new_secret(secret), keep)

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
        """Everybody in one state of the gallery, whatever is changed meanwhile."""
        with self._apart() as snapshot:
            yield read_records(snapshot)

    @contextmanager
    def adding(self) -> Iterator[Writer]:
        """Put people in: all of the block, or nothing."""
        with self._changing(), self._store.adding() as connection:
            yield Adding(connection)

    def faults(self) -> list[str]:
        """See `AnyGallery.faults`."""
        with self._apart() as snapshot:
            return faults_of(snapshot)

    def facts(self) -> dict[str, str | int]:
        """See `AnyGallery.facts`."""
        with self._lock, self._store.reading() as snapshot:
            return facts_of(snapshot, self._folder) | {"index": self._views.described(snapshot)}

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
            self._views.close()
            self._store.close()
