"""What Milvus does, in a dictionary: for tests of what is made of its answers."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from recognition.gallery.search.milvus import MilvusAddress, MilvusError
from recognition.gallery.templates import Embeddings, Ids

SERVERS: dict[str, "Server"] = {}
"""By what an address says."""


class Server:
    """What lies under one address, whoever is connected."""

    def __init__(self) -> None:
        self.held: dict[int, np.ndarray] | None = None
        self.noted: dict[str, Any] | None = None
        self.dimension = 0
        self.is_down = False
        self.searches = 0
        self.listings = 0
        self.before_put: Callable[[], None] = lambda: None


class VectorsInMemory:
    """Stands in for `MilvusVectors`."""

    server, index = "Milvus in memory", "FLAT"

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self._server = SERVERS.setdefault(str(address), Server())
        _ = self._up

    @property
    def _up(self) -> Server:
        if self._server.is_down:
            raise MilvusError(f"{self.address}: Milvus says 'no route'; is it there?")
        return self._server

    @property
    def _held(self) -> dict[int, np.ndarray]:
        held = self._up.held
        if held is None:
            raise MilvusError(f"{self.address}: Milvus says 'no such collection'; is it there?")
        return held

    @property
    def dimension(self) -> int:
        return self._up.dimension

    def create(self, dimension: int) -> None:
        server = self._up
        if server.held is None:
            server.held, server.dimension = {}, dimension

    def drop(self) -> None:
        server = self._up
        server.held = server.noted = None

    def state(self) -> dict[str, Any] | None:
        server = self._up
        return None if server.held is None else server.noted

    def note(self, state: dict[str, Any]) -> None:
        self._up.noted = {**state, "line": list(state["line"])}

    def count(self) -> int:
        return len(self._held)

    def ids(self) -> Ids:
        self._up.listings += 1
        return np.array(sorted(self._held), np.int64)

    def vectors(self, ids: Ids) -> dict[int, np.ndarray]:
        return {number: self._held[number] for number in ids.tolist() if number in self._held}

    def put(self, ids: Ids, embeddings: Embeddings) -> None:
        for number, vector in zip(ids.tolist(), embeddings, strict=True):
            self._up.before_put()
            self._held[number] = vector.copy()

    def remove(self, ids: Ids) -> None:
        for number in ids.tolist():
            self._held.pop(number, None)

    def settle(self) -> None: ...

    def compact(self) -> None:
        _ = self._up

    def nearest(
        self, queries: Embeddings, count: int, among: Ids | None = None
    ) -> tuple[np.ndarray, Ids]:
        self._up.searches += 1
        numbers = [n for n in self._held if among is None or n in set(among.tolist())]
        similarities = np.full((len(queries), count), -1, np.float32)
        ids = np.full((len(queries), count), -1, np.int64)
        if numbers:
            products = queries @ np.stack([self._held[n] for n in numbers]).T
            order = np.argsort(-products, axis=1, kind="stable")[:, :count]
            similarities[:, : order.shape[1]] = np.take_along_axis(products, order, 1)
            ids[:, : order.shape[1]] = np.array(numbers, np.int64)[order]
        return similarities, ids

    def close(self) -> None: ...


class RowsInMemory:
    """Stands in for `MilvusConnection`, over collections of rows.

    A condition in Milvus's language, as far as it is used, is one in Python's.
    """

    def __init__(self, collections: dict[str, list[dict[str, Any]]]) -> None:
        self._collections = collections

    def loads(self, name: str) -> bool:
        return name in self._collections

    def count(self, name: str, condition: str = "") -> int:
        return len([*self.rows(name, condition, [])])

    def rows(
        self, name: str, condition: str, fields: list[str], page: int = 0
    ) -> Iterator[dict[str, Any]]:
        for row in reversed(self._collections[name]):  # Milvus knows no order
            if not condition or eval(condition, {}, row):
                yield {field: row[field] for field in fields}

    def close(self) -> None: ...
