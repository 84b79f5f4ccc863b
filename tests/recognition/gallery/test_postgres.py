"""What a gallery on a PostgreSQL server promises beyond what every gallery does."""

import multiprocessing
import os
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.errors import AlteredError, GalleryError, LockedError
from recognition.gallery.gallery import Gallery
from recognition.gallery.locations import Folder, place_of
from recognition.gallery.storage.changes import read_erased
from recognition.gallery.storage.link import AMONG
from recognition.gallery.storage.postgres_address import PostgresAddress
from recognition.gallery.storage.postgres_schema import in_its_words
from recognition.gallery.storage.records import PersonRecord
from recognition.gallery.storage.rows import SEALED, UNSEALED
from recognition.gallery.storage.snapshot import GLANCE
from recognition.gallery.storage.store import Store
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.copies import copy_gallery
from recognition.results import Calibration, Consent, Quality, Use

if TYPE_CHECKING:
    from postgres_server import Server

pytestmark = pytest.mark.postgres

MakeTemplate = Callable[..., Template]
KEY = "e" * 64
WRITERS, EACH = 8, 6


@pytest.fixture
def machine(
    postgres_address: str, tmp_path: Path, model: EmbeddingModel
) -> Iterator[Callable[[str], Gallery]]:
    """Opens the gallery as another machine does: with a data folder of its own."""
    with ExitStack() as opened:

        def open_on(name: str, key: str | None = None) -> Gallery:
            place = place_of(postgres_address, tmp_path / name, lambda _: key)
            gallery = place.open(model=model, create=True)
            assert isinstance(gallery, Gallery)
            return opened.enter_context(gallery)

        yield open_on


@pytest.fixture
def where(postgres_address: str) -> PostgresAddress:
    return PostgresAddress.parse(postgres_address)


def put(server: "Server", where: PostgresAddress, statement: str) -> str:
    """Change or ask what is kept as the server's owner can."""
    return server.sql(f"SET search_path = {where.schema}; {statement}")


def found_by(gallery: Gallery, template: Template) -> str:
    [[best]] = gallery.search(template.embedding[None], 1)
    return best.person


def test_every_column_on_the_server_is_sealed_or_open_for_a_reason(
    machine: Callable[[str], Gallery], where: PostgresAddress, postgres_server: "Server"
) -> None:
    machine("here")
    rows = postgres_server.sql(
        "SELECT table_name || ' ' || column_name FROM information_schema.columns"
        f" WHERE table_schema = '{where.schema}' AND table_name <> 'version'"
    )
    there = {tuple(line.split(" ", 1)) for line in rows.split("\n") if line}
    assert there == SEALED.keys() | {(table, one) for table, own in UNSEALED.items() for one in own}


def test_two_machines_follow_each_other(
    machine: Callable[[str], Gallery], make_template: MakeTemplate
) -> None:
    one, other = machine("one"), machine("other")
    one.enrol("Ann", [make_template(1)])
    assert found_by(other, make_template(1)) == "Ann"
    other.enrol("Bob", [make_template(2)])
    assert found_by(one, make_template(2)) == "Bob"
    one.edit.rename("Bob", "Robert")
    assert found_by(other, make_template(2)) == "Robert"
    other.edit.merge("Robert", "Ann")
    assert found_by(one, make_template(2)) == "Ann"
    one.edit.undo()
    assert [found_by(each, make_template(2)) for each in (one, other)] == ["Robert"] * 2
    other.edit.delete("Ann")
    assert found_by(one, make_template(1)) == "Robert"


def test_another_machine_finds_within_a_second_whoever_was_enrolled(
    machine: Callable[[str], Gallery], make_template: MakeTemplate
) -> None:
    one, other = machine("one"), machine("other")
    seconds = []
    for number in range(5):  # the machine may be busy with something else for one of them
        one.enrol(f"P{number}", [make_template(number)])
        begun = time.monotonic()
        assert found_by(other, make_template(number)) == f"P{number}"
        seconds.append(time.monotonic() - begun)
    assert min(seconds) < 1


def test_each_machine_keeps_an_index_that_it_finds_again(
    machine: Callable[[str], Gallery], make_template: MakeTemplate
) -> None:
    galleries = [machine(name) for name in ("one", "other", "third")]
    galleries[0].enrol("Ann", [make_template(1)])
    for gallery in galleries:
        assert found_by(gallery, make_template(1)) == "Ann"
        gallery.close()
    for name in ("one", "other", "third"):
        with closing(machine(name)) as gallery, gallery._store.reading() as snapshot:
            assert gallery._cache.read(snapshot) is not None, name


