"""`people`: who is enrolled; renaming, deleting, restoring, erasing."""

from dataclasses import asdict
from typing import Annotated

import typer

from .. import output
from ..options import JsonOption, Settings, command

app = typer.Typer()
_group = typer.Typer(help="See, rename and delete who is enrolled.")
app.add_typer(_group, name="people")

PersonArgument = Annotated[str, typer.Argument(metavar="NAME", help="Somebody enrolled.")]


@command(_group, "list", example="likeness people list --json")
def list_people(
    settings: Settings,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="List who can still be restored instead.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """List who is enrolled, from how many photographs, and since when."""
    with settings.recognition_service() as service:
        people = service.people(deleted=deleted)
    if as_json:
        output.print_json([asdict(person) for person in people])
        return 0
    rows = [(person.name, str(person.photographs), person.enrolled_at) for person in people]
    output.print_table(("name", "photographs", "enrolled at"), rows)
    return 0


@command(_group, "rename", example='likeness people rename Ann "Ann Smith"')
def rename(
    settings: Settings,
    old: PersonArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name from now on.")],
) -> int:
    """Give somebody another name."""
    with settings.recognition_service() as service:
        service.rename(old, new)
    output.print_line(f"{old} is now {new}")
    return 0


@command(_group, "delete", example="likeness people delete Ann")
def delete(settings: Settings, name: PersonArgument) -> int:
    """Recognise somebody no longer; within 30 days this can be undone."""
    with settings.recognition_service() as service:
        service.delete(name)
    output.print_line(f"{name} is deleted; likeness people restore undoes it for 30 days")
    return 0


@command(_group, "restore", example="likeness people restore Ann")
def restore(settings: Settings, name: PersonArgument) -> int:
    """Undo a deletion of the last 30 days."""
    with settings.recognition_service() as service:
        service.restore(name)
    output.print_line(f"{name} is enrolled again")
    return 0


@command(_group, "erase", example="likeness people erase Ann")
def erase(settings: Settings, name: PersonArgument) -> int:
    """Erase everything kept of somebody for good, deleted or not."""
    with settings.recognition_service() as service:
        service.erase(name)
    output.print_line(f"{name} is erased")
    return 0
