"""Only the modules that a command needs are imported, and it is the same command as among all."""

import subprocess
import sys
from typing import Any

import pytest

from ui.cli import main


def tree(command: Any) -> dict[str, Any]:
    """A command's help and options, and those of the commands below it."""
    below = getattr(command, "commands", {})
    return {
        "help": command.help,
        "options": [(one.name, one.opts) for one in command.params],
        "below": {name: tree(each) for name, each in below.items()},
    }


ALL = main.commands()


@pytest.mark.parametrize("name", ALL.commands)  # type: ignore[attr-defined]
def test_a_command_alone_is_the_same_as_among_all(name: str) -> None:
    alone = main.commands(main._first_word(["--home", "models", "--debug", name, "x"]))
    assert tree(alone)["below"][name] == tree(ALL)["below"][name]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ([], None),
        (["--help"], "--help"),
        (["--home", "train", "models", "list"], "models"),
        (["--home=train", "models"], "models"),
        (["--debug", "--backbone", "tune", "stylize", "--model", "both"], "stylize"),
        (["--model"], None),
        (["--unheard-of", "train"], "--unheard-of"),
        (["modles", "list"], "modles"),
    ],
)
def test_the_command_is_the_first_word_that_is_no_shared_option(
    words: list[str], first: str | None
) -> None:
    assert main._first_word(words) == first


@pytest.mark.parametrize("words", [["--help"], [], ["modles", "models"], ["--version", "train"]])
def test_where_no_command_is_meant_all_are_there(words: list[str]) -> None:
    assert tree(main.commands(main._first_word(words))) == tree(ALL)


def test_every_shared_option_that_takes_a_value_is_known_to_take_one() -> None:
    takes = {
        word
        for option in ALL.params
        if not getattr(option, "is_flag", False) and option.name != "help"
        for word in option.opts
    }
    assert takes == main._WITH_VALUE


def test_listing_networks_imports_no_other_wing_and_no_array_library() -> None:
    code = (
        "import sys, ui.cli.main as m; m.main(['models', 'list']); "
        "print(sorted({n.partition('.')[0] for n in sys.modules} "
        "& {'torch', 'numpy', 'style', 'sqlite3', 'faiss', 'PIL'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_each_first_word_is_served_by_one_module() -> None:
    """Else a command of it would be there only where all the modules are imported."""
    served = [word for words in main._SERVES.values() for word in words]
    assert sorted(served) == sorted(set(served)) == sorted(ALL.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("group", ["people", "gallery"])
def test_a_process_that_serves_one_group_has_all_of_its_commands(group: str) -> None:
    """In a process of its own: what other modules were imported before would hide a lack."""
    program = (
        f"from ui.cli import main; print(*main.commands({group!r}).commands[{group!r}].commands)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.split() == list(tree(ALL)["below"][group]["below"])
