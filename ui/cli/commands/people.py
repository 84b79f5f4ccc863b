"""`people`: who is enrolled, what is set right by hand, who looks alike, and whose consent ends."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError, GalleryError
from recognition.gallery.names import person_name
from recognition.results import PersonState

from ... import wording
from ...settings import Settings
from ...wording import count, quality_words
from .. import output
from ..confirmation import YesOption, agreed, is_on_terminal
from ..consent import consent_of
from ..options import MAX_ID, MOST_FACES, UNCHANGED, JsonOption, command

if TYPE_CHECKING:
    from recognition.results import LookAlikes, PersonSummary
    from recognition.service import RecognitionService

app = typer.Typer()

_group = typer.Typer(help="See, rename and delete who is enrolled.")
app.add_typer(_group, name="people")

PhotographsArgument = Annotated[
    list[int],
    typer.Argument(
        metavar="NUMBER", min=1, max=MAX_ID, help="Photographs, by the numbers of `people show`."
    ),
]
PersonArgument = Annotated[str, typer.Argument(metavar="NAME", help="Somebody enrolled.")]


@command(_group, "list", example="likeness people list --json", became=UNCHANGED)
def list_people(
    settings: Settings,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="List who can still be restored instead.")
    ] = False,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="List only this group; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List who is enrolled, by how many photographs, since when, in which groups, by what consent.

    Whoever's consent has ended is not listed: they are recognised no longer, and are erased by the
    first use of the gallery a day after that was first seen.
    """
    with settings.recognition_service() as service:
        people = service.people.summaries(deleted=deleted, groups=groups or ())
    if as_json:
        output.print_json([asdict(person) for person in people])
        return 0
    if deleted:
        nothing = "nobody is deleted"
    else:
        nothing = "nobody is in these groups" if groups else "nobody is enrolled"
    print_people(people, nothing)
    return 0


@command(_group, "show", example="likeness people show Ann", became=UNCHANGED)
def show(settings: Settings, name: PersonArgument, as_json: JsonOption = False) -> int:
    """List the photographs that somebody is enrolled by.

    `closest` is the similarity to the most similar of the person's other photographs: a low one
    may be somebody else's photograph, one above 0.99 is almost the same picture.
    """
    with settings.recognition_service() as service:
        photographs = service.people.photographs(name)
    if as_json:
        output.print_json([{"name": name, **asdict(photograph)} for photograph in photographs])
        return 0
    rows = [
        (
            str(photograph.number),
            "–"
            if photograph.cosine_similarity is None
            else wording.similarity(photograph.cosine_similarity),
            quality_words(photograph.quality),
            photograph.photograph_sha256[:12],
        )
        for photograph in photographs
    ]
    output.print_table(("number", "closest", "quality", "sha-256"), rows)
    return 0


@command(_group, "group", example="likeness people group Ann Bob --add family --remove staff")
def group(
    settings: Settings,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="People enrolled.")],
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="GROUP", help="A group to put them into; may be repeated."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="GROUP", help="One to take them out of; may be repeated."),
    ] = None,
) -> int:
    """Put people into groups, or take them out; a group is there while somebody is in it."""
    with settings.recognition_service() as service:
        whom = [service.people.one(name).person_id for name in names]
        service.people.edit.group(whom, add=add or (), remove=remove or ())
    output.print_line(
        f"{count(len(set(names)), 'person', 'people')} changed: see likeness people list"
    )
    return 0


@command(_group, "merge", example='likeness people merge "Ann S." "Ann Smith"')
def merge(
    settings: Settings,
    name: PersonArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The name that stays.")],
) -> int:
    """Make two people one: INTO gets all photographs of NAME."""
    with settings.recognition_service() as service:
        gone, stays = service.people.one(name), service.people.one(into)
        service.people.edit.merge(gone.person_id, stays.person_id)
        both = service.people.one(stays.person_id)
    output.print_line(f"{name} is now {into}; likeness people undo takes it back")
    _tell_new_end(stays, both)
    return 0


@command(_group, "move", example="likeness people move Ann 12 15 --to Bob")
def move(
    settings: Settings,
    name: PersonArgument,
    numbers: PhotographsArgument,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="Whose they are; enrolled.")],
) -> int:
    """Give some of somebody's photographs to another person."""
    with settings.recognition_service() as service:
        owner, target = service.people.one(name), service.people.one(to)
        service.people.edit.move(owner.person_id, numbers, target.person_id)
        after = service.people.one(target.person_id)
    output.print_line(f"{count(len(set(numbers)), 'photograph')} of {name} moved to {to}")
    _tell_new_end(target, after)
    return 0


@command(_group, "split", example='likeness people split Ann 12 15 --as "Ann\'s sister"')
def split(
    settings: Settings,
    name: PersonArgument,
    numbers: PhotographsArgument,
    new: Annotated[str, typer.Option("--as", metavar="NAME", help="Whose they are; a new name.")],
) -> int:
    """Make a new person of some of somebody's photographs."""
    with settings.recognition_service() as service:
        service.people.edit.split(service.people.one(name).person_id, numbers, new)
        alike = service.people.spelled_alike([person_name(new)])
    output.print_line(f"{count(len(set(numbers)), 'photograph')} of {name} split off as {new}")
    for line in alike:
        output.print_warning(line)
    return 0


