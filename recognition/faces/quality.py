"""How well a face can be recognised, as far as its picture tells."""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..results import Face, Quality

# Whether a face's embedding can be trusted, as far as the aligned picture tells.
#
# What is predicted is the cosine similarity between the embedding and that of a clean photograph
# of the same moment. Hand-made measures of the middle of the face (how sharp, how noisy, how
# coarse in its tones, smeared which way) are standardised, and their squares and products are
# weighed by ridge regression. Nothing looks at who it is or asks a network, neither the
# detector's nor the recogniser's. `benchmarks/quality.py` fits the weights and measures what they
# are worth; the card beside them has the figures.

Values = npt.NDArray[np.float64]

MEASURES = (
    "sharpness",
    "brightness",
    "detail",
    "shape",
    "shading",
    "noise",
    "specks",
    "tones",
    "flatness",
    "smoothness",
    "smear",
)
"""What is measured, in the order of `measures`."""

MOST_SPREAD = 3.5
"""Deviations from the mean beyond which a measure is taken for no farther away."""

_CORE = np.s_[36:104, 24:88]
"""Of the aligned 112×112: brows to chin. What is black because it lies outside of the photograph,
as above a face at its edge, is left out of all but very few."""

_BINS = 32
_SAME = 0.004  # of neighbouring pixels: one step of 8 bit
_FLOOR = 1e-3  # added before a logarithm


def expected_similarity(crop: npt.NDArray[np.uint8]) -> float:
    """Predict the cosine similarity to a clean photograph's embedding.

    Args:
        crop: The aligned face, (112, 112, 3) RGB.

    Returns:
        0 … 1; about 0.98 for a clean photograph.
    """
    mean, spread, weights = _fitted()
    found = float(terms(measures(crop)[None], mean, spread)[0] @ weights)
    return min(1.0, max(0.0, found))


def measures(crop: npt.NDArray[np.uint8]) -> Values:
    """Measure an aligned face, (112, 112, 3) RGB: (F,), in the order of `MEASURES`."""
    grey = (crop[_CORE].astype(np.float64) / 255) @ [0.299, 0.587, 0.114]
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    levels = [grey]
    for step in (1, 2, 4, 8):
        levels.append(_smoothed(levels[-1], step))
    across, down = np.diff(grey, axis=1), np.diff(grey, axis=0)
    rough = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    rough = rough[:-2] - 2 * rough[1:-1] + rough[2:]  # Immerkær's mask, which no edge passes
    median = _middle(grey[:, :-2], grey[:, 1:-1], grey[:, 2:])
    median = _middle(median[:-2], median[1:-1], median[2:])
    tones = np.histogram(grey, _BINS, (0, 1))[0] / grey.size
    steps = np.abs(np.concatenate([across.ravel(), down.ravel()]))
    return np.array(
        [
            _logarithm((around - 4 * inner).std() / (inner.std() + 1e-6)),
            grey.mean(),
            _logarithm((levels[1] - levels[2]).std()),
            _logarithm((levels[2] - levels[3]).std()),
            _logarithm(levels[4].std()),
            _logarithm(np.abs(rough).mean()),
            _logarithm(np.abs(inner - median).mean()),
            -float(tones[tones > 0] @ np.log(tones[tones > 0])),
            (steps < _SAME).mean(),
            _correlation(grey, 2),
            np.log((across.std() + 1e-4) / (down.std() + 1e-4)),
        ]
    )


def terms(found: Values, mean: Values, spread: Values) -> Values:
    """What the weights weigh: 1, the standardised measures, their squares and products.

    Args:
        found: (N, F) measures.
        mean: (F,) their means over the faces that the weights were fitted on.
        spread: (F,) their deviations there.

    Returns:
        (N, 1 + F + F (F + 1) / 2)
    """
    standard = np.clip((found - mean) / spread, -MOST_SPREAD, MOST_SPREAD)
    one, other = np.triu_indices(standard.shape[1])
    constant = np.ones((len(standard), 1))
    return np.concatenate([constant, standard, standard[:, one] * standard[:, other]], axis=1)


@cache
def _fitted() -> tuple[Values, Values, Values]:
    """Means and deviations of the measures, (F,), and a weight for each term."""
    from safetensors.numpy import load_file

    import data.assets

    kept = load_file(Path(str(data.assets.__file__)).parent / "face_trust.safetensors")
    mean, spread, weights = (kept[name] for name in ("mean", "spread", "weights"))
    return mean, spread, weights


def _smoothed(grey: Values, step: int) -> Values:
    """Smooth with the binomial kernel 1 4 6 4 1, its weights `step` pixels apart (à trous)."""
    for axis in (0, 1):
        length = grey.shape[axis]
        padded = np.moveaxis(grey.take(_reflected(length, 2 * step), axis), axis, 0)
        parts = [padded[place * step : place * step + length] for place in range(5)]
        smooth = (parts[0] + parts[4] + 4 * (parts[1] + parts[3]) + 6 * parts[2]) / 16
        grey = np.moveaxis(smooth, 0, axis)
    return grey


@cache
def _reflected(length: int, edge: int) -> npt.NDArray[np.int64]:
    """The places of a row, and of so many beyond each end as a mirror there shows them."""
    return np.pad(np.arange(length), edge, mode="reflect")


