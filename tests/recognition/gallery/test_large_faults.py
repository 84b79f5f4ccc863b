"""Large galleries while they are changed, killed, restored, encrypted, damaged and erased from."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from made_up import MODEL, D, fill, kind_in_use, looks, record_of, settled, unit

from data.errors import GalleryError
from recognition.gallery.gallery import DATABASE, Gallery
from recognition.gallery.search import builder as builder_module
from recognition.gallery.search import kinds
from recognition.gallery.search.index import TemplateIndex
from recognition.gallery.search.kinds import Kind
from recognition.gallery.storage import encryption
from recognition.gallery.templates import Template
from recognition.gallery.transfer.backup import back_up, restore

PEOPLE = 150
SECRET = "tidal quartz nomad lantern"


@pytest.fixture(autouse=True)
def soon_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "EXACT_UP_TO", 500)
    monkeypatch.setattr(kinds, "FEWEST_TRAINED", 100)
    monkeypatch.setattr(encryption, "SCRYPT", (2**4, 8, 1))


def names_of(gallery: Gallery, people: range) -> list[str]:
    return [found[0].person for found in gallery.search(looks(people), 1)]


def expected(people: range) -> list[str]:
    return [f"P{person:05}" for person in people]


class Held:
    """Holds up the training of an index until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.let_go = threading.Event(), threading.Event()
        train = builder_module.train

        def held(*given):  # type: ignore[no-untyped-def]
            self.reached.set()
            assert self.let_go.wait(280)
            return train(*given)

        monkeypatch.setattr(builder_module, "train", held)


def test_people_come_and_go_while_an_index_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        errors: list[str] = []
        is_over = threading.Event()

        def search() -> None:
            while not is_over.is_set():
                found = names_of(gallery, range(20, 24))
                if found != expected(range(20, 24)):
                    errors.append(str(found))

        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert held.reached.wait(280)
        gallery.erase("P00000")
        gallery.edit.delete("P00001")
        fill(gallery, range(900, 903))
        held.let_go.set()
        settled(gallery)
        is_over.set()
        for thread in threads:
            thread.join()
        assert not errors
        assert kind_in_use(gallery) is Kind.PQ
        assert names_of(gallery, range(900, 903)) == expected(range(900, 903))
        with gallery._views.current() as view:
            assert view.index is not None
            np.testing.assert_array_equal(view.index.ids, view.roll.ids)
    with Gallery.open(folder, model=MODEL) as again:
        assert names_of(again, range(900, 903)) == expected(range(900, 903))
        assert not {"P00000", "P00001"} & set(names_of(again, range(2)))
        assert kind_in_use(again) is Kind.PQ


def test_closing_gives_up_what_is_being_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    gallery = Gallery.open(folder, model=MODEL, create=True)
    fill(gallery, range(PEOPLE))
    names_of(gallery, range(1))
    assert held.reached.wait(280)
    builder = gallery._views._builder
    assert builder is not None
    builder._is_unwanted.set()
    held.let_go.set()
    gallery.close()
    assert not builder.is_busy
    assert builder.made is None
    assert not (folder / "index").exists()


_KILLED = """
import sys, time
from pathlib import Path
from recognition.gallery.gallery import Gallery
from recognition.gallery.search import builder, index_file, kinds
kinds.EXACT_UP_TO, kinds.FEWEST_TRAINED = 500, 100
where = sys.argv[2]
def wait(*given):
    print("there", flush=True)
    time.sleep(60)
if where == "training":
    builder.train = wait
elif where == "writing":
    index_file.BlockWriter.end = wait
else:
    index_file.note_indexed = wait
with Gallery.open(Path(sys.argv[1])) as gallery:
    gallery.make_index()
"""


@pytest.mark.parametrize("where", ["training", "writing", "noting"])
def test_who_is_killed_meanwhile_loses_nothing(folder: Path, where: str) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(folder), where], stdout=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
    with Gallery.open(folder, model=MODEL) as gallery:
        assert names_of(gallery, range(0, PEOPLE, 7)) == expected(range(0, PEOPLE, 7))
        fill(gallery, range(900, 902))
        settled(gallery)
        assert kind_in_use(gallery) is Kind.PQ
        assert names_of(gallery, range(900, 902)) == expected(range(900, 902))


