"""One connection: transactions, and SQLite's errors in one line."""

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from data import clock
from data.errors import AlteredError, GalleryError
from data.temporary import temporary_path

from .encryption import FindSecret, IsGiven, Lock
from .integrity import Integrity
from .link import COUNTED, Values
from .rows import SealedConnection
from .schema import (
    APPLICATION_ID,
    LEAVES_TRACES,
    MIGRATIONS,
    PROVED,
    TABLES,
    TRIGGERS,
    VERSION,
)

# A gallery's database is made, opened, and brought up to this version.


class SqliteLink(sqlite3.Connection):
    """A connection to SQLite; see `Link`."""

    broken = (sqlite3.DatabaseError,)
    indexes = 1

    def has_changed_since(self, before: int) -> bool:
        """See `Link.has_changed_since`."""
        return self.total_changes > before

    def reserve_ids(self, wanted: Mapping[str, int]) -> None:
        """Nothing: none is waited for."""

    def next_id(self, table: str) -> int:
        """See `Link.next_id`."""
        (highest,) = self.execute(
            "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = ?", (table,)
        ).fetchone()
        return int(highest) + 1

    def last_ids(self) -> dict[str, int]:
        """See `Link.last_ids`."""
        given = dict(self.execute("SELECT name, seq FROM sqlite_sequence"))
        return {table: int(given.get(table) or 0) for table in COUNTED}

    def skip_ids(self, last: Mapping[str, int]) -> None:
        """See `Link.skip_ids`."""
        for table, number in last.items():
            self.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            self.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, number))

    def defer_references(self) -> None:
        """See `Link.defer_references`."""
        self.execute("PRAGMA defer_foreign_keys = ON")

    def damages(self, most: int) -> Iterator[str]:
        """See `Link.damages`."""
        for (line,) in self.execute(f"PRAGMA integrity_check({most})"):
            if line != "ok":
                where = [part for part in line.splitlines() if not part.startswith("***")]
                yield f"the file is damaged: {'; '.join(where)}"
        for table, row, parent, _ in self.execute("PRAGMA foreign_key_check"):
            yield f"row {row} of {table} belongs to no {parent}"

    def facts(self) -> dict[str, str | int]:
        """See `Link.facts`."""
        (version,) = self.execute("PRAGMA user_version").fetchone()
        return {"kind": "SQLite and FAISS", "schema": int(version)}


def connect(uri: str, wait: float = 0) -> SqliteLink:
    """Open a database as a gallery's is used.

    Args:
        uri: The database.
        wait: How many seconds to wait for another process's change to end.
    """
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteLink,
    )
    connection.execute("PRAGMA trusted_schema = OFF")  # strangers may have made the file
    # What it sorts or wipes would else pass through the system's folder for temporary files.
    connection.execute("PRAGMA temp_store = MEMORY")
    # SQLite has a clock of its own, and for it every day is one of UTC.
    connection.create_function("today", 0, _today, deterministic=True)
    return connection


def refuse_foreign_schema(connection: sqlite3.Connection, shown: str) -> None:
    """Make sure that a file has no trigger, view or virtual table but a gallery's own.

    Raises:
        AlteredError: It has; what they say would be run by whoever uses the file.
    """
    odd = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type IN ('view', 'trigger')"
        " OR sql LIKE 'CREATE VIRTUAL%'"
    ).fetchall()
    if {" ".join(sql.split()) for (sql,) in odd} - _TRIGGERS:
        raise AlteredError(
            f"{shown} holds more than a gallery does, such as a trigger of somebody else's: "
            "restore a backup that you trust"
        )


_TRIGGERS = {" ".join(sql.split()) for sql in TRIGGERS}


def _today() -> str:
    return clock.today().isoformat()


def in_memory(source: SqliteLink, uri: str) -> SqliteLink:
    """Copy a gallery of whichever version into memory, and make the newest version of it there.

    Args:
        source: The gallery.
        uri: What the copy is called; it is there as long as it is open.
    """
    copy = connect(uri)
    try:
        source.backup(copy)
        (version,) = copy.execute("PRAGMA user_version").fetchone()
        if version < VERSION:
            bring_up(copy)
    except BaseException:
        copy.close()
        raise
    return copy


