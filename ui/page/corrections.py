"""What is set right on the People page: undo, photographs, look-alikes, one person's dialog."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from data.errors import ArgumentError, GalleryError
from recognition.results import LookAlikes, Operation, PersonSummary, PhotographSummary
from recognition.service import RecognitionService

from .. import wording
from ..audience import serves_others
from . import components, fields, resources, session
from .language import say
from .limits import MOST_A_MINUTE

_PHOTOGRAPHS = 24  # at once
_WIDTH = 96  # px of a face
_ALIKE_WIDTH = 64  # px of a face that is like another one
_PAIRS = 20  # at once


def undo_bar(service: RecognitionService) -> None:
    """What was done last, and a button that takes it back; nothing where nothing was."""
    operations = service.people.operations()
    if not operations:
        return
    with st.container(horizontal=True, border=True, vertical_alignment="center"):
        st.markdown(say("Done last: {what}", what=wording.literal(operations[0].what)))
        # By its number: what somebody did since in another window is not taken back unseen.
        st.button(
            say("Undo"),
            icon=":material/undo:",
            key=f"undo-{operations[0].number}",
            on_click=components.action(partial(service.people.edit.undo, operations[0].number)),
        )


def photographs(service: RecognitionService, people: Sequence[PersonSummary]) -> None:
    """Show somebody's photographs, and let some of them be given to another person."""
    with st.expander(say("Photographs"), icon=":material/photo_library:"):
        who = fields.somebody(say("Whose"), people, key="whose")
        if who is None:
            return
        own = service.people.photographs(who)
        with st.container(horizontal=True, gap="medium"):
            for photograph in session.first_of(own, key="photographs", size=_PHOTOGRAPHS):
                _photograph(service, who, photograph)
        session.more_button(own, key="photographs", size=_PHOTOGRAPHS)
        if not serves_others():
            st.caption(
                say(
                    "“Closest” is the similarity to the most similar of the others: a low "
                    "one may be somebody else’s photograph, one of 0.99 is almost the same "
                    "picture."
                )
            )
        if len(own) > 1:
            _hand_over(service, who, own, people)


def _photograph(service: RecognitionService, who: int, photograph: PhotographSummary) -> None:
    with st.container(width=_WIDTH, gap="xxsmall"):
        if thumbnail := service.people.thumbnail(who, photograph.number):
            st.image(
                thumbnail, alt=say("Photograph {number}", number=photograph.number), width=_WIDTH
            )
        closest = None if serves_others() else photograph.cosine_similarity
        number = say("No. {number}", number=photograph.number)
        st.caption(
            number
            if closest is None
            else say(
                "{number}, closest {number_2}", number=number, number_2=wording.number(closest)
            )
        )
        st.caption(wording.literal(wording.quality_words(photograph.quality)))


def _hand_over(
    service: RecognitionService,
    who: int,
    own: Sequence[PhotographSummary],
    people: Sequence[PersonSummary],
) -> None:
    """Give chosen photographs to somebody enrolled, or to somebody new."""
    chosen = st.multiselect(
        say("These numbers"), [photograph.number for photograph in own], key=f"numbers-{who}"
    )
    left, right = st.columns(2)
    with left:
        to = fields.somebody(say("belong to"), people, besides=who, key=f"to-{who}")
    new = right.text_input(
        say("or to somebody new"), key=f"new-{who}", placeholder=say("a new name")
    )
    st.button(
        say("Give them"),
        key=f"give-{who}",
        disabled=not chosen or (to is None and not new.strip()),
        on_click=components.action(
            partial(service.people.edit.split, who, chosen, new)
            if new.strip() or to is None
            else partial(service.people.edit.move, who, chosen, to)
        ),
    )


