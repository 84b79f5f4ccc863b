"""Pieces set side by side: a mosaic, a window of stained glass, a terrazzo floor."""

import numpy as np
from PIL import Image
from scipy import ndimage

from .cells import inner, nearest, spread_out
from .ground import (
    Array,
    Random,
    blurred,
    colours,
    grid,
    image,
    jittered,
    lit,
    mix,
    noise,
    papered,
    ramp,
    rise,
)

_SEA = colours("#0e3b4f #15606f #2b8a8c #7fbfae #e8e2c4")
_GLOW = colours("#fff1c2 #f6c453 #e08a2b #b5452a #7a2433")
_PITCH = 0.0185  # from one row of stones to the next
_DUSK = colours("#e8b07a #c8776a #7d5a80 #3d4a78 #22305a")


def mosaic(size: int, random: Random) -> Image.Image:
    """A sun over the sea, in rows of hand-cut stones that follow the forms."""
    x, y = grid(size)
    shake = [0.004 * (noise(random, size, 0.018, octaves=2) - 0.5) for _ in range(2)]
    x, y = x + shake[0], y + shake[1]
    part, across, along, tone = _forms(random, x, y)
    row = np.floor(across / _PITCH)
    shift = np.modf(np.sin(row * 12.9898 + part * 78.233) * 43758.5)[0]
    run = along / (1.12 * _PITCH) + shift + 0.35 * np.sin(along * 40 + row * 2.4)
    stone = np.floor(run)
    _, label = np.unique(part * 10_000_000 + row * 4000 + stone, return_inverse=True)
    label = label.reshape(size, size)
    count = label.max() + 1
    means = [ndimage.mean(tone[..., channel], label, np.arange(count)) for channel in range(3)]
    tints = np.stack(means, axis=1)
    tints = jittered(random, tints.astype(np.float32), (0.06, 0.025))
    return image(_set_stones(random, label, tints))


