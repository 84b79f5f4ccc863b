"""What a network found in one image, turned back and made into results; for every detector."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..results import Face


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one image: boxes (F, 4), scores (F,), landmarks (F, 5, 2), on the processor."""

    boxes: Tensor
    scores: Tensor
    landmarks: Tensor

    @classmethod
    def none(cls) -> "Detections":
        """No face at all."""
        return cls(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 5, 2))

    @property
    def best_score(self) -> float:
        """The score of the surest face; 0 where there is none."""
        return max(self.scores.tolist(), default=0.0)


def turned_back(found: Detections, quarters: int, width: int, height: int) -> Detections:
    """Map the faces of an image W×H, turned by quarters against the clock, back to how it was."""
    corners = _points_turned_back(found.boxes.view(-1, 2, 2), quarters, width, height)
    boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
    landmarks = _points_turned_back(found.landmarks, quarters, width, height)
    return Detections(boxes, found.scores, landmarks)


def _points_turned_back(points: Tensor, quarters: int, width: int, height: int) -> Tensor:
    x, y = points.unbind(-1)
    turned = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return torch.stack(turned[quarters], -1)


def faces_of(found: Detections, x_scale: float, y_scale: float) -> list[Face]:
    """Make results of what was found, in pixels of the image as it was given, largest first."""
    scale = torch.tensor([x_scale, y_scale])
    boxes, points = found.boxes * scale.repeat(2), found.landmarks * scale
    faces = []
    for (x1, y1, x2, y2), score, five in zip(
        boxes.tolist(), found.scores.tolist(), points.tolist(), strict=True
    ):
        left_eye, right_eye, nose, left_mouth, right_mouth = ((x, y) for x, y in five)
        landmarks = (left_eye, right_eye, nose, left_mouth, right_mouth)
        faces.append(Face((x1, y1, x2, y2), score, landmarks))
    return sorted(faces, key=lambda face: face.area, reverse=True)
