"""Identify: who is in a photograph, among the people enrolled."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from data.images import load_image
from recognition.results import (
    Decision,
    FailedImage,
    Identification,
    PersonSummary,
    Use,
)
from recognition.service import RecognitionService
from ui import components, fields, memory, resources, wording
from ui.audience import serves_others
from ui.fields import Upload

_PAGE = 5  # photographs at once
_BESIDE = 2  # cards that find room beside the picture; more of them lie below it


class _Asked(NamedTuple):
    """How many people to name for each face, from which similarity on, and of which groups."""

    top_k: int
    threshold: float
    groups: tuple[str, ...]


def page() -> None:
    """The whole page."""
    service = resources.recognition()
    components.page_head("Identify", "Who is in a photograph, among the people enrolled.")
    with components.refusals_shown():
        people = service.people()
        if not people:
            with st.container(border=True, gap=None):
                st.markdown("**Nobody is enrolled yet,** so nobody can be named.")
                st.page_link("ui/pages/people.py", label="Enrol somebody", icon=":material/group:")
            components.weights_at_hand(service)
            return
        given = fields.photographs(key="identify")
        settings = st.container()
        if not components.weights_at_hand(service):
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
    groups = list(st.session_state.get("groups", ()))
    known = components.decision(service, Use.IDENTIFY, groups=groups)
    with st.expander("Settings", icon=":material/tune:", expanded=known is None):
        left, right = st.columns(2)
        # Others than the owner are told no list: each entry of it would be a comparison.
        top_k = (
            1 if serves_others() else left.slider("Closest people to list", 1, 20, 5, key="top-k")
        )
        with right:
            chosen = fields.threshold(
                known.threshold if known else None,
                key="threshold",
                origin=wording.origin(known) if known else "",
            )
    groups = fields.groups(people, key="groups", label="Only people of these groups")
    if chosen is not None:
        known = components.decision(service, Use.IDENTIFY, threshold=chosen, groups=groups)
    if known is not None:
        st.caption(wording.literal(wording.capital(wording.decided(known))))
        if known.origin == "weights" and (said := service.threshold_provenance):
            st.caption(wording.literal(f"Not measured here: {said}"))
    return top_k, known, groups


def _results(
    service: RecognitionService,
    state: tuple[tuple[PersonSummary, ...], Decision],
    given: Sequence[Upload],
    asked: _Asked,
) -> None:
    """Identify what has been given, once in a state of the gallery, and show it."""

    def identify() -> list[Identification | FailedImage]:
        resources.allow_search(len(given))
        looking = f"Looking at {wording.count(len(given), 'photograph')}"
        with components.at_work(looking) as let_others:
            contents = [upload.content for upload in given]
            found = service.identify(
                contents, **asked._asdict(), progress=lambda done, total: let_others()
            )
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
        service.operations()[:1],
        tuple(upload.id for upload in given),
        asked,
    )
    results = memory.remembered("identify", question, identify)
    pairs = list(zip(given, results, strict=True))
    for upload, result in memory.first_of(pairs, key="identify", size=_PAGE):
        st.divider()
        if isinstance(result, FailedImage):
            st.text(wording.shorten(upload.name))
            components.refusal(result.error)
        else:
            _result(service, upload, result, asked.threshold)
    memory.more_button(pairs, key="identify", size=_PAGE)
    st.caption("There is no liveness test: a photograph of a photograph counts as the person.")


def _result(
    service: RecognitionService, upload: Upload, result: Identification, threshold: float
) -> None:
    """One photograph with its names, and a card for each face."""
    image = load_image(upload.content, warn=components.oddity)
    few = len(result.faces) <= _BESIDE
    left, right = st.columns([3, 2], gap="large") if few else (st.container(), st.container())
    with left:
        components.identified_picture(image, result, key=f"picture-{upload.id}")
        st.caption(wording.plain(upload.name))
    with right:
        if not result.faces:
            st.markdown("**No face was found in this photograph.**")
        else:
            components.match_cards(image, result, threshold, key=f"cards-{upload.id}")
            _wrong_name(service, upload, result)


def _wrong_name(service: RecognitionService, upload: Upload, result: Identification) -> None:
    """Let somebody say that a face has been given the wrong name."""
    named = {
        f"{number} · {wording.shorten(face.person)}": (number, face.person_id)
        for number, face in enumerate(result.faces, 1)
        if face.person is not None and face.person_id is not None
    }
    if not named:
        return
    with st.popover("A wrong name?", type="tertiary"):
        st.caption(
            "This face will not be given the name again, nor will one that is more like it than "
            "like the person. Undo it on the People page."
        )
        chosen = st.selectbox("Which", list(named), index=None, key=f"wrong-{upload.id}")
        if chosen is not None and st.button("It is somebody else", key=f"not-{upload.id}"):
            number, person = named[chosen]
            with components.refusals_shown():
                with components.at_work("Remembering"):
                    service.not_this_person(person, upload.content, face=number)
                st.rerun()


page()
