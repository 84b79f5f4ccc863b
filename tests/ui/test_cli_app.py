"""`app`: the page is served on this machine only, and safe from wherever it is started."""

import os
import socket
import sys
import tomllib
from pathlib import Path

import pytest

from ui.cli import main
from ui.commands import serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """The commands that would have taken this process's place, with their environment."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    def remember(path: str, command: list[str], environment: dict[str, str]) -> None:
        assert path == command[0]
        calls.append((command, environment))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", remember)
    return calls


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_page_is_served_safely(
    served: list[tuple[list[str], dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with pytest.raises(SystemExit):
        main(["app", "--port", str(port), "--home", "somewhere", "--model", "vgg16"])
    assert capsys.readouterr().out == f"http://127.0.0.1:{port}\n"
    [(command, environment)] = served
    assert command[0] == sys.executable
    assert Path(command[command.index("run") + 1]).name == "app.py"
    assert {
        "--server.address=127.0.0.1",
        f"--server.port={port}",
        "--server.headless=true",
        "--server.enableXsrfProtection=true",
        "--server.enableCORS=true",
        "--server.maxUploadSize=50",
        "--server.allowedHosts=127.0.0.1",
        "--server.allowedHosts=localhost",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
    } <= set(command)
    assert environment["LIKENESS_HOME"] == "somewhere"
    assert environment["LIKENESS_MODEL"] == "vgg16"


def test_the_flags_say_what_the_settings_file_says() -> None:
    path = Path(__file__).parents[2] / ".streamlit" / "config.toml"
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    flags = serve.page_command(8501)
    for section in ("server", "browser", "client"):
        for name, value in sections[section].items():
            for each in value if isinstance(value, list) else [value]:
                text = str(each).lower() if isinstance(each, bool) else str(each)
                assert f"--{section}.{name}={text}" in flags


def test_a_port_in_use_is_one_line(
    served: list[tuple[list[str], dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["app", "--port", str(taken.getsockname()[1])]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert served == []
