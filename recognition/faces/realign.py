"""From faces that are aligned at five points to those that another alignment wants.

A gallery keeps five-point crops, and data sets come as such. The landmarks are found again in the
crop: the template says only where they lie on average. Over 300 crops of LFW whose photographs are
at hand, the eyes found in the crop lie 1.1 pixels from those found in the photograph, and the
template's 2.0; the crops made of them differ by 0.015 and by 0.049 of the whole range a pixel.
"""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment

from ..results import Face
from .align import align_faces
from .choose import nearest_centre
from .detect import FaceDetector
from .geometry import CROP_SIZE, template

REALIGNED = frozenset({Alignment.FIVE_POINT, Alignment.EYES, Alignment.DLIB})
"""What a five-point crop holds enough of. Of dlib's chip it lacks the lower twelfth, below the
chin; the detector's box reaches over its border on all sides."""

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
    left_eye, right_eye, nose, left_mouth, right_mouth = ((x, y) for x, y in template().tolist())
    landmarks = (left_eye, right_eye, nose, left_mouth, right_mouth)
    side = float(CROP_SIZE)
    return Face(box=(0.0, 0.0, side, side), detection_score=0.0, landmarks=landmarks)
