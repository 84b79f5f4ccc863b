"""Addresses, collections, and what a server answers."""

import base64
import hashlib
import importlib.util
import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from data.distribution import install_command
from data.errors import ArgumentError, GalleryError
from data.files import printable

from ...results import today
from ..storage.people import restorable_since

# The address of a gallery in Milvus.
#
# milvus://HOST[:PORT]/NAME[?OPTION=VALUE&…] a server milvus:///PATH/FILE.db[?name=NAME&…] Milvus
# Lite, in a folder of this machine

SCHEME = "milvus://"
DEFAULT_NAME = "likeness"
DEFAULT_PORT = 19530

METRICS = ("IP", "COSINE")
CONSISTENCIES = ("Strong", "Bounded", "Session", "Eventually")
INDEXES = (
    "FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "HNSW_SQ", "HNSW_PQ", "SCANN", "DISKANN",
    "AUTOINDEX",
)  # fmt: skip

_BUILDING = ("M", "efConstruction", "nlist", "m", "nbits")
_SEARCHING = ("ef", "nprobe", "search_list", "reorder_k")


@dataclass(frozen=True, slots=True, kw_only=True)
class MilvusAddress:
    """Where a gallery is in Milvus, and how it is indexed and read there.

    Attributes:
        uri: What pymilvus is told: an `http(s)://` address, or the path of a file.
        name: The gallery's name; its collections begin with it.
        token: `user:password` or a key; empty where none is needed. Never shown.
        database: Milvus's database; empty takes the default one.
        index: The index that a new gallery gets; FLAT finds exactly what the local one does.
        metric: IP or COSINE, which are one for unit vectors.
        consistency: What a search waits for; `Strong` sees all that any machine has acknowledged.
        building: Numbers for making the index.
        searching: Numbers for searching it.
    """

    uri: str
    name: str = DEFAULT_NAME
    token: str = field(default="", repr=False)
    database: str = ""
    index: str = "FLAT"
    metric: str = "IP"
    consistency: str = "Strong"
    building: Mapping[str, int] = field(default_factory=dict)
    searching: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,99}", self.name):
            raise ArgumentError(
                f"a gallery called {self.name!a}: Milvus takes up to 100 letters, digits and "
                "underscores, and no digit first"
            )
        for what, value, choices in (
            ("index", self.index, INDEXES),
            ("metric", self.metric, METRICS),
            ("consistency", self.consistency, CONSISTENCIES),
        ):
            if value not in choices:
                raise ArgumentError(f"{what}={value}: choose one of {', '.join(choices)}")

    def __str__(self) -> str:
        place = self.uri.partition("://")[2] if "://" in self.uri else self.uri
        return f"{SCHEME}{place}{f'?name={self.name}' if self.is_local else f'/{self.name}'}"

    @property
    def is_local(self) -> bool:
        """Whether it is Milvus Lite's."""
        return "://" not in self.uri

    @classmethod
    def parse(cls, text: str) -> "MilvusAddress":
        """Read an address.

        A server's user and password stand before the host, or in LIKENESS_MILVUS_TOKEN.

        Raises:
            ArgumentError: It is none, or an option is unknown or out of range.
        """
        try:
            parts = urlsplit(text)
            host, port, path = parts.hostname, parts.port, unquote(parts.path)
            options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
                           if parts.query else ())  # fmt: skip
        except ValueError as error:
            raise ArgumentError(f"an address of Milvus that cannot be read: {error}") from error
        token = os.environ.get("LIKENESS_MILVUS_TOKEN", "")
        if parts.username:
            token = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        scheme = "https" if options.pop("tls", "no") in ("1", "yes", "true") else "http"
        if host:
            uri, name = f"{scheme}://{host}:{port or DEFAULT_PORT}", path.strip("/") or DEFAULT_NAME
        else:
            if not path.endswith(".db") or not Path(path).parent.is_dir():
                raise ArgumentError(
                    f"{SCHEME}{path}: give {SCHEME}HOST/NAME, or {SCHEME}/PATH/FILE.db for Milvus "
                    "Lite, in a folder that exists"
                )
            uri, name = path, options.pop("name", DEFAULT_NAME)
        return cls(
            uri=uri,
            name=name,
            token=token,
            building={key: _number(key, options.pop(key)) for key in _BUILDING if key in options},
            searching={key: _number(key, options.pop(key)) for key in _SEARCHING if key in options},
            **_rest(options),
        )


