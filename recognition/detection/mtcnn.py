"""MTCNN: a cascade of three networks, on photographs of any sizes and at any of four turns."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import box_iou, roi_align

from backbones.weights import resolve_device
from data.errors import ArgumentError, ImageError

from ..results import Face
from .detections import Detections, faces_of, turned_back
from .detector import (
    detector_spec,
    moved,
    nested_removed,
    overlapping_removed,
    squared,
    strongest,
)

# The three trained networks of MTCNN, run the quick way.
#
# K. Zhang, Z. Zhang, Z. Li, Y. Qiao: Joint Face Detection and Alignment Using Multitask Cascaded
# Convolutional Networks, 2016. The weights are those in facenet-pytorch's wheel. Only the way
# they are run is ours: channels-last, and pooling as a maximum of strided views, because
# PyTorch's own pooling takes more of a processor's time than all convolutions do. Numbers are the
# same to rounding.


def max_pool(x: Tensor, size: int) -> Tensor:
    """Pool the maximum over windows of `size`×`size` with stride 2; the last window may be cut off.

    Args:
        x: Feature maps (B, C, H, W).
        size: Side of the window, at least 2.

    Returns:
        (B, C, ⌈(H - size)/2⌉ + 1, ⌈(W - size)/2⌉ + 1), as `max_pool2d(x, size, 2, ceil_mode=True)`.
    """
    return _max_along(_max_along(x, size, 2), size, 3)


def _max_along(x: Tensor, size: int, axis: int) -> Tensor:
    length = x.shape[axis]
    count = -(-(length - size) // 2) + 1
    every_second = [
        x[(slice(None),) * axis + (slice(first, first + 2 * count - 1, 2),)]
        for first in range(size)
    ]
    result = every_second[0].clone()
    for view in every_second[1:]:
        reached = result.narrow(axis, 0, view.shape[axis])  # a window cut off does not reach `view`
        torch.maximum(reached, view, out=reached)
    return result


class ProposalNetwork(nn.Module):
    """P-Net: looks at every 12×12 window of an image, two pixels apart."""

    window = 12
    stride = 2

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = PNet().eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Judge all windows of a batch.

        Args:
            x: Normalised pixels (B, 3, H, W), at least 12×12.

        Returns:
            Probability of a face in each window (B, h, w), movement of the window's edges in its
            sides (B, 4, h, w).
        """
        net = self.net
        # An odd last row or column would pool a window that reaches over the border.
        x = net.prelu1(net.conv1(x))
        x = max_pool(x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], 2)
        x = net.prelu3(net.conv3(net.prelu2(net.conv2(x))))
        return _face_probability(net.conv4_1(x)), net.conv4_2(x)


class RefinementNetwork(nn.Module):
    """R-Net: judges a candidate from 24×24 pixels."""

    side = 24

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = RNet().eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Judge candidates.

        Args:
            x: Normalised crops (N, 3, 24, 24).

        Returns:
            Probability of a face (N,), movement of the edges in sides of the box (N, 4).
        """
        net = self.net
        x = max_pool(net.prelu1(net.conv1(x)), 3)
        x = max_pool(net.prelu2(net.conv2(x)), 3)
        x = net.prelu4(net.dense4(_flat(net.prelu3(net.conv3(x)))))
        return _face_probability(net.dense5_1(x)), net.dense5_2(x)


class OutputNetwork(nn.Module):
    """O-Net: judges a candidate from 48×48 pixels and places five landmarks."""

    side = 48

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = ONet().eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge candidates and place their landmarks.

        Args:
            x: Normalised crops (N, 3, 48, 48).

        Returns:
            Probability of a face (N,), movement of the edges in sides of the box (N, 4), and five
            landmarks (N, 5, 2): x and y in sides of the box, from its top left corner.
        """
        net = self.net
        x = max_pool(net.prelu1(net.conv1(x)), 3)
        x = max_pool(net.prelu2(net.conv2(x)), 3)
        x = max_pool(net.prelu3(net.conv3(x)), 2)
        x = net.prelu5(net.dense5(_flat(net.prelu4(net.conv4(x)))))
        landmarks = (
            net.dense6_3(x).view(-1, 2, 5).transpose(1, 2)
        )  # five x, then five y → (N, 5, 2)
        return _face_probability(net.dense6_1(x)), net.dense6_2(x), landmarks


def _face_probability(logits: Tensor) -> Tensor:
    # The softmax of two classes, of which the second is "face".
    return (logits[:, 1] - logits[:, 0]).sigmoid()


def _flat(x: Tensor) -> Tensor:
    # The weights were made where the columns lie outermost and the channels innermost.
    return x.permute(0, 3, 2, 1).flatten(1)


# MTCNN's cascade (Zhang et al. 2016) over a batch of images: propose, refine, place landmarks.
#
# Where it departs from the published code:
#
# - Candidates are cut out of the level of the image pyramid that fits them, a level's in one call.
# - What lies outside of an image is mid-grey, so a padded image gives the same faces as a bare one.
# - Windows and boxes are exact; the published code rounds them to whole pixels and counts from one.
# - A face is the mean of the candidates that agree on it, not the best of them alone.

PYRAMID_FACTOR = 0.709
"""Each level of the pyramid has about half the pixels of the one before."""

CANDIDATES_PER_IMAGE = 2048
"""The best windows of an image that are looked at again; bounds time and memory on any image."""

_REFINED_PER_PASS = 512
_PLACED_PER_PASS = 128


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


# Where the faces are: MTCNN on photographs of any sizes, at any of four orientations.

_SIZE_STEP = 32
"""Images are padded to a multiple of this, so that more of them share a batch."""

_PIXELS_PER_PASS = 2**21
"""So many pixels go through the networks at once, which bounds the memory."""

