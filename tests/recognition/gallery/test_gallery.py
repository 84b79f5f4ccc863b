import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from clocks import Clock

from data.errors import ArgumentError, GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.search.index_file import IndexCache
from recognition.gallery.storage import database
from recognition.gallery.templates import EmbeddingModel, Template

MakeTemplate = Callable[..., Template]


def closest(gallery: Gallery, template: Template) -> str | None:
    matches = gallery.search(template.embedding[np.newaxis], 1)[0]
    return matches[0].person if matches else None


def index_file(folder: Path) -> Path:
    return folder / "index" / "templates.faiss"


# Opening


def test_one_that_does_not_exist_does_not_look_empty(folder: Path, model: EmbeddingModel) -> None:
    for wanted in (None, model):
        with pytest.raises(GalleryError, match=r"nobody is enrolled in .*: enrol somebody first"):
            Gallery.open(folder, model=wanted)
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        Gallery.open(folder, create=True)
    assert not folder.exists()
    assert not Gallery.exists(folder)


def test_it_is_the_owner_s_alone(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0, crop=b"crop")])
    closest(gallery, make_template(0))
    found = {path.relative_to(folder.parent): path.stat().st_mode for path in folder.rglob("*")}
    assert {stat.S_IMODE(mode) for mode in found.values() if stat.S_ISREG(mode)} == {0o600}
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert len(found) == 5  # database, its log and its shared memory, the index and its folder


