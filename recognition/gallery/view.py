"""What a search looks at: one state of the store, with its index."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..results import Match
from .index import TemplateIndex
from .matching import Matching
from .nearest import Found, Nearest
from .snapshot import Roll, Snapshot
from .templates import SAME_FACE, Embeddings, Ids

Named = tuple[str, int]
"""A person's name and id: people are told by name, and meant by id."""

_TEMPLATES_A_PERSON = 4  # looked at for each person asked for, before looking further
_QUERIES_AT_ONCE = 256
_MOST_COMPARED = 20_000
_TRIMMED = 0.2  # of a person's templates at either end; one at least, where there are three


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

    revision: str
    roll: Roll
    index: TemplateIndex | None
    excluded: Mapping[int, Embeddings] = field(default_factory=dict)
    snapshot: Snapshot | None = None

    @property
    def gallery(self) -> str:
        """Names the gallery, in whichever state."""
        return self.revision.partition("/")[0]

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
        matching: Matching = Matching.BEST,
        among: Collection[int] | None = None,
    ) -> list[Match]:
        """Find the k people closest to one query, (D,); see `search`."""
        return self.search(query[np.newaxis], k, matching, among)[0]

    def search(
        self,
        queries: Embeddings,
        k: int,
        matching: Matching = Matching.BEST,
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

    def different_photographs(self) -> tuple[Ids, Ids]:
        """How many photographs each person has that differ: the ids, (P,), and the numbers, (P,).

        One that is all but the same as an earlier one of the person gives a stranger no further
        chance. Past `_MOST_COMPARED` photographs of people with several all are counted.
        """
        people, counts = np.unique(self.roll.people, return_counts=True)
        several = people[counts > 1]
        if len(several) and counts[counts > 1].sum() <= _MOST_COMPARED:
            owners, embeddings = self._all_of(several)
            order = np.argsort(owners, kind="stable")
            starts = np.searchsorted(owners[order], several)
            for place, rows in zip(
                np.searchsorted(people, several), np.split(order, starts[1:]), strict=True
            ):
                alike = np.tril(embeddings[rows] @ embeddings[rows].T, -1) >= SAME_FACE
                counts[place] -= int(alike.any(axis=1).sum())
        return people, counts

    def _ranking(
        self,
        query: Embeddings,
        found: Found,
        k: int,
        matching: Matching,
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
        matching: Matching,
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
                own = similarities[owners == person]
                values[person] = float(own.max()), combined(own, matching)
        return {
            (self.roll.names[person], person): values[person][1]
            for person in best
            if person not in self.excluded
            or (self.excluded[person] @ query).max() < values[person][0]
        }

    def _all_of(self, people: Ids) -> tuple[Ids, Embeddings]:
        """All templates of people (p,): whose each is, (n,), and the templates, (n, D)."""
        if self.snapshot is not None:
            ids, owners = self.snapshot.templates_of(people)
            return owners, self.snapshot.embeddings(ids)
        assert self.index is not None
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


def combined(similarities: npt.NDArray[np.floating], matching: Matching) -> float:
    """Make one number of a person's cosine similarities (n,), n > 0."""
    values = np.sort(similarities.astype(np.float64).clip(-1, 1))
    if matching is Matching.BEST:
        return float(values[-1])
    if matching is Matching.TRIMMED and len(values) > 2:
        ends = max(1, int(_TRIMMED * len(values)))
        values = values[ends:-ends]
    return float(values.mean())
