import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from data.errors import GalleryError
from recognition.gallery.storage import database
from recognition.gallery.storage.database import Database
from recognition.gallery.storage.schema import VERSION
from recognition.gallery.storage.store import Store
from recognition.gallery.templates import EmbeddingModel


@pytest.fixture
def path(tmp_path: Path, model: EmbeddingModel) -> Path:
    """A gallery's database that nobody has open."""
    Store.create(tmp_path / "gallery.sqlite", model)
    return tmp_path / "gallery.sqlite"


def settings_of(connection: sqlite3.Connection) -> dict[str, object]:
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


def test_what_is_committed_is_safe_and_processes_wait_for_each_other(path: Path) -> None:
    opened = Database(path)
    with opened.reading() as connection:
        assert settings_of(connection) == {
            "journal_mode": "wal",
            "synchronous": 2,  # FULL
            "foreign_keys": 1,
            "secure_delete": 1,
            "busy_timeout": 30_000,
        }
    opened.close()


def test_only_the_owner_may_read_it(path: Path) -> None:
    opened = Database(path)
    with opened.writing() as connection:
        connection.execute("UPDATE gallery SET changes = changes + 1")
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == [
        "gallery.sqlite",
        "gallery.sqlite-shm",
        "gallery.sqlite-wal",
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    opened.close()


def test_making_it_leaves_nothing_else_behind(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == ["gallery.sqlite"]


def test_making_it_twice_keeps_the_first(path: Path) -> None:
    before = path.read_bytes()
    Store.create(path, EmbeddingModel("another", "ef" * 32, 512))
    assert path.read_bytes() == before


def test_a_change_that_raises_changes_nothing(path: Path) -> None:
    opened = Database(path)

    def change_half() -> None:
        with opened.writing() as connection:
            connection.execute("UPDATE gallery SET model_id = 'other'")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_half()
    with opened.reading() as connection:
        assert connection.execute("SELECT model_id FROM gallery").fetchone() == ("mobilefacenet",)
    opened.close()


def read_all(path: Path) -> None:
    with closing(Database(path)) as opened, opened.reading() as connection:
        connection.execute("SELECT * FROM gallery, person, template").fetchall()


def refused(path: Path) -> str:
    with pytest.raises(GalleryError) as caught:
        read_all(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_an_empty_file_is_refused_and_stays_empty(path: Path) -> None:
    path.write_bytes(b"")
    assert "is empty" in refused(path)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("content", [b"not a database at all " * 500, bytes(8192), b"SQLite for"])
def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path)
    assert path.read_bytes() == content


def test_another_program_s_database_is_refused(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.commit()
    connection.close()
    assert "some other program's" in refused(path)


def test_a_damaged_page_is_refused_when_it_is_read(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    assert "is damaged" in refused(path)


def test_a_database_cut_short_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096])
    refused(path)


def test_a_newer_schema_is_refused_with_both_versions(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    known = f"newer Likeness (schema {VERSION + 1}, this one knows up to {VERSION}): update"
    assert known in refused(path)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "gallery.sqlite"
    refused(missing)
    assert not missing.exists()


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gallery.sqlite").mkdir()
    refused(tmp_path / "gallery.sqlite")


def test_a_full_disk_refuses_the_change_and_a_retry_succeeds(path: Path) -> None:
    opened = Database(path)
    with opened.reading() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def grow() -> None:
        with opened.writing() as connection:
            connection.execute("UPDATE gallery SET weights_path = hex(zeroblob(20000))")

    with pytest.raises(GalleryError, match="the disk is full: free some space and try again"):
        grow()
    with opened.reading() as connection:
        assert connection.execute("SELECT weights_path FROM gallery").fetchone() == (None,)
    connection.execute("PRAGMA max_page_count = 1000")
    grow()
    opened.close()


def test_a_file_that_cannot_be_written_says_so(path: Path) -> None:
    opened = Database(path)
    with opened.reading() as connection:
        pass
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(GalleryError, match="cannot be written"), opened.writing() as connection:
        connection.execute("UPDATE gallery SET changes = 0")
    opened.close()


def test_who_waits_too_long_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    holder, waiter = Database(path), Database(path)
    with (
        holder.writing(),
        pytest.raises(GalleryError, match="in use by another program"),
        waiter.writing(),
    ):
        pass
    holder.close()
    waiter.close()


def test_a_reader_does_not_wait_for_a_writer(path: Path) -> None:
    writer, reader = Database(path), Database(path)
    with writer.writing() as connection:
        connection.execute("UPDATE gallery SET changes = 7")
        with reader.reading() as snapshot:
            assert snapshot.execute("SELECT changes FROM gallery").fetchone() == (0,)
    with reader.reading() as snapshot:
        assert snapshot.execute("SELECT changes FROM gallery").fetchone() == (7,)
    writer.close()
    reader.close()


def test_traces_are_not_wiped_under_somebody_who_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    reader, eraser = Database(path), Database(path)
    with reader.reading() as snapshot:
        snapshot.execute("SELECT * FROM gallery").fetchall()
        with eraser.writing() as connection:
            connection.execute("UPDATE gallery SET changes = 7")
        with pytest.raises(GalleryError, match="traces of what was erased remain"):
            eraser.wipe_traces()
    eraser.wipe_traces()
    assert path.with_name("gallery.sqlite-wal").stat().st_size == 0
    reader.close()
    eraser.close()


def test_it_notices_that_its_file_was_removed_or_replaced(path: Path, tmp_path: Path) -> None:
    opened = Database(path)
    assert opened.is_in_place
    backup = tmp_path / "backup"
    backup.write_bytes(path.read_bytes())
    path.unlink()
    assert not opened.is_in_place
    backup.replace(path)
    assert not opened.is_in_place
    opened.close()


def test_many_threads_making_one_gallery_make_one(tmp_path: Path, model: EmbeddingModel) -> None:
    path = tmp_path / "gallery.sqlite"
    threads = [threading.Thread(target=Store.create, args=(path, model)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened = Database(path)
    with opened.reading() as connection:
        assert connection.execute("SELECT count(*) FROM gallery").fetchone() == (1,)
    opened.close()
    assert [file.name for file in tmp_path.iterdir()] == ["gallery.sqlite"]


def test_a_folder_that_cannot_take_it_is_named(tmp_path: Path, model: EmbeddingModel) -> None:
    with pytest.raises(GalleryError, match="cannot make a gallery at"):
        Store.create(tmp_path / "missing" / "gallery.sqlite", model)
