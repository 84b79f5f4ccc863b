"""One state of the storage with its index: who is closest."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np

from data.errors import AppError

from ...matching import Matching
from ...results import Match
from ...template_attention import Rule, TemplateAttention, combined
from ..storage.snapshot import Glance, Revision, Roll, Snapshot
from ..storage.store import Store
from ..templates import SAME_FACE, Embeddings, Ids
from . import kinds
from .background import Background
from .builder import build_index
from .index import Candidates, Found, Nearest, TemplateIndex
from .index_file import IndexCache
from .kinds import IndexPlan, Kind, described, is_of_plan, plan_of
from .milvus_index import MilvusIndex
from .roll import NO_LINE, followed, is_past, latest_line

# What a search looks at: one state of the store, with its index.

Named = tuple[str, int]
"""A person's name and id: people are told by name, and meant by id."""

_TEMPLATES_A_PERSON = 4  # looked at for each person asked for, before looking further
_QUERIES_AT_ONCE = 256
_MOST_COMPARED = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One state of the gallery, ready to be searched.

    Attributes:
        revision: Which state of the store it is.
        roll: Which template is whose.
        index: The same templates, to be searched; None where there is no index yet.
        excluded: A person's id → faces that are known not to be theirs, (n, D).
        snapshot: The state itself, while it is open; None where the index is exact, and trusted.
    """

    revision: Revision
    roll: Roll
    index: Candidates | None
    excluded: Mapping[int, Embeddings] = field(default_factory=dict)
    snapshot: Snapshot | None = None

    @property
    def gallery(self) -> str:
        """Names the gallery, in whichever state."""
        return self.revision.gallery

    @property
    def dimension(self) -> int:
        """How many numbers a template has, D."""
        if self.index is not None:
            return self.index.dimension
        assert self.snapshot is not None
        return self.snapshot.model.dimension

    def best_people(
        self,
        query: Embeddings,
        k: int,
        matching: Rule = Matching.BEST,
        among: Collection[int] | None = None,
    ) -> list[Match]:
        """Find the k people closest to one query, (D,); see `search`."""
        return self.search(query[np.newaxis], k, matching, among)[0]

    def search(
        self,
        queries: Embeddings,
        k: int,
        matching: Rule = Matching.BEST,
        among: Collection[int] | None = None,
    ) -> list[list[Match]]:
        """Find the k people closest to each query; see `best_of`.

        Left out is whoever is known not to have this face: it is more like one that is not theirs
        than like any that is.

        Args:
            queries: (Q, D) unit vectors.
            k: How many people; fewer are found where fewer are enrolled, or where the index is not
                exact and a search looks at no more.
            matching: How a person's templates are compared.
            among: The ids of the people who count; whoever is not enrolled is passed over. None:
                everybody.
        """
        ids, people = self.roll.ids, len(self.roll.names)
        if among is not None:
            ids = ids[np.isin(self.roll.people, np.fromiter(among, np.int64))]
            people = len(self.roll.names.keys() & set(among))
        nearest = Nearest(
            index=self.index,
            ids=ids,
            is_part=among is not None,
            read=None if self.snapshot is None else self.snapshot.embeddings,
        )
        count = min(nearest.most, _TEMPLATES_A_PERSON * k)
        return [
            self._ranking(query, found, k, matching, nearest, people)
            for start in range(0, len(queries), _QUERIES_AT_ONCE)
            for query, found in zip(
                queries[start : start + _QUERIES_AT_ONCE],
                nearest.of(queries[start : start + _QUERIES_AT_ONCE], count),
                strict=True,
            )
        ]

    def different_photographs(self, attention: TemplateAttention | None = None) -> tuple[Ids, Ids]:
        """How many photographs each person has that differ: the ids, (P,), and the numbers, (P,).

        One that is all but the same as an earlier one of the person gives a stranger no further
        chance. Past `_MOST_COMPARED` photographs of people with several all are counted.

        Args:
            attention: Counts them as `TemplateAttention.effective_count` does; past
                `_MOST_COMPARED` a person counts as one photograph then, the least that any weights
                give.
        """
        people, counts = np.unique(self.roll.people, return_counts=True)
        several = people[counts > 1]
        if counts[counts > 1].sum() > _MOST_COMPARED:
            return people, counts if attention is None else np.ones_like(counts)
        if len(several):
            owners, embeddings = self._all_of(several)
            order = np.argsort(owners, kind="stable")
            starts = np.searchsorted(owners[order], several)
            for place, rows in zip(
                np.searchsorted(people, several), np.split(order, starts[1:]), strict=True
            ):
                if attention is not None:
                    counts[place] = attention.effective_count(embeddings[rows])
                    continue
                alike = np.tril(embeddings[rows] @ embeddings[rows].T, -1) >= SAME_FACE
                counts[place] -= int(alike.any(axis=1).sum())
        return people, counts

    def _ranking(
        self,
        query: Embeddings,
        found: Found,
        k: int,
        matching: Rule,
        nearest: Nearest,
        people: int,
    ) -> list[Match]:
        """The k people closest to a query, (D,), of which some templates have been found."""
        values: dict[int, tuple[float, float]] = {}

        def look(count: int) -> tuple[dict[Named, float], float, bool]:
            nonlocal found
            if count > len(found[1]):
                [found] = nearest.of(query[np.newaxis], count)
            best = self._best_among(found, count)
            limit = float(found[0][:count][-1]) if len(found[0]) else -1.0
            are_all = len(best) == people or len(found[1]) < count
            return self._scored(query, best, matching, values), limit, are_all

        return best_of(look, k, nearest.most)

    def _best_among(self, found: Found, count: int) -> dict[int, float]:
        """Person → best cosine similarity among the `count` closest templates."""
        # Rounding may take a unit vector's product with itself past 1.
        similarities = found[0][:count].clip(-1, 1).tolist()
        people = self.roll.people[np.searchsorted(self.roll.ids, found[1][:count])]
        best: dict[int, float] = {}
        for person, value in zip(people.tolist(), similarities, strict=True):
            best.setdefault(person, value)
        return best

    def _scored(
        self,
        query: Embeddings,
        best: Mapping[int, float],
        matching: Rule,
        values: dict[int, tuple[float, float]],
    ) -> dict[Named, float]:
        """Person → cosine similarity by a rule, without those who are known not to have this face.

        Args:
            query: (D,) a unit vector.
            best: A person's id → cosine similarity of the closest of their templates found.
            matching: The rule.
            values: The closest of all of a person's templates, and the similarity by the rule; what
                is found is put there.
        """
        if matching is Matching.BEST and (self.index is None or self.index.is_exact):
            values |= {person: (value, value) for person, value in best.items()}
        elif new := sorted(best.keys() - values.keys()):
            owners, embeddings = self._all_of(np.array(new, np.int64))
            similarities = embeddings @ query
            for person in new:
                rows = owners == person
                own = similarities[rows]
                values[person] = float(own.max()), combined(own, matching, embeddings[rows])
        return {
            (self.roll.names[person], person): values[person][1]
            for person in best
            if person not in self.excluded
            or (self.excluded[person] @ query).max() < values[person][0]
        }

    def _all_of(self, people: Ids) -> tuple[Ids, Embeddings]:
        """All templates of people (p,): whose each is, (n,), and the templates, (n, D)."""
        if self.snapshot is not None:
            return self.snapshot.embeddings_of(people)
        assert isinstance(self.index, TemplateIndex)
        rows = np.isin(self.roll.people, people)
        return self.roll.people[rows], self.index.embeddings(self.roll.ids[rows])


def best_of(
    look: Callable[[int], tuple[Mapping[Named, float], float, bool]], k: int, most: int
) -> list[Match]:
    """Find the k people closest to a query, best first, those of equal similarity by name.

    The closest templates are looked at; whoever has one among them is compared by all of theirs.
    Whoever has none is no closer by any rule than the last of these templates. So ever more are
    looked at until that is not closer than the k people found.

    Args:
        look: How many templates → the people whose they are, with their cosine similarity; the
            cosine similarity of the last of these templates; whether there is nobody else.
        k: How many people; fewer are found where fewer are enrolled.
        most: How many templates there are.
    """
    count = min(most, _TEMPLATES_A_PERSON * k)
    while True:
        found, limit, are_all = look(count)
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:k]
        is_settled = len(ranked) == k and ranked[-1][1] >= limit
        if is_settled or are_all or count == most:
            return [
                Match(person=name, cosine_similarity=value, person_id=person)
                for (name, person), value in ranked
            ]
        count = min(most, 4 * count)


# What searches look at: the newest state of a store with its index, kept for the next process.

_WORTH_WRITING = 0.1
"""What share of an index must have changed before the file is written anew."""

_PATIENCE = 1.0
"""For so many seconds it is waited for another process's change, to keep what can be made again."""

