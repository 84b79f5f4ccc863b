"""The templates that are closest to a query: exact cosine similarities, whatever the index knows.

An index that is not exact only says which templates to look at; they are compared as they are in
the store. Where there is no index yet, all of them are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .index import TemplateIndex
from .templates import Embeddings, Ids

Read = Callable[[Ids], Embeddings]
"""Reads templates (n, D) from the store by their ids (n,), which ascend."""

Found = tuple[npt.NDArray[np.float32], Ids]
"""Cosine similarities, descending, and the templates' ids, (n,) each."""

MOST_LOOKED_AT = 1_024
"""How many templates a search ranks, at most, unless the index is exact."""

LOOKED_AT = 32
"""How many templates a search compares exactly, at least, where the index is not exact."""

_FEW = 256  # of so many templates all are compared, without asking the index

_ROWS_AT_ONCE = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Finds the closest of some templates.

    Attributes:
        index: Holds all templates; None where there is no index.
        ids: (N,) the ids of the templates that count, ascending.
        is_part: Whether the index holds others, too.
        read: Reads from the store; None where the index is exact, and trusted.
    """

    index: TemplateIndex | None
    ids: Ids
    is_part: bool
    read: Read | None

    @property
    def most(self) -> int:
        """How many can be asked for."""
        is_exact = self.index is not None and self.index.is_exact
        return len(self.ids) if is_exact else min(len(self.ids), MOST_LOOKED_AT)

    def of(self, queries: Embeddings, count: int) -> list[Found]:
        """Find the closest templates of each query.

        Args:
            queries: (Q, D) unit vectors.
            count: How many, 0 … `most`.

        Returns:
            For each query those templates, or more; fewer only where the index finds no more.
        """
        if not count:
            return [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(queries)
        is_few = self.is_part and len(self.ids) <= _FEW
        if self.index is None or (is_few and self.read is not None):
            assert self.read is not None
            return _compared(queries, self.most, self.ids, self.read)
        if not self.index.is_exact:
            count = min(len(self.ids), max(LOOKED_AT, 2 * count))
        similarities, ids = self.index.search(queries, count, self.ids if self.is_part else None)
        found = [row[row >= 0] for row in ids]
        if self.read is None:
            return list(zip(similarities, found, strict=True))
        if self.index.is_exact:
            self.read(np.unique(ids))  # opens what is sealed: a row that was altered is found out
            return list(zip(similarities, found, strict=True))
        return _ranked(queries, found, self.read)


def _ranked(queries: Embeddings, found: list[Ids], read: Read) -> list[Found]:
    """Compare each query with the templates that were found for it, as they are in the store."""
    ids = np.unique(np.concatenate(found))
    embeddings = read(ids)
    ranked = []
    for query, own in zip(queries, found, strict=True):
        similarities = embeddings[np.searchsorted(ids, own)] @ query
        order = np.argsort(-similarities, kind="stable")
        ranked.append((similarities[order], own[order]))
    return ranked


def _compared(queries: Embeddings, count: int, ids: Ids, read: Read) -> list[Found]:
    """Compare queries with all templates; time grows with their number, memory does not."""
    best = np.empty((len(queries), 0), np.float32)
    whose = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        some = ids[start : start + _ROWS_AT_ONCE]
        best = np.concatenate([best, queries @ read(some).T], axis=1)
        whose = np.concatenate([whose, np.broadcast_to(some, (len(queries), len(some)))], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(best, order, axis=1)
        whose = np.take_along_axis(whose, order, axis=1)
    return list(zip(best, whose, strict=True))