def test_another_gallery_restored_meanwhile_is_not_searched_by_this_one_s_index(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(tmp_path / "other", model=MODEL, create=True) as other:
        fill(other, range(500, 500 + PEOPLE))
    back_up(tmp_path / "other", tmp_path / "other.sqlite")
    held = Held(monkeypatch)
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        names_of(gallery, range(1))
        assert held.reached.wait(280)
        restore(tmp_path / "other.sqlite", folder)
        held.let_go.set()
        settled(gallery)
        assert names_of(gallery, range(500, 520)) == expected(range(500, 520))
        settled(gallery)
        assert kind_in_use(gallery) is Kind.PQ
        assert names_of(gallery, range(500, 520)) == expected(range(500, 520))


def test_an_encrypted_gallery_s_index_tells_nothing_and_is_read_again(folder: Path) -> None:
    def find(_: str) -> str:
        return SECRET

    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        gallery.make_index()
        path = folder / "index" / "templates.faiss"
        assert b"IwPf" in path.read_bytes()  # FAISS's mark of such an index
        gallery.encrypt(SECRET)
        assert not path.exists()
    with Gallery.open(folder, model=MODEL, find_secret=find) as gallery:
        gallery.make_index()
        content = path.read_bytes()
        assert b"IwPf" not in content
    with Gallery.open(folder, model=MODEL, find_secret=find) as gallery:
        assert names_of(gallery, range(0, PEOPLE, 9)) == expected(range(0, PEOPLE, 9))
        assert kind_in_use(gallery) is Kind.PQ
        assert gallery._views._builder is None
        # A template that is given to somebody else behind Likeness's back is found out.
        with sqlite3.connect(folder / DATABASE) as connection:
            connection.execute("UPDATE template SET person_id = 2 WHERE person_id = 1")
        with pytest.raises(GalleryError, match="was altered by somebody without its key"):
            names_of(gallery, range(1))


def test_erasing_somebody_keeps_the_index_and_nothing_of_them_in_it(folder: Path) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        gallery.make_index()
    path = folder / "index" / "templates.faiss"
    before = path.read_bytes()
    with Gallery.open(folder, model=MODEL) as gallery:
        gallery.erase("P00007")
        after = path.read_bytes()
        assert after != before
        assert names_of(gallery, range(8, 12)) == expected(range(8, 12))
        assert kind_in_use(gallery) is Kind.PQ
        with gallery._views.current() as view:
            assert view.index is not None
            assert not set(range(36, 41)) & set(view.index.ids.tolist())  # their ids


def test_a_damaged_template_is_told_and_no_index_tried_again_and_again(folder: Path) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        with sqlite3.connect(folder / DATABASE) as connection:
            connection.execute("UPDATE template SET embedding = zeroblob(?) WHERE id = 9", (4 * D,))
        for _ in range(3):
            with pytest.raises(GalleryError, match="a template of 'P00001' is damaged"):
                names_of(gallery, range(1))
            builder = gallery._views._builder
            if builder is not None:
                builder._thread.join(280)
        assert gallery._views._builder is None
        assert not (folder / "index").exists()
        with pytest.raises(GalleryError, match="is damaged"):
            gallery.make_index()


def test_one_person_s_hundreds_of_photographs_are_one_answer(folder: Path) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        rng = np.random.default_rng(0)
        faces = unit(looks(range(5, 6)) + 0.05 * rng.normal(size=(300, D)))
        gallery.enrol(
            "P00005", [Template(face, f"{2**200 + n:064x}") for n, face in enumerate(faces)]
        )
        gallery.make_index(Kind.PQ)
        [found] = gallery.search(looks(range(5, 6)), 3)
        assert found[0].person == "P00005"
        assert len({match.person for match in found}) == 3


def test_whoever_is_deleted_before_a_state_that_cannot_be_read_is_not_found_after_it(
    folder: Path,
) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(5))
        names_of(gallery, range(1))
        with Gallery.open(folder, model=MODEL) as other:
            fill(other, range(5, 7))
            other.edit.delete("P00001")
            with sqlite3.connect(folder / DATABASE) as connection:
                connection.execute(
                    "UPDATE template SET embedding = zeroblob(?) WHERE id > 30", (4 * D,)
                )
            with pytest.raises(GalleryError, match="a template of 'P00006' is damaged"):
                names_of(gallery, range(1))
            other.erase("P00006")
        assert "P00001" not in names_of(gallery, range(7))
        assert names_of(gallery, range(5, 6)) == ["P00005"]


