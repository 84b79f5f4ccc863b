"""Stylize: paint a photograph in the manner of other pictures, in the background."""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from data.errors import AppError
from data.files import sha256_of
from data.images import load_image
from style.config import Region, StyleConfig
from ui import portraits, wording
from ui.jobs import reports, store, tasks
from ui.jobs.store import Job, JobState
from ui.jobs.tasks import Given
from ui.page import components, fields, resources, session, style_fields
from ui.page.fields import Upload
from ui.page.language import say
from ui.page.style_fields import Style

_RECENT = 8
_TILE = 136  # px
_EVERY = 1.0  # seconds between two looks at a running job
_SHELF_EVERY = 3.0  # and at those that are not shown


def page() -> None:
    """The whole page."""
    components.page_head(say("Stylize"), say("Paint a photograph in the manner of other pictures."))
    left, right = st.columns([2, 3], gap="large")
    with left, st.container(border=True), components.refusals_shown():
        _order()
    with right, st.container(key="easel"), components.refusals_shown():
        _easel()


def _order() -> None:
    """What to paint, and the button that starts it, which stays in sight below a long form."""
    content = fields.uploads(say("Photograph"), key="content")
    style_fields.thumbnails(content)
    styles = style_fields.styles()
    network, config = style_fields.painting(styles)
    regions = style_fields.regions(config.strength)
    with st.container(key="paint-bar"):
        clicked = st.button(
            say("Paint"),
            type="primary",
            key="paint",
            width="stretch",
            disabled=network.weights is None,
        )
    if network.weights is None:
        st.caption(say("{name} has no weights yet.", name=wording.literal(network.spec.name)))
        st.page_link("ui/page/pages/models.py", label=say("Get them"), icon=":material/download:")
    if clicked:
        if not content:
            raise AppError(say("no photograph yet: add one"))
        if not 1 <= len(styles) <= style_fields.MOST_STYLES:
            raise AppError(
                say(
                    "{count} chosen: choose one to {most_styles} styles",
                    count=wording.count(len(styles), "style"),
                    most_styles=style_fields.MOST_STYLES,
                )
            )
        _attach(_start(content[0], styles, config, regions))


def _start(
    content: Upload, styles: Sequence[Style], config: StyleConfig, regions: Sequence[Region[Given]]
) -> Job:
    """Start painting once, however often the button was clicked."""
    order = (content.id, *(style.id for style in styles), config, *map(_summed_up, regions))
    # A plain dictionary: what is written into it stays even when a second click ends this run.
    desk: dict[str, Any] = st.session_state.setdefault("orders", {"order": None, "job": None})
    with components.at_work(say("Starting")):
        running = desk["job"] and store.find(desk["job"], home=resources.settings().home)
        if running and running.state is JobState.RUNNING and desk["order"] == order:
            return running
        given = [style.given for style in styles]
        job = tasks.stylize(resources.settings(), content.content, given, config, regions)
        desk["order"], desk["job"] = order, job.id
        return job


def _summed_up(region: Region[Given]) -> tuple[object, ...]:
    """What tells a region from others, without its pictures, which a session does not keep."""
    parts = (region.mask, region.style)
    sums = [sha256_of(part) if isinstance(part, bytes) else part for part in parts]
    return (*sums, region.strength)


def _easel() -> None:
    """The picture in work or finished, and below it all the others of the last days."""
    home = resources.settings().home
    job = store.find(_chosen(), home=home)
    if session.page_was_entered():
        st.session_state["asked-for"] = 0
    if job is not None and (number := st.session_state["asked-for"]):
        # On a telephone the picture stands below a form of two screens.
        components.bring_into_sight(number, key="picture")
    if job is not None and job.state is JobState.RUNNING:
        _running(job.id)
    elif job is not None:
        _ended(job)
    shown = None if job is None else job.id
    working = any(one.state is JobState.RUNNING for one in _others(shown))
    st.fragment(_shelf, run_every=_SHELF_EVERY if working else None)(shown, working)


def _chosen() -> str:
    """The picture that is shown: the address tells which, so that a reload and going back show it.

    Going to another page takes it out of the address: whoever comes back finds it again.
    """
    named = st.query_params.get("job", "")
    if session.page_was_entered() and not named and st.session_state.get("job"):
        named = st.query_params["job"] = st.session_state["job"]
    st.session_state["job"] = named
    return named


