"""`train-matching`: how much each of a person's photographs counts, for `--match attention`."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from data.errors import DatasetError
from data.files import printable
from ui.settings import Settings

from ...wording import count
from .. import embedding_options, output
from ..destinations import check_file
from ..embedding_options import AlignedOption, IdentitiesOption, WordsOption
from ..options import MAX_SEED, JsonOption, command

app = typer.Typer()


@command(
    app,
    "train-matching",
    example="likeness train-matching --people photographs --identities others.txt",
)
def train_matching(
    settings: Settings,
    people: Annotated[
        Path,
        typer.Option(
            "--people", metavar="DIR", help="A folder for each person, three photographs or more."
        ),
    ],
    identities: IdentitiesOption = None,
    leave_out: Annotated[
        list[Path] | None,
        typer.Option(
            "--leave-out",
            metavar="FILE",
            help="Whom not to use, one a line; may be repeated: those of a test, and who is there "
            "under another name.",
        ),
    ] = None,
    aligned: AlignedOption = False,
    at_most: Annotated[
        int,
        typer.Option(
            "--at-most", metavar="N", min=3, max=1000, help="How many photographs of a person."
        ),
    ] = 9,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Of the draws.")
    ] = 0,
    words: WordsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Safetensors; else a file in the data folder, where it is found from now on.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Train attention over a person's photographs, for `--match attention`.

    One query learns how much each photograph counts, on people whom the network was not trained on.
    How far it may stray from the mean is what serves people best who are left out of the fit; where
    nothing serves them better the mean comes out.
    """
    from recognition.attention_file import AttentionFacts, attention_place, write_attention
    from recognition.evaluation.embeddings import embed_photographs
    from recognition.evaluation.searches import people_to_draw_from
    from recognition.evaluation.tail_measurement import labelled_faces
    from recognition.learning.attention_fit import FEWEST_PEOPLE, fit_attention

    if out is not None:
        check_file(out, suffixes=[".safetensors"])
    chosen = [
        one
        for one in people_to_draw_from(people, identities, leave_out)
        if len(one.photographs) > 2
    ]
    if len(chosen) < FEWEST_PEOPLE:
        raise DatasetError(
            f"{len(chosen)} people have three photographs or more in {printable(people)}, expected "
            f"{FEWEST_PEOPLE} at least"
        )
    embedder = settings.face_embedder()
    place = out or attention_place(embedder.model_id, embedder.weights_digest, settings.home)
    check_file(place, suffixes=[".safetensors"])
    find = embedding_options.plain_finder(embedding_options.Way(aligned=aligned), settings)
    paths = [path for person in chosen for path in person.photographs[:at_most]]
    owners = [number for number, one in enumerate(chosen) for _ in one.photographs[:at_most]]
    with output.progress_bar("embedding") as progress:
        embedded = embed_photographs(paths, find, root=people, progress=progress)
    faces = labelled_faces(embedded.vectors, owners)
    with output.progress_bar("training") as progress:
        fit = fit_attention(faces.vectors, faces.people, seed=seed, progress=progress)
    facts = AttentionFacts(
        network=embedder.model_id,
        weights_sha256=embedder.weights_digest,
        trained_on=words or people.resolve().name,
        people=str(fit.people),
        photographs=str(fit.photographs),
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_attention(fit.attention, facts, place)
    if as_json:
        losses = {"loss": fit.loss, "loss_of_mean": fit.loss_of_mean}
        output.print_json({"file": str(place), "is_mean": fit.is_mean, **losses, **asdict(facts)})
    else:
        output.print_line(
            f"trained on {count(fit.people, 'person', 'people')} in "
            f"{count(fit.photographs, 'photograph')}: {place}"
        )
        output.print_line(
            f"cross-entropy on people left out: {fit.loss:.4f}, by the mean {fit.loss_of_mean:.4f}"
        )
        if fit.is_mean:
            output.print_note(
                "no weighting serves people left out better than the mean: it is that"
            )
    for image in embedded.unreadable:
        output.print_failure(image.image, image.error)
    return 1 if embedded.unreadable else 0
