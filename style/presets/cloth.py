"""Dyed cloth: a batik with its crackle."""

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from .ground import Array, Random, colours, grid, image, mix, noise, ramp, rise

_INDIGO = colours("#0c1836 #14285a #1f3f7d #33609c")
_BROWN = colours("#4a2415 #7a3d1c #a8602a #c98a45")
_CREAM = colours("#e9d8b0 #f3e8cc #dcc596")


def batik(size: int, random: Random) -> Image.Image:
    """Flowers and tendrils in indigo and brown, with the veins of broken wax."""
    x, y = grid(size)
    sway = [0.012 * (noise(random, size, 0.15, octaves=2) - 0.5) for _ in range(2)]
    wax, brown = _motif(x + sway[0], y + sway[1])
    cracks = _crackle(random, x, y)
    deep = ramp(noise(random, size, 0.12, octaves=5, gain=0.65), _INDIGO)
    warm = ramp(noise(random, size, 0.08, octaves=5, gain=0.65), _BROWN)
    plain = ramp(noise(random, size, 0.1, octaves=4), _CREAM)
    bleed = noise(random, size, 0.012, octaves=3) - 0.5
    kept = rise(wax + 0.25 * bleed, 0.35, 0.6)
    colour = mix(deep, mix(plain, warm, rise(brown + 0.25 * bleed, 0.35, 0.6)), kept)
    colour = mix(colour, deep * 0.9, kept * 0.85 * cracks)
    colour = mix(colour, warm, (1 - kept) * 0.25 * cracks)
    thread = noise(random, size, 0.0035, octaves=1, stretch=(5, 1))
    thread = thread + noise(random, size, 0.0035, octaves=1, stretch=(1, 5)) - 1
    return image(colour * (1 + 0.2 * thread + 0.12 * bleed)[..., None])


def _motif(x: Array, y: Array) -> tuple[Array, Array]:
    """Where wax keeps the indigo out, and where the cloth below it is brown."""
    wax, brown = np.zeros_like(x), np.zeros_like(x)
    side = 0.42
    column = np.floor(x / side)
    u = np.mod(x / side, 1) - 0.5
    v = np.mod(y / side + 0.5 * np.mod(column, 2), 1) - 0.5
    vine = np.abs(np.mod(x / side + 0.5, 1) - 0.5 - 0.13 * np.sin(2 * np.pi * y / side))
    wax = np.maximum(wax, rise(vine, 0.034, 0.028))
    brown = np.maximum(brown, rise(vine, 0.014, 0.01))
    beads = np.hypot(vine - 0.07, np.mod(y / side * 22, 1) / 22 - 0.5 / 22)
    wax = np.maximum(wax, rise(beads, 0.013, 0.009))
    far, angle = np.hypot(u, v), np.arctan2(v, u)
    wax, brown = _leaves(x / side, y / side, wax, brown)
    for petals, radius, turn in ((8, 0.41, 0.0), (8, 0.29, np.pi / 8), (5, 0.13, 0.3)):
        wave = np.abs(np.cos(0.5 * petals * (angle + turn)))
        edge = radius * (0.52 + 0.48 * wave**0.7) - far
        wax = np.where(edge > -0.016, 0.0, wax)
        wax = np.maximum(wax, rise(edge, 0, 0.012))
        rim = rise(np.abs(edge - 0.035), 0.009, 0.005)
        veins = np.abs(np.mod(angle * petals * 3 / np.pi, 1) - 0.5)
        brown = np.where(edge > -0.016, 0.0, brown)
        brown = np.maximum(brown, rim)
        brown = np.maximum(brown, rise(edge, 0.05, 0.06) * rise(veins, 0.32, 0.42))
    ring = np.abs(far - 0.055)
    brown = np.maximum(brown, rise(ring, 0.012, 0.008))
    spots = np.hypot(np.mod(x / side * 15, 1) - 0.5, np.mod(y / side * 15, 1) - 0.5)
    ground = rise(far, 0.4, 0.42) * rise(vine, 0.09, 0.1)
    return np.maximum(wax, 0.95 * ground * rise(spots, 0.2, 0.13)), brown


def _leaves(x: Array, y: Array, wax: Array, brown: Array) -> tuple[Array, Array]:
    """Pairs of leaves where the vines bend away from the flowers."""
    for turn, (at_x, at_y) in enumerate(((0.5, 0.0), (0.5, 0.5), (0.5, 0.25), (0.5, 0.75))):
        side = -1 if turn % 2 else 1
        u = np.mod(x - at_x, 1) - 0.5
        v = np.mod(y - at_y + 0.5, 1) - 0.5
        along, across = 0.75 * u * side - 0.66 * v, 0.66 * u * side + 0.75 * v
        along = along - 0.13
        shape = 0.05 * np.clip(1 - (along / 0.13) ** 2, 0, 1) - np.abs(across - 2 * along**2)
        wax = np.where(shape > -0.012, 0.0, wax)
        wax = np.maximum(wax, rise(shape, 0, 0.008))
        ribs = np.abs(np.mod((along + np.abs(across)) * 30, 1) - 0.5)
        inner = rise(shape, 0.012, 0.018) * rise(ribs, 0.2, 0.3)
        brown = np.where(shape > -0.012, 0.0, brown)
        brown = np.maximum(brown, inner)
    return wax, brown


def _crackle(random: Random, x: Array, y: Array) -> Array:
    """Cracks: between cells of two sizes, of uneven width, in some places only."""
    size = len(x)
    total = np.zeros_like(x)
    for count, wide in ((140, 0.0045), (900, 0.0024)):
        bend = [
            0.035 * count**-0.2 * (noise(random, size, 0.08, octaves=4) - 0.5) for _ in range(2)
        ]
        pixels = np.stack([(x + bend[0]).ravel(), (y + bend[1]).ravel()], axis=1)
        far = cKDTree(random.random((count, 2))).query(pixels, k=2)[0]
        gap = (far[:, 1] - far[:, 0]).reshape(x.shape)
        line = wide * (0.2 + 1.8 * noise(random, size, 0.05) ** 2)
        some = rise(noise(random, size, 0.2, octaves=3), 0.32, 0.55)
        total = np.maximum(total, rise(gap, line * 2.2, line * 0.5) * some)
    return total
