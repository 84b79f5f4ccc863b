"""What is erased stays erased: older backups, what was put aside, kills, other folders."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from data.clock import today
from data.errors import ArgumentError, GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage import database
from recognition.gallery.storage.audit import Action
from recognition.gallery.storage.schema import LEAVES_TRACES
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer import backup as backups
from recognition.gallery.transfer.backup import back_up, foresee, restore
from recognition.results import Consent

KEY = "f" * 64
MakeTemplate = Callable[..., Template]


def find(_: str) -> str:
    return KEY


@pytest.fixture(params=["plain", "encrypted"])
def kept(
    request: pytest.FixtureRequest,
    folder: Path,
    tmp_path: Path,
    model: EmbeddingModel,
    make_template: MakeTemplate,
) -> Path:
    """A backup of a gallery with Ann, Bob, Cyd and Dan."""
    with Gallery.open(folder, model=model, create=True, find_secret=find) as gallery:
        if request.param == "encrypted":
            gallery.encrypt(KEY)
        for seed, name in enumerate(("Ann", "Bob", "Cyd", "Dan"), 1):
            gallery.enrol(name, [make_template(seed), make_template(10 + seed)])
    backup = tmp_path / "kept.sqlite"
    back_up(folder, backup, find_secret=find)
    return backup


def opened(folder: Path) -> Gallery:
    return Gallery.open(folder, find_secret=find)


def names(folder: Path) -> list[str]:
    with opened(folder) as gallery:
        assert gallery.faults() == []
        return [person.name for person in gallery.people()]


def traces(folder: Path, template: Template) -> list[Path]:
    wanted = template.embedding.tobytes(), template.photograph_sha256.encode()
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(one in path.read_bytes() for one in wanted)
    ]


def damage(folder: Path) -> None:
    (folder / "gallery.sqlite").write_bytes(b"no database at all" * 100)
    for end in ("-wal", "-shm"):
        (folder / f"gallery.sqlite{end}").unlink(missing_ok=True)


@pytest.mark.parametrize("lost", ["nothing", "damaged", "database gone"])
def test_an_older_backup_does_not_bring_back_whoever_was_erased(
    kept: Path, folder: Path, make_template: MakeTemplate, lost: str
) -> None:
    with opened(folder) as gallery:
        gallery.erase("Ann")
        gallery.edit.delete("Bob")
        gallery.erase("Bob")
        gallery.edit.merge("Cyd", "Dan")
        gallery.erase("Dan")  # with all that was Cyd's
        gallery.enrol("Ann", [make_template(21)])  # another one
        new = gallery.people()[0].person_id
    if lost == "damaged":
        damage(folder)
    elif lost == "database gone":
        for path in folder.glob("gallery.sqlite*"):
            path.unlink()
    foreseen = foresee(kept, folder, find)
    assert foreseen.erased_again == 3  # Cyd goes because no photograph is left
    assert foreseen.gone == (("Ann",) if lost == "nothing" else ())
    restore(kept, folder, find)
    assert names(folder) == []
    if lost != "damaged":
        for seed in (1, 2, 3, 4, 13):
            assert traces(folder, make_template(seed)) == []
    with opened(folder) as gallery:
        gallery.enrol("Eve", [make_template(22)])
        assert gallery.people()[0].person_id > (new if lost == "nothing" else 4)


def test_a_template_that_was_erased_with_somebody_else_stays_gone(
    kept: Path, folder: Path, make_template: MakeTemplate
) -> None:
    with opened(folder) as gallery:
        gallery.edit.move("Ann", [gallery.photographs("Ann")[0].number], "Bob")
        gallery.erase("Bob")
    restore(kept, folder, find)
    assert names(folder) == ["Ann", "Cyd", "Dan"]
    with opened(folder) as gallery:
        assert gallery.templates_of("Ann")[0] == [make_template(11).photograph_sha256]


def test_a_gallery_of_another_origin_keeps_everybody_and_ids_are_not_given_again(
    kept: Path, folder: Path, tmp_path: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    with opened(folder) as gallery:
        for name in ("Ann", "Bob", "Cyd", "Dan"):
            gallery.erase(name)
    other, file = tmp_path / "other", tmp_path / "other.sqlite"
    with Gallery.open(other, model=model, create=True) as gallery:
        gallery.enrol("Zoe", [make_template(5)])
    back_up(other, file)
    assert foresee(file, folder, find).erased_again == 0
    restore(file, folder, find)
    assert names(folder) == ["Zoe"]
    restore(kept, folder, find)  # of this one again, whose erased are still known
    assert names(folder) == []
    with opened(folder) as gallery:
        gallery.enrol("New", [make_template(6)])
        assert gallery.people()[0].person_id > 4


def test_a_restoration_once_more_of_the_same_backup_erases_once_more(
    kept: Path, folder: Path
) -> None:
    with opened(folder) as gallery:
        gallery.erase("Ann")
    for _ in range(2):
        restore(kept, folder, find)
        assert names(folder) == ["Bob", "Cyd", "Dan"]
    with opened(folder) as gallery:
        gallery.erase("Bob")
    restore(kept, folder, find)
    assert names(folder) == ["Cyd", "Dan"]


def test_what_is_kept_beside_the_database_may_be_damaged(kept: Path, folder: Path) -> None:
    with opened(folder) as gallery:
        gallery.erase("Ann")
    beside = folder / "erased.json"
    rows = json.loads(beside.read_text())
    assert sorted(kind for _, kind, _ in rows) == ["person", "template", "template"]
    damage(folder)
    beside.write_text("[[1, 2")
    restore(kept, folder, find)  # nothing can be known of Ann any more
    assert names(folder) == ["Ann", "Bob", "Cyd", "Dan"]


def test_nobody_is_erased_and_nothing_encrypted_beside_what_was_put_aside(
    kept: Path, folder: Path
) -> None:
    damage(folder)
    aside = restore(kept, folder, find)
    assert aside is not None
    with opened(folder) as gallery:
        encrypted = gallery.is_encrypted
        with pytest.raises(GalleryError, match="put-aside --remove"):
            gallery.erase("Ann")
        with pytest.raises(GalleryError, match=r"put-aside --remove|encrypted already"):
            gallery.encrypt(KEY)
        assert aside.is_dir()
        for path in aside.iterdir():
            path.unlink()
        aside.rmdir()
        gallery.erase("Ann")
        if not encrypted:
            gallery.encrypt(KEY)
    assert names(folder) == ["Bob", "Cyd", "Dan"]


@pytest.mark.parametrize("before", ["nothing", "damaged"])
def test_where_a_key_is_given_a_plain_backup_is_encrypted_before_it_is_in_its_place(
    folder: Path,
    tmp_path: Path,
    model: EmbeddingModel,
    make_template: MakeTemplate,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
) -> None:
    """Else a kill right afterwards leaves it there in plain."""
    plain, place = tmp_path / "plain.sqlite", tmp_path / "place"
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol("Ann Angler", [make_template(1)])
    back_up(folder, plain)
    if before == "damaged":
        place.mkdir()
        damage(place)
    told = "the gallery will be encrypted, by the key that is given"
    assert told in foresee(plain, place, find, KEY).notes
    assert any("will not be either" in note for note in foresee(plain, place, find).notes)
    with pytest.raises(ArgumentError, match="easy to guess"):
        restore(plain, place, find, "Ann Angler 1")
    seen: list[bytes] = []
    put_aside = backups._put_aside

    def look(folder: Path) -> Path | None:
        seen.extend(path.read_bytes() for path in folder.rglob("*.sqlite*") if path.is_file())
        return put_aside(folder)

    monkeypatch.setattr(backups, "_put_aside", look)
    restore(plain, place, find, KEY)
    assert seen
    assert not any(b"Ann Angler" in content for content in seen)
    with opened(place) as gallery:
        assert gallery.is_encrypted
        assert [one.name for one in gallery.people()] == ["Ann Angler"]


def test_encryption_does_not_go_by_a_restoration(
    folder: Path, tmp_path: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    plain, by_another = tmp_path / "plain.sqlite", tmp_path / "another.sqlite"
    other = "gravel orbit mitten plume"
    with Gallery.open(folder, model=model, create=True, find_secret=find) as gallery:
        gallery.enrol("Ann Angler", [make_template(1, crop=b"crop of Ann")])
        back_up(folder, plain)
    with Gallery.open(tmp_path / "second", model=model, create=True) as second:
        second.enrol("Ann Angler", [make_template(1, crop=b"crop of Ann")])
        second.encrypt(other)
    back_up(tmp_path / "second", by_another, find_secret=lambda _: other)
    with opened(folder) as gallery:
        gallery.encrypt(KEY)
        [key_id] = {row[0] for row in _rows(folder, "SELECT key_id FROM wrapped_key")}
    secret = {key_id: KEY}
    for backup in (plain, by_another):
        assert (
            "the gallery stays encrypted, by its own key"
            in foresee(backup, folder, lambda key: secret.get(key, other)).notes
        )
        restore(backup, folder, lambda key: secret.get(key, other))
        with opened(folder) as gallery:
            assert gallery.is_encrypted
            assert gallery.faults() == []
            assert gallery.crop("Ann Angler") == b"crop of Ann"
        content = (folder / "gallery.sqlite").read_bytes()
        assert not any(one in content for one in (b"Ann Angler", b"crop of Ann"))


def _rows(folder: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        return connection.execute(question).fetchall()


def test_a_deletion_of_a_time_to_come_begins_now(
    folder: Path, tmp_path: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol("Ann", [make_template(1)])
        gallery.edit.delete("Ann")
    backup = tmp_path / "kept.sqlite"
    back_up(folder, backup)
    with closing(sqlite3.connect(backup)) as connection, connection:
        connection.execute("UPDATE person SET deleted_at = '9999-01-01T00:00:00.000000+00:00'")
    restore(backup, folder)
    with opened(folder) as gallery:
        [ann] = gallery.people(deleted=True)
        assert ann.deleted_at < "9000"


KILLED = """
import sys, os, signal
from pathlib import Path
import recognition.gallery.transfer.backup as backup
from recognition.gallery.transfer.exports import export
from recognition.gallery.gallery import Gallery
from recognition.gallery.transfer import archive, imports
folder, what, target = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def when(after):
    return lambda *args, **kept: (after(*args, **kept), die())
