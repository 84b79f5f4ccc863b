"""Every text of the page is in one catalogue, and another language is one more file."""

import ast
import json
import re
from itertools import chain
from pathlib import Path

import pytest

from data.errors import ArgumentError
from ui.page import language, style_fields
from ui.page.language import ENGLISH, LANGUAGES, VARIABLE, catalogue, places, say

PAGE = LANGUAGES.parent
assert style_fields  # whose constants are said once, in the language of its first import
SHOWN = re.compile(
    r"\.(title|header|caption|markdown|text|info|warning|error|success|toast|badge|button|checkbox"
    r"|toggle|slider|select_slider|selectbox|multiselect|segmented_control|text_input|number_input"
    r"|expander|popover|download_button|page_link|camera_input|form_submit_button|dialog)$"
)
WORDS = {"help", "placeholder", "label", "alt", "text"}
"""The options of elements that are shown."""
FILES = sorted(LANGUAGES.glob("*.json"))


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    catalogue.cache_clear()


@pytest.fixture
def klingon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language in which every word is turned round, and no place of a value is."""
    texts = json.loads((LANGUAGES / "en.json").read_text("utf-8"))
    turned = {
        text: "".join(part if part.startswith("{") else part[::-1] for part in _parts(text))
        for text in texts
    }
    (tmp_path / "en.json").write_text(json.dumps(texts), "utf-8")
    (tmp_path / "tlh.json").write_text(json.dumps(turned), "utf-8")
    monkeypatch.setattr(language, "LANGUAGES", tmp_path)
    monkeypatch.setenv(VARIABLE, "tlh")


def _parts(text: str) -> list[str]:
    return re.split(r"(\{[^}]*\})", text)


def _fixed(given: ast.expr) -> list[str]:
    """What of a text stands in the module, whichever way it is chosen or put together."""
    match given:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=first, orelse=second) | ast.BinOp(left=first, right=second):
            return [*_fixed(first), *_fixed(second)]
        case ast.BoolOp(values=several) | ast.JoinedStr(values=several):
            return [text for one in several for text in _fixed(one)]
    return []


def test_the_english_catalogue_is_what_the_modules_say() -> None:
    assert (LANGUAGES / f"{ENGLISH}.json").read_text("utf-8") == language.english(), (
        "a text has changed: python -m ui.page.language"
    )
    assert len(language.spoken()) > 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_language_has_every_text_with_the_same_places(path: Path) -> None:
    texts = json.loads(path.read_text("utf-8"))
    assert sorted(texts) == language.spoken()
    for text, told in texts.items():
        assert places(told) == places(text), text
        assert told.strip()


@pytest.mark.parametrize("path", sorted(PAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_is_shown_but_by_way_of_the_catalogue(path: Path) -> None:
    """Not even a word that is handed straight to an element of the page, or chosen there."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and SHOWN.search(ast.unparse(node.func))):
            continue
        given = [*node.args, *(each.value for each in node.keywords if each.arg in WORDS)]
        for text in chain.from_iterable(map(_fixed, given)):
            assert not re.search(r"[^\W\d_]{2,}", re.sub(r":material/\w+:|[\w/]+\.py", "", text)), (
                text
            )


def test_every_place_is_filled_where_a_text_is_said() -> None:
    for path in PAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "say":
                text = ast.literal_eval(node.args[0])
                given = sorted(str(each.arg) for each in node.keywords)
                assert given == [each.partition(":")[0] for each in places(text)], text


def test_a_value_is_put_in_as_it_is() -> None:
    assert say("Not {name}", name="{x} {0} %s") == "Not {x} {0} %s"
    assert say("Not in any catalogue {amount:,}", amount=1234) == "Not in any catalogue 1,234"


def test_another_language_is_one_more_file(klingon: None) -> None:
    assert say("Name") == "emaN"
    assert say("Not {name}", name="Ann") == " toNAnn"


def test_a_language_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("xx", "../../secret", "EN"):
        monkeypatch.setenv(VARIABLE, name)
        with pytest.raises(ArgumentError, match=r"LIKENESS_LANGUAGE is .*: choose from en"):
            say("Name")


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ('{"Name": "Name",}', "is not JSON"),
        ('["Name"]', "expected a text for each"),
        ('{"Name": 3}', "expected a text for each"),
        ('{"Not {name}": "Nicht {nmae}"}', "other places"),
        ('{"Not {name}": "Nicht {name"}', "other places"),
        ('{"Name": "{}"}', "other places"),
    ],
)
def test_a_file_that_is_no_language_is_told_by_its_name(
    content: str, wrong: str, klingon: None
) -> None:
    (language.LANGUAGES / "tlh.json").write_text(content, "utf-8")
    with pytest.raises(ArgumentError, match=f"tlh.json.*{wrong}"):
        say("Name")


def test_a_page_speaks_another_language(
    klingon: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_HOME", str(tmp_path / "home"))
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(PAGE / "pages" / "verify.py"), default_timeout=280).run()
    assert not page.exception
    assert page.title[0].value == "Verify"[::-1]
