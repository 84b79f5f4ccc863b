"""One person, and what can be done to them: name, groups, merging, deleting."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from data.errors import ArgumentError, GalleryError
from recognition.results import PersonSummary
from recognition.service import RecognitionService

from .. import wording
from . import components, fields
from .language import say

_WANTED = "person-wanted"  # whose dialog shall be opened, in the session


def button(person: PersonSummary) -> None:
    """The button that opens a person's dialog."""
    st.button(
        say("Change"),
        key=f"change-{person.person_id}",
        icon=":material/edit:",
        help=say("Name, groups, merging and deleting of {name}", name=wording.plain(person.name)),
        on_click=partial(st.session_state.__setitem__, _WANTED, person),
    )


def show_wanted(service: RecognitionService) -> None:
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
