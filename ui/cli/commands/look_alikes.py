"""`people check` and `people tell-apart`: who looks alike, and who is enrolled twice."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ui.settings import Settings

from ... import wording
from .. import output
from ..options import UNCHANGED, JsonOption, command
from .groups import people as _group
from .people import PersonArgument

if TYPE_CHECKING:
    from recognition.results import LookAlikes


app = typer.Typer()


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
