"""What storage asks of a connection to a database, whichever kind of database it is.

Every statement of the gallery is written once, in SQL that SQLite takes as it is. What another
kind says otherwise is either asked for here by name, or one of the few phrases that its link puts
in its own words: `AMONG` and `AMONG_TEXTS`, `today()`, `json_object(…)`, and `?` for a value.

To a server every answer is waited for. So whoever has several questions runs them all before
fetching what one has found, and a change whose rows are not counted is not waited for.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

AMONG = "IN (SELECT value FROM json_each(?))"
"""Is one of some ids, which are given as one value: a list as JSON."""

AMONG_TEXTS = "IN (SELECT value || '' FROM json_each(?))"
"""Is one of some texts, which are given as one value: a list as JSON."""

Values = Sequence[Any]
"""Of a statement's parameters, in their order."""


class Rows(Protocol):
    """What a statement has found."""

    @property
    def rowcount(self) -> int:
        """How many rows a change has changed."""

    def fetchone(self) -> Any:
        """The next row; None where there is none."""

    def fetchall(self) -> list[Any]:
        """All rows that have not been fetched."""

    def __iter__(self) -> Iterator[Any]:
        """The rows that have not been fetched."""


class Queries(Protocol):
    """Runs statements."""

    def execute(self, statement: str, values: Values = (), /) -> Rows:
        """Run a statement."""

    def executemany(self, statement: str, each: Iterable[Values], /) -> Rows:
        """Run a statement once for each of some values."""


class Link(Queries, Protocol):
    """A connection to a gallery's database. Not for several threads at once."""

    @property
    def broken(self) -> tuple[type[Exception], ...]:
        """What is raised where rows cannot be read."""

    @property
    def indexes(self) -> int:
        """Of how many indexes, the last ones written, the state is remembered."""

    @property
    def total_changes(self) -> int:
        """How many rows this connection has changed; more after a change than before it."""

    def has_changed_since(self, before: int) -> bool:
        """Whether a row was changed since `total_changes` was so many; asked in few words."""

    def next_id(self, table: str) -> int:
        """The id of a table's next row, which none has had before."""

    def reserve_ids(self, wanted: Mapping[str, int]) -> None:
        """Fetch at once, for this transaction, the ids that `next_id` is about to be asked for.

        Args:
            wanted: A table → how many rows are to come.
        """

    def last_ids(self) -> dict[str, int]:
        """The last id that was given in each table whose ids are never given twice."""

    def skip_ids(self, last: Mapping[str, int]) -> None:
        """Give no id, in some tables, that is not greater than these, nor one that is there."""

    def defer_references(self) -> None:
        """Within this transaction, a row may for a while refer to one that is not there."""

    def damages(self, most: int) -> Iterator[str]:
        """What is wrong with how the rows are kept, a line each, about so many at most.

        Raises:
            Exception: One of `broken`: the rest cannot be read at all.
        """

    def facts(self) -> dict[str, str | int]:
        """How the rows are kept, by name."""

    def close(self) -> None:
        """Let go of it."""


COUNTED = ("person", "template", "exclusion", "operation", "membership")
"""Tables whose ids are never given twice, though their rows go; the audit log's only go by age."""


def quoted(names: Iterable[str]) -> str:
    """Names of columns for a statement, of which some are words of SQL."""
    return ", ".join(f'"{name}"' for name in names)
