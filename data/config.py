"""Configurations: frozen dataclasses that check themselves, read from TOML and single settings.

A class of settings derives from `Configuration` and says of each field what it may be:

    size: Annotated[int, Within(64, 4096)] = 512
    fast: Flag = False
    out: File

Tables and keys of a recipe are the fields; nothing is named twice. Whatever makes an object, a
recipe, the environment, `--set` or Python, has its values checked, by pydantic, and is refused in
one line that names the key, what it may be, and the right key nearest to a wrong one. pydantic is
imported when the first value is checked that is no default: help and most commands do without it.
"""

import dataclasses
import difflib
import functools
import json
import os
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import ArgumentError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema, ErrorDetails

# What a field may be, beyond its type.


@dataclass(frozen=True, slots=True)
class Within:
    """Of a number: the range that it has to be in. Neither texts nor truth values are numbers.

    Attributes:
        low: The least.
        high: The largest.
        above: Whether the least itself is refused.
    """

    low: float
    high: float
    above: bool = False

    def check(self, name: str, value: object, kind: type[Any] = float) -> Any:
        """The value as a number of its kind.

        Raises:
            ArgumentError: It is none, or out of range.
        """
        if (refusal := self._refusal(value, kind)) is not None:
            raise ArgumentError(f"{name} {refusal}")
        return kind(value)

    def _refusal(self, value: object, kind: type[Any]) -> str | None:
        numeric = isinstance(value, int if kind is int else (int, float))
        if numeric and not isinstance(value, bool):
            number = cast(float, value)
            # A NaN fails every comparison.
            if (self.low < number if self.above else self.low <= number) and number <= self.high:
                return None
        what = "whole number" if kind is int else "number"
        begin = f"above {self.low}, at most" if self.above else f"from {self.low} to"
        return f"is {_shown(value)}: expected a {what} {begin} {self.high}"

    def __get_pydantic_core_schema__(self, source: Any, _: "GetCoreSchemaHandler") -> "CoreSchema":
        """Check instead of pydantic, which would take a text for a number and True for 1."""

        def check(value: object) -> Any:
            if (refusal := self._refusal(value, source)) is not None:
                raise _problem(refusal)
            return source(value)

        return _checked_by(check)


class _Flag:
    def __get_pydantic_core_schema__(self, source: Any, _: "GetCoreSchemaHandler") -> "CoreSchema":
        def check(value: object) -> object:
            if not isinstance(value, bool):
                raise _problem(f"is {_shown(value)}: expected true or false")
            return value

        return _checked_by(check)


