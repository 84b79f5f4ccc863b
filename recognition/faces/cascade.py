"""MTCNN's cascade (Zhang et al. 2016) over a batch of images: propose, refine, place landmarks.

Where it departs from the published code:

- Candidates are cut out of the level of the image pyramid that fits them, a level's in one call.
- What lies outside of an image is mid-grey, so a padded image gives the same faces as a bare one.
- Windows and boxes are exact; the published code rounds them to whole pixels and counts from one.
- A face is the mean of the candidates that agree on it, not the best of them alone.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou, roi_align

from .boxes import moved, nested_removed, overlapping_removed, squared, strongest
from .networks import OutputNetwork, ProposalNetwork, RefinementNetwork

PYRAMID_FACTOR = 0.709
"""Each level of the pyramid has about half the pixels of the one before."""

CANDIDATES_PER_IMAGE = 2048
"""The best windows of an image that are looked at again; bounds time and memory on any image."""

_REFINED_PER_PASS = 512
_PLACED_PER_PASS = 128


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


@dataclass(frozen=True, slots=True)
class _Level:
    """One size of the images of a batch: pixels (B, 3, ⌊H·scale⌋, ⌊W·scale⌋)."""

    scale: float
    pixels: Tensor


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What may be faces: boxes (N, 4), movement of their edges (N, 4), scores and owners (N,)."""

    boxes: Tensor
    movement: Tensor
    scores: Tensor
    owners: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor) -> "_Candidates":
        return _Candidates(
            self.boxes[index], self.movement[index], self.scores[index], self.owners[index]
        )

    def without_overlaps(self, threshold: float) -> "_Candidates":
        return self[overlapping_removed(self.boxes, self.scores, self.owners, threshold)]

    def squares(self) -> Tensor:
        """The boxes after their movement, grown to squares: what the next network looks at."""
        return squared(moved(self.boxes, self.movement))


