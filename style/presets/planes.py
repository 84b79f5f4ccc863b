"""Planes and lines: a cubist still life, and the rays of art deco."""

import numpy as np
from PIL import Image

from .ground import (
    Array,
    Random,
    blurred,
    colours,
    grid,
    image,
    lit,
    mix,
    noise,
    ramp,
    rise,
)

_EARTH = colours("#2b2a2e #54483f #8a6f52 #b99a6b #dcc79b #efe4c8")
_SLATE = colours("#1f2e38 #3b5560 #6f8a8c #a7b5a8 #d9d4bd #efe4c8")
_RUST = colours("#3a1d17 #7a3a24 #b5622f #d99a52 #ecc98c #f4e6c6")


def cubist_planes(size: int, random: Random) -> Image.Image:
    """A still life seen from many sides: bottle, guitar and table in broken planes."""
    x, y = grid(size)
    colour = mix(
        ramp(noise(random, size, 0.4), _EARTH[2:5]),
        ramp(noise(random, size, 0.3), _SLATE[2:5]),
        0.4,
    )
    drawn = np.zeros_like(x)
    clouds = [noise(random, size, 0.03, octaves=3) - 0.5 for _ in range(6)]
    for step in range(90):
        side = 0.45 * 0.984**step * random.uniform(0.25, 1)
        middle = 0.5 + 0.3 * random.standard_normal(2)
        low, high = (np.clip((middle + part) * size, 0, size) for part in (-1.4 * side, 1.4 * side))
        part = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
        inside, edge, sweep = _plane(random, x[part] - middle[0], y[part] - middle[1], side, size)
        palette = (_EARTH, _SLATE, _RUST)[random.choice(3, p=(0.5, 0.28, 0.22))]
        begin, end = sorted(random.uniform(0.05, 1, 2))
        tone = begin + (end - begin) * sweep + 0.12 * clouds[step % 6][part]
        cover = inside * (0.35 + 0.6 * rise(sweep, -0.1, 0.9))
        colour[part] = mix(colour[part], ramp(tone, palette), cover)
        drawn[part] = np.maximum(drawn[part] * (1 - 0.75 * inside), edge)
    for curve in _outlines(x, y):
        broken = rise(noise(random, size, 0.12), 0.42, 0.52)
        drawn = np.maximum(drawn, rise(curve, 0.0042, 0.0014) * broken)
        hatch = 0.5 + 0.5 * np.sin(2 * np.pi * 70 * (x + y) + 4 * noise(random, size, 0.1))
        shadow = rise(curve, 0.05, 0.0) * broken * rise(hatch, 0.55, 0.75)
        drawn = np.maximum(drawn, 0.45 * shadow)
    scumble = noise(random, size, 0.012, octaves=3, stretch=(3, 1)) - 0.5
    scumble += noise(random, size, 0.012, octaves=3, stretch=(1, 3)) - 0.5
    colour = colour * (1 + 0.16 * scumble)[..., None]
    colour = mix(colour, colours("#191516")[0], 0.88 * drawn * (0.75 + 0.5 * scumble))
    return image(lit(colour, 0.0035 * scumble, 0.8, gloss=0.05))


def _plane(
    random: Random, x: Array, y: Array, side: float, size: int
) -> tuple[Array, Array, Array]:
    """A plane with some straight sides around (0, 0): where it is, its outline, its gradient."""
    inner = 1.39 * side - np.maximum(np.abs(x), np.abs(y))
    sides = random.integers(3, 6)
    turn = random.choice([0.0, 0.35, -0.3, 0.8, 1.2]) + random.normal(0, 0.08)
    for number in range(sides):
        angle = turn + 2 * np.pi * number / sides + random.normal(0, 0.3)
        far = side * random.uniform(0.35, 1)
        inner = np.minimum(inner, far - x * np.cos(angle) - y * np.sin(angle))
    soft = 1.2 / size
    wide = random.uniform(0.0008, 0.0026)
    sweep = 0.5 + (x * np.cos(turn) + y * np.sin(turn)) / (1.6 * side)
    edge = rise(np.abs(inner), wide + soft, wide) * random.uniform(0.3, 1)
    return rise(inner, -soft, soft), edge, np.clip(sweep, 0, 1).astype(np.float32)


