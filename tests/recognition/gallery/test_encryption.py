"""An encrypted gallery answers as a plain one does, and its files tell nothing."""

import base64
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError, GalleryError, LockedError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage import encryption
from recognition.gallery.storage.encryption import (
    KeyedSeal,
    SecretKind,
    WrappedKey,
    new_secret,
    unwrap,
    wrap,
)
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.results import Consent, Quality

SECRET, OTHER = "tidal quartz nomad lantern", "gravel orbit mitten plume"
GROUPS = ("Familie", "Büro 4711")
NAMES = ("Ann Ångström", "Bob Builder", "Cydney Carton", "Dan Draper")


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "SCRYPT", (2**4, 8, 1))


def opened(folder: Path, secret: str | None = SECRET) -> Gallery:
    return Gallery.open(folder, find_secret=lambda _: secret)


@pytest.fixture
def lived_in(
    folder: Path, model: EmbeddingModel, make_template: Callable[..., Template]
) -> Iterator[Gallery]:
    """A gallery with something in every table."""
    quality = Quality(size=80.0, sharpness=0.5, turn=1.0, nod=2.0, brightness=0.5)
    with Gallery.open(folder, model=model, create=True, find_secret=lambda _: SECRET) as gallery:
        for number, name in enumerate(NAMES):
            some = [make_template(10 * number + n, crop=f"crop of {name}".encode()) for n in (1, 2)]
            some = [
                replace(one, photograph_sha256=os.urandom(32).hex(), quality=quality)
                for one in some
            ]
            gallery.enrol(name, some, Consent(note=f"form of {name}") if number else None, GROUPS)
        gallery.edit.exclude(NAMES[1], make_template(77))
        gallery.edit.rename(NAMES[2], "Sydney Carton")
        gallery.edit.group(NAMES[:2], add=["Verein 1848"], remove=GROUPS[1:])
        gallery.edit.tell_apart(*NAMES[:2])
        gallery.edit.delete(NAMES[3])
        gallery.edit.merge("Sydney Carton", NAMES[0])
        gallery.search(make_template(1).embedding[None], 1)
        yield gallery


def told(gallery: Gallery) -> dict[str, object]:
    """Everything that a gallery can tell, embeddings to the last bit."""
    roll, embeddings = gallery.templates()
    people = gallery.people()
    queries = np.concatenate([embeddings, -embeddings])
    with gallery._store.reading() as snapshot:
        excluded = {row: vector.tobytes() for row, vector in snapshot.exclusions().items()}
    return {
        "people": [asdict(person) for person in people],
        "members": {group: gallery.members([group]) for one in people for group in one.groups},
        "apart": gallery.told_apart(),
        "deleted": [asdict(person) for person in gallery.people(deleted=True)],
        "roll": (roll.ids.tolist(), roll.people.tolist(), roll.names),
        "embeddings": embeddings.tobytes(),
        "photographs": [gallery.photographs(person.name) for person in people],
        "crops": [gallery.crop(person.name) for person in people],
        "operations": gallery.operations(),
        "excluded": excluded,
        # Those of an encrypted gallery are compared anew, by sums in another order.
        "found": [
            [(match.person, round(match.cosine_similarity, 5)) for match in matches]
            for matches in gallery.search(queries, 3)
        ],
    }


def secrets_in(gallery: Gallery) -> list[bytes]:
    """What the files of an encrypted gallery must not hold: as text, as bytes, in base 64."""
    _, embeddings = gallery.templates()
    pieces = [
        name.encode()
        for name in (*NAMES, *GROUPS, "Verein 1848", "Sydney", "form of", "crop of", "merged")
    ]
    pieces += [base64.b64encode(piece)[:-4] for piece in pieces]
    for vector in embeddings:
        content = vector.tobytes()
        pieces += [content[at : at + 16] for at in range(0, len(content) - 15, 4)]
    for person in gallery.people():
        for photograph in gallery.photographs(person.name):
            digest = photograph.photograph_sha256
            pieces += [digest.encode(), bytes.fromhex(digest)]
    return pieces


