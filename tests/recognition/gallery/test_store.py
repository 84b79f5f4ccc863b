import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import AmbiguousError, ArgumentError, GalleryError
from recognition.gallery.storage.databases import DatabasePlace
from recognition.gallery.storage.people import RESTORABLE_DAYS
from recognition.gallery.storage.postgres_address import PostgresAddress
from recognition.gallery.storage.snapshot import Revision
from recognition.gallery.storage.store import Store
from recognition.gallery.templates import EmbeddingModel, Template

MakeTemplate = Callable[..., Template]


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> DatabasePlace:
    """Where the store is, on either kind of database."""
    if request.param == "server":
        return PostgresAddress.parse(request.getfixturevalue("postgres_address"))
    return tmp_path / "gallery.sqlite"


@pytest.fixture
def store(place: DatabasePlace, model: EmbeddingModel) -> Iterator[Store]:
    Store.create(place, model)
    opened = Store(place)
    yield opened
    opened.close()


def counts(store: Store, *, deleted: bool = False) -> dict[str, int]:
    with store.reading() as snapshot:
        return {person.name: person.photographs for person in snapshot.people(deleted=deleted)}


def revision(store: Store) -> Revision:
    with store.reading() as snapshot:
        return snapshot.revision


def tamper(place: DatabasePlace, statement: str, *values: object) -> None:
    """Change what is kept as no program of ours would."""
    if isinstance(place, PostgresAddress):
        from recognition.gallery.storage.postgres import PostgresLink, connected

        with closing(PostgresLink(connected(place))) as link:
            link.execute(statement, values)
        return
    connection = sqlite3.connect(place)
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_it_remembers_its_model(store: Store, model: EmbeddingModel) -> None:
    with store.reading() as snapshot:
        assert snapshot.model == model
        assert snapshot.is_empty


def test_several_photographs_become_templates_of_one_person(
    store: Store, make_template: MakeTemplate
) -> None:
    templates = [make_template(i) for i in range(3)]
    assert store.enrol("Ann", templates[:2]) == {}
    assert store.enrol("Ann", templates[2:]) == {}
    assert store.enrol("Bob", [make_template(9)]) == {}
    assert counts(store) == {"Ann": 3, "Bob": 1}
    with store.reading() as snapshot:
        roll = snapshot.roll()
        embeddings = snapshot.embeddings(roll.ids)
        assert [roll.names[i] for i in roll.people.tolist()] == ["Ann", "Ann", "Ann", "Bob"]
        assert not snapshot.is_empty
        some = snapshot.embeddings(roll.ids[[0, 2]])
    expected = np.stack([t.embedding for t in (*templates, make_template(9))])
    np.testing.assert_array_equal(embeddings, expected)
    np.testing.assert_array_equal(some, expected[[0, 2]])


def test_the_day_of_enrolment_is_that_of_the_first_photograph(
    store: Store, make_template: MakeTemplate, place: DatabasePlace
) -> None:
    store.enrol("Ann", [make_template(0)])
    tamper(place, "UPDATE person SET enrolled_at = '2020-02-02T02:02:02'")
    store.enrol("Ann", [make_template(1)])
    with store.reading() as snapshot:
        assert [p.enrolled_at for p in snapshot.people()] == ["2020-02-02T02:02:02"]


def test_times_are_utc_to_the_second(store: Store, make_template: MakeTemplate) -> None:
    store.enrol("Ann", [make_template(0)])
    with store.reading() as snapshot:
        enrolled_at = datetime.fromisoformat(snapshot.people()[0].enrolled_at)
    assert enrolled_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - enrolled_at) < timedelta(minutes=1)


def test_a_photograph_enrolled_already_is_left_out(
    store: Store, make_template: MakeTemplate
) -> None:
    template = make_template(0)
    store.enrol("Ann", [template])
    left_out = store.enrol("Ann", [make_template(1), template, make_template(1)])
    assert left_out == {1: "Ann", 2: "Ann"}
    assert counts(store) == {"Ann": 2}


def test_one_face_is_not_enrolled_as_two_people(store: Store, make_template: MakeTemplate) -> None:
    store.enrol("Ann", [make_template(0)])
    left_out = store.enrol("Bob", [make_template(0)])
    assert left_out == {0: "Ann"}
    assert counts(store) == {"Ann": 1}


def test_two_faces_of_one_photograph_are_two_people(
    store: Store, make_template: MakeTemplate
) -> None:
    ann = make_template(0)
    bob = replace(make_template(1), photograph_sha256=ann.photograph_sha256)
    store.enrol("Ann", [ann])
    assert store.enrol("Bob", [bob]) == {}
    assert counts(store) == {"Ann": 1, "Bob": 1}


