"""A gallery's database, in a file or on a server: which of the two only its place says."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from .database import Database
from .database import create_database as create_file
from .encryption import FindSecret, IsGiven, Lock
from .link import Values
from .postgres_address import PostgresAddress
from .rows import SealedConnection

DatabasePlace = Path | PostgresAddress
"""A file, or where on a server."""


class AnyDatabase(Protocol):
    """A gallery's database, open in this process. Not for several threads at once."""

    lock: Lock

    @property
    def is_in_place(self) -> bool:
        """Whether what is open here is still what is in its place."""

    def reading(self) -> AbstractContextManager[SealedConnection]:
        """Several questions about one state of the gallery.

        Raises:
            GalleryError: It cannot be read.
        """

    def ask(self, statement: str, values: Values) -> tuple[Any, ...] | None:
        """One question about the newest state, in one round trip; its first row.

        Args:
            statement: In the words of `link`; it names no sealed column.
            values: Of its parameters.

        Raises:
            GalleryError: It cannot be read.
        """

    def writing(self, wait: float | None = None) -> AbstractContextManager[SealedConnection]:
        """One change: kept whole when the block ends, and not at all when it raises.

        Args:
            wait: How many seconds to wait for another one's change to end; None: as usual.

        Raises:
            GalleryError: It cannot be written.
        """

    def wipe_traces(self) -> None:
        """Leave as little of what has been removed as this kind of database can.

        Raises:
            GalleryError: Somebody is in the way, or it cannot be written.
        """

    def close(self) -> None:
        """Let go of it."""


def open_database(place: DatabasePlace, find_secret: FindSecret, is_given: IsGiven) -> AnyDatabase:
    """Open what is there.

    Args:
        place: Where.
        find_secret: Asked for what opens it, if it is encrypted; see `encryption`.
        is_given: See `Lock`.

    Raises:
        GalleryError: It cannot be read, or is not a gallery that this version can read.
        LockedError: It is encrypted, and the secret is missing or wrong.
    """
    if isinstance(place, Path):
        return Database(place, find_secret, is_given)
    from .postgres import PostgresDatabase  # brings psycopg

    return PostgresDatabase(place, find_secret, is_given)


def create_database(place: DatabasePlace, first_row: dict[str, str | int | None]) -> None:
    """Make an empty one, unless somebody else was quicker.

    Args:
        place: Where.
        first_row: The columns of the table `gallery`.

    Raises:
        GalleryError: It cannot be written.
    """
    if isinstance(place, Path):
        create_file(place, first_row)
        return
    from .postgres import create_database as create_on_server

    create_on_server(place, first_row)
