"""`identify`, `verify` and `detect`: faces in photographs, and whose they are."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import ArgumentError
from recognition.matching import Matching
from recognition.results import (
    Decision,
    Detection,
    Face,
    FailedImage,
    Identification,
    Match,
    Verification,
)
from ui.settings import Finding, Settings

from ... import wording
from ...wording import decided, likely, quality_words
from .. import destinations, output
from ..options import MAX_ID, OTHER_PEOPLE, UNCHANGED, JsonOption, MatchOption, command
from .batches import batch_code, pictures_of, print_accounts, print_failures, print_oddities

if TYPE_CHECKING:
    from recognition.service import RecognitionService


app = typer.Typer()

ImagesArgument = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Photographs, or folders of them.")
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="T",
        min=-1,
        max=1,
        help="Cosine similarity from which on two faces are one person's, instead of the one that "
        "follows from how many strangers may pass.",
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="What finds the faces: a name, such as mtcnn, or a file that `train-detector` has "
        "written; else what found those of the gallery.",
    ),
]
MinFaceOption = Annotated[
    float | None,
    typer.Option(
        "--min-face",
        metavar="PX",
        min=1,
        max=1_000_000,
        help="The smallest face that is looked for, in pixels of the photograph.",
    ),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        metavar="S",
        min=0,
        max=1,
        help="From which score on a box is a face, between 0 and 1; else as the detector has it.",
    ),
]


@command(app, "identify", example="likeness identify party.jpg --top-k 3 --json", became=UNCHANGED)
def identify(
    settings: Settings,
    images: ImagesArgument,
    top_k: Annotated[
        int,
        typer.Option(
            "--top-k", metavar="K", min=1, max=10_000, help="How many likely people to name."
        ),
    ] = 5,
    threshold: ThresholdOption = None,
    fpir: Annotated[
        float | None,
        typer.Option(
            "--fpir",
            metavar="RATE",
            min=0,
            max=1,
            help="The part of strangers who may be given a name; the gallery's own, else 0.01.",
        ),
    ] = None,
    matching: MatchOption = Matching.BEST,
    repeats: Annotated[
        bool,
        typer.Option("--repeats", help="Let a person be in one photograph twice, as in a collage."),
    ] = False,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--group", metavar="GROUP", help="Name only who is in this group; may be repeated."
        ),
    ] = None,
    detector: DetectorOption = None,
    min_face: MinFaceOption = None,
    min_score: MinScoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say who is in a photograph, among the people enrolled.

    Nobody is named twice in one photograph: the face most like a person gets the name. With
    --group whoever is in none of the groups is unknown. The threshold follows from how many
    strangers may be named among so many people and photographs: by the gallery's own measure
    (`calibrate`), or by what the weights say of people whom they never saw.
    """
    paths, empty, accounts = pictures_of(images)
    finding = Finding(detector=detector, min_face=min_face, min_score=min_score)
    with (
        settings.recognition_service(finding=finding) as service,
        output.progress_bar("identifying") as progress,
    ):
        found = service.identify(
            paths,
            top_k=top_k,
            threshold=threshold,
            fpir=fpir,
            matching=matching,
            repeats=repeats,
            groups=groups or (),
            progress=progress,
        )
    decisions = [one.decision for one in found if isinstance(one, Identification) and one.decision]
    if decisions and decisions[0].doubt is not None:
        output.print_warning(decisions[0].doubt)
    results = [*found, *empty]
    print_oddities(results)
    if as_json:
        output.print_json(
            [_identification_json(result) for result in results]
            + [account.as_json() for account in accounts]
        )
    else:
        rows = [row for result in results for row in _identification_rows(result)]
        output.print_table(("image", "face", "person", "similarity", "closest", "quality"), rows)
        for decision in decisions[:1]:
            output.print_note(decided(decision))
        print_failures(results)
    print_accounts(accounts)
    return batch_code(results, accounts)


