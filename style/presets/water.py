"""Water: a printed sea, and blooms in watercolour."""

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from .cells import spread_out
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
)

_BLUES = colours("#0f2748 #1d4472 #3b719d #7ba6bd #c4d3cd")
_INK = colours("#12233f")[0]


def waves(size: int, random: Random) -> Image.Image:
    """Breaking waves with claws of foam, printed from blocks of wood."""
    x, y = grid(size)
    sky = ramp(y * 1.9, colours("#b9a77f #dccfa9 #efe3c3 #f0d9b5 #e2b48c"))
    colour = papered(random, sky, 0.2)
    cloud = noise(random, size, 0.25, octaves=4, stretch=(3.5, 1))
    colour = mix(colour, colours("#f7efdb")[0], 0.7 * rise(cloud, 0.55, 0.62))
    sun = np.hypot(x - 0.24, y - 0.2)
    colour = mix(colour, colours("#c8452f")[0], 0.9 * rise(sun, 0.086, 0.084))
    swells = (
        (0.5, 0.1, 2.2, 0.9),
        (0.64, 0.3, 1.15, 2.4),
        (0.8, 0.2, 1.6, 1.1),
        (0.97, 0.26, 1.3, 5.6),
    )
    for base, tall, freq, phase in swells:
        colour = _swell(random, x, y, colour, base, tall, freq, phase)
    grain = noise(random, size, 0.005, octaves=3, stretch=(50, 1)) - 0.5
    rings = np.sin(90 * (y + 0.08 * np.sin(2.5 * x + 1) + 0.06 * noise(random, size, 0.3)))
    pressed = 1 + 0.2 * grain + 0.025 * rings
    return image(colour * pressed[..., None])


def _swell(
    random: Random,
    x: Array,
    y: Array,
    colour: Array,
    base: float,
    tall: float,
    freq: float,
    phase: float,
) -> Array:
    """One row of waves over what is painted so far."""
    size = len(x)
    above = np.clip(base - y, 0, 1)
    lean = x - 1.5 * above**1.7 / tall**0.5 + 0.02 * (noise(random, size, 0.2) - 0.5)
    profile = (0.5 + 0.5 * np.cos(2 * np.pi * freq * lean + phase)) ** 2.2
    depth = y - base + tall * profile
    depth = blurred(depth.astype(np.float32), 0.002)
    soft = 1.5 / size
    inside = rise(depth, -soft, soft)
    run = lean * freq * 2 * np.pi + phase
    band = depth / (0.018 + 0.055 * (1 - profile)) + 0.5 * np.sin(run) + 0.7 * np.sin(2.3 * run)
    stripe = np.abs(np.mod(band * 0.55, 1) - 0.5) * 2
    body = ramp(0.1 + 0.32 * noise(random, size, 0.3, octaves=5), _BLUES)
    body = mix(body, _BLUES[3], 0.85 * rise(stripe, 0.62, 0.7) * rise(depth, 0.3, 0.02))
    body = mix(body, _BLUES[4], rise(stripe, 0.86, 0.9) * rise(depth, 0.22, 0.02))
    colour = mix(colour, body, inside)
    colour = mix(colour, _INK, rise(np.abs(depth), 0.0035, 0.0015))
    return _foam(random, x, y, colour, depth, profile)


