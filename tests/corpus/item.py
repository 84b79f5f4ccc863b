"""What the corpus is made of: things that a stranger may hand in, each with its verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SEED = 0
"""Of all that is drawn, unless another one is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that is handed in.

    Attributes:
        section: What sort of thing it is.
        name: Which one of its sort.
        accept: Whether it is to be taken; else it is to be refused.
        why: What is odd about it.
        write: Puts it into an empty folder of its own, the same bytes every time.
    """

    section: str
    name: str
    accept: bool
    why: str
    write: Callable[[Path], None] = lambda folder: None

    def __str__(self) -> str:
        return self.name
