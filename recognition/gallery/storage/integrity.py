"""Proofs that nobody without the key has altered it, and what is wrong with it."""

import hashlib
import hmac
import math
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

from data.errors import AlteredError, AppError
from data.files import printable

from ...results import Calibration, Use
from ..names import kept_name
from ..templates import from_blob, preprocessing_of
from .encryption import derived
from .rows import SEALED
from .snapshot import Snapshot

# That the rows of an encrypted gallery are those which Likeness wrote: altered, added, taken
# away?
#
# Some of what decides is not secret and stands in the open, as the day on which a consent ends.
# So that nobody without the key alters it, one value under the key is kept of all rows of all
# tables: the sum of their keyed hashes, modulo 2^256, so that it is brought up to date by what
# changes alone. Whoever opens the gallery adds all rows up and compares. What is encrypted proves
# itself, and is left out. How the tables are made, and which ids were given, is in that value as
# well; that the indexes, by which rows are found, say what the rows say, is looked at each time.
#
# An older state of the whole file proves itself as well: against that a number would have to be
# kept elsewhere.

_ENCRYPTED = frozenset(column for (_, column), how in SEALED.items() if how.kind is bytes)
_OWN = "proof"
_ROWS_ALONE, _ROWS_AND_TABLES = "likeness rows 1", "likeness rows 2"
_BITS = 256
_FUNCTION = "likeness_tally"

SealedRows = tuple[int, int]
"""How many rows there are, and the sum of their hashes."""