@command(app, "verify", example="likeness verify passport.jpg selfie.jpg", became=UNCHANGED)
def verify(
    settings: Settings,
    first: Annotated[Path, typer.Argument(metavar="A", help="A photograph.")],
    second: Annotated[
        Path | None, typer.Argument(metavar="B", help="Another photograph, if not --person.")
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            "--person", metavar="NAME", help="Somebody enrolled, instead of another photograph."
        ),
    ] = None,
    person_id: Annotated[
        int | None,
        typer.Option(
            "--person-id",
            metavar="N",
            min=1,
            max=MAX_ID,
            help="The same by the id that `people list --json` tells, as where two are called "
            "alike.",
        ),
    ] = None,
    threshold: ThresholdOption = None,
    far: Annotated[
        float | None,
        typer.Option(
            "--far",
            metavar="RATE",
            min=0,
            max=1,
            help="The part of pairs of two people who may pass for one; the gallery's own, else "
            "0.001.",
        ),
    ] = None,
    matching: MatchOption = Matching.BEST,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain",
            metavar="FILE",
            help="Draw which regions of the two faces carry the verdict, by covering each.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Say whether two photographs show one person, or a photograph somebody who is enrolled.

    The exit code is 3 if they do not. Where a photograph shows several faces, the largest counts,
    and a line says which that is. Of somebody enrolled the closest photograph counts, unless
    --match says otherwise.
    """
    named = person is not None or person_id is not None
    if named == (second is not None):
        raise ArgumentError(
            "a photograph is held against another one, or against somebody enrolled: give either "
            "B or --person NAME"
        )
    if second is not None and matching is not Matching.BEST:
        raise ArgumentError(
            "--match is about several photographs of one person: give --person NAME instead of B"
        )
    if explain is not None:
        if second is None:
            raise ArgumentError("--explain needs two photographs: give B instead of --person")
        destinations.check_picture(explain, inputs=[first, second])
    with settings.recognition_service() as service:
        if second is not None:
            result = service.verify(first, second, threshold=threshold, far=far)
            if explain is not None:
                _draw_explanation(service, first, second, result, explain)
        else:
            result = service.verify_person(
                first,
                person,
                person_id=person_id,
                threshold=threshold,
                far=far,
                matching=matching,
            )
    for photograph in result.photographs:
        for warning in photograph.warnings:
            output.print_warning(f"{photograph.image}: {warning}")
    if as_json:
        output.print_json(asdict(result) | {"decision": decision_json(result.decision)})
    else:
        for photograph in result.photographs:
            if photograph.faces > 1:
                output.print_note(
                    f"{photograph.image}: {photograph.faces} faces, of which the largest was "
                    f"taken, at {_box(photograph.face)} (left, top, right, bottom)"
                )
        output.print_line(_verdict(result))
        if result.decision is not None:
            output.print_note(decided(result.decision))
    return 0 if result.same_person else OTHER_PEOPLE


def _draw_explanation(
    service: "RecognitionService", first: Path, second: Path, result: Verification, place: Path
) -> None:
    """Draw where in both faces the verdict comes from."""
    from data.images import save_image
    from recognition.explanation import draw

    with output.progress_bar("explaining") as progress:
        found = service.explain(first, second, progress=progress)
    verdict = "The same person" if result.same_person else "Two people"
    save_image(draw(found, f"{verdict}: {_numbers(result)}"), place)


def _verdict(result: Verification) -> str:
    """What was found, and the numbers behind it."""
    if result.excluded:
        return f"not {result.person}: this face is known not to be theirs (`people exclude`)"
    if result.person is None:
        verdict = "the same person" if result.same_person else "two people"
    else:
        verdict = f"{'' if result.same_person else 'not '}{result.person}"
    whose = "one person's" if result.person is None else "theirs"
    chance = "" if result.probability is None else likely(result.probability)
    return f"{verdict}: {_numbers(result)}" + (
        f", {whose} with probability {chance}" if chance else ""
    )


def _numbers(result: Verification) -> str:
    """What decided about two faces: the threshold of similarities, or the weights' pair unit."""
    similarity = f"similarity {wording.similarity(result.cosine_similarity)}"
    if result.pair_value is None or result.pair_limit is None:
        return f"{similarity}, threshold {wording.similarity(result.threshold)}"
    return (
        f"the weights' pair unit says {result.pair_value:.2f}, from {result.pair_limit:.2f} on "
        f"it is one person; {similarity}"
    )


