"""How far long work has come, for whoever waits for it."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Told after each step: how many are done, of how many."""
