"""A gallery is moved to another network: all at once, undoable, and nobody erased comes back."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.errors import GalleryError
from recognition.gallery.gallery import ASIDE, DATABASE, Gallery
from recognition.gallery.locations import Folder
from recognition.gallery.storage.store import COMING, FORMER, Store
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.backup import restore
from recognition.gallery.transfer.replacement import NewEmbedding, Succession
from recognition.results import Consent

if TYPE_CHECKING:
    from clocks import Clock

MakeTemplate = Callable[..., Template]
NEW = EmbeddingModel(model_id="dlib_resnet", weights_digest="cd" * 32, dimension=24)
SECRET = "f" * 64


def find_secret(_: str) -> str:
    return SECRET


def vector_of(template: int, dimension: int = 24) -> np.ndarray:
    vector = np.random.default_rng(1000 + template).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def filled(
    request: pytest.FixtureRequest, folder: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> Iterator[Gallery]:
    with Gallery.open(folder, model=model, create=True, find_secret=find_secret) as opened:
        if request.param:
            opened.encrypt(SECRET)
        opened.enrol("Ann", [make_template(1, crop=b"1"), make_template(2, crop=b"2")])
        opened.enrol("Bob", [make_template(3, crop=b"3")])
        opened.enrol("Cy", [make_template(4, crop=b"4")])
        yield opened


def embed_all(succession: Succession, model: EmbeddingModel = NEW, at_once: int = 2) -> int:
    """Embed whatever waits; how many that were."""
    count = 0
    succession.begin(model)
    for waiting in succession.waiting(at_once):
        count += len(waiting)
        succession.put(
            [
                NewEmbedding(one.template, one.person, vector_of(one.template), False, None)
                for one in waiting
                if one.picture is not None
            ],
            model,
        )
    return count


def numbers(gallery: Gallery, name: str) -> list[int]:
    return [photograph.number for photograph in gallery.photographs(name)]


def found(gallery: Gallery, vector: np.ndarray) -> str:
    [[match]] = gallery.search(vector[None], 1)
    assert match.cosine_similarity == pytest.approx(1, abs=1e-3)
    return match.person


def test_everybody_is_found_by_the_new_network_and_after_an_undo_by_the_old(
    filled: Gallery, folder: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    assert found(filled, make_template(3).embedding) == "Bob"  # there is an index of the old state
    succession = Succession(folder, find_secret)
    assert embed_all(succession) == 4
    assert filled.model == model  # nothing is changed before the end
    done = succession.finish(NEW)
    assert (done.moved, done.left_out) == (4, 0)
    assert succession.is_unconfirmed
    assert filled.model == NEW
    for name in ("Ann", "Bob", "Cy"):
        for number in numbers(filled, name):
            assert found(filled, vector_of(number)) == name
    assert filled.faults() == []
    assert filled.crop("Bob") == b"3"
    with pytest.raises(GalleryError, match="was made with dlib_resnet"):
        filled.require(model)
    succession.undo()
    assert not succession.is_unconfirmed
    assert filled.model == model
    assert found(filled, make_template(3).embedding) == "Bob"
    assert not (folder / FORMER).exists()


def test_it_is_gone_on_with_and_another_network_begins_anew(filled: Gallery, folder: Path) -> None:
    succession = Succession(folder, find_secret)
    succession.begin(NEW)
    first = next(succession.waiting(3))
    succession.put(
        [
            NewEmbedding(one.template, one.person, vector_of(one.template), False, 0.5)
            for one in first
        ],
        NEW,
    )
    again = Succession(folder, find_secret)
    assert embed_all(again) == 1
    assert again.counts() == (4, 0)
    assert again.similarities() == ([0.5] * 3, 4)
    other = EmbeddingModel(model_id="iresnet_se", weights_digest="ef" * 32, dimension=24)
    assert embed_all(again, other) == 4


def test_with_photographs_at_hand_what_pictures_gave_is_embedded_again(
    filled: Gallery, folder: Path
) -> None:
    succession = Succession(folder, find_secret)
    succession.begin(NEW)
    [first] = next(succession.waiting(1))
    succession.put(
        [NewEmbedding(first.template, first.person, vector_of(first.template), True, None, 160)],
        NEW,
    )
    assert embed_all(succession) == 3
    succession.begin(NEW, "elsewhere")
    assert succession.counts() == (4, 3)
    assert succession.sides() == {160}
    succession.begin(NEW, "elsewhere")
    assert embed_all(succession) == 3


def test_what_is_enrolled_meanwhile_is_not_lost(
    filled: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    succession = Succession(folder, find_secret)
    embed_all(succession)
    filled.enrol("Dee", [make_template(9, crop=b"9")])
    with pytest.raises(GalleryError, match=r"1 photographs .* run the same command again"):
        succession.finish(NEW)
    assert not succession.is_unconfirmed
    assert filled.model != NEW
    assert embed_all(succession) == 1
    assert succession.finish(NEW).moved == 5
    assert found(filled, vector_of(numbers(filled, "Dee")[0])) == "Dee"


def test_who_is_moved_to_another_person_meanwhile_is_embedded_again(
    filled: Gallery, folder: Path
) -> None:
    succession = Succession(folder, find_secret)
    embed_all(succession)
    filled.edit.merge("Cy", "Bob")
    assert embed_all(succession) == 1
    assert succession.finish(NEW).left_out == 0
    assert filled.faults() == []
    for number in numbers(filled, "Bob"):
        assert found(filled, vector_of(number)) == "Bob"


def test_without_a_picture_it_is_left_out_only_when_told_and_an_undo_brings_it_back(
    filled: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    filled.enrol("Eve", [make_template(7)])
    succession = Succession(folder, find_secret)
    embed_all(succession)
    with pytest.raises(GalleryError, match="--leave-out"):
        succession.finish(NEW)
    assert succession.finish(NEW, leave_out=True).left_out == 1
    assert filled.person("Eve").photographs == 0
    succession.undo()
    assert found(filled, make_template(7).embedding) == "Eve"


def test_who_is_erased_before_the_move_is_confirmed_is_in_no_file(
    filled: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    secret = make_template(3).embedding.tobytes()
    succession = Succession(folder, find_secret)
    embed_all(succession)
    succession.finish(NEW)
    new = vector_of(numbers(filled, "Bob")[0]).tobytes()
    filled.erase("Bob")
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert secret not in content, path
        assert new not in content, path
        assert b"Bob" not in content, path
    succession.undo()
    assert {person.name for person in filled.people()} == {"Ann", "Cy"}


@pytest.mark.parametrize("how", ["busy", "killed", "consent over"])
def test_who_is_erased_before_it_is_confirmed_is_in_no_file_whatever_interrupts_that(
    filled: Gallery,
    folder: Path,
    make_template: MakeTemplate,
    clock: "Clock",
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    succession = Succession(folder, find_secret)
    embed_all(succession)
    succession.finish(NEW)
    if how == "busy":
        monkeypatch.setattr("recognition.gallery.storage.database.BUSY_SECONDS", 0.1)
        with closing(sqlite3.connect(folder / "gallery.sqlite")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM person").fetchall()
            with pytest.raises(GalleryError, match="the next change wipes them"):
                filled.erase("Ann")
    elif how == "killed":
        filled._store.erase(filled.person("Ann").person_id)
    else:
        filled.edit.consent("Ann", Consent(until=clock.read().date()))
        for _ in range(2):
            clock.forward(days=2)
            filled.tidy()
    with Gallery.open(folder, find_secret=find_secret):
        pass
    with closing(Store(folder / FORMER, find_secret)) as former, former.reading() as snapshot:
        assert [one.name for one in snapshot.people()] == ["Bob", "Cy"]
    wanted = make_template(1).embedding.tobytes(), make_template(2).photograph_sha256.encode()
    for path in folder.rglob("*"):
        if path.is_file():
            assert not any(one in path.read_bytes() for one in wanted)


def test_who_is_erased_while_it_goes_on_is_in_no_file(filled: Gallery, folder: Path) -> None:
    succession = Succession(folder, find_secret)
    embed_all(succession)
    assert (folder / COMING).is_file()
    filled.erase("Bob")
    assert not (folder / COMING).exists()
    assert embed_all(succession) == 3  # the others are embedded again
    assert succession.finish(NEW).moved == 3


def test_a_face_said_not_to_be_somebody_s_stays_so_where_it_is_enrolled_as_another_s(
    filled: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    filled.edit.tell_apart("Ann", "Cy")
    filled.edit.exclude("Bob", make_template(50))
    succession = Succession(folder, find_secret)
    embed_all(succession)
    done = succession.finish(NEW)
    assert done.exclusions_left_out == 1  # nothing was kept of that face
    assert filled.told_apart() == {("Ann", "Cy")}
    succession.undo()
    assert filled.told_apart() == {("Ann", "Cy")}


def test_what_is_gathered_tells_of_nobody_where_the_gallery_is_encrypted(
    filled: Gallery, folder: Path
) -> None:
    """Every column of the file is looked at: none tells of a person, or of where they are kept."""
    in_the_open = {
        "about": {"only_row", "made_for", "source"},  # the network; a mark
        "embedding": {"template_id", "person_id", "fresh", "similarity", "side"},
    }
    sealed = {"embedding": {"sealed"}}
    source = "/photographs/of/Müller"
    succession = Succession(folder, find_secret)
    succession.begin(NEW, source)
    [waiting, *_] = succession.waiting(10)
    face = NewEmbedding(1, waiting[0].person, vector_of(1), True, 0.5, 160)
    succession.put([face], NEW)
    succession.begin(NEW, source)  # gone on with: the same place
    assert succession.counts() == (4, 3)
    with closing(sqlite3.connect(folder / COMING)) as coming:
        tables = coming.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        columns = {
            table: {row[1] for row in coming.execute(f"PRAGMA table_info({table})")}
            for (table,) in tables
        }
    assert columns == {name: own | sealed.get(name, set()) for name, own in in_the_open.items()}
    content = (folder / COMING).read_bytes()
    pieces = [source.encode(), "Müller".encode(), vector_of(1).tobytes()[:16]]
    assert [piece in content for piece in pieces] == [not filled.is_encrypted] * 3


def test_one_move_at_a_time_and_only_to_another_network(
    filled: Gallery, folder: Path, model: EmbeddingModel
) -> None:
    succession = Succession(folder, find_secret)
    with pytest.raises(GalleryError, match="already"):
        succession.begin(model)
    for act in (succession.confirm, succession.undo):
        with pytest.raises(GalleryError, match="was not moved"):
            act()
    embed_all(succession)
    succession.finish(NEW)
    with pytest.raises(GalleryError, match="not confirmed"):
        succession.begin(model)
    with pytest.raises(GalleryError, match="not confirmed"):
        filled.rotate("e" * 64)
    succession.confirm()
    assert sorted(path.name for path in folder.glob("*.sqlite")) == ["gallery.sqlite"]
    assert filled.model == NEW


def test_a_move_that_was_killed_before_the_exchange_leaves_the_gallery_as_it_was(
    filled: Gallery, folder: Path, model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    succession = Succession(folder, find_secret)
    embed_all(succession)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("recognition.gallery.transfer.replacement._exchange", killed)
        with pytest.raises(KeyboardInterrupt):
            succession.finish(NEW)
    assert (folder / FORMER).exists()
    assert filled.model == model
    assert not succession.is_unconfirmed
    assert succession.finish(NEW).moved == 4


@pytest.mark.parametrize("remains", [[FORMER], [COMING], [FORMER, COMING], [FORMER, "index"]])
def test_a_gallery_whose_database_is_lost_is_told_of_its_way_back(
    filled: Gallery, folder: Path, model: EmbeddingModel, remains: list[str]
) -> None:
    """What a move leaves is the gallery's own, not somebody else's files."""
    before = filled.people()
    succession = Succession(folder, find_secret)
    embed_all(succession)
    succession.finish(NEW)
    (folder / COMING).touch()
    filled.close()
    for path in folder.iterdir():
        if path.is_file() and path.name not in remains:
            path.unlink()
    place = Folder(folder, find_secret)
    with pytest.raises(GalleryError, match=r"gallery\.sqlite is missing") as caught:
        _ = place.exists
    assert ("`likeness gallery restore" in str(caught.value)) == (FORMER in remains)
    with pytest.raises(GalleryError):  # nothing is begun beside it
        place.open(model=NEW, create=True)
    if FORMER in remains:
        restore(folder / FORMER, folder, find_secret)
        with place.open() as again:
            assert (again.model, again.people()) == (model, before)


def test_what_a_gallery_has_beside_its_database_is_nothing_else(
    filled: Gallery, folder: Path
) -> None:
    """Whatever a gallery in use leaves there, no name of it makes a folder one of other files."""
    succession = Succession(folder, find_secret)
    embed_all(succession)
    succession.finish(NEW)
    filled.erase("Cy")
    names = {path.name for path in folder.iterdir()}
    assert {DATABASE, FORMER} <= names
    for name in (*names, COMING, f"{COMING}-wal", f"{FORMER}-journal", f"{ASIDE}1"):
        alone = folder.parent / f"with-{name}"
        alone.mkdir()
        (alone / name).touch()
        try:
            _ = Folder(alone).exists
        except GalleryError:
            continue  # the remains of a gallery
