"""What somebody may do with the page; names and pictures are sections of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .item import SEED, Item
from .pictures import encode, portrait


class Deed(StrEnum):
    """What is done."""

    MANY = "100 uploads"
    OVERSIZE = "one over the limit"
    DOUBLE_CLICK = "double click on enrol"
    RELOAD = "reload in the middle"
    NOBODY = "no photograph"
    TWINS = "two files of one name"
    AGAIN = "one photograph twice"
    NAMES = "a file's name of markup"


LIMIT = 50
"""Megabytes that one upload may have."""

MANY, TAKEN = 100, 50
MARKUP = "![x](y) <b>**:red[z]**.png"

_WHY = {
    Deed.MANY: (True, f"of {MANY} uploads {TAKEN} are taken, and a line says so"),
    Deed.OVERSIZE: (False, f"{LIMIT + 1} MB, which is no picture either"),
    Deed.DOUBLE_CLICK: (True, "the second click finds nothing to do"),
    Deed.RELOAD: (True, "another look at the page while somebody is being enrolled"),
    Deed.NOBODY: (False, "enrolling without a photograph"),
    Deed.TWINS: (True, "two photographs that are called the same"),
    Deed.AGAIN: (True, "the second one is known already"),
    Deed.NAMES: (True, "it is shown as text"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPage(Item):
    """Something that is done with the page.

    Attributes:
        deed: What.
    """

    deed: Deed


def uploads_of(deed: Deed) -> list[tuple[str, bytes]]:
    """The files that are uploaded for it: name and content."""
    match deed:
        case Deed.MANY:
            return [(f"{number}.png", _marked(number)) for number in range(MANY)]
        case Deed.OVERSIZE:
            return [("large.png", bytes((LIMIT + 1) << 20))]
        case Deed.NOBODY:
            return []
        case Deed.TWINS:
            return [("a.png", _marked(number)) for number in range(2)]
        case Deed.AGAIN:
            return [("a.png", _marked(0)), ("b.png", _marked(0))]
        case Deed.NAMES:
            return [(MARKUP, _marked(0))]
        case _:
            return [("a.png", _marked(0))]


def _marked(number: int) -> bytes:
    """A photograph that differs from others in one pixel."""
    picture = portrait().copy()
    picture.putpixel((number, 0), (255, number, 0))
    return encode(picture, "PNG", compress_level=1)


def page(seed: int = SEED) -> Iterator[OnPage]:
    """Yield every item of this section."""
    for deed, (accept, why) in _WHY.items():

        def write(folder: Path, deed: Deed = deed) -> None:
            for number, (_, content) in enumerate(uploads_of(deed)):
                (folder / f"{number}.png").write_bytes(content)

        yield OnPage(
            section="page", name=deed.value, accept=accept, why=why, write=write, deed=deed
        )
