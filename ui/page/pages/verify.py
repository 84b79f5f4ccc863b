"""Verify: whether two photographs show one person, or a photograph somebody who is enrolled."""

from collections.abc import Sequence

import streamlit as st
from PIL import Image

from recognition.results import Decision, FailedImage, PersonSummary, Use, Verification
from recognition.service import RecognitionService
from ui import wording
from ui.audience import serves_others
from ui.page import components, fields, resources, session
from ui.page.components import Frame
from ui.page.fields import Upload
from ui.page.language import say

_PHOTOGRAPH, _SOMEBODY = say("Another photograph"), say("Somebody enrolled")

_EXPLAINED = 240  # px: two stand side by side, and one below the other on a telephone


def page() -> None:
    """The whole page."""
    service = resources.recognition()
    components.page_head(
        say("Verify"),
        say(
            "Whether two photographs show one person, or a photograph somebody who "
            "is enrolled. No photograph is kept."
        ),
    )
    verdict = st.container()
    people: Sequence[PersonSummary] = ()
    with components.refusals_shown():
        people = service.people.summaries()
    against = _against(people)
    left, right = st.columns(2, gap="large")
    with left:
        first = _photograph(service, say("One photograph"), key="first")
    second: Upload | PersonSummary | None = None
    with right, components.refusals_shown():
        second = _other(service, people, against)
    settings = st.container()
    st.caption(
        say(
            "Where a photograph shows several faces, the largest counts. There is no "
            "liveness test: a photograph of a photograph counts as the person."
        )
    )
    with components.refusals_shown():
        if not components.weights_at_hand(service):
            return
        with settings:
            decision = _decision(service, second)
        if first and second and decision is not None:
            with verdict, components.refusals_shown():
                found = _verify(service, first, second, decision)
                components.verdict(found)
                # To others it would tell how a face must change to pass for another.
                if isinstance(second, Upload) and not serves_others():
                    _explanation(service, first, second)


def _decision(
    service: RecognitionService, second: Upload | PersonSummary | None
) -> Decision | None:
    """From which similarity on: out of the way where it was measured, in sight otherwise."""
    person = second if isinstance(second, PersonSummary) else None
    known = components.decision(service, Use.VERIFY, person=person)
    with st.expander(say("Settings"), icon=":material/tune:", expanded=known is None):
        chosen = fields.threshold(
            known.threshold if known else None,
            key="verify-threshold",
            origin=wording.origin(known) if known else "",
        )
    if chosen is not None:
        known = components.decision(service, Use.VERIFY, threshold=chosen, person=person)
    if known is not None:
        st.caption(wording.literal(wording.capital(wording.decided(known))))
        if known.origin == "weights" and (said := service.models.threshold_provenance):
            st.caption(wording.sentence(say("Not measured here: {said}", said=said)))
    return known


def _against(people: Sequence[PersonSummary]) -> str | None:
    """The kind of what the photograph is held against, above both, which so begin at one height."""
    return st.segmented_control(
        say("Compare a photograph with"),
        [_PHOTOGRAPH, _SOMEBODY],
        default=session.begins_with("against", _PHOTOGRAPH),
        key="against",
        disabled=not people,
        help=None if people else say("Nobody is enrolled yet: enrol somebody on the page People."),
    )


def _other(
    service: RecognitionService, people: Sequence[PersonSummary], against: str | None
) -> Upload | PersonSummary | None:
    """What the photograph is held against: another one, or somebody enrolled."""
    if against != _SOMEBODY:
        return _photograph(service, say("The other"), key="second")
    who = fields.somebody(say("Whose face may it be?"), people, key="whose-face")
    if who is None:
        return None
    (chosen,) = (one for one in people if one.person_id == who)
    if thumbnail := service.people.thumbnail(chosen.person_id):
        st.image(thumbnail, alt=wording.shorten(chosen.name), width=132)
    st.caption(
        say(
            "Enrolled by {count}: the closest counts.",
            count=wording.count(chosen.photographs, "photograph"),
        )
    )
    return chosen


def _photograph(service: RecognitionService, label: str, *, key: str) -> Upload | None:
    """A field for one photograph, which is shown with the face that counts.

    Returns:
        The photograph; None without one, or with one that cannot be read, which is said here alone.
    """
    given = fields.uploads(label, key=key)
    if not given:
        return None
    (upload,) = given
    with components.refusals_shown():
        components.picture_with_faces(
            session.remembered(f"shown-{key}", upload.id, lambda: components.shown(upload.content)),
            session.remembered(key, upload.id, lambda: _frames(service, upload)),
            key=f"picture-{key}",
            description=upload.name,
        )
        return upload
    return None


def _frames(service: RecognitionService, upload: Upload) -> list[Frame]:
    """A box for each face; that of the one which counts stands out."""
    with components.at_work(say("Looking for faces")):
        (found,) = service.detect([upload.content])
    faces = () if isinstance(found, FailedImage) else found.faces
    return [
        Frame(box=face.box, tone="known" if number == 0 else "faint")
        for number, face in enumerate(faces)
    ]


def _explanation(service: RecognitionService, first: Upload, second: Upload) -> None:
    """Where in both faces the verdict comes from, if that is asked for: it takes a while."""
    if not st.toggle(say("Show which regions carry the verdict"), key="explain"):
        return

    def explain() -> list[tuple[Image.Image, float]]:
        from data.images import to_image
        from recognition.explanation import laid_over

        with components.at_work(say("Covering the faces, region by region")) as let_others:
            evidence = service.explain(
                first.content, second.content, progress=lambda *_: let_others()
            )
        return [(to_image(over), without) for over, without in laid_over(evidence)]

    drawn = session.remembered("explanation", (first.id, second.id), explain)
    with st.container(horizontal=True):
        for (picture, without), upload in zip(drawn, (first, second), strict=True):
            with st.container(width=_EXPLAINED, gap="xxsmall"):
                st.image(
                    picture,
                    alt=say("A face, and the regions that speak for one person, or against"),
                    width=_EXPLAINED,
                )
                st.caption(wording.plain(wording.shorten(upload.name)))
                st.caption(
                    say(
                        "Without the reddest place: {similarity}",
                        similarity=wording.similarity(without),
                    )
                )
    st.caption(
        say(
            "Red: where it is covered, the faces are less alike; it speaks for one person. "
            "Blue: they are more alike; it speaks against."
        )
    )


def _verify(
    service: RecognitionService,
    first: Upload,
    second: Upload | PersonSummary,
    decision: Decision,
) -> Verification:
    """Compare a photograph with another one, or with somebody enrolled, once."""

    def verify() -> Verification:
        resources.allow_search(2)
        with components.at_work(say("Comparing")):
            if isinstance(second, Upload):
                found = service.verify(first.content, second.content, decision=decision)
            else:
                found = service.verify_person(
                    first.content,
                    second.name,
                    person_id=second.person_id,
                    decision=decision,
                )
        resources.note_search(service, () if isinstance(second, Upload) else (second.person_id,))
        return found

    # What was done to the people by hand may be that this very face is not theirs.
    other = second.id if isinstance(second, Upload) else (second, service.people.operations())
    return session.remembered("verify", (first.id, other, decision), verify)


page()
