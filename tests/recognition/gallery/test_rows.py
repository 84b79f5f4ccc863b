"""Every column of the schema is sealed or may stand in the open, and rows pass through one door."""

import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import recognition.gallery
from data.clock import today
from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage import database as database_module
from recognition.gallery.storage.audit import Action
from recognition.gallery.storage.database import Database, SqliteLink, connect, create_database
from recognition.gallery.storage.encryption import OPEN, KeyedSeal
from recognition.gallery.storage.people import Row
from recognition.gallery.storage.rows import (
    SEALED,
    UNSEALED,
    WRITTEN_DOWN,
    SealedConnection,
    seal_anew,
)
from recognition.gallery.templates import EmbeddingModel, Template, to_blob
from recognition.results import Consent, Quality

KEY = "e" * 64
NAME, GROUP, NOTE, CROP = "Ann Ångström", "Familie", "form of a person", b"crop of a person"


def columns_of(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Every table of a database that is not SQLite's own, and each of its columns."""
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'"
        " ESCAPE '!'"
    ).fetchall()
    return {
        (table, row[1])
        for (table,) in tables
        for row in connection.execute(f"PRAGMA table_xinfo({table})")
    }


@pytest.fixture
def full(folder: Path, model: EmbeddingModel, make_template: Callable[..., Template]) -> Path:
    """An encrypted gallery with something in every sealed column."""
    quality = Quality(size=80.0, sharpness=0.5, turn=0.1, nod=0.2, brightness=0.5, trust=0.9)
    with Gallery.open(folder, model=model, create=True, find_secret=lambda _: KEY) as gallery:
        gallery.encrypt(KEY)
        until = today() + timedelta(days=9)
        for number, name in enumerate((NAME, "Bob")):
            face = replace(make_template(number, crop=CROP), photograph_sha256=os.urandom(32).hex())
            consent = Consent(note=NOTE, until=until)
            gallery.enrol(name, [replace(face, quality=quality)], consent, [GROUP])
        gallery.edit.exclude(NAME, make_template(9))
        gallery.edit.rename("Bob", "Robert")
        gallery.edit.group([NAME], remove=[GROUP])
        gallery.edit.group([NAME], add=[GROUP])
    return folder / "gallery.sqlite"


def test_every_column_is_either_sealed_or_open_for_a_reason(
    folder: Path, model: EmbeddingModel
) -> None:
    with Gallery.open(folder, model=model, create=True):
        pass
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        found = columns_of(connection)
    in_the_open = {(table, column) for table, own in UNSEALED.items() for column in own}
    assert found == SEALED.keys() | in_the_open, "a column that nobody has thought about"
    assert not SEALED.keys() & in_the_open
    assert all(reason for own in UNSEALED.values() for reason in own.values())
    assert WRITTEN_DOWN in in_the_open
    # What is bound, and what is found by, are columns themselves.
    for (table, _), how in SEALED.items():
        assert {(table, name) for name in how.bound} <= in_the_open
        assert how.mark is None or (table, how.mark) in in_the_open


def test_what_is_called_sealed_is_encrypted_and_what_is_open_tells_of_nobody(full: Path) -> None:
    with closing(Database(full, lambda _: KEY)) as database, database.reading() as connection:
        plain: set[object] = set()
        for table, column in SEALED:
            asked = (f"{table}.{column}",)
            opened = [row[0] for row in connection.read(asked, f"FROM {table}")]
            closed = [row[0] for row in connection.execute(f"SELECT {column} FROM {table}")]
            assert any(opened), f"nothing in {table}.{column} to try"
            assert not {one for one in opened if one} & set(closed)
            plain |= {one for one in opened if one}
        for (name,) in connection.read(("person.name",), "FROM person"):
            plain |= {*name.split()}
        assert {NAME, GROUP, NOTE, CROP, "Robert"} <= plain
        pieces = [one.encode() if isinstance(one, str) else one for one in plain]
        for table, columns in UNSEALED.items():
            for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall():
                text = repr(row).encode()
                values = [one for one in row if isinstance(one, bytes)]
                for piece in pieces:
                    assert piece not in text, f"{piece!r} stands open in {table}"
                    assert not any(piece in value for value in values)


@pytest.fixture
def connection(tmp_path: Path, model: EmbeddingModel) -> Iterator[SealedConnection]:
    """In a transaction of a gallery with one person who has a face of every kind."""
    path = tmp_path / "gallery.sqlite"
    create_database(
        path,
        {
            "gallery_id": "g",
            "created_at": "2026-01-01",
            "model_id": model.model_id,
            "weights_digest": model.weights_digest,
            "dimension": model.dimension,
        },
    )
    with closing(Database(path)) as database, database.writing() as opened:
        opened.seal = KeyedSeal(b"k" * 32, "g")
        for person in (1, 2):
            values = {"id": person, "name": f"P{person}", "enrolled_at": "2026-01-01"}
            opened.insert("person", values)
        yield opened
        opened.execute("DELETE FROM person")


