import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage.changes import MOST_OPERATIONS
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.results import Quality

MakeTemplate = Callable[..., Template]

QUALITY = Quality(size=40.5, sharpness=0.3, turn=-0.1, nod=0.05, brightness=0.45)
_TABLES = ("person", "template", "crop", "quality", "exclusion", "membership")


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that is kept of people, byte for byte."""
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in _TABLES
        }


def counts(gallery: Gallery) -> dict[str, int]:
    return {person.name: person.photographs for person in gallery.people()}


def numbers(gallery: Gallery, name: str) -> list[int]:
    return [photograph.number for photograph in gallery.photographs(name)]


@pytest.fixture
def three(gallery: Gallery, make_template: MakeTemplate) -> Gallery:
    """Ann by three photographs, Bob by two, Cyd by one; a face is known not to be Bob's."""
    full = [replace(make_template(n, crop=b"png %d" % n), quality=QUALITY) for n in range(6)]
    gallery.enrol("Ann", full[:3])
    gallery.enrol("Bob", full[3:5])
    gallery.enrol("Cyd", full[5:])
    gallery.edit.exclude("Bob", make_template(77))
    return gallery


def test_merging_makes_two_people_one(three: Gallery, make_template: MakeTemplate) -> None:
    three.edit.merge("Bob", "Ann")
    assert counts(three) == {"Ann": 5, "Cyd": 1}
    [[match]] = three.search(make_template(4).embedding[None], 1)
    assert (match.person, match.cosine_similarity) == ("Ann", pytest.approx(1))
    # What was known not to be Bob is not Ann either.
    assert all(m.person != "Ann" for m in three.search(make_template(77).embedding[None], 3)[0])


def test_photographs_move_and_split_off(three: Gallery) -> None:
    first, second, _ = numbers(three, "Ann")
    three.edit.move("Ann", [second], "Bob")
    assert counts(three) == {"Ann": 2, "Bob": 3, "Cyd": 1}
    three.edit.split("Ann", [first, first], "Dan")
    assert counts(three) == {"Ann": 1, "Bob": 3, "Cyd": 1, "Dan": 1}
    assert numbers(three, "Dan") == [first]
    assert three.crop("Dan") == b"png 0"
    assert [photograph.quality for photograph in three.photographs("Dan")] == [QUALITY]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.edit.merge("Ann", "Ann"), "two people"),
        (lambda g: g.edit.merge("Eve", "Ann"), "nobody called 'Eve'"),
        (lambda g: g.edit.merge("Ann", "Eve"), "nobody called 'Eve'"),
        (lambda g: g.edit.move("Ann", [], "Bob"), "which photographs"),
        (lambda g: g.edit.move("Ann", numbers(g, "Cyd"), "Bob"), "'Ann' has no photograph"),
        (lambda g: g.edit.move("Ann", numbers(g, "Ann"), "Bob"), "merge them"),
        (lambda g: g.edit.move("Ann", numbers(g, "Ann")[:1], "Eve"), "nobody called 'Eve'"),
        (lambda g: g.edit.split("Ann", numbers(g, "Ann")[:1], "Bob"), "enrolled already"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    three: Gallery, folder: Path, change: Callable[[Gallery], None], message: str
) -> None:
    before, history = rows(folder), three.operations()
    with pytest.raises(GalleryError, match=message):
        change(three)
    assert rows(folder) == before
    assert three.operations() == history


def test_two_faces_of_one_photograph_cannot_be_one_person(
    gallery: Gallery, make_template: MakeTemplate
) -> None:
    shared = "ab" * 32
    for seed, name in ((1, "Ann"), (2, "Bob")):
        face = replace(make_template(seed), photograph_sha256=shared)
        gallery.enrol(name, [face, make_template(seed + 10)])
    with pytest.raises(GalleryError, match="they are two people"):
        gallery.edit.merge("Bob", "Ann")
    with pytest.raises(GalleryError, match="they are two people"):
        gallery.edit.move("Bob", numbers(gallery, "Bob")[:1], "Ann")
    gallery.edit.move("Bob", numbers(gallery, "Bob")[1:], "Ann")
    assert counts(gallery) == {"Ann": 3, "Bob": 1}


