"""How hard a passphrase is to guess for somebody who has the files and tries as long as they like.

An estimate from below, in bits: the cheapest way to put the passphrase together from what people
choose. Patterns are found by zxcvbn (Wheeler, USENIX Security 2016): common passwords, words,
names, dates, keyboard walks, sequences and repetition, also backwards, in capitals and with
digits for letters. Its own total is not taken: it counts what is drawn at random as ten choices
a character, whatever the characters, and the order of words as hard to guess.

scrypt makes each guess cost a third of a second and 128 MB, so that `FEWEST_BITS` are out of reach
for a long time.
"""

import math
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator

FEWEST_BITS = 40
"""The fewest bits of a new passphrase."""

_LOOKED_AT = 64  # characters; more of them make none easier to guess
_MOST_OWN = 20_000  # words of the gallery's own that are looked for

# Known to everybody who guesses, whatever words they are made of.
_FAMOUS = (
    "correct horse battery staple", "the quick brown fox jumps over the lazy dog",
    "to be or not to be that is the question", "may the force be with you",
    "let me in please", "open sesame", "in the beginning was the word",
    "all your base are belong to us", "winter is coming", "live long and prosper",
    "i have a dream", "once upon a time", "hello world", "elementary my dear watson",
    "one ring to rule them all", "veni vidi vici", "carpe diem", "lorem ipsum dolor sit amet",
    "the answer is forty two", "tis but a scratch", "hakuna matata", "never gonna give you up",
    "my voice is my passport", "speak friend and enter", "we the people", "god save the queen",
)  # fmt: skip
# Beside English: what this application and its users' languages suggest.
_SUGGESTED = (
    "likeness", "gallery", "faces", "face", "photograph", "photographs", "passphrase", "passwort",
    "kennwort", "geheim", "sommer", "winter", "motdepasse", "contrasena", "qwertz", "azerty",
    "hallo", "willkommen", "bonjour", "changeme", "letmein", "administrator",
)  # fmt: skip
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "1234567890")
_SERIES = (
    "mondaytuesdaywednesdaythursdayfridaysaturdaysunday",
    "januaryfebruarymarchaprilmayjunejulyaugustseptemberoctobernovemberdecember",
    "onetwothreefourfivesixseveneightnineten", "tentwentythirtyfortyfiftysixtyseventyeightyninety",
    "springsummerautumnwinter", "redorangeyellowgreenblueindigoviolet", "alphabravocharliedelta",
    "alphabetagammadelta",
)  # fmt: skip
_SHORTEST = 3  # characters of a pattern: any two are as good as a word of two letters
_YEAR = re.compile(r"(?:19|20)\d\d")
_BETWEEN = re.compile(r"[\s\-_.,;:/|+]+")
_ROW_BITS, _YEAR_BITS, _AGAIN_BITS = 8.0, 7.0, 4.0
_BETWEEN_BITS = 1.0  # of what stands between words, the same everywhere
_LETTER_BITS = 4.0  # of small letters alone, which are not drawn at random

_Found = tuple[int, int, float]
"""From where to before where a passphrase is a pattern, and its bits."""


def weakness(passphrase: str, own: Iterable[str] = ()) -> str | None:
    """Why a passphrase is easy to guess, as the second half of a sentence; None where it is not.

    Args:
        passphrase: It.
        own: What those who know the gallery think of first: the names in it.
    """
    bits = strength(passphrase, own)
    if bits >= FEWEST_BITS:
        return None
    return (
        f"is easy to guess (about {bits:.0f} bits, expected {FEWEST_BITS}): take five words that "
        "have nothing to do with each other, or a key by `openssl rand -hex 32`"
    )


def strength(passphrase: str, own: Iterable[str] = ()) -> float:
    """The estimate in bits; see `weakness`."""
    text = unicodedata.normalize("NFC", passphrase)[:_LOOKED_AT]
    known = {word: rank for rank, word in enumerate(_words(own), 1)}
    joined = _BETWEEN.sub("", text)
    bits = _fewest(text, known)
    if joined not in ("", text):
        bits = min(bits, _fewest(joined, known) + _BETWEEN_BITS)
    return bits


def _words(own: Iterable[str]) -> list[str]:
    """What is tried first, as it is looked for, without what stands between words."""
    phrases = [*_FAMOUS, *_SUGGESTED]
    for name in own:
        if len(phrases) > _MOST_OWN:
            break
        phrases += [name, *name.split()]
    folded = (_BETWEEN.sub("", phrase).lower() for phrase in phrases)
    return list(dict.fromkeys(word for word in folded if len(word) > 2))


def _fewest(text: str, known: dict[str, int]) -> float:
    """The fewest bits of all ways to put a text together from patterns and single characters."""
    each = _bits_of_one(text)
    ending: dict[int, list[_Found]] = {}
    for found in (*_patterns(text, known), *_more(text)):
        ending.setdefault(found[1], []).append(found)
    fewest = [0.0]
    for end in range(1, len(text) + 1):
        ways = [fewest[end - 1] + each]
        ways += [fewest[start] + bits for start, _, bits in ending.get(end, ())]
        fewest.append(min(ways))
    return fewest[-1]


def _patterns(text: str, known: dict[str, int]) -> Iterator[_Found]:
    """The patterns that zxcvbn finds."""
    from zxcvbn import matching, scoring  # 50 ms, which only an encrypted gallery needs

    dictionaries = {**matching.RANKED_DICTIONARIES, "own": known}
    for match in matching.omnimatch(text, dictionaries):
        if len(match["token"]) < _SHORTEST:
            continue
        guesses = scoring.estimate_guesses(dict(match), match["token"])
        yield match["i"], match["j"] + 1, math.log2(max(2, guesses))


def _more(text: str) -> Iterator[_Found]:
    """Other patterns: years to come, keyboards of other countries, and what was there before."""
    folded = text.casefold() if len(text.casefold()) == len(text) else text
    for match in _YEAR.finditer(folded):
        yield match.start(), match.end(), _YEAR_BITS
    for keys in (*_ROWS, *_SERIES, *(row[::-1] for row in _ROWS)):
        for start in range(len(folded)):
            for end in range(start + _SHORTEST, min(len(folded), start + len(keys)) + 1):
                if folded[start:end] not in keys:
                    break
                yield start, end, _ROW_BITS
    for start in range(1, len(folded)):
        for end in range(start + _SHORTEST, len(folded) + 1):
            if folded[start:end] not in folded[:start]:
                break
            yield start, end, _AGAIN_BITS


def _bits_of_one(text: str) -> float:
    """Bits of a character that is part of no pattern."""
    pools = (
        (string.ascii_lowercase, 26), (string.ascii_uppercase, 26), (string.digits, 10),
    )  # fmt: skip
    size = sum(count for letters, count in pools if set(letters) & set(text))
    if set(text) - set(string.ascii_letters + string.digits + " "):
        size += 33
    if not set(text) - set(string.ascii_letters + " "):
        return _LETTER_BITS  # capitals begin words; drawn at random, letters come with digits
    return math.log2(size) if size else _LETTER_BITS
