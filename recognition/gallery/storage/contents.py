"""All rows of a gallery, put in the place of another's, whichever kinds of database hold them."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from .link import Queries, quoted
from .rows import SEALED, UNSEALED

_KEYS = {"crop": "template_id", "quality": "template_id"}
_WHOLE = ("gallery", "wrapped_key", "calibration", "erased")
"""Tables that are read at once: of few rows, or of short ones."""

_ROWS_AT_ONCE = 500

RowChange = Callable[[str, dict[str, Any]], dict[str, Any]]
"""A table and a row of it → the columns that are to be otherwise."""


def columns_of(table: str) -> tuple[str, ...]:
    """The columns of one of a gallery's tables."""
    return (*UNSEALED[table], *(column for one, column in SEALED if one == table))


def replace_rows(
    source: Queries,
    target: Queries,
    stays: Collection[str] = (),
    change: RowChange = lambda table, row: {},
) -> None:
    """Put a gallery's rows in the place of another's, in a transaction in which references wait.

    A proof is never taken: it is of one database.

    Args:
        source: Whose rows.
        target: In that transaction. Its row of `gallery` stays the same one, for it is locked by
            whoever changes a gallery on a server.
        stays: Tables that stay as they are in the target.
        change: What is to be otherwise in a row.
    """
    tables = [table for table in UNSEALED if table not in {*stays, "proof"}]
    for table in tables:
        if table != "gallery":
            target.execute(f"DELETE FROM {table}")
    for table in tables:
        columns = columns_of(table)
        places = ", ".join("?" * len(columns))
        statement = (
            f"UPDATE gallery SET ({quoted(columns)}) = ({places})"
            if table == "gallery"
            else f"INSERT INTO {table} ({quoted(columns)}) VALUES ({places})"
        )
        for rows in _chunks(source, table, columns):
            changed = (
                row | change(table, row)
                for row in (dict(zip(columns, values, strict=True)) for values in rows)
            )
            target.executemany(statement, [[*row.values()] for row in changed])


def _chunks(
    source: Queries, table: str, columns: tuple[str, ...]
) -> Iterator[list[tuple[Any, ...]]]:
    """A table's rows, some at a time."""
    select = f"SELECT {quoted(columns)} FROM {table}"
    if table in _WHOLE:
        yield source.execute(select).fetchall()
        return
    key = _KEYS.get(table, "id")
    at, last = columns.index(key), -1
    while rows := source.execute(
        f"{select} WHERE {key} > ? ORDER BY {key} LIMIT ?", (last, _ROWS_AT_ONCE)
    ).fetchall():
        yield rows
        last = rows[-1][at]