def test_a_face_enrolled_as_somebody_is_not_excluded_from_them(
    three: Gallery, make_template: MakeTemplate
) -> None:
    with pytest.raises(GalleryError, match="enrolled as 'Ann'"):
        three.edit.exclude("Ann", make_template(1))
    before = three.operations()
    three.edit.exclude("Bob", make_template(77))  # known already
    assert three.operations() == before


def test_a_face_like_one_that_is_not_theirs_is_not_given_their_name(
    three: Gallery, make_template: MakeTemplate
) -> None:
    query = make_template(1).embedding[None]
    twin = make_template(500)
    near = (query[0] + 0.05 * twin.embedding) / np.linalg.norm(query[0] + 0.05 * twin.embedding)
    three.edit.exclude("Ann", replace(twin, embedding=near.astype(np.float32)))
    # The photograph of Ann's own is still hers; whoever is more like the twin is not.
    assert three.search(query, 1)[0][0].person == "Ann"
    assert "Ann" not in {m.person for m in three.search(near.astype(np.float32)[None], 3)[0]}
    three.edit.undo()
    assert three.search(near.astype(np.float32)[None], 1)[0][0].person == "Ann"


_CHANGES: dict[str, Callable[[Gallery, MakeTemplate], None]] = {
    "merge": lambda g, _: g.edit.merge("Bob", "Ann"),
    "merge back": lambda g, _: g.edit.merge("Ann", "Bob"),
    "move": lambda g, _: g.edit.move("Ann", numbers(g, "Ann")[:2], "Cyd"),
    "split": lambda g, _: g.edit.split("Ann", numbers(g, "Ann")[1:], "Dan"),
    "rename": lambda g, _: g.edit.rename("Ann", "Anna"),
    "delete": lambda g, _: g.edit.delete("Bob"),
    "exclude": lambda g, make: g.edit.exclude("Cyd", make(88)),
    "enrol more": lambda g, make: g.enrol("Ann", [make(40, crop=b"x"), make(41)]) and None,
    "enrol anew": lambda g, make: g.enrol("Eve", [make(50)]) and None,
}


@pytest.mark.parametrize("name", _CHANGES)
def test_undoing_a_change_leaves_the_very_same_rows(
    three: Gallery, folder: Path, make_template: MakeTemplate, name: str
) -> None:
    before, history = rows(folder), three.operations()
    _CHANGES[name](three, make_template)
    assert rows(folder) != before
    assert len(three.operations()) == len(history) + 1
    what = three.operations()[0].what
    three.close()
    with Gallery.open(folder) as reopened:  # the journal outlives the process
        assert reopened.edit.undo() == what
        assert reopened.operations() == history
    assert rows(folder) == before


def test_restoring_can_be_undone(three: Gallery) -> None:
    three.edit.delete("Bob")
    three.edit.restore("Bob")
    three.edit.undo()
    assert [person.name for person in three.people(deleted=True)] == ["Bob"]
    three.edit.undo()
    assert counts(three) == {"Ann": 3, "Bob": 2, "Cyd": 1}


