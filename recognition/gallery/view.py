"""What a search looks at: one state of the store, with its index."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..results import Match
from .index import TemplateIndex
from .matching import Matching
from .snapshot import Ids, Roll
from .templates import Embeddings

_TEMPLATES_A_PERSON = 4  # looked at for each person asked for, before looking further
_TRIMMED = 0.2  # of a person's templates at either end; one at least, where there are three


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One state of the gallery, ready to be searched.

    Attributes:
        revision: Which state of the store it is.
        roll: Which template is whose.
        index: The same templates, to be searched.
        excluded: A person's id → faces that are known not to be theirs, (n, D).
    """

    revision: str
    roll: Roll
    index: TemplateIndex
    excluded: Mapping[int, Embeddings] = field(default_factory=dict)

    @property
    def gallery(self) -> str:
        """Names the gallery, in whichever state."""
        return self.revision.partition("/")[0]

    def best_people(
        self,
        query: Embeddings,
        k: int,
        matching: Matching = Matching.BEST,
        among: Collection[int] | None = None,
    ) -> list[Match]:
        """Find the k people closest to a query; see `best_of`.

        Left out is whoever is known not to have this face: it is more like one that is not theirs
        than like any that is.

        Args:
            query: (D,) a unit vector.
            k: How many people; fewer are found where fewer are enrolled.
            matching: How a person's templates are compared.
            among: The ids of the people who count; whoever is not enrolled is passed over. None:
                everybody.
        """
        ids, people = None, len(self.roll.names)
        if among is not None:
            ids = self.roll.ids[np.isin(self.roll.people, np.fromiter(among, np.int64))]
            people = len(self.roll.names.keys() & set(among))

        def look(count: int) -> tuple[dict[str, float], float, bool]:
            best, limit = self._best_among(query, count, ids)
            return self._scored(query, best, matching), limit, len(best) == people

        return best_of(look, k, len(self.index) if ids is None else len(ids))

    def _best_among(
        self, query: Embeddings, count: int, ids: Ids | None
    ) -> tuple[dict[int, float], float]:
        """Person → best cosine similarity among the `count` closest templates, and the last one."""
        best: dict[int, float] = {}
        limit = -1.0
        if count:
            similarities, ids = self.index.search(query[np.newaxis, :], count, ids)
            # Rounding may take a unit vector's product with itself past 1.
            values = similarities[0].clip(-1, 1).tolist()
            people = self.roll.people[np.searchsorted(self.roll.ids, ids[0])]
            for person, value in zip(people.tolist(), values, strict=True):
                best.setdefault(person, value)
            limit = values[-1]
        return best, limit

    def _scored(
        self, query: Embeddings, best: Mapping[int, float], matching: Matching
    ) -> dict[str, float]:
        """Name → cosine similarity by a rule, without those who are known not to have this face."""
        scored = {}
        for person, value in best.items():
            if person in self.excluded and (self.excluded[person] @ query).max() >= value:
                continue
            name = self.roll.names[person]
            scored[name] = value
            if matching is not Matching.BEST:
                templates = self.index.embeddings(self.roll.ids[self.roll.people == person])
                scored[name] = combined(templates @ query, matching)
        return scored


def best_of(
    look: Callable[[int], tuple[Mapping[str, float], float, bool]], k: int, most: int
) -> list[Match]:
    """Find the k people closest to a query, best first, those of equal similarity by name.

    The closest templates are looked at; whoever has one among them is compared by all of theirs.
    Whoever has none is no closer by any rule than the last of these templates. So ever more are
    looked at until that is not closer than the k people found.

    Args:
        look: How many templates → the people whose they are, name → cosine similarity; the cosine
            similarity of the last of these templates; whether there is nobody else.
        k: How many people; fewer are found where fewer are enrolled.
        most: How many templates there are.
    """
    count = min(most, _TEMPLATES_A_PERSON * k)
    while True:
        found, limit, are_all = look(count)
        ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:k]
        is_settled = len(ranked) == k and ranked[-1][1] >= limit
        if is_settled or are_all or count == most:
            return [Match(person=name, cosine_similarity=value) for name, value in ranked]
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
