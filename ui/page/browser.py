"""What the page runs in the browser: HTML, CSS and JavaScript, each in its own file in `static/`.

All text and pictures come as data and are put in as `textContent` and `src`, never as HTML, so a
person's name stays a name whatever it contains.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import streamlit as st

STATIC: Final = Path(__file__).parent / "static"
"""Where the files are; installed with the package."""

MARK: Final = (STATIC / "mark.svg").read_text("utf-8")
"""A portrait in a frame: the sign of the application, drawn here so that none is fetched."""

WORDMARK: Final = STATIC / "wordmark.svg"
"""The sign with the name beside it, in a green that can be read on light and on dark."""

_PAGE_STYLE = (STATIC / "page.css").read_text("utf-8")


class Piece(NamedTuple):
    """What the browser gets of a component."""

    html: str
    css: str
    js: str


def piece(name: str, *shared: str) -> Piece:
    """Read the files of a component: its HTML, its script, and its style where it has one.

    Args:
        name: What its files are called.
        shared: What the files are called that it has in common with others. A component's script
            reaches the browser as a blob, which cannot import: so theirs come before its own.
    """
    names = (*shared, name)
    markup = (STATIC / f"{name}.html").read_text("utf-8").strip()
    return Piece(html=markup, css=_joined(names, ".css"), js=_joined(names, ".js"))


def component(name: str, *shared: str) -> Callable[..., Any]:
    """A component of the page, ready to be mounted; see `piece`."""
    files = piece(name, *shared)
    return st.components.v2.component(
        f"likeness.{name}", html=files.html, css=files.css or None, js=files.js
    )


def page_style(kinds: str) -> str:
    """The style of every page, as an element of HTML.

    Args:
        kinds: What an uploader says that it takes.
    """
    said = json.dumps(kinds, ensure_ascii=False).replace("<", r"\3c ")
    return f"<style>\n:root {{ --picture-kinds: {said}; }}\n{_PAGE_STYLE}</style>"


def _joined(names: tuple[str, ...], suffix: str) -> str:
    files = [STATIC / f"{name}{suffix}" for name in names]
    return "\n".join(file.read_text("utf-8") for file in files if file.is_file())