class _File:
    def __get_pydantic_core_schema__(self, source: Any, _: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        def check(value: object, info: core_schema.ValidationInfo) -> Path:
            if value == "":
                raise _problem("is empty: expected a path, or leave it out")
            if not isinstance(value, str | Path):
                raise _problem(f"is {_shown(value)}: expected a path")
            base = (info.context or {}).get("base")
            path = Path(value)
            return path if base is None else Path(os.path.normpath(base / path.expanduser()))

        return core_schema.with_info_plain_validator_function(check)


Flag = Annotated[bool, _Flag()]
"""True or false, and nothing that could be taken for either."""
File = Annotated[Path, _File()]
"""A path; in a recipe relative to the recipe's own folder."""


def _checked_by(check: Callable[[object], object]) -> "CoreSchema":
    from pydantic_core import core_schema

    return core_schema.no_info_plain_validator_function(check)


def _problem(text: str) -> Exception:
    """What a value is refused with, said of its key; braces in it are no places to fill in."""
    from pydantic_core import PydanticCustomError

    return PydanticCustomError(_PROBLEM, "{text}", {"text": text})


# A configuration, and what refuses one.

Config = TypeVar("Config", bound="Configuration")
Table = dict[str, Any]
"""TOML as `tomllib` reads it."""


class Configuration:
    """The base of frozen dataclasses of settings: every value that is no default is checked.

    Choices may be given by their names, and lists for tuples.

    Raises:
        ArgumentError: A value is of another type or out of range, or two do not fit together.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, object]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        """Check what is given, value by value, and then what the values mean together."""
        kind = type(self)
        for item in dataclasses.fields(cast(Any, self)):
            value = getattr(self, item.name)
            if value is not item.default:
                checked = _checked(kind, value, key=item.name, whole=self)
                object.__setattr__(self, item.name, checked)
        self._check()

    def _check(self) -> None:
        """Refuse values that do not fit together, by an `ArgumentError`; here none."""


def read(kind: type[Config], table: Mapping[str, object], base: Path) -> Config:
    """Make a configuration from a table.

    Args:
        kind: Its class.
        table: Values by key, as TOML has them.
        base: What relative paths are relative to.

    Raises:
        ArgumentError: A key is unknown or missing, or a value is of another type or out of range.
    """
    made: Config = _checked(kind, table, whole=table, base=base.absolute())
    return made


@functools.cache
def _adapter(kind: Any, key: str | None) -> "TypeAdapter[Any]":
    """What checks a configuration, or one of its fields."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind if key is None else get_type_hints(kind, include_extras=True)[key])


def _checked(
    kind: type[Any],
    value: object,
    *,
    whole: object,
    key: str | None = None,
    base: Path | None = None,
) -> Any:
    """A value as its type has it, of a key or of a whole configuration."""
    adapter = _adapter(cast(Hashable, kind), key)
    from pydantic import ValidationError

    try:
        return adapter.validate_python(value, context={"base": base})
    except ValidationError as error:
        # An unknown key may be why another one is missing.
        order = [_UNKNOWN, _MISSING]
        problem = min(
            error.errors(include_url=False),
            key=lambda each: order.index(each["type"]) if each["type"] in order else len(order),
        )
        place = problem["loc"] if key is None else (key, *problem["loc"])
        raise ArgumentError(_in_a_line(kind, problem, place, whole)) from None


_PROBLEM, _UNKNOWN, _MISSING = "problem", "unexpected_keyword_argument", "missing"
_EXPECTED = {
    "dataclass_type": "a table",
    "tuple_type": "a list",
    "string_type": "text",
}


def _in_a_line(
    kind: type[Any], problem: "ErrorDetails", place: tuple[int | str, ...], whole: object
) -> str:
    """What is wrong, by its key, with what is expected."""
    code, last = problem["type"], place[-1] if place else ""
    if isinstance(last, str) and code in (_UNKNOWN, _MISSING):
        where, hint, _ = _follow(kind, place[:-1], whole)
        if code == _UNKNOWN:
            return _no_key(kind, where, hint, last)
        return f"{f'[{where}]' if where else 'the recipe'} lacks the key {last!r}"
    if code in ("too_long", _MISSING):  # a tuple of another length
        where, hint, value = _follow(kind, place if code == "too_long" else place[:-1], whole)
        return f"{where} has {len(value)} values: expected {len(get_args(hint))}"
    where, hint, value = _follow(kind, place, whole)
    if code == _PROBLEM:
        return f"{where} {problem['msg']}"
    if code == "enum":
        return (
            f"{where} is {_shown(value)}: {_nearest(str(value), hint)}choose from {', '.join(hint)}"
        )
    expected = _EXPECTED.get(code)
    if expected is None:  # of a kind that no field is of today
        return f"{where} is {_shown(value)}: {problem['msg']}"
    return f"{where or 'the recipe'} is {_shown(value)}: expected {expected}"


def _follow(kind: type[Any], place: Iterable[int | str], value: Any) -> tuple[str, Any, Any]:
    """The name of a place in a configuration, its type, and what stands there.

    A table of a list is named by the first of its keys, as `--set` does.
    """
    words: list[str] = []
    hint: Any = kind
    for part in place:
        if isinstance(part, int):
            several = get_args(hint)
            hint = several[0] if several[-1] is Ellipsis else several[min(part, len(several) - 1)]
            value = value[part] if part < len(value) else None
            name = _name_of_entry(hint, value)
            words += [name] if name else []
        else:
            hint = _fields(hint)[part]
            value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
            words.append(part)
    return ".".join(words), hint, value


def _name_of_entry(hint: Any, entry: Any) -> str:
    """What one table of a list is called: the text or the file of its first key."""
    if not dataclasses.is_dataclass(hint):
        return ""
    first = next(iter(_fields(hint)))
    name = entry.get(first) if isinstance(entry, Mapping) else getattr(entry, first, None)
    return Path(name).name if isinstance(name, str | Path) else ""


def _no_key(root: type[Any], where: str, hint: Any, key: str) -> str:
    """That there is no such key, with the nearest one and all that there are."""
    known = _fields(hint)
    table = f"[{where}]" if where else "a recipe"
    if not known:
        return f"{table} has no key {key!r}: it is no table"
    near = _nearest(key, known)
    if not near:
        elsewhere = {path.rpartition(".")[2]: path for path in reversed(_paths(root))}
        close = difflib.get_close_matches(key, elsewhere, 1, 0.75)
        near = f"did you mean {elsewhere[close[0]]}? " if close else ""
    return f"{table} has no key {key!r}: {near}known are {', '.join(sorted(known))}"


def _nearest(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), 1, 0.6)
    return f"did you mean {close[0]}? " if close else ""


