"""A gallery's database as one file, and back: both while other processes use the gallery.

A restoration is one transaction in the gallery's own file. Putting another file in its place would
not do: whoever has the old one open would go on writing its log, which SQLite finds by name.
"""

import json
import os
import secrets
import sqlite3
import stat
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from data import clock
from data.errors import AlteredError, ArgumentError, GalleryError, LockedError, WriteError
from data.files import atomic_output, printable, private_folder
from data.temporary import temporary_path

from ...results import Use
from ..gallery import ASIDE, DATABASE, Gallery
from ..search.index_file import IndexCache
from ..storage import audit
from ..storage.audit import Action
from ..storage.changes import Erased, erase_once_more, erased_in, read_erased, remember_erased
from ..storage.contents import replace_rows
from ..storage.database import (
    Database,
    SqliteLink,
    connect,
    create_database,
    in_memory,
    refuse_foreign_schema,
)
from ..storage.databases import AnyDatabase, open_database
from ..storage.encryption import (
    FindSecret,
    Lock,
    Seal,
    new_secret,
)
from ..storage.integrity import Integrity, faults_of
from ..storage.link import AMONG, Queries
from ..storage.people import Agreement, agreement_of, set_agreement
from ..storage.postgres_address import PostgresAddress
from ..storage.rows import Resealing, SealedConnection
from ..storage.schema import APPLICATION_ID, LEAVES_TRACES, PROVED, TABLES, VERSION
from ..storage.snapshot import Snapshot
from ..storage.store import Store

_CANNOT_BE_READ = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_SCHEMA)
_CANNOT_BE_OPENED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def back_up(
    folder: Path,
    target: Path,
    *,
    overwrite: bool = False,
    find_secret: FindSecret = lambda _: None,
    server: PostgresAddress | None = None,
) -> None:
    """Write a gallery's present state to a file of its own, whole or not at all.

    The file is a gallery's database itself: as `gallery.sqlite` in a folder it is used as it is. It
    is encrypted as the gallery is, and opens by the same key, whatever the gallery's is later on.

    Args:
        folder: The gallery's; of one on a server: where this machine keeps its index of it.
        target: The file.
        overwrite: Whether it may take the place of an earlier backup.
        find_secret: Asked for what opens the gallery, if it is encrypted.
        server: Where the gallery is, if it is on one.

    Raises:
        ArgumentError: The file is there already, is the gallery's own, or cannot be there.
        GalleryError: The gallery is damaged; then there is no backup of it, and an earlier one
            stays.
        WriteError: The file cannot be written.
    """
    if target.exists() and not overwrite:
        raise ArgumentError(f"{printable(target)} is there already: name another, or --overwrite")
    database = folder / DATABASE
    own = [database, *(database.with_name(f"{DATABASE}{end}") for end in ("-wal", "-shm"))]
    if target.is_dir() or not target.parent.is_dir() or target.resolve() in map(Path.resolve, own):
        raise ArgumentError(f"{printable(target)} cannot be a backup: name a file in a folder")
    find_secret = cache(find_secret)
    try:
        with (
            closing(open_database(server or database, find_secret, lambda: False)) as opened,
            atomic_output(target, notes=private_folder(folder)) as temporary,
        ):
            with opened.reading() as connection:
                if isinstance(opened, Database):
                    _copy(opened.link, temporary, printable(target))
                else:
                    _copy_rows(connection, opened.lock, temporary, printable(target))
            with reading_backup(temporary, find_secret) as snapshot:
                _refuse_faults(snapshot, f"the gallery {server or folder}")
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"cannot write {printable(target)}: {reason}") from error


def _copy(source: sqlite3.Connection, path: Path, shown: str) -> None:
    """Copy a database into an empty file, beside which nothing is left whatever happens.

    Raises:
        WriteError: The file cannot be written, whose name for messages is `shown`.
        sqlite3.Error: The database cannot be read.
    """
    with closing(sqlite3.connect(path)) as copy:
        try:
            copy.execute("PRAGMA journal_mode=OFF")  # what is not whole is thrown away
            source.backup(copy)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _CANNOT_BE_READ:
                raise
            raise WriteError(f"cannot write {shown} ({error}): name another place") from error


