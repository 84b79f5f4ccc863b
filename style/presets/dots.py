"""Points of pure colour: an afternoon by the water."""

import numpy as np
from PIL import Image, ImageDraw

from .ground import Array, Random, colours, grid, image, lit, mix, noise, papered, ramp, rise
from .strokes import at, scattered

_FINER = 2

_PURE = colours(
    "#1f4fa3 #3f86c6 #86b9dc #1f6b4a #5c9a3c #a9c24a #f3d648 #f0a52e #e0632c #c23b4a #8a4a9c "
    "#56408c #f4ead0 #e7b7b4"
)


def pointillism(size: int, random: Random) -> Image.Image:
    """A river, trees and their shadows in the evening, in dots of pure colours."""
    x, y = grid(size)
    scene = _riverside(random, x, y)
    under = papered(random, mix(scene, colours("#efe2c4")[0], 0.45), 0.2)
    canvas = Image.fromarray((np.clip(under, 0, 1) * 255).astype(np.uint8))
    canvas = canvas.resize((size * _FINER,) * 2, Image.Resampling.BILINEAR)
    relief = Image.new("L", canvas.size, 0)
    for gap, radius in ((0.0145, 0.0092), (0.0108, 0.0064), (0.0092, 0.0048)):
        places = scattered(random, gap)
        tints = _broken(random, at(scene, places))
        _dab(random, canvas, relief, places, tints, radius)
    small = np.asarray(canvas.resize((size, size), Image.Resampling.BOX), np.float32) / 255
    height = np.asarray(relief.resize((size, size), Image.Resampling.BOX), np.float32) / 255
    return image(lit(small, height * 1.6 / size, 0.4, gloss=0.05))


def _dab(
    random: Random,
    canvas: Image.Image,
    relief: Image.Image,
    places: Array,
    tints: Array,
    radius: float,
) -> None:
    """Dots of about this radius, a little oval, with a lighter heart."""
    side = canvas.width
    colour, height = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    radii = (
        radius
        * side
        * random.uniform(0.6, 1.3, (len(places), 1))
        * random.uniform(0.85, 1.15, (len(places), 2))
    )
    fills = (np.clip(tints, 0, 1) * 255).astype(int)
    for (px, py), (rx, ry), fill in zip(places * side, radii, fills, strict=True):
        colour.ellipse((px - rx, py - ry, px + rx, py + ry), tuple(fill))
        height.ellipse((px - rx, py - ry, px + rx, py + ry), 120)
        height.ellipse((px - rx / 2, py - ry / 2, px + rx / 2, py + ry / 2), 220)


def _broken(random: Random, tints: Array) -> Array:
    """Each colour broken up into pure ones whose mean it is near, some of them opposite."""
    wanted = tints + random.normal(0, 0.2, tints.shape)
    distance = ((wanted[:, None] - _PURE) ** 2 * np.array([0.9, 1.2, 0.7])).sum(axis=2)
    pure = _PURE[distance.argmin(axis=1)]
    opposite = 1 - tints + 0.35 * (tints.mean(axis=1, keepdims=True) * 2 - 1)
    strange = random.random(len(tints)) < 0.07
    share = random.uniform(0.45, 0.95, (len(tints), 1))
    dots = tints * (1 - share) + pure * share
    return np.where(strange[:, None], 0.5 * opposite + 0.5 * pure, dots).astype(np.float32)


def _riverside(random: Random, x: Array, y: Array) -> Array:
    """The scene, as smooth colours."""
    size = len(x)
    scene = ramp(y * 2.4, colours("#8fb9dc #bcd3dd #f2e2b8 #f4c98a"))
    scene = mix(
        scene,
        colours("#fff3d6")[0],
        0.8 * np.exp(-(((x - 0.3) / 0.3) ** 2 + ((y - 0.3) / 0.12) ** 2)),
    )
    far = y > 0.36 + 0.03 * np.sin(7 * x) + 0.02 * noise(random, size, 0.05)
    scene = np.where(
        far[..., None], ramp(noise(random, size, 0.06), colours("#5d7fa6 #6d9a8a #9db88a")), scene
    )
    water = rise(y, 0.44, 0.45)
    gleam = noise(random, size, 0.05, octaves=4, stretch=(6, 0.8))
    river = ramp(
        0.8 * gleam + 0.35 * np.exp(-(((x - 0.3) / 0.22) ** 2)),
        colours("#2f5d94 #5b93c1 #a7c9d3 #f6dfa6"),
    )
    scene = mix(scene, river, water)
    bank = y > 0.62 + 0.16 * (x - 0.35) ** 2 - 0.25 * np.clip(x - 0.45, 0, 1) + 0.01 * np.sin(
        20 * x
    )
    grass = ramp(noise(random, size, 0.1, octaves=4), colours("#4d8a3a #8cb544 #c9cf5a #e5d16a"))
    shade = noise(random, size, 0.16, octaves=3, stretch=(3, 0.7)) + 0.25 * (x - 0.4)
    grass = mix(grass, colours("#24506a")[0], 0.75 * rise(shade, 0.55, 0.68))
    scene = np.where(bank[..., None], grass, scene)
    return _trees(random, x, y, scene)


def _trees(random: Random, x: Array, y: Array, scene: Array) -> Array:
    """Three trees with sun on their left sides, in front of the scene."""
    size = len(x)
    for cx, base, tall, wide in (
        (0.86, 0.72, 0.62, 0.25),
        (0.62, 0.6, 0.36, 0.12),
        (0.06, 0.9, 0.95, 0.17),
    ):
        trunk = (
            (np.abs(x - cx - 0.02 * np.sin(9 * y)) < 0.05 * wide + 0.004)
            & (y < base)
            & (y > base - tall)
        )
        scene = np.where(trunk[..., None], colours("#4a3350")[0], scene)
        lump = noise(random, size, 0.07, octaves=4) - 0.5
        crown = 1 - np.hypot((x - cx) / wide, (y - base + 0.68 * tall) / (0.42 * tall)) + 1.1 * lump
        sunny = 0.5 + 1.4 * (cx - x) + 1.2 * (base - 0.7 * tall - y) + 0.9 * lump
        leaf = ramp(sunny, colours("#173d45 #256046 #5b9440 #b5c648 #f0d95e"))
        scene = mix(scene, leaf, rise(crown, 0.0, 0.06))
    return scene
