"""Paper: a collage of torn pieces, and a marbled sheet."""

import numpy as np
from PIL import Image
from scipy import ndimage

from .ground import Array, Random, blurred, colours, grid, image, lit, mix, noise, papered, rise

_PAPERS = colours(
    "#e4572e #f3a712 #29335c #a8c686 #669bbc #f1e3c6 #d1495b #2e6171 #edae49 #8f5d8d #faf3e3 "
    "#3f4a3c"
)
_TORN = colours("#f4f2ee")[0]


def paper_collage(size: int, random: Random) -> Image.Image:
    """Torn and printed papers, one pasted over the other, with their shadows."""
    x, y = grid(size)
    colour = np.broadcast_to(colours("#ece0c8")[0], (size, size, 3))
    for step in range(34):
        inner = _torn(random, x, y, 0.36 * 0.965**step + 0.05)
        shift = max(1, round(0.006 * size))
        shadow = blurred(rise(inner, -0.002, 0.002), 0.006)
        shadow = ndimage.shift(shadow, shift, order=0, mode="nearest")
        colour = colour * (1 - 0.4 * shadow)[..., None]
        sheet = _sheet(random, x, y)
        ragged = 0.007 * noise(random, size, 0.03, octaves=3)
        colour = mix(colour, _TORN, rise(inner, -0.0008, 0.0008))
        colour = mix(colour, sheet, rise(inner - ragged, -0.0008, 0.0012))
    colour = papered(random, colour, 0.26)
    wrinkles = noise(random, size, 0.15, octaves=5, gain=0.55)
    return image(lit(colour, 0.012 * wrinkles, 0.9))


def _torn(random: Random, x: Array, y: Array, reach: float) -> Array:
    """How far inside a torn piece each pixel lies; outside it is negative."""
    size = len(x)
    cx, cy = random.uniform(-0.02, 1.02, 2)
    angle, long = random.uniform(0, np.pi), random.uniform(0.5, 1.6)
    u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    u, v = np.abs(u) / long, np.abs(v) * long
    shape = reach * 0.6 - (np.hypot(u, v) if random.random() < 0.3 else np.maximum(u, v))
    tear = noise(random, size, 0.09, octaves=6, gain=0.6) - 0.5
    return (shape + 0.05 * reach**0.5 * tear).astype(np.float32)


def _sheet(random: Random, x: Array, y: Array) -> Array:
    """A printed paper: plain, striped, dotted, checked, lettered or painted."""
    size = len(x)
    first, second = _PAPERS[random.permutation(len(_PAPERS))[:2]]
    angle = random.choice([0, 0.4, -0.5, 0.8, 1.57])
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    pitch = random.uniform(0.012, 0.035)
    kind = random.integers(0, 6)
    bar = np.abs(np.mod(u / pitch, 1) - 0.5)
    post = np.abs(np.mod(v / pitch, 1) - 0.5)
    share = np.zeros_like(x)
    if kind == 1:
        share = rise(bar, 0.2, 0.28)
    elif kind == 2:
        share = rise(np.hypot(bar, post), 0.31, 0.24)
    elif kind == 3:
        share = 0.5 * rise(bar, 0.2, 0.28) + 0.5 * rise(post, 0.2, 0.28)
    elif kind == 4:  # lines of something like print
        letters = noise(random, size, 0.0065, octaves=2, stretch=(0.8, 1.6)) > 0.5
        share = 0.8 * letters * rise(np.abs(np.mod(v / 0.017, 1) - 0.5), 0.3, 0.22)
        first, second = colours("#efe7d3 #2a2725")
    elif kind == 5:
        share = rise(noise(random, size, 0.05, octaves=4, stretch=(1, 4)), 0.4, 0.65)
    return mix(np.broadcast_to(first, (size, size, 3)), second, share)


_INKS = colours("#14324f #c9472f #f2e5c6 #2f7f80 #e7a93c #7a1f2e #5f9ea0 #f2e5c6 #0c1c2c #d98c5f")


def marbled_paper(size: int, random: Random) -> Image.Image:
    """Inks dropped on water, drawn out with a comb, and lifted on paper (Jaffer 2016)."""
    x, y = grid(size)
    shift = 0.012 * (noise(random, size, 0.12, octaves=3) - 0.5)
    px, py = (x + shift).ravel(), (y - shift).ravel()
    for turn, pitch, pull in ((0.0, 0.045, 0.03), (np.pi / 2, 0.09, 0.2), (0.0, 0.09, 0.18)):
        px, py = _combed(px, py, turn, pitch, pull)
    px, py = _stirred(random, px, py)
    owner = np.full(px.shape, -1)
    count = 260
    drops = [(random.uniform(-0.1, 1.1, 2), random.uniform(0.015, 0.06)) for _ in range(count)]
    for number in range(count - 1, -1, -1):  # the last one dropped lies on top
        centre, radius = drops[number]
        dx, dy = px - centre[0], py - centre[1]
        square = dx * dx + dy * dy
        open_ = owner < 0
        owner[open_ & (square < radius * radius)] = number
        back = np.sqrt(np.clip(1 - radius * radius / np.maximum(square, 1e-9), 0, 1))
        px, py = centre[0] + dx * back, centre[1] + dy * back
    tints = _INKS[np.arange(count + 1) * 7 % len(_INKS)]
    colour = tints[owner].reshape(size, size, 3)
    pigment = noise(random, size, 0.01, octaves=3) - 0.5
    thin = noise(random, size, 0.2, octaves=3) - 0.5
    colour = _softened(colour) * (1 + 0.14 * pigment + 0.25 * thin)[..., None]
    return image(papered(random, colour, 0.16))


def _softened(colour: Array) -> Array:
    """Colours with their borders softened by a pixel."""
    return np.stack([blurred(colour[..., c], 0.8 / len(colour)) for c in range(3)], axis=-1)


def _combed(px: Array, py: Array, turn: float, pitch: float, pull: float) -> tuple[Array, Array]:
    """Where ink came from that a comb drew along a direction."""
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    place = px * across[0] + py * across[1]
    tooth = np.abs(np.mod(place / pitch, 1) - 0.5) * pitch
    moved = pull * 0.04 / (0.04 + 6 * tooth)
    return px - moved * along[0], py - moved * along[1]


def _stirred(random: Random, px: Array, py: Array) -> tuple[Array, Array]:
    """Where ink came from that a stick turned in a few circles."""
    for _ in range(5):
        cx, cy = random.uniform(0.1, 0.9, 2)
        far = np.hypot(px - cx, py - cy)
        turn = random.choice([-1, 1]) * 1.6 * np.exp(-((far / 0.16) ** 2))
        cos, sin = np.cos(turn), np.sin(turn)
        px, py = cx + (px - cx) * cos - (py - cy) * sin, cy + (px - cx) * sin + (py - cy) * cos
    return px, py
