"""Which kind of index a gallery of some size has, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from pathlib import Path
from typing import Any

from data.files import private_folder, write_atomic

EXACT_UP_TO = 100_000
"""How many templates are searched exactly, one by one."""

FEWEST_TRAINED = 1_000
"""How many templates an index can be trained on, at least."""

_FILE = "index-kind"


class Kind(StrEnum):
    """How an index keeps the templates."""

    AUTO = "auto"
    """By their number."""

    FLAT = "flat"
    """As they are; all are compared."""

    INT8 = "int8"
    """In lists of neighbours, a byte a number."""

    PQ = "pq"
    """In lists of neighbours, by product quantisation: a bit or two a number."""


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """An index that fits a gallery.

    Attributes:
        kind: Never `AUTO`.
        lists: Into how many lists of neighbours it divides the templates; 0 for `FLAT`.
        why: In words.
        keeps: Whether an index of lists stays that was made when there were more templates.
    """

    kind: Kind
    lists: int
    why: str
    keeps: bool = False

    def is_met(self, kind: Kind, lists: int) -> bool:
        """Whether an index is near enough to this one that a new one is not worth its making."""
        if self.kind is Kind.FLAT or kind is Kind.FLAT:
            return self.kind is kind or self.keeps
        return self.kind is kind and 0.5 < lists / self.lists < 2


def plan_of(wanted: Kind, templates: int, dimension: int) -> IndexPlan:
    """The index for a gallery.

    Args:
        wanted: What the user has chosen.
        templates: How many there are, N.
        dimension: D.
    """
    lists = max(1, round(sqrt(templates)))
    if wanted is Kind.FLAT:
        return IndexPlan(Kind.FLAT, 0, "as chosen")
    if wanted is Kind.AUTO and templates <= EXACT_UP_TO:
        keeps = templates > EXACT_UP_TO // 2  # who comes and goes at the limit makes no work
        return IndexPlan(Kind.FLAT, 0, f"at most {EXACT_UP_TO:,} photographs", keeps)
    if templates < FEWEST_TRAINED:
        why = f"{wanted} is chosen, and takes {FEWEST_TRAINED:,} photographs"
        return IndexPlan(Kind.FLAT, 0, why)
    why = f"more than {EXACT_UP_TO:,} photographs" if wanted is Kind.AUTO else "as chosen"
    if wanted is Kind.INT8:
        return IndexPlan(Kind.INT8, lists, why)
    if parts_of(dimension) is None:
        return IndexPlan(
            Kind.INT8, lists, f"{why}, and {dimension} numbers cannot be cut into parts"
        )
    return IndexPlan(Kind.PQ, lists, why)


def parts_of(dimension: int) -> int | None:
    """Into how many parts product quantisation cuts D numbers, half a byte each; None: it cannot.

    With fewer numbers each of them counts more.
    """
    for width in (4, 2) if dimension >= 512 else (2,):
        if dimension % width == 0:
            return dimension // width
    return None


def can_be_about(found: object) -> bool:
    """Whether something read from a file can be what is kept `about` an index; an exact one: {}."""
    if not isinstance(found, dict):
        return False
    counts = [found.get(name) for name in ("lists", "planned", "searched", "found", "tried")]
    return not found or (
        found.get("kind") in (Kind.INT8, Kind.PQ)
        and all(type(count) is int and count >= 0 for count in counts)
    )


def is_of_plan(plan: IndexPlan, about: Mapping[str, Any]) -> bool:
    """Whether an index is near enough to a plan, by what is kept `about` it."""
    return bool(about) and plan.is_met(Kind(about["kind"]), about["planned"])


def described(plan: IndexPlan, about: Mapping[str, Any] | None) -> str:
    """Tell which index a gallery has, and why.

    Args:
        plan: The one that fits it.
        about: What is kept about the one that is there; None where there is none.
    """
    if plan.kind is Kind.FLAT and not (about and is_of_plan(plan, about)):
        return f"flat, {plan.why}: all are compared"
    if not about or not is_of_plan(plan, about):
        return (
            f"{plan.kind}, {plan.why}; not made yet, until then all are compared, which takes "
            "long: `likeness gallery index` makes it"
        )
    found, tried = about["found"], about["tried"]
    measured = f"; it finds {found / tried:.1%} of what comparing all finds" if tried else ""
    why = f"made for more than {EXACT_UP_TO:,} photographs" if plan.keeps else plan.why
    return (
        f"{about['kind']}, {why}: {about['searched']:,} of {about['lists']:,} lists are searched, "
        f"and the nearest compared exactly{measured}"
    )


def read_kind(folder: Path) -> Kind:
    """What was chosen for the gallery in a folder; `AUTO` where nothing was."""
    try:
        return Kind((folder / _FILE).read_text("ascii").strip())
    except (OSError, ValueError):
        return Kind.AUTO


def write_kind(folder: Path, kind: Kind) -> None:
    """Choose a kind for the gallery in a folder.

    Raises:
        OSError: It cannot be written.
    """
    if kind is not read_kind(folder):
        write_atomic(private_folder(folder) / _FILE, f"{kind}\n".encode())
