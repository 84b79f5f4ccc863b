"""The jobs that the page starts: each is a command line of this application."""

from collections.abc import Sequence

from data.environment import NETWORK
from style.config import Region, RegionManner, StyleConfig
from ui.settings import Settings

from ..cli.destinations import UNFINISHED
from . import store
from .orders import (
    CONTENT,
    DOWNLOAD,
    PICTURE,
    PREVIEW,
    STYLIZE,
    DownloadOrder,
    StylizeOrder,
    order_of,
)
from .store import Job, JobState

__all__ = [
    "CONTENT",
    "DOWNLOAD",
    "PICTURE",
    "PREVIEW",
    "STYLIZE",
    "Given",
    "download",
    "go_on",
    "goes_on",
    "latest",
    "stylize",
]

Given = str | bytes
"""A style as the page hands it over: `preset:…`, or a picture file."""


def stylize(
    settings: Settings,
    content: bytes,
    styles: Sequence[Given],
    config: StyleConfig,
    regions: Sequence[Region[Given]] = (),
) -> Job:
    """Start painting a picture in the background.

    Of what was handed over nothing but the pixels is kept: neither place, camera nor preview.

    Args:
        settings: Data folder, weights and device.
        content: The photograph, as a picture file.
        styles: What to take the manner from: picture files likewise, or `preset:…`.
        config: What to paint; its backbone, size, steps, weights, colours, kept identities and
            seed count.
        regions: Parts that are painted in their own way; each mask is a picture file.

    Raises:
        AppError: A picture cannot be read, a mask does not suit the photograph, enough jobs are
            running, or the disk does not take them.
    """
    order = StylizeOrder(
        styles=tuple(_named(style, f"style-{number}") for number, style in enumerate(styles, 1)),
        config=config,
        regions=tuple(
            Region(mask="", style=_named(it.style, f"region-{number}"), strength=it.strength)
            for number, it in enumerate(regions, 1)
        ),
    )
    folder = store.prepare(_pictures(content, styles, regions), home=settings.home)
    return store.start(folder, order.command(settings, folder), order)


def goes_on(job: Job) -> bool:
    """Whether a picture was left half painted, so that its job can be started once more."""
    return (job.folder / f"{PICTURE}{UNFINISHED}").exists()


def go_on(settings: Settings, job: Job) -> Job:
    """Start a job that has ended once more, in the same folder; it goes on with what is there.

    Args:
        settings: Data folder, weights and device.
        job: The job.

    Raises:
        AppError: Enough jobs are running, it was discarded meanwhile, or what it was asked to do
            cannot be read any more.
    """
    order = order_of(job.kind, job.order)
    return store.go_on(job, order.command(settings, job.folder), order, home=settings.home)


def _pictures(
    content: bytes, styles: Sequence[Given], regions: Sequence[Region[Given]]
) -> dict[str, bytes]:
    """Every picture that was handed over, as an upright PNG of nothing but its pixels, by name.

    Raises:
        ImageError: One of them cannot be read.
        ArgumentError: A mask has other proportions than the photograph.
    """
    from data.images import as_png, load_image  # brings torch
    from style.regions import check_proportions

    pictures = {CONTENT: as_png(content)}
    for number, style in enumerate(styles, 1):
        if isinstance(style, bytes):
            pictures[f"style-{number}.png"] = as_png(style)
    width, height = load_image(pictures[CONTENT]).size
    for number, region in enumerate(regions, 1):
        mask = load_image(region.mask, name=f"the mask of region {number}")
        check_proportions((mask.height, mask.width), number, (height, width))
        assert isinstance(region.mask, bytes)  # a mask has no presets
        pictures[f"mask-{number}.png"] = as_png(region.mask)
        if isinstance(region.style, bytes):
            named = f"the style picture of region {number}"
            load_image(region.style, name=named)  # which tells whose picture cannot be read
            pictures[f"region-{number}.png"] = as_png(region.style)
    return pictures


def _named(style: Given | RegionManner, stem: str) -> str | RegionManner:
    """A style as an order has it: as it is, or by the name of the picture that is made of it."""
    return f"{stem}.png" if isinstance(style, bytes) else style


def download(settings: Settings, name: str) -> Job:
    """Start fetching a network's weights in the background; the user has agreed to it.

    Where that is being done already, the job that does it is returned.

    Args:
        settings: Data folder.
        name: The network.

    Raises:
        AppError: Enough jobs are running, or the disk is full.
    """
    for job in latest(settings, DOWNLOAD):
        if job.title == name and job.state is JobState.RUNNING:
            return job
    order = DownloadOrder(network=name)
    folder = store.prepare({}, home=settings.home)
    command = order.command(settings, folder)
    return store.start(folder, command, order, environment=NETWORK)


def latest(settings: Settings, kind: str) -> list[Job]:
    """The jobs of one sort, the newest first."""
    return [job for job in store.all_jobs(settings.home) if job.kind == kind]
