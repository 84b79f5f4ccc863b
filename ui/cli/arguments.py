"""What is refused of a command line before any command looks at it.

An empty word is what a variable becomes that nobody has set, and an empty path would mean the
working folder. A number that is none, or has no end, compares with nothing.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer

from data.errors import ArgumentError

_OURS = "LIKENESS_"


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a variable of ours that is set and empty.

    Raises:
        ArgumentError: There is one.
    """
    for name, value in environment.items():
        if name.startswith(_OURS) and not value:
            raise ArgumentError(
                f"the environment variable {name} is empty: unset it, or give it a value"
            )


def refuse_empty(command: Any, words: Sequence[str]) -> None:
    """Let a command line's parser refuse every empty argument and value of an option.

    Args:
        command: The application, as Typer made it; changed in place.
        words: What the user typed: where no word is empty there is nothing to do.
    """
    if any(not word or (word.startswith("-") and word.endswith("=")) for word in words):
        for parameter in _parameters(command):
            _guard(parameter)


def check_numbers(values: Mapping[str, Any]) -> None:
    """Refuse numbers that are none, or are infinite.

    Args:
        values: By the names of their options.

    Raises:
        ArgumentError: There is one.
    """
    for name, value in values.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, float) and not math.isfinite(each):
                option = name.replace("_", "-")
                raise ArgumentError(f"--{option} is {each}: give a finite number")


def _parameters(command: Any) -> Iterator[Any]:
    yield from command.params
    for each in getattr(command, "commands", {}).values():
        yield from _parameters(each)


def _guard(parameter: Any) -> None:
    process = parameter.process_value

    def refusing(context: typer.Context, value: Any) -> Any:
        if any(not word for word in _texts(value)):
            raise typer.BadParameter(
                "it is empty: give a value, or leave it out (is a variable not set?)",
                ctx=context,
                param=parameter,
            )
        return process(context, value)

    parameter.process_value = refusing


def _texts(value: Any) -> Iterable[str]:
    """The words that were given to a parameter."""
    return (
        [value]
        if isinstance(value, str)
        else [
            word
            for word in (value if isinstance(value, list | tuple) else ())
            if isinstance(word, str)
        ]
    )
