"""What a job says of itself while it works: a line of JSON for each step, and its plan before."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import read_beginning, read_end

from .jobs import Job
from .supervise import LINES

_TAIL = 8192  # bytes of the newest lines, some thirty of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The last thing that a job has said about itself.

    Attributes:
        step: Steps done.
        total: Steps in all.
        losses: The named losses of that step; empty for work that has none.
        elapsed: Seconds since the first step began.
        seconds_left: The job's own estimate, or one by its newest steps; None before there is one.
    """

    step: int
    total: int
    losses: Mapping[str, float]
    elapsed: float
    seconds_left: float | None


def progress(job: Job) -> Progress | None:
    """The last line of progress that a job has printed, or None before the first."""
    lines = list(_newest_lines(job.folder / LINES))
    if not lines:
        return None
    first, last = lines[0], lines[-1]
    steps, seconds = last["step"] - first["step"], last["elapsed"] - first["elapsed"]
    by_speed = (last["total"] - last["step"]) * seconds / steps if steps > 0 else None
    return Progress(
        step=last["step"],
        total=last["total"],
        losses=last.get("losses", {}),
        elapsed=last["elapsed"],
        seconds_left=last.get("seconds_left", by_speed),
    )


def plan(job: Job) -> Mapping[str, Any] | None:
    """What a job has said that it will take, or None where it has not (yet)."""
    with suppress(OSError, ValueError, RecursionError):
        value = json.loads(read_beginning(job.folder / LINES, _TAIL).partition(b"\n")[0])
        if isinstance(value, dict) and isinstance(value.get("plan"), dict):
            said: Mapping[str, Any] = value["plan"]
            return said
    return None


def _newest_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The newest whole lines of progress, oldest first; others are passed over."""
    try:
        content, is_cut = read_end(path, _TAIL)
    except OSError:
        return
    lines = content.split(b"\n")
    for line in lines[1 if is_cut else 0 : -1]:  # the first and the last may be pieces
        with suppress(ValueError, RecursionError):
            value = json.loads(line)
            if isinstance(value, dict) and {"step", "total", "elapsed"} <= value.keys():
                yield value
