"""A gallery's vectors in Milvus: an index that is never believed, and follows the truth."""

import importlib.util
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from made_up import MODEL, D, fill, looks, photographs_of, record_of
from milvus_in_memory import SERVERS, Server, VectorsInMemory

from data.errors import ArgumentError, GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.locations import Folder, place_of
from recognition.gallery.search import milvus_index
from recognition.gallery.search.milvus import MilvusAddress, MilvusError, MilvusVectors
from recognition.gallery.search.milvus_index import Note, known_indexes
from recognition.gallery.storage import encryption
from recognition.gallery.storage.people import ENROLLED
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.replacement import NewEmbedding, Succession
from recognition.matching import Matching

SECRET = "tidal quartz nomad lantern"
PEOPLE = range(12)
needs_lite = pytest.mark.skipif(
    importlib.util.find_spec("milvus_lite") is None,
    reason="make test-milvus has an environment for it",
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "SCRYPT", (2**4, 8, 1))
    monkeypatch.setattr(milvus_index, "_RECHECKED", 0.0)


@pytest.fixture(params=["memory", pytest.param("lite", marks=needs_lite)])
def address(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MilvusAddress:
    """Of an index that nobody has made yet."""
    if request.param == "memory":
        monkeypatch.setattr(milvus_index, "MilvusVectors", VectorsInMemory)
    return MilvusAddress(uri=str(tmp_path / "index.db"), name="team")


@pytest.fixture
def in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MilvusAddress:
    monkeypatch.setattr(milvus_index, "MilvusVectors", VectorsInMemory)
    return MilvusAddress(uri=str(tmp_path / "index.db"), name="team")


@pytest.fixture
def server(in_memory: MilvusAddress) -> Server:
    return SERVERS.setdefault(str(in_memory), Server())


def opened(
    folder: Path, index: MilvusAddress | None, model: EmbeddingModel = MODEL, **more: object
) -> Gallery:
    return Gallery.open(folder, model=model, create=True, index=index, **more)  # type: ignore[arg-type]


def in_milvus(gallery: Gallery) -> list[int]:
    assert gallery._elsewhere is not None
    return gallery._elsewhere._vectors.ids().tolist()


def enrolled(gallery: Gallery) -> list[int]:
    """The ids of the templates of those enrolled, by an oracle of one line."""
    with gallery._store.reading() as snapshot:
        return [
            row
            for (row,) in snapshot.connection.execute(
                "SELECT template.id FROM template JOIN person ON person.id = person_id"
                f" WHERE {ENROLLED} ORDER BY template.id"
            )
        ]


def answers(gallery: Gallery) -> list[list[tuple[str, float]]]:
    """Who is found for everybody, three each, by every way to compare, and among some."""
    everybody = [one.person_id for one in gallery.people()]
    return [
        [(one.person, round(one.cosine_similarity, 5)) for one in found]
        for matching in (Matching.BEST, Matching.MEAN)
        for among in (None, everybody[::2])
        for found in gallery.search(looks(PEOPLE), 3, matching, among)
    ]


def searched_in_milvus(gallery: Gallery) -> bool:
    with gallery._views.current() as view:
        return view.index is gallery._elsewhere


@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_what_this_machine_s_index_finds_after_every_change(
    address: MilvusAddress, tmp_path: Path, seed: int
) -> None:
    """Any changes in any order; half of them by somebody who knows nothing of Milvus."""
    rng = np.random.default_rng(seed)
    with (
        opened(tmp_path / "gallery", address) as gallery,
        opened(tmp_path / "gallery", None) as plain,
    ):
        fill(gallery, PEOPLE)
        assert answers(gallery) == answers(plain)
        assert searched_in_milvus(gallery)
        coming = 100
        for _ in range(10):
            by = gallery if rng.random() < 0.5 else plain
            who = [one.person_id for one in by.people()]
            one, other = rng.choice(who, 2, replace=False).tolist()
            match rng.choice(["delete", "restore", "erase", "merge", "enrol", "undo"]):
                case "delete":
                    by.edit.delete(one)
                case "restore" if gone := by.people(deleted=True):
                    by.edit.restore(gone[0].person_id)
                case "erase":
                    by.erase(one)
                case "merge":
                    by.edit.merge(one, other)
                case "undo" if by.operations():
                    by.edit.undo()
                case _:
                    coming += 1
                    fill(by, range(coming, coming + 1))
            assert answers(gallery) == answers(plain)
            assert in_milvus(gallery) == enrolled(plain)
            assert searched_in_milvus(gallery)


def test_nothing_but_ids_and_vectors_is_in_it(address: MilvusAddress, tmp_path: Path) -> None:
    with opened(tmp_path / "gallery", address) as gallery:
        gallery.enrol("Ann Ångström", [Template(photographs_of(1, 1)[0], "ab" * 32, b"a crop")])
        answers(gallery)
        assert gallery._elsewhere is not None
        vectors = gallery._elsewhere._vectors
        assert Note.read(vectors.state()) is not None
        noted = json.dumps(vectors.state())
        assert set(vectors.state() or ()) == {"gallery", "network", "mark", "line"}
        assert "Ann" not in noted
        assert "ab" * 32 not in noted.replace(MODEL.weights_digest, "")
        [vector] = vectors.vectors(np.array(enrolled(gallery))).values()
        np.testing.assert_array_equal(vector, photographs_of(1, 1)[0])
        if isinstance(vectors, MilvusVectors):
            client = vectors._connection.client
            fields = {
                name: {one["name"] for one in client.describe_collection(name)["fields"]}
                for name in client.list_collections()
            }
            assert fields == {
                "team_vectors": {"id", "embedding"},
                "team_state": {"key", "body", "unused"},
            }


@needs_lite
def test_another_process_opens_it_and_finds_the_same(tmp_path: Path) -> None:
    address = MilvusAddress(uri=str(tmp_path / "index.db"), name="team")
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, PEOPLE)
        own = answers(gallery)
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from test_milvus_index import answers, in_milvus, opened, searched_in_milvus\n"
        "from recognition.gallery.search import milvus, milvus_index\n"
        "def refuse(*_): raise AssertionError('made anew')\n"
        "milvus.MilvusVectors.put = milvus.MilvusVectors.ids = refuse\n"
        "address = milvus.MilvusAddress(uri=sys.argv[3], name='team')\n"
        "with opened(Path(sys.argv[2]), address) as gallery:\n"
        "    found = answers(gallery)\n"
        "    assert searched_in_milvus(gallery)\n"
        "print(json.dumps(found))\n"
    )
    places = [Path(__file__).parent, tmp_path / "gallery", address.uri]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, places)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(own))