@pytest.mark.parametrize(
    "other",
    [
        EmbeddingModel("resnet18", "ab" * 32, 16),
        EmbeddingModel("mobilefacenet", "cd" * 32, 16),
        EmbeddingModel("mobilefacenet", "ab" * 32, 32),
    ],
    ids=["model", "weights", "dimension"],
)
def test_another_model_is_refused_and_both_are_named(
    gallery: Gallery, folder: Path, make_template: MakeTemplate, other: EmbeddingModel
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    for create in (False, True):
        with pytest.raises(GalleryError) as caught:
            Gallery.open(folder, model=other, create=create)
        assert str(gallery.model) in str(caught.value)
        assert str(other) in str(caught.value)
    assert closest(gallery, make_template(0)) == "Ann"


def test_one_without_anybody_takes_up_another_model_when_somebody_is_to_be_enrolled(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    other = EmbeddingModel("resnet18", "cd" * 32, 32)
    assert closest(gallery, make_template(0)) is None
    with pytest.raises(GalleryError, match="was made with"):
        Gallery.open(folder, model=other)
    with Gallery.open(folder, model=other, create=True) as adopted:
        adopted.enrol("Ann", [make_template(0, dimension=32)])
        assert closest(adopted, make_template(0, dimension=32)) == "Ann"
    assert closest(gallery, make_template(0, dimension=32)) == "Ann"


@pytest.mark.parametrize("rest", ["index/templates.faiss", "gallery.sqlite-wal"])
def test_a_missing_database_is_not_taken_for_an_empty_gallery(
    gallery: Gallery, folder: Path, model: EmbeddingModel, make_template: MakeTemplate, rest: str
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    closest(gallery, make_template(0))
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    (copy / "gallery.sqlite").unlink()
    for path in [path for path in copy.rglob("*") if path.is_file()]:
        if path != copy / rest:
            path.unlink()
    with pytest.raises(GalleryError, match="is missing beside its own files: restore it"):
        Gallery.open(copy, model=model, create=True)
    assert not (copy / "gallery.sqlite").exists()


@pytest.mark.parametrize("content", [b"", b"noise" * 1000])
def test_an_unusable_database_is_refused_and_left_alone(
    folder: Path, model: EmbeddingModel, content: bytes
) -> None:
    folder.mkdir(parents=True)
    (folder / "gallery.sqlite").write_bytes(content)
    with pytest.raises(GalleryError):
        Gallery.open(folder, model=model, create=True)
    assert (folder / "gallery.sqlite").read_bytes() == content
    assert [path.name for path in folder.iterdir()] == ["gallery.sqlite"]


def test_on_a_read_only_disk_it_can_be_read(
    gallery: Gallery, folder: Path, make_template: MakeTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    gallery.close()
    before = (folder / "gallery.sqlite").read_bytes()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with Gallery.open(folder) as opened:
        assert closest(opened, make_template(0)) == "Ann"
        with pytest.raises(GalleryError, match="cannot be written: check the permissions"):
            opened.enrol("Bob", [make_template(1)])
        assert [person.name for person in opened.people()] == ["Ann"]
        assert not list(folder.glob("gallery.sqlite-*"))
    assert (folder / "gallery.sqlite").read_bytes() == before


# Searching


def test_search_asks_for_sensible_things(gallery: Gallery, make_template: MakeTemplate) -> None:
    gallery.enrol("Ann", [make_template(0)])
    query = make_template(1).embedding
    with pytest.raises(ArgumentError, match="at least 1"):
        gallery.search(query[np.newaxis], 0)
    for bad in (query, 2 * query[np.newaxis], np.full((1, 16), np.nan), query[np.newaxis, :9]):
        with pytest.raises(GalleryError):
            gallery.search(bad, 1)
    assert gallery.search(np.empty((0, 16), np.float32), 1) == []
    assert len(gallery.search(np.stack([query, query]), 5)) == 2


def test_the_next_process_finds_the_index_ready(
    gallery: Gallery, folder: Path, make_template: MakeTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.enrol("Ann", [make_template(0), make_template(1)])
    assert not index_file(folder).exists()
    assert closest(gallery, make_template(1)) == "Ann"
    gallery.enrol("Bob", [make_template(2)])
    assert closest(gallery, make_template(2)) == "Bob"
    gallery.close()
    monkeypatch.setattr("recognition.gallery.storage.snapshot.Snapshot.embeddings", None)
    with Gallery.open(folder) as again:
        assert closest(again, make_template(1)) == "Ann"
        assert closest(again, make_template(2)) == "Bob"


@pytest.mark.parametrize("fault", ["missing", "stale", "foreign", "flipped", "cut", "empty"])
def test_a_wrong_index_is_made_anew(
    gallery: Gallery,
    folder: Path,
    model: EmbeddingModel,
    make_template: MakeTemplate,
    tmp_path: Path,
    fault: str,
) -> None:
    people = {"Ann": make_template(0), "Bob": make_template(1), "Eve": make_template(2)}
    for name, template in list(people.items())[:2]:
        gallery.enrol(name, [template])
    closest(gallery, people["Ann"])
    path = index_file(folder)
    stale = path.read_bytes()
    gallery.erase("Ann")
    gallery.enrol("Eve", [people["Eve"]])
    closest(gallery, people["Eve"])
    gallery.close()
    good = path.read_bytes()
    with Gallery.open(tmp_path / "other", model=model, create=True) as other:
        other.enrol("Bob", [people["Eve"]])
        other.enrol("Eve", [people["Bob"]])
        closest(other, people["Eve"])
    spoiled = {
        "stale": stale,
        "foreign": index_file(tmp_path / "other").read_bytes(),
        "flipped": bytes([*good[:-40], good[-40] ^ 1, *good[-39:]]),
        "cut": good[:-1],
        "empty": b"",
    }
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(spoiled[fault])
    with Gallery.open(folder) as again:
        assert closest(again, people["Bob"]) == "Bob"
        assert closest(again, people["Eve"]) == "Eve"
    cached = IndexCache(folder / "index")
    assert cached.exists
    assert path.read_bytes() != spoiled.get(fault)


def test_an_index_that_cannot_be_kept_costs_nothing_but_time(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    (folder / "index").write_bytes(b"a file where the folder should be")
    gallery.enrol("Ann", [make_template(0)])
    assert closest(gallery, make_template(0)) == "Ann"
    gallery.close()


def test_it_follows_what_others_change(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    ann, bob = make_template(0), make_template(1)
    with Gallery.open(folder) as other:
        assert closest(gallery, ann) is None
        other.enrol("Ann", [ann])
        assert closest(gallery, ann) == "Ann"
        other.edit.rename("Ann", "Anne")
        assert closest(gallery, ann) == "Anne"
        other.enrol("Bob", [bob])
        other.edit.delete("Anne")
        assert closest(gallery, ann) == "Bob"
        other.edit.restore("Anne")
        assert closest(gallery, ann) == "Anne"
        other.erase("Anne")
        assert closest(gallery, ann) == "Bob"
        other.erase("Bob")
        assert closest(gallery, ann) is None


def test_a_damaged_template_is_told_and_erasing_its_person_mends_it(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    gallery.enrol("Bob", [make_template(1)])
    assert closest(gallery, make_template(0)) == "Ann"
    gallery.enrol("Bob", [make_template(2)])
    connection = sqlite3.connect(folder / "gallery.sqlite")
    with connection:
        connection.execute("UPDATE template SET embedding = zeroblob(64) WHERE id = 3")
    connection.close()
    for _ in range(2):
        with pytest.raises(GalleryError, match="template of 'Bob' is damaged"):
            closest(gallery, make_template(0))
    gallery.erase("Bob")
    assert closest(gallery, make_template(1)) == "Ann"


def test_a_gallery_that_was_removed_is_not_written_back(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    closest(gallery, make_template(0))
    gallery.enrol("Bob", [make_template(1)])
    closest(gallery, make_template(0))
    shutil.rmtree(folder)
    assert not gallery.is_in_place
    gallery.close()
    assert not folder.exists()


def test_threads_share_one(gallery: Gallery, make_template: MakeTemplate) -> None:
    failures: list[str] = []

    def work(number: int) -> None:
        for i in range(10):
            template = make_template(100 * number + i)
            gallery.enrol(f"P{number}", [template])
            if closest(gallery, template) != f"P{number}":
                failures.append(f"{number}, {i}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {p.name: p.photographs for p in gallery.people()} == {f"P{n}": 10 for n in range(4)}


# Erasing


def traces(folder: Path, *secrets: bytes) -> list[str]:
    """The files under a folder that hold any of some bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        str(path.relative_to(folder))
        for path in files
        if any(secret in path.read_bytes() for secret in secrets)
    ]


def test_erase_leaves_no_byte_in_any_file(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    rng = np.random.default_rng(0)
    secrets: dict[str, tuple[bytes, ...]] = {}
    for seed in range(40):
        name = f"{rng.bytes(rng.integers(4, 60)).hex()}"
        template = make_template(seed, crop=rng.bytes(3000))
        template = replace(template, photograph_sha256=rng.bytes(32).hex())
        gallery.enrol(name, [template])
        crop = template.crop or b""
        secrets[name] = (name.encode(), template.embedding.tobytes(), crop[:64], crop[-64:])
        secrets[name] += (template.photograph_sha256.encode(),)
    closest(gallery, make_template(0))  # writes the index
    with Gallery.open(folder) as other:  # keeps the log alive, as another process would
        closest(other, make_template(0))
        for seed, (name, secret) in enumerate(secrets.items()):
            if seed % 2:
                continue
            assert set(traces(folder, *secret))
            (folder / "index" / ".killed.faiss").write_bytes(secret[1])
            gallery.erase(name)
            assert traces(folder, *secret) == []
            assert closest(other, make_template(seed)) != name
            assert traces(folder, *secret) == []
    gallery.close()
    for seed, secret in enumerate(secrets.values()):
        assert bool(traces(folder, *secret)) == bool(seed % 2)


def test_a_stale_index_is_not_written_after_an_erasure(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    gallery.enrol("Bob", [make_template(1)])
    other = Gallery.open(folder)
    closest(other, make_template(0))
    gallery.enrol("Bob", [make_template(2)])
    closest(other, make_template(0))  # its index has changed since it was kept
    gallery.erase("Ann")
    other.close()  # would keep the index, but that still holds Ann
    assert traces(folder, make_template(0).embedding.tobytes()) == []


@pytest.fixture
def overdue(gallery: Gallery, folder: Path, make_template: MakeTemplate, clock: Clock) -> Gallery:
    """A gallery with Bob, from which Ann, of the first template, was deleted 32 days ago.

    That her time is over was first seen yesterday.
    """
    gallery.enrol("Ann", [make_template(0)])
    closest(gallery, make_template(0))
    gallery.edit.delete("Ann")
    gallery.enrol("Bob", [make_template(1)])
    connection = sqlite3.connect(folder / "gallery.sqlite")
    with connection:
        long_ago = (datetime.now(UTC) - timedelta(days=31)).isoformat()
        connection.execute("UPDATE person SET deleted_at = ? WHERE name = 'Ann'", (long_ago,))
    connection.close()
    assert gallery.people(deleted=True) == ()
    assert closest(gallery, make_template(0)) == "Bob"
    assert traces(folder, make_template(0).embedding.tobytes(), b"Ann")
    clock.forward(days=1, minutes=1)
    return gallery


CHANGES = [
    lambda gallery: gallery.edit.rename("Bob", "Bo"),
    lambda gallery: gallery.erase("Bob"),
    lambda gallery: gallery.edit.restore("Ann"),
    lambda gallery: gallery.edit.delete("Zoe"),
    lambda gallery: gallery.erase("Zoe"),
]


@pytest.mark.parametrize("change", CHANGES, ids=["rename", "erase", "restore", "none", "nobody"])
def test_whoever_was_deleted_long_ago_is_wiped_by_the_next_change_done_or_refused(
    overdue: Gallery,
    folder: Path,
    make_template: MakeTemplate,
    change: Callable[[Gallery], None],
) -> None:
    with suppress(GalleryError):
        change(overdue)
    assert traces(folder, make_template(0).embedding.tobytes(), b"Ann") == []
    assert "Ann" not in [person.name for person in overdue.people()]


def test_whoever_was_deleted_long_ago_is_wiped_when_the_gallery_is_opened(
    overdue: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    with Gallery.open(folder) as opened:
        assert traces(folder, make_template(0).embedding.tobytes(), b"Ann") == []
        assert closest(opened, make_template(0)) == "Bob"


def test_on_a_read_only_disk_whoever_was_deleted_long_ago_is_not_listed(
    overdue: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overdue.close()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with Gallery.open(folder) as opened:
        assert opened.people(deleted=True) == ()
        assert [person.name for person in opened.people()] == ["Bob"]


def test_what_an_interrupted_erasure_left_the_next_change_wipes(
    gallery: Gallery, folder: Path, make_template: MakeTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = make_template(0).embedding.tobytes()
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    gallery.enrol("Ann", [make_template(0)])
    reader = sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM person").fetchall()
    with Gallery.open(folder) as impatient:
        with pytest.raises(GalleryError, match="the next change wipes them"):
            impatient.erase("Ann")
        assert impatient.people() == ()
        impatient.enrol("Bob", [make_template(1)])  # is done, although traces still remain
        assert traces(folder, secret)
        reader.execute("COMMIT")
        impatient.edit.rename("Bob", "Bo")
    assert traces(folder, secret) == []
    reader.close()


def test_an_index_that_cannot_be_removed_is_told(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    (folder / "index" / "templates.faiss").mkdir(parents=True)
    with pytest.raises(GalleryError, match="cannot remove the index"):
        gallery.erase("Ann")
    (folder / "index" / "templates.faiss").rmdir()
    gallery.enrol("Bob", [make_template(1)])
    assert traces(folder, b"Ann") == []


# Several processes at once

ENROLS = """
import sys
from pathlib import Path
import numpy as np
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template

folder, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
model = EmbeddingModel("net", "ab" * 32, 16)
with Gallery.open(folder, model=model, create=True) as gallery:
    for i in range(count):
        seed = number * count + i
        vector = np.random.default_rng(seed).normal(size=16)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        gallery.enrol(f"P{seed % 5}", [Template(unit, f"{seed:064x}", crop=bytes([number]) * 500)])
        if i % 5 == 0:
            gallery.enrol(f"gone {number}", [Template(-unit, f"{seed + 10**6:064x}")])
            gallery.search(unit[np.newaxis], 3)
            gallery.erase(f"gone {number}")
"""


def test_four_processes_enrol_erase_and_search_at_once(
    folder: Path, make_template: MakeTemplate
) -> None:
    processes, count = 4, 25
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ENROLS, folder, str(i), str(count)], env=environment
        )
        for i in range(processes)
    ]
    assert [process.wait(timeout=280) for process in running] == [0] * processes
    with Gallery.open(folder) as gallery:
        found = {person.name: person.photographs for person in gallery.people()}
        assert found == {f"P{i}": processes * count // 5 for i in range(5)}
        for seed in range(processes * count):
            assert closest(gallery, make_template(seed)) == f"P{seed % 5}"


# Several people at once


def test_several_people_are_enrolled_as_one_change(
    gallery: Gallery, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    people = [
        ("Ann", [make_template(0), make_template(1)]),
        ("Bob", [make_template(2), make_template(1)]),
        ("Cyd", []),
    ]
    assert gallery.enrol_all(people) == [{0: "Ann"}, {1: "Ann"}, {}]
    assert {one.name: one.photographs for one in gallery.people()} == {"Ann": 2, "Bob": 1}
    assert gallery.enrol_all([]) == []
    assert gallery.edit.undo() == "photographs of 'Bob' enrolled"  # each by itself
    assert {one.name: one.photographs for one in gallery.people()} == {"Ann": 2}


def test_one_bad_template_among_several_people_and_nobody_is_enrolled(
    gallery: Gallery, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    bad = [("Bob", [make_template(1)]), ("Cyd", [make_template(2, dimension=17)])]
    with pytest.raises(GalleryError):
        gallery.enrol_all(bad)
    with pytest.raises(ArgumentError):
        gallery.enrol_all([("Bob", [make_template(1)]), ("", [make_template(2)])])
    assert {one.name: one.photographs for one in gallery.people()} == {"Ann": 1}


def test_the_photographs_of_a_name_are_known(gallery: Gallery, make_template: MakeTemplate) -> None:
    assert gallery.photographs_known("Ann") == frozenset()
    gallery.enrol("Ann", [make_template(0), make_template(1)])
    gallery.enrol("Bob", [make_template(2)])
    ann = {make_template(seed).photograph_sha256 for seed in (0, 1)}
    assert gallery.photographs_known("Ann") == ann
    gallery.edit.delete("Ann")
    assert gallery.photographs_known("Ann") == frozenset()
    gallery.enrol("Ann", [make_template(3)])
    assert gallery.photographs_known("Ann") == {make_template(3).photograph_sha256}


def test_the_photographs_of_an_encrypted_gallery_are_known_to_whoever_opens_it(
    gallery: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(0)])
    gallery.encrypt("tidal quartz nomad lantern")
    with Gallery.open(folder, find_secret=lambda _: "tidal quartz nomad lantern") as opened:
        assert opened.photographs_known("Ann") == {make_template(0).photograph_sha256}


def test_whoever_only_lists_or_edits_people_does_not_wait_for_the_search_library(
    folder: Path, model: EmbeddingModel, make_template: Callable[..., Template]
) -> None:
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol("Ann", [make_template(1)])
        gallery.search(make_template(1).embedding[None], 1)  # and there is an index on disk
    code = (
        "import sys; from pathlib import Path; from recognition.gallery.gallery import Gallery\n"
        "with Gallery.open(Path(sys.argv[1])) as gallery:\n"
        "    gallery.edit.rename('Ann', 'Anne'); assert gallery.people()[0].name == 'Anne'\n"
        "    gallery.edit.delete('Anne'); gallery.edit.undo(); gallery.erase('Anne')\n"
        "assert 'faiss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=True)
