"""What is printed: one line stays one line, tables are plain when piped, JSON is JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui import wording
from ui.cli import output


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_one_line_is_one_printable_line(text: str) -> None:
    line = output.one_line(text)
    assert len(line.splitlines()) <= 1
    assert all(c.isprintable() or c in "\u200c\u200d" for c in line)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P"])))
def test_one_line_leaves_readable_text_alone(text: str) -> None:
    assert output.one_line(text) == text


def test_a_piped_table_has_tabs_and_cannot_be_broken_by_a_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(("name", "photographs"), [("Ann [b]\tSmith\n", "3"), ("李", "1")])
    assert capsys.readouterr().out == "name\tphotographs\nAnn [b]\\tSmith\\n\t3\n李\t1\n"


def test_a_table_on_a_terminal_shows_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.print_table(("name",), [("[red]Ann[/red]",), ("x" * 300,)])
    out = capsys.readouterr().out
    assert "[red]Ann[/red]" in out
    assert out.count("x") == 300


def test_json_keeps_letters_and_refuses_what_is_no_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_json({"name": "Łukasz 李"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "Łukasz 李"}
    assert "Łukasz 李" in out
    with pytest.raises(ValueError, match="JSON"):
        output.print_json(float("nan"))


def test_compact_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"losses": {"content": 1.0}, "text": "a\nb"}, compact=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"losses": {"content": 1.0}, "text": "a\nb"}


def test_numbers_for_people() -> None:
    assert wording.percent(0.98765) == "98.8 %"
    assert wording.percent(None) == "–"
    assert wording.similarity(-0.126) == "-0.13"
    assert wording.megabytes(111_898_327) == "111.9 MB"


def test_no_progress_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress_bar("counting") as advance:
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_leaves_lines_of_json_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with output.progress_bar("counting", shown=False):
        output.print_json({"text": "x" * 300}, compact=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"text": "x" * 300}
    assert out.count("\n") == 1
    assert err == ""
