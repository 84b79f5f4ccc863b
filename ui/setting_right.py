"""Parts of the People page that set right what was enrolled: undo, photographs, look-alikes."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from recognition.results import LookAlikes, PersonSummary, PhotographSummary
from recognition.service import RecognitionService

from . import components, fields, memory, wording

_PHOTOGRAPHS = 24  # at once
_WIDTH = 96  # px of a face
_ALIKE_WIDTH = 64  # px of a face that is like another one
_PAIRS = 20  # at once


def undo_bar(service: RecognitionService) -> None:
    """What was done last, and a button that takes it back; nothing where nothing was."""
    operations = service.operations()
    if not operations:
        return
    with st.container(horizontal=True, border=True, vertical_alignment="center"):
        st.markdown(f"Done last: {wording.literal(operations[0].what)}")
        # By its number: what somebody did since in another window is not taken back unseen.
        st.button(
            "Undo",
            icon=":material/undo:",
            key=f"undo-{operations[0].number}",
            on_click=components.action(partial(service.undo, operations[0].number)),
        )


def photographs(service: RecognitionService, people: Sequence[PersonSummary]) -> None:
    """Show somebody's photographs, and let some of them be given to another person."""
    with st.expander("Photographs", icon=":material/photo_library:"):
        who = fields.somebody("Whose", people, key="whose")
        if who is None:
            return
        own = service.photographs(who)
        with st.container(horizontal=True, gap="medium"):
            for photograph in memory.first_of(own, key="photographs", size=_PHOTOGRAPHS):
                _photograph(service, who, photograph)
        memory.more_button(own, key="photographs", size=_PHOTOGRAPHS)
        st.caption(
            "“Closest” is the similarity to the most similar of the others: a low one may be "
            "somebody else’s photograph, one of 0.99 is almost the same picture."
        )
        if len(own) > 1:
            _hand_over(service, who, own, people)


def _photograph(service: RecognitionService, who: int, photograph: PhotographSummary) -> None:
    with st.container(width=_WIDTH, gap="xxsmall"):
        if thumbnail := service.thumbnail(who, photograph.number):
            st.image(thumbnail, alt=f"Photograph {photograph.number}", width=_WIDTH)
        closest = photograph.cosine_similarity
        number = f"No. {photograph.number}"
        st.caption(number if closest is None else f"{number}, closest {wording.number(closest)}")
        st.caption(wording.literal(wording.quality_words(photograph.quality)))


def _hand_over(
    service: RecognitionService,
    who: int,
    own: Sequence[PhotographSummary],
    people: Sequence[PersonSummary],
) -> None:
    """Give chosen photographs to somebody enrolled, or to somebody new."""
    chosen = st.multiselect(
        "These numbers", [photograph.number for photograph in own], key=f"numbers-{who}"
    )
    left, right = st.columns(2)
    with left:
        to = fields.somebody("belong to", people, besides=who, key=f"to-{who}")
    new = right.text_input("or to somebody new", key=f"new-{who}", placeholder="a new name")
    st.button(
        "Give them",
        key=f"give-{who}",
        disabled=not chosen or (to is None and not new.strip()),
        on_click=components.action(
            partial(service.split, who, chosen, new)
            if new.strip() or to is None
            else partial(service.move, who, chosen, to)
        ),
    )


def look_alikes(service: RecognitionService, people: Sequence[PersonSummary]) -> None:
    """On request, compare everybody with everybody, and show who is alike."""
    with st.expander("Who looks alike?", icon=":material/group_search:"):
        st.caption(
            "People who look alike are easily mistaken. One person under two names is made one by "
            "“Merge into”, under “Change”."
        )
        state = (tuple(people), service.operations()[:1])
        asked: dict[str, object] = st.session_state.setdefault("alike", {"of": None})
        if st.button("Compare everybody", key="compare-everybody"):
            asked["of"] = state
        if asked["of"] != state:
            return
        with components.at_work("Comparing"):
            pairs = service.look_alikes()
        if not pairs:
            st.success(
                "Nobody is so alike that it would not be by chance.", icon=":material/check:"
            )
        for pair in pairs[:_PAIRS]:
            _pair(service, pair)
        if len(pairs) > _PAIRS:
            st.caption(f"{len(pairs) - _PAIRS} more: likeness people check lists all.")


def _pair(service: RecognitionService, pair: LookAlikes) -> None:
    """Their two faces that are most alike, how alike, and a button that says that they are two."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        both = pair.person_id, pair.other_id
        names = pair.person, pair.other
        for who, name, photograph in zip(both, names, pair.photographs, strict=True):
            if thumbnail := service.thumbnail(who, photograph):
                st.image(thumbnail, alt=wording.shorten(name), width=_ALIKE_WIDTH)
        with st.container(width="stretch", gap=None):
            st.markdown(f"{wording.plain(pair.person)} and {wording.plain(pair.other)}")
            st.caption(
                f"{wording.number(pair.cosine_similarity)}, {wording.verdict(pair)}: "
                f"{100 * pair.share:.0f} % of their pairs of photographs reach the threshold"
            )
        st.button(
            "They are two people",
            key="apart-{}-{}".format(*both),
            on_click=components.action(partial(_tell_apart, service, pair)),
        )


def _tell_apart(service: RecognitionService, pair: LookAlikes) -> None:
    """Remember that two people are two; the list of others who are alike stays open."""
    service.tell_apart(pair.person_id, pair.other_id)
    people, _ = st.session_state["alike"]["of"]
    st.session_state["alike"]["of"] = (people, service.operations()[:1])
