"""The search of a photograph around a network that looks at one picture: for any family of them.

In which sizes a photograph is looked at, and turned by quarters where no face is sure; which
pictures share a batch; and non-maximum suppression of what was found. What a network makes of
a batch is its own: a `Look`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import nms

from backbones.weights import resolve_device
from data.errors import ArgumentError, ImageError

from ..results import Face
from .detections import Detections, faces_of, turned_back

LEAST_FACE = 10
"""Side in pixels from which on the networks find most faces in what they look at."""

_LONGEST_KEPT = 640
"""A large photograph is shrunk as far as the smallest face wanted allows, but its longer side not
below this."""

_NEXT_SIZE = 0.5
"""Each size in which a photograph is looked at, relative to the one before."""

_SMALL_ENOUGH = 100
"""A photograph is looked at in smaller sizes until its longer side has no more pixels than this."""

_SMALLEST, _LARGEST = 40.0, 144.0
"""Longer sides in pixels of the faces that are taken from one size: smaller ones are taken from the
size before, larger ones from the next. Networks place the landmarks of such faces best: of frontal
and profile portraits that a face fills (CFP's fold 3) the one-stage detector's let 95 and 70 % of
the pairs be decided rightly when it looked once, and 98 and 87 % since."""

_MOST_ENLARGED = 2.0
"""A photograph is enlarged so many times at most, where smaller faces are wanted."""

_OVERLAP = 0.4  # intersection over union above which the weaker of two boxes goes
_AGREEMENT = 0.6  # the overlap from which on two cells mean the same face
_CANDIDATES = 2000  # boxes of an image that are looked at; bounds time and memory
_PIXELS_PER_PASS = 2**20
_GREY = 0.5

_SURE = 0.6
"""Without a face of this score a photograph is searched again, turned by quarters."""

_TURNED_AT = (224, _LONGEST_KEPT)
"""Longer sides in pixels of the pictures that say by which turns a larger photograph is worth being
searched, the second where the first one shows no sure face: three searches of the whole would take
three times as long as the first one."""

_ABOUT_AS_SURE = 0.1
"""Turns whose best scores differ by no more are searched all."""

_UNSURE = 0.5
"""From this score on a face in a small picture tells of its turn, however sure those have to be
that are wanted."""

_SURE_TURNED = 0.7
"""Below this score no face is taken from a turned photograph."""


class Look(Protocol):
    """What a network finds in a batch of pictures, before any suppression."""

    @property
    def step(self) -> int:
        """Height and width of a batch are multiples of this."""

    def __call__(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], least: float
    ) -> list[Detections]:
        """Look at pictures.

        Args:
            batch: RGB (B, 3, H, W) in [0, 1], grey to the right of a picture and below it.
            sizes: Height and width of each picture within.
            least: The score below which nothing is wanted.

        Returns:
            Boxes of each picture, many for a face, in its pixels.
        """


Placing = Callable[[Tensor, Tensor], Tensor]
"""Places five landmarks (F, 5, 2) in boxes (F, 4) of a picture (H, W, 3) uint8: for families whose
network says nothing about them."""


class PhotographSearch:
    """The search: a `FaceDetector` but for its name.

    So that a large photograph costs little, it is shrunk until the smallest face wanted has ten
    pixels, but not below a longer side of 640 pixels, and to at most `searched_pixels`. Where
    smaller faces than these are wanted, it is enlarged, at most twice. For its larger faces it is
    looked at again in half of that size, a quarter, and so on, which costs a third of the first.

    A photograph without a sure face is searched again turned by 90, 180 and 270 degrees, and the
    turn with the surest face is taken. A large one is first searched so in a small picture of it,
    and then, as it is, by every turn whose best score is there within 0.1 of the best one's.

    Args:
        look: What finds boxes in a picture.
        device: Where it runs.
        minimum_face: Side of the smallest face that is wanted, in pixels of the photograph; smaller
            ones are left out.
        minimum_score: From which score on a box is a face, 0 … 1.
        searched_pixels: The most pixels of a photograph that are searched.
        turned: Whether to search again, turned, where no face is sure.
        averaged: Whether a face's box and landmarks are the mean of all that agree on it; else they
            are those of the surest.
        placing: Places the landmarks of what is left; None: the look has said where they are.

    Raises:
        ArgumentError: A number is out of its range.
    """

    def __init__(
        self,
        look: Look,
        device: torch.device | str = "cpu",
        *,
        minimum_face: float = LEAST_FACE,
        minimum_score: float = 0.5,
        searched_pixels: int = 1_600_000,
        turned: bool = True,
        averaged: bool = False,
        placing: Placing | None = None,
    ) -> None:
        if not 1 <= minimum_face <= 1e6:
            raise ArgumentError(f"minimum face is {minimum_face} pixels; take 1 or more")
        if not 0 < minimum_score < 1:
            raise ArgumentError(f"minimum score is {minimum_score}; take one between 0 and 1")
        if searched_pixels < LEAST_FACE**2:
            raise ArgumentError(f"{searched_pixels} searched pixels hold no face; take more")
        self._device = resolve_device(device) if isinstance(device, str) else device
        self._look = look
        self._minimum_face, self._minimum_score = minimum_face, minimum_score
        self._searched_pixels = searched_pixels
        self._turns = (1, 2, 3) if turned else ()
        self._averaged, self._placing = averaged, placing

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """See `FaceDetector.detect`."""
        looks = [self._looks(image) for image in images]
        found = self._found(looks)
        unsure = [i for i in range(len(images)) if found[i].best_score < _SURE]
        turns = self._likely_turns([images[i] for i in unsure], [looks[i] for i in unsure])
        for quarters in self._turns:
            likely = [i for i, turn in zip(unsure, turns, strict=True) if quarters in turn]
            turned = self._found([[look.rot90(quarters) for look in looks[i]] for i in likely])
            for i, detections in zip(likely, turned, strict=True):
                if detections.best_score > max(found[i].best_score, _SURE_TURNED):
                    height, width = looks[i][0].shape[:2]
                    found[i] = turned_back(detections, quarters, width, height)
        return [
            self._faces(found[i], image, looks[i][0].shape[:2]) for i, image in enumerate(images)
        ]

    def _likely_turns(
        self, images: Sequence[Image.Image], looks: Sequence[Sequence[Tensor]]
    ) -> list[tuple[int, ...]]:
        """By which quarters each photograph is worth being turned, by small pictures of it.

        One that is small itself is turned by all of them. Faces below a sixtieth of the longer
        side are not seen in any of the small pictures, and a photograph of nothing else stays as
        it lies.
        """
        turns: list[tuple[int, ...]] = [self._turns] * len(images)
        undecided = list(range(len(images))) if self._turns else []
        for side in _TURNED_AT:
            undecided = [i for i in undecided if max(looks[i][0].shape) > 1.2 * side]
            small = [_resized(images[i], side / max(images[i].size)) for i in undecided]
            scores = [self._best_scores(small, quarters) for quarters in self._turns]
            left = []
            for i, own in zip(undecided, zip(*scores, strict=True), strict=True):
                best = max(own)
                if best < _SURE_TURNED and side != _TURNED_AT[-1]:
                    left.append(i)
                    continue
                turns[i] = tuple(
                    quarters
                    for quarters, score in zip(self._turns, own, strict=True)
                    if score and score >= best - _ABOUT_AS_SURE
                )
            undecided = left
        return turns

    def _best_scores(self, pictures: Sequence[Tensor], quarters: int) -> list[float]:
        """Of each picture turned by quarters; 0 without a face, however unsure."""
        turned = [picture.rot90(quarters) for picture in pictures]
        found = self._search(turned, min(self._minimum_score, _UNSURE))
        return [detections.best_score for detections in found]

    def _faces(self, found: Detections, image: Image.Image, size: Sequence[int]) -> list[Face]:
        faces = faces_of(found, image.width / size[1], image.height / size[0])
        return [face for face in faces if face.area**0.5 >= self._minimum_face]

    def _looks(self, image: Image.Image) -> list[Tensor]:
        """The pixels (H, W, 3) uint8 that are searched, in one size or several, largest first."""
        if image.mode != "RGB":
            raise ImageError(f"image has mode {image.mode}, expected RGB: read it with load_image")
        longer = max(image.size)
        coarse = min(1.0, _LONGEST_KEPT / longer)
        fine = max(min(LEAST_FACE / self._minimum_face, _MOST_ENLARGED), coarse)
        fine = min(fine, (self._searched_pixels / (image.width * image.height)) ** 0.5)
        looks, scale = [_resized(image, fine)], fine
        while scale * longer > _SMALL_ENOUGH:
            scale *= _NEXT_SIZE
            looks.append(_resized(image, scale))
        return looks

    def _found(self, looks: Sequence[Sequence[Tensor]]) -> list[Detections]:
        """The faces of photographs, in pixels of each one's first look."""
        places = [(i, j) for i, each in enumerate(looks) for j in range(len(each))]
        candidates = self._search([looks[i][j] for i, j in places], self._minimum_score)
        searched = dict(zip(places, candidates, strict=True))
        found = []
        for i, each in enumerate(looks):
            parts = _joined_sizes([searched[i, j] for j in range(len(each))], each)
            kept = without_overlaps(parts, averaged=self._averaged)
            if self._placing is not None:
                points = self._placing(each[0], kept.boxes)
                kept = Detections(kept.boxes, kept.scores, points)
            found.append(kept)
        return found

    @torch.inference_mode()
    def _search(self, images: Sequence[Tensor], least: float) -> list[Detections]:
        """The candidates of images (H, W, 3) as they stand, those of a similar size together."""
        found = [Detections.none() for _ in images]
        for (height, width), indices in _batches(
            [image.shape for image in images], self._look.step
        ):
            # As the photographs lie in memory, which is channels-last.
            pixels = torch.full((len(indices), height, width, 3), _GREY)
            for padded, index in zip(pixels, indices, strict=True):
                image = images[index]
                padded[: image.shape[0], : image.shape[1]].copy_(image).div_(255)
            batch = pixels.to(self._device).permute(0, 3, 1, 2)
            sizes = [(images[index].shape[0], images[index].shape[1]) for index in indices]
            for index, each in zip(indices, self._look(batch, sizes, least), strict=True):
                found[index] = _surest(each)
        return found


def _surest(found: Detections) -> Detections:
    if len(found.scores) <= _CANDIDATES:
        return found
    taken = found.scores.topk(_CANDIDATES).indices
    return Detections(found.boxes[taken], found.scores[taken], found.landmarks[taken])


def _resized(image: Image.Image, scale: float) -> Tensor:
    if scale != 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return torch.from_numpy(np.array(image))


def _joined_sizes(parts: Sequence[Detections], looks: Sequence[Tensor]) -> list[Detections]:
    """What was found in each size, of the faces that are taken from it, in pixels of the first."""
    joined = []
    for number, (found, look) in enumerate(zip(parts, looks, strict=True)):
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).amax(1)
        least = _SMALLEST if number else 0.0
        most = _LARGEST if number + 1 < len(looks) else float("inf")
        taken = (sides >= least) & (sides < most)
        scale = torch.tensor([looks[0].shape[1] / look.shape[1], looks[0].shape[0] / look.shape[0]])
        boxes = found.boxes[taken] * scale.repeat(2)
        joined.append(Detections(boxes, found.scores[taken], found.landmarks[taken] * scale))
    return joined


