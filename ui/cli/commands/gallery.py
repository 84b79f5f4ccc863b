"""`gallery`: where people are kept, how they are moved and kept safe: encryption, the audit log."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError
from data.files import printable
from recognition.gallery.search.kinds import Kind
from ui.settings import Settings

from ... import wording
from ...wording import count
from .. import output, passphrase
from ..confirmation import YesOption, agreed, is_on_terminal
from ..destinations import kept
from ..options import UNCHANGED, JsonOption, command

if TYPE_CHECKING:
    from recognition.gallery.storage.records import Added
    from recognition.maintenance import GalleryMaintenance


app = typer.Typer()

_group = typer.Typer(help="Keep, check, encrypt and move the gallery; others may use it meanwhile.")
app.add_typer(_group, name="gallery")

KeyringOption = Annotated[
    bool,
    typer.Option(
        "--keyring",
        help="Make a random key and let the operating system's keyring keep it.",
    ),
]

MOST_NAMED = 10  # photographs left out that are told one by one


@command(_group, "info", example="likeness gallery info --json", became=UNCHANGED)
def info(settings: Settings, as_json: JsonOption = False) -> int:
    """Tell where the gallery is, whose embeddings it holds, and how much."""
    found = _maintenance(settings).info()
    if as_json:
        output.print_json(asdict(found))
        return 0
    rows: list[tuple[str, str]] = [
        ("place", found.place),
        ("model", found.model),
        ("people", f"{found.people:,}"),
        ("deleted", f"{found.deleted:,}"),
        ("photographs", f"{found.photographs:,}"),
    ]
    rows += [
        (
            f"threshold to {one.use}",
            f"{wording.similarity(one.threshold)} (calibrated {one.calibrated_at[:10]})",
        )
        for one in found.calibrations
    ]
    rows += [
        (name, wording.megabytes(int(value)) if name.startswith("bytes") else str(value))
        for name, value in found.facts.items()
    ]
    rows += [("network", found.move)] if found.move else []
    output.print_table(("what", "value"), rows)
    return 0


@command(_group, "check", example="likeness gallery check", became=UNCHANGED)
def check(settings: Settings, as_json: JsonOption = False) -> int:
    """Look at everything that is kept, and tell what is damaged."""
    faults = _maintenance(settings).check()
    if as_json:
        output.print_json({"sound": not faults, "faults": faults})
        return 1 if faults else 0
    for fault in faults:
        output.print_error(fault)
    if faults:
        output.print_line("damaged; bring back a backup: likeness gallery restore FILE")
        return 1
    output.print_line("nothing is damaged")
    return 0


@command(_group, "index", example="likeness gallery index --kind pq")
def index(
    settings: Settings,
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="auto: by the number of photographs; flat: exact; int8 and pq: smaller and "
            "faster. Without it, what was chosen before."
        ),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what --index keeps in Milvus instead.")
    ] = False,
) -> int:
    """Make the index by which people are found anew, for the gallery as it is now.

    Large galleries make it by themselves as well, in the background of whatever stays open, such as
    the page. The choice is kept with the gallery. Others may use the gallery meanwhile. With
    --index the vectors are put into Milvus, and nothing else is.
    """
    if remove:
        output.print_line(f"removed the vectors from {_maintenance(settings).remove_index()}")
        return 0
    with output.progress_bar("indexing") as progress:
        made = _maintenance(settings).make_index(kind, progress)
    output.print_line(f"index: {made}")
    return 0


@command(_group, "backup", example="likeness gallery backup friends-2026-05.sqlite")
def backup(
    settings: Settings,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Take the place of an earlier backup.")
    ] = False,
) -> int:
    """Write the gallery as it is now to one file.

    The file is checked before it gets its name. Whoever is erased later stays in it.
    """
    _maintenance(settings).back_up(file, overwrite=overwrite)
    output.print_line(f"{file} holds the gallery: likeness gallery restore brings it back")
    return 0


@command(_group, "restore", example="likeness gallery restore friends-2026-05.sqlite")
def restore(
    settings: Settings,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    yes: YesOption = False,
) -> int:
    """Make the gallery what a backup says, all of it or nothing.

    The backup is checked before anything is changed. What was enrolled since is gone afterwards: a
    gallery that somebody is in is told of, and asked about on a terminal; scripts agree by --yes.
    A damaged gallery is put aside.
    """
    maintenance = _maintenance(settings)
    maintenance.check_backup(file)
    foreseen = maintenance.foresee(file)
    for name in foreseen.gone[:MOST_NAMED]:
        output.print_note(f"{name} goes: not in the backup")
    if len(foreseen.gone) > MOST_NAMED:
        output.print_note(f"and {len(foreseen.gone) - MOST_NAMED:,} more go")
    if foreseen.erased_again:
        again = count(foreseen.erased_again, "person", "people")
        output.print_note(f"{again} of the backup were erased since, and are erased once more")
    for note in foreseen.notes:
        output.print_note(note)
    gone = maintenance.replaced()
    if gone is not None:
        what = f"{count(gone.people, 'person', 'people')}, {count(gone.photographs, 'photograph')}"
        if not agreed(f"{gone.place}: {what}", f"Replace them by those of {file}?", yes=yes):
            output.print_error("nothing was restored")
            return 1
    aside = maintenance.restore(file)
    if aside is not None:
        output.print_warning(f"the damaged gallery is in {aside}")
    output.print_line(f"the gallery is that of {file}")
    return 0


@command(_group, "put-aside", example="likeness gallery put-aside --remove")
def put_aside(
    settings: Settings,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it for good.")] = False,
    yes: YesOption = False,
) -> int:
    """List the damaged galleries that restorations have put aside, or remove them for good.

    They keep everybody as they were, whoever was erased since, and are encrypted only if they were
    then. While one is there nobody is erased by hand, and the gallery is not encrypted.
    """
    maintenance = _maintenance(settings)
    found = maintenance.put_aside()
    for place in found:
        output.print_line(printable(place))
    if not remove or not found:
        return 0
    what = f"{count(len(found), 'damaged gallery', 'damaged galleries')} put aside"
    if not agreed(what, "Remove for good?", yes=yes):
        output.print_error("nothing was removed")
        return 1
    maintenance.remove_aside()
    output.print_line(f"removed {what}")
    return 0


@command(_group, "export", example="likeness gallery export friends.zip")
def export(
    settings: Settings,
    target: Annotated[
        Path, typer.Argument(metavar="FOLDER|FILE.zip", help="Where to; neither may exist.")
    ],
) -> int:
    """Write everybody, with all that is kept of them, to an open format.

    It is not encrypted: whoever reads it has names, faces and templates. docs/scale.md tells the
    format.
    """
    with output.progress_bar("exporting") as progress:
        maintenance, written = _maintenance(settings), []
        place, misplaced = kept(
            target, settings.home, lambda path: written.append(maintenance.export(path, progress))
        )
    [manifest] = written
    output.print_line(
        f"exported {count(manifest.people, 'person', 'people')}, "
        f"{count(manifest.templates, 'photograph')} to {place}; sha-256 {manifest.checksum}"
    )
    if misplaced is not None:
        output.print_error(misplaced)
        return 1
    return 0


@command(_group, "import", example="likeness gallery import friends.zip")
def import_(
    settings: Settings,
    source: Annotated[Path, typer.Argument(metavar="FOLDER|FILE.zip", help="An export.")],
    thresholds: Annotated[
        bool, typer.Option("--thresholds", help="Take the thresholds that it brings.")
    ] = False,
) -> int:
    """Enrol everybody of an export; who is there already gets what they lack.

    Everything is checked before anything is changed. `people undo` takes all of it back, up to
    100,000 new rows; after a larger import nothing done before can be undone.
    Thresholds decide who is named: those of the export are told of, and taken where they are agreed
    to on a terminal or by --thresholds.
    """
    maintenance = _maintenance(settings)
    for one in (offered := maintenance.offered_thresholds(source)):
        output.print_note(
            f"the export brings a threshold to {one.use}: {wording.similarity(one.threshold)}, "
            f"measured {one.calibrated_at[:10]} on {output.one_line(one.data)}"
        )
    if offered and not thresholds:
        thresholds = is_on_terminal() and typer.confirm(
            "Take these thresholds for your own gallery?", err=True
        )
        if not thresholds:
            output.print_note(
                "not taken: --thresholds takes them; likeness calibrate measures your own"
            )
    with output.progress_bar("importing") as progress:
        added = maintenance.import_from(source, progress, thresholds=thresholds)
    _print_added("imported", added)
    for name, other in maintenance.spelled_alike()[:MOST_NAMED] if added.new else ():
        output.print_warning(f"'{name}' is spelled like '{other}': `people merge` makes them one")
    return 0


@command(
    _group,
    "copy",
    example="likeness gallery copy ~/.local/share/likeness/gallery postgresql://db/faces",
)
def copy(
    settings: Settings,
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder with a gallery, or an address.")
    ],
    target: Annotated[str, typer.Argument(metavar="DST", help="Another; made if need be.")],
    as_json: JsonOption = False,
) -> int:
    """Put everybody of one gallery into another, and compare both bit by bit.

    What is there already is left alone: a copy that was interrupted goes on where it was.
    """
    with output.progress_bar("copying") as progress:
        copied = _maintenance(settings).copy(source, target, progress)
    for one in copied.thresholds:
        output.print_note(
            f"took the threshold to {one.use}: {wording.similarity(one.threshold)}, "
            f"measured {one.calibrated_at[:10]} on {output.one_line(one.data)}"
        )
    if as_json:
        output.print_json(asdict(copied))
    else:
        _print_added("copied", copied.added)
    if copied.lacking:
        output.print_error(
            f"of {copied.things:,} people, faces and exclusions {copied.lacking:,} are not there, "
            "or are otherwise: was one of the galleries changed meanwhile? Copy once more"
        )
        return 1
    if not as_json:
        output.print_line(f"all {copied.things:,} things are the same; sha-256 {copied.checksum}")
    return 0


@command(_group, "re-embed", example="likeness gallery re-embed --model both --photographs family")
def re_embed(
    settings: Settings,
    photographs: Annotated[
        Path | None,
        typer.Option(
            "--photographs",
            metavar="DIR",
            help="Photographs that people were enrolled by, found by their content: better than "
            "the pictures that the gallery has kept of the faces.",
        ),
    ] = None,
    leave_out: Annotated[
        bool,
        typer.Option("--leave-out", help="Let go what cannot be embedded; an undo brings it back."),
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Let the former embeddings go.")
    ] = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo", help="Make the gallery what it was; who was enrolled since is gone."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Move the gallery to another network, which --model or --weights names.

    Faces are embedded anew from the pictures that the gallery has kept, or from the photographs. An
    interrupted run goes on where it was. How close the pictures come to the photographs is told;
    below a median similarity of 0.98 nothing is changed. The former embeddings are kept until
    --confirm. Thresholds have to be calibrated anew, and nothing of before can be undone by itself.
    """
    from recognition.maintenance import ReEmbedding

    if confirm and undo:
        raise ArgumentError("--confirm and --undo exclude each other: give one")
    work = ReEmbedding(settings.home, settings.gallery, passphrase.ask, output.print_warning)
    if confirm or undo:
        (work.confirm if confirm else work.undo)()
        output.print_line(
            "the former embeddings are gone" if confirm else "the gallery is what it was before"
        )
        return 0
    with output.progress_bar("re-embedding") as progress:
        moved = work.move(
            settings.model,
            weights=settings.weights,
            device=settings.chosen_device,
            photographs=photographs,
            leave_out=leave_out,
            progress=progress,
        )
    if as_json:
        output.print_json(asdict(moved))
        return 0
    source = (
        f"measured on {count(moved.compared, 'photograph')} of this gallery"
        if moved.compared
        else "as measured on other people's photographs"
    )
    output.print_line(
        f"moved from {moved.before} to {moved.model}: {count(moved.moved, 'photograph')}, "
        f"{moved.from_photographs:,} of them embedded from the photograph itself"
    )
    if moved.similarity is not None:
        output.print_line(
            f"kept pictures are as good as photographs to a median similarity of "
            f"{moved.similarity:.3f}, {source}"
        )
    if moved.left_out or moved.exclusions_left_out:
        output.print_warning(
            f"{count(moved.left_out, 'photograph')} and "
            f"{count(moved.exclusions_left_out, 'excluded face')} are left out"
        )
    output.print_line(
        "try it; then `likeness gallery re-embed --confirm` lets the former embeddings go, or "
        "`--undo` takes the move back"
    )
    return 0


