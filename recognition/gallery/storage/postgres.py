"""One connection to a gallery on a PostgreSQL server: transactions, and errors in one line.

Whoever changes the gallery holds the lock of its one row in the table `gallery` to the end of the
transaction, so that machines changing it at once take turns, as processes do with SQLite. Readers
see one state and wait for nobody. A connection that was lost is made anew with the next question.
"""

import os
import re
import ssl
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain
from typing import Any, TypeVar, cast

from data import clock
from data.distribution import install_command
from data.errors import GalleryError
from data.files import printable

from .encryption import KEY_TABLE, READ_KEY, FindSecret, IsGiven, Lock, WrappedKey, key_of
from .link import COUNTED, Values, quoted
from .postgres_address import PostgresAddress
from .postgres_integrity import PostgresIntegrity
from .postgres_schema import MIGRATIONS, in_its_words, tables
from .rows import SealedConnection
from .schema import VERSION

try:
    import psycopg
except ImportError as error:
    raise GalleryError(
        f"a gallery on PostgreSQL needs psycopg ({error}): {install_command('postgres')}"
    ) from error

BUSY_SECONDS = 30.0
"""How long a change waits for another one's end."""

_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_CHANGES = ("INSERT", "UPDATE", "DELETE")
_ADDS = re.compile(r"INSERT INTO [^?]* VALUES (?!.* ON CONFLICT)", re.DOTALL)  # a row, surely
_Answer = TypeVar("_Answer")
_WIPED = (
    "person, template, crop, quality, exclusion, membership, operation, reversal, proof, "
    "wrapped_key"
)