def _copy_rows(source: SealedConnection, lock: Lock, path: Path, shown: str) -> None:
    """Make a gallery's file of the rows of one on a server, as `_copy` does of a file.

    Raises:
        WriteError: The file cannot be written, whose name for messages is `shown`.
    """
    try:
        with closing(connect(f"{path.absolute().as_uri()}?mode=rwc")) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # what is not whole is thrown away
            copy.execute("PRAGMA journal_mode = OFF")
            copy.executescript(TABLES)
            copy.execute("BEGIN")
            first = Snapshot(source)
            copy.execute(
                "INSERT INTO gallery (only_row, gallery_id, created_at, model_id, weights_digest,"
                " dimension) VALUES (1, ?, '', '', '', 1)",
                (first.gallery_id,),
            )
            replace_rows(source, copy)
            copy.skip_ids(source.link.last_ids())
            Integrity(copy).renew(lock.key)
            copy.execute("COMMIT")
            copy.execute("PRAGMA journal_mode = WAL")  # as a gallery's is
    except sqlite3.Error as error:
        raise WriteError(f"cannot write {shown} ({error}): name another place") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a restoration takes away.

    Attributes:
        gone: The names of those who are enrolled or deleted now, and are not in the backup.
        erased_again: How many are in the backup who were erased since.
        notes: What else changes, a line each.
    """

    gone: tuple[str, ...]
    erased_again: int
    notes: tuple[str, ...]


def foresee(
    source: Path,
    folder: Path,
    find_secret: FindSecret = lambda _: None,
    secret: str | None = None,
    server: PostgresAddress | None = None,
) -> Foreseen:
    """Tell what a restoration would take away; nothing is changed.

    Args:
        source: The backup.
        folder: The gallery's.
        find_secret: As for `restore`.
        secret: What is given to encrypt a plain backup by.
        server: As for `restore`.

    Raises:
        ArgumentError: There is no such file.
        GalleryError: It is no backup, is damaged, or is a newer Likeness's.
        LockedError: One of them is encrypted, and the secret is missing or wrong.
    """
    find_secret = cache(find_secret)
    database = folder / DATABASE
    with reading_backup(source, find_secret) as snapshot:
        there = _everybody(snapshot)
        origin = snapshot.origin_id
        sealed = snapshot.is_encrypted
        terms = _terms(snapshot.connection)
        notes = [
            f"its threshold to {one.use} is {one.threshold:.3f}, measured on {printable(one.data)}"
            for one in map(snapshot.calibration, Use)
            if one is not None
        ]
    gone: tuple[str, ...] = ()
    erased, usable = set[Erased](), False
    exists = Gallery.exists(folder, server) if server else database.exists()
    if exists and (server or database.stat().st_size):
        with (
            suppress(GalleryError),
            closing(open_database(server or database, find_secret, lambda: False)) as opened,
            opened.reading() as connection,
        ):
            here = Snapshot(connection)
            same = here.origin_id == origin
            if same:
                notes += _differences(_terms(connection), terms)
            gone = tuple(
                name
                for person, name in sorted(_everybody(here).items(), key=lambda one: one[1])
                if (person not in there if same else name not in there.values())
            )
            erased |= erased_in(connection)
            if not here.is_encrypted:
                erased |= read_erased(folder)
            usable = True
            if not same:
                notes.append("it is another gallery's, and knows nobody who was erased here")
            if here.is_encrypted:
                notes.append("the gallery stays encrypted, by its own key")
            elif sealed:
                notes.append("the gallery will be encrypted, by the backup's key")
            elif secret is not None:
                notes.append(_BY_THE_KEY_GIVEN)
    if not usable:
        erased |= read_erased(folder) if server else _erased_before(folder)
    if not usable and exists:
        notes.append("what somebody agreed to since it was made cannot be known")
    if not usable and not sealed:
        notes.append(
            "the backup is not encrypted, and the gallery will not be either"
            if secret is None
            else _BY_THE_KEY_GIVEN
        )
    again = sum((origin, "person", person) in erased for person in there)
    return Foreseen(gone=gone, erased_again=again, notes=tuple(notes))


_BY_THE_KEY_GIVEN = "the gallery will be encrypted, by the key that is given"


_Terms = tuple[str | None, str | None, str | None]


def _terms(connection: Queries) -> dict[int, _Terms]:
    """Of everybody kept, by id: when what they agreed to was noted, its end, their deletion."""
    rows = connection.execute("SELECT id, consented_at, expires_on, deleted_at FROM person")
    return {person: (noted_at, until, deleted_at) for person, noted_at, until, deleted_at in rows}


def _differences(here: dict[int, _Terms], there: dict[int, _Terms]) -> list[str]:
    """What a restoration does to what people agreed to, and to deletions, a line each."""
    both = [(here[person], there[person]) for person in here.keys() & there.keys()]
    stay = sum(now[:2] != then[:2] and _is_later(now[0], then[0]) for now, then in both)
    back = sum(now[2] is not None and then[2] is None for now, then in both)
    notes = []
    if stay:
        notes.append(f"what {stay:,} of them agreed to since stays as it is here")
    if back:
        notes.append(f"{back:,} of them are deleted here, and will be enrolled again")
    return notes


def _is_later(now: str | None, then: str | None) -> bool:
    """Whether what is noted here of somebody's consent is not older than in a backup."""
    return now is not None and now >= (then or "")


