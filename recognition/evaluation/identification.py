"""Open-set identification: who is this, if it is anyone who is enrolled?

A probe is searched among all who are enrolled; the best photograph of each person counts. A known
person's probe is missed where someone else ranks first or the similarity stays under the threshold
(FNIR, false negative identification rate); a stranger's is a false alarm where anyone reaches it
(FPIR, false positive identification rate). The terms are those of ISO/IEC 19795-1 and of NIST's
face recognition evaluation.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data.datasets import Identity
from data.errors import DatasetError

from ..photographs import ProgressCallback
from ..results import FailedImage
from . import searches
from .embedding import Embedding, Finder, embed_photographs
from .identified import FPIR_POINTS, MOST_RANKS, SMALLEST, IdentificationResult, fnir_name
from .impostor_tail import ImpostorTail
from .metrics import smallest_supported_far
from .people import (
    by_name,
    missing,
    numbered,
    people_to_draw_from,
    photographs_of,
    two_folders,
)
from .promises import Promise, promises
from .searches import People, Search, search
from .specialists import Panel


def evaluate_identification(
    people: People,
    *,
    draws: int = 200,
    seed: int = 0,
    enrol: int | None = None,
    templates: int = 1,
    panel: Panel | None = None,
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
        found.append(search(gallery, probes, number_of, panel))
    kept = (
        ()
        if tail is None
        else promises(found, tail, np.array([len(people[name]) for name in number_of]))
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
    tail: ImpostorTail | None = None,
    unreadable: Sequence[FailedImage] = (),
) -> IdentificationResult:
    """Search a given gallery for given probes.

    Args:
        gallery: Who is enrolled, by all their photographs.
        probes: Whose photographs are searched for; a name that is not in the gallery is a
            stranger's.
        panel: As in `evaluate_identification`.
        tail: As in `evaluate_identification`.
        unreadable: Photographs that could not be read, to be named in the result.
    """
    number_of = numbered(gallery, probes)
    found = [search(gallery, probes, number_of, panel)]
    photographs = np.array(
        [len(gallery.get(name, ())) + len(probes.get(name, ())) for name in number_of]
    )
    return _summarise(
        found,
        number_of,
        enrolled=len(gallery),
        missed=missing(gallery) + missing(probes),
        unreadable=unreadable,
        kept=() if tail is None else promises(found, tail, photographs),
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
    tail: ImpostorTail | None = None,
    progress: ProgressCallback | None = None,
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
        tail=tail,
        unreadable=unreadable,
    )


def evaluate_two_folders(
    gallery: Path,
    probes: Path,
    find: Finder,
    *,
    tail: ImpostorTail | None = None,
    progress: ProgressCallback | None = None,
) -> IdentificationResult:
    """Run `evaluate_gallery` on two folders of `<person>/<photograph>`.

    Raises:
        DatasetError: A folder is unusable; see `read_identities` and `embed_photographs`.
    """
    folders = two_folders(gallery, probes)
    (enrolled, searched), unreadable = _embed(folders, gallery, find, progress)
    return evaluate_gallery(enrolled, searched, tail=tail, unreadable=unreadable)


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
