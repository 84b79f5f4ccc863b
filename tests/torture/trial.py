"""What a row of the fault table is, and what comes of trying it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """What came of a row's trials.

    Attributes:
        trials: How many there were.
        broken: How each broken promise looked.
        notes: What else there is to tell.
    """

    trials: int = 0
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, kept: bool, otherwise: str) -> None:
        """Note a promise that was not kept."""
        if not kept:
            self.broken.append(otherwise)


@dataclass(frozen=True, slots=True)
class Row:
    """One fault and its promise.

    Attributes:
        fault: What is done.
        promise: What holds all the same.
        trials: How many are promised.
        few: How many run with the tests.
        run: (trials, empty folder, source of randomness) → what came of it.
    """

    fault: str
    promise: str
    trials: int
    few: int
    run: Callable[[int, Path, random.Random], Outcome]
