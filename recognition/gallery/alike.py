"""Who of those enrolled is alike, and which photograph is unlike the others of its person."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError

from ..inventory import LookAlikes
from .templates import Embeddings

if TYPE_CHECKING:
    from .snapshot import Roll

MOST_COMPARED = 200_000
"""How many photographs are compared with one another: minutes, and 0.4 GB at 512 numbers."""

FALSE_DISCOVERIES = 0.1
"""Which part of those who are told to be perhaps one person may be two."""

_PAIRS_AT_ONCE = 8_000_000  # 32 MB of similarities


def require_few(photographs: int, instead: str) -> None:
    """Make sure that all photographs can be compared with one another.

    Args:
        photographs: How many there are.
        instead: What else to do.

    Raises:
        GalleryError: There are too many.
    """
    if photographs > MOST_COMPARED:
        raise GalleryError(
            f"{photographs:,} photographs are too many to compare each with each other, which is "
            f"done for at most {MOST_COMPARED:,}: {instead}"
        )


def look_alikes(
    roll: "Roll",
    embeddings: Embeddings,
    threshold: float,
    margin: float,
    apart: Collection[tuple[str, str]] = (),
) -> list[LookAlikes]:
    """Find all pairs of people with photographs that are nearly as alike as one person's.

    All photographs are compared: time grows with the square of their number, memory does not.

    Args:
        roll: Which template is whose.
        embeddings: The templates, (N, D), in the roll's order.
        threshold: Cosine similarity from which on two photographs are taken for one person's.
        margin: How far below it is near.
        apart: The names of any two who are known to be two people, in order.

    Returns:
        The most alike first, those of equal similarity by name.
    """
    closest: dict[tuple[int, int], tuple[float, int, int]] = {}
    reaching: dict[tuple[int, int], int] = defaultdict(int)
    rows = max(1, _PAIRS_AT_ONCE // max(1, len(embeddings)))
    for start in range(0, len(embeddings), rows):
        similarities = embeddings[start : start + rows] @ embeddings.T
        firsts, seconds = np.nonzero(similarities >= threshold - margin)
        for first, second in zip((firsts + start).tolist(), seconds.tolist(), strict=True):
            pair = int(roll.people[first]), int(roll.people[second])
            if first >= second or pair[0] == pair[1]:
                continue
            value = float(similarities[first - start, second])
            key = min(pair), max(pair)
            closest[key] = max(closest.get(key, (-2.0, 0, 0)), (value, first, second))
            reaching[key] += value >= threshold
    counts = Counter(roll.people.tolist())
    found = [
        _pair(roll, at, reaching[key] / (counts[key[0]] * counts[key[1]]), threshold)
        for key, at in closest.items()
    ]
    found = [replace(one, told_apart=(one.person, one.other) in apart) for one in found]
    return sorted(found, key=lambda pair: (-pair.cosine_similarity, pair.person, pair.other))


def by_chance(
    found: list[LookAlikes],
    roll: "Roll",
    chance: Callable[[float, npt.NDArray[np.int64]], npt.NDArray[np.float64]],
) -> list[LookAlikes]:
    """Say of pairs of people which part of those so much alike are two, given all who are compared.

    Args:
        found: The most alike first; all of them who may be told.
        roll: Which template is whose.
        chance: A similarity and the photographs of two people, (n, 2) → how likely two different
            people are so alike by any of them, (n,).

    Returns:
        The same, `above` where at most `FALSE_DISCOVERIES` are expected to be false.
    """
    counts = Counter(roll.people.tolist())
    pairs = len(roll.names) * (len(roll.names) - 1) / 2
    chances = np.array(
        [
            float(chance(one.cosine_similarity, photographs)[0])
            for one in found
            for photographs in (np.array([[counts[one.person_id], counts[one.other_id]]]),)
        ]
    )
    order = np.argsort(chances, kind="stable")
    expected = chances[order] * pairs / np.arange(1, len(found) + 1)
    # Of a pair and all that are less likely by chance: as small as that of any further on.
    parts = np.empty(len(found))
    parts[order] = np.minimum.accumulate(expected[::-1])[::-1].clip(max=1.0)
    return [
        replace(one, by_chance=part, above=part <= FALSE_DISCOVERIES)
        for one, part in zip(found, parts.tolist(), strict=True)
    ]


def closest_other(embeddings: Embeddings) -> list[float | None]:
    """Compare a person's templates (N, D): for each the cosine similarity to the closest other."""
    if len(embeddings) < 2:
        return [None] * len(embeddings)
    similarities: npt.NDArray[np.float32] = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -2)
    return [min(1.0, value) for value in similarities.max(axis=1).tolist()]


def _pair(roll: "Roll", at: tuple[float, int, int], share: float, threshold: float) -> LookAlikes:
    value, *rows = at
    (person, first, person_id), (other, second, other_id) = sorted(
        (roll.names[int(roll.people[row])], int(roll.ids[row]), int(roll.people[row]))
        for row in rows
    )
    return LookAlikes(
        person=person,
        other=other,
        cosine_similarity=min(1.0, value),
        photographs=(first, second),
        share=share,
        above=value >= threshold,
        person_id=person_id,
        other_id=other_id,
    )
