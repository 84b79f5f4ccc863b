"""`app`: what it refuses before it serves, and by which address it can be reached."""

import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ui.cli.main import main
from ui.page import server
from ui.page.gate import Access


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Access]:
    """Who may use the page, each time that it would have been served."""
    calls: list[Access] = []

    def remember(settings: object, port: int, access: Access, **_: Any) -> None:
        calls.append(access)

    monkeypatch.setattr(server, "serve", remember)
    return calls


def key_file(folder: Path, text: str = "k" * 64) -> Path:
    path = folder / "key"
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return path


def test_it_is_for_this_machine_unless_a_proxy_is_named(
    served: list[Access], tmp_path: Path
) -> None:
    assert main(["app", "--port", "8600"]) == 0
    file = str(key_file(tmp_path))
    behind = ["--behind", "https://faces.example.org/likeness", "--proxy-key-file", file]
    assert main(["app", *behind]) == 0
    own, proxied = served
    assert own.origin.endswith(".localhost:8600")
    assert own.token
    assert proxied.origin == "https://faces.example.org"
    assert (proxied.base, proxied.key, proxied.token) == ("/likeness", "k" * 64, None)


@pytest.mark.parametrize(
    "words",
    [
        ["--behind", "https://faces.example.org"],
        ["--proxy-key-file", "{key}"],
        ["--behind", "faces", "--proxy-key-file", "{key}"],
        ["--behind", "http://faces.example.org", "--proxy-key-file", "{key}"],
        ["--behind", "https://faces.example.org", "--proxy-key-file", "{short}"],
        ["--port", "0"],
        ["--lock-after", "-1"],
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    served: list[Access],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    (tmp_path / "short").mkdir()
    files = {"key": key_file(tmp_path), "short": key_file(tmp_path / "short", "short")}
    assert main(["app", *(word.format_map(files) for word in words)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert served == []


def test_the_settings_file_says_nothing_that_the_server_does_not() -> None:
    script = server._script()
    chosen = server.options(script, Access.of_this_machine(8501), 8501)
    sections = tomllib.loads((script.parent / ".streamlit/config.toml").read_text("utf-8"))
    for section in ("server", "browser", "client"):
        for name, value in sections[section].items():
            assert chosen[f"{section}.{name}"] == value


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_a_port_in_use_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    """At either address, for a browser that tries both would tell another program the secret."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        taken = socket.socket(family)
        taken.bind((address, 0))
    except OSError:
        pytest.skip(f"this machine has no {address}")
    with taken:
        taken.listen()
        assert main(["app", "--port", str(taken.getsockname()[1])]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert not home.exists()


def test_the_users_browser_is_opened_by_a_file_that_nobody_else_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command line can be read by every account of the machine."""
    opened: list[str] = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    address = Access.of_this_machine(8501).address
    with server._opened(tmp_path, address, True):
        (uri,) = opened
        door = tmp_path / "open.html"
        assert uri == door.as_uri()
        assert door.stat().st_mode & 0o777 == 0o600
        assert address in door.read_text()
    assert list(tmp_path.iterdir()) == []
    with server._opened(tmp_path, address, False):
        assert len(opened) == 1
