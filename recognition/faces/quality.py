"""How well a face can be recognised, as far as its picture tells: size, sharpness, pose, light.

Plain measures of what is known to make recognition fail, in the terms of ISO/IEC 29794-5 (face
image quality). None of them looks at who it is, and none asks the network.
"""

import numpy as np
import numpy.typing as npt

from ..results import Face, Quality

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
    )


def shortcomings(quality: Quality) -> tuple[str, ...]:
    """Say in what a face is too poor to know somebody by; nothing where it is not."""
    found = {
        f"too small (eyes {quality.size:.0f} pixels apart, wanted {SMALLEST:g})": (
            quality.size < SMALLEST
        ),
        f"blurred (sharpness {quality.sharpness:.2f}, wanted {MOST_BLURRED:g})": (
            quality.sharpness < MOST_BLURRED
        ),
        f"turned aside ({abs(quality.turn):.1f}, wanted at most {MOST_TURNED:g})": (
            abs(quality.turn) > MOST_TURNED
        ),
        f"looking {'up' if quality.nod < 0 else 'down'} ({abs(quality.nod):.1f}, wanted at most "
        f"{MOST_NODDED:g})": abs(quality.nod) > MOST_NODDED,
        f"too dark (brightness {quality.brightness:.2f}, wanted {DARKEST:g})": (
            quality.brightness < DARKEST
        ),
        f"too bright (brightness {quality.brightness:.2f}, wanted at most {BRIGHTEST:g})": (
            quality.brightness > BRIGHTEST
        ),
    }
    return tuple(what for what, holds in found.items() if holds)


def _sharpness(grey: npt.NDArray[np.float64]) -> float:
    """The Laplacian's standard deviation over that of the picture; 0 of a picture of one tone."""
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    spread = float(inner.std())
    return float((around - 4 * inner).std()) / spread if spread > 1e-9 else 0.0
