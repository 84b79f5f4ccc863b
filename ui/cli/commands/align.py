"""`align`: photographs of people become aligned faces, ready to be trained on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recognition.learning.choices import FaceFormat
from ui.settings import Settings

from ...wording import count
from .. import output
from ..destinations import check_folder
from ..options import GOES_ON, JsonOption, command
from .batches import batch_code, print_accounts

app = typer.Typer()


@command(app, "align", example="likeness align photographs faces --workers 4", became=GOES_ON)
def align(
    settings: Settings,
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder of photographs, of any depth.")
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="Folder for the faces; outside of SRC.")
    ],
    face_format: Annotated[
        FaceFormat, typer.Option("--format", help="Of the faces; png loses nothing.")
    ] = FaceFormat.PNG,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=64,
            help="Processes; if not given, one a core and at most 8.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Find the face in each photograph, and write it aligned at five points, 112×112.

    The faces go into the same folders under the same names. Of several faces the one nearest the
    centre counts; a photograph of 112×112 pixels counts as aligned. An interrupted run is gone on
    with by the same command, and DST/missed.jsonl says what has no face, and why.
    """
    from recognition.learning.folder_alignment import AlignmentConfig, align_folder

    config = AlignmentConfig(
        source=source,
        destination=destination,
        format=face_format,
        workers=workers,
        device=str(settings.chosen_device),
    )
    check_folder(destination)
    with output.progress_bar("aligning") as advance:
        report = align_folder(config, advance)
    if as_json:
        shown = {"aligned": report.aligned, "kept": report.kept}
        missed = [asdict(failed) for failed in report.missed]
        output.print_json(shown | {"missed": missed, **report.account.as_json()})
    else:
        for failed in report.missed:
            output.print_failure(failed.image, failed.error)
        kept = f", {report.kept:,} aligned before" if report.kept else ""
        output.print_line(f"aligned {count(report.aligned, 'photograph')}{kept}")
    accounts = [report.account] if report.account.left else []
    print_accounts(accounts)
    return batch_code(report.missed, accounts)
