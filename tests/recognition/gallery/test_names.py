import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError
from recognition.gallery.names import LONGEST_NAME, person_name


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
    assert 1 <= len(name) <= LONGEST_NAME
