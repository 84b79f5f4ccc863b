"""Ink on paper: a woodcut, an engraving, and mountains in washes of ink."""

import numpy as np
from PIL import Image

from .ground import (
    Array,
    Random,
    blurred,
    colours,
    grid,
    image,
    mix,
    noise,
    papered,
    ramp,
    rise,
    warped,
)
from .strokes import Brush, Canvas

_BLACK = colours("#171412")[0]


def woodcut(size: int, random: Random) -> Image.Image:
    """A sun over mountains and water, cut in wood and printed in black, ochre and red."""
    x, y = grid(size)
    phase, tone, tint = _carved(random, x, y)
    rough = noise(random, size, 0.012, octaves=3) - 0.5
    swell = noise(random, size, 0.05, octaves=3) - 0.5
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * (phase + 0.2 * swell))
    ink = rise(tone + 0.3 * rough + 0.25 * swell - wave, -0.07, 0.07)
    grain = noise(random, size, 0.006, octaves=3, stretch=(40, 1)) - 0.5
    worn = rise(noise(random, size, 0.05, octaves=5, gain=0.8) + 0.5 * grain, 0.1, 0.3)
    paper = papered(random, np.broadcast_to(colours("#efe4c9")[0], (size, size, 3)), 0.22)
    layers = colours("#efe4c9 #d9a441 #b93a26 #6f8f86")
    printed = layers[tint] * (1 + 0.35 * grain)[..., None]
    colour = mix(paper, printed, (tint > 0) * 0.92 * rise(noise(random, size, 0.02), 0.1, 0.35))
    black = _BLACK * (1 + 1.6 * np.clip(grain, 0, 1))[..., None]
    return image(mix(colour, black, ink * (0.4 + 0.6 * worn)))