def _write(where: PostgresAddress, number: int) -> None:
    with closing(Store(where)) as store:
        for one in range(EACH):
            seed = 100 * number + one
            vector = np.random.default_rng(seed).normal(size=16)
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            store.enrol(f"P{number}", [Template(unit, f"{seed:064x}")])
            store.enrol("everybody's", [Template(-unit, f"{seed + 50:064x}")])
            if one % 3 == 2:
                store.edit.undo()  # of whoever's was the latest


def test_eight_writers_keep_exact_counts(
    machine: Callable[[str], Gallery], where: PostgresAddress
) -> None:
    gallery = machine("here")
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write, args=(where, n)) for n in range(WRITERS)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(120)
    assert [one.exitcode for one in writers] == [0] * WRITERS
    undone = WRITERS * (EACH // 3)
    people, photographs = gallery.size
    assert photographs == 2 * WRITERS * EACH - undone
    audit = gallery.audit()
    assert sum(line.action == "enrol" for line in audit) == 2 * WRITERS * EACH
    assert sum(line.action == "undo" for line in audit) == undone
    assert len({line.number for line in audit}) == len(audit)
    kept = gallery.people()
    assert len(kept) == people
    assert len({person.name for person in kept}) == people
    assert gallery.faults() == []


def _hang(where: PostgresAddress, begun: object) -> None:
    with closing(Store(where)) as store, store.adding() as connection:
        connection.execute("UPDATE person SET enrolled_at = 'half'")
        begun.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_client_that_is_killed_leaves_nothing_half_and_nobody_waiting(
    machine: Callable[[str], Gallery], where: PostgresAddress, make_template: MakeTemplate
) -> None:
    gallery = machine("here")
    gallery.enrol("Ann", [make_template(1)])
    fork = multiprocessing.get_context("fork")
    begun = fork.Event()
    client = fork.Process(target=_hang, args=(where, begun))
    client.start()
    assert begun.wait(60)
    assert gallery.people()[0].enrolled_at != "half"
    with (
        pytest.raises(GalleryError, match="is in use by another program: try again"),
        gallery._store.unchanging(0.2),
    ):
        pass
    assert client.pid is not None
    os.kill(client.pid, signal.SIGKILL)
    client.join(10)
    gallery.enrol("Bob", [make_template(2)])
    assert [one.name for one in gallery.people()] == ["Ann", "Bob"]
    assert all(one.enrolled_at != "half" for one in gallery.people())


def lose_connections(server: "Server") -> None:
    server.sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'likeness'"
    )


def test_a_connection_lost_between_two_calls_is_made_anew(
    machine: Callable[[str], Gallery], postgres_server: "Server", make_template: MakeTemplate
) -> None:
    gallery = machine("here")
    gallery.enrol("Ann", [make_template(1)])
    lose_connections(postgres_server)
    assert [one.name for one in gallery.people()] == ["Ann"]
    lose_connections(postgres_server)
    gallery.enrol("Bob", [make_template(2)])
    lose_connections(postgres_server)
    gallery.erase("Bob")
    assert [one.name for one in gallery.people()] == ["Ann"]


def test_a_connection_lost_within_a_change_is_one_line_and_the_next_call_works(
    machine: Callable[[str], Gallery], postgres_server: "Server", make_template: MakeTemplate
) -> None:
    gallery = machine("here")
    gallery.enrol("Ann", [make_template(1)])

    def lose_it_within() -> None:
        with gallery._store.adding() as connection:
            connection.execute("UPDATE person SET enrolled_at = 'half'")
            lose_connections(postgres_server)

    def lose_it_at_the_end() -> None:
        with gallery._store.unchanging():
            lose_connections(postgres_server)

    def lose_it_looking() -> None:
        with gallery._store.reading() as snapshot:
            lose_connections(postgres_server)
            snapshot.people()

    for lose_it in (lose_it_within, lose_it_looking):
        with pytest.raises(GalleryError) as caught:
            lose_it()
        assert "cannot be reached" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(GalleryError, match="lost at the end of a change"):
        lose_it_at_the_end()
    assert gallery.people()[0].enrolled_at != "half"
    gallery.enrol("Bob", [make_template(2)])
    assert len(gallery.people()) == 2