def _attach(job: Job | None) -> None:
    """Show this job from now on, also after a reload; None shows none."""
    if job is None:
        st.query_params.pop("job", None)
    else:
        st.query_params["job"] = job.id
        st.session_state["asked-for"] = st.session_state.get("asked-for", 0) + 1
    st.rerun()


@st.fragment(run_every=_EVERY)
def _running(identity: str) -> None:
    """The picture so far, how far it is, and the way out."""
    job = store.find(identity, home=resources.settings().home)
    if job is None or job.state is not JobState.RUNNING:
        st.rerun()
        return
    progress = reports.progress(job)
    plan = reports.plan(job)
    if progress is None:
        # Before the first steps have been timed, the plan is all that is known.
        takes = ""
        if plan is not None:
            takes = say(
                " Takes {plan}.", plan=wording.plan(plan.seconds, plan.memory, plan.in_tiles)
            )
        doing = say("Loading the network …") if plan is None else say("The first step …")
        st.progress(0.0, text=doing + takes)
    else:
        left = progress.seconds_left
        if left is None and plan is not None:
            left = plan.seconds
        time_left = (
            "" if left is None else say(" · about {duration} left", duration=wording.duration(left))
        )
        text = say("Step {step} of {total}", step=progress.step, total=progress.total)
        text += say(" · stopping …") if job.cancelled else time_left
        st.progress(progress.step / progress.total, text=text)
    if preview := _picture(job, tasks.PREVIEW):
        with st.container(key="preview"):
            st.image(preview, alt=say("What is painted so far"), width="stretch")
    if st.button(
        say("Cancel"), icon=":material/stop_circle:", key="cancel", disabled=job.cancelled
    ):
        store.cancel(job)
        st.toast(say("Stopping; what is painted so far stays."))


def _ended(job: Job) -> None:
    """The picture, finished or as far as it got, beside the photograph; what to do with it."""
    name, picture = _painted(job)
    finished = name == tasks.PICTURE
    if job.state is JobState.FAILED:
        components.refusal(job.error or say("it failed"))
    elif job.state is JobState.CANCELLED:
        st.info(
            say("Cancelled. This is what was painted so far.") if picture else say("Cancelled.")
        )
    elif not picture:
        components.refusal(
            say("what was painted cannot be read any more: discard it, paint it anew")
        )
    if picture:
        with components.refusals_shown():
            before, after = session.remembered(
                "pair", f"{job.id} {job.created}", lambda: _pair(job, name)
            )
            components.before_and_after(before, after)
        progress = reports.progress(job)
        # A preview is some steps older than what the job last said of itself.
        steps = (
            say(
                " · {step} steps in {duration}",
                step=progress.step,
                duration=wording.duration(progress.elapsed),
            )
            if progress and finished
            else ""
        )
        st.caption(wording.literal(job.title) + steps)
        if finished and (faces := portraits.told_by(job)):
            show = st.caption if all(face.same_person for face in faces) else st.warning
            show(wording.literal(portraits.verdicts(faces)))
    if amount := reports.unreadable(job):
        lines = wording.count(amount, "line")
        lost = say("{lines} of what this job said of itself could not be read.", lines=lines)
        st.caption(f":material/info: {lost}")
    with st.container(horizontal=True):
        if picture:
            st.download_button(
                say("Download"),
                picture,
                file_name=f"painted{Path(name).suffix}",
                mime="image/png" if finished else "image/jpeg",
                on_click="ignore",
                type="primary",
                icon=":material/download:",
            )
        goes_on = job.state is not JobState.DONE and tasks.goes_on(job)
        if goes_on and st.button(say("Go on painting"), icon=":material/resume:"):
            with components.refusals_shown():
                tasks.go_on(resources.settings(), job)
                st.rerun()
        if job.kept:
            st.button(
                say("Kept"),
                icon=":material/bookmark_added:",
                on_click=components.action(partial(store.keep, job, False)),
                help=say(
                    "Click to have it removed after {kept_days} days again.",
                    kept_days=store.KEPT_DAYS,
                ),
            )
        else:
            st.button(
                say("Keep"),
                icon=":material/bookmark:",
                on_click=components.action(partial(store.keep, job)),
                help=say(
                    "Otherwise it is removed {kept_days} days after it was painted.",
                    kept_days=store.KEPT_DAYS,
                ),
            )
        with st.popover(say("Discard"), icon=":material/delete:"):
            st.markdown(say("The picture, and all that it was made of, is deleted for good."))
            if st.button(say("Discard it"), type="primary", key=f"discard-{job.id}"):
                store.discard(job)
                _attach(None)
        if st.button(say("Close"), icon=":material/close:"):
            _attach(None)
    if job.state is JobState.CANCELLED and not goes_on:
        st.caption(
            say(
                "It cannot be gone on with: that is so for pictures with “Keep faces "
                "recognisable”, and for those cancelled before the first step. Paint it "
                "anew."
            )
        )


