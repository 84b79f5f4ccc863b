"""Which presets there are, and how each is drawn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image

from data.errors import ArgumentError

from . import cloth, dots, ink, oil, paper, planes, stones, water

PREFIX = "preset:"
"""What a style begins with that names a preset instead of a file."""

SIZE = 768
"""Side of a preset in px, unless another is asked for."""

SMALLEST, LARGEST = 64, 2048
"""Sides in px between which presets are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A style picture that is drawn by this application.

    Attributes:
        name: What the user calls it.
        about: What it shows, in a few words.
        painter: Draws it: side in px and source of chance → picture.
        seed: Which of its variants is the preset.
    """

    name: str
    about: str
    painter: Callable[[int, np.random.Generator], Image]
    seed: int = 1

    def draw(self, size: int = SIZE, seed: int | None = None) -> Image:
        """Draw it; the same size and seed give the same picture.

        Args:
            size: Its side in px, 64 to 2048.
            seed: Another variant of it, at least 0; None draws the preset itself.

        Returns:
            A square picture, mode RGB.

        Raises:
            ArgumentError: The size or the seed is out of its range.
        """
        check_drawing(size, seed)
        chosen = self.seed if seed is None else seed
        # PCG64 by name: what numpy takes by default may change.
        return self.painter(size, np.random.Generator(np.random.PCG64(chosen)))


def check_drawing(size: int, seed: int | None) -> None:
    """Refuse a side in px or a seed with which no preset is drawn.

    Raises:
        ArgumentError: The size is none from 64 to 2048, or the seed is negative.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ArgumentError(
            f"the size of a preset must be {SMALLEST} to {LARGEST} px, not {size}: choose another"
        )
    if seed is not None and seed < 0:
        raise ArgumentError(f"a seed is a whole number from 0 on, not {seed}")


PRESETS: tuple[Preset, ...] = (
    Preset(name="mosaic", about="a sun over the sea in cut stones", painter=stones.mosaic),
    Preset(name="stained-glass", about="a rose in glass and lead", painter=stones.stained_glass),
    Preset(name="brush-field", about="wheat under clouds in oil", painter=oil.brush_field),
    Preset(name="impasto", about="whirls of light in thick paint", painter=oil.impasto_swirls),
    Preset(name="waves", about="breaking waves, a coloured print", painter=water.waves),
    Preset(name="watercolour", about="blooms in wet washes", painter=water.watercolour_blooms),
    Preset(name="woodcut", about="mountains cut in wood", painter=ink.woodcut),
    Preset(name="engraving", about="folds in lines of the burin", painter=ink.engraving),
    Preset(name="ink-wash", about="bamboo and mist in black ink", painter=ink.ink_wash),
    Preset(name="pointillism", about="a river in dots of pure colour", painter=dots.pointillism),
    Preset(
        name="cubist", about="a still life in broken planes", painter=planes.cubist_planes, seed=5
    ),
    Preset(name="art-deco", about="rays and fans in gold on lacquer", painter=planes.art_deco_rays),
    Preset(name="collage", about="torn and printed papers", painter=paper.paper_collage, seed=3),
    Preset(name="marbling", about="inks combed on water", painter=paper.marbled_paper),
    Preset(name="batik", about="indigo cloth with cracked wax", painter=cloth.batik),
    Preset(name="terrazzo", about="chips of marble in cement", painter=stones.terrazzo),
)
"""All of them, in the order in which they are shown."""


def find_preset(name: str) -> Preset:
    """The preset of this name, with or without `preset:` in front of it.

    Raises:
        ArgumentError: There is none; the message lists those that there are.
    """
    wanted = name.removeprefix(PREFIX)
    for preset in PRESETS:
        if preset.name == wanted:
            return preset
    known = ", ".join(preset.name for preset in PRESETS)
    raise ArgumentError(f"there is no preset {wanted!r}: expected one of {known}")
