"""People: enrol by photographs, see who is enrolled, and set right what was enrolled."""

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from data.errors import AppError, GalleryError
from recognition.results import PersonSummary
from recognition.service import RecognitionService
from ui import wording
from ui.page import (
    components,
    corrections,
    enrolment_report,
    fields,
    resources,
    session,
)
from ui.page.fields import Upload
from ui.page.language import say

_PAGE = 24  # people at once

_CONSENT = say(
    "Enrol only people who agree to it. Of each photograph this machine "
    "keeps a fingerprint, the cut-out face and the numbers computed from it; "
    "nothing leaves it. There is no liveness test: a photograph of a "
    "photograph counts as the person."
)


def page() -> None:
    """The whole page."""
    service = resources.recognition()
    components.page_head(say("People"), say("Those whom Identify can name."))
    notice = st.container()
    left, right = st.columns([2, 3], gap="large")
    with left:
        _enrolment(service)
    with right, components.refusals_shown():
        _people(service)
        _deleted_people(service)
    with notice:
        components.weights_missed(service)


def _enrolment(service: RecognitionService) -> None:
    """What the last enrolment did, and the form for the next."""
    desk = _desk()
    if desk["receipt"]:
        with components.refusals_shown():
            if enrolment_report.current(desk["receipt"], service.people.summaries()) is None:
                _put_away(desk)
            elif enrolment_report.show(service, desk["receipt"]):
                _put_away(desk)
                st.rerun()
    turn = desk["turn"]
    with st.container(border=True):
        st.header(say("Enrol somebody"), anchor=False)
        name = st.text_input(
            say("Name"), session.begins_with(f"name-{turn}", ""), key=f"name-{turn}"
        )
        photographs = fields.photographs(key=f"enrol-{turn}")
        largest = st.checkbox(
            say("Of several faces, take the largest"),
            key=f"largest-{turn}",
            help=say("Otherwise you are asked whose face is meant."),
        )
        any_quality = st.checkbox(
            say("Take blurred, dark and small faces as well"),
            key=f"poor-{turn}",
            help=say(
                "Otherwise you are asked about each: a face that is small, blurred, "
                "turned, dark or bright is poor to know somebody by."
            ),
        )
        if st.button(say("Enrol"), type="primary", key=f"enrol-{turn}", width="stretch"):
            with components.refusals_shown():
                if not name.strip():
                    raise AppError(say("no name yet: type the name of the person"))
                if not photographs:
                    raise AppError(say("no photograph yet: add one or more of this person"))
                face = 1 if largest else None
                _enrol(service, turn, name, photographs, face=face, any_quality=any_quality)
                st.rerun()
        st.caption(_CONSENT)


def _desk() -> dict[str, Any]:
    """What this session has done: its `turn`, and the `receipt` of the last enrolment.

    The numbers of receipts whose form was `emptied` are noted: they alone have their photographs.

    A plain dictionary, for what is written into it stays even when a click ends this run.
    """
    desk: dict[str, Any] = st.session_state.setdefault(
        "desk",
        {"turn": 0, "receipt": None, "receipts": 0, "emptied": [], "busy": threading.Lock()},
    )
    return desk


def _put_away(desk: dict[str, Any]) -> None:
    """Show the last receipt no more, and let the photographs go that only it has."""
    last: enrolment_report.Receipt | None = desk["receipt"]
    if last is not None and last.number in desk["emptied"]:
        fields.drop(last.uploads)
    desk["receipt"] = None


def _enrol(
    service: RecognitionService,
    turn: int,
    name: str,
    photographs: Sequence[Upload],
    *,
    face: int | None,
    any_quality: bool,
) -> None:
    """Enrol once, however often the button was clicked.

    A second click starts a second run beside the first, which ends when the service has answered.
    The second one waits for that, and finds that its turn is over. Other sessions wait for one
    photograph or a few, not for all of them.
    """
    desk = _desk()
    looking = say("Looking at {count}", count=wording.count(len(photographs), "photograph"))
    with desk["busy"], components.at_work(looking) as let_others:
        if desk["turn"] == turn:
            made = enrolment_report.enrol(
                service,
                desk["receipts"],
                name,
                photographs,
                face=face,
                any_quality=any_quality,
                progress=lambda done, total: let_others(),
            )
            desk["receipts"] += 1
            _put_away(desk)
            desk["receipt"] = made
            if made.can_be_settled:
                desk["emptied"] = [made.number]
                desk["turn"] = turn + 1  # the next run shows new, empty fields
                for source in ("files", "camera"):
                    fields.forget(f"enrol-{turn}-{source}", but=made.uploads)


