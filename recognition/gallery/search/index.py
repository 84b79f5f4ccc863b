"""FAISS: which kind fits a gallery of some size, and the closest templates of a query."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from ..templates import Embeddings, Ids
from .kinds import Kind

# FAISS: which templates are closest to a query. A copy of what the store says.

_faiss: Any = faiss  # whose declared types lack some of what it has

_ROWS_AT_ONCE = 16_384

_BYTES_AT_ONCE = 1 << 20

_KINDS = {
    faiss.IndexIDMap2: Kind.FLAT,
    faiss.IndexIVFScalarQuantizer: Kind.INT8,
    faiss.IndexIVFPQFastScan: Kind.PQ,
}


class TemplateIndex:
    """Inner products of unit vectors, so cosine similarities: exact ones, or nearly.

    Not for several threads at once: FAISS forbids a change during a search.

    Args:
        dimension: How many numbers a template has, D.
        trained: FAISS's trained index, without templates; None makes an exact one.
    """

    def __init__(self, dimension: int, trained: Any = None) -> None:
        self.dimension = dimension
        self._faiss: Any = trained or faiss.index_factory(
            dimension, "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT
        )
        self._ids = _ids_in(self._faiss)
        self._on_gpu: Any = None
        self._is_copied = False
        self.about: dict[str, Any] = {}
        """What was found when it was made; kept with it."""

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Ids:
        """The templates' ids (N,), ascending."""
        return self._ids

    @property
    def kind(self) -> Kind:
        """How it keeps the templates."""
        return _KINDS[type(self._faiss)]

    @property
    def is_exact(self) -> bool:
        """Whether it keeps them as they are."""
        return self.kind is Kind.FLAT

    @property
    def lists(self) -> int:
        """Into how many lists of neighbours they are divided; 0 where they are not."""
        return 0 if self.is_exact else int(self._faiss.nlist)

    @property
    def lists_planned(self) -> int:
        """Into how many they were to be divided: some may have had too few people."""
        return int(self.about.get("planned", self.lists))

    @property
    def lists_searched(self) -> int:
        """How many of them a search looks into."""
        return int(self.about.get("searched", -(-self.lists // 2)))

    def follow(self, ids: Ids, embeddings_of: Callable[[Ids], Embeddings]) -> int:
        """Hold exactly the templates that the store says there are.

        An id's template never changes and no id is given twice, so comparing ids is enough.

        Args:
            ids: (N,) all templates' ids, ascending.
            embeddings_of: ids (n,), ascending → their unit vectors (n, D).

        Returns:
            How many had to be added or removed.
        """
        held = len(self._ids)
        if np.array_equal(ids[:held], self._ids):  # nearly always, and quickly seen
            surplus, missing = ids[:0], ids[held:]
        else:
            surplus = np.setdiff1d(self._ids, ids, assume_unique=True)
            missing = np.setdiff1d(ids, self._ids, assume_unique=True)
        self._remove(surplus)
        for start in range(0, len(missing), _ROWS_AT_ONCE):
            some = missing[start : start + _ROWS_AT_ONCE]
            self.add(some, embeddings_of(some))
        return len(surplus) + len(missing)

    def add(self, ids: Ids, embeddings: Embeddings) -> None:
        """Take up templates.

        Args:
            ids: (n,) their ids, ascending, none of which is held.
            embeddings: (n, D) unit vectors.
        """
        self._is_copied = False
        with threads(1 if len(ids) < 1000 else None):
            self._faiss.add_with_ids(embeddings, ids)
        is_later = not len(self._ids) or not len(ids) or ids[0] > self._ids[-1]
        joined = np.concatenate([self._ids, ids])
        self._ids = joined if is_later else np.sort(joined)

    def _remove(self, ids: Ids) -> None:
        if len(ids):
            self._is_copied = False
            self._faiss.remove_ids(faiss.IDSelectorBatch(ids))
            self._ids = np.setdiff1d(self._ids, ids, assume_unique=True)
            if self.kind is Kind.PQ:
                _blank_unused(faiss.downcast_InvertedLists(self._faiss.invlists))

    def search(
        self,
        queries: Embeddings,
        count: int,
        among: Ids | None = None,
        searched: int | None = None,
    ) -> tuple[npt.NDArray[np.float32], Ids]:
        """Find the closest templates of each query.

        Args:
            queries: (Q, D) unit vectors.
            count: How many to find, 1 … N, or 1 … n among some.
            among: (n,) the ids of those that count, all of which are held; None: all.
            searched: How many lists to look into; None takes `lists_searched`, or all for some.

        Returns:
            Their cosine similarities (Q, count), descending, and their ids (Q, count): exact ones
            where the index is. Otherwise nearly so, and the last ids are -1 where it found fewer.
        """
        options: dict[str, Any] = {}
        if among is not None:
            options["sel"] = faiss.IDSelectorBatch(among)
        if self.is_exact:
            parameters = faiss.SearchParameters(**options)
        else:
            probed = searched or (self.lists_searched if among is None else self.lists)
            parameters = _faiss.SearchParametersIVF(nprobe=probed, **options)
        # Waking a team of threads takes longer than the search of one query.
        with threads(1 if len(queries) == 1 else None):
            similarities, ids = self._searched_by(count, among).search(
                queries, count, params=parameters
            )
        return similarities, ids

    def _searched_by(self, count: int, among: Ids | None) -> Any:
        """FAISS's index, or its copy on a GPU where there is one that can do that."""
        if among is not None or count > MOST_ON_GPU:
            return self._faiss
        if not self._is_copied:
            self._on_gpu, self._is_copied = on_gpu(self._faiss), True
        return self._on_gpu or self._faiss

    def embeddings(self, ids: Ids) -> Embeddings:
        """The templates (n, D) of some ids (n,), in their order; held, and the index exact."""
        found: Embeddings = self._faiss.reconstruct_batch(ids)
        return found

    def write(self, sink: Callable[[bytes], int]) -> None:
        """Hand FAISS's own form of the index to `sink`, part after part."""
        faiss.write_index(self._faiss, _faiss.PyCallbackIOWriter(sink, _BYTES_AT_ONCE))

    @classmethod
    def read(cls, source: Callable[[int], bytes], dimension: int) -> "TemplateIndex | None":
        """Read what `write` wrote; None where it is not such an index of that dimension.

        FAISS checks little of what it reads: the caller has to know that the bytes are unchanged.

        Args:
            source: How many bytes → as many, or fewer where there are no more.
            dimension: D.
        """
        try:
            read = faiss.read_index(_faiss.PyCallbackIOReader(source, _BYTES_AT_ONCE))
        except RuntimeError:
            return None
        is_ours = type(read) in _KINDS and (
            type(read) is not faiss.IndexIDMap2
            or isinstance(faiss.downcast_index(read.index), faiss.IndexFlat)
        )
        if not is_ours or (read.d, read.metric_type) != (dimension, faiss.METRIC_INNER_PRODUCT):
            return None
        return cls(dimension, read)


def _ids_in(index: Any) -> Ids:
    """The ids that FAISS's index holds, ascending."""
    if isinstance(index, faiss.IndexIDMap2):
        found = faiss.vector_to_array(index.id_map)
    else:
        lists = index.invlists
        sizes = ((number, lists.list_size(number)) for number in range(index.nlist))
        parts = [
            faiss.rev_swig_ptr(lists.get_ids(number), size).copy() for number, size in sizes if size
        ]
        found = np.concatenate(parts) if parts else np.empty(0, np.int64)
    ids: Ids = np.sort(found)
    return ids


def _blank_unused(lists: Any) -> None:
    """Overwrite the places behind each list's last code: FAISS leaves there what it has removed."""
    packer = lists.packer
    nothing = np.zeros(packer.code_size, np.uint8)
    for number in range(lists.nlist):
        blocks, used = divmod(lists.list_size(number), packer.nvec)
        if used:
            content = faiss.rev_swig_ptr(lists.get_codes(number), (blocks + 1) * packer.block_size)
            last = content[-packer.block_size :][np.newaxis]
            for place in range(used, packer.nvec):
                packer.pack_1(nothing, place, last)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let FAISS take so many OpenMP threads; None: as many as it likes."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


# FAISS on a GPU: a copy of an index that is searched there.
#
# The index itself stays in the computer's memory: it is what is changed, written and read. The
# copy is made anew after a change. FAISS's GPU indexes are not for several threads at once, not
# even for reading: each copy has resources of its own, and is only used under its gallery's lock.

MOST_ON_GPU = 2048
"""How many results a search on a GPU can have."""


def on_gpu(index: Any) -> Any:
    """Copy FAISS's index to the first GPU; None where there is none, or none for such an index."""
    if not _faiss.get_num_gpus():
        return None
    resources = _faiss.StandardGpuResources()
    try:
        copy = _faiss.index_cpu_to_gpu(resources, 0, index)
    except RuntimeError:  # the GPU's memory is full, or FAISS has no such index there
        return None
    copy.referenced_objects = [resources]
    return copy


# The templates that are closest to a query: exact cosine similarities, whatever the index knows.
#
# An index that is not exact only says which templates to look at; they are compared as they are
# in the store. Where there is no index yet, all of them are.

Read = Callable[[Ids], Embeddings]
"""Reads templates (n, D) from the store by their ids (n,), which ascend."""

Found = tuple[npt.NDArray[np.float32], Ids]
"""Cosine similarities, descending, and the templates' ids, (n,) each."""

MOST_LOOKED_AT = 1_024
"""How many templates a search ranks, at most, unless the index is exact."""

LOOKED_AT = 32
"""How many templates a search compares exactly, at least, where the index is not exact."""

_FEW = 256  # of so many templates all are compared, without asking the index

_ROWS_COMPARED_AT_ONCE = 8_192


class Candidates(Protocol):
    """An index: says which templates may be the closest ones."""

    @property
    def dimension(self) -> int:
        """How many numbers a template has, D."""

    @property
    def is_exact(self) -> bool:
        """Whether it holds the very templates, and compares all of them."""

    def search(
        self, queries: Embeddings, count: int, among: Ids | None = None, /
    ) -> tuple[npt.NDArray[np.float32], Ids]:
        """Cosine similarities and ids, (Q, count) each; see `TemplateIndex.search`."""


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Finds the closest of some templates.

    Attributes:
        index: Holds all templates; None where there is no index.
        ids: (N,) the ids of the templates that count, ascending.
        is_part: Whether the index holds others, too.
        read: Reads from the store; None where the index is exact, and trusted.
    """

    index: Candidates | None
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
        found = [self._known(*row) for row in zip(similarities, ids, strict=True)]
        if self.read is None:
            return found
        if self.index.is_exact:
            self.read(np.unique(ids))  # opens what is sealed: a row that was altered is found out
            return found
        return _ranked(queries, [known for _, known in found], self.read)

    def _known(self, similarities: npt.NDArray[np.float32], ids: Ids) -> Found:
        """Those of a query's (n,) that the store has, too: an index elsewhere may have others."""
        places = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        known = self.ids[places] == ids
        return similarities[known], ids[known]


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
    for start in range(0, len(ids), _ROWS_COMPARED_AT_ONCE):
        some = ids[start : start + _ROWS_COMPARED_AT_ONCE]
        best = np.concatenate([best, queries @ read(some).T], axis=1)
        whose = np.concatenate([whose, np.broadcast_to(some, (len(queries), len(some)))], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(best, order, axis=1)
        whose = np.take_along_axis(whose, order, axis=1)
    return list(zip(best, whose, strict=True))
