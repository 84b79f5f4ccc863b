"""What a gallery's two collections in Milvus hold; see `remote_schema`."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .connecting import Connection
from .stored import (
    AT_ONCE,
    ROW_FIELDS,
    TEMPLATE_FIELDS,
    StoredRow,
    StoredTemplate,
    chunks_of,
    entries_of,
    rows_of,
    template_of,
)

MOST_RESULTS = 16_384
"""The most templates that one search in Milvus returns."""

# Entries that come at once. Of 2,048 numbers or a crop each, they stay below the 100 MB that one
# answer of Milvus may have.
_PAGE, _PAGE_OF_CROPS = 8192, 1000


class Collections(Connection):
    """What a gallery's collections hold, read and written; see `Connection`."""

    # Reading

    def rows(self, condition: str, page: int = _PAGE) -> list[StoredRow]:
        """Rows by a condition in Milvus's language; no text of a user is part of it.

        Args:
            condition: Which.
            page: How many come at once.
        """
        return rows_of(self._scan(self._rows, condition, ROW_FIELDS, page))

    def rows_in(self, kinds: Sequence[str], column: str, values: Iterable[int | str]) -> list[
        StoredRow
    ]:  # fmt: skip
        """Rows of some kinds, of which a column has one of some values."""
        these = ", ".join(f'"{kind}"' for kind in kinds)
        page = _PAGE_OF_CROPS if "crop" in kinds else _PAGE
        return [
            row
            for chunk in chunks_of(values)
            for row in self.rows(f"kind in [{these}] and {column} in [{chunk}]", page)
        ]

    def templates_in(self, column: str, values: Iterable[int | str]) -> list[StoredTemplate]:
        """Templates of which a column has one of some values, by id."""
        found = [
            template
            for chunk in chunks_of(values)
            for template in self.templates(f"{column} in [{chunk}]")
        ]
        return sorted(found, key=lambda template: template.id)

    def templates(self, condition: str = "") -> Iterator[StoredTemplate]:
        """Templates by a condition, in no order."""
        yield from map(template_of, self._scan(self._templates, condition, TEMPLATE_FIELDS))

    def owners(self) -> Iterator[tuple[int, int]]:
        """Each template's id and person, without its embedding."""
        for found in self._scan(self._templates, "", ["id", "person"]):
            yield found["id"], found["person"]

    def count(self, condition: str = "", *, rows: bool = False) -> int:
        """How many templates, or rows, there are."""
        name = self._rows if rows else self._templates
        with self._told():
            found = self._client.query(
                name, filter=condition, output_fields=["count(*)"], consistency_level="Strong"
            )
        return int(found[0]["count(*)"])

    def count_in(self, column: str, values: Iterable[int]) -> int:
        """How many templates have one of some values in a column."""
        return sum(self.count(f"{column} in [{chunk}]") for chunk in chunks_of(values))

    def _scan(
        self, name: str, condition: str, fields: list[str], page: int = _PAGE
    ) -> Iterator[dict[str, Any]]:
        asked = {"filter": condition, "output_fields": fields, "consistency_level": "Strong"}
        with self._told():
            # Nearly always that is all, and an iterator asks twice for the same.
            found = self._client.query(name, limit=page, **asked)
            if len(found) < page:
                yield from found
                return
            pages = self._client.query_iterator(name, batch_size=page, **asked)
            try:
                while found := pages.next():
                    yield from found
            finally:
                pages.close()

    def nearest(
        self, query: npt.NDArray[np.float32], count: int, among: Collection[int] | None
    ) -> list[tuple[int, float]]:
        """The persons' ids of the closest templates, and the cosine similarities, closest first.

        Args:
            query: (D,) a unit vector.
            count: How many templates.
            among: The ids of the persons whose templates count; None: everybody's.
        """
        condition = "" if among is None else f"person in {sorted(among)}"
        with self._told():
            [hits] = self._client.search(
                self._templates,
                data=[query],
                anns_field="embedding",
                limit=count,
                filter=condition,
                output_fields=["person"],
                search_params={
                    "metric_type": self.address.metric,
                    "params": dict(self.address.searching),
                },
                consistency_level=self.address.consistency,
            )
        return [
            (hit["entity"]["person"], min(1.0, max(-1.0, float(hit["distance"])))) for hit in hits
        ]

    # Writing

    def put_rows(self, rows: Iterable[StoredRow]) -> None:
        """Write rows, in place of those of the same keys."""
        entries = [entry for row in rows for entry in entries_of(row)]
        for start in range(0, len(entries), AT_ONCE):
            with self._told():
                self._client.upsert(self._rows, entries[start : start + AT_ONCE])

    def put_templates(self, templates: Sequence[tuple[int, int, str, bytes]]) -> None:
        """Write new templates: id, person's id, photograph's SHA-256, embedding's bytes."""
        entries = [
            {
                "id": number,
                "person": person,
                "photograph": photograph,
                "digest": hashlib.sha256(blob).hexdigest(),
                "embedding": np.frombuffer(blob, "<f4"),
            }
            for number, person, photograph, blob in templates
        ]
        for start in range(0, len(entries), AT_ONCE):
            with self._told():
                self._client.upsert(self._templates, entries[start : start + AT_ONCE])

    def hand_over(self, owners: Sequence[tuple[int, int]]) -> None:
        """Give templates to persons: their ids. Nothing else of a template ever changes."""
        entries = [{"id": number, "person": person} for number, person in owners]
        for start in range(0, len(entries), AT_ONCE):
            with self._told():
                self._client.upsert(
                    self._templates, entries[start : start + AT_ONCE], partial_update=True
                )

    def remove_rows(self, keys: Iterable[str]) -> None:
        """Remove rows by their keys."""
        for chunk in chunks_of(keys):
            self._delete(self._rows, f"row in [{chunk}]")

    def remove_owned(self, kinds: Sequence[str], owners: Iterable[int]) -> None:
        """Remove rows of some kinds that go with one of some owners."""
        these = ", ".join(f'"{kind}"' for kind in kinds)
        for chunk in chunks_of(owners):
            self._delete(self._rows, f"kind in [{these}] and owner in [{chunk}]")

    def remove_older(self, kind: str, number: int) -> None:
        """Remove a kind's rows of ids below a number."""
        self._delete(self._rows, f'kind == "{kind}" and number < {number}')

    def remove_templates(self, ids: Iterable[int]) -> None:
        """Remove templates by their ids."""
        for chunk in chunks_of(ids):
            self._delete(self._templates, f"id in [{chunk}]")

    def _delete(self, name: str, condition: str) -> None:
        with self._told():
            self._client.delete(name, filter=condition)
