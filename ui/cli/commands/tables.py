"""Tables that several commands print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import output

if TYPE_CHECKING:
    from recognition.results import PersonSummary


def print_people(people: "Sequence[PersonSummary]", nothing: str) -> None:
    """Who is enrolled, in which groups, and by what consent; `nothing` says that nobody is."""
    columns = ("name", "photographs", "enrolled at", "groups", "consent", "until")
    rows = [
        (
            person.name,
            str(person.photographs),
            person.enrolled_at,
            ", ".join(person.groups) or "–",
            person.consent or "–",
            person.expires_on or "–",
        )
        for person in people
    ]
    output.print_table(columns, rows, nothing)