def test_what_is_bound_to_a_column_is_sealed_anew_with_it_and_opens_nowhere_else(
    connection: SealedConnection, make_template: Callable[..., Template]
) -> None:
    blob = to_blob(make_template(1).embedding, 16)
    face = {"photograph_sha256": "ab" * 32, "embedding": blob}
    for kind in (Row.TEMPLATE, Row.EXCLUSION):
        connection.insert(kind, {"id": 7, "person_id": 1, **face})
    connection.insert(Row.MEMBERSHIP, {"id": 7, "person_id": 1, "name": "staff"})
    sealed = {
        Row.TEMPLATE: ("embedding", blob),
        Row.EXCLUSION: ("embedding", blob),
        Row.MEMBERSHIP: ("name", "staff"),
    }
    for kind, (column, content) in sealed.items():
        asked = (f"{kind}.{column}",)
        connection.update(kind, 7, {"person_id": 2})
        assert connection.read_one(("person_id", *asked), f"FROM {kind}") == (2, content)
        connection.execute(f"UPDATE {kind} SET person_id = 1")  # without the door
        with pytest.raises(GalleryError, match=f"the {column} of {kind} 7 cannot be decrypted"):
            connection.read_one(asked, f"FROM {kind}")
        connection.execute(f"UPDATE {kind} SET person_id = 2, id = 8")  # another row
        with pytest.raises(GalleryError, match="cannot be decrypted"):
            connection.read_one(asked, f"FROM {kind}")
        connection.execute(f"UPDATE {kind} SET id = 7")
    connection.execute("UPDATE gallery SET weights_digest = 'another model'")
    with pytest.raises(GalleryError, match="cannot be decrypted"):
        connection.read_one(("template.embedding",), "FROM template")
    assert connection.read_one(("membership.name",), "FROM membership") == ("staff",)


def test_whoever_is_marked_is_found_and_a_column_left_alone_stays(
    connection: SealedConnection,
) -> None:
    connection.update("person", 1, {"name": "Ann", "deleted_at": "2026-02-02"})
    connection.update("person", 1, {"consent": "form 12"})
    connection.update("person", 1, {"deleted_at": None})
    connection.update("person", 99, {"name": "nobody"})
    asked = ("person.name", "person.consent", "deleted_at")
    found = connection.read(asked, "FROM person WHERE mark = ?", (connection.mark("Ann"),))
    assert list(found) == [("Ann", "form 12", None)]
    connection.update("person", 1, {"consent": None})
    assert connection.read_one(("person.consent",), "FROM person WHERE id = 1") == (None,)


def test_of_several_rows_the_damaged_one_alone_is_refused(connection: SealedConnection) -> None:
    connection.execute("UPDATE person SET name = 'AAAA' WHERE id = 1")
    tried = list(connection.tried(("id", "person.name"), "FROM person ORDER BY id"))
    assert [raw[0] for raw, _ in tried] == [1, 2]
    with pytest.raises(GalleryError, match="the name of person 1"):
        tried[0][1]()
    assert tried[1][1]() == (2, "P2")


@pytest.mark.parametrize("asked", sorted({column for _, column in SEALED}))
def test_a_sealed_column_is_not_asked_for_without_its_table(
    connection: SealedConnection, asked: str
) -> None:
    """What came back would be a ciphertext that is taken for a name."""
    with pytest.raises(ValueError, match=re.escape(asked)):
        connection.read(("id", asked), "FROM person").__next__()


def test_another_key_opens_all_that_the_old_one_did_also_what_is_written_down(full: Path) -> None:
    def told(connection: SealedConnection) -> list[object]:
        tables = {table for table, _ in SEALED}
        rows: list[object] = []
        for table in sorted(tables):
            asked = tuple(f"{table}.{column}" for one, column in SEALED if one == table)
            rows += connection.read(asked, f"FROM {table} ORDER BY 1 IS NULL, rowid")
        return rows

    with closing(Database(full, lambda _: KEY)) as database, database.writing() as connection:
        own, before = connection.seal, told(connection)
        written = connection.execute("SELECT before FROM reversal ORDER BY id").fetchall()
        for new in (KeyedSeal(b"n" * 32, "another"), OPEN, KeyedSeal(b"m" * 32, "a third"), own):
            seal_anew(connection, new)
            connection.seal = new
            assert told(connection) == before
        assert connection.execute("SELECT before FROM reversal ORDER BY id").fetchall() != written
    with Gallery.open(full.parent, find_secret=lambda _: KEY) as gallery:
        while gallery.operations():
            gallery.edit.undo()
        assert gallery.people() == ()
        assert [entry.action for entry in gallery.audit()].count(Action.UNDO) > 4


