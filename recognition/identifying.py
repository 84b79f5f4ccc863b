"""Faces of a photograph get a name each, or none."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .calibrating import ratio_of
from .gallery.gallery import Gallery
from .photographs import Seen
from .results import Calibration, Identification, IdentifiedFace, Match

if TYPE_CHECKING:
    from .faces.pipeline import DetectedFace

_RIVALS = 5  # people whom a face may be besides, and who make the closest one less likely


def name_faces(
    gallery: Gallery,
    photograph: "Seen[DetectedFace]",
    top_k: int,
    threshold: float,
    calibration: Calibration | None,
) -> Identification:
    """Name every face of a photograph, or say that nobody enrolled is close enough.

    Args:
        gallery: Who is enrolled.
        photograph: What was seen.
        top_k: How many of the closest people to name for each face.
        threshold: The cosine similarity from which on a face is taken for the closest person's.
        calibration: Where probabilities come from, if there are any.
    """
    if not photograph.faces:
        return Identification(image=photograph.name, faces=())
    ratio = ratio_of(calibration)
    looked_at = max(top_k, _RIVALS) if ratio and top_k > 0 else top_k
    found = gallery.search(np.stack([face.embedding for face in photograph.faces]), looked_at)
    if ratio and calibration:
        enrolled, _ = gallery.size
        found = [
            _with_probabilities(
                matches,
                ratio.among([m.cosine_similarity for m in matches], enrolled, calibration.prior),
            )
            for matches in found
        ]
    faces = []
    for face, matches in zip(photograph.faces, found, strict=True):
        known = bool(matches) and matches[0].cosine_similarity >= threshold
        person = matches[0].person if known else None
        faces.append(IdentifiedFace(face=face.face, person=person, matches=tuple(matches[:top_k])))
    return Identification(image=photograph.name, faces=tuple(faces))


def _with_probabilities(matches: list[Match], probabilities: list[float]) -> list[Match]:
    return [
        replace(match, probability=probability)
        for match, probability in zip(matches, probabilities, strict=True)
    ]
