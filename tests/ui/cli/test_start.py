"""The process itself: standard streams that are closed, full or gone, Ctrl-C, no working folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template

MODEL = EmbeddingModel("net", "ab" * 32, 8)
START = "from ui.cli.start import run; run()"


def likeness(
    *words: str, streams: str = "", cwd: Path | None = None, home: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command line in a process of its own, its streams redirected as a shell writes it."""
    command = f'exec "$0" -c "{START}" "$@" {streams}'
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    if home is not None:
        environment["LIKENESS_HOME"] = str(home)
    return subprocess.run(
        ["sh", "-c", command, sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=cwd,
        env=environment,
    )


@pytest.fixture
def enrolled(tmp_path: Path) -> Path:
    """A data folder in which Ann is enrolled."""
    home = tmp_path / "data"
    with Gallery.open(home / "gallery", model=MODEL, create=True) as gallery:
        gallery.enrol("Ann", [Template(np.eye(8, dtype=np.float32)[0], "e" * 64)])
    return home


def names(home: Path) -> list[str]:
    with Gallery.open(home / "gallery") as gallery:
        return [person.name for person in gallery.people()]


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        (">&-", ["people", "list"]),
        (">&-", ["people", "rename", "Ann", "Anne"]),
        ("2>&-", ["people", "list"]),
        ("<&- >&- 2>&-", ["people", "rename", "Ann", "Anne"]),
    ],
)
def test_a_closed_stream_is_the_null_device(enrolled: Path, streams: str, words: list[str]) -> None:
    before = {file.name: file.read_bytes()[:16] for file in enrolled.rglob("*.sqlite")}
    done = likeness(*words, streams=streams, home=enrolled)
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("Ann" in done.stdout) == (streams == "2>&-")
    # Nothing that is printed goes into a file that was opened under the number of a closed stream.
    assert before == {file.name: file.read_bytes()[:16] for file in enrolled.rglob("*.sqlite")}
    assert names(enrolled) == (["Anne"] if "rename" in words else ["Ann"])


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


@FULL
@pytest.mark.parametrize(
    ("words", "became"),
    [
        (["people", "list"], "nothing was changed"),
        (["--help"], "nothing was changed"),
        (["people", "rename", "Ann", "Anne"], "what was asked for is done all the same"),
    ],
)
def test_a_result_that_cannot_be_printed_has_one_line_that_says_what_became_of_it(
    enrolled: Path, words: list[str], became: str
) -> None:
    done = likeness(*words, streams="> /dev/full", home=enrolled)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the result cannot be printed (No space left on device): ")
    assert done.stderr.endswith(f"{became}\n")
    assert done.stderr.count("\n") == 1
    assert names(enrolled) == (["Ann"] if became.startswith("nothing") else names(enrolled))
    if "asked" in became:
        assert "Ann" not in names(enrolled)


@FULL
def test_errors_that_nobody_can_be_told_of_change_no_exit_code(
    enrolled: Path, tmp_path: Path
) -> None:
    wrong = likeness("people", "rename", "Zoe", "Ann", streams="2> /dev/full", home=enrolled)
    assert (wrong.returncode, wrong.stdout, wrong.stderr) == (1, "", "")
    right = likeness("people", "list", streams="2> /dev/full", home=enrolled)
    assert right.returncode == 0
    assert "Ann" in right.stdout
    neither = likeness("people", "list", streams="> /dev/full 2> /dev/full", home=enrolled)
    assert neither.returncode == 1


@FULL
def test_lines_of_json_that_cannot_be_printed_stop_the_work_and_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "people" / "Ann"
    folder.mkdir(parents=True)
    Image.radial_gradient("L").convert("RGB").save(folder / "a.png")
    done = likeness(
        "enroll", str(tmp_path / "people"), "--json-lines", streams="> /dev/full",
        home=tmp_path / "data",
    )  # fmt: skip
    assert done.returncode == 1
    assert "what was finished is kept" in done.stderr
    assert "Traceback" not in done.stderr


def test_who_has_seen_enough_of_a_list_is_not_told_of_errors(enrolled: Path) -> None:
    for words, lines in ((["people", "list"], 0), (["people", "rename", "Ann", "Anne"], 1)):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-c", START, *words],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=os.environ | {"LIKENESS_HOME": str(enrolled)},
            timeout=280,
        )
        os.close(writer)
        assert done.returncode == 1
        assert done.stderr.count(b"\n") == lines
    assert names(enrolled) == ["Anne"]


INTERRUPTS = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Interrupting())
from ui.cli.start import run
run()
"""


@pytest.mark.parametrize(
    "module",
    [
        "ui.cli.commands.recognise",
        "torch",
        "torch.nn",
    ],
)
def test_ctrl_c_is_one_line_whatever_is_being_loaded(
    enrolled: Path, tmp_path: Path, module: str
) -> None:
    picture = tmp_path / "a.png"
    Image.radial_gradient("L").convert("RGB").save(picture)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTS.format(module=module), "identify", str(picture)],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"LIKENESS_HOME": str(enrolled)},
    )
    if done.returncode == 1 and "interrupted" not in done.stderr:
        pytest.skip(f"this way does not load {module}: {done.stderr}")
    assert done.returncode == 130
    assert done.stderr == "error: interrupted\n"
    assert done.stdout == ""


@pytest.mark.parametrize("words", [["people", "list"]])
def test_a_working_folder_that_is_gone_is_one_line(tmp_path: Path, words: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f'rmdir "$PWD"; exec "$0" -c "{START}" "$@"'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, *words],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the working folder cannot be used")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_version_is_one_line() -> None:
    done = likeness("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("likeness ")
    assert done.stdout.count("\n") == 1


def test_signals_of_whoever_imports_this_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    import ui.cli.main

    assert ui.cli.main.main(["--version"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