def bring_up(
    connection: sqlite3.Connection,
    before: Callable[[int], None] = lambda version: None,
    after: Callable[[int], None] = lambda version: None,
) -> None:
    """Make the newest version of an older one, in one transaction.

    Args:
        connection: The gallery.
        before: Called with the older version before anything is changed.
        after: Called with the older version at the end.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have been quicker.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        before(version)
        for older in range(version, VERSION):
            for statement in MIGRATIONS[older]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        after(version)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def how_to_open(path: Path) -> str:
    """SQLite's terms for opening a file that must exist; a vanished one is no empty gallery.

    Where nothing can be written, as on a read-only disk, SQLite cannot keep the log that it wants
    even for reading. A gallery without one is complete, and is read as it is.
    """
    log = path.with_name(f"{path.name}-wal")
    if os.access(path.parent, os.W_OK) or log.exists():
        return "mode=rw"
    return "mode=ro&immutable=1"


def create_database(path: Path, first_row: dict[str, str | int | None]) -> None:
    """Make a gallery's database, unless another process was quicker.

    It is made beside its place and linked there when it is whole, so that no kill leaves an empty
    file behind and no two processes make two.

    Args:
        path: Where it shall be; the folder exists.
        first_row: The columns of the table `gallery`.

    Raises:
        GalleryError: It cannot be written.
    """
    columns = ", ".join(first_row)
    values = ", ".join(f":{column}" for column in first_row)
    try:
        with temporary_path(path.parent, ".sqlite") as made:
            with closing(sqlite3.connect(made, isolation_level=None)) as connection:
                connection.executescript(TABLES)
                connection.execute(
                    f"INSERT INTO gallery (only_row, {columns}) VALUES (1, {values})", first_row
                )
                # Last: what is in a log when a connection closes may fail to reach the file, and
                # SQLite does not say so.
                connection.execute("PRAGMA journal_mode=WAL")
            with suppress(FileExistsError):
                os.link(made, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, sqlite3.Error) as error:
        raise GalleryError(
            f"cannot make a gallery at {path} ({error}): check the folder and the disk's space"
        ) from error


# One connection to a gallery's database: transactions, and SQLite's errors as one line.
#
# Write-ahead log with `synchronous=FULL`: what has been committed survives a kill and a power
# cut, and readers never wait for a writer. Every change is one `BEGIN IMMEDIATE` transaction, so
# that processes changing the gallery at once take turns instead of failing half-way.

_log = logging.getLogger(__name__)

BUSY_SECONDS = 30.0
"""How long a change waits for another process's change to end."""

MOST_IN_MEMORY = 300_000_000
"""So many bytes may a gallery's file have, to be written anew by way of memory."""

_TO_WRITE = "BEGIN IMMEDIATE"
_PAUSE = 0.02  # seconds
_one_at_a_time = threading.Lock()

_MEANING = {
    sqlite3.SQLITE_BUSY: "is in use by another program: try again in a moment",
    sqlite3.SQLITE_LOCKED: "is in use by another program: try again in a moment",
    # SQLite says so of a damaged file as well, where that tells of a page beyond all pages.
    sqlite3.SQLITE_FULL: "could not be changed, the disk is full: free some space and try again; "
    "if there is space, `likeness gallery check`",
    sqlite3.SQLITE_READONLY: "cannot be written: check the permissions of its folder",
    sqlite3.SQLITE_PERM: "cannot be opened: check the permissions of its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check the permissions of its folder",
    sqlite3.SQLITE_NOTADB: "is not a gallery's database: restore it from a backup",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a backup",
    sqlite3.SQLITE_IOERR: "could not be read or written: check the disk and try again",
}


