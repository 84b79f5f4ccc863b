"""What a painter is told of the faces in a photograph, and whether a painting kept them.

One recogniser follows the picture while it is painted. Another, of another architecture and
alignment, judges it: what is optimised against a network satisfies that network first.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError

from .detection.detector import FaceDetector, make_detector
from .faces.alignment import align_faces
from .faces.embedding import FaceEmbedder, FacesInPlace
from .results import Face

FOLLOWER, JUDGE = "mobilefacenet", "iresnet_se"
"""The recogniser that is optimised, and the one that is not and decides."""

_LEAST_OVERLAP = 0.3
"""Intersection over union from which on a face found in a painting is the one of that place."""


class PortraitRecogniser:
    """Finds the faces of photographs; loads its networks when it is made.

    Args:
        home: The data folder, where weights are looked for beside the bundled ones; None takes the
            user's.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        WeightsError: The recognisers' weights are not at hand.
        ArgumentError: There is no such device.
    """

    def __init__(self, *, home: Path | None = None, device: str = "auto") -> None:
        self._detector = make_detector(device)
        self._follower, self._judge = (
            FaceEmbedder(load_backbone(name, home=home, device=device))
            for name in (FOLLOWER, JUDGE)
        )

    def look_at(self, photograph: Image.Image) -> "PortraitFaces":
        """Find the faces of a photograph.

        Args:
            photograph: Upright RGB, in the size in which it will be painted: a face that is not
                found there cannot be found in the painting.

        Raises:
            ArgumentError: There is no face.
            WeightsError: The judge's weights carry no threshold to judge by.
        """
        [faces] = self._detector.detect([photograph])
        if not faces:
            raise ArgumentError(
                f"no face is found in the photograph at {photograph.width}×{photograph.height} px, "
                "so there is no identity to keep: paint it without, larger, or another one"
            )
        return PortraitFaces(self._detector, self._follower, self._judge, photograph, faces)


class PortraitFaces:
    """The faces of one photograph: embedded with gradients, and compared with a painting's.

    Attributes:
        faces: Largest first, in pixels of the photograph.
        embed: A picture (1, 3, H, W) in [0, 1] of any size → (F, D), each face's embedding by the
            following recogniser; differentiable.
        threshold: The cosine similarity from which on the judging recogniser takes two faces for
            one person's.
    """

    def __init__(
        self,
        detector: FaceDetector,
        follower: FaceEmbedder,
        judge: FaceEmbedder,
        photograph: Image.Image,
        faces: Sequence[Face],
    ) -> None:
        """Look at the faces as they are.

        Args:
            detector: Finds the faces of a painting.
            follower: Embeds for `embed`.
            judge: Embeds for `similarities`.
            photograph: RGB.
            faces: One or more, in pixels of the photograph.

        Raises:
            WeightsError: The judge's weights carry no threshold.
        """
        self.faces = tuple(faces)
        self.embed: Callable[[Tensor], Tensor] = FacesInPlace(follower, faces, photograph.size)
        self._detector = detector
        if judge.threshold is None:
            raise WeightsError(f"the weights of {judge.model_id} carry no threshold: take others")
        self.threshold = judge.threshold
        self._judge = judge
        self._known = self._judged(photograph, faces)

    def similarities(self, painting: Image.Image) -> list[float | None]:
        """How much each face of a painting is still that person's.

        Args:
            painting: RGB, of the photograph's size.

        Returns:
            For each of `faces` the cosine similarity by the judging recogniser; None where no face
            is found any more in that place.
        """
        [found] = self._detector.detect([painting])
        places = _places(self.faces, found)
        judged = self._judged(painting, found)
        return [
            None if place is None else float(known @ judged[place])
            for known, place in zip(self._known, places, strict=True)
        ]

    def _judged(self, image: Image.Image, faces: Sequence[Face]) -> npt.NDArray[np.float32]:
        """(F, D) unit vectors by the judging recogniser."""
        return self._judge.embed(align_faces([image], [faces], self._judge.alignment))


def _places(known: Sequence[Face], found: Sequence[Face]) -> list[int | None]:
    """For each known face the index of the found one that covers it best; each is taken once."""
    boxes = [torch.tensor([face.box for face in faces]).view(-1, 4) for faces in (known, found)]
    overlaps = box_iou(*boxes)  # (known, found)
    places: list[int | None] = [None] * len(known)
    for _ in range(min(overlaps.shape)):
        best = int(overlaps.argmax())
        mine, place = divmod(best, len(found))
        if overlaps[mine, place] < _LEAST_OVERLAP:
            break
        places[mine] = place
        overlaps[mine], overlaps[:, place] = -1, -1
    return places
