"""Every change one transaction, with what went before and comes after it."""

import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple
from pathlib import Path

from data.errors import GalleryError

from ...results import Calibration, Consent
from ..names import person_name
from ..templates import EmbeddingModel, Template
from . import audit
from .audit import Action
from .audit import note as note_action
from .changes import (
    COUNT_ERASED,
    Change,
    Editor,
    Erased,
    enrol,
    erase_once_more,
    erase_people,
    erased_in,
    forget_outdated,
    is_outdated,
    overdue,
    remember_erased,
)
from .databases import AnyDatabase, DatabasePlace, create_database, open_database
from .encryption import FindSecret, IsGiven, Keep, WrappedKey
from .link import quoted
from .people import Who, group_names, require_kept, timestamp
from .rows import SealedConnection, change_key
from .snapshot import (
    CALIBRATION_COLUMNS,
    GLANCE,
    MODEL_COLUMNS,
    Glance,
    Snapshot,
    begin_state,
    glance_of,
)

# The truth about who is enrolled. Every change is one transaction: all of it, or none.


class Store:
    """People, photographs' hashes, templates and crops in one database.

    Args:
        place: Where the database is; see `Store.create` for making one.
        find_secret: Asked for what opens it, if it is encrypted; see `encryption`.
        is_given: See `Lock`.

    Raises:
        GalleryError: The file is not a gallery that this version can read.
        LockedError: It is encrypted, and the secret is missing or wrong.
    """

    def __init__(
        self,
        place: DatabasePlace,
        find_secret: FindSecret = lambda _: None,
        is_given: IsGiven = lambda: False,
    ) -> None:
        self._database = open_database(place, find_secret, is_given)

    @classmethod
    def over(cls, database: AnyDatabase) -> "Store":
        """The same rules over a database that is open already."""
        store = cls.__new__(cls)
        store._database = database
        return store

    @staticmethod
    def create(place: DatabasePlace, model: EmbeddingModel) -> None:
        """Make an empty gallery of a model's embeddings, unless there is one already.

        Raises:
            GalleryError: It cannot be written.
        """
        gallery_id = str(uuid.uuid4())
        create_database(
            place,
            {
                "gallery_id": gallery_id,
                "origin_id": gallery_id,
                "created_at": timestamp(),
                **asdict(model),
            },
        )

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open here is still the gallery at its path."""
        return self._database.is_in_place

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """One state of the gallery, untouched by changes made meanwhile.

        Raises:
            GalleryError: The file cannot be read.
        """
        with self._database.reading() as connection:
            yield Snapshot(connection)

    def glance(self) -> Glance:
        """What has to be known of the newest state before each question, in one round trip.

        Raises:
            GalleryError: The file cannot be read.
        """
        return glance_of(self._database.ask(GLANCE, ()))

    def count_erased(self) -> int:
        """How many rows were erased, ever; see `changes.count_erased`."""
        [count] = self._database.ask(COUNT_ERASED, ()) or (0,)
        return int(count)

    @contextmanager
    def unchanging(self, wait: float | None = None) -> Iterator[Snapshot]:
        """The newest state of the gallery, and nobody changes it before the block ends.

        Args:
            wait: As for `Database.writing`.

        Raises:
            GalleryError: Another process goes on changing it for longer.
        """
        with self._database.writing(wait) as connection:
            yield Snapshot(connection)

    def erase_overdue(self) -> bool:
        """Remove those who were deleted too long ago, and those whose consent has ended.

        What was written down of operations and in the log goes as well after its time. People are
        hidden at once, and removed a day after that was first seen, if the clock can be
        believed; see `changes`. Traces remain until `wipe_traces`.

        Returns:
            Whether something was removed; the file is not written where nothing is to be noted.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self.reading() as snapshot:
            connection = snapshot.connection
            is_news = snapshot.someone_is_overdue and overdue(connection).is_news
            if is_outdated(connection):
                reading = audit.reading(connection)
                is_news = is_news or reading.is_plausible or reading.begins
            if not is_news:
                return False
        with self._changing() as connection:
            forgotten = is_outdated(connection) and forget_outdated(connection)
            found = overdue(connection)
            if found.clock_begins:
                audit.note(connection, Action.CLOCK)
            if found.unseen:
                audit.note(connection, Action.HIDE, *sorted(found.unseen))
            erase_people(connection, Action.EXPIRE, found.due)
            return bool(found.due) or forgotten

    @contextmanager
    def _changing(self) -> Iterator[SealedConnection]:
        with self._database.writing() as connection:
            before = connection.total_changes
            yield connection
            if connection.has_changed_since(before):
                begin_state(connection)

    def note_search(self, people: Sequence[int]) -> None:
        """Write a line for each of those whom a search has named, or one; it changes nothing else.

        Args:
            people: Their ids.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self._database.writing() as connection:
            note_action(connection, Action.SEARCH, *people)

    def adopt(self, model: EmbeddingModel) -> bool:
        """Take up another model, which only a gallery without anybody can.

        Returns:
            Whether the gallery is now that model's.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self._changing() as connection:
            adopted = connection.execute(
                f"UPDATE gallery SET ({MODEL_COLUMNS}) = (?, ?, ?, ?, ?, ?)"
                " WHERE NOT EXISTS (SELECT 1 FROM template)"
                " AND NOT EXISTS (SELECT 1 FROM exclusion)",
                astuple(model),
            )
            return adopted.rowcount > 0

    def enrol(
        self,
        person: str,
        templates: Sequence[Template],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> dict[int, str]:
        """Enrol one person's photographs; see `enrol_all`."""
        (left_out,) = self.enrol_all([(person, templates)], consent, groups)
        return left_out

    def enrol_all(
        self,
        people: Sequence[tuple[str, Sequence[Template]]],
        consent: Consent | None = None,
        groups: Sequence[str] = (),
    ) -> list[dict[int, str]]:
        """Enrol photographs under names, known or new, in one transaction.

        A photograph that is enrolled already is left out: the same one under the same name, and
        the same face of it under another's.

        Args:
            people: Names, and one face of each of their photographs. Each is an operation of its
                own, to be undone by itself.
            consent: What they agreed to; noted of those of whom any photograph was new.
            groups: What these are put into.

        Returns:
            For each of them: position in their templates → under which name that one is enrolled
            already, or `CONSENT_ENDED` where the person's consent is over and no new one is given;
            empty when all were taken.

        Raises:
            ArgumentError: A name, or a group's, cannot be one.
            GalleryError: An embedding is not a unit vector of the gallery's dimension, or the file
                cannot be written. Nothing has been enrolled.
        """
        named = [(person_name(person), templates) for person, templates in people]
        into = group_names(groups)
        with self._changing() as connection:
            return [enrol(connection, name, templates, consent, into) for name, templates in named]

    @property
    def edit(self) -> Editor:
        """What is done to the people by hand."""
        return Editor(self.editing)

    @contextmanager
    def editing(self) -> Iterator[Change]:
        """One change by hand, for `Editor`.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self._changing() as connection:
            yield Change(connection)

    @contextmanager
    def adding(self) -> Iterator[SealedConnection]:
        """One change for `records.RecordWriter`.

        Raises:
            GalleryError: The file cannot be written.
        """
        with self._changing() as connection:
            yield connection

    def erase(self, who: Who) -> None:
        """Remove one person, enrolled or deleted. Traces remain until `wipe_traces`.

        Raises:
            AmbiguousError: Several people have that name, of whom all but one are deleted.
            GalleryError: Nobody has that name or id.
        """
        with self._changing() as connection:
            erase_people(connection, Action.ERASE, {require_kept(connection, who)})

    def calibrate(self, calibrations: Sequence[Calibration]) -> None:
        """Keep the gallery's own threshold for each use, in place of earlier ones.

        Nobody is changed by this, so what has been read of the gallery stays true.

        Raises:
            GalleryError: The gallery is by now another model's, or cannot be written.
        """
        columns, places = quoted(CALIBRATION_COLUMNS), ", ".join("?" * len(CALIBRATION_COLUMNS))
        anew = ", ".join(f'"{name}" = excluded."{name}"' for name in CALIBRATION_COLUMNS)
        with self._database.writing() as connection:
            model = Snapshot(connection).model
            if any(one.weights_digest != model.weights_digest for one in calibrations):
                raise GalleryError(f"the gallery is by now one of {model}: calibrate it again")
            connection.executemany(
                f"INSERT INTO calibration ({columns}) VALUES ({places})"
                f" ON CONFLICT (use) DO UPDATE SET {anew}",
                [[getattr(one, n) for n in CALIBRATION_COLUMNS] for one in calibrations],
            )

    @property
    def is_encrypted(self) -> bool:
        """Whether it is encrypted at rest."""
        with self._database.reading() as connection:
            return connection.is_encrypted

    def change_key(self, action: Action, secret: str | None, keep: Keep | None = None) -> None:
        """Encrypt, decrypt, or change how it is encrypted. Traces remain until `wipe_traces`.

        Args:
            action: Which of these: to encrypt, decrypt, rewrap the key by another secret, or
                rotate the key itself.
            secret: What opens the gallery from now on; None where it is decrypted.
            keep: Called with the key's id and the secret before anything is kept of the change.

        Raises:
            GalleryError: It is encrypted already, or is not; or the file cannot be written.
        """
        lock = self._database.lock

        def expect(wrapped: WrappedKey, key: bytes) -> None:
            if keep is not None and secret is not None:
                keep(wrapped.key_id, secret)
            lock.expect(wrapped, key)

        with self._changing() as connection:
            change_key(connection, lock.key, action, secret, expect, lock.let_be_plain)

    def wipe_traces(
        self, elsewhere: Callable[[], None] = lambda: None, since: int | None = None
    ) -> None:
        """Leave no byte of what was erased or encrypted in the database's files.

        What somebody else erases meanwhile is left to the next call.

        Args:
            elsewhere: Wipes what else holds some. Where that fails, the next call tries again.
            since: The last change of which all else is wiped, see `Snapshot.traces_since`; None:
                whichever is the last one now.

        Raises:
            GalleryError: Another process is in the way; the next call tries again.
        """
        if since is None:
            with self.reading() as snapshot:
                since = snapshot.traces_since
        self._database.wipe_traces()
        elsewhere()
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE gallery SET traces_remain = 0 WHERE traces_remain = ?", (since,)
            )


# The gallery as it was before it was moved to another network, until that is confirmed.
#
# It is a backup in the gallery's own folder. Whoever is erased meanwhile is erased from it as
# well.

FORMER = "former.sqlite"
"""The backup."""

COMING = "re-embedding.sqlite"
"""What has been embedded by the new network so far; it can be made again."""


def has_former(folder: Path) -> bool:
    """Whether a gallery was moved to another network, and that has not been confirmed."""
    return (folder / FORMER).is_file()


def erase_from_former(folder: Path, erased: Collection[Erased], find_secret: FindSecret) -> None:
    """Erase, from what a move to another network leaves, whoever was erased from the gallery.

    Args:
        folder: The gallery's.
        erased: Who was, ever.
        find_secret: Asked for what opens it, if it is encrypted.

    Raises:
        GalleryError: It cannot be written.
    """
    if _is_in_coming(folder, {row for _, kind, row in erased if kind == "template"}):
        forget_coming(folder)
    if not erased or not has_former(folder):
        return
    with closing(Store(folder / FORMER, find_secret)) as store:
        with store.reading() as snapshot:
            is_news = not set(erased) <= erased_in(snapshot.connection)
        if is_news:
            with store.adding() as connection:
                remember_erased(connection, erased)
                erase_once_more(connection)
            store.wipe_traces()


def _is_in_coming(folder: Path, templates: Collection[int]) -> bool:
    """Whether one of some templates was embedded by a new network, or that cannot be told."""
    path = folder / COMING
    if not templates or not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as coming:
            rows = coming.execute("SELECT template_id FROM embedding")
            return any(row in templates for (row,) in rows)
    except sqlite3.Error:
        return True


def forget_coming(folder: Path) -> None:
    """Remove what has been embedded by a new network so far."""
    for beside in ("", "-journal", "-wal", "-shm"):
        (folder / f"{COMING}{beside}").unlink(missing_ok=True)


def forget_former(folder: Path) -> None:
    """Remove the gallery as it was before."""
    for beside in ("-journal", "-wal", "-shm", ""):
        (folder / f"{FORMER}{beside}").unlink(missing_ok=True)
