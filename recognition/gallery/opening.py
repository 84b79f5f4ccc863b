"""A gallery's database is made, opened, and brought up to this version."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from data import clock
from data.errors import GalleryError
from data.temporary import temporary_path

from .schema import MIGRATIONS, TABLES, TRIGGERS, VERSION
from .sealing import SealedConnection


def connect(uri: str, wait: float = 0) -> SealedConnection:
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
        factory=SealedConnection,
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
        GalleryError: It has; what they say would be run by whoever uses the file.
    """
    odd = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type IN ('view', 'trigger')"
        " OR sql LIKE 'CREATE VIRTUAL%'"
    ).fetchall()
    if {" ".join(sql.split()) for (sql,) in odd} - _TRIGGERS:
        raise GalleryError(
            f"{shown} holds more than a gallery does, such as a trigger of somebody else's: "
            "restore a backup that you trust"
        )


_TRIGGERS = {" ".join(sql.split()) for sql in TRIGGERS}


def _today() -> str:
    return clock.today().isoformat()


def in_memory(source: SealedConnection, uri: str) -> SealedConnection:
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
