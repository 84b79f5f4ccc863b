"""`enroll`: people are remembered by their photographs."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from data.errors import ArgumentError
from recognition.results import Enrolment, FailedImage
from ui.settings import Finding, Settings

from ...wording import count
from .. import output
from ..consent import ExpiresOption, NoteOption, consent_of
from ..options import MOST_FACES, JsonLinesOption, JsonOption, command
from .batches import pictures_of, print_accounts, print_failures
from .recognise import DetectorOption

app = typer.Typer()

_MOST_LISTED = 20  # photographs that were enrolled before


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
            "--face",
            metavar="N",
            min=1,
            max=MOST_FACES,
            help="Which face to take of each photograph; 1 is the largest. If not given, one with "
            "several faces is left out.",
        ),
    ] = None,
    any_quality: Annotated[
        bool,
        typer.Option(
            "--any-quality", help="Take faces that are small, blurred, turned, dark or bright, too."
        ),
    ] = False,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="GROUP", help="Put them into this group; may be repeated."),
    ] = None,
    consent: NoteOption = None,
    expires: ExpiresOption = None,
    detector: DetectorOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=64,
            help="Processes that decode a folder's photographs; if not given, one a core, at most "
            "8.",
        ),
    ] = None,
    as_json: JsonOption = False,
    json_lines: JsonLinesOption = False,
) -> int:
    """Remember people by their photographs.

    With --name, all photographs are of that person. Without, PATH is a folder of folders, and
    each folder's name is the person's. A face too poor to know somebody by is left out. What is
    odd about one that is taken is said: that it is unlike the person's others, almost the same as
    one of them, or more like somebody else.

    An interrupted run over a folder is gone on with by the same command: photographs that are
    enrolled already are passed over without a look at their pixels.
    """
    images, empty, accounts = pictures_of(paths)
    agreed = consent_of(consent, expires)
    if name is None and (len(paths) > 1 or not paths[0].is_dir()):
        raise ArgumentError(
            "whose photographs are these? Give --name NAME, or one folder that holds a folder for "
            "each person"
        )
    bar = output.progress_bar("enrolling", shown=not json_lines)
    finding = Finding(detector=detector)
    with settings.recognition_service(finding=finding) as service, bar as advance:
        progress = output.progress_lines() if json_lines else advance
        if name is None:
            enrolment = service.enroll_folder(
                paths[0],
                face=face,
                any_quality=any_quality,
                consent=agreed,
                groups=groups or (),
                workers=workers,
                progress=progress,
            )
        else:
            enrolment = service.enroll(
                name,
                images,
                face=face,
                any_quality=any_quality,
                consent=agreed,
                groups=groups or (),
                progress=progress,
            )
    if name is not None:  # else the folder of folders gave an account of its own
        enrolment = replace(enrolment, accounts=tuple(accounts))
    for note in enrolment.notes:
        output.print_note(note)
    if json_lines:
        for line in _enrolment_json(enrolment, empty):
            output.print_json(line, compact=True)
    elif as_json:
        output.print_json(_enrolment_json(enrolment, empty))
    else:
        _print_enrolment(enrolment, empty)
    print_accounts(enrolment.accounts)
    return _enrolment_code(enrolment, empty)


def _print_enrolment(enrolment: Enrolment, empty: Sequence[FailedImage]) -> None:
    """Print what was enrolled on stdout, and what was odd or not enrolled on stderr."""
    for person in enrolment.enrolled:
        covered = f", by the consent {person.consent}" if person.consent else ""
        output.print_line(
            f"enrolled {person.person}: {count(person.photographs, 'photograph')}{covered}"
        )
    for kept in enrolment.kept:
        for warning in kept.warnings:
            output.print_warning(f"{kept.image}: {warning}")
    before = sum(skipped.enrolled_before for skipped in enrolment.skipped)
    if before > _MOST_LISTED:
        output.print_note(f"{count(before, 'photograph')} were enrolled before")
    for skipped in enrolment.skipped:
        if skipped.enrolled_before and before > _MOST_LISTED:
            continue
        if skipped.enrolled_before:
            output.print_warning(f"{skipped.image}: {skipped.reason}")
        else:
            output.print_failure(skipped.image, skipped.reason)
    print_failures(empty)
    if not enrolment.enrolled and not enrolment.skipped:
        output.print_error("nobody was enrolled")


def _enrolment_json(enrolment: Enrolment, empty: Sequence[FailedImage]) -> list[dict[str, Any]]:
    """An object for each photograph: what is known of it, or why it is not enrolled."""
    skipped = [
        {"image": one.image, "error": one.reason, "enrolled_before": one.enrolled_before}
        for one in enrolment.skipped
    ]
    left = [account.as_json() for account in enrolment.accounts]
    kept = [asdict(one) for one in enrolment.kept]
    return kept + skipped + [asdict(one) for one in empty] + left


def _enrolment_code(enrolment: Enrolment, empty: Sequence[FailedImage]) -> int:
    """The exit code; a photograph that is enrolled already is no failure: what was asked holds."""
    if empty or not (enrolment.enrolled or enrolment.skipped):
        return 1
    if any(account.matters for account in enrolment.accounts):
        return 1
    return 0 if all(skipped.enrolled_before for skipped in enrolment.skipped) else 1
