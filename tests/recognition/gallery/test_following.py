"""The roll followed through the audit log is the roll read anew."""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from data.errors import AppError
from recognition.gallery.search.roll import followed, latest_line
from recognition.gallery.storage.audit import Action
from recognition.gallery.storage.databases import DatabasePlace
from recognition.gallery.storage.postgres_address import PostgresAddress
from recognition.gallery.storage.records import PersonRecord, RecordWriter
from recognition.gallery.storage.snapshot import Roll
from recognition.gallery.storage.store import Store
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.results import Consent

D = 8
NAMES = ("Ann", "Bob", "Cyd", "Dan", "Eve")


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    place: DatabasePlace = tmp_path / "gallery.sqlite"
    if request.param == "server":
        place = PostgresAddress.parse(request.getfixturevalue("postgres_address"))
    Store.create(place, EmbeddingModel("net", "ab" * 32, D))
    store = Store(place)
    yield store
    store.close()


def face(number: int) -> Template:
    vector = np.random.default_rng(number).normal(size=D)
    return Template((vector / np.linalg.norm(vector)).astype(np.float32), f"{number:064x}")


class Changes:
    """Changes somebody something, by chance."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store, self._rng, self._faces = store, random.Random(seed), 1000 * seed

    def make_one(self) -> None:
        kinds = ["enrol", "enrol", "editing", "editing", "editing", "undo", "erase", "add"]
        with suppress(AppError):  # what cannot be done changes nothing
            getattr(self, f"_{self._rng.choice(kinds)}")()

    def _face(self) -> Template:
        self._faces += 1
        return face(self._faces)

    def _name(self) -> str:
        return self._rng.choice(NAMES)

    def _enrol(self) -> None:
        faces = [self._face() for _ in range(self._rng.randrange(1, 4))]
        self._store.enrol(self._name(), faces)

    def _erase(self) -> None:
        self._store.erase(self._name())

    def _undo(self) -> None:
        self._store.edit.undo()

    def _add(self) -> None:
        record = PersonRecord(
            name=self._name(),
            enrolled_at="2026-01-01T00:00:00+00:00",
            deleted_at=None,
            templates=(self._face(), self._face()),
        )
        with self._store.adding() as connection:
            RecordWriter(connection)([record])

    def _editing(self) -> None:
        name, other = self._name(), self._name()
        with self._store.reading() as snapshot:
            numbers = [one.number for one in snapshot.photographs(name)]
        some = self._rng.sample(numbers, self._rng.randrange(len(numbers) + 1))
        kind = self._rng.randrange(8)
        if kind == 0:
            self._store.edit.delete(name)
        elif kind == 1:
            self._store.edit.restore(name)
        elif kind == 2:
            self._store.edit.merge(name, other)
        elif kind == 3:
            self._store.edit.move(name, some, other)
        elif kind == 4:
            self._store.edit.split(name, some, other)
        elif kind == 5:
            self._store.edit.rename(name, other)
        elif kind == 6:
            self._store.edit.exclude(name, self._face())
        else:
            self._store.edit.consent(name, Consent(note="for the test"))


def same(one: Roll, other: Roll) -> bool:
    return (
        np.array_equal(one.ids, other.ids)
        and np.array_equal(one.people, other.people)
        and one.names == other.names
    )


@pytest.mark.parametrize("seed", range(12))
def test_it_is_followed_through_whatever_is_done(store: Store, seed: int) -> None:
    changes, was_followed = Changes(store, seed), 0
    for _ in range(60):
        with store.reading() as snapshot:
            roll, line = snapshot.roll(), latest_line(snapshot)
        for _ in range(random.Random(seed).randrange(1, 4)):
            changes.make_one()
        with store.reading() as snapshot:
            now = followed(roll, snapshot, line)
            if now is not None:
                was_followed += 1
                assert same(now, snapshot.roll())
    assert was_followed > 20


def test_where_lines_tell_of_everybody_all_is_read(store: Store) -> None:
    store.enrol("Ann", [face(1), face(2)])
    store.enrol("Bob", [face(3)])
    with store.reading() as snapshot:
        roll, line = snapshot.roll(), latest_line(snapshot)
        assert followed(roll, snapshot, line) is None  # nothing tells what changed
    store.edit.move("Ann", [1], "Bob")
    store.edit.undo()
    with store.reading() as snapshot:
        now = followed(roll, snapshot, line)
        assert now is not None
        assert same(now, snapshot.roll())
    store.change_key(Action.ENCRYPT, "f" * 64)
    with store.reading() as snapshot:
        assert followed(roll, snapshot, line) is None


def test_many_people_are_read_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recognition.gallery.search.roll._MOST_PEOPLE", 2)
    with store.reading() as snapshot:
        roll, line = snapshot.roll(), latest_line(snapshot)
    for number, name in enumerate(NAMES):
        store.enrol(name, [face(number)])
        with store.reading() as snapshot:
            now = followed(roll, snapshot, line)
            assert (now is None) == (number > 1)
            assert now is None or same(now, snapshot.roll())
