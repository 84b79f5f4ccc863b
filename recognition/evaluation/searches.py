"""Probes searched among those enrolled."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.datasets import Identity, listed_names, only_listed, read_identities

from ..matching import Matching
from ..template_attention import Rule, TemplateAttention, combined
from .embeddings import Embedding
from .intervals import (
    Figures,
    Interval,
    difference_interval,
    score_interval,
    variances_of_shares,
)
from .metrics import (
    Scores,
    WeightedCurve,
    Weights,
    smallest_supported_far,
    threshold_at_far,
    weighted_share,
)
from .pairs import Difference
from .specialists import Panel

# Probes searched among those enrolled: which person ranks where, and the rates that follow.

People = Mapping[str, Sequence[Embedding | None]]
"""Each person's photographs as unit vectors (D,), in order; None where no face was found."""

Numbers = npt.NDArray[np.int64]

REPLICATES = 200
"""Of the bootstrap: each repeats the figures of every search."""

_PROBES_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What one search of all probes gave.

    Attributes:
        known: Similarity of the right person where it ranks first, else -inf: (probes,).
        ranks: The right person's rank, from 1; inf where the probe or all their enrolled
            photographs had no face: (probes,).
        strangers: Similarity of whoever ranks first: (probes,).
        known_people: The number of each known probe's person: (probes,).
        stranger_people: The number of each stranger's probe's person: (probes,).
        stranger_best: The number of whoever of those enrolled ranks first: (probes,).
        enrolled: How many photographs → how many people were enrolled by so many.
        effective_counts: The same of as many as weigh alike by attention; None by another rule.
        asked: About how many comparisons of a probe with a person specialists were asked.
        comparisons: How many of them there were.
    """

    known: Scores
    ranks: Scores
    strangers: Scores
    known_people: Numbers
    stranger_people: Numbers
    stranger_best: Numbers
    enrolled: Mapping[int, int]
    effective_counts: Mapping[int, int] | None
    asked: int
    comparisons: int

    def fnir(self, fpir: float) -> float | None:
        """Return the FNIR at an FPIR; None where the strangers do not support it."""
        threshold = threshold_at_far(self.strangers, fpir)
        if threshold is None or len(self.known) == 0:
            return None
        return float(np.mean((self.known < threshold) | np.isneginf(self.known)))

    def weighted_rank_1(self, people: Weights) -> Weights:
        """Return the rank-1 rate for each set of weights of the people: (B, P) → (B,)."""
        return weighted_share(np.isfinite(self.known), people[:, self.known_people])

    def weighted_fnir(self, people: Weights, fpirs: Sequence[float]) -> Weights:
        """Return the FNIR at each FPIR for each set of weights: (B, P) → (B, len(fpirs))."""
        scores = np.concatenate([self.known, self.strangers])
        is_known = np.arange(len(scores)) < len(self.known)
        of_probes = people[:, np.concatenate([self.known_people, self.stranger_people])]
        accepted = WeightedCurve(scores, is_known, of_probes).tar_along(fpirs)
        # Even where everything is accepted, a person who does not rank first is missed.
        missed: Weights = 1 - np.minimum(accepted, self.weighted_rank_1(people)[:, None])
        return missed


def search(
    gallery: People,
    probes: People,
    number_of: Mapping[str, int],
    panel: Panel | None = None,
    rule: Rule = Matching.BEST,
) -> Search:
    """Search all probes among the gallery.

    Args:
        gallery: Who is enrolled.
        probes: Whose photographs are searched for.
        number_of: Everybody's number.
        panel: Where specialists are asked: how their embeddings are joined to the generalist's.
        rule: How a probe is compared with a person of several photographs; with a panel by the
            best of them.
    """
    enrolled = {
        name: templates
        for name, vectors in gallery.items()
        if (templates := [vector for vector in vectors if vector is not None])
    }
    labelled = [(name, vector) for name, vectors in probes.items() for vector in vectors]
    similarity = np.full(len(labelled), -np.inf)
    ranks = np.full(len(labelled), np.inf)
    closest = np.zeros(len(labelled), dtype=np.int64)
    found: list[int] = []
    if enrolled:
        found = [number for number, (_, vector) in enumerate(labelled) if vector is not None]
        column_of = {name: column for column, name in enumerate(enrolled)}
        right = np.array([column_of.get(name, -1) for name, _ in labelled], dtype=np.int64)
        numbers = np.array([number_of[name] for name in enrolled], dtype=np.int64)
        for start in range(0, len(found), _PROBES_AT_ONCE):
            part = found[start : start + _PROBES_AT_ONCE]
            vectors = np.stack([v for _, v in (labelled[i] for i in part) if v is not None])
            best = _of_each(vectors, list(enrolled.values()), panel, rule)
            similarity[part] = best.max(axis=1)
            closest[part] = numbers[best.argmax(axis=1)]
            ranks[part] = _ranks(best, right[part])
    is_known = np.array([name in gallery for name, _ in labelled], dtype=np.bool_)
    people = np.array([number_of[name] for name, _ in labelled], dtype=np.int64)
    return Search(
        known=np.where(ranks == 1, similarity, -np.inf)[is_known],
        ranks=ranks[is_known],
        strangers=similarity[~is_known],
        known_people=people[is_known],
        stranger_people=people[~is_known],
        stranger_best=closest[~is_known],
        enrolled=Counter(map(len, enrolled.values())),
        effective_counts=Counter(rule.effective_count(np.stack(own)) for own in enrolled.values())
        if isinstance(rule, TemplateAttention)
        else None,
        asked=0 if panel is None else len(found) * panel.candidates(len(enrolled)),
        comparisons=len(found) * len(enrolled),
    )


def rank_1_of_each(searches: Sequence[Search]) -> list[float]:
    """Return the rank-1 rate of each search that has known probes."""
    return [float(np.mean(np.isfinite(s.known))) for s in searches if len(s.known)]


def mean_fnir(searches: Sequence[Search], fpir: float | None) -> float | None:
    """Return the mean FNIR at an FPIR that every search must support, each by its own threshold."""
    if fpir is None:
        return None
    rates = [search.fnir(fpir) for search in searches]
    supported = [rate for rate in rates if rate is not None]
    return float(np.mean(supported)) if len(supported) == len(rates) else None


def cumulative_match(searches: Sequence[Search], ranks: int) -> tuple[float, ...]:
    """Return the mean share of known probes whose person is within the first 1, 2, … ranks."""
    within = np.arange(1, ranks + 1)
    curves = [(s.ranks[:, None] <= within).mean(axis=0) for s in searches if len(s.ranks)]
    return tuple(map(float, np.mean(curves, axis=0))) if curves else ()


def error_curve(searches: Sequence[Search], points: int = 40) -> tuple[tuple[float, float], ...]:
    """Return FPIR and mean FNIR, from the smallest FPIR that every search supports up to 1.

    Args:
        searches: Those whose mean the rates are.
        points: How many, evenly spread over the FPIR's logarithm.
    """
    smallest = smallest_supported_far(min(len(search.strangers) for search in searches))
    if smallest is None:
        return ()
    fpirs = np.unique(np.geomspace(smallest, 1, points))
    rates = [(float(fpir), mean_fnir(searches, float(fpir))) for fpir in fpirs]
    return tuple((fpir, fnir) for fpir, fnir in rates if fnir is not None)


def intervals(
    searches: Sequence[Search],
    people: int,
    rank_1: float | None,
    fnir_at: Mapping[str, tuple[float, float]],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return 95 % intervals, bootstrapped by the probes' identity.

    Args:
        searches: Those whose mean the figures are.
        people: How many people there are.
        rank_1: The mean rank-1 rate; None where nobody is known.
        fnir_at: The FPIR and the mean FNIR, by the name of the interval.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
    """
    if rank_1 is None or not any(len(search.known) for search in searches):
        return {}
    figures = _figures(searches, [fpir for fpir, _ in fnir_at.values()])
    variances = variances_of_shares(figures, people, replicates=replicates, seed=seed)
    values = {"rank_1": rank_1, **{name: fnir for name, (_, fnir) in fnir_at.items()}}
    return {
        name: score_interval(value, float(variance), people)
        for (name, value), variance in zip(values.items(), variances, strict=True)
    }


