"""A large index is trained, measured and made."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from data.errors import GalleryError
from data.progress import Progress

from ..storage.snapshot import Roll, Snapshot
from ..storage.store import Store
from ..templates import Embeddings, Ids
from .index import LOOKED_AT, TemplateIndex, threads
from .index_file import IndexCache
from .kinds import IndexPlan, Kind, parts_of
from .roll import Line, is_past, latest_line

# What a large index is trained on, and how: lists of neighbours, and how a template is coded.

A_LIST = 40
"""How many templates are looked at for each list."""

_ROUNDS = 10

FEWEST_PEOPLE = 5
"""How many people the middle of a list is of, at least: so it is nobody's own template."""


def train(
    plan: IndexPlan, sample: Embeddings, people: npt.NDArray[np.int64], check: Callable[[], None]
) -> Any:
    """Make FAISS's index without any template in it.

    Args:
        plan: Which one; not an exact one.
        sample: (n, D) templates.
        people: (n,) whose they are.
        check: Called now and then; raises `Stopped` where the index is not wanted any more.

    Raises:
        Stopped: As `check` raised it.
    """
    dimension = sample.shape[1]
    middles = _middles(plan.lists, sample, people, check)
    code = f"PQ{parts_of(dimension)}x4fs" if plan.kind is Kind.PQ else "SQ8"
    index: Any = faiss.index_factory(
        dimension, f"IVF{len(middles)},{code}", faiss.METRIC_INNER_PRODUCT
    )
    index.quantizer.add(middles)
    if plan.kind is Kind.PQ:
        index.pq.cp.niter = _ROUNDS
        index.pq.cp.min_points_per_centroid = 1  # it would warn; small galleries are as wished
        with threads(1):  # each of many parts is a small task, for which a team is slower
            index.train(sample)
    else:
        index.train(sample)
    return index


def _middles(
    lists: int, sample: Embeddings, people: npt.NDArray[np.int64], check: Callable[[], None]
) -> Embeddings:
    """The middles of the lists, (n, D): unit vectors by spherical k-means, at most so many."""
    rng = np.random.default_rng(0)
    middles = sample[rng.choice(len(sample), min(lists, len(sample)), replace=False)]
    for _ in range(_ROUNDS):
        check()
        nearest = _nearest(middles, sample)
        order = np.lexsort((people, nearest))
        nearest, owners = nearest[order], people[order]
        # In each list a person counts once, however many photographs of them are looked at.
        is_first = np.ones(len(order), bool)
        is_first[1:] = (nearest[1:] != nearest[:-1]) | (owners[1:] != owners[:-1])
        theirs = _unit(np.add.reduceat(sample[order], np.flatnonzero(is_first), axis=0))
        _, starts, counts = np.unique(nearest[is_first], return_index=True, return_counts=True)
        sums = np.add.reduceat(theirs, starts, axis=0)
        enough = counts >= FEWEST_PEOPLE
        middles = _unit(sums[enough] if enough.any() else sums.sum(axis=0, keepdims=True))
    return middles


def _unit(rows: Embeddings) -> Embeddings:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.maximum(lengths, 1e-6), np.float32)


def _nearest(middles: Embeddings, sample: Embeddings) -> npt.NDArray[np.int64]:
    flat = faiss.IndexFlatIP(middles.shape[1])
    flat.add(middles)
    _, nearest = flat.search(sample, 1)
    found: npt.NDArray[np.int64] = nearest[:, 0]
    return found


# How many lists a large index has to look into: measured on the gallery's own people.
#
# Photographs of people who have several are searched for among all others. What is closest of all
# is found by comparing everything once, while the index is filled. As many lists are then looked
# into as it takes to find that again nearly always.

WANTED = 0.998
"""How often the closest photograph is to be found."""

MOST_TRIED = 1_000
"""Photographs that are searched for."""

FEWEST_TRIED = 50
"""With fewer, nothing is measured and half of the lists are looked into."""

_SHARES = (1 / 2, 5 / 8, 3 / 4, 1)  # people unlike most are missed by fewer


def asked_for(roll: Roll) -> Ids:
    """The ids of photographs to search for, ascending, (q,): of people who have several."""
    _, which, counts = np.unique(roll.people, return_inverse=True, return_counts=True)
    ids = roll.ids[counts[which] > 1]
    chosen = np.random.default_rng(1).choice(ids, min(len(ids), MOST_TRIED), replace=False)
    return np.sort(chosen)


