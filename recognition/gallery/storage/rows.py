"""Which columns are sealed, and the one door through which their rows are read and written.

What tells of a person is sealed: as it is, or encrypted; see `encryption`. Which columns those are
is said here and nowhere else. Whoever reads a row says which columns they want and gets what was
put in; whoever writes one gives what is to be kept. That every other column may stand in the open
is said here as well, with the reason, so that none is forgotten.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from typing import Any

from data.errors import GalleryError

from . import audit
from .audit import Action
from .encryption import (
    KEY_BYTES,
    OPEN,
    AssociatedData,
    KeyedSeal,
    Seal,
    WrappedKey,
    read_key,
    wrap,
    write_key,
)
from .link import AMONG, Link, Values
from .schema import LEAVES_TRACES


@dataclass(frozen=True, slots=True)
class Sealed:
    """How a column is sealed. Each content is bound to its table, its column and its row.

    Attributes:
        kind: What is in it.
        bound: Columns of the same row that it must not be parted from. Whoever changes one of them
            has the content sealed anew.
        by_model: Whether it must not be parted from the gallery's model either.
        mark: The column that has what it is found by; see `Seal.mark`.
    """

    kind: type[str] | type[bytes]
    bound: tuple[str, ...] = ()
    by_model: bool = False
    mark: str | None = None


_PHOTOGRAPH = Sealed(str, mark="photograph_mark")
_EMBEDDING = Sealed(bytes, bound=("person_id",), by_model=True)

SEALED: dict[tuple[str, str], Sealed] = {
    ("person", "name"): Sealed(str, mark="mark"),
    ("person", "consent"): Sealed(str),
    ("membership", "name"): Sealed(str, bound=("person_id",), mark="mark"),
    ("template", "photograph_sha256"): _PHOTOGRAPH,
    ("template", "embedding"): _EMBEDDING,
    ("exclusion", "photograph_sha256"): _PHOTOGRAPH,
    ("exclusion", "embedding"): _EMBEDDING,
    ("crop", "picture"): Sealed(bytes),
    ("operation", "what"): Sealed(str),
}
"""Table and column → how it is sealed."""

WRITTEN_DOWN = ("reversal", "before")
"""The column that holds other rows' columns, as JSON: what is sealed there is sealed in it too."""

_ID = "a number that says nothing without the row that it names"
_MARK = "found by: the keyed hash of a sealed column"
_WHEN = "when something was done, by which rows are kept or go"
_MODEL = "which network made the embeddings, and nobody's"
_STATE = "of the gallery, and nobody's"
_KEY = "of the gallery's key, which is encrypted itself"
_MEASURED = "a measure of the picture, by which nobody is known"
_COUNTED = "a figure of many people together"