_TRIES = 3
"""So often Milvus is brought up to a state that somebody changes in the same moment."""

_OUTGROWN = 2
"""Until there is a smaller index, an exact one holds up to so many times `EXACT_UP_TO`."""


class Views:
    """What a gallery's searches look at. Not for several threads at once.

    Args:
        store: The truth.
        cache: Where its index is kept.
        open_store: Opens the store once more, for making an index in the background.
        wanted: Says which kind of index the user has chosen.
        elsewhere: The index in Milvus; None: there is one on this machine alone.
    """

    def __init__(
        self,
        store: Store,
        cache: IndexCache,
        open_store: Callable[[], Store],
        wanted: Callable[[], Kind] = lambda: Kind.AUTO,
        elsewhere: MilvusIndex | None = None,
    ) -> None:
        self._store, self._cache, self._elsewhere = store, cache, elsewhere
        self._open_store, self._wanted = open_store, wanted
        self._view: View | None = None
        self._is_indexed = False  # whether this machine's index has been brought up to the view
        self._line = NO_LINE  # the audit log's latest, when the view was new
        self._unwritten = 0  # templates that have come or gone since the file was written
        self._builder: Background[TemplateIndex] | None = None
        self._lacking: tuple[str, IndexPlan] | None = None
        self._tried: tuple[str, IndexPlan] | None = None

    @contextmanager
    def current(self, glance: Glance | None = None) -> Iterator[View]:
        """The newest state, by whichever process; what is first seen is kept at once.

        Args:
            glance: What the store has just said of its state: where nothing has changed, and its
                index answers alone, nothing more is asked.

        Raises:
            GalleryError: The store cannot be read, or a template is damaged.
        """
        if glance is not None and (view := self._unchanged(glance)) is not None:
            yield view
            return
        for _ in range(_TRIES):
            if not self._is_in_milvus(self._open_store, glance):
                break
            with self._store.reading() as snapshot:
                if self._elsewhere is not None and self._elsewhere.holds(snapshot):
                    view = self._seen(snapshot)
                    if view.index is not None:  # this machine's, for while Milvus did not answer
                        view = self._view = replace(view, index=None)
                        self._is_indexed = False
                    yield replace(view, index=self._elsewhere, snapshot=snapshot)
                    return
            glance = None
        is_first = not self._is_indexed
        with self._store.reading() as snapshot:
            has_ended, made = self._ended(snapshot)
            view = self._seen(snapshot)
            if has_ended or not self._is_indexed:
                view = self._view = self._indexed(view, made, snapshot)
                self._is_indexed = True
            index = view.index
            is_trusted = index is not None and index.is_exact and not snapshot.is_encrypted
            yield replace(view, snapshot=None if is_trusted else snapshot)
        if is_first:
            self._keep()
        if self._lacking is not None:  # not before: whoever asks once does not wait for it
            self._build(*self._lacking)
            self._lacking = None

    def _unchanged(self, glance: Glance) -> View | None:
        """What was last looked at, where it can be searched as it is."""
        view = self._view if self._is_indexed and self._elsewhere is None else None
        if view is None or view.revision != glance.revision or self._builder is not None:
            return None
        is_trusted = view.index is not None and view.index.is_exact and not glance.is_encrypted
        return view if is_trusted else None

    def close(self) -> None:
        """Keep the index for the next process."""
        if self._builder is not None:
            self._builder.stop()
            self._builder = None
        if self._elsewhere is not None and self._view is not None:
            with suppress(AppError):
                self._is_in_milvus(None)
        self._keep()
        self._view, self._is_indexed = None, False

    def _is_in_milvus(
        self, open_store: Callable[[], Store] | None, glance: Glance | None = None
    ) -> bool:
        """Whether Milvus holds the present state; see `MilvusIndex.follow`."""
        if self._elsewhere is None:
            return False
        if glance is not None and self._elsewhere.is_fresh(glance):
            return True
        return self._elsewhere.follow(
            self._store, lambda snapshot: self._seen(snapshot).roll.ids, open_store
        )

    def size(self, snapshot: Snapshot) -> tuple[int, int]:
        """How many people are enrolled, and from how many photographs."""
        if self._view is not None and self._view.revision == snapshot.revision:
            return len(self._view.roll.names), len(self._view.roll.ids)
        return snapshot.size()

    def described(self, snapshot: Snapshot) -> str:
        """Which index the gallery has, and why, in words."""
        if self._elsewhere is not None:
            return self._elsewhere.described(snapshot, self.size(snapshot)[1])
        head = self._cache.head(snapshot)
        return described(self._plan(self.size(snapshot)[1], snapshot), head and head["about"])

    def _plan(self, templates: int, snapshot: Snapshot) -> IndexPlan:
        return plan_of(self._wanted(), templates, snapshot.model.dimension)

    def _seen(self, snapshot: Snapshot) -> View:
        """The present state, with this machine's index of an earlier one, where it is held."""
        revision, roll, index = snapshot.revision, None, None
        earlier = self._view
        if earlier is not None and earlier.revision == revision:
            return earlier
        # Another gallery, or an older state that was put in this one's place, has its own ids.
        if (
            earlier is not None
            and earlier.gallery == snapshot.gallery_id
            and is_past(snapshot, self._line)
        ):
            index = earlier.index
            if revision.expired == earlier.revision.expired:
                roll = followed(earlier.roll, snapshot, self._line)
        view = View(
            revision=revision,
            roll=snapshot.roll() if roll is None else roll,
            index=index,
            excluded=snapshot.exclusions(),
        )
        # Not before: lines of a state that could not be read are looked at again.
        self._view, self._is_indexed, self._line = view, False, latest_line(snapshot)
        return view

    def _indexed(self, view: View, made: TemplateIndex | None, snapshot: Snapshot) -> View:
        """Bring the index up to a view's state, or begin to make one."""
        assert view.index is None or isinstance(view.index, TemplateIndex)
        index, templates = view.index, len(view.roll.ids)
        if index is None and made is None:
            index, self._unwritten = self._cache.read(snapshot), 0
        if index is not None and index.dimension != snapshot.model.dimension:
            index = None
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
        if not _is_met(plan, index) and self._elsewhere is None:
            self._lacking = snapshot.gallery_id, plan
        return replace(view, index=index)

    def _written(self, plan: IndexPlan, snapshot: Snapshot) -> TemplateIndex | None:
        """The index that another process has made meanwhile, if it is as planned."""
        head = self._cache.head(snapshot)
        if head is None or not is_of_plan(plan, head["about"]):
            return None
        return self._cache.read(snapshot)

    def _build(self, gallery: str, plan: IndexPlan) -> None:
        """Begin to make an index, unless one is being made, or the same has failed."""
        if self._builder is None and self._tried != (gallery, plan):
            self._tried = gallery, plan
            self._builder = Background(
                self._open_store,
                lambda store, check: build_index(store, self._cache, lambda *_: plan, check),
            )

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
        if view is None or not self._is_indexed or not self._store.is_in_place:
            return
        if not isinstance(view.index, TemplateIndex) or not len(view.index):
            return
        if self._unwritten <= _WORTH_WRITING * len(view.index) and self._cache.exists:
            return
        with suppress(OSError, AppError), self._store.unchanging(_PATIENCE) as snapshot:
            if snapshot.revision == view.revision:
                self._cache.write(view.index, snapshot)
                self._unwritten = 0


def _is_met(plan: IndexPlan, index: TemplateIndex | None) -> bool:
    return index is not None and plan.is_met(index.kind, index.lists_planned)


def _is_too_much(index: TemplateIndex, plan: IndexPlan, templates: int) -> bool:
    """Whether an exact index would take more memory than it is worth until there is a smaller."""
    is_wanted = plan.kind is Kind.FLAT or not index.is_exact
    return not is_wanted and templates > _OUTGROWN * kinds.EXACT_UP_TO