def empty(gallery: Gallery) -> None:
    vectors = gallery._elsewhere._vectors  # type: ignore[union-attr]
    vectors.remove(vectors.ids())


def drop(gallery: Gallery) -> None:
    gallery._elsewhere._vectors.drop()  # type: ignore[union-attr]


def lose_one(gallery: Gallery) -> None:
    vectors = gallery._elsewhere._vectors  # type: ignore[union-attr]
    vectors.remove(vectors.ids()[3:4])


def put_strangers(gallery: Gallery) -> None:
    """Vectors of ids that the gallery does not know, each the very face that is asked for."""
    vectors = gallery._elsewhere._vectors  # type: ignore[union-attr]
    vectors.put(np.arange(900_000, 900_000 + len(PEOPLE)), looks(PEOPLE))


def swap(gallery: Gallery) -> None:
    """Each template's vector is another one's."""
    vectors = gallery._elsewhere._vectors  # type: ignore[union-attr]
    ids = vectors.ids()
    held = vectors.vectors(ids)
    vectors.put(ids, np.stack([held[number] for number in np.roll(ids, 7).tolist()]))


def another_s(gallery: Gallery) -> None:
    vectors = gallery._elsewhere._vectors  # type: ignore[union-attr]
    state = dict(vectors.state() or {})
    swap(gallery)
    vectors.note(state | {"gallery": "11111111-2222-3333-4444-555555555555"})