if what == "backup":
    backup._refuse_faults = die
    backup.back_up(folder, target)
elif what == "restore":
    backup._put_aside = die
    backup.restore(target, folder)
elif what == "export":
    with Gallery.open(folder) as gallery:
        export(gallery, target, lambda done, total: done == total and die(), folder)
elif what == "import":
    archive._offsets = die
    imports.import_from(target, lambda model: Gallery.open(folder), scratch=folder)
elif what == "index":
    from recognition.gallery.search import index_file
    with Gallery.open(folder) as gallery:
        index_file.note_indexed = die
        index_file.BlockWriter.end = die
        gallery.make_index()
"""


@pytest.mark.parametrize("what", ["backup", "restore", "export", "export.zip", "import", "index"])
def test_what_a_kill_leaves_anywhere_the_next_opening_sweeps(
    folder: Path, tmp_path: Path, model: EmbeddingModel, make_template: MakeTemplate, what: str
) -> None:
    ann = make_template(1)
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol("Ann", [ann])
    place = tmp_path / "elsewhere"
    place.mkdir()
    target = place / ("people.zip" if what in ("export.zip", "import") else "people")
    if what == "import":
        from recognition.gallery.transfer.exports import export

        with opened(folder) as gallery:
            export(gallery, target)
    if what == "restore":
        back_up(folder, target)
        damage(folder)
    before = set(tmp_path.rglob("*"))
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), what.partition(".")[0], str(target)],
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    left = set(tmp_path.rglob("*")) - before
    assert any(".likeness-" in str(path) for path in left), left
    if what == "restore":
        restore(target, folder)
    with opened(folder) as gallery:
        gallery.people()
    left = set(tmp_path.rglob("*")) - before
    assert not [path for path in left if ".likeness-" in str(path)]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux shows what is open")
@pytest.mark.parametrize("is_large", [False, True])
def test_an_erasure_writes_nothing_into_the_system_s_folder_for_temporary_files(
    folder: Path,
    tmp_path: Path,
    model: EmbeddingModel,
    make_template: MakeTemplate,
    monkeypatch: pytest.MonkeyPatch,
    is_large: bool,
) -> None:
    """What SQLite opens is watched while it writes the whole gallery anew."""
    if is_large:
        monkeypatch.setattr(database, "MOST_IN_MEMORY", 0)
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol_all(
            [(f"P{n}", [make_template(n, crop=os.urandom(20_000))]) for n in range(300)]
        )
        seen: set[str] = set()
        ended = threading.Event()

        def watch() -> None:
            while not ended.is_set():
                for descriptor in Path("/proc/self/fd").iterdir():
                    with suppress(OSError):
                        seen.add(str(descriptor.readlink()))

        def strange() -> set[str]:
            return {path for path in seen if "etilqs" in path}

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            for number in range(5):
                gallery.erase(f"P{number}")
                gallery.edit.rename(f"P{number + 50}", f"Q{number}")
        finally:
            ended.set()
            watching.join()
    assert any("gallery.sqlite" in path for path in seen)
    assert {Path(path).parent for path in strange()} == ({folder} if is_large else set())


@pytest.mark.parametrize("when", ["enrolled as another's", "moved to the erased", "only later"])
def test_no_face_of_somebody_erased_comes_back_as_one_that_is_not_somebody_else_s(
    kept: Path, folder: Path, make_template: MakeTemplate, when: str
) -> None:
    """A face that is not Dan's is kept of whoever was erased, until they are; a backup has it."""
    ann = make_template(31 if when == "only later" else 11)
    with opened(folder) as gallery:
        gallery.edit.exclude("Dan", ann)
        back_up(folder, kept, overwrite=True, find_secret=find)
        if when == "moved to the erased":
            gallery.edit.move("Ann", [gallery.photographs("Ann")[1].number], "Bob")
            gallery.erase("Bob")
        else:
            gallery.enrol("Ann", [make_template(31)])
            gallery.erase("Ann")
    restore(kept, folder, find)
    with opened(folder) as gallery:
        assert "Dan" in [person.name for person in gallery.people()]
        assert _rows(folder, "SELECT * FROM exclusion") == []
    assert traces(folder, ann) == []


