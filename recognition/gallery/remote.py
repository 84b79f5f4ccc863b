"""A connection to a gallery's two collections in Milvus; see `remote_schema`."""

import hashlib
import importlib.util
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError
from data.files import printable

from .address import MilvusAddress
from .remote_schema import rows_schema, templates_schema
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
_PAGE, _PAGE_OF_CROPS = 4096, 1000

_INSTALL = (
    "a gallery in Milvus needs pymilvus: pip install 'likeness[milvus]' (and milvus-lite, in an "
    "environment of its own, for a file)"
)


class Collections:
    """A connection to a gallery's collections.

    Args:
        address: Where they are.

    Raises:
        GalleryError: pymilvus is not installed, or the server does not answer.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self._rows, self._templates = f"{address.name}_rows", f"{address.name}_templates"
        packages = ("pymilvus", "milvus_lite") if address.is_local else ("pymilvus",)
        if not all(map(importlib.util.find_spec, packages)):
            raise GalleryError(_INSTALL)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import pymilvus

        logging.getLogger("pymilvus").handlers = [logging.NullHandler()]  # errors are told by us
        self._pymilvus = pymilvus
        with self._told():
            self._client = pymilvus.MilvusClient(
                uri=address.uri, token=address.token, db_name=address.database, timeout=30
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what pymilvus raises into one line."""
        try:
            yield
        except self._pymilvus.MilvusException as error:
            raise GalleryError(
                f"the gallery {self.address}: Milvus says {printable(error.message)!r}; is it "
                "there, and not in use by another program where it is a file?"
            ) from error

    @property
    def exist(self) -> bool:
        """Whether the collections are there; rows are made last."""
        with self._told():
            return bool(self._client.has_collection(self._rows))

    def create(self, dimension: int) -> None:
        """Make them; another machine that was quicker makes no difference."""
        self.create_templates(dimension)
        self._create(self._rows, *rows_schema(self._pymilvus))

    def create_templates(self, dimension: int) -> None:
        """Make the templates' alone."""
        self._create(self._templates, *templates_schema(self._pymilvus, self.address, dimension))

    def _create(self, name: str, schema: Any, index: Any) -> None:
        with self._told():
            try:
                self._client.create_collection(
                    name, schema=schema, index_params=index, consistency_level="Strong"
                )
            except self._pymilvus.MilvusException:
                if not self._client.has_collection(name):
                    raise

    def drop_templates(self) -> None:
        """Remove the templates' collection, to make one of another dimension."""
        with self._told():
            self._client.drop_collection(self._templates)

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

    def settle(self) -> None:
        """Let what has been written be found quickly.

        A server sees to that by itself. Milvus Lite keeps what it has not flushed as it came, and
        goes through all of it with each question.
        """
        if self.address.is_local:
            with self._told():
                for name in (self._rows, self._templates):
                    self._client.flush(name)

    def compact(self) -> None:
        """Ask Milvus to let go of the bytes of what was removed; when it does is its own affair."""
        with self._told():
            for name in (self._rows, self._templates):
                self._client.flush(name)
                self._client.compact(name)

    @property
    def server(self) -> str:
        """Which Milvus it is."""
        if self.address.is_local:
            return "Milvus Lite"
        with self._told():
            return f"Milvus {self._client.get_server_version()}"

    @property
    def index(self) -> str:
        """The kind of index that the templates have."""
        with self._told():
            found = self._client.describe_index(self._templates, index_name="embedding")
        return str((found or {}).get("index_type", "none"))

    def close(self) -> None:
        """Let go of the connection."""
        with self._told():
            self._client.close()
