"""`evaluate detect`: how well a detector finds faces that people have boxed."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError
from ui.settings import Settings

from ...wording import percent
from .. import output
from ..destinations import check_folder
from ..options import UNCHANGED, JsonOption, command
from .recognise import MinFaceOption, MinScoreOption

if TYPE_CHECKING:
    from recognition.evaluation.detection import DetectionResult, Measure


app = typer.Typer()

_MOST = 10_000_000  # photographs
_LEAST_SCORE = 0.05  # from which on boxes are looked at, for the curve


@command(
    app,
    "detect",
    example="likeness evaluate detect --images crowds --annotations crowds-boxed",
    became=UNCHANGED,
)
def detect(
    settings: Settings,
    images: Annotated[
        Path, typer.Option("--images", metavar="DIR", help="Photographs, at any depth.")
    ],
    annotations: Annotated[
        Path,
        typer.Option(
            "--annotations", metavar="DIR", help="VOC's XML files, one for each photograph."
        ),
    ],
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME",
            help="What finds the faces, by its name or by a file that `train-detector` has "
            "written; else what --detector-weights hold, and mtcnn without.",
        ),
    ] = None,
    detector_weights: Annotated[
        Path | None,
        typer.Option(
            "--detector-weights", metavar="FILE", help="What `train-detector` has written."
        ),
    ] = None,
    min_face: MinFaceOption = None,
    min_score: MinScoreOption = None,
    at_precision: Annotated[
        float,
        typer.Option(
            "--at-precision", metavar="P", min=0, max=1, help="At which recall is told as well."
        ),
    ] = 0.82,
    skip: Annotated[
        int,
        typer.Option(
            "--skip",
            metavar="N",
            min=0,
            max=_MOST,
            help="Pass over so many, the first ones by name.",
        ),
    ] = 0,
    at_most: Annotated[
        int | None,
        typer.Option("--at-most", metavar="N", min=1, max=_MOST, help="Search so many, by name."),
    ] = None,
    misses: Annotated[
        Path | None,
        typer.Option(
            "--misses",
            metavar="DIR",
            help="Draw the photographs with a missed face (red) or a wrong box (orange).",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Measure how well a detector finds faces that people have boxed.

    Average precision is PASCAL VOC's, at overlaps of 0.4 and 0.5; recall and precision are those at
    an overlap of 0.4 and the detector's own score, or --min-score. In brackets are 95 % intervals,
    for other photographs of this kind.
    """
    from recognition.detection.annotations import read_boxed
    from recognition.detection.detector import (
        DEFAULT_DETECTOR,
        DetectorOptions,
        detector_of_file,
        make_detector,
        resolve_detector,
    )
    from recognition.evaluation.detection import evaluate_detector

    options = DetectorOptions(
        minimum_face=min_face,
        minimum_score=min_score,
        weights=detector_weights,
        home=settings.home,
    )
    if detector is None and detector_weights is not None:
        spec = detector_of_file(detector_weights)
    else:
        spec, options = resolve_detector(detector or DEFAULT_DETECTOR, options)
    score = spec.minimum_score if min_score is None else min_score
    if misses is not None:
        _check_outside(misses, images, annotations)
        check_folder(misses)
    boxed = read_boxed(images, annotations)[skip:][:at_most]
    if not boxed:
        raise ArgumentError(f"--skip {skip} passes over all photographs: give a smaller number")
    found = make_detector(
        settings.chosen_device, spec.name, replace(options, minimum_score=min(score, _LEAST_SCORE))
    )
    with output.progress_bar("detecting") as progress:
        result = evaluate_detector(
            found,
            boxed,
            score=score,
            wanted_precision=at_precision,
            misses=misses,
            progress=progress,
        )
    if as_json:
        output.print_json(result.to_json())
    else:
        _print(result)
    for image in result.failed:
        output.print_failure(image.image, image.error)
    return 1 if result.failed else 0


def _check_outside(misses: Path, *sources: Path) -> None:
    """Refuse to draw where photographs or annotations lie, at any depth.

    A drawing has its photograph's name: it could take its place, or be searched the next time.
    """
    for source in sources:
        folder = source.resolve().parent if source.is_file() else source.resolve()
        if misses.resolve().is_relative_to(folder):
            raise ArgumentError(f"{misses} lies within {folder}: draw into a folder outside it")


def _print(result: "DetectionResult") -> None:
    output.print_line(
        f"{result.detector}: {result.faces:,} faces in {result.photographs:,} photographs, "
        f"{result.images_per_second:.1f} photographs/s"
    )
    figures = [
        *((f"average precision at {at}", each) for at, each in result.average_precision.items()),
        (f"recall at score {result.score:g}", result.recall),
        (f"precision at score {result.score:g}", result.precision),
        (f"recall at precision {result.wanted_precision:g}", result.recall_at_precision),
    ]
    output.print_table(
        ("figure", "value", "95 % interval"),
        [(name, percent(each.value), _interval(each)) for name, each in figures],
    )
    output.print_line(f"wrong boxes a photograph: {result.false_boxes:.2f}")
    output.print_table(
        ("side, px", "faces", "recall", "boxes", "precision"),
        [
            (
                f"{each.least:g} and more"
                if each.most is None
                else f"{each.least:g}–{each.most:g}",
                f"{each.faces:,}",
                percent(each.recall),
                f"{each.boxes:,}",
                percent(each.precision),
            )
            for each in result.sizes
        ],
    )


def _interval(measure: "Measure") -> str:
    if measure.low is None or measure.high is None:
        return "–"
    return f"{percent(measure.low)} to {percent(measure.high)}"
