"""Temporary files: hidden, and swept once the process that made them is gone."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.files import atomic_output, write_atomic
from data.temporary import PREFIX, sweep, temporary_path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks that end with a process")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def killed(program: str, *arguments: Path) -> None:
    """Run a program that prints a line when it is ready, and kill it then."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


HELD = """
import sys, time
from pathlib import Path
from data.temporary import temporary_path
folder, notes = Path(sys.argv[1]), Path(sys.argv[2])
other = temporary_path(folder, is_folder=True)
with temporary_path(folder, ".sqlite", notes=notes) as one, other as two:
    one.write_bytes(b"everybody, in plain")
    one.with_name(one.name + "-journal").write_bytes(b"more of it")
    (two / "deep").mkdir()
    (two / "deep" / "file").write_bytes(b"x")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_swept_also_elsewhere_if_it_was_noted(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    killed(HELD, elsewhere, here)
    left = [path.name for path in elsewhere.iterdir()]
    assert len(left) == 3
    assert all(name.startswith(PREFIX) for name in left)
    sweep(here)
    assert names(here) == []
    assert len(list(elsewhere.iterdir())) == 1  # the one without a note
    sweep(elsewhere)
    assert names(elsewhere) == []


def test_what_is_in_use_stays_and_so_does_everybody_else_s(tmp_path: Path) -> None:
    others = [".likeness", ".likeness-xyz", "likeness-0123456789abcdef", ".0123456789abcdef.png"]
    for name in others:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / f"{PREFIX}{'0' * 16}").symlink_to(tmp_path / others[0])
    with (
        temporary_path(tmp_path, ".sqlite") as path,
        temporary_path(tmp_path, is_folder=True) as two,
    ):
        journal = path.with_name(f"{path.name}-journal")
        journal.write_bytes(b"x")
        program = "import sys; from pathlib import Path; from data.temporary import sweep;"
        subprocess.run(
            [sys.executable, "-c", program + "sweep(Path(sys.argv[1]))", str(tmp_path)], check=True
        )
        assert path.exists()
        assert journal.exists()
        assert two.is_dir()
    assert not path.exists()
    assert not journal.exists()
    assert not two.exists()
    assert set(others) <= set(names(tmp_path))


def test_no_note_leads_to_anything_but_temporary_files(tmp_path: Path) -> None:
    here, precious = tmp_path / "here", tmp_path / "precious.txt"
    here.mkdir()
    precious.write_bytes(b"x")
    for number, text in enumerate(
        (bytes(precious), b"precious.txt", b"\0", b"", b"/", bytes(tmp_path), b"x" * 20_000)
    ):
        (here / f"{PREFIX}{number:016x}.place").write_bytes(text)
    sweep(here, tmp_path / "none")
    assert precious.exists()
    assert names(here) == []


def test_an_output_that_is_complete_stays_and_one_that_is_not_goes(tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    write_atomic(target, b"old")

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), atomic_output(target) as temporary:
        fail(temporary)
    assert (names(tmp_path), target.read_bytes()) == (["picture.png"], b"old")
    with atomic_output(target) as temporary:
        assert temporary.name.startswith(PREFIX)
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"new")
    assert (names(tmp_path), target.read_bytes()) == (["picture.png"], b"new")


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("noted", [False, True])
def test_it_is_made_while_others_sweep_again_and_again(
    tmp_path: Path, *, is_folder: bool, noted: bool
) -> None:
    folder, notes = tmp_path / "folder", tmp_path / "notes"
    folder.mkdir()
    notes.mkdir()
    ended = threading.Event()

    def sweep_on() -> None:
        while not ended.is_set():
            sweep(folder, notes)

    others = [threading.Thread(target=sweep_on) for _ in range(3)]
    for other in others:
        other.start()
    try:
        for _ in range(300):
            with temporary_path(
                folder, is_folder=is_folder, notes=notes if noted else None
            ) as path:
                assert path.exists()
                assert path.is_dir() == is_folder
    finally:
        ended.set()
        for other in others:
            other.join()
    assert names(folder) == names(notes) == []


def test_a_folder_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), temporary_path(tmp_path / "missing"):
        pass
