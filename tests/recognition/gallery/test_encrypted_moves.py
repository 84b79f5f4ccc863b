"""An encrypted gallery is backed up, restored, exported, imported and copied."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from data.clock import today
from data.errors import GalleryError, LockedError
from recognition.gallery.gallery import DATABASE, Gallery
from recognition.gallery.storage import encryption
from recognition.gallery.storage.records import fingerprints
from recognition.gallery.storage.schema import VERSION
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.backup import back_up, restore
from recognition.gallery.transfer.copies import copy_gallery
from recognition.gallery.transfer.exports import export
from recognition.gallery.transfer.imports import import_from
from recognition.results import Consent

SECRET, OTHER = "tidal quartz nomad lantern", "gravel orbit mitten plume"


def find(_: str) -> str:
    return SECRET


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "SCRYPT", (2**4, 8, 1))


@pytest.fixture
def sealed(folder: Path, model: EmbeddingModel, make_template: Callable[..., Template]) -> Path:
    """The folder of an encrypted gallery of two people."""
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.encrypt(SECRET)
        consent = Consent(note="form 12", until=today())
        gallery.enrol("Ann Angler", [make_template(1, crop=b"crop of Ann")], consent)
        gallery.enrol("Bob Builder", [make_template(2), make_template(3)])
        gallery.edit.exclude("Bob Builder", make_template(4))
    return folder


def held(gallery: Gallery) -> set[bytes]:
    with gallery.records() as records:
        return {one for record in records for one in fingerprints(record)}


def test_a_backup_is_as_encrypted_as_the_gallery_and_brings_it_back(
    sealed: Path, tmp_path: Path, make_template: Callable[..., Template]
) -> None:
    file, elsewhere = tmp_path / "backup.sqlite", tmp_path / "elsewhere"
    with pytest.raises(LockedError):
        back_up(sealed, file)
    assert not file.exists()
    back_up(sealed, file, find_secret=find)
    content = file.read_bytes()
    secrets = (b"Ann Angler", b"crop of Ann", b"form 12", make_template(1).embedding.tobytes())
    assert not any(secret in content for secret in secrets)
    with Gallery.open(sealed, find_secret=find) as gallery:
        before = held(gallery)
        gallery.edit.rename("Ann Angler", "Ann")
        gallery.rotate(SECRET, data_key=True)
    for wrong in (lambda _: None, lambda _: OTHER):
        with pytest.raises(LockedError):
            restore(file, elsewhere, wrong)
        assert not (elsewhere / DATABASE).exists()
    for folder in (sealed, elsewhere):
        restore(file, folder, find)
        with Gallery.open(folder, find_secret=find) as gallery:
            assert held(gallery) == before
            assert gallery.is_encrypted
            assert gallery.faults() == []
            actions = [entry.action for entry in gallery.audit()]
            assert "restore a backup" in actions
            assert ("rename" in actions) == (folder == sealed)  # its own log stays
            gallery.edit.undo()
        with pytest.raises(LockedError):
            Gallery.open(folder)


def test_a_backup_of_an_older_version_is_brought_up_and_encryption_stays(
    tmp_path: Path, folder: Path, make_template: Callable[..., Template]
) -> None:
    older = tmp_path / "older.sqlite"
    shutil.copy(Path(__file__).with_name("older") / "schema-3.sqlite", older)
    before = older.read_bytes()
    restore(older, folder)
    assert older.read_bytes() == before
    with Gallery.open(folder) as gallery:
        assert [person.name for person in gallery.people()] == ["Ann", "Bob"]
        assert gallery.search(make_template(3).embedding[None], 1)[0][0].person == "Bob"
        gallery.encrypt(SECRET)
    restore(older, folder, find)  # over an encrypted one
    with pytest.raises(LockedError):
        Gallery.open(folder)
    with Gallery.open(folder, find_secret=find) as gallery:
        assert gallery.is_encrypted
        assert [person.name for person in gallery.people()] == ["Ann", "Bob"]
        assert gallery.search(make_template(3).embedding[None], 1)[0][0].person == "Bob"
        assert gallery.faults() == []
    assert b"Bob" not in (folder / DATABASE).read_bytes()


def test_a_damaged_row_of_an_encrypted_gallery_is_told(sealed: Path, tmp_path: Path) -> None:
    with Gallery.open(sealed, find_secret=find) as gallery:
        assert gallery.faults() == []
        with gallery._store._changing() as connection:
            connection.execute("UPDATE template SET person_id = 3 - person_id WHERE id < 3")
        faults = gallery.faults()
        assert len(faults) == 2
        assert all("cannot be decrypted" in fault for fault in faults)
    with pytest.raises(GalleryError, match="is damaged"):
        back_up(sealed, tmp_path / "backup.sqlite", find_secret=find)


def test_an_export_and_a_copy_hold_all_and_go_into_an_encrypted_gallery(
    sealed: Path, tmp_path: Path, model: EmbeddingModel
) -> None:
    with Gallery.open(sealed, find_secret=find) as gallery:
        before = held(gallery)
        export(gallery, tmp_path / "export")
        into = tmp_path / "copy"
        with Gallery.open(into, model=model, create=True, find_secret=find) as copy:
            copy.encrypt(SECRET)
            assert copy_gallery(gallery, copy).lacking == 0
            assert held(copy) == before

    def fresh(model: EmbeddingModel) -> Gallery:
        return Gallery.open(tmp_path / "imported", model=model, create=True)

    import_from(tmp_path / "export", fresh)
    with Gallery.open(tmp_path / "imported") as imported:
        assert held(imported) == before
        ann, _ = imported.people()
        assert (ann.consent, ann.expires_on) == ("form 12", today().isoformat())
        assert [entry.action for entry in imported.audit()] == ["import", "import"]


@pytest.mark.parametrize("version", range(5, VERSION))
def test_an_encrypted_backup_of_an_older_version_is_brought_up_sealed_as_it_is(
    version: int, tmp_path: Path, folder: Path, make_template: Callable[..., Template]
) -> None:
    older = tmp_path / "older.sqlite"
    shutil.copy(Path(__file__).with_name("older") / f"schema-{version}-encrypted.sqlite", older)
    before = older.read_bytes()
    key = "f" * 64
    with pytest.raises(LockedError):
        restore(older, folder, lambda _: "e" * 64)
    restore(older, folder, lambda _: key)
    assert older.read_bytes() == before
    with pytest.raises(LockedError):
        Gallery.open(folder)
    with Gallery.open(folder, find_secret=lambda _: key) as gallery:
        assert gallery.is_encrypted
        assert [person.name for person in gallery.people()] == ["Ann", "Bob"]
        assert gallery.search(make_template(3).embedding[None], 1)[0][0].person == "Bob"
        assert gallery.faults() == []
    assert b"Bob" not in (folder / DATABASE).read_bytes()


def test_an_altered_encrypted_backup_of_a_version_that_proves_its_rows_is_refused(
    tmp_path: Path, folder: Path
) -> None:
    older = tmp_path / "older.sqlite"
    shutil.copy(Path(__file__).with_name("older") / "schema-6-encrypted.sqlite", older)
    with closing(sqlite3.connect(older)) as connection, connection:
        connection.execute("UPDATE person SET expires_on = '2099-01-01'")
    with pytest.raises(GalleryError, match="altered by somebody without its key"):
        restore(older, folder, lambda _: "f" * 64)
    assert not (folder / DATABASE).exists()
