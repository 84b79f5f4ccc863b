"""What a search looks at: one state of the store, with its index."""

from dataclasses import dataclass

import numpy as np

from ..results import Match
from .index import TemplateIndex
from .snapshot import Ids, Roll
from .templates import Embeddings

_TEMPLATES_A_PERSON = 4  # looked at for each person asked for, before looking further


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One state of the gallery, ready to be searched.

    Attributes:
        revision: Which state of the store it is.
        roll: Which template is whose.
        index: The same templates, to be searched.
    """

    revision: str
    roll: Roll
    index: TemplateIndex

    def best_people(self, query: Embeddings, k: int) -> list[Match]:
        """Find the k people closest to a query, best first, those of equal similarity by name.

        The best template of a person comes before their others, so whoever is found is found with
        their best; but one person's many templates may crowd out the next person. So ever more
        templates are looked at until k people are among them.

        Args:
            query: (D,) a unit vector.
            k: How many people; fewer are found where fewer are enrolled.
        """
        wanted = min(k, len(self.roll.names))
        count = min(len(self.index), _TEMPLATES_A_PERSON * k)
        best = self._best_among(query, count)
        while len(best) < wanted and count < len(self.index):
            count = min(len(self.index), 4 * count)
            best = self._best_among(query, count)
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        return [Match(person=name, cosine_similarity=value) for name, value in ranked[:k]]

    def _best_among(self, query: Embeddings, count: int) -> dict[str, float]:
        """Name → best cosine similarity, among the `count` closest templates."""
        best: dict[str, float] = {}
        if count:
            similarities, ids = self.index.search(query[np.newaxis, :], count)
            # Rounding may take a unit vector's product with itself past 1.
            values = similarities[0].clip(-1, 1).tolist()
            for name, value in zip(self._names_of(ids[0]), values, strict=True):
                best.setdefault(name, value)
        return best

    def _names_of(self, ids: Ids) -> list[str]:
        people = self.roll.people[np.searchsorted(self.roll.ids, ids)]
        return [self.roll.names[person] for person in people.tolist()]
