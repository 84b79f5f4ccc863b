"""What runs in the browser lies in files, every one of which some component reads."""

import ast
import re
from importlib import resources
from pathlib import Path

import pytest

from ui.page import browser

PAGE = Path(browser.__file__).parent
STATIC = resources.files("ui.page") / "static"
BESIDES = {"first_paint.html", "page.css", "mark.svg", "wordmark.svg"}
"""What belongs to no component."""

_DECLARED = re.compile(r"^(?:export default )?(?:async )?function\s*(\w*)\(", re.MULTILINE)


def components() -> dict[str, tuple[str, ...]]:
    """Every component that a module of the page makes, and what it shares with others."""
    calls = (
        [ast.literal_eval(argument) for argument in node.args]
        for path in PAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "browser.component"
    )
    return {name: tuple(shared) for name, *shared in calls}


def test_no_file_is_left_over_and_none_is_missing() -> None:
    there = {file.name for file in STATIC.iterdir()} - BESIDES
    used = {part for name, shared in components().items() for part in (name, *shared)}
    assert {name.partition(".")[0] for name in there} == used
    assert len(used) >= 7


@pytest.mark.parametrize(("name", "shared"), sorted(components().items()))
def test_a_component_has_one_entry_and_declares_what_it_calls(
    name: str, shared: tuple[str, ...]
) -> None:
    piece = browser.piece(name, *shared)
    assert piece.html.startswith("<")
    assert piece.js.count("export default function") == 1
    declared = [found for found in _DECLARED.findall(piece.js) if found]
    assert len(declared) == len(set(declared))
    for part in shared:
        own = _DECLARED.findall((STATIC / f"{part}.js").read_text("utf-8"))
        assert own
        assert any(re.search(rf"\b{function}\(", _own_script(name)) for function in own), part
    elsewhere = {
        function
        for other in STATIC.iterdir()
        if other.name.endswith(".js")
        for function in _DECLARED.findall(other.read_text("utf-8"))
        if function
    }
    for function in elsewhere - set(declared):
        assert not re.search(rf"(?<![.\w]){function}\(", piece.js), function


@pytest.mark.parametrize("kinds", ["JPEG, PNG, up to 50 MB", 'a "kind"', "photographs – çedilla"])
def test_the_page_s_style_says_what_an_uploader_takes(kinds: str) -> None:
    style = browser.page_style(kinds)
    assert style.startswith("<style>")
    assert style.endswith("</style>")
    (said,) = re.findall(r"--picture-kinds: (\".*\");", style)
    assert said[1:-1].replace('\\"', '"') == kinds
    assert "content: var(--picture-kinds)" in style


def test_no_script_and_no_style_is_left_in_a_module() -> None:
    for path in PAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        assert not re.search(r"export default|addEventListener|querySelector|font-family:", text)


def _own_script(name: str) -> str:
    return (STATIC / f"{name}.js").read_text("utf-8")