@command(_group, "encrypt", example="likeness gallery encrypt")
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


@command(_group, "decrypt", example="likeness gallery decrypt")
def decrypt(settings: Settings) -> int:
    """Keep everything readable from now on, for whoever can read the files."""
    with settings.recognition_service() as service:
        service.gallery.decrypt()
    output.print_line("the gallery is not encrypted any more")
    return 0


@command(_group, "rotate", example="likeness gallery rotate --data-key")
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


@command(_group, "audit", example="likeness gallery audit --json", became=UNCHANGED)
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


def _print_added(what: str, added: "Added") -> None:
    known = f", {added.known:,} were there already" if added.known else ""
    output.print_line(
        f"{what} {count(added.people, 'person', 'people')}, {count(added.new, 'photograph')}{known}"
    )
    for name, owner in added.others[:MOST_NAMED]:
        why = f"its face is '{owner}' here" if owner else "their consent is over here"
        output.print_warning(f"a photograph of '{name}' is left out: {why}")
    if len(added.others) > MOST_NAMED:
        output.print_warning(f"and {len(added.others) - MOST_NAMED:,} more")


def _maintenance(settings: Settings) -> "GalleryMaintenance":
    from recognition.maintenance import GalleryMaintenance

    return GalleryMaintenance(
        settings.home, settings.gallery, passphrase.ask, output.print_warning, settings.index
    )


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