class Integrity:
    """Follows what one connection writes, and proves it.

    Args:
        connection: The gallery's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._key = b""
        self._hash_key = b""
        self._state: int | None = None  # of the file, as SQLite counts what others write
        self._kept: SealedRows = (0, 0)
        self._now: SealedRows = (0, 0)
        self._follows = False

    def check(self, key: bytes, *, is_proved: bool, writing: bool = False) -> bool:
        """Make sure, at the beginning of a transaction, that all rows are as they were written.

        Args:
            key: The gallery's; empty if it is not encrypted.
            is_proved: Whether it was made, or opened before, by a version that proves its rows.
            writing: Whether the transaction may write: then what it writes is followed.

        Returns:
            Whether it has a proof; one from before has none yet, or one of its rows alone.

        Raises:
            AlteredError: A row was altered, added or taken away by somebody without the key; or a
                table is made otherwise, or an index finds what no row says.
        """
        self._now = self._kept
        if not key:
            self._forget()
            return True
        (state,) = self._connection.execute("PRAGMA data_version").fetchone()
        if key == self._key and state == self._state:
            if writing:
                self._follow()
            return True
        self._begin(key)
        if writing:
            self._follow()
        self._kept = self._now = self._added_up()
        stored = self._stored()
        is_earlier = stored is not None and hmac.compare_digest(stored, self._value(_ROWS_ALONE))
        if (stored is None and not is_proved) or (is_earlier and self._indexes_agree()):
            self._state = None
            return False
        if (
            stored is None
            or not hmac.compare_digest(stored, self._value())
            or not self._indexes_agree()
        ):
            self._forget()
            raise AlteredError(
                "the gallery was altered by somebody without its key: `likeness gallery restore` "
                "a backup, or look at `likeness gallery audit` of a copy that you trust"
            )
        self._state = state
        return True

    def renew(self, key: bytes) -> None:
        """Prove, at the end of a transaction, what was written in it.

        Args:
            key: The gallery's from now on; empty if it is not encrypted.
        """
        if not key:
            if self._key:
                self._forget()
                self._connection.execute(f"DELETE FROM {_OWN}")
            return
        # Asked within the transaction: right after it somebody else may write.
        (state,) = self._connection.execute("PRAGMA data_version").fetchone()
        if key != self._key:
            self._begin(key)
            self._follow()
            self._now = self._added_up()
        elif self._now == self._kept and self._state is not None:
            return
        self._state = state
        value = self._value()
        if self._stored() != value:
            self._connection.execute(f"INSERT OR REPLACE INTO {_OWN} VALUES (1, ?)", (value,))

    def done(self) -> None:
        """The transaction is kept."""
        self._kept = self._now

    def undone(self) -> None:
        """The transaction is taken back, and with it whether anything follows what is written."""
        self._follows = True
        self._forget()

    def _begin(self, key: bytes) -> None:
        self._forget()
        self._key, self._hash_key = key, derived(key, b"likeness 1: rows")

    def _follow(self) -> None:
        if self._follows:
            return
        self._follows = True
        self._connection.create_function(_FUNCTION, -1, self._tally)
        # REPLACE takes rows away, too.
        self._connection.execute("PRAGMA recursive_triggers = ON")
        for table, columns in self._tables():
            for event, signs in (("INSERT", "+"), ("UPDATE", "-+"), ("DELETE", "-")):
                name = f"likeness_{table}_{event.lower()}"
                calls = "".join(self._call(table, columns, sign) for sign in signs)
                self._connection.execute(
                    f"CREATE TEMP TRIGGER IF NOT EXISTS {name} AFTER {event} ON main.{table}"
                    f" BEGIN {calls} END"
                )

    def _call(self, table: str, columns: list[str], sign: str) -> str:
        row = "new" if sign == "+" else "old"
        values = ", ".join(f"{row}.{column}" for column in columns)
        return f"SELECT {_FUNCTION}({sign}1, '{_label(table, columns)}', {values});"

    def _forget(self) -> None:
        if self._follows:
            rows = self._connection.execute(
                "SELECT name FROM temp.sqlite_schema WHERE name LIKE 'likeness!_%' ESCAPE '!'"
            ).fetchall()
            for (name,) in rows:
                with suppress(sqlite3.OperationalError):  # one that may not write follows nothing
                    self._connection.execute(f"DROP TRIGGER temp.{name}")
        self._follows = False
        self._key = self._hash_key = b""
        self._state = None

    def _tables(self) -> Iterator[tuple[str, list[str]]]:
        """Each table that counts, and its columns, whichever a version has."""
        names = self._connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table'"
            " AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> ? ORDER BY name",
            (_OWN,),
        ).fetchall()
        for (table,) in names:
            rows = self._connection.execute(f"PRAGMA main.table_info({table})").fetchall()
            yield table, [row[1] for row in rows if row[1] not in _ENCRYPTED]

    def _added_up(self) -> SealedRows:
        count = total = 0
        for table, columns in self._tables():
            label = _label(table, columns)
            for row in self._connection.execute(f"SELECT {', '.join(columns)} FROM main.{table}"):
                count += 1
                total += self._hash(label, row)
        return count, total % 2**_BITS

    def _tally(self, sign: int, label: str, *row: object) -> None:
        count, total = self._now
        self._now = count + sign, (total + sign * self._hash(label, row)) % 2**_BITS

    def _hash(self, label: str, row: tuple[object, ...]) -> int:
        text = repr((label, row)).encode(errors="surrogatepass")
        digest = hashlib.blake2b(text, digest_size=_BITS // 8, key=self._hash_key).digest()
        return int.from_bytes(digest, "big")

    def _value(self, version: str = _ROWS_AND_TABLES) -> bytes:
        """What proves the rows, which ids were given so far, and how the tables are made."""
        given = self._connection.execute(
            "SELECT name, seq FROM main.sqlite_sequence ORDER BY name"
        ).fetchall()
        proved = [version, *self._now, given]
        if version != _ROWS_ALONE:
            proved += self._connection.execute(
                "SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY type, name"
            ).fetchall()
        text = repr(tuple(proved)).encode(errors="surrogatepass")
        return hashlib.blake2b(text, digest_size=_BITS // 8, key=self._hash_key).digest()

    def _indexes_agree(self) -> bool:
        """Whether whoever is found by an index is found by the rows as well."""
        return all(
            self._connection.execute(f"PRAGMA main.integrity_check('{table}')").fetchall()
            == [("ok",)]
            for table, _ in self._tables()
        )

    def _stored(self) -> bytes | None:
        row = self._connection.execute(f"SELECT value FROM {_OWN}").fetchone()
        return None if row is None else bytes(row[0])


def _label(table: str, columns: list[str]) -> str:
    return f"{table}({','.join(columns)})"


# Whether a calibration that comes from a file can be one: a stranger may have written it.

_MOST = 2**40  # people, photographs or comparisons


def is_sound(found: Calibration) -> bool:
    """Whether a calibration's values are of their types, finite, and within their ranges."""
    ratio = (found.rise, found.fall, found.offset)
    error = found.calibration_error
    return (
        all(isinstance(text, str) for text in (found.weights_digest, found.data))
        and _is_moment(found.calibrated_at)
        and all(map(_is_number, (found.threshold, found.threshold_low, found.threshold_high)))
        and -1 <= found.threshold <= 2  # a fitted tail may end beyond 1, and accept nobody
        and all(_is_share(rate) for rate in (found.rate_low, found.rate_high))
        and all(_is_share(rate) and 0 < rate < 1 for rate in (found.rate, found.prior))
        and all(
            type(count) is int and 1 <= count < _MOST
            for count in (found.comparisons, found.people, found.templates)
        )
        and (all(value is None for value in ratio) or all(map(_is_number, ratio)))
        and (error is None or _is_share(error))
    )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1  # type: ignore[operator]


