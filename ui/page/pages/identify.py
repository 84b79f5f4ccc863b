"""Identify: who is in a photograph, among the people enrolled."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from recognition.identification import name_nobody
from recognition.photographs import Seen
from recognition.results import Decision, FailedImage, Identification, PersonSummary, Use
from recognition.service import RecognitionService
from ui import wording
from ui.audience import serves_others
from ui.page import components, face_dialog, fields, resources, session
from ui.page.face_dialog import FaceInQuestion
from ui.page.fields import Upload
from ui.page.language import say

if TYPE_CHECKING:
    from recognition.faces.pipeline import DetectedFace


_PAGE = 5  # photographs at once
_BESIDE = 2  # cards that find room beside the picture; more of them lie below it
_WIDEST_BESIDE = 560  # px of a picture with cards beside it


class _Answer(NamedTuple):
    """A photograph, what was found in it, and who that is."""

    upload: Upload
    photograph: "Seen[DetectedFace]"
    result: Identification


class _Asked(NamedTuple):
    """How many people to name for each face, from which similarity on, and of which groups."""

    top_k: int
    threshold: float
    groups: tuple[str, ...]


def page() -> None:
    """The whole page."""
    service = resources.recognition()
    components.page_head(say("Identify"), say("Who is in a photograph, among the people enrolled."))
    with components.refusals_shown():
        people = service.people.summaries()
        if not people:
            with st.container(border=True, gap=None):
                st.markdown(say("**Nobody is enrolled yet.**"))
                st.caption(say("Add a photograph, and name the faces in it."))
        given = fields.photographs(key="identify")
        settings = st.container()
        if not components.weights_at_hand(service):
            return
        if not people:
            _results(service, (people, None), given, _Asked(0, 1.0, ()))
            return
        with settings:
            top_k, decision, groups = _settings(service, people)
        if given and decision is not None:
            asked = _Asked(top_k, decision.threshold, tuple(groups))
            _results(service, (people, decision), given, asked)


def _settings(
    service: RecognitionService, people: Sequence[PersonSummary]
) -> tuple[int, Decision | None, list[str]]:
    """How many people to name for each face, from which similarity on, and of which groups.

    They are out of the way where the gallery or the weights have a threshold, in sight otherwise.
    """
    # Others than the owner are judged by one threshold, whichever groups they choose: by several,
    # the same photograph would tell little by little how alike it is.
    meant = [] if serves_others() else list(st.session_state.get("groups", ()))
    known = components.decision(service, Use.IDENTIFY, groups=meant)
    with st.expander(say("Settings"), icon=":material/tune:", expanded=known is None):
        left, right = st.columns(2)
        # Others than the owner are told no list: each entry of it would be a comparison.
        top_k = (
            1
            if serves_others()
            else left.slider(
                say("Closest people to list"), 1, 20, session.begins_with("top-k", 5), key="top-k"
            )
        )
        with right:
            chosen = fields.threshold(
                known.threshold if known else None,
                key="threshold",
                origin=wording.origin(known) if known else "",
            )
    groups = fields.groups(people, key="groups", label=say("Only people of these groups"))
    if chosen is not None:
        known = components.decision(service, Use.IDENTIFY, threshold=chosen, groups=groups)
    if known is not None:
        st.caption(wording.literal(wording.capital(wording.decided(known))))
        if known.origin == "weights" and (said := service.models.threshold_provenance):
            st.caption(wording.sentence(say("Not measured here: {said}", said=said)))
    return top_k, known, groups


def _results(
    service: RecognitionService,
    state: tuple[tuple[PersonSummary, ...], Decision | None],
    given: Sequence[Upload],
    asked: _Asked,
) -> None:
    """Look at what has been given, once; name it, once in a state of the gallery; show it."""
    looked = _looked_at(service, given)

    def identify() -> list[Identification | FailedImage]:
        if not state[0]:
            return [one if isinstance(one, FailedImage) else name_nobody(one) for one in looked]
        resources.allow_search(len(given))
        found = service.identify(looked, **asked._asdict())
        resources.note_search(
            service,
            (
                face.person_id
                for one in found
                if isinstance(one, Identification)
                for face in one.faces
            ),
        )
        return found

    question = (
        state,
        service.people.operations()[:1],
        tuple(upload.id for upload in given),
        asked,
    )
    results = session.remembered("identify", question, identify)
    found = list(zip(given, looked, results, strict=True))
    for upload, one, _ in found:
        if isinstance(one, FailedImage):
            with st.container(border=True, gap=None):
                st.text(wording.shorten(upload.name))
                components.refusal(one.error)
    seen = [one for one in found if not isinstance(one[1], FailedImage)]
    for upload, photograph, result in session.first_of(seen, key="identify", size=_PAGE):
        if isinstance(photograph, Seen) and isinstance(result, Identification):
            st.divider()
            _result(service, state[0], _Answer(upload, photograph, result), asked.threshold)
    session.more_button(seen, key="identify", size=_PAGE)
    st.caption(say("There is no liveness test: a photograph of a photograph counts as the person."))


def _looked_at(
    service: RecognitionService, given: Sequence[Upload]
) -> "list[Seen[DetectedFace] | FailedImage]":
    """The faces in each photograph, which take all the time: found once, whatever is asked then."""

    def look(places: list[int]) -> "list[Seen[DetectedFace] | FailedImage]":
        looking = say("Looking at {count}", count=wording.count(len(places), "photograph"))
        with components.at_work(looking) as let_others:
            contents = [given[place].content for place in places]
            return service.look(contents, progress=lambda done, total: let_others())

    return session.each_remembered("looked-at", [upload.id for upload in given], look)


def _result(
    service: RecognitionService,
    people: Sequence[PersonSummary],
    answer: _Answer,
    threshold: float,
) -> None:
    """One photograph with its names, and a card for each face."""
    upload, photograph, result = answer
    faces = result.faces
    picture = session.remembered(
        f"shown-{upload.id}",
        upload.id,
        lambda: components.shown(upload.content, [face.face.box for face in faces]),
    )
    order = components.reading_order([face.face.box for face in faces])
    few = len(faces) <= _BESIDE
    with st.container(horizontal=few, gap="large"):
        beside = max(160, min(picture.size[0], _WIDEST_BESIDE))
        with st.container(width=beside if few else "stretch", gap=None):
            clicked = components.identified_picture(
                picture, result, order, key=f"picture-{upload.id}"
            )
            st.caption(wording.plain(upload.name))
        with st.container(width="stretch"):
            if not faces:
                st.markdown(say("**No face was found in this photograph.**"))
                return
            named = components.match_cards(
                picture, result, order, threshold, key=f"cards-{upload.id}"
            )
    if (number := clicked if named is None else named) is not None:
        face_dialog.ask(f"{upload.id}-{order[number]}")
    for place, face in enumerate(faces):
        if face_dialog.asked() == (identity := f"{upload.id}-{place}"):
            question = FaceInQuestion(
                id=identity,
                photograph=photograph,
                place=place,
                found=face,
                picture=picture.faces[place],
                threshold=threshold,
            )
            face_dialog.show(service, question, people)


page()
