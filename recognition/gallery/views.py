"""What searches look at: the newest state of a store with its index, kept for the next process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from data.errors import AppError

from . import kinds
from .building import Builder
from .cache import IndexCache
from .following import NO_LINE, followed, is_past, latest_line
from .index import TemplateIndex
from .kinds import Kind, Plan, described, is_of_plan, plan_of
from .sealing import OPEN
from .snapshot import Snapshot
from .store import Store
from .view import View

_WORTH_WRITING = 0.1
"""What share of an index must have changed before the file is written anew."""

_PATIENCE = 1.0
"""For so many seconds it is waited for another process's change, to keep what can be made again."""

_OUTGROWN = 2
"""Until there is a smaller index, an exact one holds up to so many times `EXACT_UP_TO`."""


class Views:
    """What a gallery's searches look at. Not for several threads at once.

    Args:
        store: The truth.
        cache: Where its index is kept.
        open_store: Opens the store once more, for making an index in the background.
        wanted: Says which kind of index the user has chosen.
    """

    def __init__(
        self,
        store: Store,
        cache: IndexCache,
        open_store: Callable[[], Store],
        wanted: Callable[[], Kind] = lambda: Kind.AUTO,
    ) -> None:
        self._store, self._cache = store, cache
        self._open_store, self._wanted = open_store, wanted
        self._view: View | None = None
        self._line = NO_LINE  # the audit log's latest, when the view was new
        self._unwritten = 0  # templates that have come or gone since the file was written
        self._builder: Builder | None = None
        self._lacking: tuple[str, Plan] | None = None
        self._tried: tuple[str, Plan] | None = None

    @contextmanager
    def current(self) -> Iterator[View]:
        """The newest state, by whichever process; what is first seen is kept at once.

        Raises:
            GalleryError: The store cannot be read, or a template is damaged.
        """
        is_first = self._view is None
        with self._store.reading() as snapshot:
            has_ended, made = self._ended(snapshot)
            if self._view is None or self._view.revision != snapshot.revision:
                self._view = self._indexed(self._view_of(snapshot), made, snapshot)
                # Not before: lines of a state that could not be read are looked at again.
                self._line = latest_line(snapshot)
            elif has_ended:
                self._view = self._indexed(self._view, made, snapshot)
            index = self._view.index
            is_trusted = index is not None and index.is_exact and snapshot.seal is OPEN
            yield replace(self._view, snapshot=None if is_trusted else snapshot)
        if is_first:
            self._keep()
        if self._lacking is not None:  # not before: whoever asks once does not wait for it
            self._build(*self._lacking)
            self._lacking = None

    def close(self) -> None:
        """Keep the index for the next process."""
        if self._builder is not None:
            self._builder.stop()
            self._builder = None
        self._keep()
        self._view = None

    def size(self, snapshot: Snapshot) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""
        if self._view is not None and self._view.revision == snapshot.revision:
            return len(self._view.roll.names), len(self._view.roll.ids)
        return snapshot.size()

    def described(self, snapshot: Snapshot) -> str:
        """Which index the gallery has, and why, in words."""
        head = self._cache.head(snapshot)
        return described(self._plan(self.size(snapshot)[1], snapshot), head and head["about"])

    def _plan(self, templates: int, snapshot: Snapshot) -> Plan:
        return plan_of(self._wanted(), templates, snapshot.model.dimension)

    def _view_of(self, snapshot: Snapshot) -> View:
        """The present state, with the index of an earlier one, where there is one."""
        revision, roll, index = snapshot.revision, None, None
        earlier = self._view
        # Another gallery, or an older state that was put in this one's place, has its own ids.
        if (
            earlier is not None
            and earlier.gallery == snapshot.gallery_id
            and is_past(snapshot, self._line)
        ):
            index = earlier.index
            if _expired(revision) == _expired(earlier.revision):
                roll = followed(earlier.roll, snapshot, self._line)
        if index is None:
            index, self._unwritten = self._cache.read(snapshot), 0
        if index is not None and index.dimension != snapshot.model.dimension:
            index = None
        return View(
            revision=revision,
            roll=snapshot.roll() if roll is None else roll,
            index=index,
            excluded=snapshot.exclusions(),
        )

    def _indexed(self, view: View, made: TemplateIndex | None, snapshot: Snapshot) -> View:
        """Bring the index up to a view's state, or begin to make one."""
        index, templates = view.index, len(view.roll.ids)
        plan = self._plan(templates, snapshot)
        if made is None and not (
            index is not None and plan.is_met(index.kind, index.lists_planned)
        ):
            made = self._written(plan, snapshot)
        if made is not None:
            index, self._unwritten = made, 0
        if index is None and plan.kind is Kind.FLAT:
            index, self._unwritten = TemplateIndex(snapshot.model.dimension), 0
        if index is not None and _is_too_much(index, plan, templates):
            index = None
        if index is not None:
            self._unwritten += index.follow(view.roll.ids, snapshot.embeddings)
        if not _is_met(plan, index):
            self._lacking = snapshot.gallery_id, plan
        return replace(view, index=index)

    def _written(self, plan: Plan, snapshot: Snapshot) -> TemplateIndex | None:
        """The index that another process has made meanwhile, if it is as planned."""
        head = self._cache.head(snapshot)
        if head is None or not is_of_plan(plan, head["about"]):
            return None
        return self._cache.read(snapshot)

    def _build(self, gallery: str, plan: Plan) -> None:
        """Begin to make an index, unless one is being made, or the same has failed."""
        if self._builder is None and self._tried != (gallery, plan):
            self._tried = gallery, plan
            self._builder = Builder(self._open_store, self._cache, lambda *_: plan)

    def _ended(self, snapshot: Snapshot) -> tuple[bool, TemplateIndex | None]:
        """Whether making an index has come to an end, told once; and the index, if it has one."""
        if self._builder is None or self._builder.is_busy:
            return False, None
        made, self._builder = self._builder.made, None
        # Another gallery may have been restored meanwhile, or its file put in this one's place.
        begun_for = self._tried and self._tried[0]
        is_ours = (
            begun_for == snapshot.gallery_id
            and is_past(snapshot, self._line)
            and self._store.is_in_place
        )
        return True, made if is_ours else None

    def _keep(self) -> None:
        """Write the index for the next process, unless the gallery has changed since.

        Nobody can change it while the file is written, so an index on disk never outlives the
        erasure of someone who is in it. A cache that cannot be written costs time and nothing else.
        """
        view = self._view
        if view is None or not view.index or not self._store.is_in_place:
            return
        if self._unwritten <= _WORTH_WRITING * len(view.index) and self._cache.exists:
            return
        with suppress(OSError, AppError), self._store.unchanging(_PATIENCE) as snapshot:
            if snapshot.revision == view.revision:
                self._cache.write(view.index, snapshot)
                self._unwritten = 0


def _expired(revision: str) -> list[str]:
    """What of a revision tells whose consent has ended, which leaves no line in the audit log."""
    return revision.split("/")[3:]


def _is_met(plan: Plan, index: TemplateIndex | None) -> bool:
    return index is not None and plan.is_met(index.kind, index.lists_planned)


def _is_too_much(index: TemplateIndex, plan: Plan, templates: int) -> bool:
    """Whether an exact index would take more memory than it is worth until there is a smaller."""
    is_wanted = plan.kind is Kind.FLAT or not index.is_exact
    return not is_wanted and templates > _OUTGROWN * kinds.EXACT_UP_TO
