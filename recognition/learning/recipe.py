"""Recipes in TOML, joined with the environment and flags."""

import dataclasses
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from data.errors import ArgumentError
from data.recipes import Table, build, read_recipe, to_toml

from .config import LossConfig, TrainingConfig

# Single settings laid over a recipe: from the environment, from `--set`, from a search.
#
# A key is named by its path: `epochs`, `optimizer.rate`, or `losses.triplet.margin` for the term
# of that name. A value is written as TOML writes it; a text may go without its quotation marks.

PREFIX = "LIKENESS_TRAIN_"
"""What the name of an environment variable that is a setting begins with."""
_LOSSES = "losses"


def from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """The settings among environment variables, such as `LIKENESS_TRAIN_OPTIMIZER__RATE=0.01`.

    Args:
        environment: By name; two underscores stand between a table and its key, and an empty value
            counts as absent.

    Yields:
        A key's path and its value.

    Raises:
        ArgumentError: A variable with that prefix names no key.
    """
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX) and text:
            path = variable.removeprefix(PREFIX).lower().replace("__", ".")
            yield path, parse(path, text, source=f"the environment's {variable}")


def from_setting(setting: str) -> tuple[str, object]:
    """The path and the value of `optimizer.rate=0.01`.

    Raises:
        ArgumentError: There is no equals sign, or no such key.
    """
    path, equals, text = setting.partition("=")
    if not equals:
        raise ArgumentError(f"the setting {setting!r} has no value: write it as KEY=VALUE")
    return path.strip(), parse(path.strip(), text.strip(), source=f"the setting {setting!r}")


def parse(path: str, text: str, *, source: str) -> object:
    """Read a value as TOML, or as bare text where it is none; a path is made absolute.

    Args:
        path: Of the key.
        text: What the user wrote.
        source: Where, for messages.

    Raises:
        ArgumentError: There is no such key.
    """
    hint = hint_of(path, source=source)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if hint is Path or hint is str or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        value = value if isinstance(value, str) else text  # a folder may be called 2024
    if hint is Path and value == "":
        raise ArgumentError(f"{source}: {path} is empty: give a path, or leave it out")
    return Path(value).expanduser().absolute() if hint is Path else value


def hint_of(path: str, *, source: str) -> Any:
    """The type that the config declares for a key, without its None.

    Raises:
        ArgumentError: There is no such key; the message names those that there are.
    """
    kind: Any = TrainingConfig
    parts = path.split(".")
    for depth, part in enumerate(parts):
        place = ".".join(parts[:depth])
        if place == _LOSSES:
            kind = LossConfig  # of the term whose name the part is
            if depth == len(parts) - 1:
                raise ArgumentError(f"{source}: name a key too, such as {path}.weight")
            continue
        hints = get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if part not in hints:
            known = f"known are {', '.join(sorted(hints))}" if hints else "it is no table"
            where = f"[{place}]" if place else "a recipe"
            raise ArgumentError(f"{source}: {where} has no key {part!r}: {known}")
        kind = hints[part]
        if get_origin(kind) in {types.UnionType, Union}:
            kind = next(option for option in get_args(kind) if option is not type(None))
    return kind


def override(table: Table, path: str, value: object) -> None:
    """Put a value into a recipe's table, in place.

    Args:
        table: As TOML gives it; tables that are missing on the way are made.
        path: Of the key.
        value: As TOML would give it.

    Raises:
        ArgumentError: On the way is something other than a table, or there is no such loss.
    """
    *above, key = path.split(".")
    place = table
    if above[:1] == [_LOSSES]:
        place, above = _term(table, ".".join(above[1:])), []
    for name in above:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise ArgumentError(f"{name} is {place!r}: expected a table")
    place[key] = value


def _term(table: Table, name: str) -> Table:
    """The table of one loss; a recipe without losses has the default one."""
    terms = table.setdefault(_LOSSES, [{"name": str(term.name)} for term in _default_losses()])
    for term in terms if isinstance(terms, list) else ():
        if isinstance(term, dict) and term.get("name") == name:
            return term
    raise ArgumentError(f"losses.{name}: the objective has no loss of that name")


def _default_losses() -> tuple[LossConfig, ...]:
    [losses] = (item for item in dataclasses.fields(TrainingConfig) if item.name == _LOSSES)
    return losses.default  # type: ignore[return-value]


# Recipes of a training: joined with the environment and flags into a `TrainingConfig`.


def configure(
    recipe: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    settings: Iterable[str] = (),
    **flags: object,
) -> TrainingConfig:
    """Join a recipe with the environment and the flags of a command, each winning over the last.

    Args:
        recipe: A TOML file; None: the defaults.
        environment: Variables, of which those that begin with `LIKENESS_TRAIN_` are settings.
        settings: `KEY=VALUE` as of `--set`: they win over all else.
        flags: Top-level keys of the recipe, and those in `FLAGS`; None stands for a flag that was
            not given. Paths among them are relative to the working directory.

    Raises:
        ArgumentError: A file that is missing or no TOML, an unknown key, a value out of range.
    """
    table = read_recipe(recipe) if recipe is not None else {}
    base = recipe.parent if recipe is not None else Path()
    for path, value in from_environment(environment or {}):
        override(table, path, value)
    for name, given in flags.items():
        if given is not None:
            _put_flag(table, name, given)
    for setting in settings:
        override(table, *from_setting(setting))
    if not isinstance(table.get("data"), dict) or "folder" not in table["data"]:
        raise ArgumentError("no photographs to train on: give --data FOLDER or a recipe with data")
    if "out" not in table:
        raise ArgumentError("no folder for the run: give --out RUN")
    return build(TrainingConfig, table, base)


def changed(config: TrainingConfig, values: Mapping[str, object]) -> TrainingConfig:
    """The same run with other values at the paths of some keys.

    Raises:
        ArgumentError: An unknown key, a value of another type or out of range.
    """
    table = tomllib.loads(to_toml(config))
    for path, value in values.items():
        override(table, path, value)
    return build(TrainingConfig, table, Path())


FLAGS = {
    "data": "data.folder",
    "rate": "optimizer.rate",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
    "warmup": "schedule.warmup",
    "pool": "head_pooling",
}
"""Flags that are named otherwise than their keys; `loss` stands for a sum of that one alone."""


def _put_flag(table: Table, name: str, given: object) -> None:
    value = given.absolute() if isinstance(given, Path) else given
    if name == "loss":
        table["losses"] = [{"name": value}]
    else:
        override(table, FLAGS.get(name, name), value)
