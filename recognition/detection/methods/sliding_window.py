"""A window that slides over pictures, as one convolution (OverFeat, Sermanet et al. 2014).

The network tells a window of 24×24 pixels with a face from one without. None of its layers pads, so
that what it says of a picture is what it says of each window cut out, four pixels apart, without
computing twice what two windows share. A face of another size is found in a picture of another
size: the box is the window itself.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from ..detections import Detections
from ..detector import FaceDetector
from ..training.objective import changed
from .config import DetectorMethod
from .family_detector import FamilyDetector
from .method import MosaicBatch, Pictures, SearchOptions, faces_of_cells

WINDOW, STRIDE = 24, 4

_RIGHT, _WRONG = 0.5, 0.3  # overlap from which on a window is a face, and below which it is none
_NEGATIVES = 3  # windows without a face that are learnt from, the hardest, for each with one
_LEAST_NEGATIVES = 16
_LARGEST_SCALE = 2.0  # a picture is enlarged at most so many times: faces of 12 pixels
_PYRAMID = 0.8
_RARE = -4.0


class WindowNetwork(nn.Module):
    """From pixels to a logit for each window."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, bias=False),  # a window: 22
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # 11
            nn.Conv2d(16, 32, 3, bias=False),  # 9
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),  # 4
            nn.Conv2d(32, 64, 4, bias=False),  # 1: what would be a fully connected layer
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 1, 1),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, _RARE)

    def forward(self, x: Tensor) -> Tensor:
        """Judge all windows.

        Args:
            x: RGB (B, 3, H, W) in [0, 1], at least 24×24.

        Returns:
            (B, h, w): logits of the windows whose left and upper edges lie at multiples of 4.
        """
        said: Tensor = self.layers(x * 4 - 2)
        return said[:, 0]


def windows(rows: int, columns: int, scale: float) -> Tensor:
    """The windows (rows * columns, 4) of a map in pixels of the picture before it was scaled."""
    ys, xs = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corner = torch.stack([xs, ys], -1).view(-1, 2) * float(STRIDE)
    return torch.cat([corner, corner + WINDOW], 1) / scale


def window_loss(logits: Tensor, overlaps: Tensor) -> Tensor:
    """Cross-entropy of the windows with a face, and of the hardest ones without.

    Args:
        logits: (N,) of all windows of a batch.
        overlaps: (N,) of each with the face that it overlaps most.
    """
    right, wrong = logits[overlaps >= _RIGHT], logits[overlaps < _WRONG]
    count = min(len(wrong), max(_LEAST_NEGATIVES, _NEGATIVES * len(right)))
    hardest = wrong.topk(count).values
    total = F.softplus(-right).sum() + F.softplus(hardest).sum()
    return total / max(1, len(right) + count)


class SlidingWindow:
    """See `method.DetectorFamily`."""

    name = str(DetectorMethod.SLIDING_WINDOW)
    summary = "a window of 24 pixels as a convolution, 4 pixels apart, over a pyramid of pictures"

    def metadata(self) -> dict[str, str]:
        """Nothing: there is one such network."""
        return {}

    def network(self) -> WindowNetwork:
        """With random weights."""
        return WindowNetwork()

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: there are no anchors."""

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """Of a batch in a size in which one of its faces, drawn at random, fills a window."""
        pictures, targets = changed(batch.pictures, batch.targets, batch.source)
        side = pictures.shape[2]
        faces = [faces_of_cells(each, side).boxes for each in targets]
        sides = torch.cat([(each[:, 2:] - each[:, :2]).prod(1).sqrt() for each in faces])
        draws = torch.rand(2, generator=batch.source).tolist()
        wanted = float(sides[int(draws[0] * len(sides))]) if len(sides) else float(WINDOW)
        scale = WINDOW / wanted * 2 ** (0.6 * draws[1] - 0.3)
        scale = min(max(scale, 2 * WINDOW / side), _LARGEST_SCALE)
        size = round(side * scale)
        pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
        logits = network(pictures.to(next(network.parameters()).device)).cpu()
        boxes = windows(logits.shape[1], logits.shape[2], size / side)
        overlaps = torch.stack(
            [
                box_iou(boxes, each).amax(1) if len(each) else torch.zeros(len(boxes))
                for each in faces
            ]
        )
        return {"total": window_loss(logits.flatten(), overlaps.flatten())}

    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: all is learnt by steps."""

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights."""
        assert isinstance(network, WindowNetwork)
        network = network.eval().to(device).to(memory_format=torch.channels_last)
        return FamilyDetector(_WindowLook(network), device, identity, search)


class _WindowLook:
    """See `search.Look`."""

    step = 1

    def __init__(self, network: WindowNetwork) -> None:
        self._network = network

    def __call__(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], least: float
    ) -> list[Detections]:
        found: list[list[Detections]] = [[] for _ in sizes]
        height, width = batch.shape[2:]
        scale = _LARGEST_SCALE
        while round(min(height, width) * scale) >= WINDOW:
            size = (round(height * scale), round(width * scale))
            level = F.interpolate(batch, size, mode="bilinear", antialias=scale < 1)
            scores = self._network(level).sigmoid().cpu()
            boxes = windows(scores.shape[1], scores.shape[2], scale)
            for each, said in zip(found, scores.flatten(1), strict=True):
                taken = said >= least
                points = torch.zeros(int(taken.sum()), 5, 2)
                each.append(Detections(boxes[taken], said[taken], points))
            scale *= _PYRAMID
        return [_joined(each) for each in found]


def _joined(parts: Sequence[Detections]) -> Detections:
    parts = [Detections.none(), *parts]
    return Detections(
        torch.cat([each.boxes for each in parts]),
        torch.cat([each.scores for each in parts]),
        torch.cat([each.landmarks for each in parts]),
    )
