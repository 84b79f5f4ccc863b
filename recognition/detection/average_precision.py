"""How well boxes that were found agree with boxes that people have drawn.

A found box is right if it overlaps a face that no surer box has taken. Faces that an annotation
calls difficult count neither as missed nor, where they are found, as wrong. The measures are those
of PASCAL VOC from 2010 on (Everingham et al.): average precision is the area under the curve of
precision over recall, each precision raised to the best of all higher recalls.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from ..results import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxMatches:
    """What became of the boxes found in one image.

    Attributes:
        scores: Of each box found that counts, in falling order.
        right: For each of them whether it is a face.
        sides: For each of them the square root of its area, in pixels.
        found: For each face of the annotation the score at which it was found; None: never.
    """

    scores: tuple[float, ...]
    right: tuple[bool, ...]
    sides: tuple[float, ...]
    found: tuple[float | None, ...]


def match(
    boxes: Sequence[Box],
    scores: Sequence[float],
    faces: Sequence[Box],
    difficult: Sequence[bool],
    least_overlap: float,
) -> BoxMatches:
    """Match the boxes found in one image with its faces, the surest first.

    Args:
        boxes: Found.
        scores: Theirs.
        faces: Boxes of the annotation.
        difficult: For each of them whether it may be missed.
        least_overlap: Intersection over union from which on a box is right, above 0.
    """
    theirs = torch.tensor(faces, dtype=torch.float64).view(-1, 4)
    ours = torch.tensor(boxes, dtype=torch.float64).view(-1, 4)
    overlaps = box_iou(ours, theirs)
    found: list[float | None] = [None] * len(faces)
    counted: list[tuple[float, bool, float]] = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        best, taken = least_overlap, -1
        for number, overlap in enumerate(overlaps[index].tolist()):
            if found[number] is None and overlap >= best and (taken < 0 or overlap > best):
                best, taken = overlap, number
        if taken >= 0:
            found[taken] = scores[index]
            if difficult[taken]:
                continue
        elif any(
            hard and overlap >= least_overlap
            for hard, overlap in zip(difficult, overlaps[index].tolist(), strict=True)
        ):
            continue
        x1, y1, x2, y2 = boxes[index]
        counted.append((scores[index], taken >= 0, math.sqrt(max(0.0, (x2 - x1) * (y2 - y1)))))
    return BoxMatches(
        scores=tuple(score for score, _, _ in counted),
        right=tuple(right for _, right, _ in counted),
        sides=tuple(side for _, _, side in counted),
        found=tuple(found),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionCurve:
    """Precision over recall, by falling score.

    Attributes:
        scores: (N,) of the boxes found, falling.
        recall: (N,) share of the faces found with a box of this score or a higher one.
        precision: (N,) share of these boxes that are right.
    """

    scores: Tensor
    recall: Tensor
    precision: Tensor

    @property
    def average_precision(self) -> float:
        """The area under the curve, 0 … 1."""
        if not len(self.scores):
            return 0.0
        # Each precision becomes the best of all that follow; the area is a sum over steps.
        best = self.precision.flip(0).cummax(0).values.flip(0)
        before = torch.cat([torch.zeros(1, dtype=self.recall.dtype), self.recall[:-1]])
        return float(((self.recall - before) * best).sum())

    def at_precision(self, least: float) -> tuple[float, float] | None:
        """The highest recall at which the precision is so high, and the score it takes.

        Returns:
            Recall and score; None where the precision is never so high.
        """
        enough = (self.precision >= least).nonzero()[:, 0]
        if not len(enough):
            return None
        last = int(enough[-1])
        return float(self.recall[last]), float(self.scores[last])

    def at_score(self, score: float) -> tuple[float, float | None]:
        """Recall, and precision (None without a box), of the boxes of at least this score."""
        count = int((self.scores >= score).sum())
        if not count:
            return 0.0, None
        return float(self.recall[count - 1]), float(self.precision[count - 1])


def precision_curve(matches: Sequence[BoxMatches], faces: int) -> PrecisionCurve:
    """The curve of many images together.

    Args:
        matches: Of each image.
        faces: How many faces there are that must be found, at least 1.

    Raises:
        ValueError: There are none.
    """
    if faces < 1:
        raise ValueError("no face has to be found: there is no recall")
    scores = torch.tensor([s for each in matches for s in each.scores], dtype=torch.float64)
    right = torch.tensor([r for each in matches for r in each.right], dtype=torch.float64)
    order = scores.argsort(descending=True, stable=True)
    scores, right = scores[order], right[order].cumsum(0)
    # Boxes of one score come together: a threshold cannot tell them apart.
    last = torch.cat([scores[1:] != scores[:-1], torch.ones(min(1, len(scores)), dtype=torch.bool)])
    counts = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    return PrecisionCurve(scores[last], right[last] / faces, (right / counts)[last])