UNSEALED: dict[str, dict[str, str]] = {
    "gallery": {
        "only_row": _STATE,
        "gallery_id": _STATE,
        "created_at": _WHEN,
        "model_id": _MODEL,
        "weights_digest": _MODEL,
        "dimension": _MODEL,
        "weights_path": "where the network's file is, which is needed before the key is",
        "changes": _STATE,
        "mark": "drawn at random for each state",
        "traces_remain": _STATE,
        "origin_id": _STATE,
        "detector": _MODEL,
        "alignment": _MODEL,
    },
    "person": {
        "id": _ID,
        "mark": _MARK,
        "enrolled_at": _WHEN,
        "deleted_at": _WHEN,
        "consented_at": _WHEN,
        "expires_on": "the day on which somebody is to be hidden, asked for at every opening",
    },
    "membership": {"id": _ID, "person_id": _ID, "mark": _MARK},
    "template": {"id": _ID, "person_id": _ID, "photograph_mark": _MARK},
    "exclusion": {"id": _ID, "person_id": _ID, "photograph_mark": _MARK},
    "crop": {"template_id": _ID},
    "quality": {
        "template_id": _ID,
        "size": _MEASURED,
        "sharpness": _MEASURED,
        "turn": _MEASURED,
        "nod": _MEASURED,
        "brightness": _MEASURED,
        "trust": _MEASURED,
    },
    "operation": {"id": _ID, "done_at": _WHEN},
    "reversal": {
        "id": _ID,
        "operation_id": _ID,
        "kind": "the name of a table",
        "row": _ID,
        "before": "columns of other rows, in which those that are sealed are sealed as there",
    },
    "calibration": {
        "use": _COUNTED,
        "rate": _COUNTED,
        "threshold": _COUNTED,
        "threshold_low": _COUNTED,
        "threshold_high": _COUNTED,
        "rate_low": _COUNTED,
        "rate_high": _COUNTED,
        "comparisons": _COUNTED,
        "rise": _COUNTED,
        "fall": _COUNTED,
        "offset": _COUNTED,
        "prior": _COUNTED,
        "calibration_error": _COUNTED,
        "weights_digest": _MODEL,
        "data": "of how many people it was measured, and the name of a folder of strangers",
        "calibrated_at": _WHEN,
        "people": _COUNTED,
        "templates": _COUNTED,
    },
    "wrapped_key": {
        "only_row": _STATE,
        "key_id": _KEY,
        "gallery_id": _STATE,
        "kind": _KEY,
        "n": _KEY,
        "r": _KEY,
        "p": _KEY,
        "salt": _KEY,
        "wrapped": "the key, encrypted by the user's secret",
    },
    "audit": {
        "id": _ID,
        "done_at": _WHEN,
        "action": "the name of an action",
        "person_id": _ID,
        "user_id": "the account's number, asked for where the gallery cannot be opened",
    },
    "erased": {"origin_id": _STATE, "kind": "the name of a table", "row": _ID},
    "proof": {"only_row": _STATE, "value": "a keyed hash of all rows"},
}
"""Table and column → why what is in it may stand in the open."""

_KEYS = {"crop": "template_id", "quality": "template_id"}
_ROWS_AT_ONCE = 1000

_SEALED_NAMES = frozenset(column for _, column in SEALED)


def _key_of(table: str) -> str:
    return _KEYS.get(table, "id")


