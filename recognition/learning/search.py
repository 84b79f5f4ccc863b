"""The space of a search over hyperparameters: `optimizer.rate=1e-4..1e-1:log`."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from data.errors import ArgumentError

from .config import TrainingConfig
from .overrides import hint_of, parse
from .recipe import changed

_FIXED = ("data", "out", "device", "metric", "tensorboard")
"""Keys that may not be searched over: places, and what the trials are compared by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One hyperparameter and where it may lie: a range, or a few choices.

    Attributes:
        path: Of the key in a recipe.
        low: Least value, a whole number where the key takes one; None for choices.
        high: Most; None for choices.
        log: Whether the logarithm is drawn evenly, not the value.
        choices: The values to choose from; empty for a range.
    """

    path: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[object, ...] = ()

    @property
    def corners(self) -> tuple[object, ...]:
        """Values that are refused if any is: the ends, or every choice."""
        return self.choices or (self.low, self.high)


def read_dimension(text: str) -> Dimension:
    """Read `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log` or `KEY=A,B,C`.

    Raises:
        ArgumentError: It is written otherwise, there is no such key, or the range is empty.
    """
    source = f"the search {text!r}"
    path, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise ArgumentError(f"{source}: write it as KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B")
    if path.split(".")[0] in _FIXED:
        raise ArgumentError(f"{source}: {path} is the same in every trial")
    kind = hint_of(path, source=source)
    if ".." not in values:
        choices = tuple(parse(path, each.strip(), source=source) for each in values.split(","))
        if len(set(map(str, choices))) < 2:
            raise ArgumentError(f"{source}: give two choices or more, or a range LOW..HIGH")
        return Dimension(path=path, choices=choices)
    values, _, scale = values.partition(":")
    if kind not in {int, float} or scale not in {"", "log"}:
        what = "only numbers have a range" if kind not in {int, float} else "the scale is log"
        raise ArgumentError(f"{source}: {what}")
    low, high = (_number(kind, end, source) for end in values.split("..", 1))
    if not low < high or (scale and low <= 0):
        above = ", above 0 on a log scale" if scale else ""
        raise ArgumentError(f"{source}: the range must rise{above}")
    return Dimension(path=path, low=low, high=high, log=bool(scale))


def _number(kind: type[int] | type[float], text: str, source: str) -> int | float:
    try:
        value = kind(text)
    except ValueError as error:
        wanted = "whole numbers" if kind is int else "numbers"
        raise ArgumentError(f"{source}: the ends of the range must be {wanted}") from error
    if not math.isfinite(value):
        raise ArgumentError(f"{source}: the ends of the range must be finite")
    return value


def read_space(texts: Iterable[str], config: TrainingConfig) -> tuple[Dimension, ...]:
    """Read the dimensions of a search over a run, and check their ends with it.

    Raises:
        ArgumentError: A dimension is written wrongly, given twice, or leaves a key's range.
    """
    space = tuple(read_dimension(text) for text in texts)
    paths = [dimension.path for dimension in space]
    if not space:
        raise ArgumentError("nothing to search: give --search optimizer.rate=1e-4..1e-1:log")
    if len(set(paths)) < len(paths):
        raise ArgumentError(f"each key may be searched once, not {', '.join(paths)}")
    for dimension in space:
        for value in dimension.corners:
            changed(config, {dimension.path: value})
    return space
