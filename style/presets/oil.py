"""Thick paint: a field under a summer sky, and a night of swirls."""

import numpy as np
from PIL import Image

from .ground import Array, Random, colours, grid, image, mix, noise, ramp, rise
from .strokes import Brush, Canvas, along, at, scattered

_SKY = colours("#2f5f9e #4f86bd #86b4cf #c3d8cf #efe3b4")
_CLOUD = colours("#f4efe0 #d9dfe0 #b9c6d6")
_WHEAT = colours("#e9c25a #d99a2b #c9771f #a9802a #f2d98b")
_GREENS = colours("#31543a #4f7440 #7d9148 #23413f")
_NIGHT = colours("#0d1b3d #16356f #24589b #4d8ab8 #a9cfc9 #f1e3a0")


def brush_field(size: int, random: Random) -> Image.Image:
    """A field of wheat under moving clouds, in strokes that follow wind and furrow."""
    x, y = grid(size)
    hill = 0.42 + 0.05 * np.sin(5 * x + 0.6) + 0.03 * noise(random, size, 0.4)
    ground = y > hill
    scene = np.where(ground[..., None], _wheat(random, x, y, hill), _sky(random, x, y))
    trees = (np.abs(y - hill + 0.012) < 0.03 * rise(noise(random, size, 0.12), 0.45, 0.6)) & (x > 0)
    scene = np.where(trees[..., None], ramp(noise(random, size, 0.03), _GREENS), scene)
    wind = 0.35 * np.sin(6 * x + 4 * y) + 1.3 * (noise(random, size, 0.3, octaves=2) - 0.5)
    furrow = np.arctan2(y - 0.2, (x - 0.62) * 1.3) + 0.9 * (noise(random, size, 0.1) - 0.5)
    flow = np.where(ground, furrow, wind)
    flow = np.where(trees, -1.3 + 0.5 * noise(random, size, 0.05), flow).astype(np.float32)
    canvas = Canvas(scene * 0.75)
    for gap, brush in (
        (0.022, Brush(length=0.13, width=0.03, bristles=9, vary=(0.05, 0.03))),
        (0.013, Brush(length=0.075, width=0.014, bristles=6, vary=(0.07, 0.035))),
    ):
        places = scattered(random, gap)
        near = 0.55 + 0.9 * np.clip(places[:, 1], 0, 1)  # what is near is painted larger
        paths = along(random, flow, places, brush.length * near)
        canvas.paint(random, paths, at(scene, places), brush, near)
    _ears(random, canvas)
    return image(canvas.finished(random, relief=1.1, gloss=0.16))


def _sky(random: Random, x: Array, y: Array) -> Array:
    """Blue, lighter towards the horizon, with clouds."""
    size = len(x)
    sky = ramp(y * 2.1 + 0.25 * (noise(random, size, 0.25) - 0.5), _SKY)
    cloud = noise(random, size, 0.28, octaves=5, stretch=(2.2, 1))
    return mix(sky, ramp(noise(random, size, 0.08), _CLOUD), rise(cloud, 0.55, 0.68))


def _wheat(random: Random, x: Array, y: Array, hill: Array) -> Array:
    """Gold in many tones, with stripes of green that run to the horizon."""
    size = len(x)
    gold = ramp(noise(random, size, 0.07, octaves=5, gain=0.8), _WHEAT)
    rows = np.sin((x - 0.62) / (y - hill + 0.16) * 9 + 2 * noise(random, size, 0.2))
    gold = mix(gold, ramp(noise(random, size, 0.05), _GREENS), 0.75 * rise(rows, 0.55, 0.95))
    return gold * (0.72 + 0.5 * np.clip(y - hill, 0, 1))[..., None]


