"""A gallery's own thresholds and probabilities: measured, and asked whether they still hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ArgumentError, DatasetError
from data.progress import Progress

from .evaluation.error_rate_thresholds import (
    MOST_PHOTOGRAPHS,
    SEARCHES,
    Combined,
    Cutoff,
    Faces,
    Impostors,
    check_rate,
    combined,
    cutoff,
    different_people,
    fit_probabilities,
    rate_among,
    search_cutoff,
    searches,
)
from .evaluation.impostor_tail import ImpostorTail, Searched
from .evaluation.probability import LikelihoodRatio, Reliability, check_prior
from .gallery.gallery import Gallery
from .gallery.storage.snapshot import require_few
from .gallery.templates import SAME_FACE
from .results import Calibration, FailedImage, Use

THEMSELVES = "those enrolled themselves"
"""What a gallery was measured on that was given no other people."""

WITH_THE_WEIGHTS = ", too few, and what the weights say of others"
"""What is said of a measure that was combined with the weights'."""

if TYPE_CHECKING:
    from data.datasets import Identity

    from .evaluation.embeddings import Finder


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What one call of calibration found.

    Attributes:
        calibrations: One for each use that was asked for.
        reliability: How well the probabilities held for people whom they were not fitted on; None
            where too few people have several photographs.
        left_out: People of the folder who were not used because they are enrolled.
        unreadable: Photographs that could not be read.
    """

    calibrations: tuple[Calibration, ...]
    reliability: Reliability | None
    left_out: tuple[str, ...] = ()
    unreadable: tuple[FailedImage, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Strangers:
    """People who are not enrolled, embedded.

    Attributes:
        faces: Theirs.
        data: What they are from, in words.
        left_out: Who is enrolled, and was not used.
        unreadable: Photographs that could not be read.
    """

    faces: Faces
    data: str
    left_out: tuple[str, ...]
    unreadable: tuple[FailedImage, ...]


def embed_strangers(
    root: Path,
    people: "Sequence[Identity]",
    gallery: Gallery,
    find: "Finder",
    progress: Progress | None = None,
) -> Strangers:
    """Embed the people of a folder, without those who are enrolled.

    Somebody is enrolled by name, or because a photograph is as good as one that is enrolled.

    Args:
        root: The folder.
        people: Whom of it to take.
        gallery: Who is enrolled.
        find: What finds and embeds the face that counts.
        progress: Called after each photograph.

    Raises:
        DatasetError: The photographs cannot be used, or nobody is left.
    """
    from .evaluation.embeddings import embed_photographs  # brings torch

    named = {person.name for person in gallery.people()}
    others = [person for person in people if person.name not in named]
    paths = [path for person in others for path in person.photographs]
    embedded = embed_photographs(paths, find, root=root, progress=progress)
    owners = [number for number, person in enumerate(others) for _ in person.photographs]
    found = [
        (owner, vector)
        for owner, vector in zip(owners, embedded.vectors, strict=True)
        if vector is not None
    ]
    if not found:
        raise DatasetError(f"nobody in {root} has a face and is not enrolled: name another folder")
    faces = Faces(
        np.stack([vector for _, vector in found]), np.array([owner for owner, _ in found])
    )
    twins = np.unique(faces.people[_searched(gallery, faces).similarities >= SAME_FACE])
    left_out = sorted(named & {person.name for person in people})
    left_out += [others[number].name for number in twins.tolist()]
    faces = faces.select(~np.isin(faces.people, twins))
    count = len(np.unique(faces.people))
    data = f"{count:,} people in {len(faces.people):,} photographs of {root.resolve().name}"
    return Strangers(faces, data, tuple(left_out), embedded.unreadable)


def calibrate(
    gallery: Gallery,
    wanted: Mapping[Use, float],
    strangers: Strangers | None,
    prior: float,
    tail: ImpostorTail | None = None,
) -> Calibrated:
    """Measure and keep a gallery's own thresholds.

    Where the people are too few for a rate, what was seen of them is combined with what the weights
    say of others.

    Args:
        gallery: Whose; somebody is enrolled.
        wanted: For each use the rate of false accepts.
        strangers: Whom they are measured on; None takes those who are enrolled.
        prior: How likely it is before looking that a face is of somebody enrolled, or that two
            photographs show one person.
        tail: What the weights say of people whom they never saw; None where they say nothing.

    Raises:
        DatasetError: The people cannot support a rate, and the weights say nothing.
        GalleryError: The gallery cannot be written, or is too large to be measured by those who
            are enrolled. Nothing has been kept.
    """
    people, photographs = gallery.size
    if strangers is None and people < 2:
        raise DatasetError("one person alone has nobody to be mistaken for: give --data DIR")
    everybody = _enrolled(gallery) if strangers is None else strangers.faces
    faces = everybody.at_most(MOST_PHOTOGRAPHS)
    pairs = different_people(faces)
    fitted = fit_probabilities(faces, prior=prior)
    ratio, held = (None, None) if fitted is None else fitted
    found = []
    data = THEMSELVES if strangers is None else strangers.data
    for use, rate in wanted.items():
        measured: Cutoff | Combined
        told = data
        try:
            if use is Use.VERIFY:
                measured = cutoff(pairs, rate)
            else:
                measured = _search_cutoff(gallery, everybody, strangers, pairs, rate)
        except DatasetError:
            if tail is None:
                raise
            measured = _combined(gallery, everybody, strangers, pairs, tail, use, rate)
            told = data + WITH_THE_WEIGHTS
        found.append(
            Calibration(
                use=use,
                rate=rate,
                threshold=measured.threshold,
                threshold_low=measured.threshold_interval[0],
                threshold_high=measured.threshold_interval[1],
                rate_low=measured.rate_interval[0],
                rate_high=measured.rate_interval[1],
                comparisons=measured.comparisons,
                rise=None if ratio is None else ratio.rise,
                fall=None if ratio is None else ratio.fall,
                offset=None if ratio is None else ratio.offset,
                prior=prior,
                calibration_error=None if held is None else held.error,
                weights_digest=gallery.model.weights_digest,
                data=told,
                calibrated_at=datetime.now(UTC).isoformat(timespec="seconds"),
                people=people,
                templates=photographs,
            )
        )
    gallery.calibrate(found)
    return Calibrated(
        calibrations=tuple(found),
        reliability=held,
        left_out=() if strangers is None else strangers.left_out,
        unreadable=() if strangers is None else strangers.unreadable,
    )


def _combined(
    gallery: Gallery,
    faces: Faces,
    strangers: Strangers | None,
    pairs: Impostors,
    tail: ImpostorTail,
    use: Use,
    rate: float,
) -> Combined:
    """The threshold by what few people show, and by what the weights say."""
    if use is Use.VERIFY:
        return combined(pairs, tail, None, rate)
    found = searches(faces, None) if strangers is None else _searched(gallery, faces)
    return combined(found, tail, Searched(gallery.photographs_a_person()), rate)


def _search_cutoff(
    gallery: Gallery, faces: Faces, strangers: Strangers | None, pairs: Impostors, rate: float
) -> Cutoff:
    """The threshold at which so many of those who search, and are somebody else, find somebody."""
    if strangers is not None:
        return search_cutoff(_searched(gallery, faces), pairs, rate)
    people, _ = gallery.size
    # Each was searched among one person less than a stranger meets.
    return search_cutoff(searches(faces, None), pairs, rate, times=people / (people - 1))


def still_holds(calibration: Calibration, templates: int) -> Calibration:
    """Say so in a calibration where the gallery has outgrown it.

    Each photograph is one more for a stranger to be mistaken for. The calibration holds while the
    rate that this leads to is within its own interval.

    Args:
        calibration: The gallery's.
        templates: How many photographs are enrolled now.
    """
    if calibration.use is not Use.IDENTIFY or not templates:
        return calibration
    now = rate_among(calibration.rate, templates / calibration.templates)
    if now <= calibration.rate_high:
        return calibration
    return replace(
        calibration,
        doubt=f"the gallery has grown from {calibration.templates:,} to {templates:,} photographs "
        f"since it was calibrated, so that about {100 * now:.2g} % of strangers are given a name, "
        f"not {100 * calibration.rate:.2g} %: `likeness calibrate` again",
    )


def ratio_of(calibration: Calibration | None) -> LikelihoodRatio | None:
    """The likelihood ratio that a calibration holds, if it holds one."""
    if calibration is None:
        return None
    rise, fall, offset = calibration.rise, calibration.fall, calibration.offset
    if rise is None or fall is None or offset is None:
        return None
    return LikelihoodRatio(rise=rise, fall=fall, offset=offset)


def probability_of(calibration: Calibration | None, similarity: float) -> float | None:
    """How likely two photographs are one person's; None where nothing tells."""
    ratio = ratio_of(calibration)
    if ratio is None or calibration is None:
        return None
    return float(ratio.probability(np.array([similarity]), calibration.prior)[0])


