"""Stylize: paint a photograph in the manner of other pictures, in the background."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from data.errors import AppError
from data.images import load_image
from style.config import Region, StyleConfig
from ui import (
    components,
    fields,
    jobs,
    memory,
    portraits,
    reports,
    resources,
    style_fields,
    tasks,
    wording,
)
from ui.fields import Upload
from ui.jobs import Job, JobState
from ui.style_fields import Style
from ui.tasks import Given

_RECENT = 6
_EVERY = 1.0  # seconds between two looks at a running job


def page() -> None:
    """The whole page."""
    components.page_head("Stylize", "Paint a photograph in the manner of other pictures.")
    left, right = st.columns([2, 3], gap="large")
    with left, st.container(border=True), components.refusals_shown():
        _order()
    with right, st.container(key="easel"), components.refusals_shown():
        _easel()


def _order() -> None:
    """What to paint, and the button that starts it."""
    content = fields.uploads("Photograph", key="content")
    style_fields.thumbnails(content)
    styles = style_fields.styles()
    network, config = style_fields.painting(styles)
    regions = style_fields.regions(config.strength)
    clicked = st.button(
        "Paint", type="primary", key="paint", width="stretch", disabled=network.weights is None
    )
    if network.weights is None:
        st.caption(f"{wording.literal(network.spec.name)} has no weights yet.")
        st.page_link("ui/pages/models.py", label="Get them", icon=":material/download:")
    if clicked:
        if not content or not 1 <= len(styles) <= style_fields.MOST_STYLES:
            raise AppError(f"choose one photograph, and one to {style_fields.MOST_STYLES} styles")
        _attach(_start(content[0], styles, config, regions))


def _start(
    content: Upload, styles: Sequence[Style], config: StyleConfig, regions: Sequence[Region[Given]]
) -> Job:
    """Start painting once, however often the button was clicked."""
    order = (content.id, *(style.id for style in styles), config, *regions)
    # A plain dictionary: what is written into it stays even when a second click ends this run.
    desk: dict[str, Any] = st.session_state.setdefault("orders", {"order": None, "job": None})
    with components.at_work("Starting"):
        running = desk["job"] and jobs.find(desk["job"], home=resources.settings().home)
        if running and running.state is JobState.RUNNING and desk["order"] == order:
            return running
        given = [style.given for style in styles]
        job = tasks.stylize(resources.settings(), content.content, given, config, regions)
        desk["order"], desk["job"] = order, job.id
        return job


def _easel() -> None:
    """The picture in work or finished; without one, those of the last days."""
    home = resources.settings().home
    identity = st.query_params.get("job") or st.session_state.get("job", "")
    job = jobs.find(identity, home=home)
    if job is not None:  # a reload keeps the address, going to another page and back the session
        st.session_state["job"] = st.query_params["job"] = job.id
    if job is None:
        _recent()
    elif job.state is JobState.RUNNING:
        _running(job.id)
    else:
        _ended(job)


def _attach(job: Job | None) -> None:
    """Show this job from now on, also after a reload; None shows none."""
    if job is None:
        st.session_state.pop("job", None)
        st.query_params.clear()
    else:
        st.query_params["job"] = job.id
    st.rerun()


@st.fragment(run_every=_EVERY)
def _running(identity: str) -> None:
    """The picture so far, how far it is, and the way out."""
    job = jobs.find(identity, home=resources.settings().home)
    if job is None or job.state is not JobState.RUNNING:
        st.rerun()
        return
    progress = reports.progress(job)
    plan = reports.plan(job)
    if progress is None:
        st.progress(0.0, text="Loading the network …" if plan is None else "The first step …")
    else:
        left = progress.seconds_left
        time_left = "" if left is None else f" · about {wording.duration(left)} left"
        text = f"Step {progress.step} of {progress.total}"
        text += " · stopping …" if job.cancelled else time_left
        st.progress(progress.step / progress.total, text=text)
    if plan is not None:
        st.caption(f"Takes {wording.plan(plan)}.")
    if preview := job.read(tasks.PREVIEW):
        st.image(preview, width="stretch")
    if st.button("Cancel", icon=":material/stop_circle:", key="cancel", disabled=job.cancelled):
        jobs.cancel(job)
        st.toast("Stopping; what is painted so far stays.")


def _ended(job: Job) -> None:
    """The picture, finished or as far as it got, beside the photograph; what to do with it."""
    name, picture = _painted(job)
    finished = name == tasks.PICTURE
    if job.state is JobState.FAILED:
        components.refusal(job.error or "it failed")
    elif job.state is JobState.CANCELLED:
        st.info("Cancelled. This is what was painted so far." if picture else "Cancelled.")
    if picture:
        before, after = memory.remembered(
            "pair", f"{job.id} {job.created}", lambda: _pair(job, name)
        )
        components.before_and_after(before, after)
        progress = reports.progress(job)
        # A preview is some steps older than what the job last said of itself.
        steps = (
            f" · {progress.step} steps in {wording.duration(progress.elapsed)}"
            if progress and finished
            else ""
        )
        st.caption(wording.literal(job.title) + steps)
        if finished and (faces := portraits.told_by(job)):
            show = st.caption if all(face.same_person for face in faces) else st.warning
            show(wording.literal(portraits.verdicts(faces)))
    with st.container(horizontal=True):
        if picture:
            st.download_button(
                "Download",
                picture,
                file_name=f"painted{Path(name).suffix}",
                mime="image/png" if finished else "image/jpeg",
                on_click="ignore",
                type="primary",
                icon=":material/download:",
            )
        goes_on = job.state is not JobState.DONE and tasks.goes_on(job)
        if goes_on and st.button("Go on painting", icon=":material/resume:"):
            tasks.go_on(resources.settings(), job)
            st.rerun()
        if st.button("All pictures", icon=":material/grid_view:"):
            _attach(None)
        if st.button("Discard", icon=":material/delete:"):
            jobs.discard(job)
            _attach(None)


def _painted(job: Job) -> tuple[str, bytes | None]:
    """What a job has painted, by file name: the picture, or else the last preview of it."""
    for name in (tasks.PICTURE, tasks.PREVIEW):
        if content := job.read(name):
            return name, content
    return tasks.PICTURE, None


def _pair(job: Job, name: str) -> tuple[Image.Image, Image.Image]:
    """The photograph in the shape of what was painted, and what was painted."""
    after = load_image(job.folder / name)
    before = load_image(job.folder / tasks.CONTENT)
    return before.resize(after.size, Image.Resampling.LANCZOS), after


def _recent() -> None:
    """The pictures of the last days, or what to do for a first one."""
    components.unreadable_jobs()
    recent = tasks.latest(resources.settings(), tasks.STYLIZE)[:_RECENT]
    if not recent:
        with st.container(border=True, gap=None):
            st.markdown("**The picture appears here.**")
            st.caption(
                "Add a photograph, choose a style, and press Paint. It is painted in the "
                "background: you may close this page, and come back to it."
            )
        return
    st.subheader("Pictures", anchor=False)
    with st.container(horizontal=True):
        for job in recent:
            with st.container(width=200, gap="small"):
                if shown := _painted(job)[1]:
                    st.image(shown, width=200)
                st.caption(f"{wording.literal(job.title)} · {job.state}")
                if st.button("Open", key=f"open-{job.id}", width="stretch"):
                    _attach(job)
    st.caption(f"Kept for {jobs.KEPT_DAYS} days, on this machine alone.")


page()
