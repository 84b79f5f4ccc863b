from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from recognition.enrolment import face_meant
from recognition.photographs import Seen
from ui import wording

if TYPE_CHECKING:
    from recognition.faces.pipeline import DetectedFace

ISOLATES = "\u2068\u2069"


def shown(markdown: str) -> str:
    """What a Markdown renderer makes visible of a line, or what it was tricked into."""
    (paragraph,) = [t for t in MarkdownIt("commonmark").parse(markdown) if t.type == "inline"]
    assert {child.type for child in paragraph.children or ()} <= {"text", "text_special"}
    return "".join(child.content for child in paragraph.children or ())


@given(st.text(min_size=1).filter(lambda text: wording.shorten(text).strip()))
def test_any_text_stays_text_in_markdown(text: str) -> None:
    visible = shown(f"x {wording.plain(text)}")
    assert visible.replace("\u2060", "") == f"x \u2068{wording.shorten(text)}\u2069"


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "![x](http://example.org)", "# Ann", "- Ann", "1. Ann", "`Ann`"],
)
def test_markup_is_shown_as_typed(name: str) -> None:
    assert shown(wording.plain(name)).replace("\u2060", "").strip(ISOLATES) == name


@pytest.mark.parametrize("name", [":red[x]", ":material/face:", ":smile:", "a:b:c"])
def test_the_colons_of_streamlits_own_markup_are_cut_off_from_what_follows(name: str) -> None:
    assert ":\u2060" in wording.plain(name)
    assert not any(f":{letter}" in wording.plain(name) for letter in "rmsbc")


def test_a_long_text_is_cut_off_and_a_line_stays_a_line() -> None:
    assert len(wording.shorten("x" * 100_000)) == 80
    assert wording.shorten("Ann\n\nBob\t!") == "Ann Bob !"


def test_controls_of_the_writing_direction_go_and_joiners_stay() -> None:
    assert wording.shorten("a\u202eb\u2066c\x00\u200b") == "abc"
    assert wording.shorten("👩\u200d👩\u200d👧") == "👩\u200d👩\u200d👧"


@pytest.mark.parametrize(
    ("similarity", "text"), [(0.62, "0.62"), (-0.31, "−0.31"), (-0.001, "0.00"), (1.0, "1.00")]
)
def test_a_similarity_is_read_with_two_places(similarity: float, text: str) -> None:
    assert wording.number(similarity) == text
    assert wording.against(similarity, 0.267) == f"{text}, where 0.27 is needed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3569, "59 min"),
        (3600, "1 h 0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_counts() -> None:
    assert wording.count(1, "photograph") == "1 photograph"
    assert wording.count(1200, "photograph") == "1,200 photographs"
    assert wording.count(0, "person", "people") == "0 people"


@pytest.mark.parametrize(
    ("line", "shown_as"),
    [
        ("no face found in it", "No face found in it."),
        ("cannot read this: it is cut off; fetch it again", None),
        ("the passphrase?", "The passphrase?"),
        ("--face 3 is too many", "--face 3 is too many."),
        ("Ann is enrolled.", "Ann is enrolled."),
        ("", ""),
    ],
)
def test_a_line_becomes_a_sentence(line: str, shown_as: str | None) -> None:
    written = wording.sentence(line)
    text = MarkdownIt().renderInline(written).replace("\u2060", "")
    if shown_as is not None:
        assert text == shown_as
    else:
        assert text[0].isupper()
        assert text.endswith(".")


@pytest.mark.parametrize(
    ("memory", "room"), [(0, "1 MB"), (3e6, "3 MB"), (4.4e7, "44 MB"), (6e8, "0.6 GB")]
)
def test_a_plan_says_no_memory_of_nothing(memory: float, room: str) -> None:
    assert wording.plan(40, memory, False) == f"about 40 s and {room} of memory"


def test_the_page_does_not_tell_of_options() -> None:
    face = cast("DetectedFace", None)
    reason = face_meant(Seen(name="a.png", sha256="e" * 64, faces=(face, face)), None)
    shown = MarkdownIt().renderInline(wording.on_page(str(reason)))
    assert "--face" not in shown
    assert "take the largest" in shown
