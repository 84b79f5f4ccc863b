"""From faces that are aligned at five points to those that another alignment wants.

A gallery keeps five-point crops, and data sets come as such. The landmarks are found again in the
crop: the template says only where they lie on average. Over 300 crops of LFW whose photographs are
at hand, the eyes found in the crop lie 1.1 pixels from those found in the photograph, and the
template's 2.0; the crops made of them differ by 0.015 and by 0.049 of the whole range a pixel.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment

from ..results import Face
from .align import align_faces
from .choose import nearest_centre
from .detect import FaceDetector
from .geometry import CROP_SIZE, inverted, similarity_transforms, template

REALIGNED = frozenset({Alignment.FIVE_POINT, Alignment.EYES, Alignment.DLIB})
"""What a five-point crop holds enough of. Of dlib's chip it lacks the lower twelfth, below the
chin; the detector's box reaches over its border on all sides."""

BORDER = 40
"""Pixels that a crop of 112×112 is made wider on each side, where more is wanted than it holds: the
detector's box with its margin, and dlib's chip, reach over it by less than 30."""

BOX = (18.0, 14.0, 94.0, 112.0)
"""Where the detector's box lies on average in a crop aligned at five points."""

_FARTHEST = 18.0
"""Pixels between an eye and the template's, half of what is between the eyes: farther away it is
no eye of this face. One in a hundred of LFW's is 5 pixels away."""


def realign(crops: Sequence[Image.Image], alignment: Alignment, detector: FaceDetector) -> Tensor:
    """Align faces once more, otherwise.

    Args:
        crops: RGB, each 112×112, aligned at five points.
        alignment: One of `REALIGNED`.
        detector: Finds the landmarks in the crops; where it does not, the template's are taken.

    Returns:
        (F, 3, S, S) float32, 0 … 1, black where the crop holds nothing.

    Raises:
        ValueError: A crop is of another size, or the alignment none of `REALIGNED`.
    """
    if alignment not in REALIGNED:
        raise ValueError(f"a five-point crop does not hold what {alignment} needs")
    if strangers := {crop.size for crop in crops} - {(CROP_SIZE, CROP_SIZE)}:
        raise ValueError(f"expected crops of {CROP_SIZE}×{CROP_SIZE} pixels, got {strangers}")
    return align_faces(crops, [[face] for face in _found_again(crops, detector)], alignment)


def realign_beyond(
    crops: Sequence[Image.Image], alignment: Alignment, detector: FaceDetector
) -> Tensor:
    """The same for an alignment that reaches over a crop's border, which is repeated outwards.

    Good enough to ask a teacher about; who is to be recognised deserves the photograph.

    Args:
        crops: RGB, each 112×112, aligned at five points.
        alignment: Any.
        detector: As in `realign`.

    Returns:
        (F, 3, S, S) float32, 0 … 1.
    """
    wider = [with_border(crop) for crop in crops]
    faces = [moved(face, BORDER, BORDER) for face in _found_again(crops, detector)]
    return align_faces(wider, [[face] for face in faces], alignment)


def with_border(image: Image.Image) -> Image.Image:
    """The picture with its border repeated `BORDER` pixels outwards on all sides."""
    pixels = np.pad(np.array(image), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge")
    return Image.fromarray(pixels)


def moved(face: Face, right: float, down: float) -> Face:
    """The same face in a picture that begins so much further to the left and above."""
    left, top, end, bottom = face.box
    first, second, nose, fourth, fifth = ((x + right, y + down) for x, y in face.landmarks)
    return replace(
        face,
        box=(left + right, top + down, end + right, bottom + down),
        landmarks=(first, second, nose, fourth, fifth),
    )


def face_at(landmarks: Sequence[tuple[float, float]]) -> Face:
    """A face of which only the five landmarks are known; its box is where it lies on average."""
    points = torch.tensor(landmarks)
    back = inverted(similarity_transforms(points[None]))[0]  # from the template's 112×112
    x, y = BOX[0] + BOX[2], BOX[1] + BOX[3]
    centre = back[:, :2] @ torch.tensor([x / 2, y / 2]) + back[:, 2]
    # The box stands upright in the photograph, however the face is turned.
    half = torch.tensor([BOX[2] - BOX[0], BOX[3] - BOX[1]]) / 2 * back[:, :2].det().abs().sqrt()
    (left, top), (right, bottom) = (centre - half).tolist(), (centre + half).tolist()
    first, second, nose, fourth, fifth = ((float(x), float(y)) for x, y in landmarks)
    return Face(
        box=(left, top, right, bottom),
        detection_score=0.0,
        landmarks=(first, second, nose, fourth, fifth),
    )


def by_template(crops: Sequence[Image.Image], alignment: Alignment) -> Tensor:
    """Align faces once more, otherwise, without looking for their landmarks again.

    They are taken to lie where the template wants them. dlib's chips are then like those of the
    photographs: of 80 of LFW's the embeddings lie at a cosine of 0.995 (0.990 at the 5th
    percentile), though the chips lack the lowest twentieth.

    Args:
        crops: RGB, each 112×112, aligned at five points.
        alignment: What the network wants.

    Returns:
        (F, 3, S, S) float32, 0 … 1, black where the crop holds nothing.
    """
    return align_faces(crops, [[_expected()] for _ in crops], alignment)


def _found_again(crops: Sequence[Image.Image], detector: FaceDetector) -> list[Face]:
    """The face that each crop was made of."""
    found = []
    for crop, faces in zip(crops, detector.detect(crops), strict=True):
        likely = [face for face in faces if _is_in_place(face)]
        found.append(nearest_centre(likely, crop.size) if likely else _expected())
    return found


def _is_in_place(face: Face) -> bool:
    away = torch.tensor(face.landmarks[:2]) - template()[:2]
    return bool((away.norm(dim=1) < _FARTHEST).all())


def _expected() -> Face:
    """A face whose landmarks lie where the template wants them."""
    return face_at([(x, y) for x, y in template().tolist()])
