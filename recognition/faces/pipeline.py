"""Photographs → embeddings in one call, and the picture of a face that is kept."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from backbones.spec import Alignment
from data.errors import ImageError
from data.images import quick_png

from ..detection.detector import FaceDetector
from ..results import Face
from .alignment import (
    align_faces,
    alignment_identity,
    cut_out,
    shrinkage,
    similarity_transforms,
    template,
)
from .embedding import Recogniser

# The picture of a face that a gallery keeps: enough of it for every alignment there is.
#
# It is 160×160: the five-point crop of 112×112 enlarged by a quarter, with 8 of its pixels beside
# the face, 4 above and 12 below, since dlib's chip reaches below the chin. Where the landmarks
# and the detector's box lie in it is written into its file, so that it can be aligned as the
# photograph was.

SIZE = 160
"""Side of the picture in pixels."""

_ENLARGED = 1.25
_BESIDE, _ABOVE = 8.0, 4.0
_KEY = "likeness-face"
"""The text field of the PNG that holds box and landmarks."""


@dataclass(frozen=True, slots=True, eq=False)
class FacePicture:
    """A face as it is kept.

    Attributes:
        pixels: (160, 160, 3) uint8 RGB.
        face: Where it lies in them.
    """

    pixels: npt.NDArray[np.uint8]
    face: Face

    def to_png(self) -> bytes:
        """The picture as a file, with box and landmarks in a text field."""
        places = {"box": self.face.box, "landmarks": self.face.landmarks}
        rounded = json.loads(json.dumps(places), parse_float=lambda text: round(float(text), 3))
        return quick_png(self.pixels, {_KEY: json.dumps(rounded)})


def cut_pictures(
    images: Sequence[Image.Image], faces: Sequence[Sequence[Face]]
) -> list[FacePicture]:
    """Cut out of photographs what is kept of their faces.

    Args:
        images: RGB photographs of any sizes.
        faces: The faces of each.

    Returns:
        All faces of the first image, then those of the second, and so on.

    Raises:
        ImageError: A face's landmarks coincide.
    """
    pairs = [(image, face) for image, own in zip(images, faces, strict=True) for face in own]
    if not pairs:
        return []
    landmarks = torch.tensor([face.landmarks for _, face in pairs], dtype=torch.float32)
    target = (template() + torch.tensor([_BESIDE, _ABOVE])) * _ENLARGED
    transforms = similarity_transforms(landmarks, target)
    crops = cut_out([image for image, _ in pairs], transforms, SIZE)
    pixels = (crops * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    placed = _moved([face for _, face in pairs], transforms)
    return [FacePicture(own, face) for own, face in zip(pixels, placed, strict=True)]


def read_picture(content: bytes) -> tuple[Image.Image, Face | None]:
    """Read what a gallery has kept.

    Args:
        content: A picture file; galleries of before hold crops aligned at five points.

    Returns:
        The picture in RGB, and the face in it where the file says where it lies.

    Raises:
        ImageError: It is no picture.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
            image = opened.convert("RGB")
            text = opened.info.get(_KEY)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"a kept face is no picture ({error})") from error
    if not isinstance(text, str):
        return image, None
    try:
        found = json.loads(text)
        x1, y1, x2, y2 = map(float, found["box"])
        left_eye, right_eye, nose, left, right = (
            (float(x), float(y)) for x, y in found["landmarks"]
        )
    except (ValueError, KeyError, TypeError):
        return image, None  # a stranger's text
    landmarks = (left_eye, right_eye, nose, left, right)
    numbers = np.array([x1, y1, x2, y2, *np.ravel(landmarks)])
    if not (np.isfinite(numbers).all() and np.abs(numbers).max() < 10 * SIZE):
        return image, None
    return image, Face(box=(x1, y1, x2, y2), detection_score=1.0, landmarks=landmarks)