def _middle(a: Values, b: Values, c: Values) -> Values:
    """The middle one of three values, place by place."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _correlation(grey: Values, distance: int) -> float:
    """How alike pixels are that lie so far apart, across and down: -1 … 1."""
    values = grey - grey.mean()
    across = (values[:, :-distance] * values[:, distance:]).mean()
    down = (values[:-distance] * values[distance:]).mean()
    return float((across + down) / 2 / (values.var() + 1e-9))


def _logarithm(value: Any) -> float:
    return float(np.log(float(value) + _FLOOR))


# How well a face can be recognised, as far as its picture tells: size, sharpness, pose, light.
#
# Plain measures of what is known to make recognition fail, in the terms of ISO/IEC 29794-5 (face
# image quality); and, from more of them together, how far its embedding can be trusted. None of
# them looks at who it is, and none asks the network.

SMALLEST, MOST_BLURRED, MOST_TURNED, MOST_NODDED, DARKEST, BRIGHTEST = (
    12.0,
    0.07,
    0.8,
    0.7,
    0.1,
    0.88,
)
"""Beyond these a face is not enrolled unless asked for. No face of 600 people of LFW is. Blurred,
darkened or lightened so far, photographs of one person lose a third to four fifths of their cosine
similarity; a face whose eyes are 13 pixels apart loses a twelfth."""

SHARPEST = 2.0
"""Above this, what looks sharp is noise or the dots of a print: no clean photograph comes near."""

LEAST_TRUST = 0.75
"""From this expected similarity on a face is good; `benchmarks/quality.py` says what that means."""

_MIDDLE = np.s_[24:104, 16:96]  # of the aligned 112×112: the face, without what is around it
_EYES_TO_HEIGHT = 35.24 / 40.74  # the eyes' distance over theirs from the mouth, in the template


def measure(face: Face, crop: npt.NDArray[np.uint8]) -> Quality:
    """Measure a face.

    Args:
        face: Where it is in its photograph.
        crop: The same face aligned, (112, 112, 3) RGB.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = np.array(face.landmarks, np.float64)
    eyes = (left_eye + right_eye) / 2
    down = (left_mouth + right_mouth) / 2 - eyes
    height = float(np.hypot(*down))
    # Of a face turned aside the eyes come together, but the height stays.
    size = max(float(np.hypot(*(right_eye - left_eye))), _EYES_TO_HEIGHT * height)
    turn = nod = 0.0
    if height > 0:
        aside = float((nose - eyes) @ [down[1], -down[0]]) / height
        turn = aside / (size / 2)
        nod = 2 * float((nose - eyes) @ down) / height**2 - 1
    grey = (crop[_MIDDLE].astype(np.float64) / 255) @ [0.299, 0.587, 0.114]
    return Quality(
        size=size,
        sharpness=_sharpness(grey),
        turn=turn,
        nod=nod,
        brightness=float(grey.mean()),
        trust=expected_similarity(crop),
    )


def shortcomings(quality: Quality) -> tuple[str, ...]:
    """Say in what a face is too poor to know somebody by; nothing where it is not."""
    found = []
    if quality.size < SMALLEST:
        found.append(f"too small (its eyes are {_least(quality.size, SMALLEST, 'pixels apart')})")
    if quality.sharpness < MOST_BLURRED:
        found.append(f"blurred (sharpness {_least(quality.sharpness, MOST_BLURRED)})")
    if quality.sharpness > SHARPEST:
        found.append(f"noisy, or made of dots (sharpness {_most(quality.sharpness, SHARPEST)})")
    if abs(quality.turn) > MOST_TURNED:
        found.append(f"turned aside ({_most(abs(quality.turn), MOST_TURNED)})")
    if abs(quality.nod) > MOST_NODDED:
        where = "up" if quality.nod < 0 else "down"
        found.append(f"looking {where} ({_most(abs(quality.nod), MOST_NODDED)})")
    if quality.brightness < DARKEST:
        found.append(f"too dark (brightness {_least(quality.brightness, DARKEST)})")
    if quality.brightness > BRIGHTEST:
        found.append(f"too bright (brightness {_most(quality.brightness, BRIGHTEST)})")
    if quality.trust is not None and quality.trust < LEAST_TRUST and not found:
        found.append(f"hard to recognise (trust {_least(quality.trust, LEAST_TRUST)})")
    return tuple(found)


def _least(value: float, limit: float, unit: str = "") -> str:
    """A value below its limit, and the limit; rounded so that the sentence stays true."""
    behind = f" {unit}" if unit else ""
    return f"{_rounded(value, limit, math.floor)}{behind}; {limit:g} or more is needed"


def _most(value: float, limit: float) -> str:
    """The same of a value above its limit."""
    return f"{_rounded(value, limit, math.ceil)}; at most {limit:g} will do"


def _rounded(value: float, limit: float, away: Callable[[float], int]) -> str:
    """A value to one digit more than its limit has, rounded away from that."""
    places = len(f"{limit:g}".partition(".")[2]) + 1
    return f"{away(value * 10**places) / 10**places:.{places}f}"


def _sharpness(grey: npt.NDArray[np.float64]) -> float:
    """The Laplacian's standard deviation over that of the picture; 0 of a picture of one tone."""
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    spread = float(inner.std())
    return float((around - 4 * inner).std()) / spread if spread > 1e-9 else 0.0
