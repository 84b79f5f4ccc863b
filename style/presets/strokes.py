"""Strokes of a brush: paths along a flow, bristles, and the relief that thick paint leaves."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .ground import Array, Random, jittered, lit, noise

_FINER = 2  # pixels of the canvas for each of the picture, so that edges come out smooth


@dataclass(frozen=True, slots=True, kw_only=True)
class Brush:
    """How strokes look.

    Attributes:
        length: Of a stroke, as a share of the side.
        width: Likewise.
        bristles: How many lines make up a stroke.
        vary: Deviation of lightness and of hue from stroke to stroke.
        streak: Deviation of lightness from bristle to bristle.
        load: How high the paint stands, 0 to 1.
        taper: How much narrower a stroke ends, 0 to 1.
    """

    length: float
    width: float
    bristles: int = 7
    vary: tuple[float, float] = (0.05, 0.03)
    streak: float = 0.06
    load: float = 0.7
    taper: float = 0.6


class Canvas:
    """What is painted on: colours, and how high the paint stands."""

    def __init__(self, ground: Array) -> None:
        """Begin with a picture (S, S, 3) underneath."""
        self.size = len(ground)
        self._side = self.size * _FINER
        under = Image.fromarray((np.clip(ground, 0, 1) * 255).astype(np.uint8))
        self._colour = under.resize((self._side, self._side), Image.Resampling.BILINEAR)
        self._height = Image.new("L", (self._side, self._side), 40)

    def paint(
        self, random: Random, paths: Array, tints: Array, brush: Brush, scale: Array | None = None
    ) -> None:
        """Paint strokes one over the other.

        Args:
            random: Where chance comes from.
            paths: (N, K, 2), x and y, 0 to 1, of so many points of each stroke.
            tints: (N, 3), the colour of each.
            brush: How they look.
            scale: (N,), how much wider each is than the brush.
        """
        wide = brush.width * (np.ones(len(paths)) if scale is None else scale)
        lines = _bristles(random, paths, wide, brush) * self._side
        fills, heights = _paint_of(random, tints, brush)
        thick = np.maximum(1, np.round(2.2 * wide * self._side / brush.bristles)).astype(int)
        colour, height = ImageDraw.Draw(self._colour), ImageDraw.Draw(self._height)
        for stroke in range(len(paths)):
            for bristle in range(brush.bristles):
                line = lines[stroke, bristle].ravel().tolist()
                colour.line(line, tuple(fills[stroke, bristle]), int(thick[stroke]))
                height.line(line, int(heights[stroke, bristle]), int(thick[stroke]))

    def finished(self, random: Random, *, relief: float, gloss: float = 0.1) -> Array:
        """The picture (S, S, 3), its relief lit, on the weave of a canvas."""
        small = (self.size, self.size)
        colour = np.asarray(self._colour.resize(small, Image.Resampling.BOX), np.float32) / 255
        height = np.asarray(self._height.resize(small, Image.Resampling.BOX), np.float32) / 255
        weave = noise(random, self.size, 0.004, octaves=2) - 0.5
        return lit(colour, (height + 0.12 * weave) * 4 / self.size, relief, gloss=gloss)


def along(
    random: Random, flow: Array, starts: Array, length: Array | float, points: int = 7
) -> Array:
    """Paths (N, K, 2) of strokes that follow a flow, their middles at `starts`.

    Args:
        random: Where chance comes from.
        flow: (S, S), the direction in radians from the x axis towards the y axis.
        starts: (N, 2).
        length: (N,), or one for all of them.
        points: K, odd.
    """
    size = len(flow)
    step = np.asarray(length, np.float32)[..., None] / (points - 1)
    step = step * random.uniform(0.6, 1.3, (len(starts), 1))
    halves = []
    for sense in (-1, 1):
        place, half = starts.copy(), []
        for _ in range(points // 2):
            cell = np.clip((place * size).astype(int), 0, size - 1)
            angle = flow[cell[:, 1], cell[:, 0]]
            place = place + sense * step * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            half.append(place)
        halves.append(half)
    return np.stack([*halves[0][::-1], starts, *halves[1]], axis=1).astype(np.float32)


def at(field: Array, places: Array) -> Array:
    """What a field (S, S) or (S, S, 3) holds at places (N, 2)."""
    size = len(field)
    cell = np.clip((places * size).astype(int), 0, size - 1)
    return field[cell[:, 1], cell[:, 0]]


def scattered(random: Random, gap: float) -> Array:
    """Places (N, 2) all over the picture and a little beyond, about `gap` apart, in any order."""
    steps = np.arange(-gap, 1 + gap, gap)
    x, y = np.meshgrid(steps, steps)
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    places += random.uniform(-0.5, 0.5, places.shape) * gap
    return random.permutation(places).astype(np.float32)


def _bristles(random: Random, paths: Array, wide: Array, brush: Brush) -> Array:
    """Lines (N, B, K, 2) beside the strokes' paths; each begins and ends a little elsewhere."""
    ahead = np.gradient(paths, axis=1)
    ahead /= np.linalg.norm(ahead, axis=2, keepdims=True) + 1e-9
    aside = np.stack([-ahead[..., 1], ahead[..., 0]], axis=-1)  # (N, K, 2)
    place = np.linspace(0, 1, paths.shape[1])
    swell = 1 - brush.taper * np.abs(2 * place - 0.8) ** 2  # widest a little before the middle
    offsets = np.linspace(-0.5, 0.5, brush.bristles)
    offsets = offsets + random.normal(0, 0.25 / brush.bristles, (len(paths), brush.bristles))
    reach = wide[:, None, None] * offsets[:, :, None] * np.clip(swell, 0.1, 1)  # (N, B, K)
    ragged = random.normal(0, 0.35, (len(paths), brush.bristles, 1, 1)) * wide[:, None, None, None]
    lines = paths[:, None] + reach[..., None] * aside[:, None] + ragged * ahead[:, None]
    return lines.astype(np.float32)


def _paint_of(random: Random, tints: Array, brush: Brush) -> tuple[Array, Array]:
    """The colour (N, B, 3) and the height (N, B) of every bristle, in 255ths."""
    count = len(tints)
    base = jittered(random, tints, brush.vary)
    streaks = random.normal(0, brush.streak, (count, brush.bristles, 1))
    fills = np.clip(base[:, None] + streaks, 0, 1)
    ridge = np.abs(np.linspace(-1, 1, brush.bristles)) ** 2  # paint is pushed to the edges
    heights = 70 + 185 * brush.load * (0.35 * ridge + 0.65 * random.random((count, brush.bristles)))
    return (fills * 255).astype(np.uint8), np.clip(heights, 0, 255)
