"""Every numeric option of every command has bounds, and refuses what lies beyond them."""

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.errors import AppError, ArgumentError
from recognition.access import GalleryAccess
from recognition.people import EnrolledPeople
from style.config import StyleConfig
from ui.cli import main as command_line
from ui.cli.commands.stylize import _HELP
from ui.cli.main import main
from ui.settings import Settings

SENSELESS = [str(2**31), str(2**63), str(10**23), "nan", "inf", "-inf", "1e400", str(-(2**63) - 1)]


class StoppedError(AppError):
    """Every bound has been passed."""


@dataclasses.dataclass(frozen=True)
class Number:
    """A numeric option or argument of a command."""

    path: tuple[str, ...]
    parameter: Any
    whole: bool

    def __str__(self) -> str:
        return " ".join([*self.path, self.parameter.opts[0]])

    def words(self, value: str) -> list[str]:
        """A command line with that value, and something for every other argument."""
        words = list(self.path)
        for other in self.arguments:
            kind = str(other.type_descriptor.annotation)
            words += ["1"] if re.search(r"\bint\b", kind) else ["/dev/null"]
        if self.parameter.param_type_name == "argument":
            return [*words[:-1], "--", value]
        return [*words, f"{self.parameter.opts[0]}={value}"]

    @property
    def arguments(self) -> list[Any]:
        return [one for one in COMMANDS[self.path].params if one.param_type_name == "argument"]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))
    if not getattr(command, "commands", {}):
        yield path, command


TREE = command_line.commands()
COMMANDS = dict(commands(TREE))


def numbers() -> Iterator[Number]:
    for path, command in COMMANDS.items():
        for parameter in command.params:
            kind = str(parameter.type_descriptor.annotation)
            if found := re.search(r"\b(int|float)\b", kind):
                yield Number(path, parameter, found[1] == "int")


NUMBERS = list(numbers())
OF_CONFIGS = {name.replace("_", "-") for name in _HELP}


def is_of_a_config(number: Number) -> bool:
    return number.path == ("stylize",) and number.parameter.opts[0].strip("-") in OF_CONFIGS


@pytest.fixture(autouse=True)
def nothing_begins(monkeypatch: pytest.MonkeyPatch, home: object) -> None:
    """No command gets further than its own checks."""

    def stop(*_: object, **__: object) -> None:
        raise StoppedError("stopped")

    monkeypatch.setattr(Settings, "recognition_service", stop)
    monkeypatch.setattr("ui.cli.commands.gallery._maintenance", stop)
    monkeypatch.setattr("typer.main.get_command", lambda _: TREE)  # a tenth of a second each time


def test_there_are_as_many_as_the_help_tells_of() -> None:
    assert len(NUMBERS) > 40
    assert sum(map(is_of_a_config, NUMBERS)) > 10


@pytest.mark.parametrize("number", [one for one in NUMBERS if not is_of_a_config(one)], ids=str)
def test_every_number_has_bounds_and_beyond_them_is_refused_at_once(
    number: Number, capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = number.parameter.min, number.parameter.max
    assert low is not None
    assert high is not None
    assert math.isfinite(high)
    beyond = [str(high + 1), str(low - 1)]
    for value in [*SENSELESS, *beyond]:
        inside = number.whole and value.lstrip("-").isdigit() and low <= int(value) <= high
        if inside:  # an id may be as large as the database's
            continue
        assert main(number.words(value)) == 2, (value, capsys.readouterr().err)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert number.parameter.opts[0].strip("-") in err or number.parameter.metavar in err
        assert "--debug shows where" not in err


# The others begin their work without a service; their own tests try the ends.
AT_THE_SERVICE = [
    one for one in NUMBERS if one.path[0] in ("enroll", "identify", "verify", "people", "calibrate")
]


@pytest.mark.parametrize("number", AT_THE_SERVICE, ids=str)
def test_the_end_of_the_range_and_a_negative_zero_are_no_accident(
    number: Number, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("-0", str(number.parameter.max)):
        assert main(number.words(value)) in (1, 2)
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "--debug shows where" not in err


def test_as_far_ahead_as_can_be_asked_for_is_a_day_of_the_calendar(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (option,) = [one for one in NUMBERS if str(one) == "people expiring --days"]
    assert EnrolledPeople(GalleryAccess(tmp_path)).expiring(option.parameter.max) == ()


def numeric(name: str) -> bool:
    default = getattr(StyleConfig(), name.replace("-", "_"))
    several = isinstance(default, tuple)
    return name.endswith(("weights", "mix")) if several else type(default) in (int, float)


@pytest.mark.parametrize("name", sorted(filter(numeric, OF_CONFIGS)))
def test_the_settings_of_a_picture_refuse_the_same(name: str) -> None:
    field = name.replace("-", "_")
    default = getattr(StyleConfig(), field)
    several = isinstance(default, tuple)
    for value in (2**31, 2**63, 10**23, math.nan, math.inf, -math.inf, -(2**63)):
        if field == "seed" and value == 2**31:
            continue  # as large as torch's generators take
        with pytest.raises(ArgumentError) as caught:
            dataclasses.replace(StyleConfig(), **{field: (value,) if several else value})
        assert "\n" not in str(caught.value)