def _everybody(snapshot: Snapshot) -> dict[int, str]:
    return {
        one.person_id: one.name
        for deleted in (False, True)
        for one in snapshot.people(deleted=deleted)
    }


def restore(
    source: Path,
    folder: Path,
    find_secret: FindSecret = lambda _: None,
    secret: str | None = None,
    server: PostgresAddress | None = None,
) -> Path | None:
    """Make a gallery what a backup says, all of it or nothing; whoever uses it sees it at once.

    Whoever was erased here since the backup was made goes once more. A gallery that is encrypted
    stays so, by its own key, whatever the backup is.

    Args:
        source: The backup; it is checked before anything is changed.
        folder: The gallery's; it may hold none, or one that is damaged. Of one on a server: where
            this machine keeps its index of it.
        find_secret: Asked for what opens the backup, if that is encrypted, and the gallery's own
            database if that is.
        secret: By which a gallery is encrypted that takes no usable one's place, if the backup is
            plain: before it is in its place, so that no kill leaves it there in plain.
        server: Where the gallery is, if it is on one.

    Returns:
        Where a damaged gallery was put aside; None where there was none.

    Raises:
        ArgumentError: There is no such file, or the secret for a plain backup is easy to guess.
        GalleryError: It is no backup, is damaged, or is a newer Likeness's; or the gallery cannot
            be written.
        LockedError: One of them is encrypted, and the secret is missing or wrong.
    """
    find_secret = cache(find_secret)
    with reading_backup(source, find_secret) as snapshot:
        _refuse_faults(snapshot, f"the backup {printable(source)}")
        if server is not None:
            _restore_on(server, snapshot, folder, find_secret, secret)
            return None
        return _restore(snapshot.connection, folder, find_secret, secret)


def check(source: Path, find_secret: FindSecret = lambda _: None) -> None:
    """Refuse what `restore` would refuse, before anybody is asked about it."""
    with reading_backup(source, find_secret) as snapshot:
        _refuse_faults(snapshot, f"the backup {printable(source)}")


def _restore_on(
    server: PostgresAddress,
    backup: Snapshot,
    folder: Path,
    find_secret: FindSecret,
    secret: str | None,
) -> None:
    """Restore a gallery on a server, of which there may be none."""
    if not Gallery.exists(folder, server):
        Store.create(server, backup.model)
        if secret is not None and not backup.is_encrypted:
            with closing(Store(server, find_secret)) as store:
                names = [person.name for person in backup.people()]
                store.change_key(Action.ENCRYPT, new_secret(secret, names))
    try:
        database = open_database(server, find_secret, lambda: False)
    except AlteredError as error:
        raise GalleryError(
            f"the gallery {server} was altered by somebody without its key, and nothing is put "
            "aside on a server: restore into another schema of it, by ?schema=NAME"
        ) from error
    with closing(database):
        with database.writing() as connection:
            if not connection.is_encrypted:  # it believes what is under its key alone
                remember_erased(connection, read_erased(folder))
        _fill(database, backup.connection)
    with (
        suppress(GalleryError),
        Gallery.open(folder, find_secret=find_secret, server=server) as gallery,
    ):
        gallery.wipe_traces()


