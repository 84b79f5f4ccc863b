"""What a job says of itself while it works: a line of JSON for each step, and its plan before.

The file may be damaged or another's: of each line only what has the type and the range that a job
could have said is taken. What is none of that is passed over and counted.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import read_beginning, read_end

from .store import Job
from .supervisor import LINES

_TAIL = 8192  # bytes of the newest lines, some thirty of them
_LONG_TAIL = 100_000  # bytes that the last line may have, which tells of every face
_MOST_STEPS = 2**53  # of a download they are bytes
_MOST_SECONDS = 1e9  # thirty years
_MOST_LOSSES, _LONGEST_NAME = 32, 64
_MOST_FACES = 100
_MOST_MEMORY = 2**60  # bytes
_MOST_SCALES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """The last thing that a job has said about itself.

    Attributes:
        step: Steps done, at most `total`.
        total: Steps in all, at least one.
        losses: The named losses of that step; empty for work that has none.
        elapsed: Seconds since the first step began.
        seconds_left: The job's own estimate, or one by its newest steps; None before there is one.
    """

    step: int
    total: int
    losses: Mapping[str, float]
    elapsed: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job has said that it will take.

    Attributes:
        seconds: How long.
        memory: How many bytes.
        in_tiles: Whether some of it is painted in tiles.
    """

    seconds: float
    memory: float
    in_tiles: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceKept:
    """What a job has said of one face of its picture.

    Attributes:
        similarity: The cosine similarity to the face of the photograph; None where the picture
            shows none any more.
        threshold: From which similarity on it is the same person.
    """

    similarity: float | None
    threshold: float


def progress(job: Job) -> JobProgress | None:
    """The last line of progress that a job has printed, or None before the first."""
    found = [one for line in _newest_lines(job.folder / LINES) if (one := _progress_of(line))]
    if not found:
        return None
    first, last = found[0], found[-1]
    if last.seconds_left is not None:
        return last
    steps, seconds = last.step - first.step, last.elapsed - first.elapsed
    if steps <= 0 or seconds < 0:
        return last
    left = _number((last.total - last.step) * seconds / steps, 0, _MOST_SECONDS)
    return JobProgress(
        step=last.step,
        total=last.total,
        losses=last.losses,
        elapsed=last.elapsed,
        seconds_left=left,
    )


def plan(job: Job) -> Plan | None:
    """What a job has said that it will take, or None where it has not (yet)."""
    with suppress(OSError):
        value = _parsed(read_beginning(job.folder / LINES, _TAIL).partition(b"\n")[0])
        return _plan_of(value["plan"]) if isinstance(value, dict) and "plan" in value else None
    return None


def faces(job: Job) -> list[FaceKept]:
    """The faces in a job's last line of progress, the largest first.

    Returns:
        None of them where it keeps none, or has not ended.
    """
    lines = list(_newest_lines(job.folder / LINES, _LONG_TAIL))
    told = lines[-1].get("faces") if lines and isinstance(lines[-1], dict) else None
    if not isinstance(told, list):
        return []
    return [one for value in told[:_MOST_FACES] if (one := _face_of(value))]


def unreadable(job: Job) -> int:
    """How many of a job's newest lines, or of their parts, are nothing that a job would say."""
    amount = 0
    for line in _newest_lines(job.folder / LINES, _LONG_TAIL):
        if not isinstance(line, dict):
            amount += 1
        elif "plan" in line:
            amount += _plan_of(line["plan"]) is None
        elif "step" in line:
            amount += _progress_of(line) is None
        told = line.get("faces", []) if isinstance(line, dict) else []
        amount += not isinstance(told, list) or any(_face_of(value) is None for value in told)
    return amount


def _newest_lines(path: Path, most_bytes: int = _TAIL) -> Iterator[Any]:
    """The newest whole lines, oldest first, as what they are in JSON; None for what is none."""
    try:
        content, is_cut = read_end(path, most_bytes)
    except OSError:
        return
    lines = content.split(b"\n")
    for line in lines[1 if is_cut else 0 : -1]:  # the first and the last may be pieces
        yield _parsed(line)


def _parsed(line: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(line)
    return None


def _progress_of(value: Any) -> JobProgress | None:
    """A line of progress; None where it is another line, or tells what cannot be."""
    if not isinstance(value, dict):
        return None
    total = _whole(value.get("total"), 1, _MOST_STEPS)
    step = None if total is None else _whole(value.get("step"), 0, total)
    elapsed = _number(value.get("elapsed"), 0, _MOST_SECONDS)
    if total is None or step is None or elapsed is None:
        return None
    return JobProgress(
        step=step,
        total=total,
        losses=_losses_of(value.get("losses")),
        elapsed=elapsed,
        seconds_left=_number(value.get("seconds_left"), 0, _MOST_SECONDS),
    )


def _losses_of(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    named = [(name, _number(each, -math.inf, math.inf)) for name, each in value.items()]
    return {
        name: each
        for name, each in named[:_MOST_LOSSES]
        if each is not None and len(name) <= _LONGEST_NAME
    }


def _plan_of(value: Any) -> Plan | None:
    if not isinstance(value, dict):
        return None
    seconds = _number(value.get("seconds"), 0, _MOST_SECONDS)
    memory = _number(value.get("memory"), 0, _MOST_MEMORY)
    scales = value.get("scales")
    if seconds is None or memory is None or not isinstance(scales, list):
        return None
    tiles = [scale.get("tile") for scale in scales[:_MOST_SCALES] if isinstance(scale, dict)]
    return Plan(
        seconds=seconds,
        memory=memory,
        in_tiles=any(_whole(tile, 1, _MOST_STEPS) is not None for tile in tiles),
    )


def _face_of(value: Any) -> FaceKept | None:
    if not isinstance(value, dict) or "cosine_similarity" not in value:
        return None
    threshold = _number(value.get("threshold"), -1, 1)
    similarity = value["cosine_similarity"]
    if similarity is not None:
        # The sum of rounded products may be a little more than one.
        similarity = _number(similarity, -1.001, 1.001)
        if similarity is None:
            return None
    return None if threshold is None else FaceKept(similarity=similarity, threshold=threshold)


def _whole(value: object, least: int, most: int) -> int | None:
    """A whole number within bounds; None for anything else, as a truth value."""
    return value if type(value) is int and least <= value <= most else None


def _number(value: object, least: float, most: float) -> float | None:
    """A finite number within bounds; None for anything else."""
    if type(value) is not int and type(value) is not float:
        return None
    if not least <= value <= most:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
