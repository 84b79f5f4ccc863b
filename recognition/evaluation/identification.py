"""Open-set identification: who is this, if it is anyone who is enrolled?

A probe is searched among all who are enrolled; the best photograph of each person counts. A known
person's probe is missed where someone else ranks first or the similarity stays under the threshold
(FNIR, false negative identification rate); a stranger's is a false alarm where anyone reaches it
(FPIR, false positive identification rate). The terms are those of ISO/IEC 19795-1 and of NIST's
face recognition evaluation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.datasets import Identity
from data.errors import DatasetError

from ..photographs import ProgressCallback
from ..results import FailedImage
from . import searches
from .embedding import Embedding, Finder, embed_photographs
from .figures import Difference
from .intervals import Interval
from .metrics import smallest_supported_far
from .people import (
    by_name,
    missing,
    numbered,
    people_to_draw_from,
    photographs_of,
    two_folders,
)
from .searches import People, Search, search
from .specialists import Panel

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
            "unreadable": [{"image": f.image, "error": f.error} for f in self.unreadable],
        }


def evaluate_identification(
    people: People,
    *,
    draws: int = 200,
    seed: int = 0,
    panel: Panel | None = None,
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
        panel: Where specialists are asked: how their embeddings are joined to the generalist's.
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
    number_of = numbered(people)
    found = []
    for _ in range(draws):
        drawn = [several[i] for i in sorted(rng.permutation(len(several))[:half])]
        gallery = {name: people[name][:1] for name in drawn}
        probes = {n: v[1:] if n in gallery else v for n, v in people.items()}
        found.append(search(gallery, probes, number_of, panel))
    missed = missing(people)
    return _summarise(found, number_of, enrolled=half, missed=missed, unreadable=unreadable)


def evaluate_gallery(
    gallery: People,
    probes: People,
    *,
    panel: Panel | None = None,
    unreadable: Sequence[FailedImage] = (),
) -> IdentificationResult:
    """Search a given gallery for given probes.

    Args:
        gallery: Who is enrolled, by all their photographs.
        probes: Whose photographs are searched for; a name that is not in the gallery is a
            stranger's.
        panel: As in `evaluate_identification`.
        unreadable: Photographs that could not be read, to be named in the result.
    """
    number_of = numbered(gallery, probes)
    return _summarise(
        [search(gallery, probes, number_of, panel)],
        number_of,
        enrolled=len(gallery),
        missed=missing(gallery) + missing(probes),
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
    folders = [people_to_draw_from(root, listing)]
    (people,), unreadable = _embed(folders, root, find, progress)
    return evaluate_identification(people, draws=draws, seed=seed, unreadable=unreadable)


def evaluate_two_folders(
    gallery: Path, probes: Path, find: Finder, *, progress: ProgressCallback | None = None
) -> IdentificationResult:
    """Run `evaluate_gallery` on two folders of `<person>/<photograph>`.

    Raises:
        DatasetError: A folder is unusable; see `read_identities` and `embed_photographs`.
    """
    folders = two_folders(gallery, probes)
    (enrolled, searched), unreadable = _embed(folders, gallery, find, progress)
    return evaluate_gallery(enrolled, searched, unreadable=unreadable)


def _embed(
    folders: Sequence[Sequence[Identity]],
    root: Path,
    find: Finder,
    progress: ProgressCallback | None,
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
    )
