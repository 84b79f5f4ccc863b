"""Data sets of people with something wrong, and whether one can train on them."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from .item import SEED, Item
from .pictures import encode

PEOPLE, PHOTOGRAPHS = 12, 4
ODD_NAMES = ("-rf", "CON", "a\u202eb", "é", "e\u0301x", "x" * 200)

Spoil = Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Item):
    """A data set in the folder `people`: patterns for people, aligned as faces are.

    Attributes:
        words: More words for the command that trains on it.
        said: What is said about it.
    """

    words: tuple[str, ...] = ()
    said: str = ""


def make_people(root: Path, seed: int = SEED) -> None:
    """Make twelve people of four photographs: a smooth pattern each, with noise over it."""
    for name, content in _people(seed).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@cache
def _people(seed: int) -> dict[str, bytes]:
    """The photographs, by their paths."""
    rng = np.random.default_rng(seed)
    made = {}
    for person in range(PEOPLE):
        pattern = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        base = np.array(pattern.resize((112, 112), Image.Resampling.BICUBIC), dtype=float)
        for number in range(PHOTOGRAPHS):
            noisy = base + rng.normal(0, 30, base.shape)
            image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            made[f"person_{person:02}/{number:04}.png"] = encode(image, "PNG", compress_level=1)
    return made


def keep(count: int) -> Spoil:
    """Leave so many people."""

    def spoil(data: Path) -> None:
        for person in sorted(data.iterdir())[count:]:
            shutil.rmtree(person)

    return spoil


def one_each(data: Path) -> None:
    """Leave one photograph of everybody."""
    for person in data.iterdir():
        for path in sorted(person.iterdir())[1:]:
            path.unlink()


def corrupt(share: float) -> Spoil:
    """Cut a share of the photographs off after 50 bytes."""

    def spoil(data: Path) -> None:
        files = sorted(data.glob("*/*.png"))
        for path in files[:: round(1 / share)]:
            path.write_bytes(path.read_bytes()[:50])

    return spoil


def deeper(data: Path) -> None:
    """Put a level between the folder and the people."""
    shutil.move(data, data.with_name("moved"))
    (data / "team").mkdir(parents=True)
    shutil.move(data.with_name("moved"), data / "team" / "people")


def text_only(data: Path) -> None:
    """Replace every photograph by text."""
    for path in data.glob("*/*.png"):
        path.with_suffix(".txt").write_text("not a picture")
        path.unlink()


def no_faces(data: Path) -> None:
    """Replace every photograph by a black one."""
    for path in data.glob("*/*.png"):
        Image.new("RGB", (40, 40)).save(path)


def two_names(data: Path) -> None:
    """Give two people names that differ in a capital letter."""
    (data / "person_01").rename(data / "Person_00")


def same_photograph(data: Path) -> None:
    """Put a photograph of one person among another's."""
    shutil.copy(data / "person_02" / "0000.png", data / "person_03" / "again.png")


def odd_names(data: Path) -> None:
    """Give people odd names."""
    for number, name in enumerate(ODD_NAMES):
        (data / f"person_{number:02}").rename(data / name)


def odd_files(data: Path) -> None:
    """Put a folder, a link to itself and a dead link among the photographs."""
    (data / "person_00" / "a.jpg").mkdir()
    (data / "person_01" / "loop.jpg").symlink_to("loop.jpg")
    (data / "person_02" / "gone.jpg").symlink_to("nowhere.jpg")


REFUSED: dict[str, Spoil] = {
    "empty": keep(0),
    "one person": keep(1),
    "too few for the split": keep(3),
    "missing": shutil.rmtree,
    "over a fifth corrupt": corrupt(0.25),
    "all corrupt": corrupt(1.0),
    "three levels deep": deeper,
    "text only": text_only,
    "no face in any": no_faces,
    "one photograph each, a loss of pairs": one_each,
}
ACCEPTED: dict[str, tuple[Spoil, tuple[str, ...], str]] = {
    "whole": (lambda data: None, (), ""),
    "a tenth corrupt": (corrupt(0.1), (), "not used"),
    "a quarter corrupt, allowed": (corrupt(0.25), ("--allow-corrupt",), "not used"),
    "one photograph each, softmax": (one_each, ("--loss", "softmax"), "nobody kept out has two"),
    "two names of one spelling": (two_names, (), "Person_00 and person_00 may be one person"),
    "one photograph under two names": (same_photograph, (), "is the same photograph as"),
    "odd names": (odd_names, (), ""),
    "odd files": (odd_files, (), "not used"),
}


def datasets(seed: int = SEED) -> Iterator[Dataset]:
    """Yield every item of this section."""
    for name, spoil in REFUSED.items():
        yield _dataset(name, False, spoil, seed)
    for name, (spoil, words, said) in ACCEPTED.items():
        yield _dataset(name, True, spoil, seed, words, said)


def _dataset(
    name: str,
    accept: bool,
    spoil: Spoil,
    seed: int,
    words: tuple[str, ...] = (),
    said: str = "",
) -> Dataset:
    def write(folder: Path) -> None:
        make_people(folder / "people", seed)
        spoil(folder / "people")

    return Dataset(
        section="datasets", name=name, accept=accept, why=f"a data set: {name}", write=write,
        words=words, said=said,
    )  # fmt: skip
