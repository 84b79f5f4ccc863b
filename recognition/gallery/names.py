"""What may be a person's name. A name is data: it never becomes part of a path."""

import unicodedata

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
    """What is left of a name without capitals, widths and repeated blanks.

    Two names of one spelling are easily taken for one another.
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def person_name(text: str) -> str:
    """Bring a name to the one form under which it is kept and compared.

    Args:
        text: The name as it was typed; composed or decomposed, with or without blanks around it.

    Returns:
        The name in Unicode's composed form (NFC), without blanks around it.

    Raises:
        ArgumentError: The name is empty, longer than `LONGEST_NAME`, or holds a character that
            cannot be shown as it is.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ArgumentError(
            f"a name of {len(name)} characters: expected 1 to {LONGEST_NAME}; choose another name"
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
