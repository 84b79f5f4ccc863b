"""Photographs that can be read, of what is hard to recognise or no face at all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from .item import SEED, Item
from .pictures import encode, portrait

FACES = 20
FACE = (30, 20, 130, 140)
"""The box of `portrait` that holds the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(Item):
    """A photograph; to accept it is to enrol it without more ado.

    Attributes:
        faces: How many faces are to be found in it, at least and at most.
        named: Whether the person is to be named in it.
    """

    faces: tuple[int, int]
    named: bool


def landscape(seed: int = SEED) -> Image.Image:
    """A hillside under a sky, and nobody on it."""
    rng = np.random.default_rng(seed)
    picture = np.empty((160, 160, 3), np.uint8)
    picture[:80] = np.linspace((90, 140, 220), (200, 220, 240), 80)[:, None]
    picture[80:] = np.linspace((90, 130, 60), (40, 70, 30), 80)[:, None]
    noisy = picture + rng.integers(-8, 9, picture.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def crowd() -> Image.Image:
    """Twenty faces in rows of five, each in another light."""
    head = portrait().crop(FACE).resize((100, 120))
    picture = Image.new("RGB", (5 * 110, 4 * 130), (120, 120, 120))
    for place in range(FACES):
        light = 0.7 + 0.03 * place
        picture.paste(
            head.point(lambda value, light=light: min(255, round(value * light))),
            (place % 5 * 110 + 5, place // 5 * 130 + 5),
        )
    return picture


def tiny(seed: int = SEED) -> Image.Image:
    """A face of 12 pixels in a landscape."""
    picture = landscape(seed)
    picture.paste(portrait().crop(FACE).resize((12, 14)), (70, 70))
    return picture


def painting() -> Image.Image:
    """A painting of the portrait, in strokes that are flat."""
    return portrait().filter(ImageFilter.ModeFilter(5)).quantize(24).convert("RGB")


def content(seed: int = SEED) -> Iterator[Content]:
    """Yield every item of this section."""
    yield _content("no face", lambda: landscape(seed), False, (0, 0), "a landscape")
    yield _content("20 faces", crowd, False, (FACES, FACES), "nobody can tell who is meant")
    yield _content("12 pixels", lambda: tiny(seed), False, (0, 1), "a face of 12 pixels")
    yield _content(
        "turned by 90°", lambda: portrait().rotate(90), True, (1, 1), "and no EXIF", True
    )
    yield _content("upside down", lambda: portrait().rotate(180), True, (1, 1), "and no EXIF", True)
    yield _content("painting", painting, True, (1, 1), "a painted face", True)
    yield _content(
        "black", lambda: Image.new("RGB", (160, 160)), False, (0, 0), "a lid before the lens"
    )


def _content(
    name: str,
    make: Callable[[], Image.Image],
    accept: bool,
    faces: tuple[int, int],
    why: str,
    named: bool = False,
) -> Content:
    def write(folder: Path) -> None:
        (folder / "photograph.png").write_bytes(encode(make(), "PNG"))

    return Content(
        section="content", name=name, accept=accept, why=why, write=write, faces=faces, named=named
    )
