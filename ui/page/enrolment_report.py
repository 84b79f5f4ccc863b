"""What became of the photographs of an enrolment; those left out can be settled where it is said.

The form that they came from is empty by then, so a receipt keeps them: whoever is asked for in a
group picture is clicked on it, and a poor face is enrolled all the same if that is wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from data.progress import Progress
from recognition.results import Enrolment, FailedImage, PersonSummary
from recognition.service import RecognitionService

from .. import wording
from . import components, face_dialog, resources, session
from .components import Frame
from .fields import Upload, drop
from .language import say

if TYPE_CHECKING:
    from recognition.faces.pipeline import DetectedFace
    from recognition.photographs import Seen


_SMALL = 96  # px of a photograph that only has to be told from others
_MOST_SHOWN = 12  # photographs left out at once


@dataclass(slots=True, kw_only=True)
class Left:
    """A photograph that was left out.

    Attributes:
        upload: The photograph.
        seen: What was found in it.
        reason: Why it was left out.
        face: Which face is meant, from 1; None where nobody has said so.
    """

    upload: Upload
    seen: "Seen[DetectedFace] | FailedImage"
    reason: str
    face: int | None = None

    @property
    def faces(self) -> int:
        """How many faces it shows."""
        return 0 if isinstance(self.seen, FailedImage) else len(self.seen.faces)

    @property
    def several(self) -> bool:
        """Whether it has to be said whose face is meant."""
        return self.faces > 1 and self.face is None

    @property
    def poor(self) -> tuple[str, ...]:
        """In what the face that is meant is too poor to know somebody by."""
        if isinstance(self.seen, FailedImage) or not self.faces or self.several:
            return ()
        return face_dialog.shortcomings_of(self.seen, (self.face or 1) - 1)

    @property
    def can_be_settled(self) -> bool:
        """Whether it can be enrolled once it is said how."""
        return self.several or bool(self.poor)

    @property
    def why(self) -> str:
        """Why it was left out, as a line of the application."""
        return say("the face is {join}", join=", ".join(self.poor)) if self.poor else self.reason


@dataclass(slots=True, kw_only=True)
class Receipt:
    """What became of each photograph of one enrolment.

    Attributes:
        number: Tells it from the one before.
        name: Whom the photographs were said to show.
        person: That person as enrolled by them; None while nobody is.
        done: What was enrolled, or was before: name, quality in words, warnings.
        amount: How many photographs were enrolled now.
        left: What was not.
        notes: What the enrolment changed besides.
    """

    number: int
    name: str
    person: PersonSummary | None = None
    done: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    amount: int = 0
    left: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def uploads(self) -> list[Upload]:
        """The photographs that were left out."""
        return [left.upload for left in self.left]

    @property
    def can_be_settled(self) -> bool:
        """Whether something was enrolled, or can be from here."""
        return bool(self.amount) or any(left.can_be_settled for left in self.left)


def enrol(
    service: RecognitionService,
    number: int,
    name: str,
    photographs: Sequence[Upload],
    *,
    face: int | None,
    any_quality: bool,
    progress: Progress | None = None,
) -> Receipt:
    """Enrol photographs, and tell what became of each.

    Raises:
        AppError: The service refuses all of them.
    """
    resources.allow_search(len(photographs))
    seen = service.look([upload.content for upload in photographs], progress=progress)
    receipt = Receipt(number=number, name=name)
    left = [
        Left(upload=upload, seen=one, reason="", face=face)
        for upload, one in zip(photographs, seen, strict=True)
    ]
    enrolment = service.enroll(name, seen, face=face, any_quality=any_quality)
    _note(service, receipt, left, enrolment)
    return receipt


def _note(
    service: RecognitionService, receipt: Receipt, given: Sequence[Left], enrolment: Enrolment
) -> None:
    """Put down what an enrolment made of some photographs."""
    # The service calls photographs without a path by their place among those given.
    skipped = {one.image: one for one in enrolment.skipped}
    kept = {one.image: one for one in enrolment.kept}
    for place, one in enumerate(given, start=1):
        out, taken = skipped.get(f"image {place}"), kept.get(f"image {place}")
        if out is not None and not out.enrolled_before:
            one.reason = out.reason
            receipt.left.append(one)
            continue
        words = out.reason if out else wording.quality_words(taken.quality) if taken else ""
        receipt.done.append((one.upload.name, words, taken.warnings if taken else ()))
    receipt.notes += [
        say("covered by the consent {consent}", consent=wording.shorten(one.consent))
        for one in enrolment.enrolled
        if one.consent
    ]
    receipt.amount += sum(one.photographs for one in enrolment.enrolled)
    receipt.notes += enrolment.notes
    name = enrolment.enrolled[0].person if enrolment.enrolled else receipt.name.strip()
    receipt.person = next(
        (one for one in service.people.summaries() if one.name == name), receipt.person
    )
    resources.note_enrolment(service, enrolment)


def _settle(
    service: RecognitionService,
    receipt: Receipt,
    left: Left,
    *,
    face: int | None = None,
    any_quality: bool = False,
) -> None:
    """Enrol a photograph that was left out, now that it is said how."""
    resources.allow_search(1)
    name = receipt.person.name if receipt.person else receipt.name
    meant = face or left.face
    enrolment = service.enroll(name, [left.seen], face=meant, any_quality=any_quality)
    left.face = meant  # only now: whoever was refused may say it once more
    receipt.left = [other for other in receipt.left if other is not left]
    _note(service, receipt, [left], enrolment)
    if left not in receipt.left:
        drop([left.upload])


def current(receipt: Receipt, people: Sequence[PersonSummary]) -> Receipt | None:
    """A receipt as far as it is still true; None where nothing of it is.

    What was done to the person since, by whomever, is not what the receipt tells: somebody renamed
    is called by the new name, and whoever was merged with another one, or deleted, is nobody.
    """
    before = receipt.person
    if before is None:
        return receipt
    now = next((one for one in people if one.person_id == before.person_id), None)
    if now is None:
        return None
    if (now.name, now.photographs) != (before.name, before.photographs):
        receipt.person, receipt.done, receipt.amount, receipt.notes = now, [], 0, []
        if not receipt.left:
            return None
    return receipt


def show(service: RecognitionService, receipt: Receipt) -> bool:
    """What was left out first, beside what to do about it; then what was enrolled.

    Returns:
        Whether the user has done with it.
    """
    name = wording.plain(receipt.person.name if receipt.person else receipt.name)
    with st.container(border=True):
        components.bring_into_sight(receipt.number, key="arrival")
        if receipt.amount:
            count = wording.count(receipt.amount, "photograph")
            st.success(
                say("{name}: {count} enrolled.", name=name, count=count), icon=":material/check:"
            )
        elif not receipt.left and receipt.done:
            st.info(
                say("{name}: every photograph is enrolled already.", name=name),
                icon=":material/info:",
            )
        elif not receipt.done:
            st.warning(say("Nobody was enrolled: see below."), icon=":material/info:")
        if receipt.left:
            st.markdown(
                say("**Left out: {count}**", count=wording.count(len(receipt.left), "photograph"))
            )
        # What cannot be settled stays, and would stand before what can be for ever.
        ordered = sorted(receipt.left, key=lambda left: not left.can_be_settled)
        for left in ordered[:_MOST_SHOWN]:
            with components.refusals_shown():
                _left_out(service, receipt, left, name)
        if more := ordered[_MOST_SHOWN:]:
            with st.expander(say("Left out: {amount} more", amount=len(more))):
                for left in more:
                    st.caption(
                        f":material/block: {wording.plain(left.upload.name)} – "
                        f"{wording.on_page(left.why)}"
                    )
        _enrolled(receipt)
        return st.button(say("Close"), key=f"close-{receipt.number}", icon=":material/close:")


def _enrolled(receipt: Receipt) -> None:
    """The photographs that are enrolled: those with a warning in sight, the others folded away."""
    for note in receipt.notes:
        st.caption(f":material/straighten: {wording.sentence(note)}")
    for name, words, warnings in receipt.done:
        for warning in warnings:
            st.caption(
                f":material/warning: {wording.plain(name)} ({wording.literal(words)}) – "
                f"{wording.on_page(warning)}"
            )
    fine = [(name, words) for name, words, warnings in receipt.done if not warnings]
    if fine:
        with st.expander(say("Enrolled: {count}", count=wording.count(len(fine), "photograph"))):
            for name, words in fine:
                st.caption(f":material/check: {wording.plain(name)} – {wording.literal(words)}")


def _left_out(service: RecognitionService, receipt: Receipt, left: Left, name: str) -> None:
    """One photograph that was left out, why, and what to do about it."""
    key = f"{receipt.number}-{left.upload.id}"
    if left.several and not isinstance(left.seen, FailedImage):
        st.caption(
            ":material/groups: "
            + say(
                "{photograph} shows {faces} faces. Click the one who is {name}.",
                photograph=wording.plain(left.upload.name),
                faces=left.faces,
                name=name,
            )
        )
        boxes = [face.face.box for face in left.seen.faces]
        picture = session.remembered(
            f"left-{key}",
            left.upload.id,
            partial(_shown, left.upload),
        )
        place = components.picture_with_faces(
            picture,
            [Frame(box=box, label="", tone="unknown") for box in boxes],
            key=f"pick-{key}",
            description=left.upload.name,
            pick=say("Enrol this face"),
        )
        if place is not None:
            with components.at_work(say("Enrolling")):
                _settle(service, receipt, left, face=place + 1)
            st.rerun()
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not isinstance(left.seen, FailedImage) and left.upload.is_there:
            st.image(
                session.remembered(f"left-{key}", left.upload.id, partial(_shown, left.upload)).url,
                alt=wording.shorten(left.upload.name),
                width=_SMALL,
            )
        with st.container(width="stretch", gap=None):
            st.text(wording.shorten(left.upload.name))
            st.caption(wording.on_page(left.why))
        if left.poor and st.button(say("Enrol it all the same"), key=f"anyway-{key}"):
            with components.at_work(say("Enrolling")):
                _settle(service, receipt, left, any_quality=True)
            st.rerun()


def _shown(upload: Upload) -> components.Shown:
    return components.shown(upload.content)