def _moved(faces: Sequence[Face], transforms: Tensor) -> list[Face]:
    """Faces of photographs as they lie in their pictures, whose sides the boxes are turned to."""
    linear, shift = transforms[:, :, :2], transforms[:, :, 2]
    boxes = torch.tensor([face.box for face in faces])  # (F, 4)
    points = torch.tensor([face.landmarks for face in faces])  # (F, 5, 2)
    points = torch.cat([points, (boxes[:, None, :2] + boxes[:, None, 2:]) / 2], 1)
    # Not a product of matrices, whose rounding may depend on how many faces there are.
    moved = (linear[:, None] * points[:, :, None]).sum(3) + shift[:, None]  # (F, 6, 2)
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 / shrinkage(transforms)[:, None]
    corners = torch.cat([moved[:, 5] - half, moved[:, 5] + half], 1)
    found = []
    for face, five, box in zip(faces, moved[:, :5].tolist(), corners.tolist(), strict=True):
        left_eye, right_eye, nose, left, right = ((float(x), float(y)) for x, y in five)
        x1, y1, x2, y2 = map(float, box)
        landmarks = (left_eye, right_eye, nose, left, right)
        found.append(replace(face, box=(x1, y1, x2, y2), landmarks=landmarks))
    return found


# From photographs to embeddings in one call: detect, align, embed.


@dataclass(frozen=True, slots=True, eq=False)
class DetectedFace:
    """A face and everything that is ever kept of it.

    Attributes:
        face: Where it is in its photograph.
        embedding: (D,) float32 of unit length.
        crop: (112, 112, 3) uint8 RGB, aligned by five landmarks whatever the network's own
            alignment is.
        picture: What a gallery keeps to show, and to embed by another network later; None: `crop`.
    """

    face: Face
    embedding: npt.NDArray[np.float32]
    crop: npt.NDArray[np.uint8]
    picture: FacePicture | None = None


class FacePipeline:
    """Detects, aligns and embeds, over all faces of all photographs at once."""

    def __init__(self, detector: FaceDetector, embedder: Recogniser) -> None:
        self._detector = detector
        self._embedder = embedder

    @property
    def detector(self) -> FaceDetector:
        """What finds faces."""
        return self._detector

    @property
    def embedder(self) -> Recogniser:
        """What embeds the aligned faces."""
        return self._embedder

    @property
    def detector_id(self) -> str:
        """Name and version of what finds faces; see `FaceDetector.identity`."""
        return self._detector.identity

    @property
    def alignment_id(self) -> str:
        """Name and version of how faces are aligned; see `alignment_identity`."""
        return alignment_identity(self._embedder.alignments)

    @property
    def model_id(self) -> str:
        """The embedding network's name."""
        return self._embedder.model_id

    @property
    def weights_digest(self) -> str:
        """SHA-256 of its weights file."""
        return self._embedder.weights_digest

    @property
    def dimension(self) -> int:
        """D, how many numbers an embedding has."""
        return self._embedder.dimension

    @property
    def threshold(self) -> float | None:
        """Cosine similarity from which on two faces count as one person's; None if not known."""
        return self._embedder.threshold

    @property
    def tail(self) -> str | None:
        """What the weights file itself says of strangers; None where it says nothing."""
        return self._embedder.tail

    def faces(self, images: Sequence[Image.Image]) -> list[list[DetectedFace]]:
        """Find and embed all faces.

        Args:
            images: Upright RGB photographs of any sizes, as `data.images.load_image` gives them.

        Returns:
            For each photograph its faces, largest first; empty where there is none.

        Raises:
            ImageError: An image is not in RGB.
            WeightsError: The network's numbers are not finite.
        """
        found = self._detector.detect(images)
        crops = align_faces(images, found)

        def aligned(alignment: Alignment) -> Tensor:
            if alignment in (Alignment.FIVE_POINT, Alignment.NONE):
                return crops
            return align_faces(images, found, alignment)

        kept = (crops * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        vectors = self._embedder.embed_aligned(aligned)
        rows = zip(vectors, kept, cut_pictures(images, found), strict=True)
        return [[DetectedFace(face, *next(rows)) for face in faces] for faces in found]
