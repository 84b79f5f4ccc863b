"""What cannot be undone: what it hits is said, it is asked about, and one person means one."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from ui.cli.main import main

Sit = Callable[..., None]

MODEL = EmbeddingModel("net", "ab" * 32, 8)


class Terminal(io.StringIO):
    """What somebody types, one answer a line."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Sit:
    """Sits somebody at a terminal who types these lines."""

    def sit(*lines: str) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{line}\n" for line in lines)))
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    return sit


@pytest.fixture
def folder(home: Path) -> Path:
    """Ann and Bob are enrolled; another Ann, of two photographs, and Cyd are deleted."""
    place = home / "gallery"
    number = 0
    with Gallery.open(place, model=MODEL, create=True) as gallery:
        for name, photographs, gone in (
            ("Ann", 2, True),
            ("Ann", 1, False),
            ("Bob", 1, False),
            ("Cyd", 1, True),
        ):
            vectors = np.eye(8, dtype=np.float32)
            templates = [
                Template(vectors[number + step], f"{number + step:064x}")
                for step in range(photographs)
            ]
            number += photographs
            gallery.enrol(name, templates)
            if gone:
                gallery.edit.delete(name)
    return place


def there(folder: Path) -> list[tuple[str, int | None]]:
    with Gallery.open(folder) as gallery:
        people = [*gallery.people(), *gallery.people(deleted=True)]
    return sorted((person.name, person.person_id) for person in people)


ALL = [("Ann", 1), ("Ann", 2), ("Bob", 3), ("Cyd", 4)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["Bob"], 2, "1 person, 1 photograph: agree with --yes"),
        (["Cyd"], 2, "Cyd (deleted): 1 person, 1 photograph"),
        (["Ann"], 2, "id 2: Ann, enrolled, 1 photograph, since"),
        (["Ann", "--yes"], 2, "id 1: Ann, deleted, 2 photographs, since"),
        (["Ann", "--id", "2"], 2, "Ann (enrolled): 1 person, 1 photograph: agree with --yes"),
        (["Ann", "--id", "3", "--yes"], 1, "nobody called 'Ann', with the id 3,"),
        (["Zoe", "--yes"], 1, "nobody called 'Zoe'"),
        (["", "--yes"], 2, ""),
    ],
)
def test_a_script_that_has_not_agreed_or_is_not_clear_erases_nobody(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main(["people", "erase", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert there(folder) == ALL


@pytest.mark.parametrize(
    ("words", "said", "gone"),
    [
        (["Bob", "--yes"], "erased Bob (enrolled): 1 person, 1 photograph\n", ("Bob", 3)),
        (["Cyd", "--yes"], "erased Cyd (deleted): 1 person, 1 photograph\n", ("Cyd", 4)),
        (["Ann", "--id", "1", "--yes"], "erased Ann (deleted): 1 person, 2 ", ("Ann", 1)),
        (["Ann", "--id", "2", "--yes"], "erased Ann (enrolled): 1 person, 1 ", ("Ann", 2)),
    ],
)
def test_a_script_that_agrees_erases_one_person(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
    gone: tuple[str, int],
) -> None:
    assert main(["people", "erase", *words]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(said)
    assert err == ""
    assert there(folder) == [one for one in ALL if one != gone]


def test_on_a_terminal_it_is_asked_who_and_whether(
    folder: Path, types: Sit, capsys: pytest.CaptureFixture[str]
) -> None:
    for answers in (["n"], [""], []):
        types(*answers)
        assert main(["people", "erase", "Bob"]) in (1, 130)
        assert "1 person, 1 photograph" in capsys.readouterr().err
        assert there(folder) == ALL
    types("3", "y")  # not the id of an Ann
    assert main(["people", "erase", "Ann"]) == 1
    types("1", "n")
    assert main(["people", "erase", "Ann"]) == 1
    assert there(folder) == ALL
    types("1", "y")
    assert main(["people", "erase", "Ann"]) == 0
    assert there(folder) == ALL[1:]
    types("y")
    assert main(["people", "erase", "Ann"]) == 0
    assert there(folder) == ALL[2:]


def test_a_restoration_that_takes_people_away_is_asked_about(
    folder: Path,
    tmp_path: Path,
    types: Sit,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup = str(tmp_path / "kept.sqlite")
    assert main(["gallery", "backup", backup]) == 0
    capsys.readouterr()
    assert main(["gallery", "restore", backup]) == 2
    err = capsys.readouterr().err
    assert "2 people, 2 photographs: agree with --yes" in err
    assert err.count("\n") == 1
    types("n")
    assert main(["gallery", "restore", backup]) == 1
    with Gallery.open(folder) as gallery:
        gallery.edit.delete("Bob")
    assert main(["gallery", "restore", backup, "--yes"]) == 0
    with Gallery.open(folder) as gallery:
        assert [person.name for person in gallery.people()] == ["Ann", "Bob"]
    empty = str(tmp_path / "empty")  # nobody to lose: nothing to ask
    assert main(["gallery", "restore", backup, "--gallery", empty]) == 0
