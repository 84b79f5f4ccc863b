import io
import json
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from recognition.gallery.search import index_file
from recognition.gallery.search.index import TemplateIndex
from recognition.gallery.search.index_file import IndexCache
from recognition.gallery.storage.encryption import OPEN, KeyedSeal
from recognition.gallery.storage.snapshot import Snapshot
from recognition.gallery.storage.store import Store
from recognition.gallery.templates import EmbeddingModel, Template

D = 8
MODEL = EmbeddingModel("net", "ab" * 32, D)
VECTORS = np.eye(D, dtype=np.float32)[:5]
ABOUT = {"kind": "pq", "lists": 3, "planned": 4, "searched": 2, "found": 60, "tried": 60}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "BLOCK_BYTES", 64)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Five people, one photograph each."""
    Store.create(tmp_path / "gallery.sqlite", MODEL)
    store = Store(tmp_path / "gallery.sqlite")
    for number, vector in enumerate(VECTORS):
        store.enrol(f"P{number}", [Template(vector, f"{number:064x}")])
    yield store
    store.close()


def filled(snapshot: Snapshot) -> TemplateIndex:
    index = TemplateIndex(D)
    index.follow(snapshot.roll().ids, snapshot.embeddings)
    return index


@pytest.fixture
def cache(tmp_path: Path, store: Store) -> IndexCache:
    written = IndexCache(tmp_path / "index")
    with store.unchanging() as snapshot:
        written.write(filled(snapshot), snapshot)
    return written


@pytest.fixture
def path(cache: IndexCache, tmp_path: Path) -> Path:
    return tmp_path / "index" / "templates.faiss"


def bytes_of(index: TemplateIndex) -> bytes:
    sink = io.BytesIO()
    index.write(sink.write)
    return sink.getvalue()


def read(cache: IndexCache, store: Store) -> TemplateIndex | None:
    with store.reading() as snapshot:
        return cache.read(snapshot)


def test_what_was_written_is_read_back(cache: IndexCache, store: Store) -> None:
    found = read(cache, store)
    assert found is not None
    similarities, ids = found.search(VECTORS[2:3], 1)
    assert (similarities.item(), ids.item()) == (1.0, 3)


def test_what_is_kept_about_it_comes_back(tmp_path: Path, store: Store) -> None:
    cache = IndexCache(tmp_path / "index")
    with store.unchanging() as snapshot:
        index = filled(snapshot)
        index.about = ABOUT
        cache.write(index, snapshot)
    found = read(cache, store)
    assert found is not None
    assert found.about == ABOUT
    with store.reading() as snapshot:
        head = cache.head(snapshot)
    assert head is not None
    assert head["about"] == found.about


def test_only_the_owner_may_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["templates.faiss"]


def test_there_may_be_none(tmp_path: Path, store: Store) -> None:
    absent = IndexCache(tmp_path / "absent")
    assert not absent.exists
    assert read(absent, store) is None
    absent.clear()
    assert not (tmp_path / "absent").exists()


def test_it_is_good_for_every_later_state(cache: IndexCache, store: Store) -> None:
    store.enrol("Later", [Template(VECTORS[0], "f" * 64)])
    store.edit.delete("P1")
    found = read(cache, store)
    assert found is not None
    np.testing.assert_array_equal(found.ids, [1, 2, 3, 4, 5])
    with store.reading() as snapshot:
        assert found.follow(snapshot.roll().ids, snapshot.embeddings) == 2
    np.testing.assert_array_equal(found.ids, [1, 3, 4, 5, 6])


def test_it_is_good_for_no_other_past(tmp_path: Path, cache: IndexCache, store: Store) -> None:
    """An older copy of the database is put back by hand, and an id is given once more."""
    database = tmp_path / "gallery.sqlite"
    store.close()
    older = database.read_bytes()
    again = Store(database)
    again.enrol("Ann", [Template(VECTORS[0], "e" * 64)])
    with again.unchanging() as snapshot:
        cache.write(filled(snapshot), snapshot)
    again.close()
    database.write_bytes(older)
    other = Store(database)
    other.enrol("Bob", [Template(VECTORS[1], "f" * 64)])
    with other.reading() as snapshot:
        assert snapshot.roll().ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert read(cache, other) is None
    other.close()


def test_an_index_of_that_very_copy_stays_good(
    tmp_path: Path, cache: IndexCache, store: Store
) -> None:
    database = tmp_path / "gallery.sqlite"
    store.close()
    older = database.read_bytes()
    again = Store(database)
    again.enrol("Ann", [Template(VECTORS[0], "e" * 64)])  # the index is not written anew
    again.close()
    database.write_bytes(older)
    other = Store(database)
    other.enrol("Bob", [Template(VECTORS[1], "f" * 64)])
    found = read(cache, other)
    assert found is not None
    assert found.ids.tolist() == [1, 2, 3, 4, 5]
    other.close()


def test_one_that_is_not_noted_is_good_for_its_own_state_alone(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognition.gallery.search.index_file.note_indexed", lambda _: None)
    cache = IndexCache(tmp_path / "index")
    with store.unchanging() as snapshot:
        cache.write(filled(snapshot), snapshot)
    assert read(cache, store) is not None
    store.enrol("Later", [Template(VECTORS[0], "f" * 64)])
    assert read(cache, store) is None


def test_another_gallery_s_is_not_read(cache: IndexCache, tmp_path: Path) -> None:
    Store.create(tmp_path / "other.sqlite", MODEL)
    other = Store(tmp_path / "other.sqlite")
    assert read(cache, other) is None
    other.close()


def test_no_flipped_bit_is_handed_to_faiss(cache: IndexCache, path: Path, store: Store) -> None:
    content, index = path.read_bytes(), read(cache, store)
    assert index is not None
    rng = random.Random(0)
    positions = {*range(min(400, len(content))), *rng.choices(range(len(content)), k=300)}
    with store.reading() as snapshot:
        for position in sorted(positions):
            flipped = bytearray(content)
            flipped[position] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            assert cache.read(snapshot) is None


def test_no_cut_or_lengthened_file_is_read(cache: IndexCache, path: Path, store: Store) -> None:
    content = path.read_bytes()
    with store.reading() as snapshot:
        for length in range(len(content)):
            path.write_bytes(content[:length])
            assert cache.read(snapshot) is None
        path.write_bytes(content + b"\0")
        assert cache.read(snapshot) is None


def test_blocks_in_another_order_or_from_another_file_are_not_read(
    cache: IndexCache, path: Path, store: Store
) -> None:
    def parts_of(content: bytes) -> list[bytes]:
        line, rest = content.split(b"\n", 1)
        parts = [line + b"\n"]
        while rest:
            length = 36 + int.from_bytes(rest[:4])
            parts.append(rest[:length])
            rest = rest[length:]
        return parts

    good = parts_of(path.read_bytes())
    store.enrol("Later", [Template(VECTORS[0], "f" * 64)])
    with store.unchanging() as snapshot:
        cache.write(filled(snapshot), snapshot)
    own = parts_of(path.read_bytes())
    assert len(own) > 4
    wrong = [
        [*own[:2], own[3], own[2], *own[4:]],
        [*own[:2], *own[3:]],
        [*own[:3], *own[2:]],
        [own[0], *good[1:]],
        [*own[:2], good[2], *own[3:]],
        own[:-1],
        [*own, own[-1]],
    ]
    with store.reading() as snapshot:
        assert cache.read(snapshot) is not None
        for parts in wrong:
            path.write_bytes(b"".join(parts))
            assert cache.read(snapshot) is None


@pytest.mark.parametrize(
    "head", [b"[]", b"{}", b"1", b"{", b"\xff\xfe", b"[" * 900, b"x" * 5000, b"", b"null"]
)
def test_a_foreign_head_is_not_read(
    cache: IndexCache, path: Path, store: Store, head: bytes
) -> None:
    content = path.read_bytes().split(b"\n", 1)[1]
    path.write_bytes(head + b"\n" + content)
    assert read(cache, store) is None


def test_what_is_no_faiss_index_is_not_read_in_spite_of_its_checksum(
    cache: IndexCache, path: Path, store: Store
) -> None:
    head, _ = path.read_bytes().split(b"\n", 1)
    file = io.BytesIO()
    writer = index_file.BlockWriter(file, head, OPEN)
    writer.write(b"no index at all")
    writer.end()
    path.write_bytes(head + b"\n" + file.getvalue())
    assert read(cache, store) is None


def test_a_count_that_is_not_its_own_is_not_believed(
    cache: IndexCache, path: Path, store: Store
) -> None:
    head, _ = path.read_bytes().split(b"\n", 1)
    head = json.dumps(json.loads(head) | {"count": 4}).encode()
    file = io.BytesIO()
    with store.reading() as snapshot:
        index = filled(snapshot)
    writer = index_file.BlockWriter(file, head, OPEN)
    index.write(writer.write)
    writer.end()
    path.write_bytes(head + b"\n" + file.getvalue())
    assert read(cache, store) is None


def test_clear_removes_what_a_killed_process_left(cache: IndexCache, path: Path) -> None:
    (path.parent / ".0123456789abcdef.faiss").write_bytes(b"half an index")
    cache.clear()
    assert list(path.parent.iterdir()) == []
    assert not cache.exists


def test_a_folder_in_its_place_is_not_read(cache: IndexCache, path: Path, store: Store) -> None:
    path.unlink()
    path.mkdir()
    assert read(cache, store) is None


def test_sealed_blocks_are_opened_by_their_key_in_their_gallery_and_place_alone() -> None:
    seal, head, content = KeyedSeal(b"k" * 32, "this"), b"head", bytes(range(200))
    file = io.BytesIO()
    writer = index_file.BlockWriter(file, head, seal)
    assert writer.write(content) == len(content)
    writer.end()
    written = file.getvalue()
    assert content[:16] not in written
    others = [OPEN, KeyedSeal(b"K" * 32, "this"), KeyedSeal(b"k" * 32, "another")]
    for other in (seal, *others):
        reader = index_file.BlockReader(io.BytesIO(written), head, other)
        is_own = other is seal
        assert (reader.read(1000) == content) is is_own
        if other is not OPEN:  # which opens everything, and hands on what is sealed
            assert reader.is_whole is is_own
    assert index_file.BlockReader(io.BytesIO(written), b"HEAD", seal).read(1) == b""
