"""Galleries that earlier versions made, as they made them; `older/` holds a file of each."""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage.schema import MIGRATIONS, PROVED, VERSION
from recognition.gallery.storage.store import Store
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.results import Use

OLDER = Path(__file__).with_name("older")


def put(version: int, folder: Path) -> None:
    """Put a version's gallery in its place, as if what was done to it had been done just now."""
    folder.mkdir(parents=True)
    shutil.copy(OLDER / f"schema-{version}.sqlite", folder / "gallery.sqlite")
    now = (datetime.now(UTC).isoformat(timespec="microseconds"),)
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute("UPDATE person SET deleted_at = ? WHERE deleted_at NOTNULL", now)
        if version >= 3:
            connection.execute("UPDATE operation SET done_at = ?", now)


@pytest.fixture(params=range(1, VERSION))
def older(request: pytest.FixtureRequest, folder: Path) -> int:
    """A gallery of an older version, in its place; its version."""
    put(request.param, folder)
    return int(request.param)


def version_of(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def tables_of(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """Each table's and each index's columns, in whatever order."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            name: {
                row[1:4] if kind == "table" else row[2:]
                for row in connection.execute(
                    f"PRAGMA {'table_info' if kind == 'table' else 'index_info'}({name})"
                )
            }
            for kind, name in names
        }


def test_every_older_version_has_a_way_up_and_a_file_to_try_it_on() -> None:
    assert sorted(MIGRATIONS) == list(range(1, VERSION))
    files = {file.name for file in OLDER.iterdir()}
    assert files == {
        *(f"schema-{version}.sqlite" for version in range(1, VERSION)),
        *(f"schema-{version}-encrypted.sqlite" for version in range(5, VERSION)),
    }


def people_of(gallery: Gallery) -> dict[str, int]:
    return {person.name: person.photographs for person in gallery.people()}


def check(gallery: Gallery, older: int, make_template: Callable[..., Template]) -> None:
    """Everybody is there, with their faces, hashes and crops, and found again."""
    merged = older >= 3  # Cydney into Ann
    assert people_of(gallery) == (
        {"Ann": 3, "Bob": 1} if merged else {"Ann": 2, "Bob": 1, "Cydney": 1}
    )
    assert [person.name for person in gallery.people(deleted=True)] == ["Dan"]
    assert gallery.crop("Ann") == b"crop of Ann"
    digests, embeddings = gallery.templates_of("Ann")
    seeds = [1, 2, 4] if merged else [1, 2]
    assert digests == [make_template(seed).photograph_sha256 for seed in seeds]
    assert np.array_equal(embeddings, np.stack([make_template(seed).embedding for seed in seeds]))
    [[best]] = gallery.search(make_template(4).embedding[None], 1)
    assert best.person == ("Ann" if merged else "Cydney")
    assert gallery.calibration(Use.IDENTIFY) is None
    assert {person.expires_on for person in gallery.people()} == {None}


def test_it_is_brought_up_with_everybody_in_it(
    older: int, folder: Path, make_template: Callable[..., Template]
) -> None:
    with Gallery.open(folder) as opened:
        assert version_of(folder) == VERSION
        check(opened, older, make_template)
        assert opened.enrol("Ann", [make_template(1)]) == {0: "Ann"}
        opened.enrol("Eve", [make_template(8)])
        opened.edit.rename("Bob", "Rob")
        with pytest.raises(GalleryError, match="is enrolled already"):
            opened.edit.rename("Eve", "Ann")


def test_its_faces_were_found_by_mtcnn_and_aligned_as_its_weights_asked_for(
    older: int, folder: Path, model: EmbeddingModel
) -> None:
    with Gallery.open(folder) as opened:
        assert (opened.model.detector, opened.model.alignment) == ("mtcnn/1", "")
        facts = opened.facts()
        assert (facts["detector"], facts["alignment"]) == ("mtcnn/1", "as its weights ask for")
        opened.require(replace(model, alignment="five-point-112/1"))
        for other in (
            replace(model, alignment="five-point-112/2"),
            replace(model, alignment="five-point-112/1", detector="mtcnn/2"),
            replace(model, detector="other/1"),
        ):
            with pytest.raises(GalleryError, match="detector mtcnn/1, alignment as its weights"):
                opened.require(other, adopt=True)


def test_it_has_then_what_a_new_one_has(
    older: int, folder: Path, tmp_path: Path, model: EmbeddingModel
) -> None:
    with Gallery.open(folder):
        pass
    Store.create(tmp_path / "new.sqlite", model)
    assert tables_of(folder / "gallery.sqlite") == tables_of(tmp_path / "new.sqlite")


def test_one_that_cannot_be_written_is_read_and_stays_as_it_is(
    older: int,
    folder: Path,
    make_template: Callable[..., Template],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = (folder / "gallery.sqlite").read_bytes()
    monkeypatch.setattr("recognition.gallery.storage.database.os.access", lambda *_: False)
    with Gallery.open(folder) as opened:
        check(opened, older, make_template)
        with pytest.raises(GalleryError, match="cannot be written"):
            opened.enrol("Eve", [make_template(8)])
    assert (folder / "gallery.sqlite").read_bytes() == before


@pytest.mark.parametrize("encrypted", [False, True])
def test_what_an_older_version_did_can_be_undone(
    folder: Path, make_template: Callable[..., Template], encrypted: bool
) -> None:
    put(3, folder)
    secret = "f" * 64
    with Gallery.open(folder, find_secret=lambda _: secret) as opened:
        if encrypted:
            opened.encrypt(secret)
        while opened.operations():
            opened.edit.undo()
            people_of(opened)
        assert people_of(opened) == {}
        assert opened.enrol("Cydney", [make_template(4)]) == {}


KEY = "f" * 64


def put_encrypted(version: int, folder: Path) -> None:
    """Put a version's encrypted gallery in its place."""
    folder.mkdir(parents=True)
    shutil.copy(OLDER / f"schema-{version}-encrypted.sqlite", folder / "gallery.sqlite")


@pytest.mark.parametrize("version", range(5, VERSION))
def test_an_encrypted_one_is_proved_at_its_first_opening_and_that_is_said_once(
    version: int,
    folder: Path,
    make_template: Callable[..., Template],
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_encrypted(version, folder)
    for said in (int(version < PROVED), 0):
        caplog.clear()
        with Gallery.open(folder, find_secret=lambda _: KEY) as opened:
            assert people_of(opened) == {"Ann": 3, "Bob": 1}
            [[best]] = opened.search(make_template(4).embedding[None], 1)
            assert best.person == "Ann"
            assert opened.faults() == []
        assert len([one for one in caplog.messages if "earlier version" in one]) == said
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        assert connection.execute("SELECT count(*) FROM proof").fetchone() == (1,)
        connection.execute("DELETE FROM proof")
    with pytest.raises(GalleryError, match="altered by somebody without its key"):
        Gallery.open(folder, find_secret=lambda _: KEY)


def test_an_altered_encrypted_one_that_cannot_be_written_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_encrypted(PROVED, folder)
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute("UPDATE person SET expires_on = '2099-01-01'")
    monkeypatch.setattr("recognition.gallery.storage.database.os.access", lambda *_: False)
    with pytest.raises(GalleryError, match="altered by somebody without its key"):
        Gallery.open(folder, find_secret=lambda _: KEY)


@pytest.mark.parametrize("version", range(5, VERSION))
def test_an_encrypted_one_that_cannot_be_written_is_read(
    version: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_encrypted(version, folder)
    before = (folder / "gallery.sqlite").read_bytes()
    monkeypatch.setattr("recognition.gallery.storage.database.os.access", lambda *_: False)
    with Gallery.open(folder, find_secret=lambda _: KEY) as opened:
        assert people_of(opened) == {"Ann": 3, "Bob": 1}
    assert (folder / "gallery.sqlite").read_bytes() == before


def test_a_later_version_sees_that_nothing_was_altered_before_it_brings_a_gallery_up(
    folder: Path,
    model: EmbeddingModel,
    make_template: Callable[..., Template],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a version to come will do: a new column, in a gallery whose rows have a proof."""
    with Gallery.open(folder, model=model, create=True, find_secret=lambda _: KEY) as gallery:
        gallery.enrol("Ann", [make_template(1)])
        gallery.encrypt(KEY)
    untouched = (folder / "gallery.sqlite").read_bytes()
    later = {VERSION: ("ALTER TABLE person ADD COLUMN later TEXT",)}
    for module in ("storage.database", "storage.schema", "transfer.backup"):
        monkeypatch.setattr(f"recognition.gallery.{module}.VERSION", VERSION + 1)
    monkeypatch.setattr("recognition.gallery.storage.database.MIGRATIONS", MIGRATIONS | later)
    tamper = "UPDATE person SET expires_on = '2001-01-01'"
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute(tamper)
    with pytest.raises(GalleryError, match="altered by somebody without its key"):
        Gallery.open(folder, find_secret=lambda _: KEY)
    for path in folder.glob("gallery.sqlite-*"):
        path.unlink()
    (folder / "gallery.sqlite").write_bytes(untouched)
    for _ in range(2):
        with Gallery.open(folder, find_secret=lambda _: KEY) as opened:
            assert people_of(opened) == {"Ann": 1}
            opened.edit.rename("Ann", "Anne")
            opened.edit.undo()
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute("UPDATE person SET later = 'x'")
    with pytest.raises(GalleryError, match="altered by somebody without its key"):
        Gallery.open(folder, find_secret=lambda _: KEY)


# Galleries in which every feature was used, by the versions that made them; `full/` holds each, as
# it was and encrypted, and what that very version told of it.
FULL = Path(__file__).with_name("full")


def told(gallery: Gallery) -> dict[str, object]:
    """Everything that a gallery keeps, to the last bit."""
    roll, _ = gallery.templates()
    with gallery.records() as records:
        people = [
            {
                "name": one.name,
                "enrolled_at": one.enrolled_at,
                "deleted_at": one.deleted_at,
                "consent": one.consent,
                "consented_at": one.consented_at,
                "expires_on": one.expires_on,
                "groups": list(one.groups),
                "templates": [
                    [
                        face.photograph_sha256,
                        face.embedding.tobytes().hex(),
                        face.crop and face.crop.hex(),
                        face.quality and list(astuple(face.quality))[:5],
                    ]
                    for face in one.templates
                ],
                "exclusions": [
                    [face.photograph_sha256, face.embedding.tobytes().hex()]
                    for face in one.exclusions
                ],
            }
            for one in records
        ]
    thresholds = [gallery.calibration(use) for use in Use]
    return {
        "records": people,
        "people": [[one.name, one.photographs, list(one.groups)] for one in gallery.people()],
        "deleted": [one.name for one in gallery.people(deleted=True)],
        "roll": [
            roll.ids.tolist(),
            roll.people.tolist(),
            {str(person): name for person, name in roll.names.items()},
        ],
        "operations": [[one.what, one.done_at] for one in gallery.operations()],
        "audit": [[one.done_at, one.action, one.person_id] for one in gallery.audit()],
        "apart": sorted(map(list, gallery.told_apart())),
        "thresholds": [
            one and [one.threshold, one.rate, one.data, one.people] for one in thresholds
        ],
    }


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("version", [5, 7])
def test_one_with_every_feature_used_tells_what_the_version_did_that_made_it(
    version: int,
    is_encrypted: bool,
    folder: Path,
    make_template: Callable[..., Template],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = json.loads((FULL / f"schema-{version}.json").read_text())
    moment = datetime.fromisoformat(expected["made_at"]) + timedelta(hours=1)
    monkeypatch.setattr("data.clock._read", lambda: moment)
    folder.mkdir(parents=True)
    kept = FULL / f"schema-{version}{'-encrypted' * is_encrypted}.sqlite.gz"
    (folder / "gallery.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    with Gallery.open(folder, find_secret=lambda _: KEY) as opened:
        assert opened.is_encrypted == is_encrypted
        assert opened.faults() == []
        assert opened.model.weights_digest == "ab" * 32
        before = told(opened)
        audit = before.pop("audit")
        assert audit == (expected["encrypted"] if is_encrypted else expected["told"]["audit"])
        assert before == {name: of for name, of in expected["told"].items() if name != "audit"}
        [[best]] = opened.search(make_template(6).embedding[None], 1)
        assert best.person == "Daniel"
        # What that version wrote down can be undone by this one, down to the first enrolment
        # since somebody was erased.
        while opened.operations():
            opened.edit.undo()
        assert sorted(people_of(opened)) == ["Ann Ångström", "Bob", "Cydney", "Dan"]
        assert opened.faults() == []
