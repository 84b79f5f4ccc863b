"""Faces of a photograph get a name each, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .calibration import ratio_of
from .faces.quality import measure
from .gallery.gallery import Gallery
from .matching import Matching
from .photographs import Seen
from .results import Calibration, Decision, Identification, IdentifiedFace, Match
from .template_attention import Rule

if TYPE_CHECKING:
    from .faces.pipeline import DetectedFace


_RIVALS = 5  # people whom a face may be besides, and who make the closest one less likely


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How a search is asked.

    Attributes:
        top_k: How many of the closest people to name for each face.
        decision: From which cosine similarity on a face is taken for the closest person's.
        calibration: Where probabilities come from, if there are any.
        matching: How a face is compared with a person of several photographs.
        repeats: Whether a person may be in one photograph more than once, as in a collage.
        among: The ids of those who may be named; None: everybody.
    """

    top_k: int
    decision: Decision
    calibration: Calibration | None
    matching: Rule = Matching.BEST
    repeats: bool = False
    among: frozenset[int] | None = None


def name_faces(
    gallery: Gallery, photograph: "Seen[DetectedFace]", question: Question
) -> Identification:
    """Name every face of a photograph, or say that nobody enrolled is close enough.

    Args:
        gallery: Who is enrolled.
        photograph: What was seen.
        question: How to search.
    """
    if not photograph.faces:
        return Identification(
            image=photograph.name,
            faces=(),
            warnings=photograph.warnings,
            decision=question.decision,
        )
    found = _search(gallery, photograph.faces, question)
    names = _names(found, question)
    faces = []
    for seen, matches, name in zip(photograph.faces, found, names, strict=True):
        closest = matches[0] if matches else None
        would_be = closest is not None and closest.cosine_similarity >= question.decision.threshold
        faces.append(
            IdentifiedFace(
                face=seen.face,
                person=name,
                matches=tuple(matches[: question.top_k]),
                quality=measure(seen.face, seen.crop),
                named_elsewhere=closest.person
                if closest is not None and would_be and closest.person != name
                else None,
                person_id=next((one.person_id for one in matches if one.person == name), None),
            )
        )
    return Identification(
        image=photograph.name,
        faces=tuple(faces),
        warnings=photograph.warnings,
        decision=question.decision,
    )


def name_nobody(photograph: "Seen[DetectedFace]") -> Identification:
    """Every face of a photograph, known to nobody: what a gallery without people answers."""
    faces = (
        IdentifiedFace(
            face=seen.face, person=None, matches=(), quality=measure(seen.face, seen.crop)
        )
        for seen in photograph.faces
    )
    return Identification(image=photograph.name, faces=tuple(faces), warnings=photograph.warnings)


def _search(
    gallery: Gallery, faces: "Sequence[DetectedFace]", question: Question
) -> list[list[Match]]:
    """The people closest to each face: as many as are asked for, or as may have to be looked at."""
    calibration, ratio = question.calibration, ratio_of(question.calibration)
    looked_at = question.top_k
    if looked_at > 0:
        # A face whose closest person is another face may still be the next one.
        looked_at = max(looked_at, len(faces), _RIVALS if ratio else 1)
    vectors = np.stack([face.embedding for face in faces])
    found = gallery.search(vectors, looked_at, question.matching, question.among)
    if not ratio or not calibration:
        return found
    enrolled = gallery.size[0] if question.among is None else len(question.among)
    return [
        _with_probabilities(
            matches,
            ratio.among([m.cosine_similarity for m in matches], enrolled, calibration.prior),
        )
        for matches in found
    ]


def _names(found: Sequence[Sequence[Match]], question: Question) -> list[str | None]:
    """Give each face a name, the surest first; in one photograph nobody is named twice."""
    names: list[str | None] = [None] * len(found)
    candidates = [
        (-match.cosine_similarity, face, rank, match.person)
        for face, matches in enumerate(found)
        for rank, match in enumerate(matches)
        if match.cosine_similarity >= question.decision.threshold
    ]
    for _, face, _, person in sorted(candidates):
        if names[face] is None and (question.repeats or person not in names):
            names[face] = person
    return names


def _with_probabilities(matches: list[Match], probabilities: list[float]) -> list[Match]:
    return [
        replace(match, probability=probability)
        for match, probability in zip(matches, probabilities, strict=True)
    ]