_SESSION = """
SET search_path = "{schema}", pg_temp;
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET client_min_messages = error;
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;
SET idle_in_transaction_session_timeout = 0;
SET statement_timeout = 0;
SELECT set_config('tcp_user_timeout', '60000', false)
WHERE current_setting('tcp_user_timeout', true) IS NOT NULL;
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
"""How a session is used: what a change has acknowledged is on the server's disk, whatever the
server is set to, and one of a machine that went dark lets go of its locks within a minute."""

_MEANING: dict[type[psycopg.Error], str] = {
    psycopg.errors.LockNotAvailable: "is in use by another program: try again in a moment",
    psycopg.errors.DeadlockDetected: "is in use by another program: try again in a moment",
    psycopg.errors.SerializationFailure: "is in use by another program: try again in a moment",
    psycopg.errors.DiskFull: "could not be changed, the server's disk is full: free some space",
    psycopg.errors.ReadOnlySqlTransaction: "cannot be written, its server only reads: name the "
    "primary server",
    psycopg.errors.InsufficientPrivilege: "may not be used so by this role: let its owner grant "
    "it, see docs/scale.md",
    psycopg.errors.UndefinedTable: "is not there any more: restore the database from a backup",
    psycopg.errors.DataCorrupted: "is damaged: restore the database from a backup",
    psycopg.errors.IndexCorrupted: "is damaged: restore the database from a backup",
}


class PostgresRows:
    """What a statement has found, which is waited for when it is asked for; see `Rows`.

    Args:
        cursor: That of the statement.
        settle: Waits for the answers to all statements.
    """

    def __init__(self, cursor: psycopg.Cursor[Any], settle: Callable[[], None]) -> None:
        self._cursor, self._settle = cursor, settle

    @property
    def rowcount(self) -> int:
        """See `Rows.rowcount`."""
        self._settle()
        return self._cursor.rowcount

    def fetchone(self) -> Any:
        """See `Rows.fetchone`."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """See `Rows.fetchall`."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class PostgresLink:
    """A connection to PostgreSQL; see `Link`.

    Within a change no statement is waited for before its answer is asked for, by libpq's pipeline:
    what fails is told with the next answer, or at the end of the change.

    Args:
        raw: The connection.
    """

    broken = (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted)
    indexes = 32

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw
        self.has_written_key = False
        self._changes = 0
        self._uncounted: list[psycopg.Cursor[Any]] = []
        self._pipeline: psycopg.Pipeline | None = None
        self._within: AbstractContextManager[psycopg.Pipeline] | None = None
        self._reserved: dict[str, deque[int]] = {}

    def begin_change(self) -> None:
        """Wait for no statement from now on."""
        self.has_written_key = False
        self._reserved.clear()
        if psycopg.Pipeline.is_supported():
            self._within = self.raw.pipeline()
            self._pipeline = self._within.__enter__()

    def end_change(self) -> None:
        """Wait for every statement.

        Raises:
            psycopg.Error: What the first one said that failed.
        """
        within, self._within, self._pipeline = self._within, None, None
        if within is not None:
            within.__exit__(None, None, None)
        self._settle()

    def abandon_change(self) -> None:
        """Take everything back since the transaction began, as far as the server is there."""
        self._uncounted.clear()
        with suppress(psycopg.Error):
            self.end_change()
        with suppress(psycopg.Error):
            if self.raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self.raw.execute("ROLLBACK")

    def execute(self, statement: str, values: Values = ()) -> PostgresRows:
        """See `Link.execute`."""
        cursor = self.raw.cursor(binary=True)
        cursor.execute(in_its_words(statement).encode(), values)
        return self._noted(cursor, statement, 1)

    def executemany(self, statement: str, each: Iterable[Values]) -> PostgresRows:
        """See `Link.executemany`."""
        cursor, times = self.raw.cursor(binary=True), list(each)
        if times:  # else psycopg says nothing of rows
            cursor.executemany(in_its_words(statement).encode(), times)
        return self._noted(cursor, statement, len(times))

    def _noted(self, cursor: psycopg.Cursor[Any], statement: str, times: int) -> PostgresRows:
        # By the statement: not every psycopg keeps what the server said of many at once.
        words = statement.lstrip().upper()
        if words.startswith(_CHANGES) and times:
            self.has_written_key |= KEY_TABLE in statement
            if _ADDS.match(words):
                self._changes += times
            elif self._pipeline is None:
                self._changes += max(0, cursor.rowcount)
            else:
                self._uncounted.append(cursor)
        return PostgresRows(cursor, self._settle)

    def _settle(self) -> None:
        """Wait for the answers to all statements."""
        if self._pipeline is not None:
            self._pipeline.sync()
        self._changes += sum(max(0, cursor.rowcount) for cursor in self._uncounted)
        self._uncounted.clear()

    @property
    def total_changes(self) -> int:
        """See `Link.total_changes`."""
        if self._uncounted:
            self._settle()
        return self._changes

    def has_changed_since(self, before: int) -> bool:
        """See `Link.has_changed_since`."""
        return self._changes > before or self.total_changes > before

    def next_id(self, table: str) -> int:
        """See `Link.next_id`."""
        if not self._reserved.get(table):
            self.reserve_ids({table: 1})
        return self._reserved[table].popleft()

    def reserve_ids(self, wanted: Mapping[str, int]) -> None:
        """See `Link.reserve_ids`."""
        places = " UNION ALL ".join(
            "SELECT ?, nextval(pg_get_serial_sequence(?, 'id')) FROM generate_series(1, ?)"
            for count in wanted.values() if count > 0
        )  # fmt: skip
        if not places:
            return
        values = [(table, table, count) for table, count in wanted.items() if count > 0]
        for table, number in sorted(self.execute(places, [*chain.from_iterable(values)])):
            self._reserved.setdefault(table, deque()).append(int(number))

    def last_ids(self) -> dict[str, int]:
        """See `Link.last_ids`."""
        given = ", ".join(
            f"coalesce(pg_sequence_last_value(pg_get_serial_sequence('{table}', 'id')), 0)"
            for table in COUNTED
        )
        [numbers] = self.execute(f"SELECT {given}").fetchall()
        return dict(zip(COUNTED, map(int, numbers), strict=True))

    def skip_ids(self, last: Mapping[str, int]) -> None:
        """See `Link.skip_ids`."""
        for table, number in (*last.items(), ("reversal", 0)):
            self.execute(
                "SELECT setval(sequence, greatest(last, 1), last > 0) FROM"
                f" (SELECT pg_get_serial_sequence('{table}', 'id') AS sequence,"
                f" greatest(?::bigint, (SELECT max(id) FROM {table})) AS last) AS given",
                (number,),
            )

    def defer_references(self) -> None:
        """See `Link.defer_references`."""
        self.execute("SET CONSTRAINTS ALL DEFERRED")

    def damages(self, most: int) -> Iterator[str]:
        """Nothing: pages and references are the server's to keep, and its own tools' to check."""
        yield from ()

    def facts(self) -> dict[str, str | int]:
        """See `Link.facts`."""
        [(version,)] = self.execute("SELECT number FROM version").fetchall()
        [(server,)] = self.execute("SELECT current_setting('server_version')").fetchall()
        [(size,)] = self.execute(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
            " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        ).fetchall()
        kind = f"PostgreSQL {str(server).split()[0]} and FAISS"
        return {"kind": kind, "schema": int(version), "bytes on the server": int(size)}

    def close(self) -> None:
        """See `Link.close`."""
        self.raw.close()


class PostgresDatabase:
    """A gallery's database on a server. Not for several threads at once.

    Args:
        address: Where it is; it must exist.
        find_secret: Asked for what opens the gallery, if it is encrypted; see `encryption`.
        is_given: See `Lock`.

    Raises:
        GalleryError: The server does not answer or refuses, or the gallery is of a newer version.
        LockedError: It is encrypted, and the secret is missing or wrong.
    """

    def __init__(
        self,
        address: PostgresAddress,
        find_secret: FindSecret = lambda _: None,
        is_given: IsGiven = lambda: False,
    ) -> None:
        self._address = address
        self.lock = Lock(find_secret, is_given)
        self._is_gone = False
        with told_in_one_line(address):
            self._connect()
            try:
                self._check_version()
            except BaseException:
                self._link.close()
                raise
        try:
            with self.reading():
                pass  # sees that it opens, and that the rows are as they were written
        except BaseException:
            self._link.close()
            raise

    def _connect(self) -> None:
        self._link = PostgresLink(connected(self._address))
        self._integrity = PostgresIntegrity(self._link)
        self._told_day = ""
        weakref.finalize(self, self._link.close)  # for those who forget to close

    def _check_version(self) -> None:
        row = None
        with suppress(psycopg.errors.UndefinedTable):
            row = self._link.execute("SELECT number FROM version").fetchone()
        if row is None:
            raise GalleryError(
                f"no gallery is in {self._address}, or what is there is some other program's: "
                "name its database, and its schema by ?schema=NAME"
            )
        if row[0] > VERSION:
            raise GalleryError(
                f"the gallery {self._address} was written by a newer Likeness (schema {row[0]}, "
                f"this one knows up to {VERSION}): update Likeness"
            )
        if row[0] < VERSION:
            self._bring_up()

    def _bring_up(self) -> None:
        with self._link.raw.transaction():
            # Asked again, and held: another machine may have been quicker.
            [(version,)] = self._link.execute("SELECT number FROM version FOR UPDATE").fetchall()
            for older in range(version, VERSION):
                for statement in MIGRATIONS[older]:
                    self._link.execute(statement)
            self._link.execute("UPDATE version SET number = ?", (VERSION,))

    @contextmanager
    def reading(self) -> Iterator[SealedConnection]:
        """Several questions about one state of the gallery.

        Raises:
            GalleryError: The server cannot be reached.
        """
        with self._transaction(f"{_READING}; {_day()}", writing=False) as connection:
            yield connection

    @contextmanager
    def writing(self, wait: float | None = None) -> Iterator[SealedConnection]:
        """One change: kept whole when the block ends, and not at all when it raises.

        Args:
            wait: How many seconds to wait for another one's change to end; None: `BUSY_SECONDS`.

        Raises:
            GalleryError: The server cannot be reached, or refuses.
        """
        seconds = BUSY_SECONDS if wait is None else wait
        begin = (
            f"{_WRITING}; {_day()}; SET LOCAL lock_timeout = {max(1, round(1000 * seconds))};"
            " SELECT 1 FROM gallery FOR UPDATE"
        )
        with self._transaction(begin, writing=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str, *, writing: bool) -> Iterator[SealedConnection]:
        with told_in_one_line(self._address, self._note_gone):
            key = self._begin(begin)
            link, integrity = self._link, self._integrity
            try:
                connection = SealedConnection(link)
                connection.seal = self.lock.opened(key)
                if writing:
                    link.begin_change()
                integrity.check(self.lock.key, writing=writing)
                before = link.total_changes
                yield connection
                if link.has_changed_since(before):
                    if link.has_written_key:
                        self.lock.seal(connection)
                    integrity.renew(self.lock.key)
                self._commit(link, writing=writing)
                integrity.done()
            except BaseException:
                link.abandon_change()
                integrity.undone()
                raise

    def _commit(self, link: PostgresLink, *, writing: bool) -> None:
        try:
            ended = link.raw.execute("COMMIT")
            link.end_change()
            said = ended.statusmessage
        except psycopg.OperationalError as error:
            if not writing or not link.raw.closed:
                raise
            raise GalleryError(
                f"the connection to the gallery {self._address} was lost at the end of a change, "
                "which is kept whole or not at all: look which, and try again if need be"
            ) from error
        if writing and said != "COMMIT":  # else only a question has failed
            raise GalleryError(
                f"the gallery {self._address} was not changed, its server has taken the change "
                "back: try again"
            )

    def _begin(self, begin: str) -> WrappedKey | None:
        """Begin a transaction; the key of the state that it sees."""

        def execute() -> WrappedKey | None:
            cursor = self._link.raw.execute(f"{begin}; {READ_KEY}".encode())
            while cursor.nextset():
                pass
            return key_of(cursor.fetchone())

        return self._connected_anew(execute)

    def ask(self, statement: str, values: Values) -> tuple[Any, ...] | None:
        """See `AnyDatabase.ask`."""

        def execute() -> tuple[Any, ...] | None:
            self._tell_day()
            row: tuple[Any, ...] | None = self._link.execute(statement, values).fetchone()
            return row

        with told_in_one_line(self._address, self._note_gone):
            return self._connected_anew(execute)

    def _tell_day(self) -> None:
        """Let the server know which day it is for statements outside of any transaction."""
        today = clock.today().isoformat()
        if self._told_day != today:
            self._link.raw.execute(f"SET likeness.today = '{today}'".encode())
            self._told_day = today

    def _connected_anew(self, execute: Callable[[], _Answer]) -> _Answer:
        """What comes of some statements; by a new connection where it was lost since the last."""
        try:
            return execute()
        except psycopg.Error:
            if not self._link.raw.closed:
                self._link.abandon_change()
                raise
        self._connect()
        try:
            return execute()
        except psycopg.Error:
            self._link.abandon_change()
            raise

    @property
    def is_in_place(self) -> bool:
        """Whether the gallery is still there, as far as its server has said."""
        return not self._is_gone

    def _note_gone(self) -> None:
        self._is_gone = True

    def wipe_traces(self) -> None:
        """Let the server take the place of removed rows for new ones; see `lingers` of a gallery.

        Raises:
            GalleryError: The server cannot be reached.
        """
        with told_in_one_line(self._address):
            if self._link.raw.closed:
                self._connect()
            self._link.raw.execute(f"VACUUM {_WIPED}".encode())

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()


def _day() -> str:
    """For the server too the day is the user's own; see `today()` in `link`."""
    return f"SET LOCAL likeness.today = '{clock.today().isoformat()}'"


def connected(address: PostgresAddress) -> psycopg.Connection[Any]:
    """A connection as a gallery's is used, outside of any transaction.

    Raises:
        psycopg.Error: The server does not answer, or refuses.
    """
    parameters = address.parameters
    if parameters.get("sslrootcert") == "system":
        _name_certificates()
    raw = psycopg.connect(
        autocommit=True,
        cursor_factory=psycopg.RawCursor,
        **cast(dict[str, Any], parameters),
    )
    try:
        raw.execute(_SESSION.format(schema=address.schema).encode())
    except BaseException:
        raw.close()
        raise
    return raw


def _name_certificates() -> None:
    """Tell where this machine keeps the certificates that it trusts, unless that is told already.

    The OpenSSL that comes with psycopg looks for them where it was built.
    """
    paths = ssl.get_default_verify_paths()
    for variable, place in (("SSL_CERT_FILE", paths.cafile), ("SSL_CERT_DIR", paths.capath)):
        if place:
            os.environ.setdefault(variable, place)


def database_exists(address: PostgresAddress) -> bool:
    """Whether a gallery is there.

    Raises:
        GalleryError: The server does not answer, or refuses.
    """
    with told_in_one_line(address), connected(address) as raw:
        found = raw.execute("SELECT to_regclass($1)", (f"{address.schema}.gallery",)).fetchone()
        return found is not None and found[0] is not None


def create_database(address: PostgresAddress, first_row: dict[str, str | int | None]) -> None:
    """Make a gallery's tables, unless somebody else was quicker.

    Args:
        address: Where; its schema is made if need be.
        first_row: The columns of the table `gallery`.

    Raises:
        GalleryError: The server does not answer, or refuses.
    """
    places = ", ".join(f"${number}" for number in range(1, len(first_row) + 1))
    insert = f"INSERT INTO gallery (only_row, {quoted(first_row)}) VALUES (1, {places})"
    with told_in_one_line(address), connected(address) as raw, raw.transaction():
        raw.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", (address.schema,))
        found = raw.execute("SELECT to_regclass($1)", (f"{address.schema}.gallery",)).fetchone()
        if found is not None and found[0] is not None:
            return
        there = raw.execute("SELECT to_regnamespace($1)", (address.schema,)).fetchone()
        if there is None or there[0] is None:
            raw.execute(f'CREATE SCHEMA "{address.schema}"'.encode())
        raw.execute(tables().encode())
        raw.execute(insert.encode(), [*first_row.values()])


@contextmanager
def told_in_one_line(
    address: PostgresAddress, gone: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Make one line of whatever PostgreSQL says, which never has a row's contents in it.

    Args:
        address: The gallery's.
        gone: Called where the gallery is not there any more.

    Raises:
        GalleryError: What it said.
    """
    try:
        yield
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.UndefinedTable):
            gone()
        meaning = next((text for kind, text in _MEANING.items() if isinstance(error, kind)), None)
        told = printable((error.diag.message_primary or str(error)).strip().splitlines()[0])
        if meaning is None and isinstance(error, psycopg.IntegrityError):
            meaning = f"is damaged ({told}): restore the database from a backup"
        if meaning is None and isinstance(error, psycopg.OperationalError):
            meaning = f"cannot be reached ({told}): see that its server runs, and try again"
        if meaning is None and isinstance(error, psycopg.errors.SyntaxError):
            raise  # a mistake of ours
        raise GalleryError(
            f"the gallery {address} {meaning or f'cannot be used ({told})'}"
        ) from error
