import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError
from recognition.gallery.names import LONGEST_NAME, alike, person_name


@pytest.mark.parametrize(
    "name",
    [
        "Ann",
        "../../x",
        "/etc/passwd",
        "C:\\x",
        "\\\\host\\share",
        "-rf",
        "CON",
        "<script>alert(1)</script>",
        "'; DROP TABLE person; --",
        "![](http://example.org/x.png)",
        "👩🏽\u200d🚀",
        "محمد",
        "x" * LONGEST_NAME,
    ],
)
def test_any_visible_text_is_a_name(name: str) -> None:
    assert person_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "\u3000",
        "x" * (LONGEST_NAME + 1),
        "x" * 100_000,
        "Ann\0",
        "Ann\nBob",
        "Ann\x1b[31m",
        "Ann\u2028Bob",
        "Ann\u2029Bob",
        "Ann\u202ebbB",
        "\u2066Ann",
        "Ann\udcff",
    ],
)
def test_what_cannot_be_shown_as_it_is_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        person_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


def test_composed_and_decomposed_forms_are_one_name() -> None:
    assert person_name("Zo\u0065\u0308") == person_name(" Zo\u00eb\t") == "Zo\u00eb"


@given(st.text())
def test_a_name_is_its_own_name(text: str) -> None:
    try:
        name = person_name(text)
    except ArgumentError:
        return
    assert person_name(name) == name
    assert name == unicodedata.normalize("NFC", name).strip()
    assert not any(unicodedata.category(one) == "Zs" and one != " " for one in name)
    assert "  " not in name
    assert 1 <= len(name) <= LONGEST_NAME


BLANKS = [
    *" \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a",
    *"\u202f\u205f\u3000\u2800\u3164\uffa0",
    "  ",
    " \u00a0",
    "\u200b \u200b",
]
WITHOUT_WIDTH = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2063\ufe0f\ufeff"
WITHOUT_WIDTH += "\U000e0041\U000e0101"


@pytest.mark.parametrize("blank", BLANKS, ids=ascii)
def test_blanks_that_look_alike_are_one_plain_blank(blank: str) -> None:
    assert person_name(f"Ann{blank}Smith") == "Ann Smith"
    assert person_name(f"{blank}Ann{blank}") == "Ann"
    with pytest.raises(ArgumentError):
        person_name(blank)


@pytest.mark.parametrize("nothing", WITHOUT_WIDTH, ids=ascii)
def test_what_has_no_width_makes_no_other_name(nothing: str) -> None:
    for text in (f"Ann{nothing}", f"{nothing}Ann", f"{nothing}Ann {nothing}"):
        assert person_name(text) == "Ann"
    assert person_name(f"A{nothing}nn") == "Ann"
    with pytest.raises(ArgumentError):
        person_name(nothing)


@pytest.mark.parametrize(
    "name",
    [
        "سعادت\u200cنژاد",  # Persian, between two letters
        "क्\u200dष",  # Devanagari, after a virama
        "ක්\u200dෂ",  # Sinhala
        "👩\u200d👩\u200d👧 Zoë",
        "❤\ufe0f\u200d🔥",
        "Room 1\ufe0f\u20e3",
    ],
)
def test_joiners_stay_where_they_join(name: str) -> None:
    assert person_name(name) == name
    assert person_name(f"\u200d{name}\u200c") == name


@pytest.mark.parametrize("nothing", WITHOUT_WIDTH, ids=ascii)
def test_names_from_before_that_differ_in_nothing_that_shows_are_told_of(nothing: str) -> None:
    hidden = f"An{nothing}n"
    assert list(alike(["Ann"], ["Ann", "Bob", hidden])) == [("Ann", hidden)]
