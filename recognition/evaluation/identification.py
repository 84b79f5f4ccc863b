"""Open-set identification: who is this, if it is anyone who is enrolled?

A probe is searched among all who are enrolled; the best photograph of each person counts. A known
person's probe is missed where someone else ranks first or the similarity stays under the threshold
(FNIR, false negative identification rate); a stranger's is a false alarm where anyone reaches it
(FPIR, false positive identification rate). The terms are those of ISO/IEC 19795-1 and of NIST's
face recognition evaluation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from data.datasets import Identity, only_listed, read_identities
from data.errors import DatasetError

from ..photographs import ProgressCallback
from ..results import FailedImage
from . import searches
from .embedding import Embedding, Finder, embed_photographs
from .intervals import Interval
from .metrics import smallest_supported_far
from .searches import People, Search, search

FPIR_POINTS = (0.1, 0.01, 0.001)
"""The false positive identification rates at which the FNIR is quoted, where supported."""

MOST_RANKS = 20
"""How far the cumulative match curve goes."""

SMALLEST = "fnir_at_smallest_supported_fpir"


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
        unreadable: Those that could not be read.
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
    unreadable: tuple[FailedImage, ...] = field(default=())

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
            "unreadable": [{"image": f.image, "error": f.error} for f in self.unreadable],
        }


def evaluate_identification(
    people: People,
    *,
    draws: int = 200,
    seed: int = 0,
    unreadable: Sequence[FailedImage] = (),
) -> IdentificationResult:
    """Draw again and again who is enrolled, and search for everyone else's photographs.

    Each draw enrols half of the people who have several photographs (the odd one out is enrolled),
    by their first photograph; their others are the known probes. All photographs of the other half,
    and of the people of one photograph, are strangers'.

    Args:
        people: At least two, one of whom has several photographs.
        draws: How many.
        seed: Fixes them all.
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
    half = (len(several) + 1) // 2
    number_of = _numbered(people)
    found = []
    for _ in range(draws):
        drawn = [several[i] for i in sorted(rng.permutation(len(several))[:half])]
        gallery = {name: people[name][:1] for name in drawn}
        probes = {n: v[1:] if n in gallery else v for n, v in people.items()}
        found.append(search(gallery, probes, number_of))
    missed = _missing(people)
    return _summarise(found, number_of, enrolled=half, missed=missed, unreadable=unreadable)


def evaluate_gallery(
    gallery: People, probes: People, *, unreadable: Sequence[FailedImage] = ()
) -> IdentificationResult:
    """Search a given gallery for given probes.

    Args:
        gallery: Who is enrolled, by all their photographs.
        probes: Whose photographs are searched for; a name that is not in the gallery is a
            stranger's.
        unreadable: Photographs that could not be read, to be named in the result.
    """
    number_of = _numbered(gallery, probes)
    return _summarise(
        [search(gallery, probes, number_of)],
        number_of,
        enrolled=len(gallery),
        missed=_missing(gallery) + _missing(probes),
        unreadable=unreadable,
    )


def evaluate_people_folder(
    root: Path,
    find: Finder,
    *,
    listing: Path | None = None,
    draws: int = 200,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> IdentificationResult:
    """Run `evaluate_identification` on `root/<person>/<photograph>`.

    Args:
        root: The folder.
        find: What finds and embeds the face that counts.
        listing: A text file of whom to use, a name a line; None uses everybody.
        draws: How often to draw who is enrolled.
        seed: Of the draws.
        progress: Called after each photograph.

    Raises:
        DatasetError: The folder or the list is unusable; see `read_identities`, `only_listed` and
            `embed_photographs`.
    """
    everybody = read_identities(root)
    chosen = everybody if listing is None else only_listed(everybody, listing)
    (people,), unreadable = _embed([chosen], root, find, progress)
    return evaluate_identification(people, draws=draws, seed=seed, unreadable=unreadable)


def evaluate_two_folders(
    gallery: Path, probes: Path, find: Finder, *, progress: ProgressCallback | None = None
) -> IdentificationResult:
    """Run `evaluate_gallery` on two folders of `<person>/<photograph>`.

    Raises:
        DatasetError: A folder is unusable; see `read_identities` and `embed_photographs`.
    """
    folders = [read_identities(root, minimum_people=1) for root in (gallery, probes)]
    (enrolled, searched), unreadable = _embed(folders, gallery, find, progress)
    return evaluate_gallery(enrolled, searched, unreadable=unreadable)


def _embed(
    folders: Sequence[Sequence[Identity]],
    root: Path,
    find: Finder,
    progress: ProgressCallback | None,
) -> tuple[list[dict[str, list[Embedding | None]]], tuple[FailedImage, ...]]:
    """Return each folder's people by name, and what could not be read."""
    everyone: list[Identity] = list(chain.from_iterable(folders))
    paths = [path for person in everyone for path in person.photographs]
    embedded = embed_photographs(paths, find, root=root, progress=progress)
    vectors = iter(embedded.vectors)
    people = [
        {person.name: [next(vectors) for _ in person.photographs] for person in folder}
        for folder in folders
    ]
    return people, embedded.unreadable


def _missing(people: People) -> int:
    return sum(vector is None for vectors in people.values() for vector in vectors)


def _numbered(*groups: People) -> dict[str, int]:
    """Return a number for everybody in any of the groups."""
    return {name: number for number, name in enumerate(sorted(set(chain.from_iterable(groups))))}


def _summarise(
    found: Sequence[Search],
    number_of: Mapping[str, int],
    *,
    enrolled: int,
    missed: int,
    unreadable: Sequence[FailedImage],
) -> IdentificationResult:
    rank_1 = searches.rank_1_of_each(found)
    mean_rank_1 = float(np.mean(rank_1)) if rank_1 else None
    smallest = smallest_supported_far(min(len(s.strangers) for s in found))
    fnir_at: dict[float, float | None] = {
        fpir: searches.mean_fnir(found, fpir) for fpir in FPIR_POINTS
    }
    at_smallest = searches.mean_fnir(found, smallest)
    named = {f"fnir_at_fpir_{fpir:g}": (fpir, fnir) for fpir, fnir in fnir_at.items()}
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
        unreadable=tuple(unreadable),
    )
