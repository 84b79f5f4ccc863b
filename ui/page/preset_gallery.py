"""All presets as small pictures, to choose from by clicks."""

from collections.abc import Collection
from typing import Any

import streamlit as st
from PIL import Image

from . import browser, components, session

_HTML = """
<div class="head"><span class="label"></span><span class="hint"></span></div>
<div class="styles" role="group"></div>
"""
_CSS = """
.head { display: flex; justify-content: space-between; font: 0.875rem/1.4 var(--st-font);
  color: var(--st-text-color); margin-bottom: 0.35rem; }
.hint { opacity: 0.85; }
.styles { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.6rem, 1fr));
  gap: 0.55rem 0.5rem; }
button { all: unset; display: block; cursor: pointer; min-width: 0; text-align: center;
  color: var(--st-text-color); font: 0.75rem/1.3 var(--st-font); }
.picture { display: block; position: relative; aspect-ratio: 1; background-repeat: no-repeat;
  border-radius: var(--st-base-radius); margin-bottom: 0.2rem; }
.name { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
button:hover .picture { filter: brightness(1.08); }
button:focus-visible .picture { outline: 2px solid var(--st-text-color); outline-offset: 2px; }
button[aria-pressed=true] { font-weight: 600; }
button[aria-pressed=true] .picture { outline: 3px solid var(--st-primary-color);
  outline-offset: 2px; }
button[aria-pressed=true] .picture::after { content: "✓" / ""; position: absolute; right: 0.25rem;
  top: 0.25rem; width: 1.25rem; height: 1.25rem; border-radius: 50%; display: grid;
  place-items: center; background: var(--st-primary-color); color: #fff;
  font: 700 0.8rem/1 var(--st-font); }
button:disabled { cursor: default; opacity: 0.4; }
"""
_JS = (
    browser.MAKE
    + """
export default function ({ data, parentElement, setStateValue }) {
  // The element remembers: what the server sends may be older than the last click.
  const chosen = (parentElement.chosen ??= [...data.chosen]);
  const rows = Math.ceil(data.styles.length / data.columns);
  const place = parentElement.querySelector(".styles");
  place.setAttribute("aria-label", data.label);
  parentElement.querySelector(".label").textContent = data.label;
  const buttons = data.styles.map((style, number) => {
    const button = make("button");
    button.type = "button";
    button.title = style.about;
    const picture = button.appendChild(make("span", "picture"));
    const [column, row] = [number % data.columns, Math.floor(number / data.columns)];
    picture.style.backgroundImage = `url(${data.sheet})`;
    picture.style.backgroundSize = `${100 * data.columns}% ${100 * rows}%`;
    picture.style.backgroundPosition =
      `${(100 * column) / (data.columns - 1)}% ${(100 * row) / (rows - 1)}%`;
    button.append(make("span", "name", style.name));
    button.onclick = () => {
      const place = chosen.indexOf(style.name);
      if (place < 0) chosen.push(style.name); else chosen.splice(place, 1);
      show();
      remember();
      setStateValue("chosen", [...chosen]);
    };
    return button;
  });
  function show() {
    data.styles.forEach((style, number) => {
      const taken = chosen.includes(style.name);
      buttons[number].setAttribute("aria-pressed", taken);
      buttons[number].disabled = !taken && chosen.length >= data.most;
    });
    parentElement.querySelector(".hint").textContent =
      chosen.length ? `${chosen.length} of ${data.most}` : data.hint;
  }
  // Kept in the address, as what the other fields hold is: a reload finds it there.
  function remember() {
    const address = new URL(location.href);
    address.searchParams.delete(data.parameter);
    for (const name of chosen) address.searchParams.append(data.parameter, name);
    history.replaceState(history.state, "", address);
  }
  place.replaceChildren(...buttons);
  show();
}
"""
)

_tiles = st.components.v2.component("likeness.gallery", html=_HTML, css=_CSS, js=_JS)


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
            "hint": f"up to {most} are mixed",
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
