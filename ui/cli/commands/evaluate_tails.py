"""`evaluate tails`: how alike a network finds people whom it never saw."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError
from ui.settings import Settings

from ...wording import count, percentage
from .. import embedding_options, output
from ..destinations import check_file
from ..embedding_options import AlignedOption, IdentitiesOption, WordsOption
from ..options import JsonOption, command

if TYPE_CHECKING:
    from recognition.evaluation.impostor_tail import ImpostorTail


app = typer.Typer()


@command(
    app,
    "tails",
    example="likeness evaluate tails --people lfw-112 --aligned --identities kept-out.txt",
)
def tails(
    settings: Settings,
    people: Annotated[
        Path,
        typer.Option(
            "--people", metavar="DIR", help="A folder for each person; a thousand of them."
        ),
    ],
    identities: IdentitiesOption = None,
    leave_out: Annotated[
        Path | None,
        typer.Option(
            "--leave-out",
            metavar="FILE",
            help="Whom not to use, one a line: who has another name as well.",
        ),
    ] = None,
    aligned: AlignedOption = False,
    words: WordsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A card, .json, or the weights with what is measured in their header, "
            ".safetensors; else a card in the data folder, where it is found from now on.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Measure which part of strangers a search names, for whoever the network never saw.

    `identify` and `verify` derive their thresholds from it. The people must be known to the network
    by no photograph, and nobody may be there under two names.
    """
    from recognition.evaluation.embeddings import embed_photographs
    from recognition.evaluation.searches import people_to_draw_from
    from recognition.evaluation.tail_measurement import labelled_faces, measure_tail
    from recognition.tail_cards import card_place, write_card, write_into_weights

    if out is not None:
        check_file(out, suffixes=(".json", ".safetensors"))
    chosen = people_to_draw_from(people, identities, leave_out)
    embedder = settings.face_embedder()
    place = out or card_place(embedder.model_id, embedder.weights_digest, settings.home)
    weights = embedder.weights_path if place.suffix == ".safetensors" else None
    if place.suffix == ".safetensors" and weights is None:
        raise ArgumentError(
            f"{embedder.model_id} is no single weights file to write the tail into: "
            "leave --output away, or name a .json file"
        )
    check_file(place, suffixes=(place.suffix,), inputs=[] if weights is None else [weights])
    find = embedding_options.plain_finder(embedding_options.Way(aligned=aligned), settings)
    paths = [path for person in chosen for path in person.photographs]
    with output.progress_bar("embedding") as progress:
        embedded = embed_photographs(paths, find, root=people, progress=progress)
    owners = [number for number, person in enumerate(chosen) for _ in person.photographs]
    faces = labelled_faces(embedded.vectors, owners)
    lists = ", ".join(listing.name for listing in identities or ())
    known = f"{count(len(chosen), 'person', 'people')} of {people.resolve().name}"
    tail = measure_tail(
        faces,
        words or known + (f" ({lists})" if lists else ""),
        weights_sha256=embedder.weights_digest,
        mirror=embedder.is_mirrored,
    )
    if weights is not None:
        write_into_weights(tail, weights, place)
    else:
        write_card(tail, place)
    if as_json:
        output.print_json({"file": str(place), **asdict(tail)})
    else:
        _print(tail, place)
    for image in embedded.unreadable:
        output.print_failure(image.image, image.error)
    return 1 if embedded.unreadable else 0


def _print(tail: "ImpostorTail", place: Path) -> None:
    """What a search of some sizes asks for, for people."""
    from recognition.evaluation.impostor_tail import Searched

    output.print_line(
        f"measured on {count(tail.people, 'person', 'people')} in "
        f"{count(tail.photographs, 'photograph')}: {place}"
    )
    rows = []
    for people in (1, 10, 100, 1000):
        searched = Searched({1: people})
        for fpir in (0.01, 0.001):
            threshold = tail.threshold(fpir, searched)
            found = tail.named_rate(threshold, searched)
            rows.append(
                (
                    f"{people:,}",
                    percentage(fpir),
                    f"{threshold:.3f}",
                    f"{percentage(found.low)} to {percentage(found.high)}",
                    "yes" if found.extrapolated else "no",
                )
            )
    columns = ("people enrolled", "strangers named", "threshold", "95 % interval", "extrapolated")
    output.print_table(columns, rows)