def _foam(random: Random, x: Array, y: Array, colour: Array, depth: Array, profile: Array) -> Array:
    """Foam along the crests: round claws with an outline, rings in them, and spray above."""
    size = len(x)
    crest = np.argwhere((np.abs(depth) < 0.004) & (profile > 0.18))
    if not len(crest):
        return colour
    chosen = crest[random.permutation(len(crest))[: max(60, len(crest) // 9)]]
    places = chosen[:, ::-1] / size + random.normal(0, 0.009, (len(chosen), 2))
    reach = profile[chosen[:, 0], chosen[:, 1]]
    radii = (0.006 + 0.017 * reach) * random.uniform(0.5, 1.25, len(chosen))
    spray = places[::3] + random.normal(0, 1, (len(places[::3]), 2)) * 0.035 - (0.0, 0.03)
    gap, fine = _to_discs(x, y, places, radii), 0.0035 * random.uniform(0.4, 1.3, len(spray))
    drops = _to_discs(x, y, spray, fine)
    soft = 1.2 / size
    white = papered(random, np.broadcast_to(colours("#f6f1e1")[0], colour.shape), 0.15)
    colour = mix(colour, white, rise(np.minimum(gap, drops), soft, -soft))
    rings = np.abs(np.mod(gap / 0.0105, 1) - 0.5) * 2
    colour = mix(colour, _BLUES[3], 0.75 * rise(rings, 0.72, 0.9) * rise(gap, -0.004, -0.006))
    return mix(colour, _INK, 0.9 * rise(np.abs(gap), 0.0022 + soft, 0.0012))


def _to_discs(x: Array, y: Array, places: Array, radii: Array) -> Array:
    """How far each pixel is from the nearest of some discs; inside it is negative."""
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    far, nearest = cKDTree(places).query(pixels, k=8, distance_upper_bound=0.05)
    gap = (far - np.append(radii, 0.0)[nearest]).min(axis=1).reshape(x.shape)
    return np.minimum(gap, 0.05).astype(np.float32)


_FLOWERS = colours("#c2255c #e0567f #7b3fa0 #e8703a #4263c9 #d9a01e #b03a55")
_LEAVES = colours("#2f6b4a #5c8f45 #1f5a66 #8aa04a")


def watercolour_blooms(size: int, random: Random) -> Image.Image:
    """Flowers and leaves in wet washes, with hard edges, back-runs and splashes."""
    x, y = grid(size)
    wet = _Wet(random, size)
    light = np.ones((size, size, 3), np.float32)
    for tint in colours("#9cc4d6 #f0c7a8 #cfd8a0 #e3b6cc"):
        pool = noise(random, size, 0.35, octaves=4)
        wash = 0.32 * rise(pool, 0.48, 0.75) + 0.16 * rise(np.abs(pool - 0.53), 0.012, 0)
        light = _glaze(light, tint, wash)
    for centre in spread_out(random, 30, 2):
        angle, bend = random.uniform(0, 2 * np.pi), random.uniform(-3, 3)
        shape = _leaf(x, y, centre, angle, bend, random.uniform(0.09, 0.2))
        tint = _LEAVES[random.integers(len(_LEAVES))]
        light = _glaze(light, tint, wet.wash(random, shape))
    for centre in spread_out(random, 17, 3):
        tint = _FLOWERS[random.integers(len(_FLOWERS))]
        light = _bloom(random, x, y, light, centre, random.uniform(0.08, 0.17), tint, wet)
    for tint in _FLOWERS[:5]:
        drops = rise(noise(random, size, 0.013, octaves=1), 1.02, 1.06)
        light = _glaze(light, tint, 0.8 * drops)
    sheet = papered(random, np.full((size, size, 3), 0.975, np.float32), 0.14)
    return image(sheet * light)


class _Wet:
    """What water does to a wash; its noise is drawn once and used for all of them."""

    def __init__(self, random: Random, size: int) -> None:
        """Draw the noise."""
        self.rough = noise(random, size, 0.007, octaves=3)
        self._edges = [noise(random, size, 0.05) for _ in range(5)]
        self._pools = [noise(random, size, 0.1, gain=0.6) for _ in range(5)]

    def wash(self, random: Random, shape: Array) -> Array:
        """How much pigment a wet shape leaves: pale inside, dark where it dried last, grainy."""
        edge, pool = self._edges[random.integers(5)], self._pools[random.integers(5)]
        shape = shape + 0.012 * (edge - 0.5)
        inside = rise(shape, -0.0012, 0.0022)
        rim = np.exp(-np.clip(shape, 0, 1) / 0.0035)
        back_run = rise(np.abs(pool - 0.55), 0.02, 0) * 0.2
        body = 0.28 + 0.75 * rise(pool, 0.25, 0.85) + 0.55 * rim + back_run
        return (inside * body * (0.78 + 0.44 * self.rough)).astype(np.float32)


def _bloom(
    random: Random,
    x: Array,
    y: Array,
    light: Array,
    centre: Array,
    radius: float,
    tint: Array,
    wet: _Wet,
) -> Array:
    """One flower: two rings of petals and a dark heart."""
    dx, dy = x - centre[0], (y - centre[1]) * random.uniform(1, 1.4)
    far, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    petals = random.integers(5, 8)
    veins = 0.5 + 0.5 * np.sin(petals * 9 * angle + 3 * np.sin(40 * far))
    for ring, (turn, reach) in enumerate(((0.0, 1.0), (np.pi / petals, 0.72))):
        wave = np.abs(np.cos(0.5 * petals * (angle + turn + 0.3 * np.sin(9 * far))))
        shape = radius * reach * (0.35 + 0.65 * wave**0.6) - far
        shade = np.clip(tint + random.normal(0, 0.06, 3), 0, 1).astype(np.float32)
        wash = wet.wash(random, shape.astype(np.float32))
        heart = 0.5 * rise(far, radius * 0.7, 0) * wash
        light = _glaze(light, shade, wash * (0.55 + 0.25 * ring) + heart)
        light = _glaze(
            light, shade * 0.7, 0.3 * wash * rise(veins, 0.72, 0.95) * rise(far, radius, 0)
        )
    shape = radius * 0.16 - far + 0.02 * (wet.rough - 0.5)
    light = _glaze(light, colours("#5a2a16")[0], 0.9 * wet.wash(random, shape.astype(np.float32)))
    specks = rise(wet.rough, 0.6, 0.75) * rise(np.abs(far - radius * 0.22), 0.02, 0.0)
    return _glaze(light, colours("#8a4a10")[0], 0.8 * specks)


def _leaf(x: Array, y: Array, centre: Array, angle: float, bend: float, long: float) -> Array:
    """How far inside a bent leaf each pixel lies; outside it is negative."""
    u = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    v = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle) - bend * u * u
    wide = 0.26 * long * np.clip(1 - (u / long) ** 2, 0, 1) * (1 - 0.45 * u / long)
    split = 0.0022 * rise(np.abs(v), 0.004, 0)  # the midrib stays almost dry
    return (np.minimum(wide - np.abs(v), long - np.abs(u)) - 2 * split).astype(np.float32)


def _glaze(light: Array, tint: Array, amount: Array) -> Array:
    """What is left of the light (S, S, 3) behind so much of a pigment (S, S)."""
    passed = np.log(np.clip(tint, 0.03, 1))
    return (light * np.exp(passed * np.clip(amount, 0, 2)[..., None])).astype(np.float32)
