"""What one session of the page remembers between two runs of its script."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import streamlit as st

Item = TypeVar("Item")
Value = TypeVar("Value")


def remembered(slot: str, key: Hashable, compute: Callable[[], Value]) -> Value:
    """A value that is computed once and again only when its key changes.

    Args:
        slot: Where this session keeps it: one value a slot.
        key: What it depends on.
        compute: Makes it.
    """
    memory: dict[str, tuple[Hashable, Any]] = st.session_state.setdefault("memory", {})
    if slot not in memory or memory[slot][0] != key:
        memory[slot] = (key, compute())
    value: Value = memory[slot][1]
    return value


def first_of(items: Sequence[Item], *, key: str, size: int) -> Sequence[Item]:
    """As many items as fit on a page that nobody scrolls for ever, and more on request."""
    shown: dict[str, int] = st.session_state.setdefault("shown", {})
    return items[: shown.setdefault(key, size)]


def more_button(items: Sequence[Item], *, key: str, size: int) -> None:
    """Below `first_of`: the button that shows more, if there are any."""
    shown: dict[str, int] = st.session_state["shown"]
    left = len(items) - shown[key]
    if left > 0 and st.button(f"Show {min(size, left)} more of {left}", key=f"{key}-more"):
        shown[key] += size
        st.rerun()