def test_no_other_module_closes_or_opens_what_is_sealed() -> None:
    """Whoever has a statement of their own names no cipher; an index file's blocks are no rows."""
    root = Path(recognition.gallery.__file__).parent
    cipher = re.compile(
        r"\.(?:open|close)(?:_text)?\(.*place|seal\.(?:open|close)|KeyedSeal\(|AESGCM"
    )
    knowing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if cipher.search(path.read_text())
    }
    assert knowing == {"storage/encryption.py", "storage/rows.py", "search/index_file.py"}


# Who moves rows as they are in the file, and may therefore do without the door.
AS_THEY_ARE = {
    ("changes", "person"),  # the journal copies the columns of a row, and puts them back
    ("changes", "membership"),
    ("integrity", "person"),  # the sum of all rows' hashes
    ("integrity", "membership"),
    ("integrity", "operation"),
    ("integrity", "template"),
    ("integrity", "exclusion"),
}


def test_no_statement_but_the_doors_reads_or_writes_a_sealed_column(
    folder: Path,
    model: EmbeddingModel,
    make_template: Callable[..., Template],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLite itself tells which columns a statement touches."""
    found: set[tuple[str, str]] = set()
    module = ""

    class Watched(SqliteLink):
        def execute(self, *given: Any) -> sqlite3.Cursor:
            return self._noted(super().execute, given)

        def executemany(self, *given: Any) -> sqlite3.Cursor:
            return self._noted(super().executemany, given)

        def _noted(self, run: Callable[..., sqlite3.Cursor], given: Any) -> sqlite3.Cursor:
            nonlocal module
            if given[0] == "VACUUM":
                self.set_authorizer(None)
            module = sys._getframe(2).f_globals["__name__"].rpartition(".")[2]
            try:
                return run(*given)
            finally:
                self.set_authorizer(note)

    def note(
        action: int, table: str | None, column: str | None, _: str | None, trigger: str | None
    ) -> int:
        by = "integrity" if trigger else module
        touched = (table, column) if action != sqlite3.SQLITE_INSERT else (table,)
        if action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_INSERT) and (
            touched in SEALED or touched in {(one,) for one, _ in SEALED}
        ):
            found.add((by, str(table)))
        return sqlite3.SQLITE_OK

    def watched(uri: str, wait: float = 0) -> SqliteLink:
        with monkeypatch.context() as patch:
            patch.setattr(database_module, "SqliteLink", Watched)
            opened = connect(uri, wait)
        opened.set_authorizer(note)
        return opened

    monkeypatch.setattr(database_module, "connect", watched)
    with Gallery.open(folder, model=model, create=True, find_secret=lambda _: KEY) as gallery:
        for number, name in enumerate((NAME, "Bob", "Cyd")):
            faces = [make_template(10 * number + one, crop=CROP) for one in range(3)]
            gallery.enrol(name, faces, Consent(note=NOTE), [GROUP])
        gallery.encrypt(KEY)
        gallery.edit.exclude(NAME, make_template(9))
        gallery.edit.tell_apart(NAME, "Bob")
        gallery.edit.rename("Bob", "Robert")
        gallery.edit.split(NAME, [1], "Dan")
        gallery.edit.move(NAME, [2], "Dan")
        gallery.edit.merge("Cyd", "Dan")
        gallery.edit.group([NAME], add=["staff"], remove=[GROUP])
        gallery.edit.delete("Dan")
        gallery.edit.restore("Dan")
        gallery.search(make_template(1).embedding[None], 2)
        gallery.edit.rename("Dan", "Daniel")
        gallery.search(make_template(1).embedding[None], 2)  # followed from the state before
        gallery.edit.undo()
        assert gallery.faults() == []
        assert gallery.operations()
        assert gallery.told_apart()
        assert gallery.photographs("Dan")
        assert gallery.crop("Dan") == CROP
        with gallery.records() as records:
            kept = list(records)
        with gallery.adding() as add:
            add([replace(one, name=f"{one.name} II") for one in kept])
        gallery.rotate("d" * 64, data_key=True)
        for _ in range(5):
            gallery.edit.undo()
        gallery.erase(NAME)
    others = {one for one in found if one[0] != "rows"}
    assert others == AS_THEY_ARE
    assert {table for module, table in found if module == "rows"} == {one for one, _ in SEALED}
