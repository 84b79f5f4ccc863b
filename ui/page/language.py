"""The page's texts, all in one catalogue, so that it can be read in another language.

Whatever the page shows passes `say`, by what it is in English. `languages/en.json` lists every
text; a copy of it under another name, as `de.json`, with the values translated, is that language,
and `LIKENESS_LANGUAGE=de likeness app` shows it. `python -m ui.page.language` writes the English
one anew from the calls of `say`. Refusals of the application come as they are; what `ui.wording`
says for the command line as well (counts, durations, similarities, thresholds, faults of a face)
and what is drawn into pictures stay English.
"""

import ast
import functools
import json
import os
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from data.errors import ArgumentError
from data.files import printable

VARIABLE: Final = "LIKENESS_LANGUAGE"
LANGUAGES: Final = Path(__file__).parent / "languages"
"""Where the catalogues are, one file a language."""

ENGLISH = "en"


def say(text: str, /, **values: object) -> str:
    """A text of the page, in the page's language.

    Args:
        text: In English, with a place as `{name}` for each value.
        values: What stands in these places.
    """
    told = catalogue(chosen()).get(text, text)
    return told.format(**values) if values else told


def chosen() -> str:
    """The language that the environment asks for."""
    return os.environ.get(VARIABLE) or ENGLISH


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """The texts of a language, by what they are in English.

    Raises:
        ArgumentError: There is no such language, or its file is not one.
    """
    known = sorted(path.stem for path in LANGUAGES.glob("*.json"))
    if language not in known:
        raise ArgumentError(f"{VARIABLE} is {language!r}: choose from {', '.join(known)}")
    file = LANGUAGES / f"{language}.json"
    try:
        texts = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ArgumentError(f"{printable(file)} is not JSON: {error}") from error
    if not isinstance(texts, dict) or not all(isinstance(told, str) for told in texts.values()):
        raise ArgumentError(f"{printable(file)}: expected a text for each English one")
    for text, told in texts.items():
        if not _has_places_of(told, text):
            raise ArgumentError(
                f"{printable(file)}: {told!r} has other places for values than {text!r}"
            )
    return texts


def _has_places_of(told: str, text: str) -> bool:
    try:
        return places(told) == places(text)
    except ValueError:  # a brace that is not closed
        return False


def places(text: str) -> list[str]:
    """The names of the places in a text, sorted, with how a value is written there."""
    return sorted(
        f"{name}:{spec}" for _, name, spec, _ in string.Formatter().parse(text) if name is not None
    )


def spoken() -> list[str]:
    """Every text that the page's modules and its router hand to `say`, sorted."""
    modules = [*LANGUAGES.parent.rglob("*.py"), LANGUAGES.parents[2] / "app.py"]
    found = {
        str(ast.literal_eval(node.args[0]))
        for path in modules
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == say.__name__
    }
    return sorted(found)


def english() -> str:
    """The English catalogue as its file has it."""
    return json.dumps({text: text for text in spoken()}, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    (LANGUAGES / f"{ENGLISH}.json").write_text(english(), "utf-8")