@command(_group, "exclude", example="likeness people exclude Ann party.jpg --face 2")
def exclude(
    settings: Settings,
    name: PersonArgument,
    photograph: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photograph.")],
    face: Annotated[
        int | None,
        typer.Option(
            "--face",
            metavar="N",
            min=1,
            max=MOST_FACES,
            help="Which face, where there are several.",
        ),
    ] = None,
) -> int:
    """Remember that a face is not somebody's.

    That face is not given the name any more, nor is one that is more like it than like the
    person. What is kept of the face goes when the person is erased.
    """
    with settings.recognition_service() as service:
        service.not_this_person(service.people.one(name).person_id, photograph, face=face)
    output.print_line(f"this face is not called {name} any more")
    return 0


@command(_group, "undo", example="likeness people undo")
def undo(settings: Settings) -> int:
    """Take back the latest change of the last 30 days; an erasure is final.

    Changes are enrolling, renaming, deleting, restoring, merging, moving, splitting, excluding,
    telling apart, grouping, noting consent, and importing.
    """
    with settings.recognition_service() as service:
        what = service.people.edit.undo()
    output.print_line(f"undone: {what}")
    return 0


@command(_group, "history", example="likeness people history", became=UNCHANGED)
def history(settings: Settings, as_json: JsonOption = False) -> int:
    """List what can be undone, the latest first."""
    with settings.recognition_service() as service:
        operations = service.people.operations()
    if as_json:
        output.print_json([asdict(operation) for operation in operations])
        return 0
    rows = [(operation.done_at[:19], operation.what) for operation in operations]
    output.print_table(("done at", "what"), rows, "nothing can be undone")
    return 0


@command(_group, "rename", example='likeness people rename Ann "Ann Smith"')
def rename(
    settings: Settings,
    old: PersonArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name from now on.")],
) -> int:
    """Give somebody another name."""
    with settings.recognition_service() as service:
        service.people.edit.rename(service.people.one(old).person_id, new)
        alike = service.people.spelled_alike([person_name(new)])
    output.print_line(f"{old} is now {new}")
    for line in alike:
        output.print_warning(line)
    return 0


@command(_group, "delete", example="likeness people delete Ann")
def delete(settings: Settings, name: PersonArgument) -> int:
    """Recognise somebody no longer; within 30 days this can be undone."""
    with settings.recognition_service() as service:
        service.people.edit.delete(service.people.one(name).person_id)
    output.print_line(f"{name} is deleted; likeness people restore undoes it for 30 days")
    return 0


@command(_group, "restore", example="likeness people restore Ann")
def restore(
    settings: Settings,
    name: PersonArgument,
    number: Annotated[
        int | None,
        typer.Option(
            "--id",
            metavar="ID",
            min=1,
            max=MAX_ID,
            help="Which of several who were called so; `people list --deleted --json` has the ids.",
        ),
    ] = None,
) -> int:
    """Undo a deletion of the last 30 days."""
    with settings.recognition_service() as service:
        person = service.people.one(name if number is None else number, PersonState.DELETED)
        if person.name != person_name(name):
            raise ArgumentError(f"the person with the id {number} is called '{person.name}'")
        service.people.edit.restore(person.person_id)
    output.print_line(f"{name} is enrolled again")
    return 0


def _tell_new_end(before: "PersonSummary", after: "PersonSummary") -> None:
    """Say where photographs of somebody else have brought an earlier end of consent."""
    if after.expires_on != before.expires_on:
        output.print_note(
            f"{after.name} is kept until {after.expires_on}, the earlier end of the two consents"
        )


@command(_group, "erase", example="likeness people erase Ann")
def erase(
    settings: Settings,
    name: PersonArgument,
    number: Annotated[
        int | None,
        typer.Option(
            "--id",
            metavar="ID",
            min=1,
            max=MAX_ID,
            help="Which of several who are or were called so; `people list --json` has the ids.",
        ),
    ] = None,
    yes: YesOption = False,
) -> int:
    """Erase everything kept of somebody for good, deleted or not.

    What goes is said first, and asked about on a terminal; scripts agree by --yes. One person is
    erased: where somebody enrolled and somebody deleted have the name, --id says who is meant.
    """
    with settings.recognition_service() as service:
        person, state = _whom(service, name, number)
        kept = f"{person.name} ({state}): 1 person, {count(person.photographs, 'photograph')}"
        if not agreed(kept, f"Erase {output.one_line(person.name)} for good?", yes=yes):
            output.print_error("nothing was erased")
            return 1
        lingers = service.people.erase(person.person_id)
    output.print_line(f"erased {kept}")
    if lingers:
        output.print_warning(lingers)
    return 0


