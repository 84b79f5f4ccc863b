"""Photographs of a person become templates, or are skipped with a reason."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import ArgumentError

from .faces.quality import measure, shortcomings
from .gallery.gallery import Gallery
from .gallery.names import person_name
from .gallery.storage.changes import CONSENT_ENDED
from .gallery.templates import SAME_FACE, Embeddings, Template
from .photographs import Seen
from .results import Consent, Enrolled, Enrolment, FailedImage, Kept, Skipped

if TYPE_CHECKING:
    from .faces.pipeline import DetectedFace


# What is odd about photographs that have just been enrolled.

_ALONE = -2.0  # the similarity to the closest of no photographs


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What to look for.

    Attributes:
        threshold: Cosine similarity from which on two photographs are taken for one person's; None
            tells nothing of who is unlike or alike.
        others: Whether to look among everybody else as well, which takes a search a photograph.
    """

    threshold: float | None
    others: bool


@dataclass(frozen=True, slots=True)
class Noticed:
    """What is odd about a photograph.

    Attributes:
        lines: In words, a line each.
        named: The others whom these lines name, by id.
    """

    lines: tuple[str, ...]
    named: tuple[int, ...] = ()


def noticed(
    gallery: Gallery, name: str, templates: Sequence[Template], watch: Watch
) -> list[Noticed]:
    """Say what is odd about each of a person's new photographs.

    Args:
        gallery: They are enrolled in it by now.
        name: The person.
        templates: The new ones.
        watch: What to look for.
    """
    new = {template.photograph_sha256 for template in templates}
    digests, embeddings = gallery.templates_of(name)
    before = embeddings[[digest not in new for digest in digests]]
    vectors: Embeddings = np.stack([template.embedding for template in templates])
    told = []
    for position, template in enumerate(templates):
        to_new = vectors @ template.embedding  # (N,)
        earlier = max(_most(before @ template.embedding), _most(to_new[:position]))
        closest = max(earlier, _most(to_new[position + 1 :]))
        found = [f"the face is {what}" for what in _shortcomings(template)]
        if earlier >= SAME_FACE:
            found.append(f"almost the same picture as another one of '{name}': it adds little")
        if watch.threshold is not None and _ALONE < closest < watch.threshold:
            found.append(
                f"unlike the other photographs of '{name}' (similarity {closest:.2f}, wanted "
                f"{watch.threshold:.2f}): is it the same person?"
            )
        others = _more_like(gallery, name, template, closest, watch)
        found += [line for _, line in others]
        told.append(Noticed(tuple(found), tuple(who for who, _ in others if who is not None)))
    return told


def _more_like(
    gallery: Gallery, name: str, template: Template, closest: float, watch: Watch
) -> list[tuple[int | None, str]]:
    """Say to whom else a photograph is more like than to the person's own: their id, and a line.

    Args:
        gallery: Who the others are.
        name: The person.
        template: The photograph.
        closest: Its similarity to the closest of the person's others; see `_most`.
        watch: What to look for.
    """
    if watch.threshold is None or not watch.others:
        return []
    more = "more like" if closest > _ALONE else "like"
    return [
        (
            match.person_id,
            f"{more} '{match.person}' (similarity {match.cosine_similarity:.2f}): one person "
            "under two names? `likeness people check` compares everybody",
        )
        for match in gallery.search(template.embedding[None], 2)[0]
        if match.person != name and match.cosine_similarity >= max(watch.threshold, closest)
    ]


def _most(similarities: Embeddings) -> float:
    """The greatest of some cosine similarities (N,); less than any where there are none."""
    return float(similarities.max(initial=_ALONE))


def _shortcomings(template: Template) -> tuple[str, ...]:
    return () if template.quality is None else shortcomings(template.quality)