class SealedConnection:
    """A connection to a gallery's database, and the door to its sealed columns.

    What `execute` reads and writes is as it is in the file: no statement of its own may name a
    sealed column, unless it moves rows as they are. Within a transaction `seal` is that of the
    gallery's state.

    Args:
        link: The connection, to whichever kind of database.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.seal: Seal = OPEN
        self.execute, self.executemany = link.execute, link.executemany

    @property
    def total_changes(self) -> int:
        """See `Link.total_changes`."""
        return self.link.total_changes

    def has_changed_since(self, before: int) -> bool:
        """See `Link.has_changed_since`."""
        return self.link.has_changed_since(before)

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sealed is encrypted."""
        return self.seal is not OPEN

    def mark(self, text: str) -> str:
        """What the rows are found by whose sealed column has this text."""
        return self.seal.mark(text)

    # Reading

    def read(
        self, columns: tuple[str, ...], source: str, values: Values = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Read rows.

        Args:
            columns: What is asked for. A sealed column is written `table.column`, and the table
                is called so in the statement.
            source: The rest of the statement, from `FROM` on.
            values: Of its parameters.

        Yields:
            A row's columns; what is sealed as it was put in.

        Raises:
            GalleryError: Something was altered, is another row's or another gallery's.
        """
        plan, seal = _plan(columns), self.seal
        if seal is OPEN or not plan.sealed:  # as it is; a search is not to wait for more
            return iter(self.execute(f"SELECT {plan.wanted} {source}", values))
        digest = self._digest if plan.by_model else ""
        rows = self.execute(f"SELECT {plan.wanted}{plan.more} {source}", values)
        return (plan.opened(row, seal, digest) for row in rows)

    def read_one(
        self, columns: tuple[str, ...], source: str, values: Values = ()
    ) -> tuple[Any, ...] | None:
        """The first of the rows that `read` gives; None where there is none."""
        for row in self.read(columns, source, values):
            return row
        return None

    def tried(
        self, columns: tuple[str, ...], source: str, values: Values = ()
    ) -> Iterator[tuple[tuple[Any, ...], Callable[[], tuple[Any, ...]]]]:
        """Read rows of which some may be damaged.

        Args:
            columns: As for `read`.
            source: As for `read`.
            values: As for `read`.

        Yields:
            A row as it is in the file, and what opens it, or raises a GalleryError.
        """
        plan, seal = _plan(columns), self.seal
        digest = self._digest if plan.by_model else ""
        for row in self.execute(f"SELECT {plan.wanted}{plan.more} {source}", values):
            yield row[: plan.width], partial(plan.opened, row, seal, digest)

    @property
    def _digest(self) -> str:
        """The model's, which embeddings are bound to."""
        (digest,) = self.execute("SELECT weights_digest FROM gallery").fetchone()
        return str(digest)

    # Writing

    def insert(self, table: str, values: Mapping[str, Any]) -> None:
        """Add a row, which marks are added to.

        Args:
            table: Whose row it is.
            values: A column → what is to be in it. What is sealed needs the row's key, and the
                columns that it is bound to.
        """
        kept = self._closed(table, values[_key_of(table)], values, values)
        names, places = ", ".join(kept), ", ".join("?" * len(kept))
        self.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", [*kept.values()])

    def update(self, table: str, key: int, values: Mapping[str, Any]) -> None:
        """Change a row. What is bound to a column that changes is sealed anew.

        Args:
            table: Whose row it is.
            key: Which one.
            values: A column → what is to be in it.

        Raises:
            GalleryError: What is to be sealed anew was tampered with.
        """
        own = {column: how for (one, column), how in SEALED.items() if one == table}
        anew = [
            column
            for column, how in own.items()
            if self.is_encrypted
            and column not in values
            and not values.keys().isdisjoint(how.bound)
        ]
        written = [column for column in (*values, *anew) if column in own]
        asked = [*anew, *sorted({b for c in written for b in own[c].bound} - values.keys())]
        row = dict(values)
        if asked and self.is_encrypted:
            columns = tuple(f"{table}.{column}" for column in asked)
            found = self.read_one(columns, f"FROM {table} WHERE {_key_of(table)} = ?", (key,))
            if found is None:
                return
            row |= zip(asked, found, strict=True)
        kept = self._closed(table, key, {name: row[name] for name in (*values, *anew)}, row)
        changes = ", ".join(f"{name} = ?" for name in kept)
        self.execute(
            f"UPDATE {table} SET {changes} WHERE {_key_of(table)} = ?", [*kept.values(), key]
        )

    def _closed(
        self, table: str, key: int, values: Mapping[str, Any], row: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What is to stand in the columns of a row, of which `row` has those that bind."""
        kept: dict[str, Any] = {}
        for column, value in values.items():
            how = SEALED.get((table, column))
            kept[column] = value
            if how is None or value is None:
                continue
            if how.mark is not None:
                kept[how.mark] = self.seal.mark(value)
            if self.seal is not OPEN:
                digest = self._digest if how.by_model else ""
                place = _place(table, column, key, [row[name] for name in how.bound], digest)
                kept[column] = _close(self.seal, value, place)
        return kept

    # What is kept elsewhere until it is put in its row

    def closed(self, table: str, column: str, content: bytes, key: int, *bound: str | int) -> bytes:
        """Seal what will be in a row.

        Args:
            table: Whose row it is.
            column: Which column it is for.
            content: What is to be sealed.
            key: Of the row.
            bound: What it must not be parted from: the columns, and the model's digest.
        """
        return self.seal.close(content, (table, column, key, *bound))

    def opened(self, table: str, column: str, closed: bytes, key: int, *bound: str | int) -> bytes:
        """Open what `closed` gave for the same row.

        Raises:
            GalleryError: It was altered, or is another row's or another model's.
        """
        return self.seal.open(closed, (table, column, key, *bound))


def _place(table: str, column: str, key: int, bound: Iterable[Any], digest: str) -> AssociatedData:
    return (table, column, key, *bound, *([digest] if digest else ()))


def _close(seal: Seal, value: Any, place: AssociatedData) -> Any:
    return seal.close_text(value, place) if isinstance(value, str) else seal.close(value, place)


def _open(seal: Seal, value: Any, place: AssociatedData) -> Any:
    return seal.open_text(value, place) if isinstance(value, str) else seal.open(value, place)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How rows are read of which some columns are sealed.

    Attributes:
        wanted: The columns, in SQL.
        more: What else has to be read to open them, in SQL.
        width: How many columns are asked for.
        sealed: Which of the columns are sealed, each with the place of its row's key, and those
            of what it is bound to, among all that are read.
    """

    wanted: str
    more: str
    width: int
    sealed: tuple[tuple[int, str, str, int, tuple[int, ...], bool], ...]

    @property
    def by_model(self) -> bool:
        return any(by_model for *_, by_model in self.sealed)

    def opened(self, row: tuple[Any, ...], seal: Seal, digest: str) -> tuple[Any, ...]:
        values = list(row)
        for at, table, column, key, bound, by_model in self.sealed:
            if values[at] is not None:
                place = _place(
                    table, column, row[key], [row[one] for one in bound], digest * by_model
                )
                values[at] = _open(seal, values[at], place)
        return tuple(values[: self.width])


@cache
def _plan(columns: tuple[str, ...]) -> _Plan:
    for column in columns:
        if column in _SEALED_NAMES:
            raise ValueError(f"{column}: a sealed column is asked for as table.column")
    more: list[str] = []

    def where(column: str) -> int:
        if column in columns:
            return columns.index(column)
        if column not in more:
            more.append(column)
        return len(columns) + more.index(column)

    sealed = []
    for at, asked in enumerate(columns):
        table, _, column = asked.partition(".")
        how = SEALED.get((table, column))
        if how is not None:
            bound = tuple(where(f"{table}.{name}") for name in how.bound)
            key = where(f"{table}.{_key_of(table)}")
            sealed.append((at, table, column, key, bound, how.by_model))
    beside = "".join(f", {one}" for one in more)
    return _Plan(", ".join(columns), beside, len(columns), tuple(sealed))


# A whole gallery is encrypted, decrypted, or given another key: every sealed row, written anew.

Expect = Callable[[WrappedKey, bytes], None]
"""Takes a key before the gallery has it: as it is kept, and as it is."""


def change_key(
    connection: SealedConnection,
    key: bytes,
    action: Action,
    secret: str | None,
    expect: Expect,
    let_be_plain: Callable[[], None],
) -> None:
    """Change how a gallery is encrypted. Whoever has it open notices with their next question.

    Args:
        connection: In a transaction.
        key: The present key; empty if the gallery is not encrypted.
        action: Encrypt, decrypt, rewrap (another secret for the same key) or rotate (another key).
        secret: What opens the gallery from now on; None where it is decrypted.
        expect: Told of the new key.
        let_be_plain: Told where there is none any more.

    Raises:
        GalleryError: The gallery is encrypted already, or is not; or a row was tampered with.
    """
    if action is Action.ENCRYPT and key:
        raise GalleryError("the gallery is encrypted already: `likeness gallery rotate`")
    if action is not Action.ENCRYPT and not key:
        raise GalleryError("the gallery is not encrypted: `likeness gallery encrypt`")
    if secret is None:
        seal_anew(connection, OPEN)
        write_key(connection, None)
        let_be_plain()
    else:
        before = read_key(connection)
        if before is not None and action is Action.REWRAP:
            gallery_id = before.gallery_id
        else:
            (gallery_id,) = connection.execute("SELECT gallery_id FROM gallery").fetchone()
            key = os.urandom(KEY_BYTES)
            seal_anew(connection, KeyedSeal(key, gallery_id))
        wrapped = wrap(key, secret, gallery_id)
        write_key(connection, wrapped)
        expect(wrapped, key)
    audit.note(connection, action)
    # Of the plain rows, of the old ones, or of the key as the old secret wrapped it.
    connection.execute(LEAVES_TRACES)


def seal_anew(connection: SealedConnection, new: Seal) -> None:
    """Open every sealed column with a connection's seal, and close it with another.

    Raises:
        GalleryError: One of them was tampered with.
    """
    (digest,) = connection.execute("SELECT weights_digest FROM gallery").fetchone()
    anew = Resealing(connection.seal, new, digest)
    for table in dict.fromkeys(table for table, _ in SEALED):
        own = [(column, how) for (one, column), how in SEALED.items() if one == table]
        names = dict.fromkeys(name for column, how in own for name in (column, *how.bound))
        for rows in _chunks(connection, table, names):
            for key, *values in rows:
                changed = anew.of_row(table, key, dict(zip(names, values, strict=True)))
                if changed:
                    columns = ", ".join(f"{name} = ?" for name in changed)
                    connection.execute(
                        f"UPDATE {table} SET {columns} WHERE {_key_of(table)} = ?",
                        [*changed.values(), key],
                    )
    table, column = WRITTEN_DOWN
    for rows in _chunks(connection, table, ("kind", "row", column)):
        for key, kind, row, before in rows:
            if changed := anew.of_reversal(kind, row, before):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE id = ?", (changed[column], key)
                )


@dataclass(frozen=True, slots=True)
class Resealing:
    """Opens what is sealed one way, and closes it another.

    Attributes:
        old: How it is sealed.
        new: How it is to be.
        digest: That of the model whose embeddings the gallery holds.
    """

    old: Seal
    new: Seal
    digest: str

    def __call__(self, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """What is to be otherwise in a whole row; see `of_row` and `of_reversal`."""
        if table == WRITTEN_DOWN[0]:
            return self.of_reversal(row["kind"], row["row"], row["before"])
        return self.of_row(table, row.get(_key_of(table), 0), row)

    def of_row(self, table: str, key: int, row: Mapping[str, Any]) -> dict[str, Any]:
        """The sealed columns of a row, and their marks.

        Raises:
            GalleryError: One of them was tampered with.
        """
        changed: dict[str, Any] = {}
        for (one, column), how in SEALED.items():
            if one != table or row.get(column) is None:
                continue
            bound = [row[name] for name in how.bound]
            place = _place(table, column, key, bound, self.digest if how.by_model else "")
            content = _open(self.old, row[column], place)
            changed[column] = _close(self.new, content, place)
            if how.mark is not None:
                changed[how.mark] = self.new.mark(content)
        return changed

    def of_reversal(self, kind: str, row: int, before: str | None) -> dict[str, Any]:
        """What is written down of a row; nothing where that has no sealed column."""
        columns = json.loads(before or "{}")
        changed = self.of_row(kind, row, columns)
        return {WRITTEN_DOWN[1]: json.dumps(columns | changed)} if changed else {}


def _chunks(
    connection: SealedConnection, table: str, columns: Iterable[str]
) -> Iterator[list[tuple[Any, ...]]]:
    """A table's rows, some at a time, as they are before they are changed."""
    key = _key_of(table)
    keys = list(map(itemgetter(0), connection.execute(f"SELECT {key} FROM {table}")))
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        yield connection.execute(
            f"SELECT {key}, {', '.join(columns)} FROM {table} WHERE {key} {AMONG}",
            (json.dumps(keys[start : start + _ROWS_AT_ONCE]),),
        ).fetchall()