def _outlines(x: Array, y: Array) -> list[Array]:
    """How far each pixel is from the drawn outlines of the still life."""
    u, v = (x - 0.56) * 0.94 + (y - 0.56) * 0.34, (y - 0.56) * 0.94 - (x - 0.56) * 0.34
    waist = 0.105 + 0.055 * np.cos(11.5 * v + 0.6) + 0.05 * v
    body = np.abs(np.abs(u) - waist) + 9 * np.clip(np.abs(v + 0.02) - 0.27, 0, 1)
    hole = np.abs(np.hypot(u, v) - 0.052)
    strings = np.abs(np.mod(u * 60 + 0.5, 1) - 0.5) / 60 + 9 * np.clip(np.abs(u) - 0.042, 0, 1)
    strings = strings + 9 * np.clip(v - 0.2, 0, 1)
    p, q = x - 0.26, y - 0.45
    wide = 0.035 + 0.055 * rise(q, -0.18, -0.02)
    bottle = np.abs(np.abs(p) - wide) + 9 * np.clip(np.abs(q - 0.02) - 0.3, 0, 1)
    bowl = np.abs(np.hypot(x - 0.74, (y - 0.86) * 1.8) - 0.15) + 9 * np.clip(0.8 - y, 0, 1)
    table = np.abs(y - 0.84 + 0.25 * (x - 0.5)) + 0.012 * (np.sin(20 * x) > 0.9)
    return [body, hole, strings, bottle, bowl, table]


def art_deco_rays(size: int, random: Random) -> Image.Image:
    """A sunrise over fans of scales, in gold on lacquer."""
    x, y = grid(size)
    dx, dy = x - 0.5, y - 0.6
    far, angle = np.hypot(dx, dy), np.arctan2(-dy, dx)
    brush = noise(random, size, 0.01, octaves=3, stretch=(14, 1))
    sweep = 0.5 + 0.5 * np.sin(5 * angle + 9 * far + 2 * noise(random, size, 0.3))
    gold = ramp(0.55 * sweep + 0.5 * brush, colours("#6e4413 #b07a24 #dba843 #f6dc8c #fff4cf"))
    lacquer = ramp(
        noise(random, size, 0.25, octaves=5) + 0.6 * (far - 0.4),
        colours("#0f4a4f #0d3440 #0a1f2b #07131c"),
    )
    coral = ramp(noise(random, size, 0.12, octaves=4), colours("#8f2f2a #c4553a #df8056"))
    ray = np.mod(angle / np.pi * 15 + 0.5, 1)
    number = np.floor(angle / np.pi * 15 + 0.5)
    wedge = rise(np.abs(ray - 0.5), 0.49, 0.47)
    colour = mix(lacquer, coral, wedge * (np.mod(number, 3) == 1) * rise(far, 0.8, 0.25))
    stops = np.mod(far * 26, 1) * (np.mod(number, 3) == 0)
    metal = rise(np.abs(ray - 0.5), 0.46, 0.49) + (stops > 0.72) * wedge
    metal = np.maximum(metal, rise(np.abs(far - 0.2), 0.008, 0.006))
    metal = np.maximum(metal, rise(np.abs(far - 0.225), 0.004, 0.003))
    disc = rise(far, 0.201, 0.199)
    colour, metal = mix(colour, coral, disc), metal * (1 - disc)
    metal = np.maximum(metal, disc * rise(np.abs(np.mod(far * 30, 1) - 0.5), 0.2, 0.14))
    colour, metal = _scales(x, y, colour, metal, lacquer, coral)
    height = blurred(metal, 0.0012) * 0.003 + 0.0006 * brush
    worn = rise(noise(random, size, 0.03, octaves=4, gain=0.8), 0.12, 0.3)
    colour = mix(colour * (0.8 + 0.4 * brush)[..., None], gold, np.clip(metal, 0, 1) * worn)
    return image(lit(colour, height, 0.9, gloss=0.3))


def _scales(
    x: Array, y: Array, colour: Array, metal: Array, lacquer: Array, coral: Array
) -> tuple[Array, Array]:
    """Rows of overlapping fans over the lower part of the picture."""
    radius, top = 0.105, 0.6
    for row in range(9):
        middle = top + 0.075 + row * radius * 0.55
        column = np.round((x - radius * (row % 2)) / (2 * radius))
        cx = column * 2 * radius + radius * (row % 2)
        far = np.hypot(x - cx, y - middle)
        fan = (far < radius) & (y > top - 0.4)
        angle = np.arctan2(y - middle, x - cx)
        rings = np.abs(np.mod(far / radius * 4, 1) - 0.5)
        ribs = np.abs(np.mod(angle / np.pi * 12, 1) - 0.5)
        line = np.maximum(
            rise(rings, 0.4, 0.47), 0.9 * rise(ribs, 0.42, 0.48) * (far > radius * 0.5)
        )
        line = np.maximum(line, rise(np.abs(far - radius * 0.97), 0.005, 0.003))
        body = mix(lacquer * 1.15, coral, 0.9 * ((far < radius * 0.5) & (row % 2 == 0)))
        body = body * (0.7 + 0.5 * rise(far, 0, radius))[..., None]
        colour = np.where(fan[..., None], body, colour)
        metal = np.where(fan, line, metal)
    return colour, metal