def _rest(options: dict[str, str]) -> dict[str, str]:
    known = ("database", "index", "metric", "consistency")
    unknown = sorted(set(options) - set(known))
    if unknown:
        choices = ", ".join((*known, "tls", "name", *_BUILDING, *_SEARCHING))
        raise ArgumentError(f"an address of Milvus with {unknown[0]!a}: known are {choices}")
    return options


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise ArgumentError(f"{key}={text!a} in an address of Milvus: give a whole number above 0")
    return int(text)


# A gallery's two collections in Milvus: templates, which are searched, and all other rows.
#
# `NAME_templates` has a row for each template. `NAME_rows` has one for each row of the tables of
# `schema`, its columns as JSON beside what they are asked for by; a long one is cut over several
# rows. Milvus wants a vector in every collection, so that rows have one without meaning.


def rows_schema(pymilvus: Any) -> tuple[Any, Any]:
    """The fields of the rows, and how they are indexed."""
    types, schema = pymilvus.DataType, _schema(pymilvus)
    for name, length in (
        ("key", 120),
        ("row", 100),
        ("kind", 20),
        ("label", 64),
        ("deleted", 40),
        ("expires", 10),
    ):
        schema.add_field(name, types.VARCHAR, max_length=length, is_primary=name == "key")
    for name in ("part", "number", "owner"):
        schema.add_field(name, types.INT64)
    schema.add_field("body", types.VARCHAR, max_length=65_535)
    schema.add_field("unused", types.FLOAT_VECTOR, dim=2)
    index = pymilvus.MilvusClient.prepare_index_params()
    index.add_index("unused", index_type="FLAT", metric_type="IP")
    for name in ("row", "kind", "number", "owner", "label"):
        index.add_index(name, index_type="INVERTED")
    return schema, index


def templates_schema(pymilvus: Any, address: MilvusAddress, dimension: int) -> tuple[Any, Any]:
    """The fields of the templates, and how they are indexed, as their address says.

    Args:
        pymilvus: The package.
        address: The gallery's.
        dimension: How many numbers a template has, D.
    """
    types, schema = pymilvus.DataType, _schema(pymilvus)
    schema.add_field("id", types.INT64, is_primary=True)
    schema.add_field("person", types.INT64)
    schema.add_field("photograph", types.VARCHAR, max_length=64)
    schema.add_field("digest", types.VARCHAR, max_length=64)
    schema.add_field("embedding", types.FLOAT_VECTOR, dim=dimension)
    index = pymilvus.MilvusClient.prepare_index_params()
    index.add_index(
        "embedding",
        index_type=address.index,
        metric_type=address.metric,
        params=dict(address.building),
    )
    for name in ("person", "photograph"):
        index.add_index(name, index_type="INVERTED")
    return schema, index


def _schema(pymilvus: Any) -> Any:
    return pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)


# What Milvus holds of a gallery: a template, or a row of another table as JSON.

ROW_FIELDS = ["row", "part", "kind", "number", "owner", "label", "deleted", "expires", "body"]
TEMPLATE_FIELDS = ["id", "person", "photograph", "digest", "embedding"]

_ABOUT = ("kind", "number", "owner", "label", "deleted", "expires")

AT_ONCE = 500
"""How many rows go to Milvus at once."""

_ASKED_AT_ONCE = 4000  # as many values in one question: each looks at all that is kept