def holding(folder: Path, pieces: list[bytes]) -> list[str]:
    """The files that hold one of some pieces."""
    contents = {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return sorted(
        name for name, content in contents.items() if any(piece in content for piece in pieces)
    )


def test_nothing_is_told_otherwise_before_while_and_after_it_is_encrypted(
    lived_in: Gallery, folder: Path
) -> None:
    before = told(lived_in)
    lived_in.encrypt(SECRET)
    assert lived_in.is_encrypted
    assert told(lived_in) == before
    lived_in.rotate(OTHER)
    assert told(lived_in) == before
    lived_in.close()
    with opened(folder, OTHER) as gallery:
        assert told(gallery) == before
        gallery.rotate(SECRET, data_key=True)
        assert told(gallery) == before
    with opened(folder) as gallery:
        gallery.decrypt()
        assert not gallery.is_encrypted
        assert told(gallery) == before
    with Gallery.open(folder) as gallery:
        assert told(gallery) == before
        while gallery.operations():
            gallery.edit.undo()
        assert gallery.people() == ()


def test_its_files_hold_nothing_of_anybody(
    lived_in: Gallery, folder: Path, make_template: Callable[..., Template]
) -> None:
    pieces = secrets_in(lived_in)
    assert holding(folder, pieces) == ["gallery.sqlite-wal", "templates.faiss"]
    lived_in.encrypt(SECRET)
    assert holding(folder, pieces) == []
    lived_in.close()
    with opened(folder) as gallery:
        gallery.search(make_template(1).embedding[None], 1)  # writes the index
        gallery.edit.rename(NAMES[1], "Robert")
        gallery.edit.undo()
        assert (folder / "index" / "templates.faiss").exists()
        assert holding(folder, [*pieces, b"Robert"]) == []
        gallery.erase(NAMES[1])
    assert holding(folder, [*pieces, b"Robert"]) == []


def test_no_ciphertext_of_an_older_key_is_left(lived_in: Gallery, folder: Path) -> None:
    lived_in.encrypt(SECRET)
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        rows = connection.execute("SELECT embedding FROM template").fetchall()
        rows += connection.execute("SELECT picture FROM crop").fetchall()
        rows += [
            (text.encode(),) for (text,) in connection.execute("SELECT name FROM person").fetchall()
        ]
        key = connection.execute("SELECT wrapped FROM wrapped_key").fetchall()
    lived_in.rotate(OTHER, data_key=True)
    assert holding(folder, [row[0] for row in rows + key]) == []


def test_everything_goes_on_working(
    folder: Path, lived_in: Gallery, make_template: Callable[..., Template]
) -> None:
    lived_in.encrypt(SECRET)
    with pytest.raises(GalleryError, match="is enrolled already"):
        lived_in.edit.rename(NAMES[1], NAMES[0])
    lived_in.enrol("Eve", [make_template(50, crop=b"eve")])
    assert lived_in.enrol("Eve", [make_template(50)]) == {0: "Eve"}
    assert lived_in.enrol("Fay", [make_template(50)]) == {0: "Eve"}
    assert lived_in.crop("Eve") == b"eve"
    lived_in.enrol("Eve", [make_template(51)])
    [first, _] = lived_in.photographs("Eve")
    lived_in.edit.split("Eve", [first.number], "Fay")
    assert lived_in.search(make_template(50).embedding[None], 1)[0][0].person == "Fay"
    with pytest.raises(GalleryError, match="this face is enrolled as 'Fay'"):
        lived_in.edit.exclude("Fay", make_template(50))
    lived_in.edit.merge("Eve", "Fay")
    assert lived_in.search(make_template(51).embedding[None], 1)[0][0].person == "Fay"
    lived_in.edit.undo()
    lived_in.edit.undo()
    assert lived_in.search(make_template(50).embedding[None], 1)[0][0].person == "Eve"
    lived_in.edit.restore(NAMES[3])
    with pytest.raises(GalleryError, match="nobody called 'Sydney Carton'"):
        lived_in.crop("Sydney Carton")


@pytest.mark.parametrize("secret", [None, "", OTHER, "f" * 64, SECRET.upper()])
def test_a_wrong_key_is_refused_in_one_line_and_changes_nothing(
    lived_in: Gallery, folder: Path, secret: str | None
) -> None:
    lived_in.encrypt(SECRET)
    lived_in.close()
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(LockedError) as caught:
        opened(folder, secret)
    assert "\n" not in str(caught.value)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_who_has_it_open_notices_that_the_key_is_another(
    lived_in: Gallery, folder: Path, make_template: Callable[..., Template]
) -> None:
    with opened(folder) as other:
        lived_in.encrypt(SECRET)
        assert len(other.people()) == 2
        other.enrol("Eve", [make_template(50)])
        assert lived_in.search(make_template(50).embedding[None], 1)[0][0].person == "Eve"
        lived_in.rotate(OTHER)
        with pytest.raises(LockedError):
            other.people()
        with pytest.raises(LockedError):
            other.enrol("Fay", [make_template(51)])


def test_who_changes_the_key_goes_on_with_it_wherever_the_gallery_is_opened_once_more(
    folder: Path, model: EmbeddingModel, make_template: Callable[..., Template]
) -> None:
    with Gallery.open(folder, model=model, create=True) as gallery:  # nobody to be asked
        gallery.enrol("Ann", [make_template(1)])
        for change in (gallery.encrypt, gallery.rotate):
            change(OTHER if change == gallery.rotate else SECRET)
            assert gallery.faults() == []
            with gallery.records() as records:
                assert [record.name for record in records] == ["Ann"]


ACTS: dict[str, Callable[[Gallery], None]] = {
    "encrypt twice": lambda gallery: gallery.encrypt(OTHER),
    "decrypt what is plain": lambda gallery: gallery.decrypt(),
    "rotate what is plain": lambda gallery: gallery.rotate(OTHER),
}


@pytest.mark.parametrize("act", ACTS)
def test_only_what_is_plain_is_encrypted_and_only_what_is_encrypted_decrypted(
    lived_in: Gallery, act: str
) -> None:
    if "twice" in act:
        lived_in.encrypt(SECRET)
    before = told(lived_in)
    with pytest.raises(GalleryError, match="encrypted"):
        ACTS[act](lived_in)
    assert told(lived_in) == before


def test_a_secret_that_nobody_keeps_changes_nothing(lived_in: Gallery) -> None:
    def refuse(key_id: str, secret: str) -> None:
        raise GalleryError("the keyring refuses")

    with pytest.raises(GalleryError, match="refuses"):
        lived_in.encrypt("f" * 64, refuse)
    assert not lived_in.is_encrypted
    lived_in.encrypt(SECRET)
    with pytest.raises(GalleryError, match="refuses"):
        lived_in.rotate("f" * 64, refuse, data_key=True)
    assert len(lived_in.people()) == 2


TAMPERING = {
    "embeddings swapped": "UPDATE template SET embedding = (SELECT embedding FROM template AS other"
    " WHERE other.id = 3 - template.id) WHERE id < 3",
    "templates handed to another": "UPDATE template SET person_id = 3 - person_id"
    " WHERE person_id < 3",
    "a byte altered": "UPDATE template SET embedding ="
    " CAST(substr(embedding, 1, 20) || x'ff' || substr(embedding, 22) AS BLOB) WHERE id = 1",
    "cut": "UPDATE template SET embedding = x'00' WHERE id = 1",
    "names swapped": "UPDATE person SET name = (SELECT name FROM person AS other"
    " WHERE other.id = 3 - person.id) WHERE id < 3",
    "a name replaced": "UPDATE person SET name = 'Mallory' WHERE id = 1",
    "another model": "UPDATE gallery SET weights_digest = replace(weights_digest, 'a', 'c')",
    "another gallery": "UPDATE wrapped_key SET gallery_id = 'another'",
}


@pytest.mark.parametrize("how", TAMPERING)
@pytest.mark.parametrize("with_index", [False, True])
def test_tampering_is_refused_and_names_nobody(
    lived_in: Gallery,
    folder: Path,
    make_template: Callable[..., Template],
    how: str,
    with_index: bool,
) -> None:
    lived_in.encrypt(SECRET)
    lived_in.close()
    if with_index:
        with opened(folder) as gallery:
            gallery.search(make_template(1).embedding[None], 1)
        assert (folder / "index" / "templates.faiss").exists()
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(TAMPERING[how])
    if with_index and how in ("embeddings swapped", "a byte altered", "cut", "another model"):
        # The index is sealed as well and holds the templates as they were.
        (folder / "index" / "templates.faiss").unlink()
    with pytest.raises(GalleryError) as caught, opened(folder) as gallery:
        gallery.search(make_template(1).embedding[None], 1)
    message = str(caught.value)
    assert "\n" not in message
    assert not any(name in message for name in NAMES)


def test_a_row_of_another_gallery_is_refused(
    lived_in: Gallery, folder: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    """Even of one whose key is the same."""
    mine, other = KeyedSeal(b"k" * 32, "mine"), KeyedSeal(b"k" * 32, "other")
    closed = mine.close(b"Ann", ("person", "name", 1))
    assert mine.open(closed, ("person", "name", 1)) == b"Ann"
    for seal, place in ((other, ("person", "name", 1)), (mine, ("person", "name", 2))):
        with pytest.raises(GalleryError, match="cannot be decrypted"):
            seal.open(closed, place)


@given(st.binary(max_size=200), st.text(max_size=50), st.integers(0, 10**9))
def test_what_is_closed_opens_and_nothing_near_it_does(content: bytes, text: str, row: int) -> None:
    seal, place = KeyedSeal(b"k" * 32, "gallery"), ("person", "name", row)
    closed = seal.close(content, place)
    assert seal.open(closed, place) == content
    assert seal.open_text(seal.close_text(text, place), place) == text
    assert seal.close(content, place) != closed
    assert seal.mark(text) == seal.mark(text)
    assert len(seal.mark(text)) == 64
    altered = bytearray(closed)
    altered[row % len(closed)] ^= 1 << row % 8
    for wrong in (bytes(altered), closed[:-1], closed + b"\0", b"", content):
        with pytest.raises(GalleryError):
            seal.open(wrong, place)


@pytest.mark.parametrize("secret", [SECRET, "0123456789abcdef" * 4, "A\u030angstro\u0308m it is"])
def test_a_wrapped_key_opens_by_its_secret_alone(secret: str) -> None:
    key = b"k" * 32
    wrapped = wrap(key, new_secret(secret), "gallery")
    assert key not in wrapped.wrapped
    assert unwrap(wrapped, secret) == (key, True)
    for wrong in (secret + "x", secret[:-1], "", "e" * 64):
        with pytest.raises(LockedError):
            unwrap(wrapped, wrong)
    for altered in (
        replace(wrapped, key_id="other"),
        replace(wrapped, gallery_id="another gallery"),
        replace(wrapped, n=2**5),
        replace(wrapped, wrapped=wrapped.wrapped[:-1] + b"\0"),
        replace(wrapped, wrapped=b""),
    ):
        with pytest.raises(LockedError):
            unwrap(altered, secret)


def test_one_passphrase_however_its_letters_are_composed() -> None:
    wrapped = wrap(b"k" * 32, "A\u030angstro\u0308m it is", "gallery")
    assert unwrap(wrapped, "Ångström it is") == (b"k" * 32, True)


@pytest.mark.parametrize(
    ("n", "r", "p"), [(2**40, 8, 1), (2**10, 2**20, 1), (3, 8, 1), (0, 0, 0), (16, 8, 10**6)]
)
def test_parameters_that_would_take_all_memory_or_none_are_refused(n: int, r: int, p: int) -> None:
    wrapped = WrappedKey(
        key_id="",
        gallery_id="",
        kind=SecretKind.PASSPHRASE,
        n=n,
        r=r,
        p=p,
        salt=b"s" * 16,
        wrapped=b"w" * 60,
    )
    with pytest.raises(LockedError):
        unwrap(wrapped, SECRET)


@pytest.mark.parametrize("secret", ["", "short", "f" * 7])
def test_a_short_passphrase_is_refused(lived_in: Gallery, secret: str) -> None:
    with pytest.raises(ArgumentError, match="at least 8"):
        lived_in.encrypt(secret)
    assert not lived_in.is_encrypted
