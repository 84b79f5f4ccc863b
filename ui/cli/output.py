"""What the command line prints: results on stdout, errors and progress on stderr."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from data.errors import AppError

from . import streams


class UnprintedError(AppError):
    """A command has done its work, or part of it, and cannot say so on standard output."""


def unprinted(error: OSError, became: str) -> str:
    """The line for a result that cannot be printed.

    Args:
        error: Why it cannot.
        became: What became of the command's work.
    """
    return f"the result cannot be printed ({error.strerror or error}): {became}"


class Advance(Protocol):
    """Tells a progress bar how much is done, of how much, and of what if that changes.

    A note stands at the bar's end, such as how fast it goes.
    """

    def __call__(self, done: int, total: int, stage: str = "", note: str = "", /) -> None:
        """Draw the bar anew."""


_BETWEEN_LINES = 0.25  # seconds, at least
_LATE_LINES = 120  # half a minute

_JOINERS = "\u200c\u200d"  # unprintable to Python, yet part of Persian words and of emoji


def one_line(text: str) -> str:
    """Text that stays on its line: control, direction and undecodable characters are escaped."""
    return "".join(
        character
        if character.isprintable() or character in _JOINERS
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def print_error(message: str) -> None:
    """One line on stderr, after the word `error:`."""
    print(f"error: {one_line(message)}", file=sys.stderr)


def print_warning(message: str) -> None:
    """One line on stderr, after the word `warning:`."""
    print(f"warning: {one_line(message)}", file=sys.stderr)


def warner(name: object) -> Callable[[str], None]:
    """Prints what is odd about a file, a line on stderr each."""
    return lambda warning: print_warning(f"{name}: {warning}")


def print_note(message: str) -> None:
    """One line on stderr that neither fails nor warns."""
    print(one_line(message), file=sys.stderr)


def print_failure(image: str, reason: str) -> None:
    """One line on stderr about an image that failed; a reason that names it says enough."""
    print_error(naming(image, reason))


def naming(image: str, reason: str) -> str:
    """Why an image failed, with its name, which the reason may hold already."""
    return reason if one_line(image) in one_line(reason) else f"{image}: {reason}"


def print_line(text: str) -> None:
    """One line on stdout."""
    print(one_line(text))


def print_json(value: object, *, compact: bool = False) -> None:
    """A value as JSON on stdout; compact means all of it on one line, sent at once."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=None if compact else 2)
    try:
        print(text, flush=compact)
    except streams.PrintingError as error:
        error.midway = compact
        raise


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], nothing: str | None = None
) -> None:
    """A table: aligned on a terminal, otherwise one line a row with tabs between the cells.

    Args:
        columns: Their headings.
        rows: Their cells.
        nothing: What is said on stderr instead where there are no rows.
    """
    lines = [[one_line(cell) for cell in row] for row in rows]
    if not lines and nothing is not None:
        print_note(nothing)
        return
    if not sys.stdout.isatty():
        for line in (columns, *lines):
            print("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for line in lines:
        table.add_row(*(Text(cell, overflow="fold") for cell in line))
    Console().print(table)


def progress_lines() -> Advance:
    """Reports progress as lines of JSON on stdout, a few a second; the rate is that of late."""
    began = time.monotonic()
    due = began
    late = deque([(began, 0)], maxlen=_LATE_LINES)

    def report(done: int, total: int, stage: str = "", note: str = "", /) -> None:
        nonlocal due
        now = time.monotonic()
        if now < due and done < total:
            return
        due = now + _BETWEEN_LINES
        line: dict[str, object] = {"step": done, "total": total, "elapsed": round(now - began, 3)}
        before, done_before = late[0]
        late.append((now, done))
        if done > done_before and now > before:
            rate = (done - done_before) / (now - before)
            line |= {
                "per_second": round(rate, 2),
                "seconds_left": round((total - done) / rate, 1),
            }
        print_json(line, compact=True)

    return report


@contextmanager
def progress_bar(
    description: str, *, of_bytes: bool = False, shown: bool = True
) -> Iterator[Advance]:
    """A progress bar on stderr while the block runs; nothing where stderr is no terminal.

    Args:
        description: What is being done, in a word or two.
        of_bytes: Whether the numbers are bytes rather than steps.
        shown: Whether there is one; beside lines of JSON it would fold them at the terminal's edge.

    Yields:
        A function to call with what is done so far and the total.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda done, total, stage="", note="": None
        return
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class RateColumn(progress.ProgressColumn):
        """Steps a second."""

        def render(self, task: progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")

    counts: tuple[progress.ProgressColumn, ...] = (
        (progress.DownloadColumn(), progress.TransferSpeedColumn())
        if of_bytes
        else (progress.MofNCompleteColumn(), RateColumn())
    )
    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *counts,
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(one_line(description), total=None, note="")
        yield lambda done, total, stage="", note="": bar.update(
            task,
            completed=done,
            total=total,
            description=one_line(stage or description),
            note=one_line(note),
        )
