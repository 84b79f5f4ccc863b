"""`evaluate`: how good recognition is, on photographs whose people are known."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError

from .. import output
from ..figures import print_comparison, print_identification, print_verification
from ..options import JsonOption, Settings, command

if TYPE_CHECKING:
    from recognition.evaluation.embedding import Finder
    from recognition.results import FailedImage

app = typer.Typer()
_group = typer.Typer(help="Measure how good recognition is.")
app.add_typer(_group, name="evaluate")

AlignedOption = Annotated[
    bool,
    typer.Option("--aligned", help="The photographs are faces aligned at five points, 112×112."),
]
MirrorOption = Annotated[
    bool | None,
    typer.Option(
        "--mirror/--no-mirror",
        help="Join each face's embedding with that of its mirror image; else as the weights say.",
    ),
]
EnsembleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ensemble",
        metavar="NAME|FILE",
        help="Another model, or other weights, whose similarities are averaged with the first "
        "one's; may be repeated.",
    ),
]


@command(_group, "lfw", example="likeness evaluate lfw --images lfw --pairs pairs.txt --folds 1-8")
def lfw(
    settings: Settings,
    images: Annotated[
        Path, typer.Option("--images", metavar="DIR", help="Holds <Name>/<Name>_0001.jpg.")
    ],
    pairs: Annotated[
        Path, typer.Option("--pairs", metavar="FILE", help="Pairs in LFW's own format.")
    ],
    folds: Annotated[
        str | None, typer.Option("--folds", metavar="N", help="Folds to use: 9, 1-8 or 1,3,5.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="NAME|FILE",
            help="Another model, or other weights, to measure too, and the difference.",
        ),
    ] = None,
    false_accept_cost: Annotated[
        float,
        typer.Option(
            "--false-accept-cost",
            metavar="W",
            help="Of a false accept in the weighted error, where a false reject costs 1.",
        ),
    ] = 10.0,
    aligned: AlignedOption = False,
    mirror: MirrorOption = None,
    ensemble: EnsembleOption = None,
    as_json: JsonOption = False,
) -> int:
    """Verify the pairs of Labeled Faces in the Wild, or of a list in its format.

    Each fold is decided with the threshold that the other folds choose. Of several faces the one
    nearest the photograph's centre counts; a pair with a face that was not found is an error. In
    brackets are 95 % intervals, for other people than these.
    """
    from data.lfw import read_lfw_pairs
    from recognition.evaluation.verification import evaluate_lfw_folder

    protocol = read_lfw_pairs(pairs)
    numbers: Sequence[int] = range(1, len(protocol.folds) + 1)
    if folds is not None:
        numbers = _numbers(folds)
        protocol = protocol.select(numbers)
    finders = [_joint_finder(settings, ensemble, aligned=aligned, mirror=mirror)]
    if compare is not None:
        finders.append(_finder(_other(settings, compare), aligned=aligned, mirror=mirror))
    results = []
    for find in finders:
        with output.progress_bar("embedding") as progress:
            results.append(
                evaluate_lfw_folder(
                    protocol,
                    images,
                    find,
                    false_accept_cost=false_accept_cost,
                    progress=progress,
                )
            )
    result = results[0]
    if compare is None:
        if as_json:
            output.print_json(result.to_json())
        else:
            print_verification(result, numbers)
    else:
        print_comparison(result, results[1], as_json=as_json)
    return _report_unreadable(result.unreadable)


@command(
    _group, "identify", example="likeness evaluate identify --gallery enrolled --probes others"
)
def identify(
    settings: Settings,
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", metavar="DIR", help="Who is enrolled: a folder for each person."),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option("--probes", metavar="DIR", help="Who is searched for, strangers among them."),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option("--people", metavar="DIR", help="Everybody, to draw by lot who is enrolled."),
    ] = None,
    identities: Annotated[
        Path | None,
        typer.Option("--identities", metavar="FILE", help="Whom of --people to use, one a line."),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", min=1, help="How often to draw.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the draws.")] = 0,
    aligned: AlignedOption = False,
    mirror: MirrorOption = None,
    ensemble: EnsembleOption = None,
    as_json: JsonOption = False,
) -> int:
    """Search for people, and for strangers, among those enrolled.

    Give --gallery and --probes; or --people, of whom half are drawn to be enrolled with their
    first photograph, again and again.
    """
    from recognition.evaluation.identification import evaluate_people_folder, evaluate_two_folders

    with output.progress_bar("embedding") as progress:
        if people is not None and gallery is None and probes is None:
            find = _joint_finder(settings, ensemble, aligned=aligned, mirror=mirror)
            result = evaluate_people_folder(
                people, find, listing=identities, draws=draws, seed=seed, progress=progress
            )
        elif people is None and gallery is not None and probes is not None and identities is None:
            find = _joint_finder(settings, ensemble, aligned=aligned, mirror=mirror)
            result = evaluate_two_folders(gallery, probes, find, progress=progress)
        else:
            raise ArgumentError("give either --gallery and --probes, or --people")
    if as_json:
        output.print_json(result.to_json())
    else:
        print_identification(result)
    return _report_unreadable(result.unreadable)


def _numbers(text: str) -> list[int]:
    """The numbers that `9`, `1-8` or `1,3,5` means."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        if not found:
            raise ArgumentError(f"folds are {text!r}: give numbers such as 9, 1-8 or 1,3,5")
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    return numbers


def _joint_finder(
    settings: Settings, ensemble: Sequence[str] | None, *, aligned: bool, mirror: bool | None
) -> "Finder":
    """What the settings ask for, averaged with the ensemble's others."""
    from recognition.evaluation.embedding import averaged

    others = [_other(settings, other) for other in ensemble or ()]
    return averaged([_finder(one, aligned=aligned, mirror=mirror) for one in (settings, *others)])


def _other(settings: Settings, name_or_file: str) -> Settings:
    """The same settings for another network, with the weights at hand, or for a file of weights."""
    from backbones.registry import available

    if name_or_file in available():
        return replace(settings, model=name_or_file, weights=None)
    return replace(settings, model=None, weights=Path(name_or_file))


def _finder(settings: Settings, *, aligned: bool, mirror: bool | None) -> "Finder":
    """What finds and embeds the one face that counts in a photograph."""
    from recognition.evaluation.embedding import already_aligned, in_the_middle
    from recognition.faces.detect import FaceDetector
    from recognition.faces.pipeline import FacePipeline

    embedder = settings.face_embedder(mirror=mirror)
    if aligned:
        return already_aligned(embedder, settings.chosen_device)
    return in_the_middle(FacePipeline(FaceDetector(settings.chosen_device), embedder))


def _report_unreadable(images: "Sequence[FailedImage]") -> int:
    """Name the photographs that could not be read; the exit code."""
    for image in images:
        output.print_failure(image.image, image.error)
    return 1 if images else 0