def check_wanted(fpir: float | None, far: float | None, prior: float) -> dict[Use, float]:
    """What is wanted for which use.

    Raises:
        ArgumentError: A rate or the prior is out of range, or nothing is wanted.
    """
    check_rate("--fpir", fpir)
    check_rate("--far", far)
    check_prior(prior)
    given = {Use.IDENTIFY: fpir, Use.VERIFY: far}
    wanted = {use: rate for use, rate in given.items() if rate is not None}
    if not wanted:
        raise ArgumentError("nothing to calibrate: give --fpir or --far")
    return wanted


def _enrolled(gallery: Gallery) -> Faces:
    """Those enrolled, numbered from 0.

    Raises:
        GalleryError: There are too many.
    """
    require_few(gallery.size[1], "give photographs of others, --data DIR")
    roll, templates = gallery.templates()
    _, numbered = np.unique(roll.people, return_inverse=True)
    return Faces(templates, numbered.reshape(-1))


def _searched(gallery: Gallery, strangers: Faces) -> Impostors:
    """Search strangers among those enrolled; whoever is most like them counts."""
    found = gallery.search(strangers.vectors, 1)
    best = np.array([matches[0].cosine_similarity if matches else -1.0 for matches in found])
    # Only the strangers are drawn by chance; those enrolled are as given.
    people = np.stack([strangers.people, strangers.people], axis=1)
    return Impostors(best, people, strangers.weights, SEARCHES)
