"""A gallery's database is made, opened, and brought up to this version."""

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from data.errors import GalleryError

from .schema import MIGRATIONS, TABLES, VERSION
from .sealing import SealedConnection


def connect(uri: str, wait: float = 0) -> SealedConnection:
    """Open a database as a gallery's is used.

    Args:
        uri: The database.
        wait: How many seconds to wait for another process's change to end.
    """
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,
        factory=SealedConnection,
    )


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


def bring_up(connection: sqlite3.Connection) -> None:
    """Make the newest version of an older one, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have been quicker.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for older in range(version, VERSION):
            for statement in MIGRATIONS[older]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
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
        handle, name = tempfile.mkstemp(prefix=".new-", suffix=".sqlite", dir=path.parent)  # 0600
        os.close(handle)
        try:
            with closing(sqlite3.connect(name, isolation_level=None)) as connection:
                connection.executescript(TABLES)
                connection.execute(
                    f"INSERT INTO gallery (only_row, {columns}) VALUES (1, {values})", first_row
                )
                # Last: what is in a log when a connection closes may fail to reach the file, and
                # SQLite does not say so.
                connection.execute("PRAGMA journal_mode=WAL")
            with suppress(FileExistsError):
                os.link(name, path)
        finally:
            for beside in ("", "-journal", "-wal", "-shm"):
                Path(f"{name}{beside}").unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, sqlite3.Error) as error:
        raise GalleryError(
            f"cannot make a gallery at {path} ({error}): check the folder and the disk's space"
        ) from error
