"""FAISS: which templates are closest to a query. Exact, and a copy of what the store says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from .snapshot import Ids
from .templates import Embeddings

_ROWS_AT_ONCE = 65_536


class TemplateIndex:
    """An exact inner-product index over unit vectors (`IDMap2,Flat`), so cosine similarity.

    Not for several threads at once: FAISS forbids a change during a search.

    Args:
        dimension: How many numbers a template has, D.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._faiss: Any = faiss.index_factory(dimension, "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)

    def __len__(self) -> int:
        return int(self._faiss.ntotal)

    @property
    def ids(self) -> Ids:
        """The templates' ids (N,), ascending."""
        ids: Ids = np.sort(faiss.vector_to_array(self._faiss.id_map))
        return ids

    def follow(self, ids: Ids, embeddings_of: Callable[[Ids], Embeddings]) -> bool:
        """Hold exactly the templates that the store says there are.

        An id's template never changes and no id is given twice, so comparing ids is enough.

        Args:
            ids: (N,) all templates' ids, ascending.
            embeddings_of: ids (n,), ascending → their unit vectors (n, D).

        Returns:
            Whether anything had to change.
        """
        held = self.ids
        surplus = np.setdiff1d(held, ids, assume_unique=True)
        missing = np.setdiff1d(ids, held, assume_unique=True)
        if len(surplus):
            self._faiss.remove_ids(surplus)
        for start in range(0, len(missing), _ROWS_AT_ONCE):
            some = missing[start : start + _ROWS_AT_ONCE]
            self._faiss.add_with_ids(embeddings_of(some), some)
        return bool(len(surplus) or len(missing))

    def search(
        self, queries: Embeddings, count: int, among: Ids | None = None
    ) -> tuple[npt.NDArray[np.float32], Ids]:
        """Find the closest templates of each query.

        Args:
            queries: (Q, D) unit vectors.
            count: How many to find, 1 … N, or 1 … n among some.
            among: (n,) the ids of those that count, all of which are held; None: all.

        Returns:
            Their cosine similarities (Q, count), descending, and their ids (Q, count).
        """
        some = None if among is None else faiss.SearchParameters(sel=faiss.IDSelectorBatch(among))
        with _one_thread():
            similarities, ids = self._faiss.search(queries, count, params=some)
        return similarities, ids

    def embeddings(self, ids: Ids) -> Embeddings:
        """The templates (n, D) of some ids (n,), in their order; each must be held."""
        return np.stack([self._faiss.reconstruct(number) for number in ids.tolist()])

    def to_bytes(self) -> bytes:
        """FAISS's own form of the index, for `from_bytes`."""
        content: bytes = faiss.serialize_index(self._faiss).tobytes()
        return content

    @classmethod
    def from_bytes(cls, content: bytes, dimension: int) -> "TemplateIndex | None":
        """Read what `to_bytes` wrote; None where it is not such an index of that dimension.

        FAISS checks little of what it reads: the caller has to know that the bytes are unchanged.
        """
        index = cls(dimension)
        try:
            read = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
        except RuntimeError:
            return None
        expected = (type(index._faiss), dimension, faiss.METRIC_INNER_PRODUCT)
        if (type(read), read.d, read.metric_type) != expected:
            return None
        index._faiss = read
        return index


@contextmanager
def _one_thread() -> Iterator[None]:
    """Search with one OpenMP thread: waking a team takes longer than the search of one query."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