def differences(
    first: Sequence[Search],
    second: Sequence[Search],
    people: int,
    fpirs: Mapping[str, float],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare two recognisers by the same searches; the same people are drawn for both.

    Args:
        first: One recogniser's searches.
        second: The other's, of the same probes among the same people.
        people: How many people there are.
        fpirs: The FPIRs at which to compare the FNIR, by the name of the figure.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: The searches are not of the same probes.
    """
    if [_probes(search) for search in first] != [_probes(search) for search in second]:
        raise ValueError("only searches of the same probes can be compared")
    if not any(len(search.known) for search in first):
        return {}
    both = [_figures(searches, list(fpirs.values())) for searches in (first, second)]

    def difference(weights: Weights) -> Weights:
        return both[0](weights) - both[1](weights)

    variances = variances_of_shares(difference, people, replicates=replicates, seed=seed)
    values = difference(np.ones((1, people)))[0]
    return {
        name: Difference(
            value=float(value), interval=difference_interval(value, float(variance), people)
        )
        for name, value, variance in zip(("rank_1", *fpirs), values, variances, strict=True)
    }


def _probes(search: Search) -> tuple[list[int], list[int]]:
    return search.known_people.tolist(), search.stranger_people.tolist()


def _figures(searches: Sequence[Search], fpirs: Sequence[float]) -> Figures:
    """Return rank-1 and the FNIR at each FPIR as functions of the people's weights."""
    counted = [search for search in searches if len(search.known)]

    def figures(weights: Weights) -> Weights:
        total = np.zeros((len(weights), 1 + len(fpirs)))
        for one in counted:
            total[:, 0] += one.weighted_rank_1(weights)
            if fpirs:
                total[:, 1:] += one.weighted_fnir(weights, fpirs)
        return total / len(counted)

    return figures


def _of_each(
    vectors: Embedding, enrolled: Sequence[Sequence[Embedding]], panel: Panel | None, rule: Rule
) -> Scores:
    """Return each probe's similarity to each person: (probes, people)."""
    if panel is None and rule is not Matching.BEST:
        people = [np.stack(of_person) for of_person in enrolled]
        each = [_combined(vectors @ one.T, rule, one) for one in people]
        similarities: Scores = np.ascontiguousarray(np.array(each).T)
        return similarities
    templates = np.stack([vector for of_person in enrolled for vector in of_person])
    counts = [len(of_person) for of_person in enrolled]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])

    def best(probes: Embedding, of_people: Embedding) -> Scores:
        similarity: Scores = np.maximum.reduceat(probes @ of_people.T, starts, axis=1)
        return similarity

    if panel is None:
        return best(vectors, templates)
    alone = best(panel.generalist(vectors), panel.generalist(templates))
    return panel.settle(alone, best(vectors, templates))