def _painted(job: Job) -> tuple[str, bytes | None]:
    """What a job has painted, by file name: the picture, or else the last preview of it."""
    for name in (tasks.PICTURE, tasks.PREVIEW):
        if content := _picture(job, name):
            return name, content
    return tasks.PICTURE, None


def _picture(job: Job, name: str) -> bytes | None:
    """One of a job's pictures, if it is there and is one: a file may be damaged."""
    content = job.read(name)
    if content is not None:
        try:
            Image.open(io.BytesIO(content), formats=("PNG", "JPEG")).close()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
    return content


def _pair(job: Job, name: str) -> tuple[Image.Image, Image.Image]:
    """The photograph in the shape of what was painted, and what was painted."""
    after = load_image(job.folder / name)
    before = load_image(job.folder / tasks.CONTENT)
    return before.resize(after.size, Image.Resampling.LANCZOS), after


def _others(shown: str | None) -> list[Job]:
    """All pictures but the one that is shown: those in work first, then the newest."""
    others = [job for job in tasks.latest(resources.settings(), tasks.STYLIZE) if job.id != shown]
    return sorted(others, key=lambda job: job.state is not JobState.RUNNING)


def _shelf(shown: str | None, working: bool) -> None:
    """The other pictures of the last days with how far each is, or what to do for a first one.

    Args:
        shown: The picture above, which is not among them.
        working: Whether one of them was in work when the page was drawn.
    """
    components.unreadable_jobs()
    others = _others(shown)
    if working and not any(job.state is JobState.RUNNING for job in others):
        st.rerun()
    if not others:
        if shown is None:
            with st.container(border=True, gap=None):
                st.markdown(say("**The picture appears here.**"))
                st.caption(
                    say(
                        "Add a photograph, choose a style, and press Paint. It is painted in the "
                        "background: you may close this page, and come back to it."
                    )
                )
        return
    st.header(say("Pictures") if shown is None else say("Other pictures"), anchor=False)
    with st.container(horizontal=True, key="shelf"):
        for job in session.first_of(others, key="pictures", size=_RECENT):
            with st.container(width=_TILE, gap="xxsmall"):
                if picture := _painted(job)[1]:
                    st.image(picture, alt=wording.shorten(job.title), width=_TILE)
                st.caption(wording.literal(_state_of(job)))
                if st.button(say("Open"), key=f"open-{job.id}", width="stretch", help=job.title):
                    _attach(job)
    session.more_button(others, key="pictures", size=_RECENT)
    st.caption(
        say(
            "A picture is removed {kept_days} days after it was painted, unless you "
            "keep it. It is on this machine alone.",
            kept_days=store.KEPT_DAYS,
        )
    )


def _state_of(job: Job) -> str:
    """How a picture is doing, in a word or two."""
    if job.state is JobState.RUNNING:
        progress = reports.progress(job)
        return (
            say("{value} % painted", value=100 * progress.step // progress.total)
            if progress
            else say("Beginning")
        )
    words = {
        JobState.DONE: say("Finished"),
        JobState.FAILED: say("Failed"),
        JobState.CANCELLED: say("Cancelled"),
    }
    return say("{words}, kept", words=words[job.state]) if job.kept else words[job.state]


page()
