"""What one session of the page remembers between two runs of its script."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import streamlit as st

from .language import say

Item = TypeVar("Item")
Value = TypeVar("Value")

_MOST_REMEMBERED = 128  # values: some hundred pictures of a page that is long
_LONGEST = 2000  # characters of what a field holds that outlives its page
_NOTHING = object()


def remembered(slot: str, key: Hashable, compute: Callable[[], Value]) -> Value:
    """A value that is computed once and again only when its key changes.

    Args:
        slot: Where this session keeps it: one value a slot, and of slots the last used ones.
        key: What it depends on.
        compute: Makes it.
    """
    memory: dict[str, tuple[Hashable, Any]] = st.session_state.setdefault("memory", {})
    kept = memory.get(slot)
    if kept is None or kept[0] != key:
        kept = (key, compute())
    memory.pop(slot, None)
    memory[slot] = kept  # the last one now
    while len(memory) > _MOST_REMEMBERED:
        del memory[next(iter(memory))]
    value: Value = kept[1]
    return value


def note_page(name: str) -> None:
    """Note which page is about to be shown, and what the fields of the one before held.

    Streamlit forgets a field as soon as its page is left: so it is asked for here, before that.

    Args:
        name: Tells the page from the others.
    """
    for key, field in _fields().items():
        value = st.session_state.get(key, _NOTHING)
        if value is not _NOTHING and not (isinstance(value, str) and len(value) > _LONGEST):
            field["last"] = value
    st.session_state["page-entered"] = st.session_state.get("page") != name
    st.session_state["page"] = name


def begins_with(key: str, usual: Value) -> Value:
    """What a field begins with: what it held when its page was left, or else what is usual.

    Args:
        key: The field's.
        usual: What it begins with in a new session.
    """
    field = _fields().setdefault(key, {})
    if page_was_entered() and "last" in field:
        field["begins"] = field["last"]
    value: Value = field.get("begins", usual)
    return value


def _fields() -> dict[str, dict[str, Any]]:
    """What is remembered of each field, by its key."""
    fields: dict[str, dict[str, Any]] = st.session_state.setdefault("fields", {})
    return fields


def page_was_entered() -> bool:
    """Whether this is the first run of the page since another one was shown, or since a reload."""
    entered: bool = st.session_state.get("page-entered", True)
    return entered


def each_remembered(
    slot: str,
    keys: Sequence[Hashable],
    compute: Callable[[list[int]], Sequence[Value]],
) -> list[Value]:
    """Values that are computed once each; those whose key is gone are forgotten.

    Args:
        slot: Where this session keeps them.
        keys: What each depends on.
        compute: Makes those of some places among the keys, in order.
    """
    memory: dict[str, dict[Hashable, Any]] = st.session_state.setdefault("each", {})
    before = memory.get(slot, {})
    missing = [place for place, key in enumerate(keys) if key not in before]
    made = (
        {keys[place]: value for place, value in zip(missing, compute(missing), strict=True)}
        if missing
        else {}
    )
    memory[slot] = {key: made[key] if key in made else before[key] for key in keys}
    return [memory[slot][key] for key in keys]


def first_of(items: Sequence[Item], *, key: str, size: int) -> Sequence[Item]:
    """As many items as fit on a page that nobody scrolls for ever, and more on request."""
    shown: dict[str, int] = st.session_state.setdefault("shown", {})
    return items[: shown.setdefault(key, size)]


def more_button(items: Sequence[Item], *, key: str, size: int) -> None:
    """Below `first_of`: the button that shows more, if there are any."""
    shown: dict[str, int] = st.session_state["shown"]
    left = len(items) - shown[key]
    if left > 0 and st.button(
        say("Show {amount} more of {left}", amount=min(size, left), left=left), key=f"{key}-more"
    ):
        shown[key] += size
        st.rerun()