def _combined(similarities: Scores, rule: Rule, templates: Embedding) -> Scores:
    """Return each probe's similarity to one person by a rule, (probes,), as `combined` has it."""
    if isinstance(rule, TemplateAttention):
        weighted: Scores = similarities @ rule.weights(templates)
        return weighted
    if rule is Matching.TRIMMED:
        return np.array([combined(row, rule) for row in similarities])
    mean: Scores = similarities.mean(axis=1)
    return mean


def _ranks(best: Scores, right: Numbers) -> Scores:
    """Return the rank of each probe's right column, inf for -1; of equals the first goes first."""
    own = best[np.arange(len(best)), right][:, None]
    before = (best > own) | ((best == own) & (np.arange(best.shape[1]) < right[:, None]))
    return np.where(right >= 0, 1.0 + before.sum(axis=1), np.inf)


# Folders of people, `root/<person>/<photograph>`, and the embeddings of their photographs.


def people_to_draw_from(
    root: Path,
    listing: Path | Sequence[Path] | None,
    leave_out: Path | Sequence[Path] | None = None,
) -> list[Identity]:
    """Return the people of a folder, or whom of them one list or several name.

    Args:
        root: The folder.
        listing: Text files, a name a line; None takes everybody.
        leave_out: Those of whom not to take, such as who is there under another name as well.

    Raises:
        DatasetError: The folder or a list is unusable; see `read_identities`, `only_listed`.
    """
    everybody = read_identities(root)
    listings = [listing] if isinstance(listing, Path) else listing or []
    chosen = everybody
    if listings:
        named = {one.name for path in listings for one in only_listed(everybody, path)}
        chosen = [one for one in everybody if one.name in named]
    left_out = listed_names([leave_out] if isinstance(leave_out, Path) else leave_out or ())
    return [one for one in chosen if one.name not in left_out]


def two_folders(gallery: Path, probes: Path) -> list[list[Identity]]:
    """Return who is enrolled and who is searched for.

    Raises:
        DatasetError: A folder is unusable; see `read_identities`.
    """
    return [read_identities(root, minimum_people=1) for root in (gallery, probes)]


def photographs_of(folders: Sequence[Sequence[Identity]]) -> list[Path]:
    """Return all photographs of all people, in order."""
    everyone = chain.from_iterable(folders)
    return [path for person in everyone for path in person.photographs]


def by_name(
    folders: Sequence[Sequence[Identity]], vectors: Sequence[Embedding | None]
) -> list[dict[str, list[Embedding | None]]]:
    """Return each folder's people, given the embeddings of `photographs_of` in order."""
    remaining = iter(vectors)
    return [
        {person.name: [next(remaining) for _ in person.photographs] for person in folder}
        for folder in folders
    ]


def missing(people: People) -> int:
    """Return in how many photographs no face was found."""
    return sum(vector is None for vectors in people.values() for vector in vectors)


def numbered(*groups: People) -> dict[str, int]:
    """Return a number for everybody in any of the groups."""
    return {name: number for number, name in enumerate(sorted(set(chain.from_iterable(groups))))}
