"""Numbers of a configuration, refused outside of their range."""

import math

from .errors import ArgumentError


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