def without_overlaps(parts: Sequence[Detections], *, averaged: bool) -> Detections:
    """Make one face of all candidates that agree on it: non-maximum suppression.

    Args:
        parts: Candidates of one picture.
        averaged: Box and landmarks are the mean of all that agree with the best one, weighted by
            their scores, which scatters less than a single candidate's; else they are the best's.
    """
    boxes = torch.cat([each.boxes for each in parts])
    scores = torch.cat([each.scores for each in parts])
    landmarks = torch.cat([each.landmarks for each in parts])
    kept = nms(boxes, scores, _OVERLAP)
    if not averaged:
        return Detections(boxes[kept], scores[kept], landmarks[kept])
    agreeing = (overlaps(boxes[kept], boxes) >= _AGREEMENT) * scores  # (F, N)
    weights = agreeing / agreeing.sum(1, keepdim=True)
    means = weights @ torch.cat([boxes, landmarks.flatten(1)], 1)  # (F, 14)
    return Detections(means[:, :4], scores[kept], means[:, 4:].view(-1, 5, 2))


def overlaps(some: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union (F, N) of boxes (F, 4) with boxes (N, 4).

    As torchvision's `box_iou`, but coordinate by coordinate, each N in a row, which is quicker for
    the many boxes of a crowd.
    """
    left, top, right, bottom = boxes.T.contiguous()  # (N,) each
    first, second, third, fourth = some.T[:, :, None]  # (F, 1) each
    wide = (torch.minimum(third, right) - torch.maximum(first, left)).clamp_(min=0)
    high = (torch.minimum(fourth, bottom) - torch.maximum(second, top)).clamp_(min=0)
    shared = wide.mul_(high)
    union = (third - first) * (fourth - second) + (right - left) * (bottom - top)
    overlap: Tensor = shared / union.sub_(shared)
    return overlap


def _batches(
    sizes: Sequence[Sequence[int]], step: int
) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Sort images (by index) into batches of one padded size and a bounded number of pixels."""
    buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (height, width, *_) in enumerate(sizes):
        buckets[-(-height // step) * step, -(-width // step) * step].append(i)
    for (height, width), members in buckets.items():
        count = max(1, _PIXELS_PER_PASS // (height * width))
        for start in range(0, len(members), count):
            yield (height, width), members[start : start + count]
