"""Addresses of galleries on a PostgreSQL server; no server is asked."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from data.errors import ArgumentError, GalleryError
from recognition.gallery.locations import Server, folder_of, place_of
from recognition.gallery.storage.link import AMONG
from recognition.gallery.storage.people import ENROLLED
from recognition.gallery.storage.postgres_address import PASSWORD, PostgresAddress
from recognition.gallery.storage.postgres_schema import in_its_words, tables

SECRET = "p@ss/wörd:1"
SPELLED = "p%40ss%2Fw%C3%B6rd%3A1"


def test_an_address_is_read_and_its_text_has_no_secret() -> None:
    found = PostgresAddress.parse(
        f"postgresql://ann:{SPELLED}@db.example:6543/faces?schema=team&sslmode=verify-ca"
        "&sslrootcert=/etc/ca.pem"
    )
    told = found.parameters
    assert (told["host"], told["port"], told["dbname"]) == ("db.example", "6543", "faces")
    assert (told["user"], told["password"]) == ("ann", SECRET)
    assert (told["sslmode"], told["sslrootcert"]) == ("verify-ca", "/etc/ca.pem")
    assert found.schema == "team"
    assert str(found) == "postgresql://db.example:6543/faces?schema=team"
    assert SECRET not in repr(found)


def test_one_gallery_has_one_text_whoever_asks() -> None:
    same = ("postgresql://h/d", "postgres://ann:x@h:5432/d?sslmode=require", "postgresql://h/d/")
    assert {str(PostgresAddress.parse(one)) for one in same} == {"postgresql://h/d"}
    assert str(PostgresAddress.parse("postgresql://[::1]:5433/d")) == "postgresql://[::1]:5433/d"


def test_the_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    assert PostgresAddress.parse("postgresql://ann@h/d").password == SECRET
    assert PostgresAddress.parse("postgresql://ann:own@h/d").password == "own"


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("[::1]", True),
        ("", True),
        ("db", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("0.0.0.0", False),
        ("[fe80::1]", False),
    ],
)
def test_what_leaves_this_machine_is_encrypted(
    host: str, is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    found = PostgresAddress.parse(f"postgresql://{host}/d")
    assert found.is_local is is_local
    assert found.parameters["sslmode"] == ("prefer" if is_local else "verify-full")
    assert ("sslrootcert" in found.parameters) is not is_local
    for mode in ("disable", "allow", "prefer"):
        asked = f"postgresql://{host}/d?sslmode={mode}"
        if is_local:
            assert PostgresAddress.parse(asked).parameters["sslmode"] == mode
        else:
            with pytest.raises(ArgumentError, match="sent encrypted alone"):
                PostgresAddress.parse(asked)
    for mode in ("require", "verify-ca", "verify-full"):
        asked = f"postgresql://{host}/d?sslmode={mode}"
        assert PostgresAddress.parse(asked).parameters["sslmode"] == mode


@pytest.mark.parametrize(
    "rest",
    [
        "h",
        "h/",
        "h/a/b",
        "h:port/d",
        "[::1/d",
        "h/d?schema=Team",
        "h/d?schema=1st",
        "h/d?schema=pg_toast",
        "h/d?schema=a;drop",
        'h/d?schema=a"b',
        "h/d?schema=",
        "h/d?sslmode=none",
        "h/d?options=-c%20x",
        "h/d?hostaddr=10.0.0.1",
        "h/d?host=/tmp",
        "h/d?password=x",
        "h/d?sslmode",
    ],
)
def test_what_is_no_address_is_one_line_without_the_password(rest: str) -> None:
    for named in (f"postgresql://ann:{SPELLED}@{rest}", f"postgres://ann:{SPELLED}@{rest}"):
        with pytest.raises(ArgumentError) as caught:
            place_of(named, Path())
        told = str(caught.value)
        assert "\n" not in told
        assert SECRET not in told
        assert SPELLED not in told


@pytest.mark.parametrize("scheme", ["postgressql", "psql", "POSTGRES", "http"])
def test_another_scheme_is_told_without_the_password(scheme: str) -> None:
    with pytest.raises(ArgumentError, match="neither a folder nor an address postgresql://") as one:
        place_of(f"{scheme}://ann:{SPELLED}@h/d", Path())
    assert SPELLED not in str(one.value)


def test_each_gallery_has_its_own_index_in_the_data_folder(tmp_path: Path) -> None:
    names = ("postgresql://h/d", "postgresql://h/d?schema=b", "postgresql://other/d")
    places = [place_of(one, tmp_path) for one in names]
    assert all(isinstance(one, Server) for one in places)
    folders = {one.folder for one in places if isinstance(one, Server)}
    assert len(folders) == 3
    assert {one.parent for one in folders} == {tmp_path / "indexes"}
    assert not (tmp_path / "indexes").exists()
    with pytest.raises(GalleryError, match=r"a backup is for galleries in a folder"):
        folder_of(places[0], "a backup")


def test_nobody_who_uses_a_folder_waits_for_psycopg() -> None:
    code = "import sys, recognition.gallery.locations; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_statement_is_put_in_the_servers_words() -> None:
    assert in_its_words(f"SELECT 1 FROM t WHERE a = ? AND id {AMONG} AND b = ?") == (
        "SELECT 1 FROM t WHERE a = $1 AND id = ANY"
        " (ARRAY(SELECT value::bigint FROM json_array_elements_text($2::json))) AND b = $3"
    )
    for words in (in_its_words(ENROLLED), tables()):
        for only_sqlite in ("today()", "json_each", "STRICT", "PRAGMA", "AUTOINCREMENT,", "BLOB"):
            assert only_sqlite not in words


@pytest.mark.parametrize(
    "unescaped",
    [
        "zoe:7/s3cret",
        "zoe:7/s3cret/",
        "zoe:7777/s3:cret?schema=s3cret",
        "zoe:5432/s3cret",
        "zoe:/s3cret",
        "zoe.doe:7/s3cret",
        "zoe:7/s3cret?x=1",
        "zoe:7/s3cret@db/faces",
        "zoe:7/s3cret@db",
        "zoe:7/a/s3cret@db/faces",
        "zoe:12#s3cret@h/d",
        "zoe:12?s3cret@h/d",
        "zoe:12?schema=s3cret@h/d",
        "zoe:12?s3cret=1@h/d",
        "zoe:#s3cret@h/d",
        "zoe:/s3cret@h/d",
        "zoe:s3cret#@h/d",
        "zoe:[s3cret@h/d",
        "zoe:x/y@s3cret@h/d",
        "zoe:7/s3cret%40@h/d",
        "zoe@h/d#s3cret",
        "zoe:s3cret",
        "zoe:x@h/s3cret\x1b[2J",
        "zoe:x@h/s3cret%1B",
        "zoe:x@h/s3cret%E2%80%AE",
        "zoe:x@h\n/s3cret",
        "zoe:x@/d?host=/s3cret%0A",
    ],
)
def test_a_password_whose_signs_are_not_spelled_is_in_no_message(unescaped: str) -> None:
    for scheme in ("postgresql", "postgres"):
        with pytest.raises(ArgumentError) as caught:
            place_of(f"{scheme}://{unescaped}", Path()).open()
        told = str(caught.value)
        assert told.isprintable()
        assert "s3cret" not in told
        assert "zoe" not in told


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("localhost:7/d", "localhost", 7),
        ("127.0.0.1:6000/d", "127.0.0.1", 6000),
        ("[::1]:6000/d", "::1", 6000),
        ("@db:6000/d", "db", 6000),
        ("zoe@db:6000/d", "db", 6000),
        ("[fe80::1]/d", "fe80::1", 5432),
    ],
)
def test_a_port_is_taken_where_it_cannot_be_a_password(address: str, host: str, port: int) -> None:
    found = PostgresAddress.parse(f"postgresql://{address}")
    assert (found.host, found.port, found.password) == (host, port, "")


def test_of_several_hosts_none_is_taken() -> None:
    for hosts in ("postgresql://one,two/d", "postgresql:///d?host=one,two"):
        with pytest.raises(ArgumentError, match="several hosts: give one"):
            PostgresAddress.parse(hosts)
    with pytest.raises(ArgumentError, match="two hosts"):
        PostgresAddress.parse("postgresql://one/d?host=/tmp")


@pytest.mark.parametrize(
    "database", ["faces", "Gesichter.2", "my db", "a:b", "..", "ä*?", "%C3%A9"]
)
def test_a_folder_of_an_index_has_a_plain_name(database: str, tmp_path: Path) -> None:
    place = place_of(f"postgresql://h/{quote(database)}", tmp_path)
    assert isinstance(place, Server)
    assert place.folder.parent == tmp_path / "indexes"
    assert re.fullmatch(r"[\w.-]+-[0-9a-f]{12}", place.folder.name)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("has_own", [True, False])
def test_the_systems_certificates_go_with_verify_full_alone(
    mode: str, has_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    own = tmp_path / ".postgresql" / "root.crt"
    if has_own:
        own.parent.mkdir()
        own.touch()
    told = PostgresAddress.parse(f"postgresql://db/d?sslmode={mode}").parameters
    if mode == "require":
        assert "sslrootcert" not in told
    elif has_own:
        assert told["sslrootcert"] == str(own)
    else:
        assert told.get("sslrootcert") == ("system" if mode == "verify-full" else None)
