"""Milvus: its address, and a collection of vectors with their ids.

A gallery's index in Milvus is two collections. `NAME_vectors` has a row for each template: its id
and its vector, and nothing else. `NAME_state` has one row, which says of which state of which
gallery the vectors are.
"""

import importlib.util
import json
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
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

from ..templates import Embeddings, Ids

# The address.
#
# milvus://HOST[:PORT]/NAME[?OPTION=VALUE&…] is a server's, milvus:///PATH/FILE.db[?name=NAME&…]
# that of Milvus Lite, in a folder of this machine.

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
    """Where vectors are in Milvus, and how they are indexed and searched there.

    Attributes:
        uri: What pymilvus is told: an `http(s)://` address, or the path of a file.
        name: The index's name; its collections begin with it.
        token: `user:password` or a key; empty where none is needed. Never shown.
        database: Milvus's database; empty takes the default one.
        index: The kind of index that the vectors get; FLAT compares all of them.
        metric: IP or COSINE, which are one for unit vectors.
        consistency: What a search waits for; `Strong` sees all that any machine has put in.
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
                f"an index called {self.name!a}: Milvus takes up to 100 letters, digits and "
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


# The connection.

TIMEOUT = 20
"""For so many seconds an answer of Milvus is waited for."""

_LOGGERS = ("pymilvus", "milvus_lite", "grpc._server")
"""Who would print tracebacks; what went wrong is told by us."""

# Milvus Lite's server runs within this process, one for a file, until it is told to stop: only then
# can another process open the file.
_open_files: Counter[str] = Counter()
_files = threading.Lock()


class MilvusError(GalleryError):
    """Milvus does not answer, or refuses: one line. The truth is elsewhere, and unharmed."""


class MilvusConnection:
    """A connection to Milvus, and what it refuses told in one line.

    Args:
        address: Where it is.

    Raises:
        MilvusError: pymilvus is not installed, or Milvus does not answer.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        packages = ("pymilvus", "milvus_lite") if address.is_local else ("pymilvus",)
        if not all(map(importlib.util.find_spec, packages)):
            raise MilvusError(
                f"{address} needs pymilvus: {install_command('milvus')} (and "
                "milvus-lite, in an environment of its own, for a file)"
            )
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import pymilvus

        for name in _LOGGERS:
            logging.getLogger(name).handlers = [logging.NullHandler()]
        self.pymilvus: Any = pymilvus
        self._loaded = set[str]()
        with self.told():
            self.client: Any = pymilvus.MilvusClient(
                uri=address.uri, token=address.token, db_name=address.database, timeout=TIMEOUT
            )
        with _files:
            _open_files[address.uri] += 1

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what pymilvus raises into one line."""
        try:
            yield
        except self.pymilvus.MilvusException as error:
            if any(word in str(error.message).lower() for word in ("not loaded", "released")):
                self._loaded.clear()
                raise MilvusError(
                    f"{self.address}: Milvus has not loaded the collections that begin with "
                    f"{self.address.name}: load them with Milvus's own tools"
                ) from error
            raise MilvusError(
                f"{self.address}: Milvus says {printable(error.message)!r}; is it "
                "there, and not in use by another program where it is a file?"
            ) from error

    @property
    def server(self) -> str:
        """Which Milvus it is."""
        if self.address.is_local:
            return "Milvus Lite"
        with self.told():
            return f"Milvus {self.client.get_server_version(timeout=TIMEOUT)}"

    def has(self, name: str) -> bool:
        """Whether there is a collection of a name."""
        with self.told():
            return bool(self.client.has_collection(name, timeout=TIMEOUT))

    def loads(self, name: str) -> bool:
        """Whether there is a collection of a name; it is ready to be asked then.

        Milvus Lite has nothing loaded when a file is opened, and a server may have let go of it.
        """
        if not self.has(name):
            self._loaded.discard(name)
            return False
        if name not in self._loaded:
            with self.told():
                self.client.load_collection(name, timeout=6 * TIMEOUT)
            self._loaded.add(name)
        return True

    def drop(self, name: str) -> None:
        """Remove a collection, if there is one."""
        self._loaded.discard(name)
        with self.told():
            self.client.drop_collection(name, timeout=TIMEOUT)

    def count(self, name: str, condition: str = "") -> int:
        """How many rows of a collection meet a condition in Milvus's language."""
        with self.told():
            found = self.client.query(
                name,
                filter=condition,
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=TIMEOUT,
            )
        return int(found[0]["count(*)"])

    def rows(
        self, name: str, condition: str, fields: list[str], page: int = 8192
    ) -> Iterator[dict[str, Any]]:
        """Rows of a collection by a condition, in no order.

        Args:
            name: The collection's.
            condition: In Milvus's language; no text of a user is part of it.
            fields: What is read of each.
            page: How many come at once: one answer may have 100 MB.
        """
        asked = {"filter": condition, "output_fields": fields, "consistency_level": "Strong"}
        with self.told():
            # Nearly always that is all, and an iterator asks twice for the same.
            found = self.client.query(name, limit=page, timeout=TIMEOUT, **asked)
            if len(found) < page:
                yield from found
                return
            pages = self.client.query_iterator(name, batch_size=page, timeout=TIMEOUT, **asked)
            try:
                while found := pages.next():
                    yield from found
            finally:
                pages.close()

    def close(self) -> None:
        """Let go of it; a file can then be opened by another process."""
        with self.told():
            self.client.close()
        with _files:
            _open_files[self.address.uri] -= 1
            if self.address.is_local and not _open_files[self.address.uri]:
                from milvus_lite.server_manager import server_manager_instance

                server_manager_instance.release_server(self.address.uri)


