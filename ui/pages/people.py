"""People: enrol by photographs, see who is enrolled, and set right what was enrolled."""

import threading
from collections.abc import Sequence
from typing import Any

import streamlit as st

from data.errors import AppError
from recognition.results import Enrolment, PersonSummary
from recognition.service import RecognitionService
from ui import components, fields, memory, resources, setting_right, wording
from ui.fields import Upload

_PAGE = 24  # people at once
_RECEIPT_LINES, _RECEIPT_HEIGHT = 10, 320

_CONSENT = (
    "Enrol only people who agree to it. Of each photograph this machine keeps a fingerprint, the "
    "cut-out face and the numbers computed from it; nothing leaves it. There is no liveness test: "
    "a photograph of a photograph counts as the person."
)


def page() -> None:
    """The whole page."""
    service = resources.recognition()
    components.page_head("People", "Those whom Identify can name.")
    notice = st.container()
    left, right = st.columns([2, 3], gap="large")
    with left:
        _enrolment(service)
    with right, components.refusals_shown():
        _people(service)
        _deleted_people(service)
    with notice:
        components.weights_at_hand(service)


def _enrolment(service: RecognitionService) -> None:
    """The form, and what the last enrolment did."""
    desk = _desk()
    turn = desk["turn"]
    with st.container(border=True):
        st.subheader("Enrol somebody", anchor=False)
        name = st.text_input("Name", key=f"name-{turn}")
        photographs = fields.photographs(key=f"enrol-{turn}")
        largest = st.checkbox(
            "Where there are several faces, take the largest",
            key=f"largest-{turn}",
            help="Otherwise such a photograph is skipped: nobody can tell whose face is meant.",
        )
        any_quality = st.checkbox(
            "Take poor faces, too",
            key=f"poor-{turn}",
            help="Otherwise faces that are small, blurred, turned, dark or bright are skipped: "
            "they are poor to know somebody by.",
        )
        if st.button("Enrol", type="primary", key=f"enrol-{turn}", width="stretch"):
            with components.refusals_shown():
                if not photographs:
                    raise AppError("no photograph yet: add one or more of this person")
                face = 1 if largest else None
                _enrol(service, turn, name, photographs, face=face, any_quality=any_quality)
                st.rerun()
        st.caption(_CONSENT)
    if desk["receipt"]:
        _receipt(*desk["receipt"])


def _desk() -> dict[str, Any]:
    """What this session has done: its `turn`, and the `receipt` of the last enrolment.

    A plain dictionary, for what is written into it stays even when a click ends this run.
    """
    desk: dict[str, Any] = st.session_state.setdefault(
        "desk", {"turn": 0, "receipt": None, "busy": threading.Lock()}
    )
    return desk


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
    looking = f"Looking at {wording.count(len(photographs), 'photograph')}"
    with desk["busy"], components.at_work(looking) as let_others:
        if desk["turn"] == turn:
            contents = [upload.content for upload in photographs]
            enrolment = service.enroll(
                name,
                contents,
                face=face,
                any_quality=any_quality,
                progress=lambda done, total: let_others(),
            )
            desk["receipt"] = (enrolment, [upload.name for upload in photographs])
            if enrolment.enrolled:
                desk["turn"] = turn + 1  # the next run shows new, empty fields


def _receipt(enrolment: Enrolment, names: Sequence[str]) -> None:
    """What became of each photograph."""
    for enrolled in enrolment.enrolled:
        count = wording.count(enrolled.photographs, "photograph")
        st.success(f"{wording.plain(enrolled.person)}: {count} enrolled", icon=":material/check:")
        if enrolled.consent:
            st.caption(f"Covered by the consent {wording.plain(enrolled.consent)}")
    if not enrolment.enrolled:
        known = all(skipped.enrolled_before for skipped in enrolment.skipped)
        why = "every photograph is enrolled already" if known else "no photograph could be used"
        st.warning(f"Nobody was enrolled: {why}.", icon=":material/info:")
    for note in enrolment.notes:
        st.caption(f":material/straighten: {wording.literal(note)}")
    # The service calls photographs without a path by their place among those given.
    left_out = {skipped.image: skipped for skipped in enrolment.skipped}
    kept = {one.image: one for one in enrolment.kept}
    places = [f"image {position}" for position in range(1, len(names) + 1)]
    with st.container(
        height=_RECEIPT_HEIGHT if len(names) > _RECEIPT_LINES else "content", gap=None
    ):
        for name, place in zip(names, places, strict=True):
            skipped = left_out.get(place)
            is_in = skipped is None or skipped.enrolled_before
            mark = ":material/check:" if is_in else ":material/block:"
            outcome = f" – {wording.on_page(skipped.reason)}" if skipped else ""
            if place in kept and not kept[place].warnings:
                outcome = f" – {wording.quality_words(kept[place].quality)}"
            st.caption(f"{mark} {wording.plain(name)}{outcome}")
            for warning in kept[place].warnings if place in kept else ():
                st.caption(f":material/warning: {wording.on_page(warning)}")


