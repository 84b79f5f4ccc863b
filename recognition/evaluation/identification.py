"""Open-set identification: who is it, if anyone; and what thresholds promise."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from data.datasets import Identity
from data.errors import ArgumentError, DatasetError
from data.progress import Progress

from ..matching import Matching
from ..results import FailedImage
from ..template_attention import Rule, name_of
from . import searches
from .embeddings import Embedding, Finder, embed_photographs
from .impostor_tail import ImpostorTail, Searched
from .intervals import Interval, score_interval
from .metrics import EXPECTED_ERRORS, Weights, smallest_supported_far
from .pairs import Difference
from .searches import (
    Numbers,
    People,
    Search,
    by_name,
    missing,
    numbered,
    people_to_draw_from,
    photographs_of,
    search,
    two_folders,
)
from .specialists import Panel

# Whether as many strangers are named as a threshold promises, and who is missed at it.
#
# The threshold is the one that the weights' tail gives for the gallery that is searched, as
# `identify` derives it. The rate that comes out is the mean over all draws of who is enrolled.
# Its interval is bootstrapped by identity, of strangers and of those enrolled: a stranger who is
# named counts w_i·w_j times, for w_i and w_j the weights of the two people, and the excess of
# such products is taken off as `intervals` tells.

REPLICATES = 1000

WANTED = (0.01, 0.03, 0.003)
"""The rates of strangers that are promised."""

_EXCESS = 2 / 3  # of the variance of a product of two weights, see `intervals`
_CHUNK = 4_000_000  # weights at once: 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What came of one rate of strangers that was promised.

    Rates are means over the draws; a draw counts photographs.

    Attributes:
        wanted: The rate.
        threshold: The mean threshold that was derived for it.
        extrapolated: Whether the tail was extrapolated for it in any draw.
        named: The part of strangers that was named.
        named_interval: 95 % interval, for other strangers and other people enrolled.
        over_wanted: `named` over `wanted`; None where fewer than ten errors are expected of all the
            strangers' photographs.
        over_wanted_interval: Its interval.
        missed: The part of those enrolled that was missed at that threshold (FNIR).
        missed_interval: Its 95 % interval; None where nobody enrolled is searched for.
        strangers: Different strangers, over all draws.
        stranger_photographs: Different photographs of them.
        known: Different people who were enrolled and searched for.
        known_photographs: Different photographs of them.
    """

    wanted: float
    threshold: float
    extrapolated: bool
    named: float
    named_interval: Interval
    over_wanted: float | None
    over_wanted_interval: Interval | None
    missed: float | None
    missed_interval: Interval | None
    strangers: int
    stranger_photographs: int
    known: int
    known_photographs: int

    def to_json(self) -> dict[str, object]:
        """Return it as JSON's own types."""
        return asdict(self)