@pytest.mark.parametrize("noted", ["later", "earlier", "later, then deleted"])
def test_what_was_agreed_to_since_holds_after_a_restoration(
    kept: Path, folder: Path, noted: str
) -> None:
    soon, late = today() + timedelta(days=3), today() + timedelta(days=300)
    with opened(folder) as gallery:
        gallery.edit.consent("Ann", Consent(note="form 1", until=late))
        gallery.edit.consent("Bob", Consent(note="form 2", until=late))
        back_up(folder, kept, overwrite=True, find_secret=find)
        if noted == "earlier":
            gallery.edit.undo()  # Bob's
            gallery.edit.undo()
        else:
            gallery.edit.consent("Ann", Consent(note="withdrawn", until=soon))
        if "deleted" in noted:
            gallery.edit.delete("Ann")
    told = " ".join(foresee(kept, folder, find).notes)
    assert ("1 of them agreed to since stays" in told) == (noted != "earlier")
    assert ("1 of them are deleted here" in told) == ("deleted" in noted)
    restore(kept, folder, find)
    with opened(folder) as gallery:
        found = {one.name: (one.consent, one.expires_on) for one in gallery.people()}
        assert found["Ann"] == (
            ("form 1", late.isoformat()) if noted == "earlier" else ("withdrawn", soon.isoformat())
        )
        assert found["Bob"] == ("form 2", late.isoformat())
        assert gallery.faults() == []


