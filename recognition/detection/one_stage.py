"""The one-stage detector: one network, one look; the search around it is `search`'s."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from backbones.weights import resolve_device

from ..results import Face
from .detections import Detections
from .one_stage_network import (
    STEP,
    OneStageNetwork,
    cells,
    decode_boxes,
    decode_landmarks,
    flattened,
)
from .search import LEAST_FACE, PhotographSearch

ARCHITECTURE = "one_stage"


def metadata_of(seed: int, command: str) -> dict[str, str]:
    """What the header of a weights file says, beside what became of a run."""
    return {
        "architecture": ARCHITECTURE,
        "input": f"RGB in [0, 1], height and width multiples of {STEP}",
        "licence": "MIT",
        "seed": str(seed),
        "command": command,
    }


class OneStageDetector:
    """A `FaceDetector` by a single network: see `search.PhotographSearch` for how it searches.

    Args:
        network: Folded, with weights.
        identity: See `FaceDetector.identity`.
        device: Where it runs.
        minimum_face: See `search.PhotographSearch`, as for all that follow.
        minimum_score: From which score on a box is a face, 0 … 1.
        searched_pixels: The most pixels of a photograph that are searched.
        turned: Whether to search again, turned, where no face is sure.

    Raises:
        ArgumentError: A number is out of its range.
    """

    def __init__(
        self,
        network: OneStageNetwork,
        device: torch.device | str = "cpu",
        *,
        identity: str = "one_stage/none",
        minimum_face: float = LEAST_FACE,
        minimum_score: float = 0.5,
        searched_pixels: int = 1_600_000,
        turned: bool = True,
    ) -> None:
        where = resolve_device(device) if isinstance(device, str) else device
        self._identity = identity
        self._search = PhotographSearch(
            _CellLook(network.to(where).to(memory_format=torch.channels_last)),
            where,
            minimum_face=minimum_face,
            minimum_score=minimum_score,
            searched_pixels=searched_pixels,
            turned=turned,
            averaged=True,
        )

    @property
    def identity(self) -> str:
        """See `FaceDetector.identity`."""
        return self._identity

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """See `FaceDetector.detect`."""
        return self._search.detect(images)


class _CellLook:
    """What the cells of a batch say; see `search.Look`."""

    step = STEP

    def __init__(self, network: OneStageNetwork) -> None:
        self._network = network

    def __call__(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], least: float
    ) -> list[Detections]:
        values = flattened(self._network(batch)).cpu()
        middles, strides = cells(batch.shape[2], batch.shape[3])
        found = []
        for said, (height, width) in zip(values, sizes, strict=True):
            scores = said[:, 0].sigmoid()
            inside = (middles < middles.new_tensor([width, height])).all(1)
            taken = ((scores >= least) & inside).nonzero()[:, 0]
            here = said[taken], middles[taken], strides[taken]
            found.append(Detections(decode_boxes(*here), scores[taken], decode_landmarks(*here)))
        return found