@settings(max_examples=25)
@given(data=st.data())
def test_any_changes_are_undone_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("home") / "gallery"
    model = EmbeddingModel(model_id="m", weights_digest="ab" * 32, dimension=4)
    vectors = np.random.default_rng(0).normal(size=(8, 4))
    with Gallery.open(folder, model=model, create=True) as gallery:
        for place, vector in enumerate(vectors):
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            gallery.enrol("ABC"[place % 3], [Template(unit, f"{place:064x}")])
        states = []
        for _ in range(data.draw(st.integers(1, 6))):
            names = [person.name for person in gallery.people()]
            if not names:
                break
            a, b = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
            some = numbers(gallery, a)[:1]
            change = data.draw(
                st.sampled_from(
                    [
                        lambda g, a=a, b=b: g.edit.merge(a, b),
                        lambda g, a=a, b=b, some=some: g.edit.move(a, some, b),
                        lambda g, a=a, b=b, some=some: g.edit.split(a, some, b + "'"),
                        lambda g, a=a, b=b: g.edit.rename(a, b + "*"),
                        lambda g, a=a: g.edit.delete(a),
                        lambda g, a=a, b=b: g.edit.group([a, b], add=["x", "y"]),
                        lambda g, a=a: g.edit.group([a], add=["z"], remove=["x"]),
                        lambda g, a=a, b=b: g.edit.tell_apart(a, b),
                    ]
                )
            )
            before = rows(folder)
            total = sum(len(part) for part in (before["template"],))
            try:
                change(gallery)
            except GalleryError:
                assert rows(folder) == before
                continue
            assert len(rows(folder)["template"]) == total
            if rows(folder) != before:
                states.append(before)
        while states:
            gallery.edit.undo()
            assert rows(folder) == states.pop()


def test_nothing_is_left_to_undo_after_an_erasure(three: Gallery) -> None:
    three.edit.merge("Bob", "Ann")
    three.erase("Cyd")
    assert three.operations() == ()
    with pytest.raises(GalleryError, match="nothing to undo"):
        three.edit.undo()


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.edit.rename("Zacharias", "Bartholomew"),
        lambda g: g.edit.merge("Zacharias", "Ann"),
        lambda g: g.edit.split("Zacharias", numbers(g, "Zacharias")[:1], "Bartholomew"),
    ],
)
def test_an_erased_person_s_name_is_in_no_file_whatever_was_done_to_them(
    gallery: Gallery,
    folder: Path,
    make_template: MakeTemplate,
    change: Callable[[Gallery], None],
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    gallery.enrol("Zacharias", [make_template(1), make_template(2)])
    change(gallery)
    for name in ("Zacharias", "Bartholomew", "Ann"):
        if name in counts(gallery):
            gallery.erase(name)
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"Zacharias" not in content
    assert b"Bartholomew" not in content


def test_an_undone_enrolment_leaves_no_byte(
    three: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    template = make_template(9, crop=b"a picture of nobody else")
    three.enrol("Zacharias", [template])
    three.edit.undo()
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for trace in (b"a picture of nobody else", template.embedding.tobytes()):
        assert trace not in content


def test_only_so_many_operations_are_kept(gallery: Gallery, make_template: MakeTemplate) -> None:
    gallery.enrol("0", [make_template(0)])
    for number in range(MOST_OPERATIONS + 5):
        gallery.edit.rename(str(number), str(number + 1))
    operations = gallery.operations()
    assert len(operations) == MOST_OPERATIONS
    assert operations[0].what == f"'{number}' renamed '{number + 1}'"
    for _ in operations:
        gallery.edit.undo()
    assert counts(gallery) == {"5": 1}


def _merge_and_undo(folder: Path, begun: int) -> None:
    with Gallery.open(folder) as gallery:
        while True:
            gallery.edit.merge("Bob", "Ann")
            gallery.edit.undo()
            os.write(begun, b".")


def test_a_kill_leaves_the_state_before_or_after_a_change(three: Gallery, folder: Path) -> None:
    before = rows(folder)
    three.edit.merge("Bob", "Ann")
    after = rows(folder)
    three.edit.undo()
    three.close()
    rng = random.Random(0)
    for _ in range(12):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                _merge_and_undo(folder, writing)
            os._exit(1)
        os.close(writing)
        os.read(reading, 1)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        with Gallery.open(folder) as reopened:
            merged = len(reopened.people()) == 2
            assert rows(folder) == (after if merged else before)
            if merged:
                reopened.edit.undo()
    assert rows(folder) == before
