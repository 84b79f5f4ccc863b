import json
import random
import stat
from pathlib import Path

import numpy as np
import pytest

from recognition.gallery.cache import IndexCache
from recognition.gallery.index import TemplateIndex
from recognition.gallery.sealing import OPEN, KeyedSeal, Seal
from recognition.gallery.snapshot import Roll

D = 8
IDS = np.arange(1, 6)
VECTORS = np.eye(D, dtype=np.float32)[:5]


def roll_of(ids: np.ndarray) -> Roll:
    return Roll(ids=ids, people=ids, names={})


ROLL = roll_of(IDS)


@pytest.fixture
def index() -> TemplateIndex:
    filled = TemplateIndex(D)
    filled.follow(IDS, lambda ids: VECTORS[ids - 1])
    return filled


@pytest.fixture
def cache(tmp_path: Path, index: TemplateIndex) -> IndexCache:
    written = IndexCache(tmp_path / "index")
    written.write(index, ROLL, "state-1", OPEN)
    return written


@pytest.fixture
def path(cache: IndexCache, tmp_path: Path) -> Path:
    return tmp_path / "index" / "templates.faiss"


def test_what_was_written_is_read_back(cache: IndexCache) -> None:
    read = cache.read(ROLL, D, "state-1", OPEN)
    assert read is not None
    similarities, ids = read.search(VECTORS[2:3], 1)
    assert (similarities.item(), ids.item()) == (1.0, 3)


def test_only_the_owner_may_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["templates.faiss"]


def test_there_may_be_none(tmp_path: Path) -> None:
    absent = IndexCache(tmp_path / "absent")
    assert not absent.exists
    assert absent.read(ROLL, D, "state-1", OPEN) is None
    absent.clear()
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("ids", "dimension", "revision"),
    [
        (IDS, D, "state-2"),
        (IDS, D + 1, "state-1"),
        (IDS[:-1], D, "state-1"),
        (np.arange(2, 7), D, "state-1"),
        (np.arange(0), D, "state-1"),
    ],
    ids=["stale or another's", "other dimension", "other count", "other ids", "empty store"],
)
def test_an_index_of_another_state_is_not_read(
    cache: IndexCache, ids: np.ndarray, dimension: int, revision: str
) -> None:
    assert cache.read(roll_of(ids), dimension, revision, OPEN) is None


def test_no_flipped_bit_names_another_person(cache: IndexCache, path: Path) -> None:
    content = path.read_bytes()
    rng = random.Random(0)
    positions = {*range(min(300, len(content))), *rng.choices(range(len(content)), k=500)}
    for position in sorted(positions):
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        read = cache.read(ROLL, D, "state-1", OPEN)
        # A flip that only changes how the header is written may pass; what FAISS sees may not.
        assert read is None or read.to_bytes() == content.split(b"\n", 1)[1]
        assert read is None or position < content.index(b"\n")


def test_no_cut_file_is_read(cache: IndexCache, path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert cache.read(ROLL, D, "state-1", OPEN) is None
    path.write_bytes(content + b"\0")
    assert cache.read(ROLL, D, "state-1", OPEN) is None


@pytest.mark.parametrize(
    "header", [b"[]", b"{}", b"1", b"{", b"\xff\xfe", b"[" * 900, b"x" * 5000, b"", b"null"]
)
def test_a_foreign_header_is_not_read(cache: IndexCache, path: Path, header: bytes) -> None:
    content = path.read_bytes().split(b"\n", 1)[1]
    path.write_bytes(header + b"\n" + content)
    assert cache.read(ROLL, D, "state-1", OPEN) is None


def test_what_is_no_faiss_index_is_not_read_in_spite_of_its_checksum(
    cache: IndexCache, path: Path
) -> None:
    import hashlib

    line, _ = path.read_bytes().split(b"\n", 1)
    content = b"no index at all"
    header = json.loads(line) | {"sha256": hashlib.sha256(content).hexdigest()}
    path.write_bytes(json.dumps(header).encode() + b"\n" + content)
    assert cache.read(ROLL, D, "state-1", OPEN) is None


def test_clear_removes_what_a_killed_process_left(cache: IndexCache, path: Path) -> None:
    (path.parent / ".0123456789abcdef.faiss").write_bytes(b"half an index")
    cache.clear()
    assert list(path.parent.iterdir()) == []
    assert not cache.exists


def test_a_folder_in_its_place_is_not_read(cache: IndexCache, path: Path) -> None:
    path.unlink()
    path.mkdir()
    assert cache.read(ROLL, D, "state-1", OPEN) is None


def test_a_sealed_index_is_read_for_its_gallery_its_state_and_its_people_alone(
    tmp_path: Path, index: TemplateIndex
) -> None:
    cache, seal = IndexCache(tmp_path / "sealed"), KeyedSeal(b"k" * 32, "this")
    cache.write(index, ROLL, "state-1", seal)
    file = tmp_path / "sealed" / "templates.faiss"
    assert not any(vector.tobytes() in file.read_bytes() for vector in VECTORS)
    read = cache.read(ROLL, D, "state-1", seal)
    assert read is not None
    assert read.to_bytes() == index.to_bytes()
    swapped = Roll(ids=IDS, people=IDS[::-1].copy(), names={})
    others: list[tuple[Roll, Seal]] = [
        (ROLL, OPEN),
        (ROLL, KeyedSeal(b"K" * 32, "this")),
        (ROLL, KeyedSeal(b"k" * 32, "another")),
        (swapped, seal),
    ]
    for roll, other in others:
        assert cache.read(roll, D, "state-1", other) is None
