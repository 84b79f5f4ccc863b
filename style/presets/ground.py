"""What every preset is painted with: coordinates, noise, colour ramps, relief, paper.

Fields are float32 arrays (S, S) or, with colours, (S, S, 3); S is the side of the picture in px.
Colours are RGB in [0, 1]. Lengths are shares of the side, so that a picture looks the same at every
size. All chance comes from the generator handed over.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Array = NDArray[Any]
Random = np.random.Generator


def grid(size: int) -> tuple[Array, Array]:
    """The middle of each pixel: x from the left and y from the top, (S, S) each, 0 to 1."""
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(steps, steps)
    return x, y


def colours(text: str) -> Array:
    """Colours written as `#rrggbb #rrggbb …`: (N, 3)."""
    values = [[int(word[at : at + 2], 16) for at in (1, 3, 5)] for word in text.split()]
    return np.array(values, np.float32) / 255


def ramp(position: Array, palette: Array) -> Array:
    """The colour at a position, 0 to 1, on the way through a palette (N, 3)."""
    place = np.clip(position, 0, 1) * (len(palette) - 1)
    low = np.minimum(place.astype(np.int32), len(palette) - 2)
    part = (place - low)[..., None]
    return (palette[low] * (1 - part) + palette[low + 1] * part).astype(np.float32)


def mix(first: Array, second: Array, share: Array | float) -> Array:
    """Colours (…, 3) of which `share` (…) comes from the second."""
    part = np.asarray(share, np.float32)[..., None]
    return (first * (1 - part) + second * part).astype(np.float32)


def rise(value: Array, low: Array | float, high: Array | float) -> Array:
    """A smooth step: 0 below `low`, 1 above `high`; falling where `low` is above `high`."""
    part = np.clip((value - low) / (high - low), 0, 1)
    return (part * part * (3 - 2 * part)).astype(np.float32)


def noise(
    random: Random,
    size: int,
    cell: float,
    *,
    octaves: int = 4,
    gain: float = 0.5,
    stretch: tuple[float, float] = (1, 1),
) -> Array:
    """Smooth chance at several scales, (S, S), mean 0.5, mostly within [0, 1].

    Args:
        random: Where chance comes from.
        size: S.
        cell: Size of its largest patches.
        octaves: How many scales there are, each half as large as the one before.
        gain: The weight of each scale beside the one before.
        stretch: How much longer patches are along x and along y.
    """
    total = np.zeros((size, size), np.float32)
    weight, sum_of_squares = 1.0, 0.0
    for octave in range(octaves):
        cells = [max(2.0, 2**octave / (cell * along)) for along in stretch]
        total += weight * _patches(random, size, cells[0], cells[1])
        sum_of_squares += weight * weight
        weight *= gain
    return total * np.float32(0.22 / np.sqrt(sum_of_squares)) + np.float32(0.5)


def _patches(random: Random, size: int, across: float, down: float) -> Array:
    """Normal chance of so many patches across and down, interpolated."""
    wide, tall = int(np.ceil(across)) + 3, int(np.ceil(down)) + 3
    knots = random.standard_normal((tall, wide), dtype=np.float32)
    left, top = random.uniform(0.5, 1.5, 2)
    box = (left, top, left + across, top + down)
    scaled = Image.fromarray(knots).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(scaled)


def warped(field: Array, right: Array, down: Array) -> Array:
    """A field (S, S) or (S, S, 3) looked up elsewhere, by shifts (S, S) as shares of the side."""
    size = len(right)
    rows, columns = np.indices((size, size), dtype=np.float32)
    places = np.stack([rows + down * size, columns + right * size])
    layers = field[..., None] if field.ndim == 2 else field
    moved = [
        ndimage.map_coordinates(layers[..., layer], places, order=1, mode="mirror")
        for layer in range(layers.shape[-1])
    ]
    return moved[0] if field.ndim == 2 else np.stack(moved, axis=-1)


def blurred(field: Array, radius: float) -> Array:
    """A field (S, S) smoothed by a Gaussian whose deviation is `radius`, a share of the side."""
    smooth: Array = ndimage.gaussian_filter(field, radius * len(field), mode="nearest")
    return smooth


def lit(colour: Array, height: Array, strength: float, *, gloss: float = 0.0) -> Array:
    """Colours (S, S, 3) on a relief (S, S) that light falls on from the upper left.

    Args:
        colour: What is lit.
        height: Its relief, as a share of the side.
        strength: How much steepness tells.
        gloss: How bright the highlights are.
    """
    down, right = np.gradient(height * len(height))
    slope = (-0.7 * right - 0.7 * down).astype(np.float32)
    light = np.tanh(strength * -slope)
    shaded = colour * (1 + 0.45 * light)[..., None]
    return (shaded + gloss * np.clip(light - 0.35, 0, 1)[..., None]).astype(np.float32)


def papered(random: Random, colour: Array, strength: float) -> Array:
    """Colours (S, S, 3) on paper with grain and fibres."""
    size = len(colour)
    grain = noise(random, size, 0.006, octaves=2) - 0.5
    fibres = noise(random, size, 0.004, octaves=2, stretch=(6, 1)) - 0.5
    fibres += noise(random, size, 0.004, octaves=2, stretch=(1, 6)) - 0.5
    tone = noise(random, size, 0.3, octaves=3) - 0.5
    return (colour * (1 + strength * (grain + 0.35 * fibres + 0.4 * tone))[..., None]).astype(
        np.float32
    )


def image(colour: Array) -> Image.Image:
    """The picture of colours (S, S, 3); what lies outside [0, 1] is clamped."""
    return Image.fromarray((np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8))


def jittered(random: Random, base: Array, spread: Sequence[float] | float) -> Array:
    """Colours (N, 3) that differ a little from `base`, above all in lightness.

    Args:
        random: Where chance comes from.
        base: (N, 3).
        spread: Deviation of lightness, and of each channel; one number serves for both.
    """
    light, hue = (spread, spread) if isinstance(spread, float | int) else spread
    change = light * random.standard_normal((len(base), 1))
    change = change + hue * random.standard_normal((len(base), 3))
    return np.clip(base + change, 0, 1).astype(np.float32)
