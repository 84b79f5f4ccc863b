"""TOML into checked dataclasses and back."""

import dataclasses
import json
import math
import os
import tomllib
import types
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ArgumentError

# Numbers of a configuration, refused outside of their range.


def check_range(
    name: str, value: float, low: float, high: float, *, above_low: bool = False
) -> None:
    """Refuse NaN and whatever lies outside [low, high], or outside (low, high] with `above_low`."""
    inside = low < value <= high if above_low else low <= value <= high
    if math.isnan(value) or not inside:
        bracket = "more than" if above_low else "at least"
        raise ArgumentError(f"{name} is {value:g}: give {bracket} {low:g} and at most {high:g}")


def check_count(name: str, value: int, low: int, high: int) -> None:
    """Refuse an integer outside [low, high]."""
    if not low <= value <= high:
        raise ArgumentError(f"{name} is {value}: give a whole number from {low} to {high}")


# TOML recipes: a table into a checked dataclass, and a dataclass written as TOML.
#
# The tables and keys are the dataclass's fields; nothing is named twice. Paths in a recipe are
# relative to the recipe's own folder.

Table = dict[str, Any]
"""TOML as `tomllib` reads it."""
Config = TypeVar("Config")


def read_recipe(recipe: Path) -> Table:
    """Read a TOML file; nothing in it is judged.

    Raises:
        ArgumentError: There is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(recipe.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArgumentError(f"no recipe at {recipe}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"the recipe {recipe} cannot be read as text") from error
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"the recipe {recipe} is not TOML: {error}") from error


def build(kind: type[Config], table: Mapping[str, object], base: Path) -> Config:
    """Make a dataclass from a table.

    Args:
        kind: The dataclass; its fields are texts, numbers, choices, paths, tuples or dataclasses.
        table: Values by key, as TOML has them.
        base: What relative paths are relative to.

    Raises:
        ArgumentError: A key is unknown or missing, or a value is of another type or out of range.
    """
    made: Config = _build(kind, table, "", base)
    return made


def _build(kind: type[Any], table: Mapping[str, object], where: str, base: Path) -> Any:
    """Make the dataclass `kind` from a table; `where` is the table's name, for messages."""
    hints = get_type_hints(kind)
    place = f"[{where}]" if where else "the recipe"
    for key in table:
        if key not in hints:
            raise ArgumentError(f"{place} has no key {key!r}: known are {', '.join(sorted(hints))}")
    for item in dataclasses.fields(kind):
        required = (
            item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        )
        if required and item.name not in table:
            raise ArgumentError(f"{place} lacks the key {item.name!r}")
    prefix = f"{where}." if where else ""
    values = {key: _value(hints[key], value, prefix + key, base) for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:  # a range that the dataclass has checked
        raise ArgumentError(f"{place}: {error}") from error


def _value(hint: Any, value: object, where: str, base: Path) -> Any:
    """Convert one TOML value to the type that the field declares."""
    if get_origin(hint) in {types.UnionType, Union}:
        hint = next(option for option in get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _build(hint, value, where, base)  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return _tuple(get_args(hint), value, where, base)
    if isinstance(hint, type) and issubclass(hint, StrEnum) and isinstance(value, str):
        if value not in set(hint):
            raise ArgumentError(f"{where} is {value!r}: choose from {', '.join(hint)}")
        return hint(value)
    if hint is Path and value == "":
        raise ArgumentError(f"{where} is empty: expected a path, or leave it out")
    if hint is Path and isinstance(value, str | Path):
        return Path(os.path.normpath(base.absolute() / Path(value).expanduser()))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in {int, bool, str} and type(value) is hint:
        return value
    raise ArgumentError(f"{where} is {value!r}: expected {_name(hint)}")


def _tuple(kinds: tuple[Any, ...], values: Any, where: str, base: Path) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(values)
    if len(values) != len(kinds):
        raise ArgumentError(f"{where} has {len(values)} values: expected {len(kinds)}")
    return tuple(
        _value(kind, value, where, base) for kind, value in zip(kinds, values, strict=True)
    )


def _name(hint: Any) -> str:
    """A type in a user's words."""
    if dataclasses.is_dataclass(hint):
        return "a table"
    if get_origin(hint) is tuple:
        return "a list"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return f"one of {', '.join(hint)}"
    words = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    return words.get(hint, "text")


def to_toml(config: Any) -> str:
    """A dataclass as TOML, every value spelled out, so that it repeats the run as it was."""
    return "\n".join(_lines(config, "")) + "\n"


def _lines(config: Any, where: str) -> list[str]:
    """A dataclass as lines: first its plain keys, then its tables, as TOML demands."""
    plain: list[str] = []
    tables: list[str] = []
    for item in dataclasses.fields(config):
        value, name = getattr(config, item.name), f"{where}{item.name}"
        if dataclasses.is_dataclass(value):
            tables += ["", f"[{name}]", *_lines(value, f"{name}.")]
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for entry in value:
                tables += ["", f"[[{name}]]", *_lines(entry, f"{name}.")]
        elif value is not None:
            plain.append(f"{item.name} = {_literal(value)}")
    return plain + tables


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(part) for part in value)}]"
    # A JSON string is a TOML basic string, but for the one control character JSON leaves bare.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