class RecallTrial:
    """Searches for photographs of the gallery's own.

    Args:
        roll: Which template is whose.
        ids: (q,) the photographs.
        embeddings: (q, D) their templates.
    """

    def __init__(self, roll: Roll, ids: Ids, embeddings: Embeddings) -> None:
        self._roll, self._ids, self._embeddings = roll, ids, embeddings
        self._best = np.full(len(ids), -2, np.float32)
        self._closest = np.full(len(ids), -1, np.int64)

    def see(self, ids: Ids, embeddings: Embeddings) -> None:
        """Compare with some templates; every one has to be seen once."""
        if not len(self._ids) or not len(ids):
            return
        similarities = self._embeddings @ embeddings.T
        similarities[self._ids[:, np.newaxis] == ids] = -2  # themselves
        best = similarities.max(axis=1)
        is_closer = best > self._best
        self._closest = np.where(is_closer, ids[similarities.argmax(axis=1)], self._closest)
        self._best = np.maximum(self._best, best)

    def settle(self, index: TemplateIndex, planned: int) -> dict[str, Any]:
        """Choose how many lists are looked into; what is worth keeping about the index.

        Args:
            index: Filled.
            planned: How many lists it was to have.
        """
        if index.is_exact:
            return {}
        about: dict[str, Any] = {"kind": index.kind, "lists": index.lists, "planned": planned}
        about |= {"found": 0, "tried": 0}
        # Whoever's closest photograph is of somebody else would not be recognised either way.
        is_own = self._owners(self._ids) == self._owners(self._closest)
        asked, closest = self._embeddings[is_own], self._closest[is_own]
        if len(asked) < FEWEST_TRIED:
            return about | {"searched": -(-index.lists // 2)}
        for share in _SHARES:
            searched = int(np.ceil(share * index.lists))
            _, ids = index.search(asked, min(LOOKED_AT, len(index)), searched=searched)
            found = int((ids == closest[:, np.newaxis]).any(axis=1).sum())
            about |= {"searched": searched, "found": found, "tried": len(asked)}
            if found >= WANTED * len(asked):
                break
        return about

    def _owners(self, ids: Ids) -> Ids:
        """Whose templates are (n,), by their ids (n,); some may be there no more, and nobody's."""
        rows = np.searchsorted(self._roll.ids, ids).clip(max=len(self._roll.ids) - 1)
        return np.where(self._roll.ids[rows] == ids, self._roll.people[rows], -1)


# A large index is made: here and now, or in the background while something else answers.
#
# The templates are read in many short transactions, so that nobody who changes or erases anything
# has to wait. Only at the end is the gallery held still, for as long as it takes to follow what
# changed meanwhile and to write the file. Who dies before that leaves everything as it was.


_ROWS_AT_ONCE = 8_192


def build_index(
    store: Store,
    cache: IndexCache,
    plan_for: Callable[[int, int], IndexPlan],
    check: Callable[[], None] = lambda: None,
    progress: Progress = lambda done, total: None,
) -> TemplateIndex:
    """Make an index of a gallery and keep it on disk.

    Args:
        store: The gallery, for this thread alone.
        cache: Where the index is kept.
        plan_for: How many templates, and D → which index.
        check: Called now and then; raises `Stopped` where the index is not wanted any more.
        progress: Called with how many templates are in it, and of how many.

    Raises:
        Stopped: As `check` raised it.
        GalleryError: A template is damaged; or another gallery was restored in this one's place.
        OSError: The index cannot be written.
    """
    check()
    with store.reading() as snapshot:
        began = snapshot.gallery_id, latest_line(snapshot)
        roll, dimension = snapshot.roll(), snapshot.model.dimension
    plan = plan_for(len(roll.ids), dimension)

    def read(ids: Ids) -> tuple[Ids, Embeddings]:
        check()
        with store.reading() as snapshot:
            _require(snapshot, *began)
            kept = snapshot.kept(ids)
            return kept, snapshot.embeddings(kept)

    index = TemplateIndex(dimension, _trained(plan, roll, read, check))
    trial = RecallTrial(roll, *read(asked_for(roll)))
    for start in range(0, len(roll.ids), _ROWS_AT_ONCE):
        ids, embeddings = read(roll.ids[start : start + _ROWS_AT_ONCE])
        index.add(ids, embeddings)
        trial.see(ids, embeddings)
        progress(min(start + _ROWS_AT_ONCE, len(roll.ids)), len(roll.ids))
    index.about = trial.settle(index, plan.lists)
    with store.unchanging() as snapshot:
        _require(snapshot, *began)
        index.follow(snapshot.roll().ids, snapshot.embeddings)
        if store.is_in_place:
            cache.write(index, snapshot)
    return index


def _trained(
    plan: IndexPlan,
    roll: Roll,
    read: Callable[[Ids], tuple[Ids, Embeddings]],
    check: Callable[[], None],
) -> Any:
    """FAISS's index without templates, as planned; None for an exact one."""
    if plan.kind is Kind.FLAT:
        return None
    count = min(len(roll.ids), max(A_LIST * plan.lists, 256 * A_LIST))
    chosen = np.sort(np.random.default_rng(0).choice(len(roll.ids), count, replace=False))
    parts = [read(some) for some in np.array_split(roll.ids[chosen], -(-count // _ROWS_AT_ONCE))]
    ids = np.concatenate([ids for ids, _ in parts])
    people = roll.people[np.searchsorted(roll.ids, ids)]
    return train(plan, np.concatenate([embeddings for _, embeddings in parts]), people, check)


def _require(snapshot: Snapshot, gallery: str, line: Line) -> None:
    if snapshot.gallery_id != gallery or not is_past(snapshot, line):
        raise GalleryError("another gallery was restored in this one's place: make the index again")
