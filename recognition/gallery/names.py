"""What may be a person's name. A name is data: it never becomes part of a path."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from data.errors import ArgumentError

LONGEST_NAME = 200
"""The most characters that a name may have."""

_REFUSED_CATEGORIES = {
    "Cc": "a control character",
    "Cs": "a character that is not valid text",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}

# Embeddings, overrides and isolates let one name be displayed as another.
_DIRECTION_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def spelling(name: str) -> str:
    """What is left of a name without capitals, widths, repeated blanks and what has no width.

    Two names of one spelling are easily taken for one another.
    """
    return " ".join(unicodedata.normalize("NFKC", _visible(name)).casefold().split())


def alike(names: Iterable[str], among: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of some names with every other one that is spelled alike, as `ABC` with `abc`.

    Args:
        names: Those asked about.
        among: All that there are.
    """
    by_spelling: dict[str, list[str]] = defaultdict(list)
    for name in among:
        by_spelling[spelling(name)].append(name)
    for name in dict.fromkeys(names):
        for other in by_spelling[spelling(name)]:
            if other != name:
                yield name, other


def person_name(text: str) -> str:
    """Bring a name to the one form under which it is kept and compared.

    Two names that look the same are the same: blanks of whichever kind and width are one plain
    blank, and what has no width is left out, where it does not join letters or pictures.

    Args:
        text: The name as it was typed; composed or decomposed, with or without blanks around it.

    Returns:
        The name in Unicode's composed form (NFC), without blanks around it.

    Raises:
        ArgumentError: The name is empty, longer than `LONGEST_NAME`, or holds a character that
            cannot be shown as it is.
    """
    return kept_name(_visible(text))


def kept_name(text: str) -> str:
    """Bring a name to the form in which earlier versions kept it, whatever looks like a blank.

    Raises:
        ArgumentError: As `person_name`.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ArgumentError(
            f"the name is empty: give one, of at most {LONGEST_NAME} characters"
            if not name
            else f"the name has {len(name)} characters, of which at most {LONGEST_NAME} are kept: "
            "shorten it"
        )
    for character in name:
        refused = _REFUSED_CATEGORIES.get(unicodedata.category(character))
        if character in _DIRECTION_CONTROLS:
            refused = "a control of the writing direction"
        if refused:
            raise ArgumentError(
                f"the name {name!a} holds {refused} (U+{ord(character):04X}): leave it out"
            )
    return name


_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and patterns without a stroke; blanks proper are those of the category Zs."""

_JOINERS = "\u200c\u200d"  # zero width non-joiner, zero width joiner

_WITHOUT_WIDTH = frozenset(
    [*"\u00ad\u034f\u061c\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200e\u200f\ufeff"]
    + [chr(code) for code in (*range(0x2060, 0x2066), *range(0x206A, 0x2070))]
    + [chr(code) for code in (*range(0xFFF0, 0xFFFC), *range(0x1BCA0, 0x1BCA4))]
    + [chr(code) for code in (*range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000))]
)
"""What Unicode lets a font ignore, without joiners, direction controls and variation selectors."""

_KEYCAP = "\u20e3"  # makes a picture of a digit

_VARIANTS = frozenset(chr(code) for code in range(0xFE00, 0xFE10))

_JOINING_SCRIPTS = frozenset(
    [
        "ARABIC",
        "SYRIAC",
        "MONGOLIAN",
        "NKO",
        "MANDAIC",
        "DEVANAGARI",
        "BENGALI",
        "GURMUKHI",
        "GUJARATI",
        "ORIYA",
        "TAMIL",
        "TELUGU",
        "KANNADA",
        "MALAYALAM",
        "SINHALA",
        "KHMER",
        "MYANMAR",
        "TIBETAN",
        "BALINESE",
        "JAVANESE",
        "SUNDANESE",
    ]
)
"""Scripts in which it tells on a letter whether it is joined to the next; by Unicode's names."""


def _visible(text: str) -> str:
    """A name as a reader sees it: with plain blanks, one at a time, and without what has no width.

    Joiners stay within a word of a script that needs them, and between pictures.
    """
    composed = unicodedata.normalize("NFC", text)
    plain = "".join(
        " " if character in _BLANKS or unicodedata.category(character) == "Zs" else character
        for character in composed
        if character not in _WITHOUT_WIDTH
    )
    kept: list[str] = []
    for at, character in enumerate(plain):
        before = kept[-1] if kept else ""
        after = plain[at + 1 : at + 2]
        if character in _JOINERS and not _joins(character, before, after):
            continue
        if character in _VARIANTS and not (
            _is_picture(before) or _script(before) == "CJK" or after == _KEYCAP
        ):
            continue
        if character == " " and before == " ":
            continue
        kept.append(character)
    return "".join(kept)


def _joins(joiner: str, before: str, after: str) -> bool:
    """Whether a joiner tells on what stands on either side of it."""
    if joiner == "\u200d" and _is_picture(before) and _is_picture(after):
        return True
    return bool(before and after) and _script(before) == _script(after) in _JOINING_SCRIPTS


def _is_picture(character: str) -> bool:
    """Whether a character is an emoji, or what follows one and changes its look."""
    return bool(character) and (
        unicodedata.category(character) in ("So", "Sk") or character in _VARIANTS
    )


def _script(character: str) -> str:
    """A letter's or a mark's script, as the first word of its name; empty for others."""
    if not character or unicodedata.category(character)[0] not in "LM":
        return ""
    return unicodedata.name(character, "").split(" ")[0]
