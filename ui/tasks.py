"""The jobs that the page starts: each is a command line of this application."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from style.config import StyleConfig

from . import jobs
from .jobs import Job, JobState
from .options import Settings

STYLIZE, DOWNLOAD = "stylize", "download"
"""What sorts of jobs there are."""

CONTENT, PREVIEW, PICTURE = "content.png", "preview.jpg", "picture.png"
"""The files of a stylisation: the photograph, the picture so far, the finished one."""

STRENGTHS: Mapping[str, float] = {
    "faint": 0.1,
    "light": 0.3,
    "even": 1.0,
    "strong": 3.0,
    "full": 10.0,
}
"""What the page calls the style weights, beside a content weight of 1."""

_PREVIEWS = 40  # in the course of one picture


def stylize(
    settings: Settings, content: bytes, styles: Sequence[bytes], config: StyleConfig
) -> Job:
    """Start painting a picture in the background.

    Of what was handed over nothing but the pixels is kept: neither place, camera nor preview.

    Args:
        settings: Data folder, weights and device.
        content: The photograph, as a picture file.
        styles: The pictures to take the manner from, likewise.
        config: What to paint; its backbone, size, steps, weights and seed count.

    Raises:
        AppError: A picture cannot be read, enough jobs are running, or the disk does not take them.
    """
    given = {CONTENT: content}
    given |= {f"style-{number}.png": style for number, style in enumerate(styles, start=1)}
    files = {name: _pixels(file) for name, file in given.items()}
    folder = jobs.prepare(files, home=settings.home)
    command = [
        *_likeness(settings, "stylize"),
        *(str(folder / name) for name in files),
        f"--output={folder / PICTURE}",
        f"--preview={folder / PREVIEW}",
        f"--preview-every={max(1, config.steps // _PREVIEWS)}",
        "--json-lines",
        f"--backbone={config.backbone}",
        f"--size={config.size}",
        f"--steps={config.steps}",
        f"--style-weight={config.style_weight}",
        f"--content-weight={config.content_weight}",
        f"--seed={config.seed}",
    ]
    return jobs.start(folder, command, kind=STYLIZE, title=f"{config.backbone}, {config.size} px")


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


def _pixels(content: bytes) -> bytes:
    """A stranger's picture as an upright PNG that carries nothing but its pixels."""
    from data.images import as_png  # brings torch

    return as_png(content)


def _likeness(settings: Settings, *words: str) -> list[str]:
    """This application's command line with the shared settings."""
    given: dict[str, str | Path | None] = {"home": settings.home, "device": settings.device}
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    # -P: what lies in the folder that the server was started in is none of this application.
    program = "from ui.cli import run; run()"
    return [sys.executable, "-P", "-c", program, *words, *options]
