"""What keeps people's data private: encryption, consent and its end, the audit log."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from data.errors import ArgumentError
from ui.settings import Settings

from .. import output, passphrase
from ..consent import consent_of
from ..options import UNCHANGED, JsonOption, command
from .groups import gallery, people
from .people import PersonArgument
from .tables import print_people

app = typer.Typer()
app.add_typer(gallery, name="gallery")

KeyringOption = Annotated[
    bool,
    typer.Option(
        "--keyring",
        help="Make a random key and let the operating system's keyring keep it.",
    ),
]


@command(gallery, "encrypt", example="likeness gallery encrypt")
def encrypt(
    settings: Settings,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="File of one line: a passphrase, or a key of 64 hexadecimal digits.",
        ),
    ] = None,
    keyring: KeyringOption = False,
) -> int:
    """Encrypt names, templates, crops and all else that tells of a person.

    What opens the gallery from then on is taken from --key-file, the keyring, LIKENESS_KEY, the
    file that LIKENESS_KEY_FILE names, or asked for. No plain byte is left in the gallery's files;
    copies of them made before are as readable as they were.
    """
    from recognition.secrets import secret_in_environment

    with settings.recognition_service() as service:
        secret = _given(key_file, keyring) or secret_in_environment() or passphrase.ask_new()
        lingers = service.gallery.encrypt(secret, keyring=keyring)
    output.print_line("the gallery is encrypted")
    if lingers:
        output.print_warning(lingers)
    return 0


@command(gallery, "decrypt", example="likeness gallery decrypt")
def decrypt(settings: Settings) -> int:
    """Keep everything readable from now on, for whoever can read the files."""
    with settings.recognition_service() as service:
        service.gallery.decrypt()
    output.print_line("the gallery is not encrypted any more")
    return 0


@command(gallery, "rotate", example="likeness gallery rotate --data-key")
def rotate(
    settings: Settings,
    new_key_file: Annotated[
        Path | None,
        typer.Option(
            "--new-key-file",
            metavar="FILE",
            help="File of one line: the new passphrase, or a new key of 64 hexadecimal digits.",
        ),
    ] = None,
    data_key: Annotated[
        bool,
        typer.Option(
            "--data-key",
            help="Encrypt every row anew, as if somebody may know the key itself.",
        ),
    ] = False,
    keyring: KeyringOption = False,
) -> int:
    """Let a new passphrase or key open the gallery, and the present one no longer.

    The new one is taken from --new-key-file, made for --keyring, or asked for. The rows stay
    encrypted by the same inner key, unless --data-key is given.
    """
    with settings.recognition_service() as service:
        if not service.gallery.is_encrypted:
            service.gallery.decrypt()  # refuses, in its own words
        secret = _given(new_key_file, keyring) or passphrase.ask_new()
        lingers = service.gallery.rotate(secret, data_key=data_key, keyring=keyring)
    output.print_line("the gallery opens by the new passphrase or key alone")
    if lingers:
        output.print_warning(lingers)
    return 0


@command(gallery, "audit", example="likeness gallery audit --json", became=UNCHANGED)
def audit(settings: Settings, as_json: JsonOption = False) -> int:
    """List who did what, the latest first, in ids: no names, no vectors.

    A person's id is in `people list --json` until they are erased; the line stays. Lines are kept
    for a year.
    """
    with settings.recognition_service() as service:
        entries = service.gallery.audit()
    if as_json:
        output.print_json([asdict(entry) for entry in entries])
        return 0
    rows = [
        (
            entry.done_at[:19],
            entry.action,
            "the gallery" if entry.person_id is None else str(entry.person_id),
            "–" if entry.user_id is None else str(entry.user_id),
        )
        for entry in entries
    ]
    output.print_table(("done at", "action", "person", "user"), rows, "nothing is noted yet")
    return 0


@command(
    people, "consent", example='likeness people consent Ann --note "form 12" --until 2027-01-31'
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


@command(people, "expiring", example="likeness people expiring --days 14", became=UNCHANGED)
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


def _given(file: Path | None, keyring: bool) -> str | None:
    """What the options give; None where they give nothing."""
    from recognition.secrets import new_key, open_to_others, secret_in_file

    if file is not None and (why := open_to_others(file)) is not None:
        raise ArgumentError(why)
    if file is not None and keyring:
        raise ArgumentError("a file, or the keyring: choose one")
    if keyring:
        return new_key()
    return None if file is None else secret_in_file(file)