def _ears(random: Random, canvas: Canvas) -> None:
    """Stalks in front, and some poppies among them."""
    count = 900
    depth = random.random(count) ** 0.6
    places = np.stack([random.random(count), 0.55 + 0.47 * depth], axis=1).astype(np.float32)
    lean = -np.pi / 2 + 0.35 * np.sin(6 * places[:, 0]) + random.normal(0, 0.25, count)
    t = np.linspace(-0.5, 0.5, 5)[None, :, None]
    bend = np.stack([np.cos(lean), np.sin(lean)], axis=1)[:, None]
    paths = places[:, None] + 0.1 * depth[:, None, None] * t * bend
    tones = colours("#f6e3a1 #e7b84c #b5741d #6b6a2c #8d4a1c")
    tints = tones[random.integers(0, len(tones), count)]
    order = np.argsort(places[:, 1])
    thin = Brush(length=0.1, width=0.005, bristles=3, taper=0.9, load=1.0)
    canvas.paint(random, paths[order], tints[order], thin, (0.5 + depth)[order])
    chosen = order[::9]
    swing = random.uniform(0, 2 * np.pi, (len(chosen), 1)) + np.linspace(0, 2.6, 5)
    around = np.stack([np.cos(swing), 0.7 * np.sin(swing)], axis=-1)  # each petal is an arc
    size = 0.008 * (0.3 + depth)[chosen]
    petals = paths[chosen][:, -1:] + size[:, None, None] * around
    reds = np.repeat(colours("#b8321f"), len(chosen), axis=0)
    dab = Brush(length=0.01, width=0.009, bristles=5, vary=(0.08, 0.04), load=1.0, taper=0.4)
    canvas.paint(random, petals.astype(np.float32), reds, dab, (0.4 + depth)[chosen])


def impasto_swirls(size: int, random: Random) -> Image.Image:
    """Whirls of light in a night sky over dark hills, in paint as thick as a finger."""
    x, y = grid(size)
    flow, light = _whirls(random, x, y)
    hill = 0.76 + 0.09 * np.sin(4.1 * x + 2.2) + 0.03 * np.sin(13 * x)
    bands = noise(random, size, 0.09, octaves=4, gain=0.7)
    scene = ramp(0.08 + 0.42 * bands + light, _NIGHT)
    land = y > hill
    dark = colours("#0b1a26 #14343a #27553f #4f7a45 #1a2c52")
    scene = np.where(land[..., None], ramp(noise(random, size, 0.06, octaves=4), dark), scene)
    slope = 0.5 * np.cos(4.1 * x + 2.2) + 2 * (noise(random, size, 0.12) - 0.5)
    flow = np.where(land, slope, flow).astype(np.float32)
    canvas = Canvas(scene * 0.6)
    for gap, brush in (
        (0.02, Brush(length=0.12, width=0.026, bristles=8, vary=(0.06, 0.03), load=0.9)),
        (0.0125, Brush(length=0.07, width=0.0135, bristles=5, vary=(0.09, 0.04), load=1.0)),
    ):
        places = scattered(random, gap)
        paths = along(random, flow, places, brush.length)
        canvas.paint(random, paths, at(scene, places), brush)
    return image(canvas.finished(random, relief=1.5, gloss=0.22))


_STARS = (
    (0.68, 0.24, 0.17), (0.3, 0.42, 0.2), (0.13, 0.13, 0.1), (0.43, 0.1, 0.07),
    (0.9, 0.55, 0.1), (0.62, 0.6, 0.08), (0.07, 0.62, 0.07), (0.93, 0.1, 0.06),
)  # fmt: skip


def _whirls(random: Random, x: Array, y: Array) -> tuple[Array, Array]:
    """A direction for every stroke, and how bright it is there."""
    size = len(x)
    angle = 0.6 * np.sin(5 * x + 1) + 2.0 * (noise(random, size, 0.35, octaves=2) - 0.5)
    right, down = np.cos(angle), np.sin(angle)
    light = np.zeros_like(x)
    for turn, (cx, cy, radius) in enumerate(_STARS):
        dx, dy = x - cx, y - cy
        far = np.hypot(dx, dy) + 1e-4
        pull = 3.5 * np.exp(-((far / radius) ** 2))
        sense = -1 if turn % 3 == 2 else 1
        right += pull * (-dy * sense - 0.25 * dx) / far
        down += pull * (dx * sense - 0.25 * dy) / far
        spiral = np.sin(2 * np.arctan2(dy, dx) * sense - 55 * far)
        light += np.exp(-((far / (0.3 * radius)) ** 2)) * 0.85
        light += 0.22 * np.exp(-((far / (0.9 * radius)) ** 2)) * (1 + spiral)
    return np.arctan2(down, right).astype(np.float32), light.astype(np.float32)
