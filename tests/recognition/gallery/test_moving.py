"""People out of a gallery and into one: backup, restoration, export, import, copy."""

import hashlib
import json
import math
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from data.errors import AppError, ArgumentError, GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage.records import Added, checksum, fingerprints
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.archive import VERSION
from recognition.gallery.transfer.backup import back_up, restore
from recognition.gallery.transfer.copies import copy_gallery
from recognition.gallery.transfer.exports import export
from recognition.gallery.transfer.imports import import_from, thresholds_in
from recognition.results import Calibration, Quality, Use

MakeTemplate = Callable[..., Template]

GROUPS = ["../../family", "staff"]
QUALITY = Quality(size=40.5, sharpness=1 / 3, turn=-0.1, nod=0.05, brightness=0.45)
CALIBRATION = Calibration(
    use=Use.VERIFY, rate=0.01, threshold=0.4, threshold_low=0.3, threshold_high=0.5, rate_low=0.005,
    rate_high=0.02, comparisons=1000, rise=None, fall=None, offset=None, prior=0.1,
    calibration_error=None, weights_digest="ab" * 32, data="people", people=3, templates=5,
    calibrated_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


def fill(gallery: Gallery, make_template: MakeTemplate) -> Gallery:
    """Crops, qualities and groups, somebody deleted, hostile names, an exclusion."""
    first = replace(make_template(0, crop=b"\x89PNG" + bytes(range(256)) * 400), quality=QUALITY)
    gallery.enrol("Ann", [first, make_template(1, crop=b"\xff\xd8jpeg")], groups=GROUPS)
    gallery.enrol("../../Zoë; DROP TABLE person", [make_template(2)])
    gallery.enrol("Gone", [make_template(3)])
    gallery.edit.exclude("Ann", make_template(4))
    gallery.edit.delete("Gone")
    gallery.calibrate([CALIBRATION])
    return gallery


@pytest.fixture
def full(gallery: Gallery, make_template: MakeTemplate) -> Gallery:
    return fill(gallery, make_template)


def everything(gallery: Gallery) -> list[tuple[object, ...]]:
    """All that is kept of everybody, to the last bit, in order."""

    def face(template: Template) -> tuple[object, ...]:
        bits = template.embedding.tobytes()
        return template.photograph_sha256, bits, template.crop, template.quality

    with gallery.records() as records:
        return [
            (one.name, one.enrolled_at, one.deleted_at, one.groups,
             *map(face, one.templates), "not", *map(face, one.exclusions))
            for one in records
        ]  # fmt: skip


def into(folder: Path) -> Callable[[EmbeddingModel], Gallery]:
    return lambda model: Gallery.open(folder, model=model, create=True)


# Export and import


@pytest.mark.parametrize("name", ["people", "people.zip"])
def test_what_is_exported_and_imported_is_the_same_to_the_last_bit(
    full: Gallery, tmp_path: Path, name: str
) -> None:
    manifest = export(full, tmp_path / name)
    assert (manifest.people, manifest.templates, manifest.exclusions, manifest.crops) == (
        3,
        4,
        1,
        2,
    )
    added = import_from(tmp_path / name, into(tmp_path / "other"))
    assert (added.people, added.new, added.known) == (3, 4, 0)
    with Gallery.open(tmp_path / "other") as other:
        assert everything(other) == everything(full)
        assert other.calibration(Use.VERIFY) is None
        assert [person.name for person in other.people(deleted=True)] == ["Gone"]
        with full.records() as records:
            assert manifest.checksum == checksum(d for one in records for d in fingerprints(one))


def test_thresholds_are_shown_and_taken_only_where_that_is_asked_for(
    full: Gallery, tmp_path: Path
) -> None:
    """They decide who is named, and an export may be a stranger's."""
    export(full, tmp_path / "people")
    assert thresholds_in(tmp_path / "people") == (CALIBRATION,)
    own = replace(CALIBRATION, threshold=0.45, data="own")
    for folder, before, expected in (
        ("none", [], CALIBRATION),
        ("own", [own], own),
    ):
        open_gallery = into(tmp_path / folder)
        import_from(tmp_path / "people", open_gallery)
        with Gallery.open(tmp_path / folder) as other:
            assert other.calibration(Use.VERIFY) is None
            other.calibrate(before)
        import_from(tmp_path / "people", open_gallery, thresholds=True)
        with Gallery.open(tmp_path / folder) as other:
            assert other.calibration(Use.VERIFY) == expected


def test_importing_again_changes_nothing_and_brings_what_is_lacking(
    full: Gallery, make_template: MakeTemplate, tmp_path: Path
) -> None:
    export(full, tmp_path / "people")
    before = everything(full)
    assert import_from(tmp_path / "people", into_same(full)).known == 4
    assert everything(full) == before
    full.erase("Ann")
    full.enrol("Eve", [make_template(1)])
    added = import_from(tmp_path / "people", into_same(full))
    assert (added.new, added.known, added.others) == (1, 2, [("Ann", "Eve")])
    assert {one.name: one.photographs for one in full.people()}["Ann"] == 1


def test_an_import_is_taken_back_as_one_and_then_what_was_done_before(
    full: Gallery, make_template: MakeTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches of two people, and with everything that a record may bring."""
    monkeypatch.setattr("recognition.gallery.transfer.imports.BATCH", 2)
    export(full, tmp_path / "people")
    with Gallery.open(tmp_path / "other", model=full.model, create=True) as other:
        other.enrol("Bob", [make_template(71)])
        states = [everything(other)]
        other.enrol("Ann", [make_template(72)])
        states.append(everything(other))
        added = import_from(tmp_path / "people", into_same(other))
        assert added.new == 4
        assert everything(other) != states[-1]
        assert other.operations()[0].what == "people imported"
        assert other.edit.undo() == "people imported"
        assert everything(other) == states[-1]
        assert other.edit.undo() == "photographs of 'Ann' enrolled"
        assert everything(other) == states[0]


def test_an_import_too_large_to_be_written_down_cannot_be_undone_nor_what_was_before(
    full: Gallery, make_template: MakeTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(full, tmp_path / "people")
    monkeypatch.setattr("recognition.gallery.storage.records.MOST_ROWS", 3)
    with Gallery.open(tmp_path / "other", model=full.model, create=True) as other:
        other.enrol("Zoe", [make_template(71)])
        import_from(tmp_path / "people", into_same(other))
        with pytest.raises(GalleryError, match="nothing to undo"):
            other.edit.undo()


def into_same(gallery: Gallery) -> Callable[[EmbeddingModel], Gallery]:
    """Import into a gallery that stays open."""

    class Open:
        def __enter__(self) -> Gallery:
            return gallery

        def __exit__(self, *_: object) -> None: ...

    return lambda model: Open()  # type: ignore[return-value]


def test_the_format_is_what_it_is_said_to_be(
    gallery: Gallery, make_template: MakeTemplate, tmp_path: Path
) -> None:
    fill(gallery, make_template)
    export(gallery, tmp_path / "people")
    found = {path.relative_to(tmp_path / "people").as_posix() for path in
             (tmp_path / "people").rglob("*") if path.is_file()}  # fmt: skip
    assert found == {
        "manifest.json", "people.jsonl", "embeddings.safetensors", "crops/000000001.jpg",
        "crops/000000002.png",
    } or found == {
        "manifest.json", "people.jsonl", "embeddings.safetensors", "crops/000000001.png",
        "crops/000000002.jpg",
    }  # fmt: skip
    manifest = json.loads((tmp_path / "people" / "manifest.json").read_bytes())
    assert (manifest["format"], manifest["version"]) == ("likeness-gallery", 2)
    assert manifest["model"] == {
        "model_id": "mobilefacenet", "weights_digest": "ab" * 32, "dimension": 16,
        "detector": "mtcnn/1", "alignment": "",
    }  # fmt: skip
    tensors = load_file(tmp_path / "people" / "embeddings.safetensors")
    assert {name: table.shape for name, table in tensors.items()} == {
        "templates": (4, 16), "exclusions": (1, 16)
    }  # fmt: skip
    for line in (tmp_path / "people" / "people.jsonl").read_text().splitlines():
        person = json.loads(line)
        for one in person["templates"]:
            seed = int(one["photograph_sha256"], 16)
            np.testing.assert_array_equal(
                tensors["templates"][one["row"]], make_template(seed).embedding
            )
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "people").rglob("*.*")}
    assert modes == {0o600}


def alter(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "not JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    "deep JSON": lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
    "huge": lambda folder: (folder / "manifest.json").write_text(" " * 2_000_000),
    "newer": lambda folder: alter(folder, version=VERSION + 1),
    "other format": lambda folder: alter(folder, format="x"),
    "counts": lambda folder: alter(
        folder, counts={"people": 3, "templates": 2**39, "exclusions": 1, "crops": 2}
    ),
    "checksum": lambda folder: alter(folder, checksum="0" * 64),
    "a bit of a vector": lambda folder: flip(folder / "embeddings.safetensors", -9),
    "a bit of a line": lambda folder: flip(folder / "people.jsonl", 12),
    "a bit of a crop": lambda folder: flip(next((folder / "crops").glob("*.png")), 50),
    "a crop missing": lambda folder: next((folder / "crops").iterdir()).unlink(),
    "a crop that is a link": lambda folder: link(next((folder / "crops").iterdir())),
    "vectors cut": lambda folder: (folder / "embeddings.safetensors").write_bytes(
        (folder / "embeddings.safetensors").read_bytes()[:-4]
    ),
}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the lines of an export, and let the manifest agree."""
    path = folder / "people.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    members = json.loads((folder / "manifest.json").read_text())["members"]
    content = path.read_bytes()
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    alter(folder, members=members | {"people.jsonl": about})


def test_an_export_without_groups_is_of_the_version_before_there_were_any(
    full: Gallery, tmp_path: Path
) -> None:
    full.edit.group(["Ann"], remove=GROUPS)
    export(full, tmp_path / "people")
    rewrite(tmp_path / "people", lambda line: line.pop("groups"))
    manifest = json.loads((tmp_path / "people" / "manifest.json").read_text())
    assert manifest["version"] == 1
    del manifest["counts"]["groups"]
    alter(tmp_path / "people", counts=manifest["counts"])
    assert import_from(tmp_path / "people", into(tmp_path / "other")).new == 4
    with Gallery.open(tmp_path / "other") as other:
        assert everything(other) == everything(full)


@pytest.mark.parametrize("groups", [["x", "x"], [" x"], ["x\n"], [7], "x", None, {"x": 1}])
def test_groups_that_are_none_are_refused(full: Gallery, tmp_path: Path, groups: object) -> None:
    export(full, tmp_path / "people")
    rewrite(tmp_path / "people", lambda line: line.update(groups=groups))
    with pytest.raises(GalleryError, match=r"line 1 of people\.jsonl is damaged"):
        import_from(tmp_path / "people", into(tmp_path / "other"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("threshold", value) for value in (math.nan, math.inf, -5, "0.4", None, True)),
        *(("prior", value) for value in (0, 1, 2, math.nan)),
        *(("rate", value) for value in (0, 1, -0.1)),
        *(("templates", value) for value in (0, 2.5, 10**30)),
        ("threshold_high", math.inf),
        ("rate_high", 7),
        ("people", 0),
        ("comparisons", 2.5),
        ("rise", 1.0),  # without the other two
        ("calibration_error", -1),
        ("calibrated_at", "yesterday"),
        ("data", 7),
    ],
)
def test_a_calibration_that_cannot_be_one_is_refused_with_all_the_rest(
    full: Gallery, tmp_path: Path, name: str, value: object
) -> None:
    export(full, tmp_path / "people")
    manifest = json.loads((tmp_path / "people" / "manifest.json").read_text())
    alter(tmp_path / "people", calibrations=[manifest["calibrations"][0] | {name: value}])
    with pytest.raises(GalleryError, match=r"manifest\.json is damaged"):
        import_from(tmp_path / "people", into(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_backup_with_a_threshold_that_cannot_be_one_is_refused(
    folder: Path, gallery: Gallery, make_template: MakeTemplate, tmp_path: Path
) -> None:
    gallery.enrol("Ann", [make_template(1)])
    gallery.calibrate([CALIBRATION])
    back_up(folder, tmp_path / "backup")
    with sqlite3.connect(tmp_path / "backup") as connection:
        connection.execute("UPDATE calibration SET prior = 2")
    connection.close()
    with pytest.raises(GalleryError, match="the threshold for verify cannot be one"):
        restore(tmp_path / "backup", folder)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    copy = path.with_name("copy")
    path.rename(copy)
    path.symlink_to(copy)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_refused_and_nothing_changes(
    full: Gallery, folder: Path, tmp_path: Path, damage: str
) -> None:
    export(full, tmp_path / "people")
    DAMAGES[damage](tmp_path / "people")
    before = everything(full)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(GalleryError) as caught:
            import_from(tmp_path / "people", into(target))
        assert "\n" not in str(caught.value)
    assert everything(full) == before
    assert not (tmp_path / "new").exists()


def zipped(folder: Path, target: Path, **more: bytes) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
        for name, content in more.items():
            archive.writestr(name, content)
    return target


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("../outside", b"x"),
        ("/tmp/likeness-outside", b"x"),
        ("crops/../../outside.png", b"x"),
        ("crops\\..\\outside.png", b"x"),
        ("Ann/1.png", b"x"),
        ("crops/000000009.png", bytes(300_000_000)),
        ("people.jsonl", b"{}"),
    ],
)
def test_tricks_in_a_zip_are_refused(
    full: Gallery, folder: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    export(full, tmp_path / "people")
    source = zipped(tmp_path / "people", tmp_path / "people.zip", **{name: content})
    before, there = everything(full), set(tmp_path.rglob("*"))
    with pytest.raises(GalleryError, match="nothing"):
        import_from(source, into(folder))
    assert everything(full) == before
    assert set(tmp_path.rglob("*")) == there
    assert not Path("/tmp/likeness-outside").exists()


def test_a_compressed_zip_of_the_same_is_taken(full: Gallery, folder: Path, tmp_path: Path) -> None:
    export(full, tmp_path / "people")
    source = zipped(tmp_path / "people", tmp_path / "people.zip")
    assert import_from(source, into(tmp_path / "other")).new == 4
    cut = tmp_path / "cut.zip"
    cut.write_bytes(source.read_bytes()[:-30])
    with pytest.raises(GalleryError, match="no ZIP"):
        import_from(cut, into(tmp_path / "third"))


def test_another_model_is_refused(full: Gallery, tmp_path: Path, model: EmbeddingModel) -> None:
    export(full, tmp_path / "people")
    other = replace(model, weights_digest="cd" * 32)
    with Gallery.open(tmp_path / "other", model=other, create=True) as gallery:
        vector = np.eye(16, dtype=np.float32)[0]
        gallery.enrol("Bob", [Template(vector, "b" * 64)])
        with pytest.raises(GalleryError, match="was made with"):
            import_from(tmp_path / "people", into(tmp_path / "other"))
        assert [person.name for person in gallery.people()] == ["Bob"]


def test_nothing_is_overwritten_or_left_behind(full: Gallery, tmp_path: Path) -> None:
    (tmp_path / "there.zip").write_bytes(b"mine")
    for target in (tmp_path / "there.zip", tmp_path, tmp_path / "no" / "people"):
        with pytest.raises(ArgumentError):
            export(full, target)
    with pytest.raises(ArgumentError):
        import_from(tmp_path / "missing", into(tmp_path / "other"))
    assert (tmp_path / "there.zip").read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*"))


# Copying


def test_a_copy_goes_on_where_it_was_and_is_compared(
    full: Gallery, make_template: MakeTemplate, model: EmbeddingModel, tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "other", model=model, create=True) as other:
        with full.records() as records, other.adding() as add:
            add([next(records)])  # as far as an interrupted one came
        copied = copy_gallery(full, other)
        assert copied.lacking == 0
        assert copied.things == 3 + 4 + 1 + len(GROUPS)
        assert everything(other) == everything(full)
        assert copy_gallery(other, full).added.new == 0
        full.enrol("Ann", [make_template(7)])
        assert copy_gallery(full, other).added.new == 1
        other.erase("Ann")
        other.enrol("Eve", [make_template(7)])
        copied = copy_gallery(full, other)
        assert (copied.lacking, copied.added.others) == (1, [("Ann", "Eve")])


def test_a_failed_batch_leaves_nothing(
    gallery: Gallery, folder: Path, make_template: MakeTemplate, tmp_path: Path
) -> None:
    fill(gallery, make_template)
    with gallery.records() as found:
        records = list(found)
    other = Gallery.open(tmp_path / "other", model=gallery.model, create=True)
    bad = replace(records[0], templates=(Template(np.ones(16, np.float32), "0" * 64),))

    def add_all() -> None:
        with other.adding() as add:
            assert isinstance(add(records), Added)
            add([bad])

    with pytest.raises(GalleryError):
        add_all()
    assert other.people() == ()
    other.close()


def test_whoever_was_deleted_too_long_ago_is_not_handed_on(
    gallery: Gallery, folder: Path, make_template: MakeTemplate, tmp_path: Path
) -> None:
    fill(gallery, make_template)
    export(gallery, tmp_path / "people")
    long_ago = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute("UPDATE person SET deleted_at = ? WHERE name = 'Gone'", (long_ago,))
    assert "Gone" not in [one[0] for one in everything(gallery)]


# Backup and restoration


@pytest.fixture
def kept(gallery: Gallery, folder: Path, make_template: MakeTemplate, tmp_path: Path) -> Path:
    """A backup of a full gallery."""
    fill(gallery, make_template)
    back_up(folder, tmp_path / "kept.sqlite")
    return tmp_path / "kept.sqlite"


def closest(gallery: Gallery, template: Template) -> str:
    return gallery.search(template.embedding[np.newaxis], 1)[0][0].person


def test_a_backup_is_one_file_and_a_gallery_itself(
    gallery: Gallery, folder: Path, kept: Path, tmp_path: Path
) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kept.sqlite"]
    (tmp_path / "used").mkdir()
    shutil.copy(kept, tmp_path / "used" / "gallery.sqlite")
    with Gallery.open(tmp_path / "used") as used:
        assert everything(used) == everything(gallery)
        assert used.faults() == []


def test_a_restoration_is_seen_at_once_by_whoever_has_the_gallery_open(
    gallery: Gallery, folder: Path, kept: Path, make_template: MakeTemplate
) -> None:
    before = everything(gallery)
    gallery.enrol("Eve", [make_template(8)])
    assert closest(gallery, make_template(8)) == "Eve"
    assert restore(kept, folder) is None
    assert everything(gallery) == before
    assert closest(gallery, make_template(8)) != "Eve"
    gallery.enrol("Fay", [make_template(9)])  # must not get the number that Eve's template had
    assert closest(gallery, make_template(9)) == "Fay"
    [match] = gallery.search(make_template(8).embedding[np.newaxis], 1)[0]
    assert match.cosine_similarity < 0.99
    assert gallery.edit.undo() == "photographs of 'Fay' enrolled"
    assert everything(gallery) == before
    secret = make_template(8).embedding.tobytes()
    assert not [p for p in folder.rglob("*") if p.is_file() and secret in p.read_bytes()]


def test_a_backup_of_another_gallery_is_not_searched_by_the_old_index(
    gallery: Gallery, folder: Path, make_template: MakeTemplate, tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "other", model=gallery.model, create=True) as other:
        other.enrol("Bob", [make_template(1)])
        other.enrol("Ann", [make_template(0)])
    back_up(tmp_path / "other", tmp_path / "other.sqlite")
    gallery.enrol("Ann", [make_template(0)])
    gallery.enrol("Bob", [make_template(1)])
    assert closest(gallery, make_template(0)) == "Ann"
    restore(tmp_path / "other.sqlite", folder)
    assert closest(gallery, make_template(0)) == "Ann"
    assert closest(gallery, make_template(1)) == "Bob"
    with Gallery.open(folder) as opened:
        assert closest(opened, make_template(1)) == "Bob"


@pytest.mark.parametrize("rest", ["nothing", "empty", "noise", "log", "page"])
def test_where_there_is_no_gallery_or_a_damaged_one_the_backup_takes_its_place(
    gallery: Gallery, folder: Path, kept: Path, tmp_path: Path, rest: str
) -> None:
    place, database = tmp_path / "place", tmp_path / "place" / "gallery.sqlite"
    if rest != "nothing":
        place.mkdir()
        content = bytearray(kept.read_bytes())
        content[4096 * 3 : 4096 * 4] = b"\xaa" * 4096
        damaged = {"empty": b"", "noise": b"noise" * 999, "page": bytes(content)}
        if rest == "log":
            (place / "gallery.sqlite-wal").write_bytes(b"x")
        else:
            database.write_bytes(damaged[rest])
    aside = restore(kept, place)
    assert (aside is None) == (rest == "nothing")
    if aside is not None:
        assert len(list(aside.iterdir())) == 1
    with Gallery.open(place) as opened:
        assert everything(opened) == everything(gallery)
        assert opened.faults() == []
    assert not (place / ".restoring").exists()


@pytest.mark.parametrize(
    "bad", ["missing", "folder", "noise", "foreign", "newer", "cut", "flipped", "trigger", "vector"]
)
def test_what_is_no_backup_is_refused_before_anything_changes(
    gallery: Gallery, folder: Path, kept: Path, tmp_path: Path, bad: str
) -> None:
    content = bytearray(kept.read_bytes())
    statements = {
        "foreign": "PRAGMA application_id = 1",
        "newer": "PRAGMA user_version = 99",
        "trigger": "CREATE TRIGGER t AFTER INSERT ON person BEGIN DELETE FROM person; END",
        "vector": "UPDATE template SET embedding = zeroblob(64) WHERE id = 1",
    }
    if bad in statements:
        with closing(sqlite3.connect(kept)) as connection, connection:
            connection.execute(statements[bad])
    elif bad in ("missing", "folder"):
        kept.unlink()
        if bad == "folder":
            kept.mkdir()
    else:
        content[4096 * 3 : 4096 * 4] = b"\xaa" * 4096
        kept.write_bytes({"noise": b"no" * 9999, "cut": content[:9000], "flipped": content}[bad])
    before = everything(gallery)
    for place in (folder, tmp_path / "place"):
        with pytest.raises(AppError) as caught:
            restore(kept, place)
        assert "\n" not in str(caught.value)
    assert everything(gallery) == before
    assert not (tmp_path / "place").exists()


def test_a_newer_or_a_foreign_gallery_is_not_replaced(
    gallery: Gallery, folder: Path, kept: Path
) -> None:
    gallery.close()
    for pragma in ("user_version = 99", "application_id = 5"):
        with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
            connection.execute(f"PRAGMA {pragma}")
        before = (folder / "gallery.sqlite").read_bytes()
        with pytest.raises(GalleryError, match=r"newer Likeness|other program"):
            restore(kept, folder)
        assert (folder / "gallery.sqlite").read_bytes() == before


def test_a_backup_overwrites_nothing_unless_it_shall(
    gallery: Gallery, folder: Path, kept: Path, make_template: MakeTemplate
) -> None:
    first = kept.read_bytes()
    gallery.enrol("Eve", [make_template(8)])
    with pytest.raises(ArgumentError, match="there already"):
        back_up(folder, kept)
    for place in (folder / "gallery.sqlite", folder):
        with pytest.raises(ArgumentError):
            back_up(folder, place, overwrite=True)
    assert kept.read_bytes() == first
    back_up(folder, kept, overwrite=True)
    assert kept.read_bytes() != first
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute("UPDATE template SET embedding = zeroblob(64) WHERE id = 1")
    good = kept.read_bytes()
    with pytest.raises(GalleryError, match=r"template 1 of 'Ann' is damaged"):
        back_up(folder, kept, overwrite=True)
    assert kept.read_bytes() == good
    assert [fault for fault in gallery.faults() if "template 1 of 'Ann'" in fault]


@pytest.mark.skipif(os.name != "posix", reason="no limit of a file's size")
@pytest.mark.parametrize("most", [4096, 60_000])
def test_a_backup_for_which_there_is_no_room_names_its_file_and_leaves_nothing(
    full: Gallery, folder: Path, tmp_path: Path, most: int
) -> None:
    """As on a full disk: the backup's file may not grow further."""
    place = tmp_path / "disk"
    place.mkdir()
    (place / "before.sqlite").write_bytes(b"an earlier one")
    before = everything(full)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from data.errors import AppError\n"
        "from recognition.gallery.transfer.backup import back_up\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, resource.RLIM_INFINITY))\n"
        "try: back_up(Path(sys.argv[1]), Path(sys.argv[2]), overwrite=True)\n"
        "except AppError as error: print(type(error).__name__, error)\n"
    )
    for name in ("friends.sqlite", "before.sqlite"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(place / name)],
            capture_output=True,
            text=True,
            timeout=280,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert done.stderr == ""
        assert done.stdout.startswith(f"WriteError cannot write {place / name}")
        assert "gallery" not in done.stdout.removeprefix(f"WriteError cannot write {place}")
    assert [path.name for path in place.iterdir()] == ["before.sqlite"]
    assert (place / "before.sqlite").read_bytes() == b"an earlier one"
    assert everything(full) == before


def _with(folder: Path, **changed: object) -> None:
    """Change the first person's line, with digests that fit."""
    lines = [json.loads(line) for line in (folder / "people.jsonl").read_text().splitlines()]
    lines[0] |= changed
    put_lines(folder, lines)


def put_lines(folder: Path, lines: list[dict[str, object]]) -> None:
    content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    (folder / "people.jsonl").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["members"]["people.jsonl"] = {
        "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


MOMENTS = [
    "9999-01-01T00:00:00+00:00",
    "0001-01-01T00:00:00+00:00",
    "2026-01-01T00:00:00+14:00",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.5+00:00",
    "2026-01-01",
    "20260101T000000+0000",
    10**400,
    None,
]


@pytest.mark.parametrize(
    "changed",
    [
        *({"deleted_at": one} for one in MOMENTS if one is not None),
        *({"enrolled_at": one} for one in MOMENTS),
        *({"consented_at": one} for one in MOMENTS if one is not None),
        {"expires_on": "9999-12-31"},
        {"expires_on": "0001-01-01"},
        {"expires_on": 10**400},
    ],
    ids=lambda changed: str(changed)[:50],
)
def test_dates_that_cannot_be_are_refused(
    full: Gallery, tmp_path: Path, changed: dict[str, object]
) -> None:
    export(full, tmp_path / "people")
    _with(tmp_path / "people", **changed)
    with pytest.raises(GalleryError, match=r"line 1 of people\.jsonl is damaged"):
        import_from(tmp_path / "people", into(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("column", ["enrolled_at", "deleted_at", "consented_at", "expires_on"])
def test_a_backup_with_a_date_that_cannot_be_one_is_refused(
    gallery: Gallery, folder: Path, tmp_path: Path, column: str, kept: Path
) -> None:
    for text in ("zzz", "", "20301301", "2030-02-30", "2030-01-01T00:00", "\x1b[31m", "9" * 400):
        with closing(sqlite3.connect(kept)) as connection, connection:
            connection.execute(f"UPDATE person SET {column} = ? WHERE id = 1", (text,))
        with pytest.raises(GalleryError, match="a date of person 1 cannot be one"):
            restore(kept, tmp_path / "place")
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("name", ["people", "people.zip"])
def test_a_crop_is_one_face_s(full: Gallery, tmp_path: Path, name: str) -> None:
    """Else a small file fills a large gallery: the same megabyte for each of many faces."""
    folder = tmp_path / "people"
    export(full, folder)
    lines = [json.loads(line) for line in (folder / "people.jsonl").read_text().splitlines()]
    crop = next(one["crop"] for line in lines for one in line["templates"] if one["crop"])
    for line in lines:
        for one in line["templates"]:
            one["crop"] = crop
    put_lines(folder, lines)
    if name.endswith(".zip"):
        shutil.make_archive(str(folder), "zip", folder)
    with pytest.raises(GalleryError, match="the crop of two faces"):
        import_from(tmp_path / name, into(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e7, 1e308, "1", None, True, [1]])
def test_a_quality_that_cannot_be_one_is_refused(
    full: Gallery, tmp_path: Path, value: object
) -> None:
    export(full, tmp_path / "people")
    path = tmp_path / "people"
    lines = [json.loads(line) for line in (path / "people.jsonl").read_text().splitlines()]
    rated = next(one for line in lines for one in line["templates"] if one["quality"] is not None)
    rated["quality"]["size"] = value
    put_lines(path, lines)
    with pytest.raises(GalleryError, match=r"of people\.jsonl is damaged"):
        import_from(path, into(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_bytes_are_bounded_before_anything_is_unpacked(
    full: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(full, tmp_path / "people")
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def refused(source: Path, match: str) -> None:
        with pytest.raises(GalleryError, match=match):
            import_from(source, into(tmp_path / "other"), scratch=scratch)
        assert list(scratch.iterdir()) == []
        assert not (tmp_path / "other").exists()

    grown = tmp_path / "grown.zip"  # blanks behind the last line: hardly a byte in the archive
    with zipfile.ZipFile(grown, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "people").rglob("*")):
            if path.is_file():
                more = b" " * 30_000_000 if path.name == "people.jsonl" else b""
                name = path.relative_to(tmp_path / "people").as_posix()
                archive.writestr(name, path.read_bytes() + more)
    refused(grown, "would grow")
    lines = (tmp_path / "people" / "people.jsonl").read_text().splitlines()
    put_lines(tmp_path / "people", [json.loads(line) | {"x": "y" * 200_000} for line in lines])
    refused(tmp_path / "people", r"people\.jsonl has .* bytes, which is not what")
    export(full, tmp_path / "people.zip")
    monkeypatch.setattr(
        "recognition.gallery.transfer.archive.shutil.disk_usage", lambda _: SimpleNamespace(free=10)
    )
    refused(tmp_path / "people.zip", "are free in")
