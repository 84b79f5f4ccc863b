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
from .embedding import Embedding, Finder, embed_photographs
from .metrics import Scores, smallest_supported_far, threshold_at_far

FPIR_POINTS = (0.1, 0.01, 0.001)
"""The false positive identification rates at which the FNIR is quoted, where supported."""

People = Mapping[str, Sequence[Embedding | None]]
"""Each person's photographs as unit vectors (D,), in order; None where no face was found."""


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
            "draws": self.draws,
            "rank_1_deviation": self.rank_1_deviation,
            "enrolled": self.enrolled,
            "known_probes": self.known_probes,
            "stranger_probes": self.stranger_probes,
            "missed": self.missed,
            "unreadable": [{"image": f.image, "error": f.error} for f in self.unreadable],
        }


_PROBES_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What one search of all probes gave.

    Attributes:
        known: Similarity of the right person where it ranks first, else -inf: (probes,).
        strangers: Similarity of whoever ranks first: (probes,).
    """

    known: Scores
    strangers: Scores


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
    searches = []
    for _ in range(draws):
        drawn = [several[i] for i in sorted(rng.permutation(len(several))[:half])]
        gallery = {name: people[name][:1] for name in drawn}
        probes = {n: v[1:] if n in gallery else v for n, v in people.items()}
        searches.append(_search(gallery, probes))
    missed = _missing(people)
    return _summarise(searches, enrolled=half, missed=missed, unreadable=unreadable)


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
    return _summarise(
        [_search(gallery, probes)],
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


def _search(gallery: People, probes: People) -> _Search:
    """Search all probes among the gallery."""
    owners = np.array([name for name, vectors in gallery.items() for v in vectors if v is not None])
    rows = [v for vectors in gallery.values() for v in vectors if v is not None]
    labelled = [(name, vector) for name, vectors in probes.items() for vector in vectors]
    similarity = np.full(len(labelled), -np.inf)
    is_right = np.zeros(len(labelled), dtype=np.bool_)
    found = [number for number, (_, vector) in enumerate(labelled) if vector is not None]
    if rows:
        enrolled = np.stack(rows)  # (N, D)
        for start in range(0, len(found), _PROBES_AT_ONCE):
            part = found[start : start + _PROBES_AT_ONCE]
            vectors = np.stack([v for _, v in (labelled[i] for i in part) if v is not None])
            similarities = vectors @ enrolled.T  # (probes, N)
            first = similarities.argmax(axis=1)
            similarity[part] = similarities.max(axis=1)
            is_right[part] = owners[first] == np.array([labelled[i][0] for i in part])
    is_known = np.array([name in gallery for name, _ in labelled], dtype=np.bool_)
    return _Search(
        known=np.where(is_right, similarity, -np.inf)[is_known], strangers=similarity[~is_known]
    )


def _missing(people: People) -> int:
    return sum(vector is None for vectors in people.values() for vector in vectors)


def _fnir(searches: Sequence[_Search], fpir: float | None) -> float | None:
    """Return the mean FNIR at an FPIR that every search must support, each by its own threshold."""
    rates = []
    for search in searches:
        threshold = None if fpir is None else threshold_at_far(search.strangers, fpir)
        if threshold is None or len(search.known) == 0:
            return None
        missed = (search.known < threshold) | np.isneginf(search.known)
        rates.append(float(np.mean(missed)))
    return float(np.mean(rates))


def _summarise(
    searches: Sequence[_Search], *, enrolled: int, missed: int, unreadable: Sequence[FailedImage]
) -> IdentificationResult:
    rank_1 = [float(np.mean(np.isfinite(s.known))) for s in searches if len(s.known)]
    smallest = smallest_supported_far(min(len(s.strangers) for s in searches))
    return IdentificationResult(
        rank_1=float(np.mean(rank_1)) if rank_1 else None,
        fnir_at_fpir={fpir: _fnir(searches, fpir) for fpir in FPIR_POINTS},
        smallest_supported_fpir=smallest,
        fnir_at_smallest_supported_fpir=_fnir(searches, smallest),
        draws=len(searches),
        rank_1_deviation=float(np.std(rank_1, ddof=1)) if len(rank_1) > 1 else None,
        enrolled=enrolled,
        known_probes=float(np.mean([len(s.known) for s in searches])),
        stranger_probes=float(np.mean([len(s.strangers) for s in searches])),
        missed=missed,
        unreadable=tuple(unreadable),
    )
