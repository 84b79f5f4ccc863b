"""An encrypted gallery believes nothing that somebody without its key has written."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from data.clock import today
from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.backup import back_up, restore
from recognition.results import Consent

KEY = "f" * 64
ALTERED = "altered by somebody without its key"


def opened(folder: Path, **given: object) -> Gallery:
    return Gallery.open(folder, find_secret=lambda _: KEY, **given)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, model: EmbeddingModel, make_template: Callable[..., Template]) -> Path:
    """An encrypted gallery in which something stands in every table that can be altered."""
    place = tmp_path / "gallery"
    with opened(place, model=model, create=True) as gallery:
        gallery.encrypt(KEY)
        gallery.enrol(
            "Ann", [make_template(1, crop=b"crop")], Consent(note="A", until=today()), ["staff"]
        )
        gallery.enrol("Bob", [make_template(2)], None, ["staff"])
        gallery.enrol("Cyd", [make_template(3)])
        gallery.erase("Cyd")
        gallery.edit.exclude("Bob", make_template(9))
        gallery.enrol("Dan", [make_template(4)])
        gallery.edit.delete("Dan")
    return place


def alter(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


CALIBRATION = (
    "INSERT INTO calibration SELECT 'identify', 0.01, -1, -1, -1, 0, 1, 1000, NULL, NULL, NULL,"
    " 0.5, NULL, weights_digest, 'x', '2026-01-01', 2, 2 FROM gallery"
)

ALTERATIONS = {
    "an end that is over": "UPDATE person SET expires_on = '2001-01-01' WHERE id = 2",
    "no end": "UPDATE person SET expires_on = NULL WHERE id = 1",
    "a deletion": "UPDATE person SET deleted_at = '2001-01-01' WHERE id = 1",
    "no deletion": "UPDATE person SET deleted_at = NULL",
    "two marks swapped": "UPDATE person SET mark = CASE id WHEN 1 THEN 'x' ELSE mark END",
    "a date of enrolment": "UPDATE person SET enrolled_at = '1999' WHERE id = 2",
    "a threshold": CALIBRATION,
    "a person less": "DELETE FROM person WHERE id = 1",
    "a template less": "DELETE FROM template WHERE id = 1",
    "a template's mark": "UPDATE template SET photograph_mark = replace(photograph_mark, '1', '2')",
    "a crop less": "DELETE FROM crop",
    "a group less": "DELETE FROM membership WHERE id = 1",
    "somebody else's group": "UPDATE membership SET person_id = 4 WHERE id = 1",
    "a face less that is not theirs": "DELETE FROM exclusion",
    "somebody who was erased forgotten": "DELETE FROM erased",
    "somebody said to be erased": "INSERT INTO erased SELECT origin_id, 'person', 1 FROM gallery",
    "an older sequence": "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'person'",
    "what undo puts back": "UPDATE reversal SET before = json_set(before, '$.expires_on', '2099-'"
    " || '01-01') WHERE before IS NOT NULL AND kind = 'person'",
    "nothing to undo": "DELETE FROM operation",
    "a line of the audit log": "INSERT INTO audit (done_at, action) VALUES ('2026', 'erase')",
    "the weights": "UPDATE gallery SET weights_path = '/tmp/x'",
    "another origin": "UPDATE gallery SET origin_id = 'x'",
    "traces": "UPDATE gallery SET traces_remain = 1",
    "no proof": "DELETE FROM proof",
    "another proof": "UPDATE proof SET value = randomblob(32)",
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_decides_is_not_altered_without_the_key(folder: Path, what: str) -> None:
    alter(folder, ALTERATIONS[what])
    before = (folder / "gallery.sqlite").read_bytes()
    with pytest.raises(GalleryError, match=ALTERED):
        opened(folder)
    assert (folder / "gallery.sqlite").read_bytes() == before


def alter_schema(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)


def find_others(folder: Path, index: str, table: str, columns: str, swapped: str) -> None:
    """Let an index say of two rows what the rows do not say; its statement stays as it is."""
    database = folder / "gallery.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(f"CREATE TABLE strange AS SELECT * FROM {table} ORDER BY id")
        connection.execute(
            f"UPDATE strange SET {swapped} = (SELECT {swapped} FROM {table} AS other"
            f" WHERE other.id = 3 - strange.rowid) WHERE rowid < 3"
        )
        (made,) = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = ?", (index,)
        ).fetchone()
        condition = made.partition("WHERE")[2] if made and "WHERE" in made else "TRUE"
        connection.execute(f"CREATE INDEX strange_{index} ON strange ({columns}) WHERE {condition}")
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
        connection.execute("PRAGMA writable_schema = ON")
        change = "UPDATE sqlite_schema SET rootpage = ? WHERE name = ?"
        connection.execute(change, (roots[f"strange_{index}"], index))
        connection.execute(change, (roots[index], f"strange_{index}"))
    alter_schema(folder, "DELETE FROM sqlite_schema WHERE tbl_name = 'strange'")


def changed_schema(before: str, after: str) -> Callable[[Path], None]:
    return lambda folder: alter_schema(
        folder, f"UPDATE sqlite_schema SET sql = replace(sql, '{before}', '{after}')"
    )


STRUCTURES: dict[str, Callable[[Path], None]] = {
    "names lead to others": lambda folder: find_others(
        folder, "person_mark", "person", "mark", "mark"
    ),
    "photographs lead to others": lambda folder: find_others(
        folder, "template_photograph", "template", "photograph_mark", "photograph_mark"
    ),
    "no ends are found": lambda folder: find_others(
        folder, "person_expiry", "person", "expires_on", "expires_on"
    ),
    "erasing leaves photographs": changed_schema(" ON DELETE CASCADE", ""),
    "photographs are nobody's": changed_schema(" REFERENCES person ON DELETE CASCADE", ""),
    "an index less": lambda folder: alter(folder, "DROP INDEX person_expiry"),
    "an index more": lambda folder: alter(folder, "CREATE INDEX more ON person (enrolled_at)"),
    "a table more": lambda folder: alter(folder, "CREATE TABLE more (x)"),
    "another default": changed_schema("deleted_at TEXT", "deleted_at TEXT DEFAULT ''1''"),
}


@pytest.mark.parametrize("what", STRUCTURES)
def test_how_the_file_is_made_decides_as_well_and_is_not_altered(folder: Path, what: str) -> None:
    STRUCTURES[what](folder)
    before = (folder / "gallery.sqlite").read_bytes()
    with pytest.raises(GalleryError, match=ALTERED):
        opened(folder)
    assert (folder / "gallery.sqlite").read_bytes() == before


def test_a_proof_of_the_rows_alone_is_taken_once(folder: Path) -> None:
    """As galleries had it before the tables were proved."""
    with opened(folder) as gallery:
        connection = gallery._store._database.link
        integrity = gallery._store._database._integrity
        earlier = integrity._value("likeness rows 1")
        with gallery._store._database.reading():
            assert earlier != integrity._stored()
        connection.execute("UPDATE proof SET value = ?", (earlier,))
    with opened(folder) as gallery:
        assert [one.name for one in gallery.people()] == ["Ann", "Bob"]
    alter(folder, "CREATE INDEX more ON person (enrolled_at)")
    with pytest.raises(GalleryError, match=ALTERED):
        opened(folder)
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute("UPDATE proof SET value = ?", (earlier,))
    with pytest.raises(GalleryError, match=ALTERED):  # not once more
        opened(folder)


TRIGGER = "CREATE TRIGGER strange AFTER INSERT ON person BEGIN SELECT 1; END"


@pytest.mark.parametrize("statement", [ALTERATIONS["no end"], ALTERATIONS["no proof"], TRIGGER])
def test_an_altered_one_is_put_aside_and_a_backup_takes_its_place(
    folder: Path, tmp_path: Path, statement: str
) -> None:
    kept = tmp_path / "kept.sqlite"
    with opened(folder) as gallery:
        back_up(folder, kept, find_secret=lambda _: KEY)
        gallery.erase("Dan")
    alter(folder, statement)
    aside = restore(kept, folder, find_secret=lambda _: KEY)
    assert aside is not None
    assert (aside / "gallery.sqlite").is_file()
    with opened(folder) as gallery:
        assert gallery.is_encrypted
        assert [one.name for one in gallery.people()] == ["Ann", "Bob"]
        assert gallery.people(deleted=True) == ()  # Dan is erased


@pytest.mark.parametrize("what", ["no end", "a threshold", "a person less", "no proof"])
def test_whoever_has_it_open_notices_as_well_and_a_backup_is_looked_through(
    folder: Path, tmp_path: Path, what: str
) -> None:
    kept = tmp_path / "kept.sqlite"
    back_up(folder, kept, find_secret=lambda _: KEY)
    with opened(folder) as gallery:
        alter(folder, ALTERATIONS[what])
        for ask in (gallery.people, lambda: gallery.edit.rename("Bob", "Rob"), gallery.audit):
            with pytest.raises(GalleryError, match=ALTERED):
                ask()
    with closing(sqlite3.connect(kept)) as connection, connection:
        connection.execute(ALTERATIONS[what])
    with pytest.raises(GalleryError, match=ALTERED):
        restore(kept, tmp_path / "elsewhere", find_secret=lambda _: KEY)


def test_all_that_is_done_keeps_the_proof(
    folder: Path, tmp_path: Path, make_template: Callable[..., Template]
) -> None:
    """Each of these writes otherwise: cascades, REPLACE, another key, a whole backup."""
    kept = tmp_path / "kept.sqlite"
    with opened(folder) as gallery, opened(folder) as other:
        for change in (
            lambda: gallery.enrol("Ann", [make_template(11)]),
            lambda: other.enrol("Bob", [make_template(12)]),
            lambda: gallery.edit.split("Ann", [gallery.photographs("Ann")[0].number], "Eve"),
            lambda: other.edit.merge("Eve", "Bob"),
            lambda: gallery.edit.undo(),
            lambda: gallery.edit.restore("Dan"),
            lambda: other.edit.consent("Dan", Consent(until=today() + timedelta(days=3))),
            lambda: gallery.erase("Dan"),
            lambda: gallery.search(make_template(1).embedding[None], 1),
            lambda: back_up(folder, kept, find_secret=lambda _: KEY),
            lambda: gallery.rotate(KEY, data_key=True),
            lambda: other.edit.rename("Bob", "Rob"),
            lambda: restore(kept, folder, find_secret=lambda _: KEY),
            lambda: other.edit.group(["Bob"], remove=["staff"]),
        ):
            change()
            with opened(folder) as third:
                assert third.faults() == []
        with pytest.raises(GalleryError):
            gallery.edit.rename("Nobody", "Zoe")  # taken back, and so is what was counted
        gallery.edit.rename("Bob", "Rob")
    with opened(folder) as gallery:
        gallery.decrypt()
        gallery.edit.rename("Rob", "Bob")
    with Gallery.open(folder) as plain:
        assert plain.faults() == []


@pytest.fixture
def plain(folder: Path) -> Iterator[Path]:
    with opened(folder) as gallery:
        gallery.decrypt()
    return folder


def test_with_a_key_given_a_plain_gallery_is_an_error_and_a_new_one_is_encrypted(
    plain: Path, tmp_path: Path, model: EmbeddingModel, make_template: Callable[..., Template]
) -> None:
    before = (plain / "gallery.sqlite").read_bytes()
    with pytest.raises(GalleryError, match="is not encrypted, and a key is given"):
        opened(plain, is_given=lambda: True)
    assert (plain / "gallery.sqlite").read_bytes() == before
    new = tmp_path / "new"
    with opened(new, model=model, create=True, is_given=lambda: True) as gallery:
        gallery.enrol("Ann", [make_template(1)])
        assert gallery.is_encrypted
    assert b"Ann" not in (new / "gallery.sqlite").read_bytes()


def test_whoever_has_an_encrypted_one_open_writes_nothing_into_a_plain_one(
    folder: Path, make_template: Callable[..., Template]
) -> None:
    """The key's own row is taken away, by somebody who does not know it."""
    with opened(folder) as gallery:
        gallery.people()
        alter(folder, "DELETE FROM wrapped_key", "DELETE FROM proof")
        with pytest.raises(GalleryError, match="is not encrypted, and a key is given"):
            gallery.enrol("Zoe", [make_template(7)])
    assert b"Zoe" not in (folder / "gallery.sqlite").read_bytes()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER x AFTER INSERT ON person BEGIN DELETE FROM audit; END",
        "CREATE VIEW x AS SELECT 1",
        "CREATE VIRTUAL TABLE x USING fts5(y)",
    ],
)
@pytest.mark.parametrize("encrypted", [True, False])
def test_one_that_is_opened_directly_has_no_more_than_a_gallery_has(
    folder: Path, statement: str, encrypted: bool
) -> None:
    if not encrypted:
        with opened(folder) as gallery:
            gallery.decrypt()
    alter(folder, statement)
    with pytest.raises(GalleryError, match="holds more than a gallery does"):
        opened(folder)


def test_an_older_file_without_a_proof_is_not_made_of_one_that_has_it(folder: Path) -> None:
    """The key itself says that there is a proof."""
    alter(folder, "DELETE FROM proof", "UPDATE person SET expires_on = NULL")
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    with pytest.raises(GalleryError, match=ALTERED):
        opened(copy)


def test_a_refusal_leaves_it_open_for_whoever_sets_it_right(folder: Path) -> None:
    with opened(folder) as gallery:
        gallery.edit.rename("Bob", "Rob")
        alter(folder, "UPDATE person SET enrolled_at = enrolled_at || 'x' WHERE id = 2")
        for _ in range(2):
            with pytest.raises(GalleryError, match=ALTERED):
                gallery.edit.rename("Rob", "Bob")
        alter(folder, "UPDATE person SET enrolled_at = rtrim(enrolled_at, 'x') WHERE id = 2")
        gallery.edit.rename("Rob", "Bob")
    with opened(folder) as gallery:
        assert [one.name for one in gallery.people()] == ["Ann", "Bob"]