@command(_group, "check", example="likeness people check --margin 0.1", became=UNCHANGED)
def check(
    settings: Settings,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="T",
            min=-1,
            max=1,
            help="Cosine similarity from which on two photographs are taken for one person's, "
            "however many are compared; else a tenth at most of those listed are two people.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            metavar="X",
            min=0,
            max=2,
            help="How far below it to look as well; 0.05 with --threshold, else 0.",
        ),
    ] = None,
    told_apart: Annotated[
        bool,
        typer.Option("--all", help="List those as well who are known to be two people."),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Find people enrolled under two names, and with --threshold or --margin who looks alike.

    Everybody is compared with everybody, and the more there are the more are alike by chance. So
    many are listed that a tenth of them at most is expected to be two people, by what the weights
    say of different people; `chance` is that part down to the line. `share` is the part of two
    people's pairs of photographs that reach the threshold.
    Two people who only look alike are not listed again after `people tell-apart`.
    """
    with settings.recognition_service() as service:
        found = service.thresholds.look_alikes(
            threshold=threshold, margin=margin, told_apart=told_apart
        )
    if as_json:
        output.print_json([asdict(pair) for pair in found])
        return 0
    columns = ("person", "other", "similarity", "photographs", "share", "chance", "verdict")
    output.print_table(
        columns, [_pair_row(pair) for pair in found], "nobody looks like anybody else"
    )
    return 0


@command(_group, "tell-apart", example="likeness people tell-apart Ann Bob")
def tell_apart(
    settings: Settings,
    name: PersonArgument,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Somebody else.")],
) -> int:
    """Remember that two people who look alike are two: `people check` lists them no more.

    Of either, the face most like the other is kept as not the other's, as by `people exclude`.
    It goes when either is erased.
    """
    with settings.recognition_service() as service:
        one, another = service.people.one(name), service.people.one(other)
        service.people.edit.tell_apart(one.person_id, another.person_id)
    output.print_line(f"{name} and {other} are two people; likeness people undo takes it back")
    return 0


@command(
    _group, "consent", example='likeness people consent Ann --note "form 12" --until 2027-01-31'
)
def consent(
    settings: Settings,
    name: PersonArgument,
    note: Annotated[
        str | None,
        typer.Option("--note", metavar="NOTE", help="What was agreed to, in a line."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="The last day that it holds, or `never`."),
    ] = None,
) -> int:
    """Note what somebody agreed to, and until when.

    After that day, where you are, they are recognised no longer; everything kept of them is erased
    by the first use of the gallery a day after that was first seen, and cannot be restored.
    """
    agreed = consent_of(note, until)
    if agreed is None:
        raise ArgumentError("what was agreed to? Give --note NOTE, --until DATE, or both")
    with settings.recognition_service() as service:
        service.people.edit.consent(service.people.one(name).person_id, agreed)
    output.print_line(f"consent of {name} noted; likeness people list shows it")
    return 0


@command(_group, "expiring", example="likeness people expiring --days 14", became=UNCHANGED)
def expiring(
    settings: Settings,
    days: Annotated[
        int,
        typer.Option("--days", metavar="N", min=0, max=36_500, help="How many days to look ahead."),
    ] = 30,
    as_json: JsonOption = False,
) -> int:
    """List whose consent ends soon, the first to end first."""
    with settings.recognition_service() as service:
        found = service.people.expiring(days)
    if as_json:
        output.print_json([asdict(person) for person in found])
        return 0
    print_people(found, f"nobody's consent ends within {days} days")
    return 0


def _whom(
    service: "RecognitionService", name: str, number: int | None
) -> "tuple[PersonSummary, str]":
    """The one person who is to be erased, and in words whether they are enrolled or deleted.

    Raises:
        ArgumentError: Several have the name, and there is nobody to ask which.
        GalleryError: Nobody has it.
    """
    name = person_name(name)
    named = [
        (person, state)
        for state, people in (
            ("enrolled", service.people.summaries()),
            ("deleted", service.people.summaries(deleted=True)),
        )
        for person in people
        if person.name == name
    ]
    meant = [(person, state) for person, state in named if number in (None, person.person_id)]
    if not meant:
        which = "" if number is None else f", with the id {number},"
        raise GalleryError(
            f"nobody called '{name}'{which} is enrolled or deleted: `likeness people list` has "
            "the names"
        )
    if len(meant) == 1:
        return meant[0]
    lines = [
        f"id {person.person_id}: {person.name}, {state}, "
        f"{count(person.photographs, 'photograph')}, since {person.enrolled_at[:10]}"
        for person, state in meant
    ]
    if not is_on_terminal():
        raise ArgumentError(
            f"{len(meant)} people are or were called '{name}' ({'; '.join(lines)}): give --id"
        )
    for line in lines:
        output.print_note(line)
    chosen = typer.prompt("Which id?", type=int, err=True)
    return _whom(service, name, int(chosen))


def _pair_row(pair: "LookAlikes") -> tuple[str, ...]:
    return (
        pair.person,
        pair.other,
        wording.similarity(pair.cosine_similarity),
        " ".join(map(str, pair.photographs)),
        wording.percent(pair.share, 0),
        wording.percent(pair.by_chance),
        wording.verdict(pair),
    )


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