# Photographs of a person become templates, or are skipped with a reason.


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentTerms:
    """On which terms photographs are enrolled.

    Attributes:
        face: Which face to take of each photograph, from 1; None takes the only one.
        any_quality: Whether a face may be too poor to know somebody by.
        watch: What to say of those enrolled.
        consent: What they agreed to.
        groups: What they are put into.
    """

    face: int | None
    any_quality: bool
    watch: Watch
    consent: Consent | None = None
    groups: tuple[str, ...] = ()


def enrol(
    gallery: Callable[[], Gallery],
    name: str,
    photographs: "Iterable[Seen[DetectedFace] | FailedImage]",
    terms: EnrolmentTerms,
) -> Enrolment:
    """Enrol what can be of one person's photographs, in one transaction.

    Args:
        gallery: Opens the gallery; called only when there is something to enrol, so that a first
            attempt in vain leaves no gallery behind.
        name: The person.
        photographs: What has been seen of them.
        terms: On which terms.

    Raises:
        GalleryError: The gallery refuses.
    """
    names: list[str] = []
    odd: dict[int, tuple[str, ...]] = {}
    templates: dict[int, Template] = {}
    skipped: dict[int, Skipped] = {}
    for position, photograph in enumerate(photographs):
        names.append(photograph.image if isinstance(photograph, FailedImage) else photograph.name)
        outcome = template_or_reason(photograph, terms)
        if isinstance(outcome, Template):
            templates[position] = outcome
            odd[position] = oddities(photograph)
        else:
            skipped[position] = Skipped(image=names[-1], reason=outcome)
    if templates:
        positions = list(templates)
        known = gallery().enrol(name, list(templates.values()), terms.consent, terms.groups)
        for index, owner in known.items():
            position = positions[index]
            skipped[position] = known_already(names[position], name, owner)
            del templates[position]
    return Enrolment(
        enrolled=(enrolled(gallery(), name, len(templates)),) if templates else (),
        skipped=tuple(skipped[position] for position in sorted(skipped)),
        kept=kept_photographs(
            gallery,
            name,
            [(names[at], template, odd[at]) for at, template in templates.items()],
            terms,
        ),
    )


def enrolled(gallery: Gallery, name: str, photographs: int) -> Enrolled:
    """Tell of somebody who was enrolled, and which consent covers their photographs."""
    person = gallery.person(name)
    parts = []
    if person.consent is not None:
        parts.append(f"‘{person.consent}’")
    if person.expires_on is not None:
        parts.append(f"until {person.expires_on}")
    if parts and person.consented_at is not None:
        parts.append(f"noted {person.consented_at[:10]}")
    return Enrolled(person=name, photographs=photographs, consent=", ".join(parts) or None)


def kept_photographs(
    gallery: Callable[[], Gallery],
    name: str,
    photographs: Sequence[tuple[str, Template, tuple[str, ...]]],
    terms: EnrolmentTerms,
) -> tuple[Kept, ...]:
    """Tell of a person's photographs that were enrolled.

    Args:
        gallery: Opens the gallery.
        name: The person.
        photographs: What each is called, its template, and what is odd about its file.
        terms: On which terms they were enrolled.
    """
    if not photographs:
        return ()
    found = noticed(gallery(), name, [template for _, template, _ in photographs], terms.watch)
    return tuple(
        Kept(
            image=image,
            person=name,
            quality=template.quality,
            warnings=odd + told.lines,
            named=told.named,
        )
        for (image, template, odd), told in zip(photographs, found, strict=True)
        if template.quality is not None
    )


def oddities(photograph: "Seen[DetectedFace] | FailedImage") -> tuple[str, ...]:
    """What is odd about a photograph's file, a line each."""
    return () if isinstance(photograph, FailedImage) else photograph.warnings


