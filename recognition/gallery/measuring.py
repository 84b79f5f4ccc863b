"""How many lists a large index has to look into: measured on the gallery's own people.

Photographs of people who have several are searched for among all others. What is closest of all is
found by comparing everything once, while the index is filled. As many lists are then looked into as
it takes to find that again nearly always.
"""

from typing import Any

import numpy as np

from .index import TemplateIndex
from .nearest import LOOKED_AT
from .snapshot import Roll
from .templates import Embeddings, Ids

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


class Trial:
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
