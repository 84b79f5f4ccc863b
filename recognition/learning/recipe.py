"""Recipes of a training: joined with the environment and flags into a `TrainingConfig`."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from data.errors import ArgumentError
from data.recipes import Table, build, read_recipe, to_toml

from .config import TrainingConfig
from .overrides import from_environment, from_setting, override


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
}
"""Flags that are named otherwise than their keys; `loss` stands for a sum of that one alone."""


def _put_flag(table: Table, name: str, given: object) -> None:
    value = given.absolute() if isinstance(given, Path) else given
    if name == "loss":
        table["losses"] = [{"name": value}]
    else:
        override(table, FLAGS.get(name, name), value)
