"""The newest state of a store with its index, and the index kept for the next process."""

from contextlib import suppress

from data.errors import AppError

from .cache import IndexCache
from .index import TemplateIndex
from .snapshot import Snapshot
from .store import Store
from .view import View


class Views:
    """What a gallery's searches look at. Not for several threads at once.

    Args:
        store: The truth.
        cache: Where its index is kept.
    """

    def __init__(self, store: Store, cache: IndexCache) -> None:
        self._store = store
        self._cache = cache
        self._view: View | None = None
        self._cache_is_behind = False

    def current(self) -> View:
        """The newest state, by whichever process; the first one is kept at once.

        Raises:
            GalleryError: The store cannot be read, or a template is damaged.
        """
        is_first = self._view is None
        with self._store.reading() as snapshot:
            if self._view is None or self._view.revision != snapshot.revision:
                self._view = self._view_of(snapshot)
        if is_first:
            self._keep(self._view)
        return self._view

    def close(self) -> None:
        """Keep the index for the next process."""
        if self._view is not None:
            self._keep(self._view)
            self._view = None

    def _view_of(self, snapshot: Snapshot) -> View:
        revision, dimension, roll = snapshot.revision, snapshot.model.dimension, snapshot.roll()
        index = self._view.index if self._view else None
        if self._view and self._view.gallery != revision.partition("/")[0]:
            index = None  # another gallery was restored in its place, and has its own ids
        if index is None:
            index = self._cache.read(roll, dimension, revision, snapshot.seal)
        if index is None or index.dimension != dimension:
            index = TemplateIndex(dimension)
        if index.follow(roll.ids, snapshot.embeddings):
            self._cache_is_behind = True
        return View(revision=revision, roll=roll, index=index, excluded=snapshot.exclusions())

    def _keep(self, view: View) -> None:
        """Write the index for the next process, unless the gallery has changed since.

        Nobody can change it while the file is written, so an index on disk never outlives the
        erasure of someone who is in it. A cache that cannot be written costs time and nothing else.
        """
        if not (self._cache_is_behind and self._store.is_in_place):
            return
        with suppress(OSError, AppError), self._store.unchanging() as snapshot:
            if snapshot.revision == view.revision:
                self._cache.write(view.index, view.roll, view.revision, snapshot.seal)
                self._cache_is_behind = False
