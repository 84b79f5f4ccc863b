"""The one-stage detector as a family: see `detection.one_stage` and `training.objective`."""

import torch
from torch import Tensor, nn

from ..detector import FaceDetector
from ..one_stage import ARCHITECTURE, OneStageDetector
from ..one_stage_network import OneStageNetwork, flattened
from ..search import LEAST_FACE
from ..training.objective import changed, losses
from .method import MosaicBatch, Pictures, SearchOptions


class OneStageMethod:
    """See `method.DetectorFamily`.

    Args:
        box_weight: Of the boxes' loss, beside that of the scores at 1.
        landmark_weight: Of the landmarks' loss.
    """

    name = ARCHITECTURE
    summary = "depthwise separable blocks, a pyramid at strides 8, 16 and 32, five landmarks"

    def __init__(self, box_weight: float = 1.0, landmark_weight: float = 3.0) -> None:
        self._box_weight, self._landmark_weight = box_weight, landmark_weight

    def metadata(self) -> dict[str, str]:
        """Nothing: there is one such network."""
        return {}

    def network(self) -> OneStageNetwork:
        """With random weights."""
        return OneStageNetwork()

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: there are no anchors."""

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """See `training.objective.losses`."""
        pictures, targets = changed(batch.pictures, batch.targets, batch.source)
        device = next(network.parameters()).device
        parts = losses(flattened(network(pictures.to(device))), targets.to(device))
        total = parts["score"] + self._box_weight * parts["box"]
        return parts | {"total": total + self._landmark_weight * parts["landmarks"]}

    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: all is learnt by steps."""

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights."""
        assert isinstance(network, OneStageNetwork)
        return OneStageDetector(
            network.fold(),
            device,
            identity=identity,
            minimum_face=LEAST_FACE if search.minimum_face is None else search.minimum_face,
            minimum_score=search.minimum_score,
            turned=search.turned,
        )
