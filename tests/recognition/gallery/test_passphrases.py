"""Which passphrases are easy to guess."""

import random
import string

import pytest

from data.errors import ArgumentError
from recognition.gallery.storage.encryption import (
    FEWEST_BITS,
    new_secret,
    strength,
    weakness,
    weakness_of,
)


@pytest.mark.parametrize(
    "passphrase",
    ["12345678", "87654321", "password", "Password1!", "p@ssw0rd2024", "aaaaaaaaaaaaaaaa",
     "qwertyuiop", "asdfghjkl", "abcdefghijkl", "iloveyou2", "Summer2024!", "abcabcabcabc",
     "hunter22", "letmein123", "11112222", "20242024", "gallery1", "passwordpassword",
     "zyxwvuts", "Admin1234", "qwertz123", "likeness!", "August1999"],
)  # fmt: skip
def test_what_people_choose_is_refused(passphrase: str) -> None:
    with pytest.raises(ArgumentError, match="easy to guess"):
        new_secret(passphrase)


@pytest.mark.parametrize(
    "passphrase",
    ["correct horse battery", "another passphrase", "xK9#mQ2$", "mild otter reads thunder",
     "Ein Fuchs trinkt Tee um vier", "ñandú over the river", "東京の夜景は美しい山",
     "f" * 64, "0123456789abcdef" * 4],
)  # fmt: skip
def test_what_is_hard_to_guess_or_a_key_is_taken(passphrase: str) -> None:
    assert new_secret(passphrase) == passphrase


def test_random_ones_are_taken_from_a_length_on() -> None:
    drawn = random.Random(3)
    letters = string.ascii_letters + string.digits + string.punctuation
    for _ in range(200):
        assert weakness("".join(drawn.choices(letters, k=10))) is None
        assert weakness("".join(drawn.choices(string.digits, k=8))) is not None


def test_more_of_a_text_is_never_weaker_than_its_patterns_alone() -> None:
    for text in ("otter", "summer", "1234", "aaaa"):
        assert strength(text * 3) < 2 * strength(text) + 8
        assert strength(f"{text} mild thunder") > strength(text)


def test_the_reason_says_what_to_take() -> None:
    why = weakness_of("password1")
    assert why is not None
    assert f"expected {FEWEST_BITS}" in why
    assert "openssl" in why