_BODY = 60_000  # bytes of JSON; Milvus takes 65,535


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of a table, as it is kept.

    Attributes:
        key: Names it among all rows of the gallery.
        kind: Its table.
        number: Its id where it has one, else 0.
        owner: The id of what it goes with, else 0.
        label: What it is found by: the SHA-256 of a person's or a group's name, or that of an
            exclusion's photograph; empty for others.
        deleted: When a person was deleted; empty for those who are enrolled, and for other rows.
        expires: The last day of a person's consent; empty where that has no end, and for others.
        body: Its columns as JSON.
    """

    key: str
    kind: str
    number: int
    owner: int
    label: str
    deleted: str
    expires: str
    body: str


@dataclass(frozen=True, slots=True, eq=False)
class StoredTemplate:
    """One template, as it is kept.

    Attributes:
        id: Its id.
        person: The person's.
        photograph: SHA-256 of the photograph.
        digest: SHA-256 of the embedding's bytes when it was put in.
        embedding: (D,) float32, as Milvus returns it.
    """

    id: int
    person: int
    photograph: str
    digest: str
    embedding: npt.NDArray[np.float32]

    @property
    def is_exact(self) -> bool:
        """Whether Milvus returns the very bits that were put in."""
        return hashlib.sha256(self.embedding.astype("<f4").tobytes()).hexdigest() == self.digest


def entries_of(row: StoredRow) -> list[dict[str, Any]]:
    """A row as Milvus gets it, cut where it is too long. The body is ASCII."""
    pieces = [row.body[start : start + _BODY] for start in range(0, len(row.body), _BODY)]
    return [
        {
            "key": f"{row.key}#{part}",
            "row": row.key,
            "part": part,
            "kind": row.kind,
            "number": row.number,
            "owner": row.owner,
            "label": row.label,
            "deleted": row.deleted,
            "expires": row.expires,
            "body": piece,
            "unused": [1.0, 0.0],
        }
        for part, piece in enumerate(pieces)
    ]


def rows_of(entries: Iterable[dict[str, Any]]) -> list[StoredRow]:
    """Rows as Milvus returns them, put together, by their numbers.

    One that is not whole is left out: an interrupted change put it there, and nothing leads to it.
    """
    pieces: dict[str, dict[int, dict[str, Any]]] = {}
    for entry in entries:
        pieces.setdefault(entry["row"], {})[entry["part"]] = entry
    rows = []
    for key, parts in pieces.items():
        if sorted(parts) == list(range(len(parts))):
            body = "".join(parts[part]["body"] for part in range(len(parts)))
            about = {name: parts[0][name] for name in _ABOUT}
            rows.append(StoredRow(key=key, body=body, **about))
    return sorted(rows, key=lambda row: (row.number, row.key))


def template_of(entry: dict[str, Any]) -> StoredTemplate:
    """A template as Milvus returns it."""
    about = {name: entry[name] for name in ("id", "person", "photograph", "digest")}
    return StoredTemplate(embedding=np.array(entry["embedding"], np.float32), **about)


def columns_of(row: StoredRow) -> dict[str, Any]:
    """A row's columns as SQLite has them."""
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
        for name, value in json.loads(row.body).items()
    }


def label_of(name: str) -> str:
    """What a name is found by, whatever is in it."""
    return hashlib.sha256(name.encode()).hexdigest()


def chunks_of(values: Iterable[int | str]) -> Iterator[str]:
    """Values as lists in Milvus's language: numbers, or texts of our own making."""
    texts = [f'"{value}"' if isinstance(value, str) else str(value) for value in values]
    for start in range(0, len(texts), _ASKED_AT_ONCE):
        yield ", ".join(texts[start : start + _ASKED_AT_ONCE])


# Which people are meant, in Milvus's language; see `people` for the same in SQLite's.


def enrolled() -> str:
    """Whoever is neither deleted nor past their consent."""
    return f'kind == "person" and deleted == "" and (expires == "" or expires >= "{today()}")'


def restorable() -> str:
    """Whoever was deleted and can come back."""
    return (
        f'kind == "person" and deleted >= "{restorable_since()}"'
        f' and (expires == "" or expires >= "{today()}")'
    )


def overdue() -> str:
    """Whoever must not be kept."""
    return (
        f'kind == "person" and ((deleted != "" and deleted < "{restorable_since()}")'
        f' or (expires != "" and expires < "{today()}"))'
    )


# What a gallery in Milvus is kept in: two collections, read and written.

MOST_RESULTS = 16_384
"""The most templates that one search in Milvus returns."""

# Entries that come at once. Of 2,048 numbers or a crop each, they stay below the 100 MB that one
# answer of Milvus may have.
_PAGE, _PAGE_OF_CROPS = 8192, 1000


class Collections:
    """A connection to a gallery's collections: what they hold, read and written.

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
            raise GalleryError(
                f"a gallery in Milvus needs pymilvus: {install_command('milvus')} (and "
                "milvus-lite, in an environment of its own, for a file)"
            )
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
            if "not loaded" in str(error.message).lower():
                raise GalleryError(
                    f"the gallery {self.address}: Milvus has not loaded its collections "
                    f"{self._rows} and {self._templates}, so that nobody can be asked for: load "
                    "them with Milvus's own tools, or keep the gallery in a folder"
                ) from error
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
