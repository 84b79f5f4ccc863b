"""How well a face can be recognised, as far as its picture tells: size, sharpness, pose, light.

Plain measures of what is known to make recognition fail, in the terms of ISO/IEC 29794-5 (face
image quality); and, from more of them together, how far its embedding can be trusted. None of them
looks at who it is, and none asks the network.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..results import Face, Quality
from .trust import expected_similarity

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