class Cascade:
    """The three stages, with the trained networks on one device."""

    def __init__(
        self, device: torch.device, *, minimum_face: float, thresholds: tuple[float, float, float]
    ) -> None:
        self._first_scale = ProposalNetwork.window / minimum_face
        self._thresholds = thresholds
        self._proposal = ProposalNetwork().to(device)
        self._refinement = RefinementNetwork().to(device)
        self._output = OutputNetwork().to(device)

    @torch.inference_mode()
    def __call__(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        """Find the faces of a batch.

        Args:
            images: (B, 3, H, W), (value - 127.5)/128 of 8-bit RGB, padded with zeros to the right
                and below, on the networks' device.
            sizes: Height and width of each image without the padding.

        Returns:
            One entry an image, its faces best first.
        """
        extents = images.new_tensor(sizes)  # (B, 2)
        scales = self._scales(min(images.shape[2:]))
        levels = [_Level(scale, _resized(images, scale)) for scale in scales]
        if not levels:
            return [Detections.none() for _ in sizes]
        candidates = self._propose(levels, extents)
        # Small faces are cut out of the images themselves, which are finer than the first level.
        levels = sorted([_Level(1.0, images), *levels], key=lambda level: -level.scale)
        candidates = self._refine(levels, candidates)
        return self._place(levels, candidates, len(images))

    def _scales(self, side: float) -> Iterator[float]:
        """The pyramid's scales, as long as one window fits into images of this shorter side."""
        scales = (self._first_scale * PYRAMID_FACTOR**i for i in itertools.count())
        return itertools.takewhile(lambda scale: side * scale >= ProposalNetwork.window, scales)

    def _propose(self, levels: Sequence[_Level], extents: Tensor) -> _Candidates:
        """First stage: the windows that look like a face, of any size."""
        of_levels = [self._propose_level(level, extents).without_overlaps(0.5) for level in levels]
        found = _Candidates(
            torch.cat([of.boxes for of in of_levels]),
            torch.cat([of.movement for of in of_levels]),
            torch.cat([of.scores for of in of_levels]),
            torch.cat([of.owners for of in of_levels]),
        ).without_overlaps(0.7)
        return found[strongest(found.scores, found.owners, CANDIDATES_PER_IMAGE)]

    def _propose_level(self, level: _Level, extents: Tensor) -> _Candidates:
        net = self._proposal
        scores, movement = net(level.pixels)  # (B, h, w), (B, 4, h, w)
        ends = [
            torch.arange(n, device=extents.device) * net.stride + net.window
            for n in scores.shape[1:]
        ]
        # A window must lie inside its image, up to the pixel that rounding may have cut.
        limits = extents * level.scale + 1  # (B, 2)
        inside = (ends[0] <= limits[:, :1])[:, :, None] & (ends[1] <= limits[:, 1:])[:, None, :]
        owners, rows, columns = ((scores >= self._thresholds[0]) & inside).nonzero(as_tuple=True)
        corners = torch.stack([columns, rows], 1) * net.stride  # (N, 2)
        found = _Candidates(
            torch.cat([corners, corners + net.window], 1) / level.scale,
            movement[owners, :, rows, columns],
            scores[owners, rows, columns],
            owners,
        )
        return found[strongest(found.scores, owners, CANDIDATES_PER_IMAGE)]

    def _refine(self, levels: Sequence[_Level], candidates: _Candidates) -> _Candidates:
        """Second stage: most candidates fall out, and the rest get better boxes."""
        boxes = candidates.squares()
        outputs = [
            self._refinement(_crops(levels, b, o, RefinementNetwork.side))
            for b, o in _chunks(boxes, candidates.owners, _REFINED_PER_PASS)
        ]
        scores, movement = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        refined = _Candidates(boxes, movement, scores, candidates.owners)
        return refined[scores > self._thresholds[1]].without_overlaps(0.8)

    def _place(
        self, levels: Sequence[_Level], candidates: _Candidates, images: int
    ) -> list[Detections]:
        """Third stage: the final boxes, their scores, and five landmarks each."""
        boxes = candidates.squares()
        outputs = [
            self._output(_crops(levels, b, o, OutputNetwork.side))
            for b, o in _chunks(boxes, candidates.owners, _PLACED_PER_PASS)
        ]
        scores, movement, landmarks = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        landmarks = boxes[:, None, :2] + landmarks * (boxes[:, 2:] - boxes[:, :2])[:, None]
        passed = scores > self._thresholds[2]
        found = Detections(
            moved(boxes, movement)[passed].cpu(), scores[passed].cpu(), landmarks[passed].cpu()
        )
        owners = candidates.owners[passed].cpu()
        return [_of_image(found, owners == image) for image in range(images)]


def _resized(images: Tensor, scale: float) -> Tensor:
    """Resize (B, 3, H, W) by exactly `scale`, smoothed where it shrinks."""
    return F.interpolate(
        images, scale_factor=scale, mode="bilinear", align_corners=False, antialias=True
    )


def _chunks(boxes: Tensor, owners: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    # At least one chunk, so that no candidates at all need no branch of their own.
    yield from zip(torch.split(boxes, size), torch.split(owners, size), strict=True)


def _crops(levels: Sequence[_Level], boxes: Tensor, owners: Tensor, side: int) -> Tensor:
    """Cut squares out of the batch, each from the coarsest level that still has its pixels.

    Args:
        levels: By falling scale.
        boxes: (N, 4) in pixels of the images.
        owners: (N,) image of each.
        side: Side of the crops in pixels.

    Returns:
        (N, 3, side, side), zero outside of an image.
    """
    scales = torch.tensor([level.scale for level in levels], device=boxes.device)
    wanted = side / (boxes[:, 2] - boxes[:, 0])
    picked = ((scales >= wanted[:, None]).sum(1) - 1).clamp(min=0)  # (N,) level of each
    regions = torch.cat([owners[:, None].to(boxes), boxes], 1)
    crops = boxes.new_empty(len(boxes), 3, side, side)
    for index in torch.unique(picked).tolist():
        mine = picked == index
        crops[mine] = roi_align(
            levels[index].pixels,
            regions[mine],
            side,
            levels[index].scale,
            sampling_ratio=1,
            aligned=True,
        )
    return crops.contiguous(memory_format=torch.channels_last)


def _of_image(found: Detections, mine: Tensor) -> Detections:
    """Make one face of all candidates of an image that agree on it.

    The best one gives the score. Box and landmarks are the mean of all, weighted by their scores:
    single candidates scatter, and the mean places landmarks about a third closer to where those of
    the mirrored image lie.
    """
    boxes, scores, landmarks = found.boxes[mine], found.scores[mine], found.landmarks[mine]
    kept = nested_removed(boxes, scores, 0.7)
    agreeing = (box_iou(boxes[kept], boxes) >= 0.6) * scores  # (F, N)
    weights = agreeing / agreeing.sum(1, keepdim=True)
    places = torch.cat([boxes, landmarks.flatten(1)], 1)  # (N, 14)
    means = weights @ places  # (F, 14)
    return Detections(means[:, :4], scores[kept], means[:, 4:].view(-1, 5, 2))