class Database:
    """A gallery's database file, open in this process.

    Not for several threads at once: whoever owns it takes a lock around each call.

    Args:
        path: The file; it must exist.
        find_secret: Asked for what opens the gallery, if it is encrypted; see `encryption`.
        is_given: See `Lock`.

    Raises:
        GalleryError: The file is empty, damaged, not a gallery's, or of a newer version.
        LockedError: It is encrypted, and the secret is missing or wrong.
    """

    def __init__(
        self,
        path: Path,
        find_secret: FindSecret = lambda _: None,
        is_given: IsGiven = lambda: False,
    ) -> None:
        self._path = path
        self.lock = Lock(find_secret, is_given)
        with self._told_in_one_line():
            self._link = connect(f"{path.absolute().as_uri()}?{how_to_open(path)}", BUSY_SECONDS)
        self._integrity = Integrity(self._link)
        try:
            with self._told_in_one_line():
                self._check_identity()
                refuse_foreign_schema(self._link, f"the gallery {self._path}")
                # secure_delete overwrites what a change removes; foreign keys take templates and
                # crops away with their person.
                for setting in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
                    self._link.execute(f"PRAGMA {setting}")
            with self._told_in_one_line():
                self._migrate()
                self.lock.seal(self._link)  # now: nobody waits here for who is asked
            self._prove()
            self._file = path.stat()
            weakref.finalize(self, self._link.close)  # for those who forget to close
        except BaseException:
            self._link.close()
            raise

    def _check_identity(self) -> None:
        if self._path.stat().st_size == 0:
            raise GalleryError(f"the gallery {self._path} is empty: restore it from a backup")
        (application,) = self._link.execute("PRAGMA application_id").fetchone()
        (version,) = self._link.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise GalleryError(
                f"{self._path} is some other program's database, not a gallery: "
                "restore the gallery from a backup, or give another --home"
            )
        if version > VERSION:
            raise GalleryError(
                f"the gallery {self._path} was written by a newer Likeness (schema {version}, "
                f"this one knows up to {VERSION}): update Likeness"
            )

    def _prove(self) -> None:
        """See that the rows are as they were written; prove those of a gallery from before."""
        with self.reading():
            if self._integrity.check(self.lock.key, is_proved=self.lock.is_proved):
                return
            (is_read_only,) = self._link.execute("PRAGMA query_only").fetchone()
        if is_read_only or "immutable" in how_to_open(self._path):
            return
        with self.writing() as connection:
            self.lock.rewrap(connection)
            connection.execute(f"{LEAVES_TRACES}, changes = changes + 1")
        _log.warning(
            "note: the gallery %s is from an earlier version: from now on its rows are proved by "
            "its key; what was altered before cannot be told",
            self._path,
        )

    def _migrate(self) -> None:
        """Bring an older gallery up to this version, in one transaction.

        One that may not be written stays as it is, and is read in a copy in memory.
        """
        if self._version() == VERSION:
            return
        try:
            bring_up(self._link, self._before, self._after)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_READONLY:
                raise
            version = self._version()
            self._before(version)
            copy = in_memory(self._link, ":memory:")
            self._link.close()
            self._link, self._integrity = copy, Integrity(copy)
            self._after(version)
            copy.execute("PRAGMA query_only = ON")

    def _before(self, version: int) -> None:
        """Before it is brought up: see that the rows are as they were written."""
        if version >= PROVED:
            self.lock.seal(self._link)
            self._integrity.check(self.lock.key, is_proved=self.lock.is_proved)

    def _after(self, version: int) -> None:
        """Prove the rows as they are in this version."""
        if version >= PROVED and self.lock.key:
            self._integrity = Integrity(self._link)
            self._integrity.renew(self.lock.key)
            self._integrity.done()

    def _version(self) -> int:
        (version,) = self._link.execute("PRAGMA user_version").fetchone()
        return int(version)

    @property
    def link(self) -> SqliteLink:
        """The connection itself, for what only SQLite does."""
        return self._link

    @property
    def path(self) -> Path:
        """Where the file was when it was opened."""
        return self._path

    @property
    def is_in_place(self) -> bool:
        """Whether the path still leads to the file that is open here."""
        try:
            return os.path.samestat(self._file, self._path.stat())
        except OSError:
            return False

    @contextmanager
    def reading(self) -> Iterator[SealedConnection]:
        """Several questions about one state of the gallery.

        Raises:
            GalleryError: The file cannot be read.
        """
        with self._transaction("BEGIN DEFERRED") as connection:
            yield connection

    def ask(self, statement: str, values: Values) -> tuple[Any, ...] | None:
        """See `AnyDatabase.ask`."""
        with self.reading() as connection:
            row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
            return row

    @contextmanager
    def writing(self, wait: float | None = None) -> Iterator[SealedConnection]:
        """One change: kept whole when the block ends, and not at all when it raises.

        Args:
            wait: How many seconds to wait for another process's change to end; None:
                `BUSY_SECONDS`.

        Raises:
            GalleryError: The file cannot be written.
        """
        self._wait_for(wait)
        try:
            with self._transaction(_TO_WRITE) as connection:
                yield connection
        finally:
            self._wait_for(None)

    def _wait_for(self, seconds: float | None) -> None:
        wait = BUSY_SECONDS if seconds is None else seconds
        with self._told_in_one_line():
            self._link.execute(f"PRAGMA busy_timeout = {round(1000 * wait)}")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[SealedConnection]:
        with self._told_in_one_line():
            self._link.execute(begin)
            try:
                connection = SealedConnection(self._link)
                connection.seal = self.lock.seal(self._link)
                self._integrity.check(
                    self.lock.key,
                    is_proved=self.lock.is_proved,
                    writing=begin == _TO_WRITE,
                )
                before = self._link.total_changes
                yield connection
                if self._link.total_changes != before:
                    self.lock.seal(self._link)
                    self._integrity.renew(self.lock.key)
                self._link.execute("COMMIT")
                self._integrity.done()
            except BaseException:
                if self._link.in_transaction:
                    self._link.execute("ROLLBACK")
                    self._integrity.undone()
                raise

    def wipe_traces(self) -> None:
        """Leave no byte in the file or its log of what has been removed.

        `secure_delete` alone is not enough: rows that once moved between pages leave copies in the
        pages' gaps, and the log holds the pages as they were.

        Raises:
            GalleryError: Another process is reading an older state and goes on doing so.
        """
        with self._told_in_one_line():
            until = time.monotonic() + BUSY_SECONDS
            self._vacuum()
            # SQLite waits for readers by itself, but not for another process that does the same.
            while (is_busy := self._checkpoint_is_busy()) and time.monotonic() < until:
                time.sleep(_PAUSE)
        if is_busy:
            raise GalleryError(
                f"the gallery {self._path} is in use, so traces of what was erased remain in its "
                "log: close other programs that use it; the next change wipes them"
            )

    def _vacuum(self) -> None:
        """Write the file anew, by way of memory, or of a file in its own folder if it is large.

        SQLite takes the system's folder for temporary files else, where a plain copy of everybody
        would lie for a while on another disk.
        """
        if not self._path.exists() or self._path.stat().st_size <= MOST_IN_MEMORY:
            self._link.execute("VACUUM")
            return
        # The environment is asked once in a process; this holds for all connections, none of which
        # else writes temporary files.
        where = str(self._path.parent.absolute()).replace("'", "''")
        with _one_at_a_time:
            try:
                self._link.execute("PRAGMA temp_store = FILE")
                self._link.execute(f"PRAGMA temp_store_directory = '{where}'")
                self._link.execute("VACUUM")
            finally:
                self._link.execute("PRAGMA temp_store_directory = ''")
                self._link.execute("PRAGMA temp_store = MEMORY")
                self._integrity.undone()  # what is temporary is gone now

    def _checkpoint_is_busy(self) -> bool:
        """Fold the log into the file and empty it; whether somebody is in the way."""
        (busy, _, _) = self._link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(busy)

    def close(self) -> None:
        """Close the file; the last process to do so folds the log into it."""
        with self._told_in_one_line():
            self._link.close()

    @contextmanager
    def _told_in_one_line(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a mistake of ours, not something wrong with the file
        except sqlite3.IntegrityError as error:  # its rows contradict one another
            raise GalleryError(
                f"the gallery {self._path} is damaged ({error}): restore it from a backup"
            ) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            meaning = _MEANING.get(code, f"cannot be used ({error}): restore it from a backup")
            raise GalleryError(f"the gallery {self._path} {meaning}") from error