def _forms(random: Random, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """The forms of the mosaic: which one, across and along its rows, and its colours."""
    size = len(x)
    dx, dy = x - 0.6, y - 0.36
    far, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    across, along = far, angle * (np.floor(far / _PITCH) + 0.5) * _PITCH
    rays = np.cos(14 * angle) * rise(far, 0.17, 0.2) * rise(far, 0.42, 0.3)
    sun = ramp(far * 4.2, _GLOW)
    sky = ramp(0.35 + 0.9 * far - 0.4 * y + 0.3 * (noise(random, size, 0.2) - 0.5), _DUSK)
    tone = np.where((far < 0.175)[..., None], sun, sky)
    tone = mix(tone, _GLOW[1], 0.85 * (rays > 0.35))
    part = np.where(far < 0.175, 0, 1).astype(np.float32)
    for wave in range(5):
        crest = 0.54 + 0.105 * wave
        crest = crest + 0.028 * np.sin(9 * x + 2.1 * wave) + 0.012 * np.sin(23 * x + wave)
        under = y > crest
        depth = y - crest
        water = ramp(0.95 - depth * 9 + 0.12 * np.sin(30 * x + wave), _SEA)
        foam = rise(depth, 0.022, 0.018)
        water = mix(water, colours("#f3ead2")[0], foam)
        part = np.where(under, 2 + wave, part)
        across = np.where(under, depth, across)
        along = np.where(under, x * 1.08, along)
        tone = np.where(under[..., None], water, tone)
    return part, across, along, tone.astype(np.float32)


def _set_stones(random: Random, label: Array, tints: Array) -> Array:
    """Stones of the given colours (N, 3) in their joints, with bevels and veins."""
    size = len(label)
    inside = inner(label)
    edge = ndimage.distance_transform_edt(inside).astype(np.float32) / size
    tilt = random.normal(0, 1, (len(tints), 2)).astype(np.float32)[label]
    x, y = grid(size)
    height = 0.006 * rise(edge, 0, 0.0035) + 0.0015 * (
        tilt[..., 0] * np.sin(60 * x) + tilt[..., 1] * np.sin(60 * y)
    )
    veins = noise(random, size, 0.02, octaves=4, gain=0.8) - 0.5
    body = tints[label] * (1 + 0.35 * veins + 0.05 * tilt[..., 0])[..., None]
    joint = colours("#5b4f45")[0] * (0.8 + 0.5 * noise(random, size, 0.01))[..., None]
    colour = mix(joint, body, rise(edge, 0.0005, 0.0022))
    return lit(colour, height + 0.0006 * veins, 0.9, gloss=0.2)


_WINDOW = (
    colours("#f7e7a1 #f2b632 #e2711d #c8321f"),
    colours("#0b2a6f #1747a6 #2f7fd0 #7cc0e8"),
    colours("#0f5a3c #2e8b57 #8fc25c #d8dd78"),
    colours("#5b1350 #8e2a6b #c2487a #e99bb0"),
)


def stained_glass(size: int, random: Random) -> Image.Image:
    """A rose over leaves, in glass and lead, with the day behind it."""
    x, y = grid(size)
    dx, dy = x - 0.5, y - 0.47
    bend = 0.012 * (noise(random, size, 0.12, octaves=2) - 0.5)
    far, angle = np.hypot(dx, dy) + bend, np.arctan2(dy, dx)
    petals = 0.2 + 0.075 * np.abs(np.cos(4 * angle))
    outer = 0.36 + 0.03 * np.abs(np.sin(8 * angle))
    zone = np.digitize(far, [0.055, 0.115]) + (far > petals) + (far > outer).astype(int)
    spokes = np.floor((angle / (2 * np.pi) + 0.5) * np.choose(zone, [1, 8, 8, 16, 1]))
    shards = nearest(spread_out(random, 150), x + bend, y)
    piece = np.where(zone == 4, 1000 + shards, spokes)
    _, label = np.unique(zone * 100_000 + piece, return_inverse=True)
    label = label.reshape(size, size)
    family = np.choose(zone, [0, 3, 0, 1, 2])
    family = np.where((zone == 4) & (np.sin(shards * 7.3) > 0.2), 1, family)
    family = np.where((zone == 2) & (spokes % 2 == 0), 3, family)
    family = np.where((zone == 4) & (np.sin(shards * 3.1) > 0.86), 0, family)
    return image(_leaded(random, label, family, far))


def _leaded(random: Random, label: Array, family: Array, far: Array) -> Array:
    """Panes in lead; each pane has the colours of its family, and light from behind."""
    size = len(label)
    own = random.random(label.max() + 1).astype(np.float32)[label]
    turn = (random.random(label.max() + 1) * np.pi).astype(np.float32)[label]
    x, y = grid(size)
    streak = noise(random, size, 0.05, octaves=5, gain=0.65, stretch=(1, 3))
    sweep = 0.5 + 0.5 * np.sin(9 * (x * np.cos(turn) + y * np.sin(turn)) + 6 * own)
    depth = 0.5 * own + 0.35 * sweep + 0.6 * (streak - 0.5)
    glass = np.zeros((size, size, 3), np.float32)
    for number, palette in enumerate(_WINDOW):
        glass = np.where((family == number)[..., None], ramp(depth, palette), glass)
    edge = ndimage.distance_transform_edt(inner(label)).astype(np.float32) / size
    glow = 1.12 - 0.7 * far + 0.25 * rise(edge, 0.0, 0.03) - 0.12
    seeds = rise(noise(random, size, 0.0045, octaves=1), 0.99, 1.1)  # small bubbles
    glass = mix(glass * glow[..., None], np.ones(3, np.float32), 0.5 * seeds)
    wide = 0.0052 * (0.8 + 0.5 * noise(random, size, 0.08))
    came = rise(edge - wide, 0.0012, -0.0006)
    lead = colours("#1b1c20")[0] * (0.8 + 0.6 * noise(random, size, 0.012))[..., None]
    round_ = np.sqrt(np.clip(1 - (edge / wide) ** 2, 0, 1)) * 0.006
    lead = lit(lead + 0.02, blurred(round_, 0.001), 1.2, gloss=0.35)
    ripple = 0.0012 * noise(random, size, 0.03, octaves=3)
    return mix(lit(glass, ripple, 1.0, gloss=0.1), lead, came)


def terrazzo(size: int, random: Random) -> Image.Image:
    """Chips of marble of every size in a ground of cement, polished."""
    x, y = grid(size)
    ground = colours("#e9e1d4 #d9cdbd #efe9df")
    colour = papered(random, ramp(noise(random, size, 0.1), ground), 0.25)
    tones = colours("#2f4b4a #c46a4a #e3b39a #86a397 #f3efe6 #3a3a3f #b98a3e #8d3f36 #c9c4ba")
    free = np.ones((size, size), bool)
    for count, share in ((90, 0.75), (420, 0.55), (2600, 0.4), (9000, 0.25)):
        places = spread_out(random, count, 2)
        owner = nearest(places, x + 0.012 * (noise(random, size, 0.03) - 0.5), y)
        edge = ndimage.distance_transform_edt(inner(owner)).astype(np.float32) / size
        gap = 0.1 / np.sqrt(count)
        kept = (random.random(count) < share)[owner]
        clear = ndimage.minimum(free, owner, np.arange(count)).astype(bool)[owner]
        chip = kept & clear & (edge > gap)
        veins = np.abs(noise(random, size, 0.06, octaves=4) - 0.5)
        body = jittered(random, tones[random.integers(0, len(tones), count)], (0.05, 0.02))[owner]
        body = body * (0.75 + 1.4 * veins + 0.4 * (noise(random, size, 0.008) - 0.5))[..., None]
        body = mix(body, np.ones(3, np.float32), 0.55 * rise(veins, 0.02, 0.0))
        colour = mix(colour, body, rise(edge, gap, gap + 0.0015) * chip)
        free &= ~ndimage.binary_dilation(chip, iterations=2)
    return image(colour)
