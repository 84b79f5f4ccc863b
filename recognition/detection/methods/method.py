"""A family of detectors, to the trainer and to whoever opens its weights: `DetectorFamily`.

A family is a network, what it is told (the assignment of faces to what the network says), how far
it is from that (the losses), and how its numbers become boxes. Steps, checkpoints, validation and
the files that a run leaves are the trainer's, the same for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from ..detector import FaceDetector
from ..one_stage_network import cells, decode_boxes, decode_landmarks


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a detector shall search; see `search.PhotographSearch`."""

    minimum_score: float
    minimum_face: float | None = None
    turned: bool = True


@dataclass(frozen=True, slots=True)
class MosaicBatch:
    """What a step learns from.

    Attributes:
        numbers: Of the mosaics.
        pictures: (B, 3, S, S) uint8, as the network may see them.
        targets: (B, cells, 16), see `training.mosaics.targets`.
        source: Draws of this step.
    """

    numbers: Sequence[int]
    pictures: Tensor
    targets: Tensor
    source: torch.Generator


class Pictures(Protocol):
    """Mosaics by number, as `training.mosaics.Mosaics` holds them."""

    def __len__(self) -> int: ...

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, S, S) uint8 and what the cells of each are told (B, cells, 16)."""


class DetectorFamily(Protocol):
    """A family of detectors."""

    @property
    def name(self) -> str:
        """By which it is asked for."""

    @property
    def summary(self) -> str:
        """Of its network, in a line."""

    def metadata(self) -> dict[str, str]:
        """What the header of its weights says beside its name, so that the file can be opened."""

    def network(self) -> nn.Module:
        """The network, with random weights from torch's own generator."""

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Measure on what will be learnt from whatever the network needs before its first step."""

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """The losses of a step by name; `total` is the one that is learnt by."""

    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Fit what no step learns, on the weights of a checkpoint, before they are written."""

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights; the network is its own from now on."""


@dataclass(frozen=True, slots=True)
class FaceTargets:
    """The faces of one picture that is learnt from.

    Attributes:
        boxes: (F, 4) in its pixels, the surest first.
        landmarks: (F, 5, 2).
        placed: (F,) whether anybody has said where the landmarks are.
    """

    boxes: Tensor
    landmarks: Tensor
    placed: Tensor

    def __getitem__(self, chosen: Tensor) -> "FaceTargets":
        return FaceTargets(self.boxes[chosen], self.landmarks[chosen], self.placed[chosen])


_SURE = 0.5  # from this score on the teacher's cell means a face
_SAME = 0.4  # intersection over union above which two cells mean the same face
_LEAST_SIDE = 6.0  # px
_LEAST_VISIBLE = 0.6  # of a box that a picture's border cuts


def faces_of_cells(targets: Tensor, side: int) -> FaceTargets:
    """Which faces the cells of a square picture are told of.

    Args:
        targets: (cells, 16), see `training.mosaics.targets`.
        side: Of the picture in pixels.
    """
    middles, strides = cells(side, side)
    sure = targets[:, 0] >= _SURE
    said, here = targets[sure], (middles[sure], strides[sure])
    boxes = decode_boxes(said, *here)
    kept = nms(boxes, said[:, 0], _SAME)
    found = FaceTargets(boxes[kept], decode_landmarks(said, *here)[kept], said[kept, 15] > 0)
    return visible(found, side)


def visible(faces: FaceTargets, side: int) -> FaceTargets:
    """Those faces of which a square picture shows enough, and that are not too small."""
    inside = faces.boxes.clamp(0, side)
    shown = (inside[:, 2:] - inside[:, :2]).prod(1)
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    return faces[(shown >= _LEAST_VISIBLE * sides.prod(1)) & (sides.amin(1) >= _LEAST_SIDE)]