def test_nothing_new_is_no_change(store: Store, make_template: MakeTemplate) -> None:
    store.enrol("Ann", [make_template(0)])
    before = revision(store)
    store.enrol("Ann", [make_template(0)])
    store.enrol("Nobody", [])
    assert revision(store) == before
    assert counts(store) == {"Ann": 1}


def test_every_change_gives_a_new_revision(store: Store, make_template: MakeTemplate) -> None:
    seen = {revision(store)}
    changes = [
        lambda: store.enrol("Ann", [make_template(0)]),
        lambda: store.edit.rename("Ann", "Anne"),
        lambda: store.edit.delete("Anne"),
        lambda: store.edit.restore("Anne"),
        lambda: store.erase("Anne"),
    ]
    for number, change in enumerate(changes, start=2):
        change()
        seen.add(revision(store))
        assert len(seen) == number


@pytest.mark.parametrize("place", ["file"], indirect=True)
def test_a_count_reached_again_from_a_backup_is_another_revision(
    store: Store, make_template: MakeTemplate, tmp_path: Path
) -> None:
    store.wipe_traces()  # all of it is in the one file
    backup = (tmp_path / "gallery.sqlite").read_bytes()
    (tmp_path / "restored.sqlite").write_bytes(backup)
    restored = Store(tmp_path / "restored.sqlite")
    store.enrol("Ann", [make_template(0)])
    restored.enrol("Bob", [make_template(1)])
    assert revision(store)[:2] == revision(restored)[:2]
    assert revision(store) != revision(restored)
    restored.close()


def test_one_bad_template_and_none_is_enrolled(store: Store, make_template: MakeTemplate) -> None:
    bad = [
        replace(make_template(5), embedding=np.full(16, np.nan, np.float32)),
        replace(make_template(5), embedding=np.zeros(16, np.float32)),
        make_template(5, dimension=17),
    ]
    before = revision(store)
    for template in bad:
        with pytest.raises(GalleryError):
            store.enrol("Ann", [make_template(0), template])
    assert counts(store) == {}
    assert revision(store) == before


def test_names_are_kept_in_one_form(store: Store, make_template: MakeTemplate) -> None:
    store.enrol("Zo\u0065\u0308", [make_template(0)])
    store.enrol(" Zo\u00eb ", [make_template(1)])
    assert counts(store) == {"Zo\u00eb": 2}
    store.edit.rename("Zoe\u0308", "zoe")
    assert counts(store) == {"zoe": 2}
    with pytest.raises(ArgumentError):
        store.enrol("", [make_template(2)])
    with pytest.raises(ArgumentError):
        store.edit.rename("zoe", "\0")


def test_hostile_names_are_data(store: Store, make_template: MakeTemplate, tmp_path: Path) -> None:
    names = ["../../x", "'; DROP TABLE person; --", "C:\\x", "CON", "-rf", "a\\u0000b", "%s{0}"]
    for seed, name in enumerate(names):
        store.enrol(name, [make_template(seed)])
    assert set(counts(store)) == set(names)
    assert all(file.name.startswith("gallery.sqlite") for file in tmp_path.iterdir())


def test_rename(store: Store, make_template: MakeTemplate) -> None:
    store.enrol("Ann", [make_template(0)])
    store.enrol("Bob", [make_template(1)])
    with pytest.raises(GalleryError, match="'Bob' is enrolled already"):
        store.edit.rename("Ann", "Bob")
    with pytest.raises(GalleryError, match="nobody called 'Eve' is enrolled"):
        store.edit.rename("Eve", "Ann")
    store.edit.rename("Ann", "Ann")
    store.edit.rename("Ann", "Anne")
    assert counts(store) == {"Anne": 1, "Bob": 1}


def test_delete_hides_and_restore_brings_back(store: Store, make_template: MakeTemplate) -> None:
    store.enrol("Ann", [make_template(0), make_template(1)])
    store.edit.delete("Ann")
    assert counts(store) == {}
    assert counts(store, deleted=True) == {"Ann": 2}
    with store.reading() as snapshot:
        assert snapshot.is_empty
        assert len(snapshot.roll().ids) == 0
        with pytest.raises(GalleryError, match="nobody called 'Ann'"):
            snapshot.crop("Ann")
    for refused in (store.edit.delete, lambda name: store.edit.rename(name, "Anne")):
        with pytest.raises(GalleryError, match="nobody called 'Ann'"):
            refused("Ann")
    store.edit.restore("Ann")
    assert counts(store) == {"Ann": 2}
    with pytest.raises(GalleryError, match="'Ann' is enrolled"):
        store.edit.restore("Ann")
    with pytest.raises(GalleryError, match="nobody called 'Bob' was deleted"):
        store.edit.restore("Bob")


