"""`gallery encrypt`, `decrypt`, `rotate` and `audit`, consent, and where the key comes from."""

import json
import stat
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from data.clock import today
from data.distribution import install_command
from recognition import secrets
from recognition.access import GalleryAccess
from recognition.gallery.gallery import Gallery
from recognition.gallery.locations import Server
from recognition.gallery.storage import encryption
from recognition.gallery.templates import EmbeddingModel, Template
from ui.cli import passphrase
from ui.cli.main import main

MODEL = EmbeddingModel(model_id="mobilefacenet", weights_digest="ab" * 32, dimension=16)
PASSPHRASE = "tidal quartz nomad lantern"


@pytest.fixture(autouse=True)
def ann(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann is enrolled; no key is in the environment, no keyring and no terminal are there."""
    monkeypatch.setattr(encryption, "SCRYPT", (2**4, 8, 1))
    monkeypatch.delenv("LIKENESS_KEY", raising=False)
    monkeypatch.delenv("LIKENESS_KEY_FILE", raising=False)
    monkeypatch.setattr(secrets.importlib.util, "find_spec", lambda name: None)
    vector = np.zeros(16, np.float32)
    vector[0] = 1
    with Gallery.open(home / "gallery", model=MODEL, create=True) as gallery:
        gallery.enrol("Ann", [Template(embedding=vector, photograph_sha256="e" * 64)])


def bytes_of(home: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in home.rglob("*") if file.is_file()}


def names(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main(["people", "list", "--json"]) == 0
    return [person["name"] for person in json.loads(capsys.readouterr().out)]


def test_a_backup_opens_by_the_passphrase_of_its_day(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup, new_file = tmp_path / "friends.sqlite", tmp_path / "new"
    new_file.write_text("gravel orbit mitten plume")
    new_file.chmod(0o600)  # one that others may read is refused
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    assert main(["gallery", "encrypt"]) == 0
    assert main(["gallery", "backup", str(backup)]) == 0
    assert main(["gallery", "rotate", "--new-key-file", str(new_file)]) == 0
    monkeypatch.setenv("LIKENESS_KEY", "gravel orbit mitten plume")
    before = bytes_of(home)
    capsys.readouterr()
    assert main(["gallery", "restore", str(backup)]) == 1
    assert "a backup keeps the passphrase of its day" in capsys.readouterr().err
    assert bytes_of(home) == before
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    monkeypatch.setenv("LIKENESS_GALLERY", str(tmp_path / "earlier"))
    assert main(["gallery", "restore", str(backup)]) == 0
    assert names(capsys) == ["Ann"]


def test_the_key_comes_from_the_environment_or_a_file(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("0123456789abcdef" * 4 + "\n")
    key_file.chmod(0o600)  # one that others may read is refused
    assert main(["gallery", "encrypt", "--key-file", str(key_file)]) == 0
    before = bytes_of(home)
    capsys.readouterr()
    assert main(["people", "list"]) == 1
    assert capsys.readouterr().err.startswith("error: the gallery is encrypted: give its key")
    for wrong in (PASSPHRASE, "f" * 64):
        monkeypatch.setenv("LIKENESS_KEY", wrong)
        assert main(["people", "rename", "Ann", "Anne"]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert bytes_of(home) == before
    monkeypatch.delenv("LIKENESS_KEY")
    monkeypatch.setenv("LIKENESS_KEY_FILE", str(key_file))
    assert names(capsys) == ["Ann"]
    new_file = tmp_path / "new"
    new_file.write_text(PASSPHRASE)
    new_file.chmod(0o600)  # one that others may read is refused
    assert main(["gallery", "rotate", "--data-key", "--new-key-file", str(new_file)]) == 0
    assert main(["people", "list"]) == 1
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    assert names(capsys) == ["Ann"]
    assert main(["gallery", "decrypt"]) == 0
    monkeypatch.delenv("LIKENESS_KEY")
    monkeypatch.delenv("LIKENESS_KEY_FILE")
    assert names(capsys) == ["Ann"]


@pytest.mark.parametrize("content", [b"", b"two\nlines\n", b"\xff\xfe\x00", None])
def test_a_file_that_holds_no_key_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    before = bytes_of(home)
    assert main(["gallery", "encrypt", "--key-file", str(file)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert bytes_of(home) == before


@pytest.fixture
def weak(monkeypatch: pytest.MonkeyPatch) -> str:
    """The gallery opens by a passphrase that would be refused today."""
    from recognition.access import GalleryAccess

    with GalleryAccess() as access, monkeypatch.context() as before:
        before.setattr(encryption, "weakness_of", lambda *_: None)
        access.encrypt("password1")
    return "password1"


@pytest.mark.parametrize(
    "words",
    [
        ["people", "list"],
        ["people", "rename", "Ann", "Anne"],
        ["people", "undo"],
        ["gallery", "info", "--json"],
        ["gallery", "check"],
        ["gallery", "index"],
        ["gallery", "backup", "copy.sqlite"],
        ["gallery", "export", "copy.zip"],
        ["gallery", "audit"],
        ["gallery", "decrypt"],
    ],
)
def test_whatever_opens_a_gallery_by_a_weak_passphrase_says_so_once(
    weak: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIKENESS_KEY", weak)
    main(words)
    out, err = capsys.readouterr()
    assert err.count("easy to guess") == 1
    assert "likeness gallery rotate" in err
    assert weak not in err
    assert "easy to guess" not in out


def test_a_passphrase_that_is_asked_for_is_weighed_too_and_a_strong_one_is_not_spoken_of(
    weak: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(passphrase, "_is_on_terminal", lambda: True)
    monkeypatch.setattr(passphrase, "_typed", lambda prompt: weak)
    assert main(["people", "list"]) == 0
    assert capsys.readouterr().err.count("easy to guess") == 1
    monkeypatch.setattr(passphrase, "ask_new", lambda: PASSPHRASE)
    assert main(["gallery", "rotate"]) == 0
    monkeypatch.setattr(passphrase, "_typed", lambda prompt: PASSPHRASE)
    capsys.readouterr()
    assert main(["people", "list"]) == 0
    assert capsys.readouterr().err == ""


def test_a_short_passphrase_and_two_sources_are_bad_arguments(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bytes_of(home)
    monkeypatch.setenv("LIKENESS_KEY", "short")
    assert main(["gallery", "encrypt"]) == 2
    assert main(["gallery", "encrypt", "--keyring", "--key-file", str(tmp_path)]) == 2
    monkeypatch.delenv("LIKENESS_KEY")
    assert main(["gallery", "encrypt"]) == 2  # nobody to ask
    for command in ("decrypt", "rotate"):
        assert main(["gallery", command]) == 1  # it is not encrypted
    assert bytes_of(home) == before


def test_it_is_asked_for_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: list[str] = []
    monkeypatch.setattr(passphrase, "_is_on_terminal", lambda: True)
    monkeypatch.setattr(passphrase.getpass, "getpass", lambda prompt, stream: typed.pop(0))
    typed[:] = [PASSPHRASE, PASSPHRASE + "x"]
    assert main(["gallery", "encrypt"]) == 2
    typed[:] = [PASSPHRASE, PASSPHRASE]
    assert main(["gallery", "encrypt"]) == 0
    typed[:] = [PASSPHRASE]
    assert names(capsys) == ["Ann"]
    typed[:] = ["wrong passphrase"]
    assert main(["people", "list"]) == 1
    typed[:] = [PASSPHRASE, "gravel orbit mitten plume", "gravel orbit mitten plume"]
    assert main(["gallery", "rotate"]) == 0
    typed[:] = [""]
    assert main(["people", "list"]) == 1
    typed[:] = ["gravel orbit mitten plume"]
    assert names(capsys) == ["Ann"]


def test_the_keyring_keeps_a_random_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", "encrypt", "--keyring"]) == 1
    assert install_command("keyring") in capsys.readouterr().err
    kept: dict[tuple[str, str], str] = {}
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
    keyring.set_password = lambda service, name, key: kept.update({(service, name): key})  # type: ignore[attr-defined]
    keyring.get_password = lambda service, name: kept.get((service, name))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    monkeypatch.setattr(secrets.importlib.util, "find_spec", lambda name: SimpleNamespace())
    assert main(["gallery", "encrypt", "--keyring"]) == 0
    assert names(capsys) == ["Ann"]
    assert main(["gallery", "rotate", "--keyring", "--data-key"]) == 0
    assert names(capsys) == ["Ann"]
    assert len(set(kept.values())) == 2
    kept.clear()
    assert main(["people", "list"]) == 1


def test_consent_is_noted_listed_and_told_before_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    until = (today() + timedelta(days=10)).isoformat()
    assert main(["people", "consent", "Ann", "--note", "form 12", "--until", until]) == 0
    assert main(["people", "list", "--json"]) == 0
    [ann] = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert (ann["consent"], ann["expires_on"], ann["person_id"]) == ("form 12", until, 1)
    assert main(["people", "list"]) == 0
    assert capsys.readouterr().out.endswith(f"\tform 12\t{until}\n")
    for days, expected in (("9", []), ("10", ["Ann"])):
        assert main(["people", "expiring", "--days", days, "--json"]) == 0
        assert [one["name"] for one in json.loads(capsys.readouterr().out)] == expected
    assert main(["people", "consent", "Ann", "--until", "never"]) == 0
    assert main(["people", "expiring", "--days", "9999"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1  # that of the consent
    assert err == "nobody's consent ends within 9999 days\n"
    for wrong in (["--until", "soon"], ["--until", "2001-01-01"], []):
        assert main(["people", "consent", "Ann", *wrong]) == 2
    assert main(["people", "consent", "Zoe", "--note", "x"]) == 1


def test_the_audit_log_is_listed_without_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "rename", "Ann", "Anne"]) == 0
    capsys.readouterr()
    assert main(["gallery", "audit", "--json"]) == 0
    out = capsys.readouterr().out
    assert [(line["action"], line["person_id"]) for line in json.loads(out)] == [
        ("rename", 1),
        ("enrol", 1),
    ]
    assert "Ann" not in out
    assert main(["gallery", "audit"]) == 0
    assert capsys.readouterr().out.startswith("done at\taction\tperson\tuser\n")


def test_a_gallery_that_others_may_read_is_warned_of(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home / "gallery"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names(capsys)
    assert capsys.readouterr().err == ""
    folder.chmod(0o755)
    (folder / "gallery.sqlite").chmod(0o644)
    assert main(["people", "list"]) == 0
    folder_line, file_line = capsys.readouterr().err.splitlines()
    assert folder_line == (
        f"warning: {folder} is open to other users of this machine (mode 0755): chmod 700 it"
    )
    assert "gallery.sqlite is open" in file_line
    assert file_line.endswith("(mode 0644): chmod 600 it")


@pytest.mark.parametrize("where", ["folder", "empty", "postgresql://127.0.0.1:9/nothing"])
def test_a_key_that_others_may_read_is_warned_of_wherever_the_gallery_is(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("e" * 64)
    key_file.chmod(0o644)
    monkeypatch.setenv("LIKENESS_KEY_FILE", str(key_file))
    named = None if where == "folder" else str(home / where) if where == "empty" else where
    [line] = GalleryAccess(home, named).exposed
    assert str(key_file) in line
    assert line.endswith("chmod 600 it")
    key_file.chmod(0o600)
    assert GalleryAccess(home, named).exposed == ()


def test_an_index_of_a_server_s_gallery_that_others_may_read_is_warned_of(home: Path) -> None:
    access = GalleryAccess(home, "postgresql://127.0.0.1:9/nothing")
    assert isinstance(access.place, Server)
    index = access.place.folder / "index"
    index.mkdir(parents=True, mode=0o700)
    access.place.folder.chmod(0o700)
    (index / "people.faiss").touch(0o600)
    assert access.exposed == ()
    for place, mode in ((index / "people.faiss", 0o644), (index, 0o755)):
        place.chmod(mode)
    assert [line.partition(" is open")[0] for line in access.exposed] == [
        str(index),
        str(index / "people.faiss"),
    ]


def test_what_a_server_keeps_of_the_rows_as_they_were_is_said(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new_file = tmp_path / "new"
    new_file.write_text("gravel orbit mitten plume")
    new_file.chmod(0o600)
    monkeypatch.setenv("LIKENESS_KEY", PASSPHRASE)
    monkeypatch.setattr(Gallery, "older_rows_linger", "until VACUUM FULL")
    for command in (["encrypt"], ["rotate", "--new-key-file", str(new_file)]):
        assert main(["gallery", *command]) == 0
        said = capsys.readouterr()
        assert "until VACUUM FULL" in said.err
        assert "until VACUUM FULL" not in said.out