def another_network_s(gallery: Gallery) -> None:
    vectors = gallery._elsewhere._vectors  # type: ignore[union-attr]
    vectors.drop()
    vectors.create(D // 2)
    vectors.put(np.arange(1, 9), looks(range(8))[:, : D // 2].copy())
    vectors.note({"gallery": "x", "network": "cd" * 32, "mark": "m", "line": [0, ""]})


def note_nonsense(gallery: Gallery) -> None:
    gallery._elsewhere._vectors.note({"mark": 7, "line": []})  # type: ignore[union-attr]


HARM = [
    empty, drop, lose_one, put_strangers, swap, another_s, another_network_s, note_nonsense,
]  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("when", ["while it is open", "while nobody has it open"])
def test_whatever_becomes_of_it_the_same_are_found_and_it_is_whole_again(
    address: MilvusAddress, tmp_path: Path, harm: object, when: str
) -> None:
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, PEOPLE)
        own = answers(gallery)
        harm(gallery)  # type: ignore[operator]
        if when == "while it is open" and harm is not swap:
            assert answers(gallery) == own
    with opened(tmp_path / "gallery", address) as gallery:
        assert answers(gallery) == own
        assert searched_in_milvus(gallery)
        assert in_milvus(gallery) == enrolled(gallery)
        held = gallery._elsewhere._vectors.vectors(np.array(enrolled(gallery)))  # type: ignore[union-attr]
        _, templates = gallery.templates()
        np.testing.assert_array_equal(np.stack([held[n] for n in enrolled(gallery)]), templates)


@pytest.mark.parametrize("harm", [empty, drop])
def test_one_that_is_emptied_while_it_is_believed_is_seen_to_be(
    in_memory: MilvusAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: object
) -> None:
    with opened(tmp_path / "gallery", in_memory) as gallery:
        fill(gallery, PEOPLE)
        own = answers(gallery)
        monkeypatch.setattr(milvus_index, "_RECHECKED", 1e9)
        harm(gallery)  # type: ignore[operator]
        assert answers(gallery) == own


@pytest.mark.parametrize("harm", [swap, put_strangers])
def test_no_name_and_no_similarity_is_ever_milvus_s_word(
    in_memory: MilvusAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: object
) -> None:
    """It is wrong while it is believed to be whole: somebody may be missed, but nobody mistaken."""
    with opened(tmp_path / "gallery", in_memory) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
        monkeypatch.setattr(milvus_index, "_RECHECKED", 1e9)
        harm(gallery)  # type: ignore[operator]
        names = {one.name: one.person_id for one in gallery.people()}
        for person, found in zip(PEOPLE, gallery.search(looks(PEOPLE), 3), strict=True):
            for match in found:
                _, templates = gallery.templates_of(names[match.person])
                best = float((templates @ looks(range(person, person + 1))[0]).max())
                assert match.cosine_similarity == pytest.approx(best, abs=1e-5)


def test_a_restored_older_copy_of_the_database_is_not_mixed_up_with_it(
    address: MilvusAddress, tmp_path: Path
) -> None:
    """Ids are given again there: an id's vector in Milvus is somebody else's."""
    database = tmp_path / "gallery" / "gallery.sqlite"
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, range(4))
    older = database.read_bytes()
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, range(4, 8))
        answers(gallery)
    for beside in ("-wal", "-shm"):
        database.with_name(database.name + beside).unlink(missing_ok=True)
    database.write_bytes(older)
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, range(8, 12))
        with opened(tmp_path / "gallery", None) as plain:
            assert answers(gallery) == answers(plain)
        found = [one[0].person for one in gallery.search(looks(range(8, 12)), 1)]
        assert found == [f"P{person:05}" for person in range(8, 12)]


