"""All presets as small pictures, to choose from by clicks."""

from collections.abc import Collection
from typing import Any

import streamlit as st
from PIL import Image

from . import browser, components, session
from .language import say

_tiles = browser.component("styles", "elements")


def choose(label: str, *, key: str, most: int) -> list[str]:
    """All presets as small pictures to choose from.

    Args:
        label: What stands above them.
        key: Tells this gallery from others.
        most: How many may be chosen.

    Returns:
        The names of those that are chosen, in the order in which they were.
    """
    from style.presets.registry import PRESETS
    from style.presets.shelf import COLUMNS, SHEET

    state: dict[str, Any] = st.session_state.get(key) or session.begins_with(key, {})
    known = {preset.name for preset in PRESETS}
    chosen = _known(state.get("chosen", st.query_params.get_all(key)), known)[:most]
    if session.page_was_entered() and chosen != st.query_params.get_all(key):
        # Another page has taken them out of the address, where a reload looks for them.
        st.query_params[key] = chosen
    result = _tiles(
        key=key,
        data={
            "label": label,
            "parameter": key,
            "hint": say("up to {most} are mixed", most=most),
            "most": most,
            "columns": COLUMNS,
            "sheet": _sheet_url(str(SHEET)),
            "styles": [{"name": preset.name, "about": preset.about} for preset in PRESETS],
            "chosen": chosen,
        },
        default={"chosen": chosen},
        on_chosen_change=lambda: None,
    )
    return _known(result.get("chosen"), known)[:most]


def _known(named: object, known: Collection[str]) -> list[str]:
    """What is known of what a browser or an address names, each once."""
    found = [name for name in named if name in known] if isinstance(named, list) else []
    return list(dict.fromkeys(found))


def names() -> list[str]:
    """The names of all presets."""
    from style.presets.registry import PRESETS

    return [preset.name for preset in PRESETS]


@st.cache_data(show_spinner=False)
def _sheet_url(path: str) -> str:
    """All presets as one picture of half its size, for the browser to cut up."""
    with Image.open(path) as opened:
        sheet = opened.convert("RGB").reduce(2)
    return components.data_url(sheet)