def test_a_name_is_free_after_delete(store: Store, make_template: MakeTemplate) -> None:
    store.enrol("Ann", [make_template(0)])
    store.edit.delete("Ann")
    assert store.enrol("Ann", [make_template(0), make_template(1)]) == {}
    store.edit.delete("Ann")
    with pytest.raises(AmbiguousError, match="2 people called 'Ann' are deleted"):
        store.edit.restore("Ann")
    store.edit.restore(2)
    assert counts(store) == {"Ann": 2}
    assert counts(store, deleted=True) == {"Ann": 1}


@pytest.mark.parametrize(
    ("days", "kept"), [(RESTORABLE_DAYS - 1, True), (RESTORABLE_DAYS + 1, False)]
)
def test_after_thirty_days_nobody_is_listed_or_restored_but_erased(
    store: Store,
    make_template: MakeTemplate,
    place: DatabasePlace,
    clock: Clock,
    days: int,
    kept: bool,
) -> None:
    store.enrol("Ann", [make_template(0)])
    store.edit.delete("Ann")
    deleted_at = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    tamper(place, "UPDATE person SET deleted_at = ?", deleted_at)
    assert counts(store, deleted=True) == ({"Ann": 1} if kept else {})
    if kept:
        store.edit.restore("Ann")
        store.edit.delete("Ann")
    else:
        with pytest.raises(GalleryError, match="nobody called 'Ann' was deleted in the last 30"):
            store.edit.restore("Ann")
    with store.reading() as snapshot:
        assert snapshot.someone_is_overdue is not kept
    assert not store.erase_overdue()
    before = revision(store)
    clock.forward(hours=23)
    assert not store.erase_overdue()
    assert revision(store) == before
    clock.forward(hours=1, minutes=1)
    assert store.erase_overdue() is not kept
    assert (revision(store) == before) is kept
    with store.reading() as snapshot:
        assert snapshot.traces_remain is not kept
        assert not snapshot.someone_is_overdue
    assert not store.erase_overdue()


def test_erase_takes_one_person_and_of_namesakes_the_one_whose_id_is_given(
    store: Store, make_template: MakeTemplate
) -> None:
    store.enrol("Ann", [make_template(0, crop=b"crop")])
    store.edit.delete("Ann")
    store.enrol("Ann", [make_template(1, crop=b"crop")])
    store.enrol("Bob", [make_template(2, crop=b"bob")])
    for wrong in ("Ann", 99):
        with pytest.raises(GalleryError, match=r"--id 1 or 2|person 99 is not enrolled"):
            store.erase(wrong)
    assert counts(store) == {"Ann": 1, "Bob": 1}
    store.erase(1)
    assert counts(store) == {"Ann": 1, "Bob": 1}
    assert counts(store, deleted=True) == {}
    store.erase("Ann")
    assert counts(store) == {"Bob": 1}
    assert counts(store, deleted=True) == {}
    with store.reading() as snapshot:
        assert snapshot.traces_remain
        assert snapshot.crop("Bob") == b"bob"
    store.wipe_traces()
    with store.reading() as snapshot:
        assert not snapshot.traces_remain
    with pytest.raises(GalleryError, match="nobody called 'Ann'"):
        store.erase("Ann")


def test_ids_are_never_given_twice(store: Store, make_template: MakeTemplate) -> None:
    def ids() -> list[int]:
        with store.reading() as snapshot:
            return snapshot.roll().ids.tolist()

    given: list[int] = []
    for seed in range(5):
        store.enrol("Ann", [make_template(seed)])
        given += ids()
        store.erase("Ann")
        store.wipe_traces()
    assert given == sorted(set(given))


def test_the_crop_is_that_of_the_first_photograph_that_has_one(
    store: Store, make_template: MakeTemplate
) -> None:
    store.enrol(
        "Ann", [make_template(0), make_template(1, crop=b"one"), make_template(2, crop=b"two")]
    )
    store.enrol("Bob", [make_template(3)])
    with store.reading() as snapshot:
        assert snapshot.crop("Ann") == b"one"
        assert snapshot.crop("Bob") is None