@command(app, "detect", example="likeness detect party.jpg --json", became=UNCHANGED)
def detect(
    settings: Settings,
    images: ImagesArgument,
    detector: DetectorOption = None,
    min_face: MinFaceOption = None,
    min_score: MinScoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """Find the faces in photographs: boxes, landmarks, scores."""
    paths, empty, accounts = pictures_of(images)
    finding = Finding(detector=detector, min_face=min_face, min_score=min_score)
    with (
        settings.recognition_service(finding=finding) as service,
        output.progress_bar("detecting") as progress,
    ):
        results = [*service.detect(paths, progress=progress), *empty]
    print_oddities(results)
    if as_json:
        output.print_json(
            [asdict(result) for result in results] + [one.as_json() for one in accounts]
        )
    else:
        rows = [row for result in results for row in _detection_rows(result)]
        output.print_table(("image", "face", "score", "landmarks"), rows)
        print_failures(results)
    print_accounts(accounts)
    return batch_code(results, accounts)


def _identification_json(result: Identification | FailedImage) -> dict[str, Any]:
    if isinstance(result, FailedImage):
        return asdict(result)
    faces = [
        {
            "box": face.face.box,
            "detection_score": face.face.detection_score,
            "person": face.person,
            "named_elsewhere": face.named_elsewhere,
            "matches": [asdict(match) for match in face.matches],
            "quality": None if face.quality is None else asdict(face.quality),
        }
        for face in result.faces
    ]
    return {
        "image": result.image,
        "faces": faces,
        "decision": decision_json(result.decision),
        "warnings": result.warnings,
    }


def decision_json(decision: Decision | None) -> dict[str, Any] | None:
    """The threshold in force and what it means, as JSON's own types."""
    return None if decision is None else asdict(decision)


def _identification_rows(result: Identification | FailedImage) -> list[tuple[str, ...]]:
    """One line a face; a photograph without one has a line that says so."""
    if isinstance(result, FailedImage):
        return []
    if not result.faces:
        return [(result.image, "none", "", "", "", "")]
    rows: list[tuple[str, ...]] = []
    for found in result.faces:
        closest = [_closest(match) for match in found.matches]
        best = wording.similarity(found.matches[0].cosine_similarity) if found.matches else "–"
        quality = quality_words(found.quality)
        person = found.person or "unknown"
        if found.person is None and found.named_elsewhere is not None:
            person = f"unknown ({found.named_elsewhere} is another face)"
        names = ", ".join(closest) or "–"
        rows.append((result.image, _box(found.face), person, best, names, quality))
    return rows


def _closest(match: Match) -> str:
    """One of the closest people: `Ann 0.62`, or `Ann 0.62 (98 %)` where it is calibrated."""
    text = f"{match.person} {wording.similarity(match.cosine_similarity)}"
    return text if match.probability is None else f"{text} ({likely(match.probability)})"


def _detection_rows(result: Detection | FailedImage) -> list[tuple[str, ...]]:
    """One line a face; a photograph without one has a line that says so."""
    if isinstance(result, FailedImage):
        return []
    if not result.faces:
        return [(result.image, "none", "", "")]
    return [
        (
            result.image,
            _box(face),
            wording.percent(face.detection_score),
            " ".join(f"{x:.0f},{y:.0f}" for x, y in face.landmarks),
        )
        for face in result.faces
    ]


def _box(face: Face) -> str:
    """A face's place: left, top, right and bottom edge in pixels."""
    return " ".join(f"{edge:.0f}" for edge in face.box)