def _restore(
    backup: SealedConnection, folder: Path, find_secret: FindSecret, secret: str | None
) -> Path | None:
    if _is_usable(folder / DATABASE, find_secret):
        with closing(Database(folder / DATABASE, find_secret)) as database:
            with database.writing() as connection:
                if not connection.is_encrypted:  # it believes what is under its key alone
                    remember_erased(connection, read_erased(folder))
            _fill(database, backup)
        with suppress(GalleryError), Gallery.open(folder, find_secret=find_secret) as gallery:
            gallery.wipe_traces()
        return None
    try:
        with temporary_path(private_folder(folder), is_folder=True) as staging:
            staged = staging / DATABASE
            create_database(
                staged,
                {"gallery_id": "", "created_at": "", "model_id": "", "weights_digest": "",
                 "dimension": 1},
            )  # fmt: skip
            with closing(Database(staged, find_secret)) as database:
                with database.writing() as connection:
                    remember_erased(connection, _erased_before(folder))
                _fill(database, backup)
                if secret is not None:
                    _encrypt(Store.over(database), secret)
                database.wipe_traces()  # so that the file is whole without its log
            aside = _put_aside(folder)
            staged.replace(folder / DATABASE)
            _sync(folder)
    except OSError as error:
        raise GalleryError(f"cannot restore to {folder}: {error.strerror or error}") from error
    return aside


def _encrypt(store: Store, secret: str) -> None:
    """Encrypt what is not encrypted yet."""
    if not store.is_encrypted:
        with store.reading() as snapshot:
            names = [person.name for person in snapshot.people()]
        store.change_key(Action.ENCRYPT, new_secret(secret, names))


def _erased_before(folder: Path) -> set[Erased]:
    """Who was erased from a gallery that is damaged, as far as that can still be known."""
    found = read_erased(folder)
    with suppress(sqlite3.Error, OSError), closing(connect(_uri(folder / DATABASE))) as connection:
        found |= erased_in(connection)
    return found


@contextmanager
def reading_backup(path: Path, find_secret: FindSecret = lambda _: None) -> Iterator[Snapshot]:
    """Look into a file that strangers may have made; nothing is written, not even beside it.

    Args:
        path: The file.
        find_secret: Asked for what opens it, if it is encrypted.

    Yields:
        What it holds; an older version is brought up in memory.

    Raises:
        ArgumentError: There is no such file.
        GalleryError: It is no gallery's database, is damaged, or is a newer Likeness's.
    """
    shown = printable(path)
    if not path.exists():
        raise ArgumentError(f"there is no file {shown}: check the path")
    if not stat.S_ISREG(path.stat().st_mode):
        raise GalleryError(f"{shown} is no regular file: name a backup")
    try:
        with closing(connect(_uri(path))) as connection:
            connection.execute("BEGIN")
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID:
                raise GalleryError(f"{shown} is no gallery's database: name a backup")
            if version > VERSION:
                raise GalleryError(
                    f"{shown} was written by a newer Likeness (schema {version}, this one knows up "
                    f"to {VERSION}): update Likeness"
                )
            refuse_foreign_schema(connection, shown)
            if version == VERSION:
                sealed = SealedConnection(connection)
                sealed.seal = _seal_of(connection, shown, find_secret)
                yield Snapshot(sealed)
                return
            if version >= PROVED:
                _seal_of(connection, shown, find_secret)  # its rows are as they were written
            connection.execute("COMMIT")
            with closing(in_memory(connection, ":memory:")) as copy:
                sealed = SealedConnection(copy)
                sealed.seal = _seal_of(copy, shown, find_secret, is_proved=False)
                yield Snapshot(sealed)
    except sqlite3.Error as error:
        raise GalleryError(f"{shown} is damaged or no gallery's database ({error})") from error


def _seal_of(
    connection: SqliteLink, shown: str, find_secret: FindSecret, *, is_proved: bool = True
) -> Seal:
    """How a backup is sealed; where its rows can have a proof, they are seen to be as written."""
    lock = Lock(find_secret)
    try:
        seal = lock.seal(connection)
        if is_proved:
            Integrity(connection).check(lock.key, is_proved=lock.is_proved)
        return seal
    except LockedError as error:  # it may have been made before the passphrase was changed
        raise LockedError(f"{shown} (a backup keeps the passphrase of its day): {error}") from None


