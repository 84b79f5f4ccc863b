"""The one door: boxes and landmarks in photographs of any size, and which face is meant."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbones.weights import resolve_device
from data.errors import ArgumentError, ImageError

from ..results import Face
from .mtcnn import Cascade, Detections

# Which of several faces is meant: people compare the largest, protocols the one in the middle.


def largest(faces: Sequence[Face]) -> Face:
    """The face with the largest box; the first of equals.

    Args:
        faces: At least one.

    Raises:
        ValueError: There is none.
    """
    return max(faces, key=lambda face: face.area)


def nearest_centre(faces: Sequence[Face], size: tuple[int, int]) -> Face:
    """The face whose box lies nearest to the image's centre; the first of equals.

    Args:
        faces: At least one, of the same image.
        size: Width and height of the image in pixels.

    Raises:
        ValueError: There is none.
    """
    return min(faces, key=lambda face: distance_from_centre(face, size))


def distance_from_centre(face: Face, size: tuple[int, int]) -> float:
    """From the middle of a face's box to the middle of its image, in pixels.

    Args:
        face: A face of the image.
        size: Width and height of the image in pixels.
    """
    (x, y), (width, height) = face.centre, size
    return float(((x - width / 2) ** 2 + (y - height / 2) ** 2) ** 0.5)


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


class FaceDetector:
    """Finds faces with MTCNN (Zhang et al. 2016); the networks' weights come with facenet-pytorch.

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
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.9),
        searched_pixels: int = 1_600_000,
    ) -> None:
        if not minimum_face >= 12:
            raise ArgumentError(f"minimum face is {minimum_face} pixels; take 12 or more")
        if not all(0 < threshold < 1 for threshold in thresholds):
            raise ArgumentError(f"thresholds {thresholds} must lie between 0 and 1")
        if searched_pixels < minimum_face**2:
            raise ArgumentError(f"{searched_pixels} searched pixels hold no face; take more")
        self._device = resolve_device(device) if isinstance(device, str) else device
        self._searched_pixels = searched_pixels
        self._cascade = Cascade(self._device, minimum_face=minimum_face, thresholds=thresholds)

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """Find all faces.

        Args:
            images: Upright RGB photographs of any sizes, as `data.images.load_image` gives them.

        Returns:
            For each image its faces, the largest box first; empty where there is none. What is
            found in an image does not depend on the other images.

        Raises:
            ImageError: An image is not in RGB.
        """
        pixels = [self._searched(image) for image in images]
        found = self._search(pixels)
        unsure = [i for i in range(len(images)) if found[i].best_score < _SURE]
        turned = self._search_turned([pixels[i] for i in unsure])
        for i, detections in zip(unsure, turned, strict=True):
            found[i] = max(found[i], detections, key=lambda each: each.best_score)
        return [
            _faces(found[i], image.width / pixels[i].shape[1], image.height / pixels[i].shape[0])
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
                    best[i] = _turned_back(found, quarters, image.shape[1], image.shape[0])
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


def _turned_back(found: Detections, quarters: int, width: int, height: int) -> Detections:
    """Map the faces of an image W×H, turned by quarters against the clock, back to how it was."""
    corners = _points_turned_back(found.boxes.view(-1, 2, 2), quarters, width, height)
    boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
    landmarks = _points_turned_back(found.landmarks, quarters, width, height)
    return Detections(boxes, found.scores, landmarks)


def _points_turned_back(points: Tensor, quarters: int, width: int, height: int) -> Tensor:
    x, y = points.unbind(-1)
    turned = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return torch.stack(turned[quarters], -1)


def _faces(found: Detections, x_scale: float, y_scale: float) -> list[Face]:
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


# The one face that a photograph of one person is about, also where it fills the whole frame.

_MARGIN = 0.1
"""What is added on each side of a photograph without a face, as a share of its longer side. MTCNN
needs some ground around a face: of 200 crops cut to 0.8 of the face's box it finds 132 as they are
and 191 so, of those cut to 0.9 of it 177 and 196. Wider margins find fewer."""


def central_faces(
    detector: FaceDetector, images: Sequence[Image.Image]
) -> list[tuple[Image.Image, Face] | None]:
    """Find in each photograph the face nearest its centre.

    A photograph without one is searched again with its border repeated outwards, since a face that
    fills the frame, as in the AT&T set, is otherwise overlooked.

    Args:
        detector: Finds faces.
        images: Upright RGB photographs of any sizes, as `data.images.load_image` gives them.

    Returns:
        For each of them the face and the picture in whose pixels it is told: the photograph, or the
        photograph with its border; None where there is no face.

    Raises:
        ImageError: An image is not in RGB.
    """
    searched = list(images)
    found = detector.detect(searched)
    faceless = [index for index, faces in enumerate(found) if not faces]
    for index in faceless:
        searched[index] = _with_margin(searched[index])
    again = detector.detect([searched[index] for index in faceless])
    for index, faces in zip(faceless, again, strict=True):
        found[index] = faces
    return [
        (image, nearest_centre(faces, image.size)) if faces else None
        for image, faces in zip(searched, found, strict=True)
    ]


def _with_margin(image: Image.Image) -> Image.Image:
    """The picture with its border repeated outwards on all sides."""
    margin = round(_MARGIN * max(image.size))
    pixels = np.pad(np.array(image), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return Image.fromarray(pixels)