_SURE = 0.995
"""From this score on a face surely stands upright. Of 600 photographs of LFW 99.3 % have such a
face, but 1.3 % at most once they are turned, although something is found in up to 45 % of those."""

_SURE_TURNED = 0.95
"""Below this score no face is taken from a turned photograph; a real one there scores higher."""


SMALLEST = 12
"""Side in pixels of the smallest face that can be looked for: P-Net's window."""

THRESHOLDS = (0.6, 0.7)
"""Of P-Net and R-Net; that of O-Net is the least score of a face."""


class MtcnnDetector:
    """A `FaceDetector` by MTCNN (Zhang et al. 2016); its weights come with facenet-pytorch.

    A photograph with more than `searched_pixels` is shrunk to that many before it is searched, so
    that time and memory have a bound; `minimum_face` counts in the pixels that are searched. In a
    photograph of 50 million pixels the smallest face found is then 112 pixels wide, a hundredth of
    the picture. Who looks for smaller ones raises `searched_pixels`.

    A photograph without a sure face is searched again turned by 90, 180 and 270 degrees, and
    the turn with the surest face is taken.

    Args:
        device: Where the networks run: `auto`, `cpu`, `cuda` or a device.
        minimum_face: Side of the smallest face to be found, in pixels, at least 12.
        thresholds: Probability from which on each of the three networks says "face", 0 … 1. The
            last one's usual 0.7 lets bark, pets and blurs pass; real faces score above 0.9.
        searched_pixels: The most pixels of a photograph that are searched.

    Raises:
        ArgumentError: A number is out of its range, or there is no such device.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        minimum_face: float = 20,
        thresholds: tuple[float, float, float] = (*THRESHOLDS, 0.9),
        searched_pixels: int = 1_600_000,
    ) -> None:
        if not minimum_face >= SMALLEST:
            raise ArgumentError(f"minimum face is {minimum_face} pixels; take {SMALLEST} or more")
        if not all(0 < threshold < 1 for threshold in thresholds):
            raise ArgumentError(f"thresholds {thresholds} must lie between 0 and 1")
        if searched_pixels < minimum_face**2:
            raise ArgumentError(f"{searched_pixels} searched pixels hold no face; take more")
        self._device = resolve_device(device) if isinstance(device, str) else device
        self._searched_pixels = searched_pixels
        self._cascade = Cascade(self._device, minimum_face=minimum_face, thresholds=thresholds)

    @property
    def identity(self) -> str:
        """See `FaceDetector.identity`."""
        return detector_spec("mtcnn").identity

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """See `FaceDetector.detect`."""
        pixels = [self._searched(image) for image in images]
        found = self._search(pixels)
        unsure = [i for i in range(len(images)) if found[i].best_score < _SURE]
        turned = self._search_turned([pixels[i] for i in unsure])
        for i, detections in zip(unsure, turned, strict=True):
            found[i] = max(found[i], detections, key=lambda each: each.best_score)
        return [
            faces_of(found[i], image.width / pixels[i].shape[1], image.height / pixels[i].shape[0])
            for i, image in enumerate(images)
        ]

    def _searched(self, image: Image.Image) -> Tensor:
        """The pixels (H, W, 3) uint8 that are searched: the image, shrunk where it is large."""
        if image.mode != "RGB":
            raise ImageError(f"image has mode {image.mode}, expected RGB: read it with load_image")
        excess = image.width * image.height / self._searched_pixels
        if excess > 1:
            size = [max(1, round(side / excess**0.5)) for side in image.size]
            image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return torch.from_numpy(np.array(image))

    def _search(self, images: Sequence[Tensor]) -> list[Detections]:
        """Search images (H, W, 3) as they stand, those of a similar size together."""
        found = [Detections.none() for _ in images]
        for indices in _batches([image.shape[:2] for image in images]):
            batch = [images[i] for i in indices]
            sizes = [(image.shape[0], image.shape[1]) for image in batch]
            for i, detections in zip(
                indices, self._cascade(self._padded(batch), sizes), strict=True
            ):
                found[i] = detections
        return found

    def _search_turned(self, images: Sequence[Tensor]) -> list[Detections]:
        """Search images (H, W, 3) turned by quarters; for each take the turn of the surest face."""
        best = [Detections.none() for _ in images]
        for quarters in (1, 2, 3):
            turned = self._search([image.rot90(quarters) for image in images])
            for i, (image, found) in enumerate(zip(images, turned, strict=True)):
                if found.best_score > max(best[i].best_score, _SURE_TURNED):
                    best[i] = turned_back(found, quarters, image.shape[1], image.shape[0])
        return best

    def _padded(self, images: Sequence[Tensor]) -> Tensor:
        """Normalise a batch as the networks want it, and pad it with their grey: (B, 3, H, W)."""
        height, width = _bucket(images[0].shape[:2])
        batch = torch.zeros(len(images), 3, height, width)
        for padded, image in zip(batch, images, strict=True):
            part = padded[:, : image.shape[0], : image.shape[1]]
            torch.sub(image.permute(2, 0, 1), 127.5, out=part).div_(128)
        return batch.to(self._device)


def _bucket(size: Sequence[int]) -> tuple[int, int]:
    """Height and width that an image is padded to; they follow from its own size alone."""
    height, width = (-(-side // _SIZE_STEP) * _SIZE_STEP for side in size)
    return height, width


def _batches(sizes: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Sort images (by index) into batches of one bucket and a bounded number of pixels."""
    buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for i, size in enumerate(sizes):
        buckets[_bucket(size)].append(i)
    for (height, width), members in buckets.items():
        count = max(1, _PIXELS_PER_PASS // (height * width))
        for start in range(0, len(members), count):
            yield members[start : start + count]