_ABOUT = {"kind": "pq", "lists": 4, "planned": 4, "searched": 2, "found": 60, "tried": 60}


@pytest.mark.parametrize(
    "about",
    [
        *({**_ABOUT, name: value} for name in _ABOUT for value in ("r2", [], None, -1)),
        *({key: _ABOUT[key] for key in _ABOUT if key != name} for name in _ABOUT),
        {"kind": "flat"},
    ],
)
def test_an_index_that_says_nonsense_of_itself_is_made_anew(
    folder: Path, about: dict[str, object]
) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        gallery.make_index()
    path = folder / "index" / "templates.faiss"
    head, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps(json.loads(head) | {"about": about}).encode() + b"\n" + rest)
    with Gallery.open(folder, model=MODEL) as gallery:
        assert "not made yet" in str(gallery.facts()["index"])
        assert names_of(gallery, range(5, 8)) == expected(range(5, 8))


def test_lists_that_have_become_empty_hold_nobody_and_break_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TemplateIndex, "lists_searched", 1)
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(400))
        gallery.make_index()
        with gallery.adding() as add:
            add([record_of(person, 100) for person in range(1000, 1003)])
        for person in range(400):
            gallery.edit.delete(f"P{person:05}")
        found = gallery.search(looks(range(400)), 3)
        assert kind_in_use(gallery) is Kind.PQ
        assert min(map(len, found)) == 0  # none of the lists looked into holds anybody
        assert names_of(gallery, range(1000, 1003)) == expected(range(1000, 1003))


@pytest.mark.parametrize("kind", [Kind.FLAT, Kind.PQ])
def test_an_older_copy_put_back_by_hand_is_not_searched_by_the_index_in_memory(
    folder: Path, tmp_path: Path, kind: Kind
) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(120))
        gallery.make_index(kind)
    shutil.copyfile(folder / DATABASE, tmp_path / "copy")
    with Gallery.open(folder, model=MODEL) as gallery:
        fill(gallery, range(200, 203))
        assert names_of(gallery, range(200, 203)) == expected(range(200, 203))
        with closing(sqlite3.connect(folder / DATABASE)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(tmp_path / "copy", folder / DATABASE)
        fill(gallery, range(300, 303))  # who get the ids of those before
        assert names_of(gallery, range(300, 303)) == expected(range(300, 303))


def test_an_older_copy_put_back_meanwhile_ends_the_making_of_an_index(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(120))
    shutil.copyfile(folder / DATABASE, tmp_path / "copy")
    held = Held(monkeypatch)
    with Gallery.open(folder, model=MODEL) as gallery:
        fill(gallery, range(200, 203))
        names_of(gallery, range(1))
        assert held.reached.wait(280)
        with closing(sqlite3.connect(folder / DATABASE)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(tmp_path / "copy", folder / DATABASE)
        fill(gallery, range(300, 303))
        held.let_go.set()
        settled(gallery)
        assert names_of(gallery, range(300, 303)) == expected(range(300, 303))
    assert not (folder / "index" / "templates.faiss").exists()


def test_a_search_does_not_wait_for_a_long_change_of_another_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognition.gallery.search.searcher._PATIENCE", 0.05)
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(5))
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        waits: list[float] = []
        with Gallery.open(folder, model=MODEL) as gallery:
            wait_for = gallery._store._database._wait_for
            monkeypatch.setattr(
                gallery._store._database,
                "_wait_for",
                lambda seconds: waits.append(seconds or 0) or wait_for(seconds),
            )
            assert names_of(gallery, range(5)) == expected(range(5))
        assert set(waits) == {0.05, 0}  # 0: as usual again, once it is given up
        assert not (folder / "index").exists()
    with Gallery.open(folder, model=MODEL) as gallery:
        names_of(gallery, range(1))
    assert (folder / "index" / "templates.faiss").exists()