def test_after_a_move_to_another_network_it_is_made_anew(
    address: MilvusAddress, tmp_path: Path
) -> None:
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
    succession = Succession(tmp_path / "gallery", lambda _: None)
    new = EmbeddingModel("other", "cd" * 32, D)
    succession.begin(new, "")
    for waiting in succession.waiting(1000):
        moved = -photographs_of(999, len(waiting))
        succession.put(
            [
                NewEmbedding(
                    one.template, one.person, vector, fresh=False, similarity=None, side=None
                )
                for one, vector in zip(waiting, moved, strict=True)
            ],
            new,
        )
    succession.finish(new)
    with opened(tmp_path / "gallery", address, new) as gallery:
        answers(gallery)
        assert searched_in_milvus(gallery)


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_without_an_answer_the_same_are_found_one_line_says_so_and_it_comes_back(
    in_memory: MilvusAddress,
    server: Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    """Before it is asked, or in the midst of a search that it was believed to be good for."""
    monkeypatch.setattr(milvus_index, "_RECHECKED", seconds)
    with opened(tmp_path / "gallery", in_memory) as gallery:
        fill(gallery, PEOPLE)
        own = answers(gallery)
        server.is_down = True
        with caplog.at_level(logging.WARNING):
            assert answers(gallery) == own
            assert answers(gallery) == own
        [line] = [record.getMessage() for record in caplog.records]
        assert "\n" not in line
        assert "Milvus says 'no route'" in line
        assert "the same are found" in line
        fill(gallery, range(20, 21))
        [[match]] = gallery.search(looks(range(20, 21)), 1)
        assert match.person == "P00020"
        server.is_down = False
        gallery._elsewhere._lost_until = 0.0  # type: ignore[union-attr]
        [[match]] = gallery.search(looks(range(20, 21)), 1)
        assert match.person == "P00020"
        assert searched_in_milvus(gallery)
        assert in_milvus(gallery) == enrolled(gallery)


def test_a_machine_that_never_reaches_it_still_answers(
    in_memory: MilvusAddress, server: Server, tmp_path: Path
) -> None:
    server.is_down = True
    with opened(tmp_path / "gallery", in_memory) as gallery:
        fill(gallery, PEOPLE)
        with opened(tmp_path / "plain", None) as plain:
            fill(plain, PEOPLE)
            assert answers(gallery) == answers(plain)
        assert "no route" in str(gallery.facts()["index"])
        with pytest.raises(MilvusError, match="no route"):
            gallery.make_index()


def test_who_is_erased_leaves_it_at_once(address: MilvusAddress, tmp_path: Path) -> None:
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
        before = set(in_milvus(gallery))
        gallery.erase("P00003")
        assert len(before - set(in_milvus(gallery))) == 5
        assert in_milvus(gallery) == enrolled(gallery)
        assert "until it has compacted" in (gallery.lingers or "")


def test_who_is_erased_while_it_does_not_answer_leaves_it_with_the_next_opening(
    in_memory: MilvusAddress, server: Server, tmp_path: Path
) -> None:
    with opened(tmp_path / "gallery", in_memory) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
        server.is_down = True
        with pytest.raises(GalleryError, match="not their vectors from Milvus"):
            gallery.erase("P00003")
        assert "P00003" not in [one.name for one in gallery.people()]
    server.is_down = False
    assert len(server.held or ()) == 5 * len(PEOPLE)
    with opened(tmp_path / "gallery", in_memory) as gallery:
        assert in_milvus(gallery) == enrolled(gallery)


def test_who_is_erased_by_somebody_without_the_index_leaves_it_with_the_next_search(
    address: MilvusAddress, tmp_path: Path
) -> None:
    with opened(tmp_path / "gallery", address) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
    with opened(tmp_path / "gallery", None) as plain:
        plain.erase("P00003")
        assert str(address) in (plain.lingers or "")
    with opened(tmp_path / "gallery", address) as gallery:
        answers(gallery)
        assert in_milvus(gallery) == enrolled(gallery)


def test_whoever_is_erased_while_it_is_filled_is_not_put_back(
    in_memory: MilvusAddress,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One who is in it already, and one who is not yet: by another connection, between batches."""
    monkeypatch.setattr(milvus_index, "_ROWS_AT_ONCE", 16)
    with (
        opened(tmp_path / "gallery", in_memory) as gallery,
        opened(tmp_path / "gallery", in_memory) as other,
    ):
        fill(gallery, PEOPLE)
        gone = iter(["P00001", "P00010"])

        def progress(done: int, total: int) -> None:
            if name := next(gone, None):
                other.erase(name)

        gallery.make_index(progress=progress)
        assert in_milvus(gallery) == enrolled(other)
        assert searched_in_milvus(gallery)


def test_a_process_that_dies_while_it_writes_leaves_nothing_that_is_believed(
    in_memory: MilvusAddress, server: Server, tmp_path: Path
) -> None:
    with opened(tmp_path / "gallery", in_memory) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
        fill(gallery, range(30, 33))
        left = iter(range(4))

        def die() -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        server.before_put = die
        with pytest.raises(KeyboardInterrupt):
            answers(gallery)
        gallery._elsewhere = gallery._views._elsewhere = None  # it cannot tidy up either
    server.before_put = lambda: None
    assert server.noted is not None
    assert server.noted["mark"] == ""
    with (
        opened(tmp_path / "gallery", in_memory) as gallery,
        opened(tmp_path / "gallery", None) as plain,
    ):
        assert answers(gallery) == answers(plain)
        assert in_milvus(gallery) == enrolled(gallery)


def test_a_large_one_is_filled_in_the_background_while_the_same_are_found(
    in_memory: MilvusAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_index, "MOST_IN_PASSING", 10)
    with (
        opened(tmp_path / "gallery", in_memory) as gallery,
        opened(tmp_path / "plain", None) as plain,
    ):
        fill(gallery, PEOPLE)
        fill(plain, PEOPLE)
        own = answers(plain)
        assert answers(gallery) == own
        filling = gallery._elsewhere._filling  # type: ignore[union-attr]
        if filling is not None:
            filling._thread.join(60)
        assert answers(gallery) == own
        assert searched_in_milvus(gallery)
        assert in_milvus(gallery) == enrolled(gallery)


def test_an_open_gallery_asks_milvus_for_no_list_while_nobody_else_writes(
    in_memory: MilvusAddress,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(tmp_path / "gallery", in_memory) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
        monkeypatch.setattr(milvus_index, "_RECHECKED", 1e9)
        listed = server.listings
        for person in range(40, 43):
            fill(gallery, range(person, person + 1))
            answers(gallery)
        assert server.listings == listed
        assert in_milvus(gallery) == enrolled(gallery)


def test_it_is_made_told_of_and_removed(address: MilvusAddress, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    with opened(folder, address) as gallery:
        fill(gallery, PEOPLE)
        assert "not made yet" in str(gallery.facts()["index"])
        assert gallery.facts()["kind"] == "SQLite and Milvus"
        seen: list[tuple[int, int]] = []
        told = gallery.make_index(progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (60, 60)
        assert "FLAT, 60 of 60 photographs" in told
        assert known_indexes(folder) == (str(address),)
        assert gallery.remove_index() == str(address)
        assert "not made yet" in str(gallery.facts()["index"])
        assert known_indexes(folder) == ()
    with opened(folder, None) as gallery, pytest.raises(ArgumentError, match="--index milvus://"):
        gallery.remove_index()


def test_an_encrypted_gallery_has_no_index_in_the_open(
    address: MilvusAddress, tmp_path: Path
) -> None:
    folder, given = tmp_path / "gallery", {"find_secret": lambda _: SECRET}
    with opened(folder, None) as gallery:
        fill(gallery, PEOPLE)
        gallery.encrypt(SECRET)
    with pytest.raises(GalleryError, match="would be in the open"):
        opened(folder, address, **given)
    with pytest.raises(GalleryError, match="would be in the open"):
        opened(tmp_path / "new", address, **given, is_given=lambda: True)
    assert not (tmp_path / "new").exists()


def test_who_encrypts_a_gallery_takes_its_vectors_out_of_milvus_first(
    address: MilvusAddress, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    with opened(folder, address) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
    with opened(folder, None) as plain, pytest.raises(GalleryError, match="index --remove") as told:
        plain.encrypt(SECRET)
    assert str(address) in str(told.value)
    with opened(folder, address) as gallery:
        assert not gallery.is_encrypted
        gallery.encrypt(SECRET)
        assert gallery._elsewhere is not None
        assert gallery._elsewhere._vectors.state() is None
    assert known_indexes(folder) == ()


def test_whoever_finds_the_gallery_encrypted_takes_its_vectors_out(
    address: MilvusAddress, tmp_path: Path
) -> None:
    """Another machine has encrypted it, which does not know of the index."""
    folder = tmp_path / "gallery"
    with opened(folder, address, find_secret=lambda _: SECRET) as gallery:
        fill(gallery, PEOPLE)
        answers(gallery)
        (folder / "index-milvus").unlink()
        with opened(folder, None) as plain:
            plain.encrypt(SECRET)
        with pytest.raises(GalleryError, match="have been removed from it"):
            answers(gallery)
        assert gallery._elsewhere is not None
        assert gallery._elsewhere._vectors.state() is None


def test_a_place_hands_its_index_on(address: MilvusAddress, tmp_path: Path) -> None:
    place = Folder(tmp_path / "gallery", index=address)
    with place.open(model=MODEL, create=True) as gallery:
        with gallery.adding() as add:
            add([record_of(person) for person in PEOPLE])
        [[match]] = gallery.search(looks(range(5, 6)), 1)
        assert match.person == "P00005"
        assert in_milvus(gallery) == enrolled(gallery)


@pytest.mark.postgres
def test_machines_that_share_a_server_and_an_index_find_each_other_s_people(
    postgres_address: str, in_memory: MilvusAddress, server: Server, tmp_path: Path
) -> None:
    first, second = (
        place_of(postgres_address, tmp_path / name, index=in_memory) for name in ("one", "two")
    )
    with first.open(model=MODEL, create=True) as one, second.open() as two:
        assert isinstance(one, Gallery)
        assert isinstance(two, Gallery)
        fill(one, PEOPLE)
        assert answers(one) == answers(two)
        for by, other, person in ((one, two, 40), (two, one, 41)):
            fill(by, range(person, person + 1))
            [[match]] = other.search(looks(range(person, person + 1)), 1)
            assert match.person == f"P{person:05}"
            assert searched_in_milvus(by)
            assert searched_in_milvus(other)
            assert in_milvus(by) == enrolled(other)
        one.erase("P00041")
        assert in_milvus(two) == enrolled(two)
        assert answers(one) == answers(two)
        assert "Milvus has removed" in (one.lingers or "")
        assert "the server's own files" in (one.lingers or "")


@pytest.fixture
def vectors(address: MilvusAddress) -> Iterator[MilvusVectors]:
    with closing(milvus_index.MilvusVectors(address)) as opened:
        yield opened


def test_what_milvus_does_is_what_these_tests_take_it_to_do(vectors: MilvusVectors) -> None:
    """The stand-in and Milvus, held to the same."""
    rows = looks(range(40))
    assert vectors.state() is None
    vectors.create(D)
    vectors.create(D)
    assert (vectors.dimension, vectors.count(), vectors.state()) == (D, 0, None)
    vectors.put(np.arange(0, 80, 2), rows)
    vectors.settle()
    vectors.note({"line": [1, "x"], "mark": "a"})
    vectors.note({"line": [2, "y"], "mark": "b"})
    assert vectors.state() == {"line": [2, "y"], "mark": "b"}
    assert vectors.ids().tolist() == [*range(0, 80, 2)]
    similarities, ids = vectors.nearest(rows[:3], 50)
    oracle = rows[:3] @ rows.T
    np.testing.assert_array_equal(ids[:, :40], 2 * np.argsort(-oracle, axis=1))
    np.testing.assert_allclose(similarities[:, :40], -np.sort(-oracle, axis=1), atol=1e-6)
    assert (ids[:, 40:] == -1).all()
    among = np.arange(20, 40, 2)
    _, ids = vectors.nearest(rows[:2], 4, among)
    np.testing.assert_array_equal(ids, 20 + 2 * np.argsort(-oracle[:2, 10:20], axis=1)[:, :4])
    vectors.remove(np.array([0, 2, 999]))
    vectors.compact()
    assert vectors.count() == 38
    held = vectors.vectors(np.array([2, 4, 5]))
    assert [*held] == [4]
    np.testing.assert_array_equal(held[4], rows[2])
    vectors.drop()
    assert vectors.state() is None