def photographs_in(root: Path) -> tuple[dict[str, list[Path]], Enrolment]:
    """List a folder of folders, each named like the person on its photographs.

    Args:
        root: The folder.

    Returns:
        People and their photographs, in order; and what is not enrolled: the photographs of folders
        whose name is none, folders without a photograph, and all that is not taken.

    Raises:
        DatasetError: The folder is not one of people's photographs.
    """
    from data.datasets import read_people  # brings torch

    people: dict[str, list[Path]] = {}
    skipped: list[Skipped] = []
    found = read_people(root, minimum_people=1)
    for identity in found.identities:
        try:  # two folders may be one name in two spellings
            people.setdefault(person_name(identity.name), []).extend(identity.photographs)
        except ArgumentError as error:
            skipped += [Skipped(str(path), str(error)) for path in identity.photographs]
    skipped += [
        Skipped(str(folder), "nobody is enrolled from this folder: no photograph in it is read")
        for folder in found.empty
    ]
    accounts = (found.account,) if found.account.left else ()
    return people, Enrolment(enrolled=(), skipped=tuple(skipped), accounts=accounts)


def joined(enrolments: Iterable[Enrolment]) -> Enrolment:
    """Put the enrolments of several people together."""
    parts = list(enrolments)
    return Enrolment(
        enrolled=tuple(chain.from_iterable(part.enrolled for part in parts)),
        skipped=tuple(chain.from_iterable(part.skipped for part in parts)),
        kept=tuple(chain.from_iterable(part.kept for part in parts)),
        notes=tuple(chain.from_iterable(part.notes for part in parts)),
        accounts=tuple(chain.from_iterable(part.accounts for part in parts)),
    )


def known_already(image: str, name: str, owner: str) -> Skipped:
    """Say why the gallery has left a photograph out: under whose name it is enrolled already."""
    if owner == CONSENT_ENDED:
        return Skipped(
            image=image,
            reason=f"the consent of '{name}' is over: note a new one with `likeness people consent`"
            f" or --expires, or erase '{name}' first",
        )
    what = "this photograph" if owner == name else "this face of this photograph"
    reason = f"{what} is enrolled already as '{owner}'"
    return Skipped(image=image, reason=reason, enrolled_before=owner == name)


def template_or_reason(
    photograph: "Seen[DetectedFace] | FailedImage", terms: EnrolmentTerms
) -> Template | str:
    """Make a template of the one face that is meant, or say why there is none."""
    chosen = face_meant(photograph, terms.face)
    if isinstance(chosen, str) or isinstance(photograph, FailedImage):
        return str(chosen)
    template = template_of(photograph, chosen)
    poor = () if template.quality is None else shortcomings(template.quality)
    if poor and not terms.any_quality:
        return (
            f"the face is {', '.join(poor)}: take another photograph, or --any-quality takes this "
            "one"
        )
    return template


def check_face(face: int | None) -> None:
    """Make sure that a face of a photograph can be meant by a number.

    Raises:
        ArgumentError: It is less than 1.
    """
    if face is not None and face < 1:
        raise ArgumentError(f"face {face}: faces are counted from 1, the largest")


def face_meant(
    photograph: "Seen[DetectedFace] | FailedImage", face: int | None
) -> "DetectedFace | str":
    """Return the one face of a photograph that is meant, or why there is none.

    Args:
        photograph: What was seen.
        face: Which face, from 1, the largest; None takes the only one.
    """
    if isinstance(photograph, FailedImage):
        return photograph.error
    faces = photograph.faces
    if not faces:
        return "no face found in it"
    if face is None and len(faces) > 1:
        return f"{len(faces)} faces in it: choose one of them (--face N; 1 is the largest)"
    if face is not None and face > len(faces):
        return f"{len(faces)} face(s) in it, so there is no face {face}"
    return faces[(face or 1) - 1]


def template_of(photograph: "Seen[DetectedFace]", face: "DetectedFace") -> Template:
    """Make a template of a photograph's face."""
    from data.images import quick_png  # brings torch

    return Template(
        embedding=face.embedding,
        photograph_sha256=photograph.sha256,
        crop=quick_png(face.crop) if face.picture is None else face.picture.to_png(),
        quality=measure(face.face, face.crop),
    )
