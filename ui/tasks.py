"""The jobs that the page starts: each is a command line of this application."""

import sys
from collections.abc import Sequence
from pathlib import Path

from style.config import Region, StyleConfig

from . import jobs
from .jobs import Job, JobState
from .options import Settings
from .outputs import UNFINISHED

STYLIZE, DOWNLOAD = "stylize", "download"
"""What sorts of jobs there are."""

CONTENT, PREVIEW, PICTURE = "content.png", "preview.jpg", "picture.png"
"""The files of a stylisation: the photograph, the picture so far, the finished one."""

_PREVIEWS = 40  # in the course of one picture

_FIELDS = (
    "size", "steps", "strength", "content_weight", "style_weight", "tv_weight", "style_scale",
    "style_mix", "colors", "color_method", "keep_identity", "seed",
)  # fmt: skip
"""What the page may choose of a `StyleConfig`, beside its backbone; each is an option."""

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
    folder = jobs.prepare(_pictures(content, styles, regions), home=settings.home)
    command = [
        *_likeness(settings, "stylize"),
        str(folder / CONTENT),
        *(_word(style, folder / f"style-{number}.png") for number, style in enumerate(styles, 1)),
        *(_region(region, folder, number) for number, region in enumerate(regions, 1)),
        f"--output={folder / PICTURE}",
        f"--preview={folder / PREVIEW}",
        f"--preview-every={max(1, config.steps // _PREVIEWS)}",
        "--json-lines",
        f"--backbone={config.backbone}",
        *_options(config),
    ]
    return jobs.start(folder, command, kind=STYLIZE, title=f"{config.backbone}, {config.size} px")


def goes_on(job: Job) -> bool:
    """Whether a picture was left half painted, so that its job can be started once more."""
    return (job.folder / f"{PICTURE}{UNFINISHED}").exists()


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


def _word(style: Given, file: Path) -> str:
    """A style on the command line: its preset, or the file that was made of it."""
    return str(file) if isinstance(style, bytes) else style


def _region(region: Region[Given], folder: Path, number: int) -> str:
    """The option that asks for a region."""
    style = _word(region.style, folder / f"region-{number}.png")
    strength = "" if region.strength is None else f":{region.strength}"
    return f"--region={folder / f'mask-{number}.png'}={style}{strength}"


def _options(config: StyleConfig) -> list[str]:
    """The options that ask for a config: size and steps, and whatever is not as usual."""
    values, usual = config.settings(), StyleConfig().settings()
    options = []
    for name in _FIELDS:
        value = values[name]
        if value != usual[name] or name in ("size", "steps"):
            option = f"--{name.replace('_', '-')}"
            each = value if isinstance(value, list) else [value]
            options += [option] if value is True else [f"{option}={one}" for one in each]
    return options


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
    folder = jobs.prepare({}, home=settings.home)
    command = [*_likeness(settings, "models", "download"), name, "--yes", "--json-lines"]
    return jobs.start(folder, command, kind=DOWNLOAD, title=name)


def latest(settings: Settings, kind: str) -> list[Job]:
    """The jobs of one sort, the newest first."""
    return [job for job in jobs.all_jobs(settings.home) if job.kind == kind]


def _likeness(settings: Settings, *words: str) -> list[str]:
    """This application's command line with the shared settings."""
    given: dict[str, str | Path | None] = {"home": settings.home, "device": settings.device}
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    # -P: what lies in the folder that the server was started in is none of this application.
    program = "from ui.cli import run; run()"
    return [sys.executable, "-P", "-c", program, *words, *options]