def _is_day(text: object) -> bool:
    with suppress(ValueError):
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    return False


def _is_moment(text: object) -> bool:
    with suppress(ValueError):
        return (
            isinstance(text, str)
            and len(text) <= 40
            and datetime.fromisoformat(text).tzinfo is not None
        )
    return False


# What is wrong with a gallery's database, and what there is to know of it.

_MOST_TOLD = 20


def faults_of(snapshot: Snapshot) -> list[str]:
    """What is wrong, a line each; all pages and all templates are looked at."""
    found = []
    for fault in _faults(snapshot):
        found.append(fault)
        if len(found) == _MOST_TOLD:
            return [*found, "and perhaps more"]
    return found


def _faults(snapshot: Snapshot) -> Iterator[str]:
    link = snapshot.connection.link
    try:
        yield from link.damages(_MOST_TOLD)
        yield from _bad_rows(snapshot)
    except link.broken as error:
        yield f"the file is damaged: {error}"


def _bad_rows(snapshot: Snapshot) -> Iterator[str]:
    connection, model = snapshot.connection, snapshot.model
    names: dict[int, str] = {}
    for _, opened in connection.tried(("id", "person.name"), "FROM person ORDER BY id"):
        try:
            row, name = opened()
            names[row] = name
            if kept_name(name) != name:
                yield f"the name '{printable(name)}' is not kept in its one form"
        except AppError as error:
            yield str(error)
    moments = "enrolled_at, deleted_at, consented_at"
    for row, day, *noted in connection.execute(f"SELECT id, expires_on, {moments} FROM person"):
        if not (day is None or _is_day(day)) or not all(
            moment is None or _is_moment(moment) for moment in noted
        ):
            yield f"a date of person {row} cannot be one"
    for _, opened in connection.tried(("membership.name",), "FROM membership"):
        try:
            (group,) = opened()
            if kept_name(group) != group:
                yield f"the name of the group '{printable(group)}' is not kept in its one form"
        except AppError as error:
            yield str(error)
    for use in Use:
        calibration = snapshot.calibration(use)
        if calibration is not None and not is_sound(calibration):
            yield f"the threshold for {use} cannot be one: `likeness calibrate` again"
    for table in ("template", "exclusion"):
        rows = connection.tried(
            ("id", "person_id", f"{table}.embedding"), f"FROM {table} ORDER BY id"
        )
        seen: set[int] = set()
        for (number, person, _), opened in rows:
            if number in seen:
                yield f"there are two of {table} {number}"
            seen.add(number)
            try:
                from_blob(opened()[2], model.dimension)
            except AppError as error:
                yield f"{table} {number} of '{names.get(person, person)}' is damaged: {error}"


def facts_of(snapshot: Snapshot, folder: Path) -> dict[str, str | int]:
    """What there is to know of a gallery in a folder."""
    connection = snapshot.connection
    (created_at,) = connection.execute("SELECT created_at FROM gallery").fetchone()
    (crops,) = connection.execute("SELECT count(*) FROM crop").fetchone()
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        **connection.link.facts(),
        "encrypted": "yes" if snapshot.is_encrypted else "no",
        "created at": str(created_at),
        **preprocessing_of(snapshot.model),
        "crops": int(crops),
        "bytes": sum(path.stat().st_size for path in files),
    }