def look_alikes(service: RecognitionService, people: Sequence[PersonSummary]) -> None:
    """On request, compare everybody with everybody, once, and show who is alike."""
    with st.expander(say("Who looks alike?"), icon=":material/group_search:"):
        st.caption(
            say(
                "People who look alike are easily mistaken. One person under two names "
                "is made one by “Merge into”, under “Change”."
            )
        )
        found: dict[str, Any] = st.session_state.setdefault("alike", {"of": None, "pairs": []})
        if st.button(say("Compare everybody"), key="compare-everybody"):
            with components.refusals_shown():
                _compare(service, people, found)
        if found["of"] != _state(service, people):
            return
        pairs: list[LookAlikes] = found["pairs"]
        if not pairs:
            st.success(
                say("Nobody is so alike that it would not be by chance."), icon=":material/check:"
            )
        for pair in pairs[:_PAIRS]:
            _pair(service, pair)
        if len(pairs) > _PAIRS:
            st.caption(
                say("{amount} more: likeness people check lists all.", amount=len(pairs) - _PAIRS)
            )


def _compare(
    service: RecognitionService, people: Sequence[PersonSummary], found: dict[str, Any]
) -> None:
    """Compare everybody with everybody, and put down what was found.

    Raises:
        AppError: The service refuses, or too much was compared in the last minute.
    """
    found["of"] = None
    # Everybody is searched for; of what may be compared in a minute that takes half at most.
    resources.allow_search(min(len(people), MOST_A_MINUTE // 2))
    with components.at_work(say("Comparing")):
        found["pairs"] = _told(service.thresholds.look_alikes())
    found["of"] = _state(service, people)
    resources.note_search(
        service, (who for one in found["pairs"] for who in (one.person_id, one.other_id))
    )


def _told(pairs: Sequence[LookAlikes]) -> list[LookAlikes]:
    """Those who are alike, the most alike first; to others than the owner by name."""
    if serves_others():
        return sorted(pairs, key=lambda pair: (pair.person, pair.other))
    return list(pairs)


def _state(
    service: RecognitionService, people: Sequence[PersonSummary]
) -> tuple[tuple[PersonSummary, ...], tuple[Operation, ...]]:
    """What a comparison of everybody holds for."""
    return tuple(people), service.people.operations()[:1]


def _pair(service: RecognitionService, pair: LookAlikes) -> None:
    """Their two faces that are most alike, how alike, and a button that says that they are two."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        both = pair.person_id, pair.other_id
        names = pair.person, pair.other
        shown = (None, None) if serves_others() else pair.photographs
        for who, name, photograph in zip(both, names, shown, strict=True):
            if thumbnail := service.people.thumbnail(who, photograph):
                st.image(thumbnail, alt=wording.shorten(name), width=_ALIKE_WIDTH)
        with st.container(width="stretch", gap=None):
            st.markdown(
                say(
                    "{person} and {other}",
                    person=wording.plain(pair.person),
                    other=wording.plain(pair.other),
                )
            )
            st.caption(_how_alike(pair))
        st.button(
            say("They are two people"),
            key="apart-{}-{}".format(*both),
            on_click=components.action(partial(_tell_apart, service, pair)),
        )


def _how_alike(pair: LookAlikes) -> str:
    """How alike two people are; to others than the owner the verdict alone."""
    verdict = wording.verdict(pair)
    if serves_others():
        return wording.capital(f"{verdict}.")
    return say(
        "{number}, {verdict}: {value:.0f} % of their pairs of photographs reach the threshold",
        number=wording.number(pair.cosine_similarity),
        verdict=verdict,
        value=100 * pair.share,
    )


def _tell_apart(service: RecognitionService, pair: LookAlikes) -> None:
    """Remember that two people are two; the list of others who are alike stays open."""
    service.people.edit.tell_apart(pair.person_id, pair.other_id)
    found = st.session_state["alike"]
    people, _ = found["of"]
    found["of"] = _state(service, people)
    both = pair.person_id, pair.other_id
    found["pairs"] = [one for one in found["pairs"] if (one.person_id, one.other_id) != both]


# One person, and what can be done to them: name, groups, merging, deleting.


_WANTED = "person-wanted"  # whose dialog shall be opened, in the session


def change_button(person: PersonSummary) -> None:
    """The button that opens a person's dialog."""
    st.button(
        say("Change"),
        key=f"change-{person.person_id}",
        icon=":material/edit:",
        help=say("Name, groups, merging and deleting of {name}", name=wording.plain(person.name)),
        on_click=partial(st.session_state.__setitem__, _WANTED, person),
    )


def show_changed_person(service: RecognitionService) -> None:
    """Open the dialog whose button was clicked, until it is closed or something is done in it.

    Raises:
        GalleryError: The person was deleted or made one with another meanwhile.
    """
    wanted: PersonSummary | None = st.session_state.get(_WANTED)
    if wanted is not None:
        try:
            _dialog(service, _now(service, wanted))
        except GalleryError:
            _close()
            raise


def _close() -> None:
    """Open no dialog any more."""
    st.session_state.pop(_WANTED, None)


def _now(service: RecognitionService, person: PersonSummary) -> PersonSummary:
    """A person as enrolled now, by id where there is one: names change in other tabs.

    Raises:
        GalleryError: There is none any more.
    """
    for one in service.people.summaries():
        if one.person_id == person.person_id:
            return one
    raise GalleryError(
        say(
            "{name} is not enrolled any more: deleted, or made one with somebody, in "
            "another window",
            name=wording.shorten(person.name),
        )
    )


@st.dialog(say("Change"), on_dismiss=_close)
def _dialog(service: RecognitionService, opened: PersonSummary) -> None:
    """What can be done to a person."""
    components.messages()
    with components.refusals_shown():
        person = _now(service, opened)
        people = service.people.summaries()
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            if thumbnail := service.people.thumbnail(person.person_id):
                st.image(thumbnail, alt=wording.shorten(person.name), width=96)
            with st.container(width="stretch", gap=None):
                st.markdown(f"**{wording.plain(person.name)}**")
                st.caption(
                    say(
                        "Enrolled {enrolled_at}{consent_of}",
                        enrolled_at=person.enrolled_at[:10],
                        consent_of=_consent_of(person),
                    )
                )
        _rename(service, person)
        _groups(service, person, people)
        _merge(service, person, people)
        if st.button(
            say("Delete"),
            key=f"delete-{person.person_id}",
            icon=":material/delete:",
            width="stretch",
            help=say("This can be undone for 30 days."),
        ):
            service.people.edit.delete(person.person_id)
            _close()
            st.rerun()


def _rename(service: RecognitionService, person: PersonSummary) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.text_input(say("New name"), key=f"rename-to-{person.person_id}")
        if st.button(say("Rename"), key=f"rename-{person.person_id}"):
            if not name.strip():
                raise ArgumentError(say("no name yet: type the new one"))
            service.people.edit.rename(person.person_id, name)
            _close()
            st.rerun()


def _groups(
    service: RecognitionService, person: PersonSummary, people: Sequence[PersonSummary]
) -> None:
    """Groups, known or new; what is chosen holds at once."""
    key = f"groups-{person.person_id}"

    def set_groups() -> None:
        now = _now(service, person)
        chosen = st.session_state[key]
        add = [group for group in chosen if group not in now.groups]
        remove = [group for group in now.groups if group not in chosen]
        if add or remove:
            service.people.edit.group([now.person_id], add=add, remove=remove)

    st.multiselect(
        say("Groups"),
        fields.groups_of(people),
        default=person.groups,
        accept_new_options=True,
        key=key,
        placeholder=say("family, staff, …"),
        on_change=components.action(set_groups),
    )


def _merge(
    service: RecognitionService, person: PersonSummary, people: Sequence[PersonSummary]
) -> None:
    """Let a person be made one with another."""
    who = person.person_id
    if len(people) < 2:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        into = fields.somebody(say("Merge into"), people, besides=who, key=f"merge-into-{who}")
        if st.button(say("Merge"), key=f"merge-{person.person_id}"):
            if into is None:
                raise ArgumentError(say("nobody to merge with yet: choose somebody"))
            service.people.edit.merge(who, into)
            _close()
            st.rerun()


def _consent_of(person: PersonSummary) -> str:
    """What somebody agreed to and until when, if that was noted; in Markdown."""
    agreed = (
        ""
        if person.consent is None
        else say(" · agreed to: {consent}", consent=wording.plain(person.consent))
    )
    return (
        say("{agreed} · until {expires_on}", agreed=agreed, expires_on=person.expires_on)
        if person.expires_on
        else agreed
    )
