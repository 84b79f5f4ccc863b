"""A large index is made: here and now, or in the background while something else answers.

The templates are read in many short transactions, so that nobody who changes or erases anything has
to wait. Only at the end is the gallery held still, for as long as it takes to follow what changed
meanwhile and to write the file. Who dies before that leaves everything as it was.
"""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import numpy as np

from data.errors import AppError, GalleryError

from .cache import IndexCache
from .following import Line, is_past, latest_line
from .index import TemplateIndex
from .kinds import Kind, Plan
from .measuring import Trial, asked_for
from .snapshot import Roll, Snapshot
from .store import Store
from .templates import Embeddings, Ids
from .training import A_LIST, Stopped, train

Progress = Callable[[int, int], None]

_ROWS_AT_ONCE = 8_192


def build(
    store: Store,
    cache: IndexCache,
    plan_for: Callable[[int, int], Plan],
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
    trial = Trial(roll, *read(asked_for(roll)))
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
    plan: Plan, roll: Roll, read: Callable[[Ids], tuple[Ids, Embeddings]], check: Callable[[], None]
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


class Builder:
    """Makes an index in a thread of its own.

    Args:
        open_store: Opens the gallery once more.
        cache: Where the index is kept.
        plan_for: See `build`.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        cache: IndexCache,
        plan_for: Callable[[int, int], Plan],
    ) -> None:
        self._open_store, self._cache, self._plan_for = open_store, cache, plan_for
        self._is_unwanted = threading.Event()
        self._made: TemplateIndex | None = None
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # Whatever fails here costs time and nothing else: what answers meanwhile goes on doing so.
        failures = (OSError, AppError, RuntimeError, MemoryError, Stopped)
        with suppress(*failures), closing(self._open_store()) as store:
            self._made = build(store, self._cache, self._plan_for, self._check)

    def _check(self) -> None:
        if self._is_unwanted.is_set():
            raise Stopped

    @property
    def is_busy(self) -> bool:
        """Whether it is still at it."""
        return self._thread.is_alive()

    @property
    def made(self) -> TemplateIndex | None:
        """The index, once it is made; it is given up to the caller."""
        return None if self.is_busy else self._made

    def stop(self) -> None:
        """Give up, and wait until that is done."""
        self._is_unwanted.set()
        self._thread.join()
