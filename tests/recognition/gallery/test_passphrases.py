"""Which passphrases are easy to guess."""

import random
import string

import pytest

from data.errors import ArgumentError
from recognition.gallery.storage.encryption import new_secret, weakness_of
from recognition.gallery.storage.passphrases import FEWEST_BITS, strength, weakness

REFUSED = {
    "common passwords": [
        "password", "Password1!", "p@ssw0rd2024", "iloveyou2", "hunter22", "letmein123",
        "Admin1234", "drowssap", "trustno1trustno1",
    ],
    "keyboards": [
        "qwertyuiop", "asdfghjkl", "qwertz123", "1qaz2wsx3edc4rfv", "qazwsxedcrfvtgb",
        "zaq12wsxcde34rfv", "poiuytrewq", "azertyuiop", "QWERTYUIOPasdfghjkl",
    ],
    "sequences": [
        "12345678", "87654321", "abcdefghijkl", "zyxwvuts", "1234567890987654321",
        "aaaabbbbccccdddd", "abc123def456ghi789", "monday tuesday wednesday thursday",
        "january february march april", "ten twenty thirty forty fifty", "acegikmoqsuwy",
    ],
    "repetition": [
        "aaaaaaaaaaaaaaaa", "abcabcabcabc", "passwordpassword", "otter otter otter otter otter",
        "lamp-otter-lamp-otter-lamp", "11112222", "k7k7k7k7k7k7k7k7",
    ],
    "dates and years": [
        "20242024", "August1999", "Summer2024!", "11.09.2001 24.12.1999", "1984-12-03",
        "born 12/03/1984", "Summer2024!Winter2025",
    ],
    "names": [
        "john smith 12.03.1984", "amanda jessica michael robert", "Liverpool Chelsea",
        "SmithJohnson1975", "maria garcia lopez",
    ],
    "phrases that everybody knows": [
        "correct horse battery staple", "Correct-Horse-Battery-Staple!",
        "correcthorsebatterystaple",
        "c0rrect h0rse battery staple", "to be or not to be that is the question",
        "the quick brown fox jumps over the lazy dog", "May the Force be with you!",
        "elpats yrettab esroh tcerroc",
    ],
    "few common words": [
        "correct horse battery", "another passphrase", "old red car", "blue house green garden",
        "the cat sat on the mat", "dragon monkey football baseball", "another one, as long",
    ],
    "this application": ["gallery1", "likeness!", "Likeness-Gallery-2025", "faces passphrase"],
}  # fmt: skip

TAKEN = [
    "tidal quartz nomad lantern", "gravel orbit mitten plume", "mild otter reads thunder",
    "xK9#mQ2$", "Ein Fuchs trinkt Tee um vier", "東京の夜景は美しい山", "vR4!tq9Zp2",
    "kirsche wolke berg lampe", "f" * 64, "0123456789abcdef" * 4,
]  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_people_choose_is_refused(kind: str) -> None:
    assert [one for one in REFUSED[kind] if weakness_of(one) is None] == []
    with pytest.raises(ArgumentError, match="easy to guess"):
        new_secret(REFUSED[kind][0])


@pytest.mark.parametrize("passphrase", TAKEN)
def test_what_is_hard_to_guess_or_a_key_is_taken(passphrase: str) -> None:
    assert new_secret(passphrase) == passphrase


@pytest.mark.parametrize(
    ("passphrase", "names"),
    [
        ("Wrzesniewski Kapoor 1987", ["Ann", "Wrzesniewski Kapoor"]),
        ("Kapoor-Wrzesniewski!", ["Wrzesniewski Kapoor"]),
        ("Ada Lovelace Grace Hopper", ["Ada Lovelace", "Grace Hopper"]),
        ("Thistlewaite2031Okonkwo", ["Okonkwo Thistlewaite"]),
    ],
)
def test_names_of_those_enrolled_are_guessed_first(passphrase: str, names: list[str]) -> None:
    assert new_secret(passphrase) == passphrase
    with pytest.raises(ArgumentError, match="easy to guess"):
        new_secret(passphrase, names)


def test_random_ones_are_taken_from_a_length_on() -> None:
    drawn = random.Random(3)
    letters = string.ascii_letters + string.digits + string.punctuation
    for _ in range(100):
        assert weakness("".join(drawn.choices(letters, k=12))) is None
        assert weakness("".join(drawn.choices(string.digits, k=8))) is not None


def test_words_drawn_at_random_are_taken_from_five_on_and_two_are_not() -> None:
    from zxcvbn.matching import RANKED_DICTIONARIES

    words = [word for word in RANKED_DICTIONARIES["english_wikipedia"] if 4 <= len(word) <= 8]
    drawn = random.Random(5)
    for _ in range(50):
        chosen = drawn.sample(words[1000:8776], 5)
        assert weakness(" ".join(chosen)) is None, chosen
        assert weakness(" ".join(chosen[:2])) is not None, chosen


def test_what_stands_between_words_and_how_they_are_written_adds_little() -> None:
    plain = strength("mild otter reads thunder")
    for between in ("-", "_", ".", "", " - "):
        assert strength("mild otter reads thunder".replace(" ", between)) < plain + 3
    assert strength("Mild Otter Reads Thunder") < plain + 6


def test_more_of_a_text_is_never_weaker_than_its_patterns_alone() -> None:
    for text in ("otter", "summer", "1234", "aaaa"):
        assert strength(text * 3) < 2 * strength(text) + 8
        assert strength(f"{text} mild thunder") > strength(text)


def test_a_very_long_one_is_judged_at_once() -> None:
    assert weakness("a" * 100_000) is not None
    assert weakness("vR4!tq9Zp2xK" + "a" * 100_000) is None


def test_the_reason_says_what_to_take() -> None:
    why = weakness_of("password1")
    assert why is not None
    assert f"expected {FEWEST_BITS}" in why
    assert "openssl" in why