def _shown(value: object) -> str:
    """A value in a message, on one line that is not too long."""
    text = value if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
    return str(text) if len(str(text)) <= _MOST_SHOWN else f"{str(text)[:_MOST_SHOWN]}…"


_MOST_SHOWN = 80


def _fields(hint: Any) -> dict[str, Any]:
    """The types of a configuration's fields, without their None; of anything else nothing."""
    if not (isinstance(hint, type) and dataclasses.is_dataclass(hint)):
        return {}
    hints = get_type_hints(hint)
    return {item.name: _bare(hints[item.name]) for item in dataclasses.fields(hint)}


def _bare(hint: Any) -> Any:
    if get_origin(hint) in {types.UnionType, Union}:
        return next(option for option in get_args(hint) if option is not type(None))
    return hint


def _paths(kind: Any, above: str = "") -> list[str]:
    """Every key of a configuration, with the tables above it."""
    found = []
    for name, hint in _fields(kind).items():
        found += [above + name, *_paths(hint, f"{above}{name}.")]
    return found


# TOML. Tables and keys are a configuration's fields.


def read_recipe(recipe: Path) -> Table:
    """Read a TOML file; nothing in it is judged.

    Raises:
        ArgumentError: There is no such file, or it is no TOML.
    """
    try:
        return _toml(recipe.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArgumentError(f"no recipe at {recipe}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"the recipe {recipe} cannot be read as text") from error
    except ValueError as error:
        raise ArgumentError(f"the recipe {recipe} is not TOML: {error}") from error


def _toml(text: str) -> Table:
    import tomllib  # help needs none

    return tomllib.loads(text)


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


# Single settings, laid over a recipe: from the environment, from `--set`, from a search.
#
# A key is named by its path: `epochs`, `optimizer.rate`, or `losses.triplet.margin` for the table
# of a list whose first key has that value. A value is written as TOML writes it; a text may go
# without its quotation marks.


def joined(
    kind: type[Configuration],
    recipe: Path | None,
    *,
    prefix: str,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    settings: Iterable[str] = (),
) -> Table:
    """A recipe under the environment, the flags of a command, and `--set`: each wins over the last.

    Args:
        kind: Of the configuration that will be read from it.
        recipe: A TOML file; None: an empty one.
        prefix: What the name of an environment variable that is a setting begins with. Two
            underscores stand between a table and its key; an empty value counts as absent.
        environment: Variables by name.
        flags: Values by path; None stands for a flag that was not given. Paths of files among them
            are relative to the working directory.
        settings: `KEY=VALUE`.

    Raises:
        ArgumentError: A file that is missing or no TOML, or a key that there is not.
    """
    table = read_recipe(recipe) if recipe is not None else {}
    for variable, text in sorted((environment or {}).items()):
        if variable.startswith(prefix) and text:
            path = variable.removeprefix(prefix).lower().replace("__", ".")
            value = parse(kind, path, text, source=f"the environment's {variable}")
            _override(kind, table, path, value)
    for path, given in (flags or {}).items():
        if given is not None:
            _override(kind, table, path, given.absolute() if isinstance(given, Path) else given)
    for setting in settings:
        path, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise ArgumentError(f"the setting {setting!r} has no value: write it as KEY=VALUE")
        value = parse(kind, path, text, source=f"the setting {setting!r}")
        _override(kind, table, path, value)
    return table


def configured(
    kind: type[Config],
    recipe: Path,
    *,
    prefix: str,
    environment: Mapping[str, str] | None = None,
    settings: Iterable[str] = (),
    **flags: object,
) -> Config:
    """The configuration that a recipe asks for; see `joined`. Its paths are relative to its folder.

    Raises:
        ArgumentError: A file that is missing or no TOML, an unknown key, a value out of range.
    """
    table = joined(
        kind, recipe, prefix=prefix, environment=environment, flags=flags, settings=settings
    )
    return read(kind, table, recipe.parent)


def changed(config: Config, values: Mapping[str, object]) -> Config:
    """The same configuration with other values at the paths of some keys.

    Raises:
        ArgumentError: An unknown key, a value of another type or out of range.
    """
    table = _toml(to_toml(config))
    for path, value in values.items():
        _override(type(config), table, path, value)
    return read(type(config), table, Path())


def parse(kind: type[Configuration], path: str, text: str, *, source: str) -> object:
    """Read a value as TOML, or as bare text where it is none; a path is made absolute.

    Args:
        kind: Of the configuration.
        path: Of the key.
        text: What the user wrote.
        source: Where, for messages.

    Raises:
        ArgumentError: There is no such key.
    """
    hint = kind_of(kind, path, source=source)
    try:
        value = _toml(f"value = {text}")["value"]
    except ValueError:
        value = text
    if hint is Path or hint is str or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        value = value if isinstance(value, str) else text  # a folder may be called 2024
    if hint is Path and value == "":
        raise ArgumentError(f"{source}: {path} is empty: give a path, or leave it out")
    return Path(value).expanduser().absolute() if hint is Path else value


def kind_of(kind: type[Configuration], path: str, *, source: str) -> Any:
    """The type that a configuration declares for a key, without its None.

    Raises:
        ArgumentError: There is no such key; the message names those that there are.
    """
    hint: Any = kind
    parts = path.split(".")
    for depth, part in enumerate(parts):
        place = ".".join(parts[:depth])
        if (entry := _entry_of(hint)) is not None:
            if depth == len(parts) - 1:
                example = list(_fields(entry))[1]
                raise ArgumentError(f"{source}: name a key too, such as {path}.{example}")
            # A table's name may have dots, as a file's; its keys have none.
            place, part, hint = ".".join(parts[:-1]), parts[-1], entry
        if part not in _fields(hint):
            raise ArgumentError(f"{source}: {_no_key(kind, place, hint, part)}")
        hint = _fields(hint)[part]
        if entry is not None:
            break
    return hint


def _entry_of(hint: Any) -> Any:
    """The class of the tables of a list; None of anything else."""
    several = get_args(hint) if get_origin(hint) is tuple else ()
    return several[0] if several and dataclasses.is_dataclass(several[0]) else None


def _override(kind: type[Configuration], table: Table, path: str, value: object) -> None:
    """Put a value into a recipe's table, in place; tables that are missing on the way are made."""
    *above, key = path.split(".")
    place: Any = table
    hint: Any = kind
    for depth, part in enumerate(above):
        if (entry := _entry_of(hint)) is not None:
            name = ".".join(above[depth:])
            names = [_name_of_entry(entry, each) for each in place]
            if name not in names:
                known = f"only {', '.join(names)}" if names else "nor any other"
                raise ArgumentError(f"{path}: there is no {name}, {known}")
            place = place[names.index(name)]
            break
        usual: Any = next(item.default for item in dataclasses.fields(hint) if item.name == part)
        hint = _fields(hint)[part]
        is_list = _entry_of(hint) is not None
        usual = () if usual is dataclasses.MISSING else usual
        given = [_toml(to_toml(each)) for each in usual] if is_list else {}
        place = place.setdefault(part, given)
        if not isinstance(place, list if is_list else dict):
            what = "a list" if is_list else "a table"
            raise ArgumentError(f"{part} is {_shown(place)}: expected {what}")
    place[key] = value
