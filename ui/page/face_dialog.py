"""Who a face of a photograph is: a dialog that enrols it, or takes a wrong name from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from data.errors import ArgumentError
from recognition.faces.quality import shortcomings
from recognition.results import IdentifiedFace, PersonSummary
from recognition.service import RecognitionService

from .. import wording
from ..audience import serves_others
from . import components, resources
from .language import say

if TYPE_CHECKING:
    from recognition.faces.pipeline import DetectedFace
    from recognition.photographs import Seen


CONSENT = say(
    "Enrol only people who agree to it. This machine keeps a fingerprint of "
    "the photograph, the cut-out face and the numbers computed from it; "
    "nothing leaves it."
)


_ASKED = "face-asked-about"  # in the session


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceInQuestion:
    """The face that was clicked.

    Attributes:
        id: Tells it from every other face.
        photograph: What was found in its photograph.
        place: Which of the faces that were found, from 0.
        found: Who it was taken for.
        picture: The face, as an address that holds it.
        threshold: The cosine similarity that was decided by.
    """

    id: str
    photograph: "Seen[DetectedFace]"
    place: int
    found: IdentifiedFace
    picture: str
    threshold: float


def ask(identity: str) -> None:
    """Open the dialog of a face, until it is closed or the face is named."""
    st.session_state[_ASKED] = identity


def asked() -> str | None:
    """The face whose dialog is open."""
    identity: str | None = st.session_state.get(_ASKED)
    return identity


def _close() -> None:
    st.session_state.pop(_ASKED, None)


@st.dialog(say("Who is this?"), on_dismiss=_close)
def show(
    service: RecognitionService, face: FaceInQuestion, people: Sequence[PersonSummary]
) -> None:
    """Ask whose the face is; whoever is named is enrolled by it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.image(face.picture, alt=say("The face in question"), width=96)
        with st.container(width="stretch", gap=None):
            name = face.found.person
            st.markdown(f"**{wording.plain(name)}**" if name else say("**Unknown**"))
            st.caption(wording.literal(components.closest_words(face.found, face.threshold)))
    chosen = st.selectbox(
        say("Name"),
        _names(face.found, people),
        index=None,
        accept_new_options=True,
        key=f"who-{face.id}",
        placeholder=say("Type a new name, or choose somebody"),
    )
    with components.refusals_shown():
        if st.button(
            say("Enrol this face"), type="primary", key=f"enrol-{face.id}", width="stretch"
        ):
            _enrol(service, face, chosen, any_quality=False)
        elif chosen and st.session_state.get(f"poor-{face.id}") == chosen:
            _offer_poor(service, face, chosen)
        who = face.found.person_id
        if (
            name
            and who is not None
            and st.button(
                say("It is not {name}", name=wording.plain(name)),
                key=f"not-{face.id}",
                width="stretch",
            )
        ):
            with components.at_work(say("Remembering that")):
                service.not_this_person(who, face.photograph, face=face.place + 1)
            components.done(
                say("That face will not be called {name} again.", name=wording.shorten(name))
            )
            _close()
            st.rerun()
    st.caption(CONSENT)


def _names(face: IdentifiedFace, people: Sequence[PersonSummary]) -> list[str]:
    """Everybody enrolled, whoever is like this face first; not the name that it has already."""
    # Others than the owner are not told who is closest.
    closest = [] if serves_others() else [match.person for match in face.matches]
    names = closest + [person.name for person in people]
    return [name for name in dict.fromkeys(names) if name != face.person]


def _enrol(
    service: RecognitionService, face: FaceInQuestion, name: str | None, *, any_quality: bool
) -> None:
    """Enrol the face, and close the dialog; or say why not.

    Raises:
        AppError: There is no name, or the service refuses.
    """
    if name is None:
        raise ArgumentError(say("no name yet: type one, or choose somebody"))
    resources.allow_search(1)
    with components.at_work(say("Enrolling")):
        enrolment = service.enroll(
            name, [face.photograph], face=face.place + 1, any_quality=any_quality
        )
    resources.note_enrolment(service, enrolment)
    skipped = next(iter(enrolment.skipped), None)
    if skipped is None or skipped.enrolled_before:
        components.done(say("{name} is enrolled by that face.", name=wording.shorten(name)))
        _close()
        st.rerun()
    elif shortcomings_of(face.photograph, face.place):
        st.session_state[f"poor-{face.id}"] = name
        _offer_poor(service, face, name)
    else:
        st.warning(wording.on_page(skipped.reason), icon=":material/info:")


def _offer_poor(service: RecognitionService, face: FaceInQuestion, name: str) -> None:
    """A face that is poor to know somebody by is enrolled only if that is wanted."""
    poor = ", ".join(shortcomings_of(face.photograph, face.place))
    st.warning(
        say("This face is {poor}: it is poor to know somebody by.", poor=poor),
        icon=":material/info:",
    )
    if st.button(say("Enrol it all the same"), key=f"poor-enrol-{face.id}", width="stretch"):
        _enrol(service, face, name, any_quality=True)


def shortcomings_of(photograph: "Seen[DetectedFace]", place: int) -> tuple[str, ...]:
    """In what a face of a photograph is too poor to know somebody by."""
    from recognition.faces.quality import measure

    face = photograph.faces[place]
    return tuple(shortcomings(measure(face.face, face.crop)))
