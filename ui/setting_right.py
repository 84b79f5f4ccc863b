"""Parts of the People page that set right what was enrolled: undo, photographs, look-alikes."""

from collections.abc import Sequence

import streamlit as st

from recognition.inventory import LookAlikes, PhotographSummary
from recognition.results import PersonSummary
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
        if st.button("Undo", icon=":material/undo:", key=f"undo-{operations[0].number}"):
            with components.refusals_shown():
                service.undo(operations[0].number)
                st.rerun()


def groups_form(
    service: RecognitionService, person: PersonSummary, people: Sequence[PersonSummary]
) -> None:
    """Let a person be put into groups, known or new, and taken out of them."""
    chosen = st.multiselect(
        "Groups",
        fields.groups_of(people),
        default=person.groups,
        accept_new_options=True,
        key=f"groups-{person.person_id}-{person.name}-{person.groups}",
        placeholder="family, staff, …",
    )
    add = [group for group in chosen if group not in person.groups]
    remove = [group for group in person.groups if group not in chosen]
    who = person.person_id
    if (add or remove) and st.button("Set groups", key=f"group-{who}", width="stretch"):
        with components.refusals_shown():
            service.group([who], add=add, remove=remove)
            st.rerun()


def merge_form(
    service: RecognitionService, person: PersonSummary, people: Sequence[PersonSummary]
) -> None:
    """Let a person be made one with another."""
    who = person.person_id
    into = fields.somebody("Merge into", people, besides=who, key=f"merge-into-{who}")
    if into is not None and st.button("Merge", key=f"merge-{who}", width="stretch"):
        with components.refusals_shown():
            service.merge(who, into)
            st.rerun()


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
            st.image(thumbnail, width=_WIDTH)
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
    if st.button(
        "Give them", key=f"give-{who}", disabled=not chosen or (to is None and not new.strip())
    ):
        with components.refusals_shown():
            if new.strip():
                service.split(who, chosen, new)
            elif to is not None:
                service.move(who, chosen, to)
            st.rerun()


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
        for who, photograph in zip(both, pair.photographs, strict=True):
            if thumbnail := service.thumbnail(who, photograph):
                st.image(thumbnail, width=_ALIKE_WIDTH)
        with st.container(width="stretch", gap=None):
            st.markdown(f"{wording.plain(pair.person)} and {wording.plain(pair.other)}")
            st.caption(
                f"{wording.number(pair.cosine_similarity)}, {wording.verdict(pair)}: "
                f"{100 * pair.share:.0f} % of their pairs of photographs reach the threshold"
            )
        if st.button("They are two people", key="apart-{}-{}".format(*both)):
            with components.refusals_shown():
                service.tell_apart(pair.person_id, pair.other_id)
                people, _ = st.session_state["alike"]["of"]
                st.session_state["alike"]["of"] = (people, service.operations()[:1])
                st.rerun()