def _people(service: RecognitionService) -> None:
    """Everybody enrolled, with a thumbnail each."""
    people = service.people.summaries()
    corrections.undo_bar(service)
    if not people:
        with st.container(border=True, gap=None):
            st.markdown(say("**Nobody is enrolled yet.**"))
            st.caption(say("Two or three photographs of a person, in different light, work best."))
        return
    wanted = ""
    if len(people) > _PAGE:
        wanted = st.text_input(say("Find"), placeholder=say("part of a name"), key="find")
    groups = set(fields.groups(people, key="in-groups", label=say("In one of these groups")))
    found = [
        person
        for person in people
        if wanted.casefold() in person.name.casefold()
        and (not groups or groups.intersection(person.groups))
    ]
    st.caption(wording.count(len(found), "person", "people"))
    with st.container(horizontal=True):
        for person in session.first_of(found, key="people", size=_PAGE):
            _person(service, person)
    session.more_button(found, key="people", size=_PAGE)
    corrections.show_changed_person(service)
    corrections.photographs(service, people)
    corrections.look_alikes(service, people)


def _person(service: RecognitionService, person: PersonSummary) -> None:
    """One person's card."""
    with st.container(width=132, gap="xxsmall"):
        if thumbnail := service.people.thumbnail(person.person_id):
            st.image(thumbnail, alt=wording.shorten(person.name), width=132)
        st.text(wording.shorten(person.name))
        st.caption(wording.count(person.photographs, "photograph"))
        if person.groups:
            st.caption(wording.plain(", ".join(person.groups)))
        corrections.change_button(person)


def _deleted_people(service: RecognitionService) -> None:
    """Those who can still be restored, or erased for good."""
    deleted = service.people.summaries(deleted=True)
    if not deleted:
        return
    with st.expander(
        say("Deleted: {count}", count=wording.count(len(deleted), "person", "people"))
    ):
        st.caption(say("They are not recognised any more, and are erased 30 days after deletion."))
        for person in deleted:
            who = person.person_id
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(
                    say(
                        "{name}, deleted {deleted_at}",
                        name=wording.shorten(person.name),
                        deleted_at=(person.deleted_at or "")[:10],
                    ),
                    width="stretch",
                )
                st.button(
                    say("Restore"),
                    key=f"restore-{who}",
                    on_click=components.action(partial(service.people.edit.restore, who)),
                )
                with st.popover(say("Erase for good")):
                    _erasure(service, person)


def _erasure(service: RecognitionService, person: PersonSummary) -> None:
    """Say what would go for good, and let it be erased."""
    st.text(person.name)
    st.caption(
        say(
            "{count} enrolled since {enrolled_at}, their faces, groups and consent, "
            "and what can be undone. Nobody else of this name is touched. This "
            "cannot be undone.",
            count=wording.count(person.photographs, "photograph"),
            enrolled_at=person.enrolled_at[:10],
        )
    )
    st.button(
        say("Erase for good"),
        key=f"erase-{person.person_id}",
        type="primary",
        on_click=components.action(partial(_erase, service, person)),
    )


def _erase(service: RecognitionService, person: PersonSummary) -> None:
    """Erase somebody who is still deleted: another window may have restored them.

    Raises:
        GalleryError: It has.
    """
    if person.person_id not in {one.person_id for one in service.people.summaries(deleted=True)}:
        raise GalleryError(
            say(
                "{name} is not deleted any more: restored or erased in another window",
                name=wording.shorten(person.name),
            )
        )
    service.people.erase(person.person_id)


page()
