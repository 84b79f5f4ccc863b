"""Names that somebody may give a person. A name is data; it never becomes part of a path."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .item import SEED, Item

ACCEPTED = {
    "path upwards": "../../x",
    "absolute path": "/etc/passwd",
    "drive": "C:\\x",
    "network path": "\\\\server\\share",
    "255 bytes": "é" * 127 + "x",
    "200 characters": "y" * 200,
    "composed": "Zoé Åström",
    "decomposed twin": "Zoe\u0301 A\u030astro\u0308m",
    "leading hyphen": "-rf",
    "option": "--help",
    "device": "CON",
    "home": "~",
    "script": "<script>alert(1)</script>",
    "image tag": "<img src=x onerror=alert(1)>",
    "SQL": "'; DROP TABLE person; --",
    "emoji": "👩\u200d👩\u200d👧 Zoë",
    "right to left": "שלום",
    "Markdown image": "![x](http://example.org/x.png)",
    "Markdown": "**Ann** :red[x] $x^2$ :material/face:",
    "shell": "$HOME `id` $(id) %s {0}",
    "formula": "=1+1",
    "JSON": '{"person": null}',
    "one character": "x",
}
REFUSED = {
    "nothing": "",
    "blanks": " \u00a0 ",
    "NUL": "Ann\0Bob",
    "line break": "Ann\nerror: Bob",
    "escape": "\x1b[2J",
    "right-to-left override": "Ann\u202egnp.exe",
    "isolate": "\u2066Ann",
    "line separator": "Ann\u2028Bob",
    "half a character": "Ann\ud800",
    "255 characters": "x" * 255,
    "4,096 bytes": "x" * 4096,
    "100,000 characters": "x" * 100_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Item):
    """A name as it is typed, which is also kept as JSON.

    Attributes:
        text: The name.
    """

    text: str


def names(seed: int = SEED) -> Iterator[Name]:
    """Yield every item of this section."""
    for accept, texts in ((True, ACCEPTED), (False, REFUSED)):
        for name, text in texts.items():

            def write(folder: Path, text: str = text) -> None:
                (folder / "name.json").write_text(json.dumps(text) + "\n", encoding="ascii")

            why = f"a name of {len(text)} characters: {ascii(text)[:60]}"
            yield Name(section="names", name=name, accept=accept, why=why, write=write, text=text)
