"""`enroll`, `identify`, `verify` and `detect`: faces in photographs, and whose they are."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from data.errors import ArgumentError
from recognition.results import (
    Detection,
    Enrolment,
    Face,
    FailedImage,
    Identification,
    Match,
    Use,
)

from .. import output
from ..options import OTHER_PEOPLE, JsonOption, Settings, command
from ..wording import count, likely

app = typer.Typer()

ImagesArgument = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Photographs, or folders of them.")
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="T",
        help="Cosine similarity from which on two faces are one person's, instead of the gallery's "
        "own or the weights'.",
    ),
]


@command(app, "enroll", example="likeness enroll holiday/ann1.jpg holiday/ann2.jpg --name Ann")
def enroll(
    settings: Settings,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Photographs of one person, or one folder that holds a folder for each person.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Whose photographs these are.")
    ] = None,
    face: Annotated[
        int | None,
        typer.Option(
            "--face", metavar="N", help="Which face to take where there are several; 1 is largest."
        ),
    ] = None,
) -> int:
    """Remember people by their photographs.

    With --name, all photographs are of that person. Without, PATH is a folder of folders, and
    each folder's name is the person's.
    """
    images, empty = _pictures(paths)
    if name is None and (len(paths) > 1 or not paths[0].is_dir() or face is not None):
        raise ArgumentError(
            "whose photographs are these? Give --name NAME, or one folder that holds a folder for "
            "each person"
        )
    with settings.recognition_service() as service, output.progress_bar("enrolling") as progress:
        if name is None:
            enrolment = service.enroll_folder(paths[0], progress=progress)
        else:
            enrolment = service.enroll(name, images, face=face, progress=progress)
    return _print_enrolment(enrolment, empty)


@command(app, "identify", example="likeness identify party.jpg --top-k 3 --json")
def identify(
    settings: Settings,
    images: ImagesArgument,
    top_k: Annotated[
        int, typer.Option("--top-k", metavar="K", min=1, help="How many likely people to name.")
    ] = 5,
    threshold: ThresholdOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say who is in a photograph, among the people enrolled."""
    paths, empty = _pictures(images)
    with settings.recognition_service() as service, output.progress_bar("identifying") as progress:
        found = service.identify(paths, top_k=top_k, threshold=threshold, progress=progress)
        calibration = service.calibration(Use.IDENTIFY) if threshold is None else None
    if calibration is not None and calibration.doubt is not None:
        output.print_warning(calibration.doubt)
    results = [*found, *empty]
    if as_json:
        output.print_json([_identification_json(result) for result in results])
    else:
        rows = [row for result in results for row in _identification_rows(result)]
        output.print_table(("image", "face", "person", "similarity", "closest"), rows)
        _print_failures(results)
    return _batch_code(results)


@command(app, "verify", example="likeness verify passport.jpg selfie.jpg")
def verify(
    settings: Settings,
    first: Annotated[Path, typer.Argument(metavar="A", help="A photograph.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another photograph.")],
    threshold: ThresholdOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say whether two photographs show one person.

    The exit code is 3 if they do not. Where a photograph shows several faces, the largest counts.
    """
    with settings.recognition_service() as service:
        result = service.verify(first, second, threshold=threshold)
    if as_json:
        output.print_json(asdict(result))
    else:
        verdict = "the same person" if result.same_person else "two people"
        chance = result.probability
        output.print_line(
            f"{verdict}: similarity {output.similarity(result.cosine_similarity)}, "
            f"threshold {output.similarity(result.threshold)}"
            + ("" if chance is None else f", one person's with probability {likely(chance)}")
        )
    return 0 if result.same_person else OTHER_PEOPLE


@command(app, "detect", example="likeness detect party.jpg --json")
def detect(settings: Settings, images: ImagesArgument, as_json: JsonOption = False) -> int:
    """Find the faces in photographs: boxes, landmarks, scores."""
    paths, empty = _pictures(images)
    with settings.recognition_service() as service, output.progress_bar("detecting") as progress:
        results = [*service.detect(paths, progress=progress), *empty]
    if as_json:
        output.print_json([asdict(result) for result in results])
    else:
        rows = [row for result in results for row in _detection_rows(result)]
        output.print_table(("image", "face", "score", "landmarks"), rows)
        _print_failures(results)
    return _batch_code(results)


def _pictures(paths: Sequence[Path]) -> tuple[list[Path], list[FailedImage]]:
    """The pictures that paths and folders mean, at least one; and the folders that hold none."""
    from data.images import find_images

    by_path = [(path, find_images([path])) for path in paths]
    found = [picture for _, pictures in by_path for picture in pictures]
    if not found:
        raise ArgumentError(f"no pictures in {', '.join(map(str, paths))}: name others")
    return found, [
        FailedImage(image=str(path), error="no pictures in this folder: name another")
        for path, pictures in by_path
        if not pictures
    ]


def _print_enrolment(enrolment: Enrolment, empty: Sequence[FailedImage]) -> int:
    """Print what was enrolled on stdout, and what was not on stderr; return the exit code.

    A photograph that is enrolled already is worth a word, and no failure: what was asked for holds.
    """
    for person in enrolment.enrolled:
        output.print_line(f"enrolled {person.person}: {count(person.photographs, 'photograph')}")
    for skipped in enrolment.skipped:
        if skipped.enrolled_before:
            output.print_warning(f"{skipped.image}: {skipped.reason}")
        else:
            output.print_failure(skipped.image, skipped.reason)
    _print_failures(empty)
    if not enrolment.enrolled and not enrolment.skipped:
        output.print_error("nobody was enrolled")
        return 1
    return 1 if empty or not all(skipped.enrolled_before for skipped in enrolment.skipped) else 0


def _batch_code(results: Sequence[object]) -> int:
    return 1 if any(isinstance(result, FailedImage) for result in results) else 0


def _print_failures(results: Sequence[object]) -> None:
    for result in results:
        if isinstance(result, FailedImage):
            output.print_failure(result.image, result.error)


def _identification_json(result: Identification | FailedImage) -> dict[str, Any]:
    if isinstance(result, FailedImage):
        return asdict(result)
    faces = [
        {
            "box": face.face.box,
            "detection_score": face.face.detection_score,
            "person": face.person,
            "matches": [asdict(match) for match in face.matches],
        }
        for face in result.faces
    ]
    return {"image": result.image, "faces": faces}


def _identification_rows(result: Identification | FailedImage) -> list[tuple[str, ...]]:
    """One line a face; a photograph without one has a line that says so."""
    if isinstance(result, FailedImage):
        return []
    if not result.faces:
        return [(result.image, "none", "", "", "")]
    rows: list[tuple[str, ...]] = []
    for found in result.faces:
        closest = [_closest(match) for match in found.matches]
        best = output.similarity(found.matches[0].cosine_similarity) if found.matches else ""
        person = found.person or "unknown"
        rows.append((result.image, _box(found.face), person, best, ", ".join(closest)))
    return rows


def _closest(match: Match) -> str:
    """One of the closest people: `Ann 0.62`, or `Ann 0.62 (98 %)` where it is calibrated."""
    text = f"{match.person} {output.similarity(match.cosine_similarity)}"
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
            output.percent(face.detection_score),
            " ".join(f"{x:.0f},{y:.0f}" for x, y in face.landmarks),
        )
        for face in result.faces
    ]


def _box(face: Face) -> str:
    """A face's place: left, top, right and bottom edge in pixels."""
    return " ".join(f"{edge:.0f}" for edge in face.box)
