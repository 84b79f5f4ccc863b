"""What cannot be undone is asked about first: on a terminal, or by `--yes` in scripts."""

import sys
from typing import Annotated

import typer

from data.errors import ArgumentError

from . import output

YesOption = Annotated[
    bool, typer.Option("--yes", help="Agree unasked to what cannot be undone, as in scripts.")
]


def agreed(what: str, question: str, *, yes: bool) -> bool:
    """Say what would be done, and whether the user agrees to it.

    Args:
        what: What it hits, in a line, with its counts.
        question: To be answered with yes or no, such as `Erase it for good?`.
        yes: Whether they have agreed already.

    Raises:
        ArgumentError: There is nobody to ask.
    """
    if not yes and not is_on_terminal():
        raise ArgumentError(f"{what}: agree with --yes, for this cannot be undone")
    if yes:
        return True
    output.print_note(what)
    return typer.confirm(question, err=True)


def is_on_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
