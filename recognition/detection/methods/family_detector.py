"""What the detectors of all families share once they have boxes: a name, and five landmarks.

The heads of these families say nothing of landmarks but for that of `localise`. Alignment needs
them, so MTCNN's third network, which comes along with the application, places them in each box: the
same for all, whatever found the box, and the recogniser sees faces aligned as it is used to.
"""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import roi_align

from ...results import Face
from ..detector import squared
from ..mtcnn import OutputNetwork
from ..search import LEAST_FACE, Look, PhotographSearch
from .method import SearchOptions

_MOST_PLACED = 64  # boxes at once


class FamilyDetector:
    """A `FaceDetector` around a look.

    Args:
        look: What finds boxes in a picture.
        device: Where it runs.
        identity: See `FaceDetector.identity`.
        search: What is asked for.
        places_landmarks: Whether the look itself says where landmarks are.
        searched_pixels: The most pixels of a photograph that are searched.

    Raises:
        ArgumentError: A number is out of its range.
    """

    def __init__(
        self,
        look: Look,
        device: torch.device,
        identity: str,
        search: SearchOptions,
        *,
        places_landmarks: bool = False,
        searched_pixels: int = 1_600_000,
    ) -> None:
        self._identity = identity
        self._search = PhotographSearch(
            look,
            device,
            minimum_face=LEAST_FACE if search.minimum_face is None else search.minimum_face,
            minimum_score=search.minimum_score,
            searched_pixels=searched_pixels,
            turned=search.turned,
            placing=None if places_landmarks else _LandmarkPlacing(device),
        )

    @property
    def identity(self) -> str:
        """See `FaceDetector.identity`."""
        return self._identity

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """See `FaceDetector.detect`."""
        return self._search.detect(images)


class _LandmarkPlacing:
    """MTCNN's third network on the squares around boxes; see `search.Placing`."""

    def __init__(self, device: torch.device) -> None:
        self._network, self._device = OutputNetwork().to(device), device

    @torch.inference_mode()
    def __call__(self, picture: Tensor, boxes: Tensor) -> Tensor:
        pixels = ((picture.permute(2, 0, 1)[None].float() - 127.5) / 128).to(self._device)
        squares = squared(boxes)
        points = [torch.zeros(0, 5, 2)]
        for part in torch.split(squares, _MOST_PLACED):
            crops = roi_align(pixels, [part.to(self._device)], OutputNetwork.side, aligned=True)
            shares = self._network(crops.contiguous(memory_format=torch.channels_last))[2].cpu()
            points.append(part[:, None, :2] + shares * (part[:, 2:] - part[:, :2])[:, None])
        return torch.cat(points)