def _uri(path: Path) -> str:
    """How SQLite opens a file without writing; one with a log is some gallery in use."""
    in_use = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'' if in_use else '&immutable=1'}"


def _refuse_faults(snapshot: Snapshot, what: str) -> None:
    faults = faults_of(snapshot)
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise GalleryError(f"{what} is damaged: {printable(faults[0])}{more}")


def _fill(database: AnyDatabase, backup: SealedConnection) -> None:
    """Put a backup's rows in the place of a gallery's, in one transaction.

    The gallery is another one from then on, so that nobody takes an index of before for its own.
    Its audit log stays, and is told of this; so does the memory of who was erased, its key, and
    what somebody agreed to later than the backup says. What an encrypted gallery takes from a
    backup is sealed by its own key before it is written.

    Args:
        database: The gallery's.
        backup: The backup's.
    """
    with database.writing() as connection:
        connection.link.defer_references()
        agreed = _agreed_since(connection, backup)
        stays = {"audit", "erased", *(("wrapped_key",) if connection.is_encrypted else ())}
        if connection.is_encrypted:
            digest = Snapshot(backup).model.weights_digest
            anew = Resealing(backup.seal, connection.seal, digest)
            replace_rows(backup, connection, stays, anew)
        else:
            replace_rows(backup, connection, stays)
            connection.seal = backup.seal
        remember_erased(connection, erased_in(backup))
        # A deletion of a time to come would never be over.
        latest = clock.now().isoformat(timespec="microseconds")
        connection.execute(
            "UPDATE person SET deleted_at = ? WHERE deleted_at > ?", (latest, latest)
        )
        for person, agreement in agreed.items():
            if _is_later(agreement.noted_at, agreement_of(connection, person).noted_at):
                set_agreement(connection, person, agreement)
        audit.note(connection, Action.ROLL_BACK)
        erase_once_more(connection)
        _keep_counting(connection, backup)
        connection.execute(
            f"{LEAVES_TRACES}, gallery_id = ?, changes = changes + 1, mark = ?",
            (str(uuid.uuid4()), secrets.token_hex(16)),
        )


def _agreed_since(connection: SealedConnection, backup: SealedConnection) -> dict[int, Agreement]:
    """What those agreed to, in a gallery, whom a backup of the same origin has."""
    if Snapshot(connection).origin_id != Snapshot(backup).origin_id:
        return {}
    there = [person for (person,) in backup.execute("SELECT id FROM person")]
    rows = connection.execute(
        f"SELECT id FROM person WHERE consented_at IS NOT NULL AND id {AMONG}",
        (json.dumps(there),),
    ).fetchall()
    return {person: agreement_of(connection, person) for (person,) in rows}


def _keep_counting(connection: SealedConnection, backup: SealedConnection) -> None:
    """Never give an id twice: neither one that the backup gave, nor one that was given here."""
    here, there = connection.link.last_ids(), backup.link.last_ids()
    erased = dict(connection.execute("SELECT kind, max(row) FROM erased GROUP BY kind"))
    connection.link.skip_ids(
        {table: max(here[table], there[table], erased.get(table, 0)) for table in here}
    )


def _is_usable(database: Path, find_secret: FindSecret) -> bool:
    """Whether there is a gallery that can be written; one that is in use or newer is told of.

    One that somebody else has altered is put aside, as a damaged one is.

    Raises:
        GalleryError: It is another program's, a newer Likeness's, in use, or cannot be opened.
    """
    if not database.exists() or database.stat().st_size == 0:
        return False
    try:
        with closing(Database(database, find_secret)) as opened, opened.reading() as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return bool(verdict == "ok")
    except AlteredError:
        return False
    except GalleryError as error:
        code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
        if code in _CANNOT_BE_OPENED:
            return False
        raise


def _put_aside(folder: Path) -> Path | None:
    """Move what is left of a damaged gallery out of the way, and remove its index."""
    rest = [path for path in sorted(folder.glob(f"{DATABASE}*")) if path.is_file()]
    IndexCache(folder / "index").clear()
    if not rest:
        return None
    aside = folder / f"{ASIDE}{clock.now():%Y%m%dT%H%M%S%f}"
    aside.mkdir(mode=0o700)
    for path in reversed(rest):  # the log and the shared memory before their database
        path.replace(aside / path.name)
    return aside


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
