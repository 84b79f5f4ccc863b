"""Backups of a gallery on a PostgreSQL server are those of a folder, both ways."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from data.errors import ArgumentError, GalleryError
from recognition.gallery.gallery import DATABASE, Gallery
from recognition.gallery.locations import Folder, place_of
from recognition.gallery.storage.postgres_address import PostgresAddress
from recognition.gallery.storage.records import checksum, fingerprints
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer import backup as backups
from recognition.gallery.transfer.backup import back_up, foresee, restore
from recognition.maintenance import GalleryMaintenance, ReEmbedding
from recognition.results import Consent

if TYPE_CHECKING:
    from postgres_server import Server

pytestmark = pytest.mark.postgres

MakeTemplate = Callable[..., Template]
KEY, OTHER = "e" * 64, "d" * 64


class Here:
    """A gallery that a test opens again and again, with what backups need to name it."""

    def __init__(self, folder: Path, address: str | None, model: EmbeddingModel) -> None:
        self.folder, self.address, self._model = folder, address, model
        self.server = None if address is None else PostgresAddress.parse(address)
        self._opened = ExitStack()

    @property
    def schema(self) -> str:
        assert self.server is not None
        return self.server.schema

    def open(self, key: str | None = None) -> Gallery:
        place = (
            Folder(self.folder, lambda _: key)
            if self.address is None
            else place_of(self.address, self.folder, lambda _: key)
        )
        gallery = self._opened.enter_context(place.open(model=self._model, create=True))
        assert isinstance(gallery, Gallery)
        return gallery

    def back_up(self, target: Path, key: str | None = None) -> Path:
        back_up(self.folder, target, find_secret=lambda _: key, server=self.server)
        return target

    def restore(self, source: Path, key: str | None = None, secret: str | None = None) -> None:
        restore(source, self.folder, lambda _: key, secret, self.server)

    def close(self) -> None:
        self._opened.close()


@pytest.fixture
def here(
    postgres_address: str, tmp_path: Path, model: EmbeddingModel
) -> Iterator[Callable[[str], Here]]:
    """Makes a gallery in a folder, `folder…`, or on the server, `server…`."""
    with ExitStack() as opened:

        def make(name: str) -> Here:
            address = f"{postgres_address}_{name}" if name.startswith("server") else None
            made = Here(tmp_path / name, address, model)
            opened.callback(made.close)
            return made

        yield make


def everything(gallery: Gallery) -> str:
    with gallery.records() as records:
        return checksum(digest for record in records for digest in fingerprints(record))


def fill(gallery: Gallery, make_template: MakeTemplate) -> None:
    """Something of every kind that is kept."""
    for seed, name in enumerate(("Ännchen", "Bob", "Cyd", "Dan")):
        faces = [make_template(10 * seed + n, crop=b"crop \0 of a face") for n in range(2)]
        gallery.enrol(name, faces, Consent(note=f"form {seed}", until=date(2999, 1, 1)), ["choir"])
    gallery.edit.exclude("Bob", make_template(77))
    gallery.edit.delete("Cyd")
    gallery.edit.rename("Ännchen", "Anna")


WAYS = [("server", "folder"), ("folder", "server"), ("server", "server2")]


@pytest.mark.parametrize(("there", "back"), WAYS)
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_backup_has_everything_wherever_it_is_from_and_goes(
    here: Callable[[str], Here],
    make_template: MakeTemplate,
    tmp_path: Path,
    there: str,
    back: str,
    key: str | None,
) -> None:
    source, target = here(there), here(back)
    gallery = source.open(key)
    if key:
        gallery.encrypt(key)
    fill(gallery, make_template)
    gallery.enrol("Zed", [make_template(40)])
    gallery.edit.undo()  # whose number is given to nobody else
    kept = source.back_up(tmp_path / "kept.sqlite", key)
    if key:
        assert b"form 1" not in kept.read_bytes()
    target.restore(kept, key)
    restored = target.open(key)
    assert restored.is_encrypted is bool(key)
    assert everything(restored) == everything(gallery)
    assert restored.operations() == gallery.operations()
    assert restored.faults() == []
    ids = {person.person_id for person in gallery.people()}
    assert {person.person_id for person in restored.people()} == ids
    restored.edit.undo()  # the journal is in it
    assert [one.name for one in restored.people()] == ["Bob", "Dan", "Ännchen"]
    [[best]] = restored.search(make_template(30).embedding[None], 1)
    assert best.person == "Dan"
    restored.enrol("Eve", [make_template(50)])
    assert restored.person("Eve").person_id == max(ids) + 2


def test_a_backup_of_a_server_is_used_as_it_is_in_a_folder(
    here: Callable[[str], Here], make_template: MakeTemplate, tmp_path: Path
) -> None:
    source = here("server")
    fill(gallery := source.open(), make_template)
    (tmp_path / "by hand").mkdir()
    source.back_up(tmp_path / "by hand" / DATABASE)
    with pytest.raises(ArgumentError, match="is there already"):
        source.back_up(tmp_path / "by hand" / DATABASE)
    with Folder(tmp_path / "by hand").open() as other:
        assert everything(other) == everything(gallery)
        other.enrol("Eve", [make_template(50)])


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_restoration_on_a_server_keeps_its_promises(
    here: Callable[[str], Here],
    make_template: MakeTemplate,
    tmp_path: Path,
    postgres_server: "Server",
    key: str | None,
) -> None:
    """Seen at once by others; erased stays erased; a later consent, the log and the key stay."""
    server = here("server")
    one = server.open(key)
    if key:
        one.encrypt(key)
    fill(one, make_template)
    kept = server.back_up(tmp_path / "kept.sqlite", key)
    other = server.open(key)
    other.search(make_template(0).embedding[None], 1)
    one.erase("Bob")
    one.enrol("Eve", [make_template(50)])
    eve = one.person("Eve").person_id
    one.edit.consent("Dan", Consent(note="a later form"))
    lines = len(one.audit())
    foreseen = foresee(kept, server.folder, lambda _: key, server=server.server)
    assert foreseen.gone == ("Eve",)
    assert foreseen.erased_again == 1
    server.restore(kept, key)
    assert [person.name for person in other.people()] == ["Anna", "Dan"]
    [[best]] = other.search(make_template(50).embedding[None], 1)
    assert best.person in ("Anna", "Dan")
    assert other.person("Dan").consent == "a later form"
    assert len(other.audit()) > lines
    assert other.is_encrypted is bool(key)
    one.enrol("Fay", [make_template(60)])
    assert one.person("Fay").person_id > eve
    assert one.faults() == []
    dump = postgres_server.run(
        "pg_dump", "-h", str(postgres_server.folder), "-U", "likeness",
        "-n", server.schema, "test",
    )  # fmt: skip
    assert make_template(10).embedding.tobytes().hex() not in dump


def test_a_plain_backup_comes_encrypted_into_an_encrypted_gallery(
    here: Callable[[str], Here],
    make_template: MakeTemplate,
    tmp_path: Path,
    postgres_server: "Server",
) -> None:
    source, server, fresh = here("folder"), here("server"), here("server2")
    fill(gallery := source.open(), make_template)
    kept = source.back_up(tmp_path / "kept.sqlite")
    server.open(KEY).encrypt(KEY)
    server.restore(kept, KEY)
    fresh.restore(kept, OTHER, secret=OTHER)
    for place, key in ((server, KEY), (fresh, OTHER)):
        restored = place.open(key)
        assert restored.is_encrypted
        assert everything(restored) == everything(gallery)
        restored.edit.undo()
        sql = f"SELECT count(*) FROM {place.schema}.person WHERE name = 'Bob'"
        assert postgres_server.sql(sql).strip() == "0"


@pytest.mark.parametrize("place", ["folder", "server"])
def test_a_restoration_that_fails_changes_nothing_and_whoever_waits_goes_on(
    here: Callable[[str], Here],
    make_template: MakeTemplate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    target = here(place)
    gallery = target.open()
    fill(gallery, make_template)
    kept = target.back_up(tmp_path / "kept.sqlite")
    gallery.enrol("Eve", [make_template(50)])
    before = everything(gallery)
    begun, go_on = threading.Event(), threading.Event()

    def fail(_: object) -> int:
        raise GalleryError("no more")

    real = backups.erase_once_more

    def wait(connection: object) -> int:
        begun.set()
        assert go_on.wait(30)
        return real(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(backups, "erase_once_more", fail)
    with pytest.raises(GalleryError, match="no more"):
        target.restore(kept)
    assert everything(gallery) == before
    monkeypatch.setattr(backups, "erase_once_more", wait)
    restoring = threading.Thread(target=target.restore, args=(kept,))
    restoring.start()
    assert begun.wait(30)
    assert everything(gallery) == before  # a reader waits for nobody

    writers = [
        threading.Thread(target=target.open().enrol, args=(f"P{seed}", [make_template(seed)]))
        for seed in (60, 61, 62)
    ]
    for one in writers:
        one.start()
    go_on.set()
    for one in (restoring, *writers):
        one.join(60)
    assert {person.name for person in gallery.people()} == {
        "Anna", "Bob", "Dan", "P60", "P61", "P62",
    }  # fmt: skip
    assert gallery.faults() == []


def test_what_was_altered_on_a_server_is_put_nowhere(
    here: Callable[[str], Here],
    make_template: MakeTemplate,
    tmp_path: Path,
    postgres_server: "Server",
) -> None:
    server = here("server")
    gallery = server.open(KEY)
    gallery.encrypt(KEY)
    fill(gallery, make_template)
    kept = server.back_up(tmp_path / "kept.sqlite", KEY)
    gallery.close()
    postgres_server.sql(f"UPDATE {server.schema}.person SET expires_on = '2998-01-01'")
    with pytest.raises(GalleryError, match=r"restore into another schema of it, by \?schema=NAME"):
        server.restore(kept, KEY)
    with pytest.raises(GalleryError, match="altered by somebody"):
        server.back_up(tmp_path / "other.sqlite", KEY)
    assert not (tmp_path / "other.sqlite").exists()
    other = here("server_b")
    other.restore(kept, KEY)
    assert len(other.open(KEY).people()) == 3


def test_by_the_commands(
    here: Callable[[str], Here], make_template: MakeTemplate, tmp_path: Path
) -> None:
    server, empty = here("server"), here("server2")
    fill(gallery := server.open(), make_template)
    before = everything(gallery)
    maintenance = GalleryMaintenance(tmp_path / "home", server.address)
    maintenance.back_up(tmp_path / "kept.sqlite")
    gallery.edit.delete("Bob")
    maintenance.check_backup(tmp_path / "kept.sqlite")
    found = maintenance.replaced()
    assert found is not None
    assert found.people == 2
    assert any(
        "enrolled again" in note for note in maintenance.foresee(tmp_path / "kept.sqlite").notes
    )
    assert maintenance.restore(tmp_path / "kept.sqlite") is None
    assert everything(gallery) == before
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        GalleryMaintenance(tmp_path / "home", empty.address).back_up(tmp_path / "none.sqlite")
    with pytest.raises(
        GalleryError, match=r"re-embedding is for galleries in a folder.*restore"
    ) as one:
        ReEmbedding(tmp_path / "home", server.address)
    assert "\n" not in str(one.value)