def _people(service: RecognitionService) -> None:
    """Everybody enrolled, with a thumbnail each."""
    people = service.people()
    setting_right.undo_bar(service)
    if not people:
        with st.container(border=True, gap=None):
            st.markdown("**Nobody is enrolled yet.**")
            st.caption("Two or three photographs of a person, in different light, work best.")
        return
    wanted = ""
    if len(people) > _PAGE:
        wanted = st.text_input("Find", placeholder="part of a name", key="find")
    groups = set(fields.groups(people, key="in-groups", label="In one of these groups"))
    found = [
        person
        for person in people
        if wanted.casefold() in person.name.casefold()
        and (not groups or groups.intersection(person.groups))
    ]
    st.caption(wording.count(len(found), "person", "people"))
    with st.container(horizontal=True):
        for person in memory.first_of(found, key="people", size=_PAGE):
            _person(service, person, people)
    memory.more_button(found, key="people", size=_PAGE)
    setting_right.photographs(service, people)
    setting_right.look_alikes(service, people)


def _person(
    service: RecognitionService, person: PersonSummary, people: Sequence[PersonSummary]
) -> None:
    """One person's card."""
    with st.container(width=132, gap="xxsmall"):
        if thumbnail := service.thumbnail(person.person_id):
            st.image(thumbnail, width=132)
        st.text(wording.shorten(person.name))
        st.caption(wording.count(person.photographs, "photograph"))
        if person.groups:
            st.caption(wording.plain(", ".join(person.groups)))
        with st.popover("Change", type="tertiary"):
            st.text(person.name)
            st.caption(f"Enrolled {person.enrolled_at[:10]}{_consent_of(person)}")
            who = person.person_id
            name = st.text_input("New name", key=f"rename-to-{who}-{person.name}")
            if st.button("Rename", key=f"rename-{who}", width="stretch"):
                with components.refusals_shown():
                    service.rename(who, name)
                    st.rerun()
            if st.button("Delete", key=f"delete-{who}", width="stretch"):
                with components.refusals_shown():
                    service.delete(who)
                    st.rerun()
            setting_right.groups_form(service, person, people)
            setting_right.merge_form(service, person, people)


def _consent_of(person: PersonSummary) -> str:
    """What somebody agreed to and until when, if that was noted; in Markdown."""
    agreed = "" if person.consent is None else f" · agreed to: {wording.plain(person.consent)}"
    return f"{agreed} · until {person.expires_on}" if person.expires_on else agreed


def _deleted_people(service: RecognitionService) -> None:
    """Those who can still be restored, or erased for good."""
    deleted = service.people(deleted=True)
    if not deleted:
        return
    with st.expander(f"Deleted: {wording.count(len(deleted), 'person', 'people')}"):
        st.caption("They are not recognised any more, and are erased 30 days after deletion.")
        for person in deleted:
            who = person.person_id
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(
                    f"{wording.shorten(person.name)}, deleted {(person.deleted_at or '')[:10]}",
                    width="stretch",
                )
                if st.button("Restore", key=f"restore-{who}"):
                    with components.refusals_shown():
                        service.restore(who)
                        st.rerun()
                with st.popover("Erase for good"):
                    _erasure(service, person)


def _erasure(service: RecognitionService, person: PersonSummary) -> None:
    """Say what would go for good, and let it be erased."""
    st.text(person.name)
    st.caption(
        f"{wording.count(person.photographs, 'photograph')} enrolled since "
        f"{person.enrolled_at[:10]}, their faces, groups and consent, and what can be undone. "
        "Nobody else of this name is touched. This cannot be undone."
    )
    if st.button("Erase for good", key=f"erase-{person.person_id}", type="primary"):
        with components.refusals_shown():
            service.erase(person.person_id)
            st.rerun()


page()