def test_an_older_file_put_back_by_hand_is_told_of_and_a_restoration_mends_it(
    kept: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder) as gallery:
        encrypted = gallery.is_encrypted
        [ann] = [one.person_id for one in gallery.people() if one.name == "Ann"]
        gallery.erase("Ann")
    with opened(folder):
        assert not caplog.records
    for path in folder.glob("gallery.sqlite*"):
        path.unlink()
    shutil.copy(kept, folder / "gallery.sqlite")
    with opened(folder) as gallery:
        assert len(gallery.people()) == 4
    [record] = caplog.records
    assert f"1 person was erased since, or photographs of theirs (by person_id: {ann})" in (
        record.getMessage()
    )
    if encrypted:  # what lies beside it is not under its key, and decides nothing
        assert foresee(kept, folder, find).erased_again == 0
        with opened(folder) as gallery:
            gallery.erase(ann)
    else:
        assert foresee(kept, folder, find).erased_again == 1
        restore(kept, folder, find)
    assert names(folder) == ["Bob", "Cyd", "Dan"]
    caplog.clear()
    with opened(folder):
        assert not caplog.records


def test_an_empty_name_erases_nobody(kept: Path, folder: Path) -> None:
    with opened(folder) as gallery:
        for nobody in ("", "   ", "\u200b"):
            with pytest.raises(ArgumentError):
                gallery.erase(nobody)
    assert len(names(folder)) == 4