# The vectors.

MOST_RESULTS = 16_384
"""The most vectors that one search in Milvus returns."""

_AT_ONCE = 4_000_000  # numbers that go to Milvus at once: 16 MB; it takes 64
_IDS_AT_ONCE = 10_000
_STATE = "state"  # the key of the one row


class MilvusVectors:
    """Vectors and their ids in Milvus, and a note of what they are. It knows nothing of people.

    Args:
        address: Where they are.

    Raises:
        MilvusError: As every method does; see `MilvusConnection`.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self._vectors, self._state = f"{address.name}_vectors", f"{address.name}_state"
        self._connection = MilvusConnection(address)

    @property
    def server(self) -> str:
        """Which Milvus it is."""
        return self._connection.server

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def create(self, dimension: int) -> None:
        """Make the collections, empty; another machine that was quicker makes no difference."""
        types, index = self._connection.pymilvus.DataType, self._index()
        vectors = self._schema()
        vectors.add_field("id", types.INT64, is_primary=True)
        vectors.add_field("embedding", types.FLOAT_VECTOR, dim=dimension)
        index.add_index(
            "embedding",
            index_type=self.address.index,
            metric_type=self.address.metric,
            params=dict(self.address.building),
        )
        self._create(self._vectors, vectors, index)
        state, index = self._schema(), self._index()
        state.add_field("key", types.VARCHAR, max_length=20, is_primary=True)
        state.add_field("body", types.VARCHAR, max_length=2_000)
        state.add_field("unused", types.FLOAT_VECTOR, dim=2)  # Milvus wants one in every collection
        index.add_index("unused", index_type="FLAT", metric_type="IP")
        self._create(self._state, state, index)

    def _schema(self) -> Any:
        client = self._connection.pymilvus.MilvusClient
        return client.create_schema(auto_id=False, enable_dynamic_field=False)

    def _index(self) -> Any:
        return self._connection.pymilvus.MilvusClient.prepare_index_params()

    def _create(self, name: str, schema: Any, index: Any) -> None:
        if self._connection.loads(name):
            return
        with self._connection.told():
            try:
                self._connection.client.create_collection(
                    name,
                    schema=schema,
                    index_params=index,
                    consistency_level="Strong",
                    timeout=TIMEOUT,
                )
            except self._connection.pymilvus.MilvusException:
                if not self._connection.has(name):
                    raise

    def drop(self) -> None:
        """Remove the collections; the note goes first, so that nobody believes half of them."""
        for name in (self._state, self._vectors):
            self._connection.drop(name)

    def state(self) -> Mapping[str, Any] | None:
        """What was noted of the vectors; None where they are not there, or nothing is noted."""
        if not (self._connection.loads(self._state) and self._connection.loads(self._vectors)):
            return None
        for row in self._connection.rows(self._state, f'key == "{_STATE}"', ["body"]):
            try:
                found = json.loads(row["body"])
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
        return None

    def note(self, state: Mapping[str, Any]) -> None:
        """Note what the vectors are."""
        row = {"key": _STATE, "body": json.dumps(state), "unused": [1.0, 0.0]}
        with self._connection.told():
            self._connection.client.upsert(self._state, [row], timeout=TIMEOUT)

    @property
    def dimension(self) -> int:
        """How many numbers a vector has, D; 0 where the collection is not one of ours."""
        with self._connection.told():
            about = self._connection.client.describe_collection(self._vectors, timeout=TIMEOUT)
        found = {one["name"]: one for one in about["fields"]}
        if found.keys() != {"id", "embedding"}:
            return 0
        return int(found["embedding"].get("params", {}).get("dim", 0))

    @property
    def index(self) -> str:
        """Which kind of index the vectors have."""
        with self._connection.told():
            found = self._connection.client.describe_index(
                self._vectors, index_name="embedding", timeout=TIMEOUT
            )
        return str((found or {}).get("index_type", "none"))

    def count(self) -> int:
        """How many vectors there are."""
        return self._connection.count(self._vectors)

    def ids(self) -> Ids:
        """The ids of all vectors, ascending."""
        rows = self._connection.rows(self._vectors, "", ["id"], MOST_RESULTS)
        found: Ids = np.sort(np.fromiter((row["id"] for row in rows), np.int64))
        return found

    def vectors(self, ids: Ids) -> dict[int, npt.NDArray[np.float32]]:
        """Some ids → their vectors (D,), of those that are there."""
        rows = self._connection.rows(
            self._vectors, f"id in {ids.tolist()}", ["id", "embedding"], 1000
        )
        return {row["id"]: np.array(row["embedding"], np.float32) for row in rows}

    def put(self, ids: Ids, embeddings: Embeddings) -> None:
        """Put vectors (n, D) in, in the place of those of the same ids (n,)."""
        at_once = max(1, _AT_ONCE // embeddings.shape[1])
        for start in range(0, len(ids), at_once):
            rows = [
                {"id": number, "embedding": vector}
                for number, vector in zip(
                    ids[start : start + at_once].tolist(),
                    embeddings[start : start + at_once],
                    strict=True,
                )
            ]
            with self._connection.told():
                self._connection.client.upsert(self._vectors, rows, timeout=6 * TIMEOUT)

    def remove(self, ids: Ids) -> None:
        """Take vectors out by their ids."""
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[start : start + _IDS_AT_ONCE].tolist()
            with self._connection.told():
                self._connection.client.delete(
                    self._vectors, filter=f"id in {some}", timeout=TIMEOUT
                )

    def settle(self) -> None:
        """Let what was put in be found quickly.

        A server sees to that by itself. Milvus Lite keeps what it has not flushed as it came, and
        goes through all of it with each question.
        """
        if self.address.is_local:
            with self._connection.told():
                self._connection.client.flush(self._vectors, timeout=6 * TIMEOUT)

    def compact(self) -> None:
        """Ask Milvus to let go of the bytes of what was removed; when it does is its own affair."""
        with self._connection.told():
            self._connection.client.flush(self._vectors, timeout=6 * TIMEOUT)
            self._connection.client.compact(self._vectors, timeout=TIMEOUT)

    def nearest(
        self, queries: Embeddings, count: int, among: Ids | None = None
    ) -> tuple[npt.NDArray[np.float32], Ids]:
        """The vectors closest to each query, as Milvus sees them.

        Args:
            queries: (Q, D) unit vectors.
            count: How many, 1 … `MOST_RESULTS`.
            among: (n,) the ids of those that count; None: all.

        Returns:
            Similarities (Q, count), descending, and ids (Q, count); the last ones are -1 where
            Milvus found fewer.
        """
        options = dict(self.address.searching)
        if "ef" in options:
            options["ef"] = max(options["ef"], count)  # Milvus refuses less
        with self._connection.told():
            answers = self._connection.client.search(
                self._vectors,
                data=list(queries),
                anns_field="embedding",
                limit=count,
                filter="" if among is None else f"id in {among.tolist()}",
                search_params={"metric_type": self.address.metric, "params": options},
                consistency_level=self.address.consistency,
                timeout=TIMEOUT,
            )
        similarities = np.full((len(queries), count), -1, np.float32)
        ids = np.full((len(queries), count), -1, np.int64)
        for row, hits in enumerate(answers):
            similarities[row, : len(hits)] = [hit["distance"] for hit in hits]
            ids[row, : len(hits)] = [hit["id"] for hit in hits]
        return similarities, ids