@pytest.mark.parametrize(
    "address", ["postgresql://127.0.0.1:1/d", "postgresql:///d?host=/no/such/folder"]
)
def test_a_server_that_is_not_there_is_one_line(address: str, tmp_path: Path) -> None:
    for ask in (lambda: place_of(address, tmp_path).exists, place_of(address, tmp_path).open):
        with pytest.raises(GalleryError) as caught:
            ask()
        assert "cannot be reached" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_another_programs_or_newer_is_refused(
    machine: Callable[[str], Gallery],
    where: PostgresAddress,
    postgres_server: "Server",
    postgres_address: str,
    tmp_path: Path,
) -> None:
    machine("here")
    put(postgres_server, where, "UPDATE version SET number = 99")
    place = place_of(postgres_address, tmp_path)
    with pytest.raises(GalleryError, match=r"written by a newer Likeness .schema 99"):
        place.open()
    put(postgres_server, where, "DROP TABLE version")
    with pytest.raises(GalleryError, match="some other program's"):
        place.open()


ALTERATIONS = {
    "a consent": "UPDATE person SET expires_on = '2999-01-01'",
    "a person less": "DELETE FROM person WHERE id = 2",
    "a line of the log": "ALTER TABLE audit DISABLE TRIGGER audit_stays;"
    " UPDATE audit SET user_id = 4711 WHERE id = 1",
    "a template's owner": "UPDATE template SET person_id = 1 WHERE person_id = 2",
    "whom an operation changed": "DELETE FROM reversal",
    "no proof": "DELETE FROM proof",
    "nobody follows": "DROP TRIGGER likeness_tally ON person;"
    " UPDATE person SET deleted_at = '2026-01-01'",
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_a_row_altered_without_the_key_is_found_out(
    machine: Callable[..., Gallery],
    where: PostgresAddress,
    postgres_server: "Server",
    make_template: MakeTemplate,
    what: str,
) -> None:
    gallery = machine("here", KEY)
    gallery.encrypt(KEY)
    for seed, name in enumerate(("Ann", "Bob")):
        gallery.enrol(name, [make_template(seed)], Consent(note="paper"))
    with pytest.raises(LockedError):
        machine("elsewhere")
    other = machine("other", KEY)  # as they were written
    other.enrol("Cyd", [make_template(7)])
    assert len(gallery.people()) == 3  # what Likeness itself changes is right
    put(postgres_server, where, ALTERATIONS[what])
    with pytest.raises(AlteredError, match="altered by somebody without its key"):
        machine("third", KEY)


def test_a_line_of_the_log_is_neither_altered_nor_removed(
    machine: Callable[[str], Gallery], make_template: MakeTemplate
) -> None:
    gallery = machine("here")
    gallery.enrol("Ann", [make_template(1)])
    for statement in ("UPDATE audit SET user_id = 1", "DELETE FROM audit"):
        with (
            pytest.raises(GalleryError, match="lines of the audit log are not altered"),
            gallery._store.adding() as connection,
        ):
            connection.execute(statement)
    assert gallery.audit()


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_no_row_no_dump_and_no_machines_index_gives_who_was_erased(
    machine: Callable[..., Gallery],
    where: PostgresAddress,
    postgres_server: "Server",
    make_template: MakeTemplate,
    tmp_path: Path,
    key: str | None,
) -> None:
    one, other = machine("one", key), machine("other", key)
    if key:
        one.encrypt(key)
    name = "Ännchen Tharau"
    gone = replace(
        make_template(4, crop=b"crop of a face"), photograph_sha256="c0ffee" * 10 + "beef"
    )
    one.enrol(name, [gone], Consent(note="form 4711"), ["choir"])
    one.enrol("Bob", [make_template(5)])
    one.edit.rename(name, f"{name} II")
    for each in (one, other):
        found_by(each, gone)
        each.close()
    one, other = machine("one", key), machine("other", key)
    bits = gone.embedding.tobytes()

    def index_has_it(machine: str) -> bool:
        files = [path for path in (tmp_path / machine).rglob("*") if path.is_file()]
        assert files
        return any(bits in path.read_bytes() for path in files)

    assert index_has_it("other") is (key is None)
    marks = ["Tharau", "form 4711", "choir", gone.photograph_sha256, bits.hex(), gone.crop.hex()]

    def dump() -> str:
        return postgres_server.run(
            "pg_dump", "-h", str(postgres_server.folder), "-U", "likeness", "-n", where.schema,
            "test",
        )  # fmt: skip

    before = dump()
    assert [mark in before for mark in marks] == [key is None] * len(marks)
    sealed = put(postgres_server, where, "SELECT encode(embedding, 'hex') FROM template LIMIT 1")
    one.erase(f"{name} II")
    after = dump()
    assert not any(mark in after for mark in [*marks, sealed.splitlines()[-1]])
    other.tidy()
    assert not index_has_it("one")
    assert not index_has_it("other")
    assert "write-ahead log" in str(one.lingers)
    assert "VACUUM FULL" in str(one.older_rows_linger)
    assert found_by(other, make_template(5)) == "Bob"


def test_a_machine_that_knows_of_an_erasure_tells_where_a_backup_has_brought_somebody_back(
    machine: Callable[[str], Gallery],
    where: PostgresAddress,
    postgres_server: "Server",
    make_template: MakeTemplate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gallery = machine("here")
    gallery.enrol("Ann", [make_template(1)])
    gallery.erase("Ann")
    put(
        postgres_server,
        where,
        "DELETE FROM erased; INSERT INTO person (id, name, mark, enrolled_at)"
        " VALUES (1, 'Ann', 'Ann', '2026-01-01T00:00:00+00:00')",
    )
    for _ in range(2):
        caplog.clear()
        machine("here").close()
        assert "is an older one by now, and 1 person was erased since" in caplog.text
        assert "gallery restore" not in caplog.text
    caplog.clear()
    machine("a machine that has never been here").close()
    assert not caplog.text


def test_a_copy_there_and_back_has_all_to_the_last_bit(
    machine: Callable[[str], Gallery],
    model: EmbeddingModel,
    make_template: MakeTemplate,
    tmp_path: Path,
) -> None:
    quality = Quality(size=80.0, sharpness=0.5, turn=0.1, nod=-0.2, brightness=1 / 3, trust=0.9)
    with (
        Folder(tmp_path / "from").open(model=model, create=True) as source,
        Folder(tmp_path / "back").open(model=model, create=True) as back,
    ):
        for seed in range(12):
            faces = [
                replace(make_template(10 * seed + n, crop=bytes([seed, n])), quality=quality)
                for n in range(3)
            ]
            source.enrol(f"Ångström {seed}", faces, Consent(note=f"n{seed}"), ["a", f"g{seed}"])
        source.edit.exclude("Ångström 1", make_template(999))
        source.edit.delete("Ångström 2")
        server = machine("here")
        there = copy_gallery(source, server)
        again = copy_gallery(source, server)
        home = copy_gallery(server, back)
        assert (there.lacking, again.lacking, home.lacking) == (0, 0, 0)
        assert again.added.new == 0
        assert there.checksum == again.checksum == home.checksum
        with source.records() as one, back.records() as other:
            assert [(r.name, r.groups, r.consent, r.deleted_at, len(r.templates)) for r in one] == [
                (r.name, r.groups, r.consent, r.deleted_at, len(r.templates)) for r in other
            ]
        with pytest.raises(GalleryError, match="nobody called 'Ångström 2' is enrolled"):
            server.person("Ångström 2")


def test_one_machine_searches_while_another_enrols(
    machine: Callable[[str], Gallery], make_template: MakeTemplate
) -> None:
    one, other = machine("one"), machine("other")
    one.enrol("Ann", [make_template(0)])
    failures: list[BaseException] = []
    half, was_seen = threading.Event(), threading.Event()

    def enrol() -> None:
        try:
            for seed in range(1, 15):
                other.enrol(f"P{seed}", [make_template(seed)])
                if seed == 7:
                    half.set()
                    assert was_seen.wait(60)
        except BaseException as error:
            failures.append(error)

    seen = [one.size[0]]
    writer = threading.Thread(target=enrol)
    writer.start()
    while writer.is_alive():
        is_half = half.is_set()
        assert found_by(one, make_template(0)) == "Ann"
        seen.append(one.size[0])
        if is_half:
            was_seen.set()
    writer.join()
    assert not failures
    assert {1, 8} <= set(seen)
    assert seen == sorted(seen)
    assert one.size == other.size == (15, 15)
    assert found_by(one, make_template(14)) == "P14"


def threshold(model: EmbeddingModel) -> Calibration:
    return Calibration(
        use=Use.IDENTIFY,
        rate=0.01,
        threshold=1 / 3,
        threshold_low=0.29,
        threshold_high=0.34,
        rate_low=0.006,
        rate_high=0.017,
        comparisons=812,
        rise=1.5,
        fall=20.25,
        offset=-18.5,
        prior=0.5,
        calibration_error=None,
        weights_digest=model.weights_digest,
        data="690 people in 1,212 photographs of others",
        calibrated_at="2026-03-01T10:00:00+00:00",
        people=2,
        templates=3,
    )


def test_thresholds_are_kept_and_replaced(
    machine: Callable[[str], Gallery], model: EmbeddingModel
) -> None:
    kept = threshold(model)
    one, other = machine("one"), machine("other")
    one.calibrate([replace(kept, threshold=0.2)])
    other.calibrate([kept])
    assert one.calibration(Use.IDENTIFY) == kept


def test_what_is_written_many_at_once_is_proved_as_well(
    machine: Callable[..., Gallery], model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    """In transactions in which nothing else is written."""
    one = machine("one", KEY)
    one.enrol("Ann", [make_template(1)])
    one.enrol("Bob", [make_template(2)])
    one.encrypt(KEY)
    people = [person.person_id for person in one.people()]
    one.note_search(people)
    machine("after a search", KEY)
    one.calibrate([threshold(model)])
    other = machine("other", KEY)
    assert other.calibration(Use.IDENTIFY) == threshold(model)
    assert sum(line.action == "search" for line in other.audit()) == 2


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_changes_are_counted_by_the_statement(
    where: PostgresAddress, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """Not by what the server has said last, which some psycopg forget of many statements."""
    import psycopg

    from recognition.gallery.storage.postgres import PostgresLink, connected

    monkeypatch.setattr(psycopg.RawCursor, "statusmessage", None)
    with closing(PostgresLink(connected(where))) as link:

        def run(statement: str, *values: object) -> int:
            before = link.total_changes
            if many:
                link.executemany(statement, [values, values])
            else:
                link.execute(statement, values)
            return link.total_changes - before

        times = 2 if many else 1
        assert run("CREATE TEMPORARY TABLE IF NOT EXISTS kept (number BIGINT)") == 0
        assert run(" insert INTO kept VALUES (?)", 7) == times
        assert run("SELECT number FROM kept WHERE number = ?", 7) == 0
        assert run("UPDATE kept SET number = 8 WHERE number = ?", 9) == 0
        assert run("DELETE FROM kept WHERE number = ?", 7) == times
        if many:
            link.executemany("DELETE FROM kept WHERE number = ?", [])
            assert link.total_changes == 2 * times


def test_a_database_of_no_encoding_keeps_every_name(
    machine: Callable[[str], Gallery],
    postgres_server: "Server",
    make_template: MakeTemplate,
    postgres_address: str,
    model: EmbeddingModel,
    tmp_path: Path,
) -> None:
    postgres_server.run(
        "createdb", "-h", str(postgres_server.folder), "-U", "likeness", "-E", "SQL_ASCII",
        "-T", "template0", "--locale", "C", "ascii",
    )  # fmt: skip
    address = postgres_address.replace("/test?", "/ascii?")
    for name in ("one", "other"):
        with place_of(address, tmp_path / name).open(model=model, create=True) as gallery:
            if name == "one":
                gallery.enrol("Ännchen 安", [make_template(1)], Consent(note="größer"), ["Chör"])
                gallery.edit.rename("Ännchen 安", "Ænne")
                gallery.edit.undo()
            [person] = gallery.people()
            assert (person.name, person.consent, person.groups) == (
                "Ännchen 安",
                "größer",
                ("Chör",),
            )
            assert gallery.faults() == []


def test_a_session_takes_the_time_that_it_needs(
    where: PostgresAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recognition.gallery.storage.postgres import connected

    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=200")
    with closing(connected(where)) as raw:
        raw.execute("SELECT pg_sleep(0.3)")


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "require"])
def test_the_machines_own_certificates_are_found_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    import psycopg

    from recognition.gallery.storage.postgres import connected

    told: dict[str, str | None] = {}

    def connect(**_: object) -> None:
        told.update({name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")})
        raise psycopg.OperationalError("no server")

    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    paths = ssl.get_default_verify_paths()
    try:
        with pytest.raises(psycopg.OperationalError):
            connected(PostgresAddress.parse(f"postgresql://db.example/faces?sslmode={mode}"))
    finally:
        for name in told:
            os.environ.pop(name, None)
    is_asked = mode == "verify-full"
    assert told == {
        "SSL_CERT_FILE": (paths.cafile or None) if is_asked else None,
        "SSL_CERT_DIR": (paths.capath or None) if is_asked else None,
    }


def test_a_question_that_fails_takes_back_no_change_and_the_next_call_works(
    machine: Callable[[str], Gallery], make_template: MakeTemplate
) -> None:
    import psycopg

    gallery = machine("here")
    gallery.enrol("Ann", [make_template(1)])
    database = gallery._store._database
    with database.reading() as connection, suppress(psycopg.Error):
        connection.execute("SELECT no_such_column FROM person")
    assert len(gallery.people()) == 1
    with (
        pytest.raises(GalleryError, match="has taken the change back: try again"),
        database.writing() as connection,
        suppress(psycopg.Error),
    ):
        _ = connection.execute("UPDATE person SET no_such_column = 1").rowcount
    gallery.enrol("Bob", [make_template(2)])
    assert len(gallery.people()) == 2


def test_what_fails_at_the_end_of_a_change_is_told_as_what_it_is(
    machine: Callable[[str], Gallery], where: PostgresAddress, postgres_server: "Server"
) -> None:
    gallery = machine("here")
    put(
        postgres_server,
        where,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE disk_full; END $$;"
        " CREATE CONSTRAINT TRIGGER full_disk AFTER UPDATE ON gallery DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION full_disk()",
    )
    with (
        pytest.raises(GalleryError, match="the server's disk is full"),
        gallery._store.adding() as connection,
    ):
        connection.execute("UPDATE gallery SET weights_path = 'elsewhere'")
    put(postgres_server, where, "DROP TRIGGER full_disk ON gallery")
    assert gallery.people() == ()


def test_a_new_connection_that_cannot_begin_either_is_usable_later(
    machine: Callable[[str], Gallery], postgres_server: "Server", make_template: MakeTemplate
) -> None:
    gallery, other = machine("here"), machine("other")
    gallery.enrol("Ann", [make_template(1)])
    gallery._store._database._link.raw.close()  # type: ignore[attr-defined]
    with (
        other._store.unchanging(),
        pytest.raises(GalleryError, match="in use by another program"),
        gallery._store.unchanging(0.2),
    ):
        pass
    with gallery._store.reading() as snapshot:  # the very next question
        assert len(snapshot.people()) == 1


def test_a_search_forgets_who_was_erased_elsewhere_while_another_machine_imports(
    machine: Callable[[str], Gallery],
    make_template: MakeTemplate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recognition.gallery.gallery._PATIENCE", 0.1)
    one, other, third = machine("one"), machine("other"), machine("third")
    ann, bob = make_template(1), make_template(2)
    one.enrol("Ann", [ann])
    one.enrol("Bob", [bob])
    for gallery in (one, other):
        found_by(gallery, ann)
    other.close()
    other = machine("other")
    one.erase("Ann")
    index = tmp_path / "other"
    held = [path for path in index.rglob("*.faiss") if ann.embedding.tobytes() in path.read_bytes()]
    assert held
    with third._store.adding() as connection:
        connection.execute("UPDATE gallery SET weights_path = 'imported'")
        assert found_by(other, bob) == "Bob"
        assert not any(path.exists() for path in held)
    assert found_by(other, bob) == "Bob"


def test_an_older_dump_put_back_hides_no_later_erasure_elsewhere(
    machine: Callable[[str], Gallery],
    where: PostgresAddress,
    postgres_server: "Server",
    make_template: MakeTemplate,
    tmp_path: Path,
) -> None:
    one, other = machine("one"), machine("other")
    faces = {name: make_template(seed) for seed, name in enumerate(("Ann", "Bob", "Cyd", "Dan"))}
    for name, face in faces.items():
        one.enrol(name, [face])
    for name in ("Ann", "Bob"):
        one.erase(name)
    found_by(other, faces["Cyd"])
    put(postgres_server, where, "DELETE FROM erased")  # as a dump from before has it
    found_by(other, faces["Cyd"])
    other.close()
    assert any(
        faces["Cyd"].embedding.tobytes() in path.read_bytes()
        for path in (tmp_path / "other").rglob("*.faiss")
    )
    one.erase("Cyd")
    other = machine("other")
    assert found_by(other, faces["Dan"]) == "Dan"
    assert not any(
        faces["Cyd"].embedding.tobytes() in path.read_bytes()
        for path in (tmp_path / "other").rglob("*")
        if path.is_file()
    )
    [folder] = (tmp_path / "other" / "indexes").iterdir()
    assert {row for _, kind, row in read_erased(folder) if kind == "person"} == {1, 2, 3}


def test_how_often_the_server_is_waited_for(
    postgres_server: "Server",
    postgres_address: str,
    model: EmbeddingModel,
    make_template: MakeTemplate,
    tmp_path: Path,
) -> None:
    """A search by what is known asks once; a change no more often, whatever it writes."""
    from postgres_relay import relayed

    with relayed(postgres_server.folder) as relay, ExitStack() as opened:
        address = postgres_address.replace(str(postgres_server.folder), str(relay.folder))
        one, other = (
            opened.enter_context(place_of(address, tmp_path / name).open(model=model, create=True))
            for name in ("one", "other")
        )

        def asked(call: Callable[[], object]) -> int:
            before = relay.round_trips
            call()
            return relay.round_trips - before

        def least(call: Callable[[], object]) -> int:  # psycopg prepares one asked five times
            return min(asked(call) for _ in range(3))

        def enrol(name: str, first: int, photographs: int) -> Callable[[], object]:
            faces = [make_template(first + n, crop=b"crop") for n in range(photographs)]
            return lambda: one.enrol(name, faces)

        def search() -> None:
            assert found_by(other, make_template(0)) == "Ann"

        def put_in(first: int, people: int) -> Callable[[], object]:
            records = [
                PersonRecord(
                    name=f"P{number}",
                    enrolled_at="2026-01-01T00:00:00+00:00",
                    deleted_at=None,
                    templates=(make_template(number, crop=b"crop"),),
                    exclusions=(make_template(number + 500),),
                    groups=("choir",),
                )
                for number in range(first, first + people)
            ]

            def add() -> None:
                with one.adding() as adding:
                    adding(records)

            return add

        enrol("Ann", 0, 1)()
        search()
        assert least(search) == 1
        few, many = asked(enrol("Bob", 10, 1)), asked(enrol("Cyd", 20, 30))
        assert few <= 10
        assert many <= few
        assert asked(search) <= 14
        assert least(search) == least(other.photographs_a_person) == 1
        few, many = asked(put_in(100, 2)), asked(put_in(200, 200))
        assert few <= 12
        assert many <= few + 20  # answers that come meanwhile count, though nobody waits for them
        one.edit.rename("Bob", "Robert")
        search()
        assert one.size == other.size == (205, 234)
        assert one.faults() == []


PLANNED: dict[str, tuple[str, tuple[str, ...]]] = {
    "what a search asks first": (GLANCE, ()),
    "templates by their ids": (f"SELECT embedding FROM template WHERE id {AMONG}", ("[7, 8]",)),
    "people's templates": (f"SELECT embedding FROM template WHERE person_id {AMONG}", ("[7, 8]",)),
}


@pytest.mark.parametrize("analyzed", [False, True], ids=["as it came", "analyzed"])
@pytest.mark.parametrize("question", PLANNED)
def test_what_a_search_asks_is_answered_by_indexes_however_many_are_enrolled(
    machine: Callable[[str], Gallery], where: PostgresAddress, question: str, *, analyzed: bool
) -> None:
    from recognition.gallery.storage.postgres import connected

    machine("here")
    statement, values = PLANNED[question]
    with connected(where) as raw:
        raw.execute("SET likeness.today = '2026-01-01'")
        raw.execute(
            "INSERT INTO person (id, name, mark, enrolled_at)"
            " SELECT n, n, n, '2026-01-01' FROM generate_series(1, 20000) AS n"
        )
        raw.execute(
            "INSERT INTO template (person_id, photograph_mark, photograph_sha256, embedding)"
            " SELECT n, lpad(n::text, 64, '0'), '', decode(repeat('00', 64), 'hex')"
            " FROM generate_series(1, 20000) AS n"
        )
        if analyzed:
            raw.execute("ANALYZE")
        plan = raw.execute(f"EXPLAIN {in_its_words(statement)}".encode(), values).fetchall()
    lines = "\n".join(line for (line,) in plan)
    assert "Seq Scan on person" not in lines, lines
    assert "Seq Scan on template" not in lines, lines