def promises(
    found: Sequence[Search],
    tail: ImpostorTail,
    photographs: "Numbers",
    *,
    wanted: Sequence[float] = WANTED,
    matching: Matching = Matching.BEST,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[Promise, ...]:
    """Hold searches against what the weights' tail promises of them.

    Args:
        found: A search a draw; those count in which a face was found of somebody enrolled.
        tail: What the weights say.
        photographs: How many photographs there are of each person, by number, (P,).
        wanted: The rates to promise.
        matching: By which rule was searched.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        One for each rate that the weights can promise.
    """
    among = [search for search in found if search.enrolled]  # in others nobody can be named
    if not any(len(search.strangers) for search in among):
        return ()
    kept = []
    for rate in wanted:
        with suppress(ArgumentError):  # so few strangers the weights promise at no threshold
            kept.append(_promise(among, tail, photographs, rate, matching, replicates, seed))
    return tuple(kept)


def _promise(
    found: Sequence[Search],
    tail: ImpostorTail,
    photographs: Numbers,
    rate: float,
    matching: Matching,
    replicates: int,
    seed: int,
) -> Promise:
    thresholds, beyond = _thresholds(found, tail, rate, matching)
    searched = [s for s in found if len(s.strangers)]
    named = [s.strangers >= t for s, t in zip(found, thresholds, strict=True) if len(s.strangers)]
    part = float(np.mean([float(one.mean()) for one in named]))
    people = len(photographs)
    pairs = np.concatenate(
        [
            np.stack([s.stranger_people[n], s.stranger_best[n]], axis=1)
            for s, n in zip(searched, named, strict=True)
        ]
    ).reshape(-1, 2)
    all_strangers = np.concatenate([s.stranger_people for s in searched])
    variance = _variance_of_named(
        pairs, np.bincount(all_strangers, minlength=people), replicates, seed
    )
    strangers = np.unique(all_strangers)
    interval = score_interval(part, variance, len(strangers))
    stranger_photographs = int(photographs[strangers].sum())
    supported = rate * stranger_photographs >= EXPECTED_ERRORS
    missed, missed_interval, known = _missed(found, thresholds, people, replicates, seed)
    first = max(min(s.enrolled) for s in found)
    return Promise(
        wanted=rate,
        threshold=float(np.mean(thresholds)),
        extrapolated=beyond,
        named=part,
        named_interval=interval,
        over_wanted=part / rate if supported else None,
        over_wanted_interval=(interval[0] / rate, interval[1] / rate) if supported else None,
        missed=missed,
        missed_interval=missed_interval,
        strangers=len(strangers),
        stranger_photographs=stranger_photographs,
        known=len(known),
        known_photographs=int((photographs[known] - first).clip(0).sum()),
    )


def _thresholds(
    found: Sequence[Search], tail: ImpostorTail, rate: float, matching: Matching
) -> tuple[list[float], bool]:
    """Return the threshold of each draw, and whether any of them is extrapolated."""
    of_size: dict[tuple[tuple[tuple[int, int], ...], ...], tuple[float, bool]] = {}
    thresholds = []
    for one in found:
        size = tuple(
            tuple(sorted(each.items())) for each in (one.enrolled, one.effective_counts or {})
        )
        if size not in of_size:
            searched = Searched(one.enrolled, matching, one.effective_counts)
            threshold = tail.threshold(rate, searched)
            of_size[size] = threshold, tail.named_rate(threshold, searched).extrapolated
        thresholds.append(of_size[size][0])
    return thresholds, any(beyond for _, beyond in of_size.values())


def _variance_of_named(pairs: Numbers, of_strangers: Numbers, replicates: int, seed: int) -> float:
    """Return the variance of the part of strangers that is named, over draws of people.

    Args:
        pairs: A stranger who was named, and by whose name, for each time, (n, 2).
        of_strangers: How often each person was a stranger who was searched for, (P,).
        replicates: How many sets of weights are drawn.
        seed: Of the weights.
    """
    if not len(pairs):
        return 0.0
    rng = np.random.default_rng(seed)
    different, times = np.unique(pairs, axis=0, return_counts=True)
    shares, apart = [], []
    rows = max(1, _CHUNK // max(len(different), len(of_strangers)))
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        weights: Weights = rng.exponential(size=(size, len(of_strangers)))
        both = weights[:, different[:, 0]] * weights[:, different[:, 1]]
        shares.append(both @ times / (weights @ of_strangers))
        own = rng.exponential(size=(2, size, len(different))).prod(axis=0)
        apart.append(own @ times / of_strangers.sum())
    excess = _EXCESS * float(np.concatenate(apart).var(ddof=1))
    total = float(np.concatenate(shares).var(ddof=1))
    part = len(pairs) / int(of_strangers.sum())
    # At least as much as if each different pair were drawn by itself.
    at_least = float((times.astype(np.float64) ** 2).sum()) / int(of_strangers.sum()) ** 2
    return max(total - excess, min(at_least, part * (1 - part)))


def _missed(
    found: Sequence[Search], thresholds: Sequence[float], people: int, replicates: int, seed: int
) -> tuple[float | None, Interval | None, Numbers]:
    """Return the part of known probes that is missed, its interval, and whose they are."""
    searched = [(s, t) for s, t in zip(found, thresholds, strict=True) if len(s.known)]
    if not searched:
        return None, None, np.zeros(0, dtype=np.int64)
    wrong = [(s.known < t) | np.isneginf(s.known) for s, t in searched]
    part = float(np.mean([float(one.mean()) for one in wrong]))
    whose = np.concatenate([s.known_people for s, _ in searched])
    missed = np.bincount(whose, weights=np.concatenate(wrong).astype(np.float64), minlength=people)
    weights = np.random.default_rng(seed).exponential(size=(replicates, people))
    shares = (weights @ missed) / (weights @ np.bincount(whose, minlength=people))
    known = np.unique(whose)
    return part, score_interval(part, float(shares.var(ddof=1)), len(known)), known


# The figures of open-set identification, as values to be printed, drawn and compared.

FPIR_POINTS = (0.1, 0.01, 0.001)
"""The false positive identification rates at which the FNIR is quoted, where supported."""

MOST_RANKS = 20
"""How far the cumulative match curve goes."""

SMALLEST = "fnir_at_smallest_supported_fpir"


def fnir_name(fpir: float) -> str:
    """Return the name of the FNIR at an FPIR among the rates, as `fnir_at_fpir_0.01`."""
    return f"fnir_at_fpir_{fpir:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentificationResult:
    """How a recogniser does at naming people, and at leaving strangers unnamed.

    All rates are means over the draws; a draw counts photographs.

    Attributes:
        rank_1: Share of known people's probes for which the right person ranks first.
        fnir_at_fpir: FNIR for each of `FPIR_POINTS`; None where the strangers' probes of a draw do
            not support that FPIR.
        smallest_supported_fpir: The smallest FPIR that the strangers of every draw can measure.
        fnir_at_smallest_supported_fpir: FNIR at that FPIR.
        cumulative_match: Share of known people's probes for which the right person is among the
            first one, two, … of those enrolled, up to `MOST_RANKS`; empty where nobody is known.
        intervals: 95 % intervals, bootstrapped by identity, of every rate that is not None, by its
            name; the FNIR at FPIR 0.01 is `fnir_at_fpir_0.01`. The enrolled are taken as given.
        draws: How often it was drawn who is enrolled; 1 where nothing is drawn.
        rank_1_deviation: Standard deviation of rank-1 over the draws; None for a single one.
        enrolled: People enrolled in a draw.
        known_probes: Probes of enrolled people in a draw, on average.
        stranger_probes: Probes of strangers in a draw, on average.
        missed: Number of photographs in which no face was found, or that could not be read. An
            enrolled person's counts as an error; a stranger's raises no alarm.
        error_curve: FPIR and FNIR, from the smallest FPIR that is supported up to 1; empty where
            none is.
        unreadable: Those that could not be read.
        searches: What was found in each draw.
        people: How many people there are, enrolled or not.
    """

    rank_1: float | None
    fnir_at_fpir: Mapping[float, float | None]
    smallest_supported_fpir: float | None
    fnir_at_smallest_supported_fpir: float | None
    cumulative_match: tuple[float, ...]
    intervals: Mapping[str, Interval]
    draws: int
    rank_1_deviation: float | None
    enrolled: int
    known_probes: float
    stranger_probes: float
    missed: int
    error_curve: tuple[tuple[float, float], ...]
    unreadable: tuple[FailedImage, ...] = field(default=())
    searches: tuple[Search, ...] = field(repr=False, compare=False)
    people: int = field(repr=False)
    promises: tuple[Promise, ...] = ()

    @property
    def fpirs(self) -> dict[str, float]:
        """The FPIR of each FNIR that is supported, by the name that its interval has."""
        supported = {
            fnir_name(fpir): fpir for fpir, fnir in self.fnir_at_fpir.items() if fnir is not None
        }
        if self.smallest_supported_fpir is not None and self.rank_1 is not None:
            supported[SMALLEST] = self.smallest_supported_fpir
        return supported

    def figure(self, name: str) -> float | None:
        """Return a rate by the name that its interval has; None where it is not supported."""
        if name == "rank_1":
            return self.rank_1
        if name == SMALLEST:
            return self.fnir_at_smallest_supported_fpir
        return {fnir_name(fpir): fnir for fpir, fnir in self.fnir_at_fpir.items()}[name]

    def differences(self, other: "IdentificationResult") -> dict[str, Difference]:
        """Return how far the rates are above another recogniser's by the same searches.

        Raises:
            ValueError: The searches are not of the same probes.
        """
        return searches.differences(self.searches, other.searches, self.people, self.fpirs)

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON's own types; rates are fractions, null is not supported."""
        return {
            "rank_1": self.rank_1,
            "fnir_at_fpir": {f"{fpir:g}": fnir for fpir, fnir in self.fnir_at_fpir.items()},
            "smallest_supported_fpir": self.smallest_supported_fpir,
            "fnir_at_smallest_supported_fpir": self.fnir_at_smallest_supported_fpir,
            "cumulative_match": list(self.cumulative_match),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "draws": self.draws,
            "rank_1_deviation": self.rank_1_deviation,
            "enrolled": self.enrolled,
            "known_probes": self.known_probes,
            "stranger_probes": self.stranger_probes,
            "missed": self.missed,
            "error_curve": [list(point) for point in self.error_curve],
            "promises": [promise.to_json() for promise in self.promises],
            "unreadable": [{"image": f.image, "error": f.error} for f in self.unreadable],
        }


# Open-set identification: who is this, if it is anyone who is enrolled?
#
# A probe is searched among all who are enrolled; the best photograph of each person counts. A
# known person's probe is missed where someone else ranks first or the similarity stays under the
# threshold (FNIR, false negative identification rate); a stranger's is a false alarm where anyone
# reaches it (FPIR, false positive identification rate). The terms are those of ISO/IEC 19795-1
# and of NIST's face recognition evaluation.


def evaluate_identification(
    people: People,
    *,
    draws: int = 200,
    seed: int = 0,
    enrol: int | None = None,
    templates: int = 1,
    panel: Panel | None = None,
    rule: Rule = Matching.BEST,
    tail: ImpostorTail | None = None,
    unreadable: Sequence[FailedImage] = (),
) -> IdentificationResult:
    """Draw again and again who is enrolled, and search for everyone else's photographs.

    Each draw enrols half of the people who have several photographs (the odd one out is enrolled),
    by their first photograph; their others are the known probes. All photographs of the other half,
    and of the people of one photograph, are strangers'.

    With `enrol` as many are drawn of all who have enough photographs, by so many drawn of each.

    Args:
        people: At least two, one of whom has several photographs.
        draws: How many.
        seed: Fixes them all.
        enrol: How many people are enrolled; None: as above.
        templates: By how many photographs each of these.
        panel: Where specialists are asked: how their embeddings are joined to the generalist's.
        rule: How a probe is compared with a person of several photographs.
        tail: What the weights say of strangers, whose thresholds are tried; None tries none.
        unreadable: Photographs that could not be read, to be named in the result.

    Raises:
        DatasetError: Nobody has several photographs, or there is nobody else.
    """
    several = sorted(name for name, vectors in people.items() if len(vectors) > 1)
    if not several or len(people) < 2:
        raise DatasetError(
            "identification needs a person with several photographs, and someone else; "
            f"got {len(people)} people, {len(several)} of them with several"
        )
    rng = np.random.default_rng(seed)
    number_of = numbered(people)
    found = []
    ordered = sorted(people.items())  # a sum's last digit depends on it
    many = (len(several) + 1) // 2 if enrol is None else enrol
    gallery: People
    probes: People
    for _ in range(draws):
        if enrol is None:
            drawn = [several[i] for i in sorted(rng.permutation(len(several))[:many])]
            gallery = {name: people[name][:1] for name in drawn}
            probes = {n: v[1:] if n in gallery else v for n, v in ordered}
        else:
            gallery, probes = _draw(ordered, many, templates, rng)
        found.append(search(gallery, probes, number_of, panel, rule))
    kept = (
        ()
        if tail is None
        else promises(
            found, tail, np.array([len(people[name]) for name in number_of]), matching=name_of(rule)
        )
    )
    return _summarise(
        found,
        number_of,
        enrolled=many,
        missed=missing(people),
        unreadable=unreadable,
        kept=kept,
    )


def _draw(
    people: Sequence[tuple[str, Sequence[Embedding | None]]],
    enrol: int,
    templates: int,
    rng: np.random.Generator,
) -> tuple[People, People]:
    """Draw who is enrolled by which photographs; everything else is searched for.

    Raises:
        DatasetError: Too few people have so many photographs, or nobody is left.
    """
    eligible = [name for name, vectors in people if len(vectors) >= templates]
    if len(eligible) < enrol or len(people) <= enrol:
        raise DatasetError(
            f"{len(eligible)} of {len(people)} people have {templates} photographs or more: "
            f"{enrol} cannot be enrolled and strangers be left"
        )
    drawn = {eligible[i] for i in rng.permutation(len(eligible))[:enrol]}
    gallery: dict[str, Sequence[Embedding | None]] = {}
    probes: dict[str, Sequence[Embedding | None]] = {}
    for name, vectors in people:
        if name not in drawn:
            probes[name] = vectors
            continue
        chosen = set(rng.permutation(len(vectors))[:templates].tolist())
        gallery[name] = [vector for i, vector in enumerate(vectors) if i in chosen]
        probes[name] = [vector for i, vector in enumerate(vectors) if i not in chosen]
    return gallery, probes


def evaluate_gallery(
    gallery: People,
    probes: People,
    *,
    panel: Panel | None = None,
    rule: Rule = Matching.BEST,
    tail: ImpostorTail | None = None,
    unreadable: Sequence[FailedImage] = (),
) -> IdentificationResult:
    """Search a given gallery for given probes.

    Args:
        gallery: Who is enrolled, by all their photographs.
        probes: Whose photographs are searched for; a name that is not in the gallery is a
            stranger's.
        panel: As in `evaluate_identification`.
        rule: As in `evaluate_identification`.
        tail: As in `evaluate_identification`.
        unreadable: Photographs that could not be read, to be named in the result.
    """
    number_of = numbered(gallery, probes)
    found = [search(gallery, probes, number_of, panel, rule)]
    photographs = np.array(
        [len(gallery.get(name, ())) + len(probes.get(name, ())) for name in number_of]
    )
    return _summarise(
        found,
        number_of,
        enrolled=len(gallery),
        missed=missing(gallery) + missing(probes),
        unreadable=unreadable,
        kept=() if tail is None else promises(found, tail, photographs, matching=name_of(rule)),
    )


def evaluate_people_folder(
    root: Path,
    find: Finder,
    *,
    listing: Path | None = None,
    leave_out: Path | None = None,
    draws: int = 200,
    seed: int = 0,
    enrol: int | None = None,
    templates: int = 1,
    rule: Rule = Matching.BEST,
    tail: ImpostorTail | None = None,
    progress: Progress | None = None,
) -> IdentificationResult:
    """Run `evaluate_identification` on `root/<person>/<photograph>`.

    Args:
        root: The folder.
        find: What finds and embeds the face that counts.
        listing: A text file of whom to use, a name a line; None uses everybody.
        leave_out: One of whom not to use.
        draws: How often to draw who is enrolled.
        seed: Of the draws.
        enrol: As in `evaluate_identification`.
        templates: As in `evaluate_identification`.
        rule: As in `evaluate_identification`.
        tail: As in `evaluate_identification`.
        progress: Called after each photograph.

    Raises:
        DatasetError: The folder or the list is unusable; see `read_identities`, `only_listed` and
            `embed_photographs`.
    """
    folders = [people_to_draw_from(root, listing, leave_out)]
    (people,), unreadable = _embed(folders, root, find, progress)
    return evaluate_identification(
        people,
        draws=draws,
        seed=seed,
        enrol=enrol,
        templates=templates,
        rule=rule,
        tail=tail,
        unreadable=unreadable,
    )


def evaluate_two_folders(
    gallery: Path,
    probes: Path,
    find: Finder,
    *,
    rule: Rule = Matching.BEST,
    tail: ImpostorTail | None = None,
    progress: Progress | None = None,
) -> IdentificationResult:
    """Run `evaluate_gallery` on two folders of `<person>/<photograph>`.

    Raises:
        DatasetError: A folder is unusable; see `read_identities` and `embed_photographs`.
    """
    folders = two_folders(gallery, probes)
    (enrolled, searched), unreadable = _embed(folders, gallery, find, progress)
    return evaluate_gallery(enrolled, searched, rule=rule, tail=tail, unreadable=unreadable)


def _embed(
    folders: Sequence[Sequence[Identity]],
    root: Path,
    find: Finder,
    progress: Progress | None,
) -> tuple[list[dict[str, list[Embedding | None]]], tuple[FailedImage, ...]]:
    """Return each folder's people by name, and what could not be read."""
    embedded = embed_photographs(photographs_of(folders), find, root=root, progress=progress)
    return by_name(folders, embedded.vectors), embedded.unreadable


def _summarise(
    found: Sequence[Search],
    number_of: Mapping[str, int],
    *,
    enrolled: int,
    missed: int,
    unreadable: Sequence[FailedImage],
    kept: tuple[Promise, ...],
) -> IdentificationResult:
    rank_1 = searches.rank_1_of_each(found)
    mean_rank_1 = float(np.mean(rank_1)) if rank_1 else None
    smallest = smallest_supported_far(min(len(s.strangers) for s in found))
    fnir_at: dict[float, float | None] = {
        fpir: searches.mean_fnir(found, fpir) for fpir in FPIR_POINTS
    }
    at_smallest = searches.mean_fnir(found, smallest)
    named = {fnir_name(fpir): (fpir, fnir) for fpir, fnir in fnir_at.items()}
    if smallest is not None:
        named[SMALLEST] = (smallest, at_smallest)
    supported = {name: (fpir, fnir) for name, (fpir, fnir) in named.items() if fnir is not None}
    return IdentificationResult(
        rank_1=mean_rank_1,
        fnir_at_fpir=fnir_at,
        smallest_supported_fpir=smallest,
        fnir_at_smallest_supported_fpir=at_smallest,
        cumulative_match=searches.cumulative_match(found, min(MOST_RANKS, enrolled)),
        intervals=searches.intervals(found, len(number_of), mean_rank_1, supported),
        draws=len(found),
        rank_1_deviation=float(np.std(rank_1, ddof=1)) if len(rank_1) > 1 else None,
        enrolled=enrolled,
        known_probes=float(np.mean([len(s.known) for s in found])),
        stranger_probes=float(np.mean([len(s.strangers) for s in found])),
        missed=missed,
        error_curve=searches.error_curve(found),
        unreadable=tuple(unreadable),
        searches=tuple(found),
        people=len(number_of),
        promises=kept,
    )