@pytest.mark.parametrize("meanwhile", ["erasure", "undo of an enrolment", "encryption"])
def test_what_is_erased_while_another_s_traces_are_wiped_is_wiped_by_the_next_wipe(
    folder: Path, model: EmbeddingModel, make_template: MakeTemplate, meanwhile: str
) -> None:
    ann, bob = make_template(1), make_template(2)
    with (
        Gallery.open(folder, model=model, create=True, find_secret=find) as one,
        opened(folder) as other,
    ):
        one.enrol("Ann", [ann])
        one.enrol("Bob", [bob])
        one._store.wipe_traces()  # into the file with all

        def change() -> None:
            if meanwhile == "erasure":
                other._store.erase("Bob")
            elif meanwhile == "encryption":
                other._store.change_key(Action.ENCRYPT, KEY)
            else:
                other._store.edit.undo()

        if meanwhile == "undo of an enrolment":  # which an erasure would put out of reach
            one._store.edit.rename("Ann", "Anne")
            one._store.edit.undo()
            with one._store.adding() as connection:
                connection.execute(LEAVES_TRACES)
        else:
            one._store.erase("Ann")
        one._store.wipe_traces(change)
        assert traces(folder, bob)
        with one._store.reading() as snapshot:
            assert snapshot.traces_remain
        one.wipe_traces()
        assert traces(folder, bob) == []
        with one._store.reading() as snapshot:
            assert not snapshot.traces_remain


def test_who_changes_something_else_meanwhile_has_nothing_wiped_again(
    folder: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    with Gallery.open(folder, model=model, create=True) as one, opened(folder) as other:
        one.enrol("Ann", [make_template(1)])
        one.enrol("Bob", [make_template(2)])
        one._store.erase("Ann")
        one._store.wipe_traces(lambda: other._store.edit.rename("Bob", "Robert"))
        with one._store.reading() as snapshot:
            assert not snapshot.traces_remain


def test_who_was_erased_stays_known_beside_an_older_file_put_back_by_hand(
    kept: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder) as gallery:
        gallery.erase("Ann")
    for path in folder.glob("gallery.sqlite*"):
        path.unlink()
    shutil.copy(kept, folder / "gallery.sqlite")
    with opened(folder) as gallery:
        gallery.erase("Bob")
        gallery.erase("Cyd")
    caplog.clear()
    with opened(folder):
        pass
    assert "1 person was erased since" in caplog.text  # Ann, of whom the file knows nothing
