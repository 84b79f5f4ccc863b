"""Photographs of a person become templates, or are skipped with a reason."""

import io
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.errors import ArgumentError

from .gallery.gallery import Gallery
from .gallery.names import person_name
from .gallery.templates import Template
from .photographs import Seen
from .results import Enrolled, Enrolment, FailedImage, Skipped

if TYPE_CHECKING:
    from .faces.pipeline import DetectedFace


def enrol(
    gallery: Callable[[], Gallery],
    name: str,
    photographs: "Iterable[Seen[DetectedFace] | FailedImage]",
    face: int | None,
) -> Enrolment:
    """Enrol what can be of one person's photographs, in one transaction.

    Args:
        gallery: Opens the gallery; called only when there is something to enrol, so that a first
            attempt in vain leaves no gallery behind.
        name: The person.
        photographs: What has been seen of them.
        face: Which face to take of each photograph, from 1; None takes the only one.

    Raises:
        GalleryError: The gallery refuses.
    """
    names: list[str] = []
    templates: dict[int, Template] = {}
    skipped: dict[int, Skipped] = {}
    for position, photograph in enumerate(photographs):
        names.append(photograph.image if isinstance(photograph, FailedImage) else photograph.name)
        outcome = _template(photograph, face)
        if isinstance(outcome, Template):
            templates[position] = outcome
        else:
            skipped[position] = Skipped(image=names[-1], reason=outcome)
    if templates:
        positions = list(templates)
        for index, owner in gallery().enrol(name, list(templates.values())).items():
            position = positions[index]
            skipped[position] = _known_already(names[position], name, owner)
    enrolled = len(names) - len(skipped)
    return Enrolment(
        enrolled=(Enrolled(person=name, photographs=enrolled),) if enrolled else (),
        skipped=tuple(skipped[position] for position in sorted(skipped)),
    )


def photographs_in(root: Path) -> tuple[list[str], list[Path], tuple[Skipped, ...]]:
    """List a folder of folders, each named like the person on its photographs.

    Args:
        root: The folder.

    Returns:
        The photographs' people, the photographs, and those of folders whose name is none.

    Raises:
        DatasetError: The folder is not one of people's photographs.
    """
    from data.datasets import read_identities  # brings torch

    owners: list[str] = []
    images: list[Path] = []
    skipped: list[Skipped] = []
    for identity in read_identities(root, minimum_people=1):
        try:
            owners += [person_name(identity.name)] * len(identity.photographs)
            images += identity.photographs
        except ArgumentError as error:
            skipped += [Skipped(str(path), str(error)) for path in identity.photographs]
    return owners, images, tuple(skipped)


def joined(enrolments: Iterable[Enrolment]) -> Enrolment:
    """Put the enrolments of several people together."""
    parts = list(enrolments)
    return Enrolment(
        enrolled=tuple(chain.from_iterable(part.enrolled for part in parts)),
        skipped=tuple(chain.from_iterable(part.skipped for part in parts)),
    )


def _known_already(image: str, name: str, owner: str) -> Skipped:
    """Say under whose name a photograph is enrolled already."""
    what = "this photograph" if owner == name else "this face of this photograph"
    reason = f"{what} is enrolled already as '{owner}'"
    return Skipped(image=image, reason=reason, enrolled_before=owner == name)


def _template(photograph: "Seen[DetectedFace] | FailedImage", face: int | None) -> Template | str:
    """Make a template of the one face that is meant, or say why there is none."""
    if isinstance(photograph, FailedImage):
        return photograph.error
    faces = photograph.faces
    if not faces:
        return "no face found in it"
    if face is None and len(faces) > 1:
        return f"{len(faces)} faces in it: choose one of them (--face N; 1 is the largest)"
    if face is not None and face > len(faces):
        return f"{len(faces)} face(s) in it, so there is no face {face}"
    chosen = faces[(face or 1) - 1]
    return Template(
        embedding=chosen.embedding,
        photograph_sha256=photograph.sha256,
        crop=_png(chosen.crop),
    )


def _png(crop: npt.NDArray[np.uint8]) -> bytes:
    """Encode pixels (H, W, 3) without loss: another model may have to embed them one day."""
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "PNG")
    return file.getvalue()
