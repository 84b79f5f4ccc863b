"""What somebody agreed to, as the command line takes it."""

from datetime import date
from typing import Annotated

import typer

from data.errors import ArgumentError
from recognition.results import Consent

NEVER = "never"

NoteOption = Annotated[
    str | None,
    typer.Option("--consent", metavar="NOTE", help="What they agreed to, in a line, and noted."),
]
ExpiresOption = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="DATE",
        help="The last day on which they are recognised, as 2027-01-31; then they are erased.",
    ),
]


def consent_of(note: str | None, until: str | None) -> Consent | None:
    """What options say of consent; None where they say nothing.

    Args:
        note: What was agreed to.
        until: The last day, or `never` for no end.

    Raises:
        ArgumentError: It is no day, or one that is over; or the note is not one line.
    """
    if note is None and until is None:
        return None
    if until == NEVER:
        return Consent(note=note, for_ever=True)
    try:
        day = None if until is None else date.fromisoformat(until)
    except ValueError as error:
        raise ArgumentError(f"{until} is no day: give one as 2027-01-31, or `never`") from error
    return Consent(note=note, until=day)
