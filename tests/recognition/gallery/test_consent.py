"""Consent is noted, and whoever's has ended is gone; the audit log tells of it in ids."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clocks import Clock

from data.clock import today
from data.errors import ArgumentError, GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage.changes import CONSENT_ENDED
from recognition.gallery.storage.schema import AUDIT_DAYS
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.copies import copy_gallery
from recognition.gallery.transfer.exports import export
from recognition.gallery.transfer.imports import import_from
from recognition.results import AuditEntry, Consent, PersonState

SECRET = "f" * 64
TOMORROW = today() + timedelta(days=1)
YESTERDAY = (today() - timedelta(days=1)).isoformat()


@pytest.fixture(params=["plain", "encrypted"])
def two(
    request: pytest.FixtureRequest,
    folder: Path,
    model: EmbeddingModel,
    make_template: Callable[..., Template],
) -> Iterator[Gallery]:
    """Ann and Bob, in a plain and in an encrypted gallery."""
    with Gallery.open(folder, model=model, create=True, find_secret=lambda _: SECRET) as gallery:
        if request.param == "encrypted":
            gallery.encrypt(SECRET)
        gallery.enrol("Ann", [make_template(1, crop=b"Ann's crop")])
        gallery.enrol("Bob", [make_template(2)], Consent(note="form 12", until=TOMORROW))
        yield gallery


def find(_: str) -> str:
    return SECRET


def tamper(folder: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute(statement, values)


def put(gallery: Gallery, statement: str, *values: object) -> None:
    """Write what no command writes, such as a day that is over, as the gallery itself would."""
    with gallery._store._changing() as connection:
        connection.execute(statement, values)


def names(gallery: Gallery) -> list[str]:
    return [person.name for person in gallery.people()]


def test_it_is_noted_and_shown_and_undone(two: Gallery) -> None:
    ann, bob = two.people()
    assert (ann.consent, ann.consented_at, ann.expires_on) == (None, None, None)
    assert (bob.consent, bob.expires_on) == ("form 12", TOMORROW.isoformat())
    assert bob.consented_at is not None
    two.edit.consent("Ann", Consent(note="said so"))
    two.edit.consent("Bob", Consent(for_ever=True))
    ann, bob = two.people()
    assert (ann.consent, ann.expires_on) == ("said so", None)
    assert (bob.consent, bob.expires_on) == ("form 12", None)
    assert two.edit.undo() == "consent of 'Bob' noted"
    two.edit.undo()
    ann, bob = two.people()
    assert (ann.consent, bob.expires_on) == (None, TOMORROW.isoformat())
    with pytest.raises(GalleryError, match="nobody called 'Zoe'"):
        two.edit.consent("Zoe", Consent(note="x"))


def test_enrolling_more_of_somebody_notes_it_and_undo_takes_it_back(
    two: Gallery, make_template: Callable[..., Template]
) -> None:
    two.enrol("Ann", [make_template(5)], Consent(note="later"))
    assert two.people()[0].consent == "later"
    two.edit.undo()
    ann = two.people()[0]
    assert (ann.consent, ann.photographs) == (None, 1)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"note": ""},
        {"note": "two\nlines"},
        {"note": "x" * 1001},
        {"until": today() - timedelta(days=1)},
        {"until": TOMORROW, "for_ever": True},
    ],
    ids=["nothing", "empty", "two lines", "long", "over", "both"],
)
def test_what_cannot_be_noted_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        Consent(**given)  # type: ignore[arg-type]


def test_it_holds_on_its_last_day() -> None:
    assert Consent(until=today()).until == today()


def test_whoever_s_has_ended_is_not_found_and_erased_a_day_later(
    two: Gallery, folder: Path, make_template: Callable[..., Template], clock: Clock
) -> None:
    face = make_template(2).embedding[None]
    assert two.search(face, 1)[0][0].person == "Bob"
    put(two, "UPDATE person SET expires_on = ? WHERE id = 2", YESTERDAY)
    with two._store.reading() as snapshot:  # before anything erases them
        assert snapshot.size() == (1, 1)
        assert set(snapshot.roll().names.values()) == {"Ann"}
    assert two.search(face, 1)[0][0].person == "Ann"
    assert names(two) == ["Ann"]
    assert two.people(deleted=True) == ()
    with pytest.raises(GalleryError):
        two.edit.restore("Bob")
    clock.forward(hours=23)
    assert two.search(face, 1)[0][0].person == "Ann"
    assert two.person(2, PersonState.KEPT).name == "Bob"
    clock.forward(hours=1, minutes=1)
    assert two.search(face, 1)[0][0].person == "Ann"
    vector = make_template(2).embedding.tobytes()
    assert not any(vector in file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert two.audit()[0].action == "expire"
    two.enrol("Bob", [make_template(3)])
    assert names(two) == ["Ann", "Bob"]


def test_where_nobody_can_be_erased_they_are_hidden_all_the_same(
    folder: Path, two: Gallery, make_template: Callable[..., Template]
) -> None:
    face = make_template(2).embedding[None]
    two.search(face, 1)
    put(two, "UPDATE person SET expires_on = ? WHERE id = 2", YESTERDAY)
    two._store._database.link.execute("PRAGMA query_only = ON")
    assert two.search(face, 1)[0][0].person == "Ann"
    assert names(two) == ["Ann"]


def test_deleted_people_go_with_their_consent(two: Gallery, folder: Path, clock: Clock) -> None:
    two.edit.delete("Bob")
    put(two, "UPDATE person SET expires_on = ? WHERE id = 2", YESTERDAY)
    assert two.people(deleted=True) == ()
    two.edit.rename("Ann", "Anne")
    clock.forward(days=1, minutes=1)
    two.edit.rename("Anne", "Ann")
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM person").fetchone() == (1,)


def lines(entries: tuple[AuditEntry, ...]) -> list[tuple[str, int | None]]:
    return [(entry.action, entry.person_id) for entry in reversed(entries)]


def test_each_change_leaves_its_line_without_a_name(
    two: Gallery, folder: Path, make_template: Callable[..., Template]
) -> None:
    begun = len(two.audit())
    two.edit.rename("Ann", "Anne")
    two.edit.merge("Bob", "Anne")
    two.edit.undo()
    two.edit.exclude("Anne", make_template(9))
    two.edit.delete("Bob")
    two.edit.restore("Bob")
    two.erase("Bob")
    with pytest.raises(GalleryError):
        two.edit.delete("Zoe")
    entries = two.audit()
    assert lines(entries)[begun:] == [
        ("rename", 1),
        ("merge", 2),
        ("merge", 1),
        ("undo", 1),
        ("undo", 2),
        ("exclude", 1),
        ("delete", 2),
        ("restore", 2),
        ("erase", 2),
    ]
    text = json.dumps([asdict(entry) for entry in entries])
    assert not any(name in text for name in ("Ann", "Anne", "Bob"))
    for entry in entries:
        moment = datetime.fromisoformat(entry.done_at)
        assert abs(moment - datetime.now(UTC)) < timedelta(hours=1)
    assert len({entry.user_id for entry in entries}) == 1


def test_no_line_is_altered_or_removed_before_its_time(two: Gallery, folder: Path) -> None:
    before = two.audit()
    for statement in (
        "UPDATE audit SET person_id = 7",
        "UPDATE audit SET done_at = '2000'",
        "DELETE FROM audit",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="audit log"):
            tamper(folder, statement)
    assert two.audit() == before


def test_lines_are_kept_for_a_year(two: Gallery, folder: Path) -> None:
    for number, days in ((-2, AUDIT_DAYS + 2), (-1, AUDIT_DAYS - 2)):
        done_at = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds")
        line = (number, done_at, str(days))
        put(two, "INSERT INTO audit (id, done_at, action) VALUES (?, ?, ?)", *line)
    two.edit.rename("Ann", "Anne")
    kept = [entry.action for entry in two.audit()]
    assert str(AUDIT_DAYS + 2) not in kept
    assert str(AUDIT_DAYS - 2) in kept


LATER = TOMORROW + timedelta(days=9)


@pytest.fixture
def agreed(two: Gallery, make_template: Callable[..., Template]) -> dict[str, int]:
    """Ann agreed until tomorrow, Bob until later, and of Cyd nothing was noted."""
    two.enrol("Ann", [make_template(11), make_template(12)], Consent(note="A", until=TOMORROW))
    two.edit.consent("Bob", Consent(note="B", until=LATER))
    two.enrol("Cyd", [make_template(21), make_template(22)])
    return {person.name: person.person_id for person in two.people()}


def ends(gallery: Gallery) -> dict[str, tuple[str | None, str | None]]:
    return {one.name: (one.consent, one.expires_on) for one in gallery.people()}


def numbers(gallery: Gallery, who: int) -> list[int]:
    return [one.number for one in gallery.photographs(who)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda gallery, who: gallery.edit.split(
                who["Ann"], numbers(gallery, who["Ann"])[:1], "Eve"
            ),
            {"Ann": ("A", TOMORROW), "Bob": ("B", LATER), "Cyd": (None, None),
             "Eve": ("A", TOMORROW)},
        ),
        (
            lambda gallery, who: gallery.edit.move(
                who["Ann"], numbers(gallery, who["Ann"])[:1], who["Bob"]
            ),
            {"Ann": ("A", TOMORROW), "Bob": ("B; A", TOMORROW), "Cyd": (None, None)},
        ),
        (
            lambda gallery, who: gallery.edit.move(
                who["Ann"], numbers(gallery, who["Ann"])[:1], who["Cyd"]
            ),
            {"Ann": ("A", TOMORROW), "Bob": ("B", LATER), "Cyd": ("A", TOMORROW)},
        ),
        (
            lambda gallery, who: gallery.edit.move(
                who["Cyd"], numbers(gallery, who["Cyd"])[:1], who["Bob"]
            ),
            {"Ann": ("A", TOMORROW), "Bob": ("B", LATER), "Cyd": (None, None)},
        ),
        (
            lambda gallery, who: gallery.edit.merge(who["Ann"], who["Bob"]),
            {"Bob": ("B; A", TOMORROW), "Cyd": (None, None)},
        ),
        (
            lambda gallery, who: gallery.edit.merge(who["Bob"], who["Ann"]),
            {"Ann": ("A; B", TOMORROW), "Cyd": (None, None)},
        ),
        (
            lambda gallery, who: gallery.edit.merge(who["Ann"], who["Cyd"]),
            {"Bob": ("B", LATER), "Cyd": ("A", TOMORROW)},
        ),
    ],
    ids=["split", "move", "move to nothing noted", "move from nothing noted", "merge",
         "merge the other way", "merge into nothing noted"],
)  # fmt: skip
def test_it_goes_with_photographs_and_the_earlier_end_stays_and_undo_restores(
    two: Gallery,
    agreed: dict[str, int],
    change: Callable[[Gallery, dict[str, int]], None],
    expected: dict[str, tuple[str | None, object]],
) -> None:
    before = two.people()
    change(two, agreed)
    assert ends(two) == {
        name: (note, until and str(until)) for name, (note, until) in expected.items()
    }
    two.edit.undo()
    assert two.people() == before


def test_two_notes_that_make_one_too_long_are_refused(two: Gallery, agreed: dict[str, int]) -> None:
    two.edit.consent("Ann", Consent(note="x" * 999))
    before = two.people()
    with pytest.raises(GalleryError, match="notes of consent make one of 1002 characters"):
        two.edit.merge("Ann", "Bob")
    assert two.people() == before


def test_of_whom_no_consent_holds_no_more_is_enrolled_until_one_does(
    two: Gallery, folder: Path, make_template: Callable[..., Template]
) -> None:
    put(two, "UPDATE person SET expires_on = ? WHERE id = 2", YESTERDAY)
    with two._store._changing() as connection:
        from recognition.gallery.storage.changes import CONSENT_ENDED, enrol

        ended = enrol(connection, "Bob", [make_template(31)], None, ())
        noted = enrol(connection, "Bob", [make_template(31)], Consent(note="x"), ())
        assert ended == noted == {0: CONSENT_ENDED}
        assert enrol(connection, "Bob", [make_template(31)], Consent(until=TOMORROW), ()) == {}
    assert [person.photographs for person in two.people() if person.name == "Bob"] == [2]


@pytest.mark.parametrize("way", ["import", "copy"])
def test_whoever_s_is_over_gets_nothing_by_an_import_and_that_is_said(
    two: Gallery,
    folder: Path,
    tmp_path: Path,
    clock: Clock,
    make_template: Callable[..., Template],
    way: str,
) -> None:
    """They would be told of as enrolled, and be erased a day later."""
    other = tmp_path / "other"
    with Gallery.open(other, model=two.model, create=True) as gallery:
        gallery.enrol("Ann", [make_template(71), make_template(72)])
        two.edit.consent("Ann", Consent(until=clock.read().date()))
        clock.forward(days=2)
        if way == "copy":
            added = copy_gallery(gallery, two).added
        else:
            export(gallery, tmp_path / "people")
            added = import_from(
                tmp_path / "people", lambda _: Gallery.open(folder, find_secret=find)
            )
        assert (added.new, added.others) == (0, [("Ann", CONSENT_ENDED)] * 2)
        assert names(two) == []
        two.edit.consent("Ann", Consent(until=clock.read().date() + timedelta(days=9)))
        assert copy_gallery(gallery, two).added.new == 2
        assert two.person("Ann").expires_on is not None


def test_what_was_written_down_goes_in_its_time_though_nobody_changes_anything(
    two: Gallery, folder: Path, clock: Clock
) -> None:
    """The journal names whoever was renamed."""
    two.edit.consent("Bob", Consent(for_ever=True))
    two.edit.rename("Ann", "Zoe Unmistakable")
    two.edit.rename("Zoe Unmistakable", "Eve")
    lines = len(two.audit())
    clock.forward(days=29)
    two.tidy()
    assert len(two.operations()) > 2
    clock.forward(days=2)
    two.tidy()
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        for table in ("operation", "reversal"):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not any(b"Unmistakable" in path.read_bytes() for path in files)
    assert len(two.audit()) == lines
    clock.forward(days=-400)  # which is no time to forget anything
    two.tidy()
    assert len(two.audit()) >= lines
