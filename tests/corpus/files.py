"""What may stand where a photograph is expected, and what a photograph's file may be called."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .item import SEED, Item
from .pictures import encode, portrait

NAMES = {
    "leading hyphen": "-rf.png",
    "device": "CON.png",
    "line break": "a\nerror: b.png",
    "right-to-left override": "a\u202egnp.png",
    "not Unicode": os.fsdecode(b"\xff\xfe.png"),
    "255 bytes": "x" * 251 + ".png",
    "composed": "Zoe\u0301.png",
    "script": "<script>alert(1)<!--.png",
    "Markdown image": "![x](x.png",
    "drive": "C:\\x.png",
    "quotes": "\"'`;$(id) %s.png",
    "two suffixes": "photograph.txt.png",
}
"""Names that a file system takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Item):
    """A path that is handed in.

    Attributes:
        path: It, relative to the item's folder.
        code: The exit code of a command that is handed it alone.
    """

    path: str
    code: int = 1


def _photograph(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(portrait(), "PNG"))


def _unreadable(path: Path) -> None:
    _photograph(path)
    path.chmod(0)


def _long(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(300_000_000)  # a hole, which takes no room


def _link_out(path: Path) -> None:
    path.parent.mkdir()
    _photograph(path.parent.parent / "outside" / "photograph.png")
    path.symlink_to(Path("..") / "outside" / "photograph.png")


def _folder_in_circles(path: Path) -> None:
    _photograph(path / "photograph.png")
    (path / "again").symlink_to("..", target_is_directory=True)


def files(seed: int = SEED) -> Iterator[File]:
    """Yield every item of this section."""
    root = os.geteuid() == 0
    yield from (
        _file("link to outside", "given/a.png", True, "a link out of its folder", _link_out),
        _file(
            "link loop", "a.png", False, "a link to itself", lambda path: path.symlink_to(path.name)
        ),
        _file("link to nothing", "a.png", False, "a dead link", lambda p: p.symlink_to("b")),
        _file("FIFO", "a.jpg", False, "a pipe that nobody writes to", os.mkfifo),
        _file(
            "device", "a.jpg", False, "a device without end", lambda p: p.symlink_to("/dev/zero")
        ),
        _file("folder", "a.jpg", False, "an empty folder of a picture's name", Path.mkdir, code=2),
        _file("folder in circles", "given", True, "a link to the folder above", _folder_in_circles),
        _file("mode 000", "a.png", root, "a file that may not be read", _unreadable),
        _file("300 MB", "a.png", False, "a file of 300 MB, all zeros", _long),
        _file("missing", "a.png", False, "no file", lambda path: None, code=2),
        _file("below a file", "a.png/b.png", False, "a file for a folder", _below, code=2),
        _file("NUL", "a\0.png", False, "a name that no file has", lambda path: None, code=2),
        _file("4,096 bytes", "x" * 4096, False, "a name too long", lambda path: None, code=2),
    )
    for name, text in NAMES.items():
        yield _file(f"called: {name}", text, True, f"a file called {ascii(text)[:60]}", _photograph)


def _below(path: Path) -> None:
    _photograph(path.parent)


def _file(
    name: str, path: str, accept: bool, why: str, make: Callable[[Path], object], code: int = 1
) -> File:
    def write(folder: Path) -> None:
        make(folder / path)

    return File(
        section="files", name=name, accept=accept, why=why, write=write, path=path, code=code
    )