def test_only_an_empty_gallery_takes_up_another_model(
    store: Store, make_template: MakeTemplate, model: EmbeddingModel
) -> None:
    other = EmbeddingModel("resnet18", "cd" * 32, 512, "/weights/resnet18.safetensors")
    store.enrol("Ann", [make_template(0)])
    store.edit.delete("Ann")  # can be restored, so it still counts
    assert not store.adopt(other)
    with store.reading() as snapshot:
        assert snapshot.model == model
    store.erase("Ann")
    assert store.adopt(other)
    with store.reading() as snapshot:
        assert snapshot.model == other
        assert snapshot.model.weights_path == other.weights_path
    assert store.enrol("Ann", [make_template(0, dimension=512)]) == {}


@pytest.mark.parametrize(
    "blob",
    [
        np.full(16, np.nan, "<f4").tobytes(),
        np.zeros(16, "<f4").tobytes(),
        np.ones(16, "<f8").tobytes(),
        b"",
        np.ones(15, "<f4").tobytes(),
    ],
    ids=["NaN", "zero", "float64", "empty", "short"],
)
def test_a_damaged_template_names_its_person(
    store: Store, make_template: MakeTemplate, place: DatabasePlace, blob: bytes
) -> None:
    for seed, name in enumerate(["Ann", "Bob", "Eve"]):
        store.enrol(name, [make_template(seed)])
    tamper(
        place,
        "UPDATE template SET embedding = ? WHERE photograph_sha256 = ?",
        blob,
        make_template(1).photograph_sha256,
    )
    with store.reading() as snapshot, pytest.raises(GalleryError, match="a template of 'Bob' is"):
        snapshot.embeddings(snapshot.roll().ids)
    store.erase("Bob")  # the way out that the message names
    with store.reading() as snapshot:
        assert snapshot.embeddings(snapshot.roll().ids).shape == (2, 16)


def test_a_gallery_that_does_not_say_what_it_is_is_refused(
    store: Store, place: DatabasePlace
) -> None:
    tamper(place, "DELETE FROM gallery")
    with store.reading() as snapshot, pytest.raises(GalleryError, match="restore it from a backup"):
        _ = snapshot.model


NAMES = st.sampled_from(["Ann", "Bob", "Eve"])
CHANGES = st.one_of(
    st.tuples(st.just("enrol"), NAMES, st.integers(0, 5)),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("restore"), NAMES),
    st.tuples(st.just("erase"), NAMES),
)


@dataclass
class Known:
    """A person as the oracle knows them; `deleted` counts deletions, 0 for somebody enrolled."""

    name: str
    photographs: set[int]
    deleted: int = 0


class Oracle:
    """What the store promises, as a list of people."""

    def __init__(self) -> None:
        self.people: list[Known] = []
        self.deletions = 0

    def enrolled(self) -> list[Known]:
        return [person for person in self.people if not person.deleted]

    def find(self, name: str) -> Known | None:
        return next((person for person in self.enrolled() if person.name == name), None)

    def enrol(self, name: str, photograph: int) -> None:
        if any(photograph in person.photographs for person in self.enrolled()):
            return
        if (person := self.find(name)) is None:
            person = Known(name, set())
            self.people.append(person)
        person.photographs.add(photograph)

    def rename(self, old: str, new: str) -> None:
        person = self.find(old)
        if person and not self.find(new):
            person.name = new

    def delete(self, name: str) -> None:
        if person := self.find(name):
            self.deletions += 1
            person.deleted = self.deletions

    def restore(self, name: str) -> None:
        gone = [person for person in self.people if person.name == name and person.deleted]
        if gone and not self.find(name):
            max(gone, key=lambda person: person.deleted).deleted = 0

    def erase(self, name: str) -> None:
        if [person.name for person in self.people].count(name) == 1:  # else the name is not enough
            self.people = [person for person in self.people if person.name != name]


@settings(max_examples=40)
@given(changes=st.lists(CHANGES, max_size=25))
def test_any_sequence_of_changes_does_what_it_says(
    changes: list[tuple], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("store") / "gallery.sqlite"
    Store.create(path, EmbeddingModel("net", "ab" * 32, 6))
    store, oracle = Store(path), Oracle()
    for change, *arguments in changes:
        getattr(oracle, change)(*arguments)
        if change == "enrol":
            name, photograph = arguments
            unit = np.eye(6, dtype=np.float32)[photograph]
            store.enrol(name, [Template(unit, f"{photograph:064x}")])
        else:
            with suppress(GalleryError):
                getattr(store if change == "erase" else store.edit, change)(*arguments)
    for deleted in (False, True):
        with store.reading() as snapshot:
            found = [(p.name, p.photographs) for p in snapshot.people(deleted=deleted)]
        known = [person for person in oracle.people if bool(person.deleted) == deleted]
        assert sorted(found) == sorted((p.name, len(p.photographs)) for p in known)
    store.close()
