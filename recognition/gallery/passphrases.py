"""How hard a passphrase is to guess for somebody who has the files and tries as long as they like.

An estimate from below: what people choose most often, and what a keyboard, a calendar or repetition
suggests, counts as one guess among a few hundred. scrypt makes each guess cost a third of a second
and 128 MB, so that `FEWEST_BITS` are out of reach for a long time.
"""

import math
import re
import string
from collections.abc import Callable

FEWEST_BITS = 40
"""The fewest bits of a new passphrase."""

_COMMON = (
    "password", "passphrase", "passwort", "kennwort", "letmein", "welcome", "administrator",
    "admin", "login", "qwerty", "azerty", "qwertz", "iloveyou", "dragon", "monkey", "football",
    "baseball", "sunshine", "princess", "master", "shadow", "superman", "batman", "michael",
    "jennifer", "hunter", "trustno", "secret", "summer", "winter", "spring", "autumn", "charlie",
    "jordan", "hello", "freedom", "whatever", "computer", "internet", "starwars", "pokemon",
    "liverpool", "changeme", "default", "access", "system", "server", "gallery", "likeness",
    "faces", "love", "test", "user", "guest", "root", "pass", "word", "january", "february",
    "march", "april", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "1234567890")
_LEET = str.maketrans("013457@$!", "oleastasi")
_YEAR = re.compile(r"(19|20)\d\d")
_PATTERN_BITS, _WORD_BITS, _YEAR_BITS, _AGAIN_BITS = 8.0, 10.0, 7.0, 4.0
_LETTER_BITS = 4.0  # of words in small letters alone, which are not drawn at random


def weakness(passphrase: str) -> str | None:
    """Why a passphrase is easy to guess, as the second half of a sentence; None where it is not."""
    bits = strength(passphrase)
    if bits >= FEWEST_BITS:
        return None
    return (
        f"is easy to guess (about {bits:.0f} bits, expected {FEWEST_BITS}): take four words that "
        "have nothing to do with each other, or a key by `openssl rand -hex 32`"
    )


def strength(passphrase: str) -> float:
    """The estimate in bits."""
    text = passphrase.casefold()
    plain = text.translate(_LEET)
    each = _bits_of_one(passphrase)
    total, place = 0.0, 0
    while place < len(text):
        length, bits = max(
            (found for found in _patterns(text, plain, place) if found[0]),
            default=(1, each),
            key=lambda found: (found[0], -found[1]),
        )
        total += min(bits, length * each)
        place += length
    return total


def _patterns(text: str, plain: str, place: int) -> list[tuple[int, float]]:
    """What begins at a place and is no more than one choice among a few: length, and bits."""
    rest = text[place:]
    words = max((len(word) for word in _COMMON if plain.startswith(word, place)), default=0)
    year = 4 if _YEAR.match(rest) else 0
    run = _length(rest, lambda one, next_one: one == next_one)
    up = _length(rest, lambda one, next_one: ord(next_one) - ord(one) == 1)
    down = _length(rest, lambda one, next_one: ord(one) - ord(next_one) == 1)
    row = max(
        (
            length
            for keys in (*_ROWS, *(each[::-1] for each in _ROWS))
            for length in range(3, len(keys) + 1)
            if rest[:length] in keys and len(rest) >= length
        ),
        default=0,
    )
    again = max((n for n in range(3, len(rest) + 1) if rest[:n] in text[:place]), default=0)
    lengths = [(length if length >= 3 else 0, _PATTERN_BITS) for length in (run, up, down, row)]
    return [(words, _WORD_BITS), (year, _YEAR_BITS), (again, _AGAIN_BITS), *lengths]


def _length(text: str, goes_on: Callable[[str, str], bool]) -> int:
    """How many characters from the first on follow one another so."""
    length = 1
    while length < len(text) and goes_on(text[length - 1], text[length]):
        length += 1
    return length


def _bits_of_one(text: str) -> float:
    """Bits of a character that is part of no pattern."""
    pools = (
        (string.ascii_lowercase, 26), (string.ascii_uppercase, 26), (string.digits, 10),
    )  # fmt: skip
    size = sum(count for letters, count in pools if set(letters) & set(text))
    if set(text) - set(string.ascii_letters + string.digits + " "):
        size += 33
    if not set(text) - set(string.ascii_lowercase + " "):
        return _LETTER_BITS
    return math.log2(size) if size else _LETTER_BITS
