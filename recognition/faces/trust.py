"""Whether a face's embedding can be trusted, as far as the aligned picture tells.

What is predicted is the cosine similarity between the embedding and that of a clean photograph of
the same moment. Hand-made measures of the middle of the face (how sharp, how noisy, how coarse in
its tones, smeared which way) are standardised, and their squares and products are weighed by ridge
regression. Nothing looks at who it is or asks a network, neither the detector's nor the
recogniser's. `benchmarks/quality.py` fits the weights and measures what they are worth; the card
beside them has the figures.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
        padding = [(2 * step, 2 * step) if axis == each else (0, 0) for each in (0, 1)]
        padded = np.moveaxis(np.pad(grey, padding, mode="reflect"), axis, 0)
        length = grey.shape[axis]
        parts = [padded[place * step : place * step + length] for place in range(5)]
        smooth = (parts[0] + parts[4] + 4 * (parts[1] + parts[3]) + 6 * parts[2]) / 16
        grey = np.moveaxis(smooth, 0, axis)
    return grey


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
