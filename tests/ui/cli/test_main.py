"""What every command line has in common: exit codes, error lines, help, lean imports."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer

from data.errors import DatasetError, GalleryError
from ui.cli.main import LONG_WORK, commands, main
from ui.settings import Device, Settings

SCRIPT = Path(sys.executable).with_name("likeness")


class FailingService:
    """Raises whatever it is told to, wherever it is asked."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __enter__(self) -> "FailingService":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def people(self) -> "FailingService":
        return self

    def summaries(self, *, deleted: bool, groups: Sequence[str]) -> tuple[object, ...]:
        raise self.error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `people list` fail with the error given."""

    def set_error(error: BaseException) -> None:
        monkeypatch.setattr(Settings, "recognition_service", lambda _: FailingService(error))

    return set_error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (GalleryError("it is closed"), 1, "error: it is closed\n"),
        (DatasetError("nobody in it"), 2, "error: nobody in it\n"),
        (ZeroDivisionError("oops"), 1, "error: ZeroDivisionError: oops (--debug shows where)\n"),
        (OSError(28, "No space left on device"), 1, "error: OSError: [Errno 28] No space left"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (GalleryError("two\nlines \x1b[31m\u202e"), 1, "error: two\\nlines \\x1b[31m\\u202e\n"),
    ],
)
def test_every_failure_is_one_line_and_its_exit_code(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    failing(error)
    assert main(["people", "list"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_debug_shows_the_traceback_before_the_error_line(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(GalleryError("it is closed"))
    assert main(["people", "list", "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("error: it is closed\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["people"],
        ["people", "frobnicate"],
        ["people", "list", "--frobnicate"],
        ["people", "list", "--device", "gpu"],
        ["people", "rename", "Ann"],
        ["identify"],
        ["identify", "a.jpg", "--top-k", "0"],
        ["identify", "a.jpg", "--top-k", "many"],
        ["verify", "a.jpg"],
        ["stylize", "a.jpg", "b.jpg"],
        ["stylize", "a.jpg", "b.jpg", "-o", "c.png", "--seed", "text"],
        ["app", "--port", "0"],
        ["app", "--port", "65536"],
        ["app", "--address", "0.0.0.0"],
    ],
)
def test_usage_errors_are_one_line_and_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_usage_error_says_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["people", "rename", "Ann"]) == 2
    expected = "error: missing argument 'NEW'; see likeness people rename --help\n"
    assert capsys.readouterr().err == expected


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert "Commands:" in out
    assert err == ""


def test_shared_options_stand_before_or_after_the_command_and_the_later_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Settings] = []

    class Service:
        def __enter__(self) -> "Service":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        @property
        def people(self) -> "Service":
            return self

        def summaries(self, *, deleted: bool, groups: Sequence[str]) -> tuple[object, ...]:
            return ()

    def remember(settings: Settings) -> Service:
        seen.append(settings)
        return Service()

    monkeypatch.setattr(Settings, "recognition_service", remember)
    assert main(["--home", "a", "--device", "cpu", "people", "list"]) == 0
    assert main(["--home", "a", "people", "list", "--home", "b", "--backbone", "vgg16"]) == 0
    assert seen == [
        Settings(home=Path("a"), device=Device.CPU),
        Settings(home=Path("b"), model="vgg16"),
    ]


@pytest.mark.parametrize("arguments", [[], ["people"], ["--help"], ["enroll", "--help"]])
def test_help_needs_no_heavy_library(arguments: list[str]) -> None:
    script = (
        "import json, sys\n"
        "from ui.cli.main import LONG_WORK, commands, main\n"
        f"main({arguments!r})\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=280
    )
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    heavy = {"torch", "torchvision", "numpy", "streamlit", "faiss", "PIL", "rich"}
    if "--help" in arguments[:1] or not arguments:
        heavy |= {"pydantic"}  # typer itself loads it to read what a command was given
    assert not loaded & heavy


def test_the_console_script_answers() -> None:
    if not SCRIPT.exists():
        pytest.skip("the package is not installed beside this interpreter")
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    assert "identify" in done.stdout
    wrong = subprocess.run([SCRIPT, "frobnicate"], capture_output=True, text=True, timeout=280)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: ")


def test_a_closed_pipe_is_quiet() -> None:
    script = "import sys; from ui.cli.main import main; sys.exit(main(['stylize', '--help']))"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, timeout=280
        )
    finally:
        os.close(writer)
    assert done.stderr == b""


def test_the_module_runs_as_the_script_does() -> None:
    """So that `torchrun -m ui.cli.main train …` starts it."""
    done = subprocess.run(
        [sys.executable, "-m", "ui.cli.main", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.strip().startswith("Usage: likeness")


def test_every_command_of_long_work_is_one() -> None:
    everything = commands()
    assert isinstance(everything, typer.core.TyperGroup)
    assert set(everything.commands) >= LONG_WORK


@pytest.mark.parametrize(("word", "niceness"), [("stylize", 10), ("models", 0)])
def test_long_work_gives_way_to_whoever_waits_for_an_answer(word: str, niceness: int) -> None:
    if os.nice(0) > 0:
        pytest.skip("this process runs at a lower priority already")
    program = (
        "import os, sys, ui.cli.main; ui.cli.main.main = lambda _: print(os.nice(0)); "
        f"sys.argv = ['likeness', '--home', 'x', {word!r}]; ui.cli.main.run()"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert int(done.stdout) == niceness
