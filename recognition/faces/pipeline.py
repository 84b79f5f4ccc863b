"""From photographs to embeddings in one call: detect, align, embed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment

from ..results import Face
from .align import align_faces
from .detect import FaceDetector
from .joined import Recogniser
from .picture import FacePicture, cut_pictures


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