def _carved(random: Random, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Where the cuts run (a phase), how dark it is, and which colour lies below."""
    size = len(x)
    dx, dy = x - 0.66, y - 0.27
    far, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    phase = 30 * angle / np.pi + 1.5 * np.sin(14 * far)
    tone = 0.12 + 0.75 * rise(far, 0.12, 0.75) - 0.1 * (y > 0.45)
    tint = np.where(far < 0.125, 2, 1)
    tone = np.where(far < 0.125, -0.5, tone)
    tone = np.where(np.abs(far - 0.128) < 0.006, 1.6, tone)
    for base, high, seed, freq in (
        (0.5, 0.2, 1.3, 3.1),
        (0.6, 0.24, 4.4, 2.3),
        (0.68, 0.13, 2.0, 4.0),
    ):
        saw = np.abs(np.modf(x * freq + seed)[0] * 2 - 1)
        ridge = base - high * saw + 0.05 * (noise(random, size, 0.06, octaves=4) - 0.5)
        inside = y > ridge
        lean = np.sign(np.modf(x * freq + seed)[0] - 0.5)
        cuts = 26 * (x * 0.9 + 1.1 * lean * (y - ridge) + 0.05 * np.sin(16 * y))
        dark = np.where(lean > 0, 0.95, 0.3) - 0.9 * (y - ridge) / high * 0.4
        snow = rise(y - ridge, 0.07, 0.02) * (lean < 0)
        phase = np.where(inside, cuts, phase)
        tone = np.where(inside, dark - 0.9 * snow, tone)
        tone = np.where(inside & (y - ridge < 0.007), 1.6, tone)
        tint = np.where(inside, np.where(snow > 0.5, 0, 3), tint)
    shore = 0.72 + 0.012 * np.sin(8 * x)
    water = y > shore
    depth = np.clip(y - shore, 0, 1) * 3
    ripple = (
        11 * np.log(1 + 4 * depth) + 0.5 * np.sin(9 * x / (0.35 + depth)) + 0.6 * np.sin(23 * x)
    )
    glitter = np.exp(-(((x - 0.66) / (0.07 + 0.12 * depth)) ** 2))
    phase = np.where(water, ripple, phase)
    tone = np.where(water, 0.62 - 0.5 * glitter + 0.2 * depth, tone)
    tint = np.where(water, np.where(glitter > 0.35, 2, 3), tint)
    return phase.astype(np.float32), tone.astype(np.float32), tint


def engraving(size: int, random: Random) -> Image.Image:
    """Heavy cloth in folds, in lines of the burin that swell where it is dark, and cross."""
    x, y = grid(size)
    height = _folds(random, x, y)
    down, right = np.gradient(height * size)
    slope = np.sqrt(1 + (right**2 + down**2) * 5)
    light = (0.62 - 1.25 * right - 1.0 * down) / slope
    tone = 0.92 - 0.92 * rise(light + 0.16 * (noise(random, size, 0.02) - 0.5), -0.35, 1.05)
    paper = papered(
        random, ramp(noise(random, size, 0.4), colours("#f3e9d2 #e6d7b6 #efe2c6")), 0.16
    )
    ink = np.zeros_like(x)
    weave = 0.03 * (noise(random, size, 0.02) - 0.5)
    for turn, begin, lines in ((0.35, 0.05, 86), (1.2, 0.5, 86), (2.05, 0.72, 96)):
        across = x * np.sin(turn) - y * np.cos(turn) + 0.95 * height + 0.002 * weave
        wave = np.abs(np.modf(across * lines + 1000)[0] * 2 - 1)  # 0 in the middle of a line
        wide = np.clip((tone - begin) * 0.85 + weave, 0, 0.66)
        soft = 1.6 * lines / size
        ink = np.maximum(ink, rise(wave - wide, soft, -soft) * (tone > begin))
    ink = ink * (0.86 + 0.28 * (noise(random, size, 0.004, octaves=2) - 0.5))
    line = ramp(noise(random, size, 0.2), colours("#2a1c14 #3b2417 #1d1a1e"))
    return image(mix(paper, line, ink))


def _folds(random: Random, x: Array, y: Array) -> Array:
    """The relief of cloth: a few large folds that hang and gather, and small ones in them."""
    size = len(x)
    bent = warped(
        noise(random, size, 0.34, octaves=2, stretch=(1, 2.2)),
        0.35 * (noise(random, size, 0.5, octaves=2) - 0.5),
        0.35 * (noise(random, size, 0.5, octaves=2) - 0.5),
    )
    ridged = 1 - np.abs(2 * bent - 1) * 1.6
    hang = np.sin(9 * (x + 0.25 * np.sin(3 * y)) + 7 * bent)
    return blurred(0.13 * ridged + 0.035 * hang, 0.006).astype(np.float32)


def ink_wash(size: int, random: Random) -> Image.Image:
    """Mountains in mist over a lake, and bamboo in front, in washes of black ink."""
    x, y = grid(size)
    paper = papered(
        random, ramp(noise(random, size, 0.5), colours("#f4eedf #ebe1c9 #f7f2e6")), 0.12
    )
    cloud = noise(random, size, 0.35, octaves=4, stretch=(1.8, 1))
    ink = 0.3 * rise(cloud, 0.45, 0.8) * rise(y, 0.75, 0.0)
    for step, base in enumerate((0.16, 0.32, 0.5, 0.63)):
        ink = np.maximum(ink * (0.9 - 0.1 * step), _range(random, x, y, base, 0.4 + 0.2 * step))
    lake = rise(y, 0.74, 0.8)
    ripples = noise(random, size, 0.04, octaves=4, stretch=(8, 0.7))
    ink = ink * (1 - lake) + lake * 0.55 * rise(ripples, 0.48, 0.75)
    dry = noise(random, size, 0.008, octaves=3, stretch=(4, 1))
    ink = np.maximum(np.clip(ink * (0.72 + 0.56 * dry), 0, 1), _bamboo(random, size))
    tones = colours("#d6d4cb #9c9d9a #5c5e62 #2b2b2f #131317")
    washed = mix(paper, ramp(ink, tones), rise(ink, 0, 0.35))
    seal = (np.abs(x - 0.91) < 0.028) & (np.abs(y - 0.9) < 0.028)
    marks = noise(random, size, 0.014, octaves=2) > 0.54
    worn = rise(noise(random, size, 0.01), 0.25, 0.4)
    return image(mix(washed, colours("#b5301f")[0], 0.9 * seal * ~marks * worn))


def _range(random: Random, x: Array, y: Array, base: float, dark: float) -> Array:
    """One range of mountains: dark at its ridge, lost in mist below; brushed, wet at its edges."""
    size = len(x)
    line = noise(random, size, 0.3, octaves=6, gain=0.52)[size // 2]  # of one row: a profile
    ridge = base + 0.1 - 0.34 * (line - 0.4)[None, :] + 0.004 * (noise(random, size, 0.01) - 0.5)
    depth = y - ridge
    bleed = 0.004 + 0.02 * rise(noise(random, size, 0.15), 0.5, 0.75)
    body = rise(depth, -0.3 * bleed, bleed) * np.exp(-np.clip(depth, 0, 1) * 8)
    strokes = noise(random, size, 0.05, octaves=5, gain=0.75, stretch=(0.6, 2.2))
    rim = np.exp(-((depth - 0.006) ** 2) / 0.00006) * rise(noise(random, size, 0.1), 0.35, 0.6)
    crags = rise(strokes, 0.48, 0.75) * np.exp(-np.clip(depth, 0, 1) * 5) * (depth > 0)
    return (dark * (0.75 * body + 0.55 * rim + 0.9 * crags)).astype(np.float32)


def _bamboo(random: Random, size: int) -> Array:
    """Stems and leaves of bamboo at the left, each of one wet stroke: how black they are."""
    canvas = Canvas(np.ones((size, size, 3), np.float32))
    for left, lean, tone, wide in (
        (0.3, 0.1, 0.62, 0.5),
        (0.05, 0.05, 0.4, 0.8),
        (0.17, -0.03, 0.05, 1.0),
    ):
        top = np.linspace(1.02, -0.05, 9)
        joints = np.stack([left + lean * (1 - top) + 0.012 * np.sin(5 * top), top], axis=1)
        part = np.linspace(0.04, 0.96, 5)[None, :, None]
        stems = joints[:-1, None] * (1 - part) + joints[1:, None] * part
        grey = np.full((len(stems), 3), tone)
        stem = Brush(length=0, width=0.036 * wide, bristles=27, streak=0.09, taper=-0.3)
        canvas.paint(random, stems.astype(np.float32), grey.astype(np.float32), stem)
        count = int(34 * wide)
        roots = joints[random.integers(1, len(joints) - 1, count)]
        roots = roots + random.normal(0, 1, (count, 2)) * (0.07, 0.03) + (0.02, 0)
        angle = random.normal(0.9, 0.55, count) + np.where(random.random(count) < 0.35, 1.2, 0)
        reach = np.linspace(0, 1, 7)[None, :, None] * random.uniform(0.08, 0.19, (count, 1, 1))
        turn = angle[:, None] + 0.3 * np.linspace(0, 1, 7) ** 2
        leaves = roots[:, None] + reach * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        greys = np.repeat(tone + 0.22 * random.random((count, 1)), 3, axis=1)
        leaf = Brush(length=0, width=0.026 * wide, bristles=17, streak=0.035, taper=1.1)
        canvas.paint(random, leaves.astype(np.float32), greys.astype(np.float32), leaf)
    return 1 - canvas.finished(random, relief=0, gloss=0)[..., 0]
