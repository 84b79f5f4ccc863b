"""What finds faces: the protocol, the registry, and the one place that makes a detector.

Here as well, for every detector: which of several faces is meant, and the arithmetic of boxes with
non-maximum suppression.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import batched_nms

from data.errors import ArgumentError, WeightsError
from data.files import printable
from data.tensors import read_metadata

from ..results import Face
from .methods.config import DetectorMethod


class FaceDetector(Protocol):
    """Finds faces in photographs."""

    @property
    def identity(self) -> str:
        """Name and version, as `DetectorSpec.identity`: templates remember what found their face.

        Another version finds other boxes or landmarks, so that its embeddings are others.
        """

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


# The registry. A further detector is a file of its own, which holds a `FaceDetector`, and one entry
# at the end of this section.


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorOptions:
    """What may be asked of any detector; None leaves its own setting.

    Which faces are found depends on them, and not what a face's identity is worth: they are no part
    of `DetectorSpec.identity`.

    Attributes:
        minimum_face: Side of the smallest face that is looked for, in pixels of the photograph.
        minimum_score: From which score on a box is a face, between 0 and 1.
        weights: Other weights than those at hand, of a detector that can be trained here.
        home: The data folder, where weights may be; None takes the user's.
    """

    minimum_face: float | None = None
    minimum_score: float | None = None
    weights: Path | None = None
    home: Path | None = None

    def __post_init__(self) -> None:
        if self.minimum_face is not None and not 1 <= self.minimum_face <= 1e6:
            raise ArgumentError(
                f"the smallest face is {self.minimum_face:g} pixels: give 1 or more"
            )
        if self.minimum_score is not None and not 0 < self.minimum_score < 1:
            raise ArgumentError(
                f"the least score is {self.minimum_score:g}: give one between 0 and 1"
            )


OWN_SETTINGS = DetectorOptions()
"""Nothing is asked for."""

DetectorFactory = Callable[[torch.device | str, DetectorOptions], FaceDetector]
"""Makes a detector that runs on a device: `auto`, `cpu`, `cuda`, or torch's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec:
    """What a detector says about itself.

    Attributes:
        name: What it is asked for by.
        version: Raised whenever it finds other boxes or landmarks than before.
        licence: Of its weights and code.
        source: Where the weights come from, and the paper.
        minimum_score: From which score on a box is a face, where nothing else is asked for.
        make: Makes one; imports what it needs when it is called.
    """

    name: str
    version: int
    licence: str
    source: str
    minimum_score: float
    make: DetectorFactory

    @property
    def identity(self) -> str:
        """Name and version in one word, as a gallery keeps it."""
        return f"{self.name}/{self.version}"


DEFAULT_DETECTOR = "mtcnn"
"""The detector where none is named."""

_registered: dict[str, DetectorSpec] = {}


def register_detector(spec: DetectorSpec) -> None:
    """Make a detector known by its name.

    Raises:
        ValueError: There is one of that name, or the name would not fit into an identity.
    """
    if spec.name in _registered:
        raise ValueError(f"a detector named {spec.name!r} is registered already")
    if not spec.name or "/" in spec.name:
        raise ValueError(f"a detector cannot be named {spec.name!r}")
    _registered[spec.name] = spec


def detector_names() -> tuple[str, ...]:
    """The names of all detectors, sorted."""
    return tuple(sorted(_registered))


def detector_spec(name: str) -> DetectorSpec:
    """What a detector says about itself.

    Raises:
        ArgumentError: There is no detector of that name; the message names those there are.
    """
    try:
        return _registered[name]
    except KeyError:
        known = ", ".join(detector_names())
        raise ArgumentError(f"no detector is called {name!r}: take one of {known}") from None


def resolve_detector(
    name: str, options: DetectorOptions = OWN_SETTINGS
) -> tuple[DetectorSpec, DetectorOptions]:
    """Which detector a name, or a file of weights in its place, means.

    Args:
        name: One of `detector_names()`, or a file that `train-detector` has written: it says itself
            whose weights it holds.
        options: What is asked for.

    Returns:
        The detector, and the options with the file among them.

    Raises:
        ArgumentError: There is no such detector or file, or weights are given twice.
        WeightsError: The file is damaged, or holds no detector.
    """
    path = Path(name)
    # Of Python's two questions this is the one that no name makes fail.
    is_file = os.path.isfile(name)  # noqa: PTH113
    if name in _registered or not (path.suffix == ".safetensors" or is_file):
        return detector_spec(name), options
    if options.weights is not None:
        raise ArgumentError(
            f"weights are given twice, as {printable(path)} and as {printable(options.weights)}: "
            "leave one of them out"
        )
    return detector_of_file(path), replace(options, weights=path)


def detector_of_file(weights: Path) -> DetectorSpec:
    """Which detector a file of weights is of.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is damaged, or holds no detector.
    """
    found = read_metadata(weights).get("architecture", "")
    if found not in _registered:
        raise WeightsError(
            f"{printable(weights)} holds {printable(found or 'an unknown network')}, expected a "
            "detector: take a file that `likeness train-detector` has written"
        )
    return _registered[found]


def make_detector(
    device: torch.device | str = "cpu",
    name: str = DEFAULT_DETECTOR,
    options: DetectorOptions = OWN_SETTINGS,
) -> FaceDetector:
    """Make a detector; every detector of the application is made here.

    Args:
        device: Where it runs: `auto`, `cpu`, `cuda` or a device.
        name: Which one, of `detector_names()`, or a file of weights: see `resolve_detector`.
        options: What it shall do otherwise than by its own settings.

    Raises:
        ArgumentError: There is no such detector or device, or it cannot do what is asked.
        WeightsError: Its weights are not at hand, or damaged.
    """
    spec, options = resolve_detector(name, options)
    return spec.make(device, options)


_MTCNN_SCORE, _TRAINED_SCORE = 0.9, 0.5
_OVERLAP_SCORE = 0.2  # YOLO v1's: its score is the overlap to be expected, which is seldom large


def _make_mtcnn(device: torch.device | str, options: DetectorOptions) -> FaceDetector:
    from .mtcnn import SMALLEST, THRESHOLDS, MtcnnDetector

    if options.weights is not None:
        raise ArgumentError("mtcnn has no weights but its own: leave the weights away")
    if options.minimum_face is not None and options.minimum_face < SMALLEST:
        raise ArgumentError(
            f"mtcnn finds faces of {SMALLEST} pixels and more, not of {options.minimum_face:g}"
        )
    score = _MTCNN_SCORE if options.minimum_score is None else options.minimum_score
    thresholds = (*THRESHOLDS, score)
    if options.minimum_face is None:
        return MtcnnDetector(device, thresholds=thresholds)
    return MtcnnDetector(device, thresholds=thresholds, minimum_face=options.minimum_face)


register_detector(
    DetectorSpec(
        name="mtcnn",
        version=1,
        licence="MIT",
        source="facenet-pytorch's wheel; Zhang et al. 2016",
        minimum_score=_MTCNN_SCORE,
        make=_make_mtcnn,
    )
)


def _trained(name: str, paper: str) -> DetectorSpec:
    """A detector that is trained here, and whose weights are a file."""

    def make(device: torch.device | str, options: DetectorOptions) -> FaceDetector:
        from .methods.registry import make_trained

        return make_trained(name, device, options)

    recipe = "detector" if name == DetectorMethod.ONE_STAGE else f"detectors/{name}"
    return DetectorSpec(
        name=name,
        version=1,
        licence="MIT",
        source=f"trained by `likeness train-detector recipes/{recipe}.toml`; {paper}",
        minimum_score=_OVERLAP_SCORE if name == DetectorMethod.YOLO_V1 else _TRAINED_SCORE,
        make=make,
    )


for _name, _paper in (
    (DetectorMethod.ONE_STAGE, "after FCOS, Tian et al. 2019"),
    (DetectorMethod.SLIDING_WINDOW, "Sermanet et al. 2014"),
    (DetectorMethod.LOCALISE, "one face a photograph"),
    (DetectorMethod.YOLO_V1, "Redmon et al. 2016"),
    (DetectorMethod.YOLO_V2, "Redmon, Farhadi 2017"),
    (DetectorMethod.YOLO_V3, "Redmon, Farhadi 2018"),
    (DetectorMethod.YOLO_V4, "Bochkovskiy et al. 2020"),
    (DetectorMethod.RCNN, "Girshick et al. 2014"),
    (DetectorMethod.FAST_RCNN, "Girshick 2015"),
    (DetectorMethod.FASTER_RCNN, "Ren et al. 2015; torchvision's, BSD-3-Clause"),
):
    register_detector(_trained(str(_name), _paper))


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


# Arithmetic of boxes: (x1, y1, x2, y2) in pixels, many at a time, of many images at a time.
#
# `owners` says for each box which image of the batch it lies in; boxes of two images never meet.


def moved(boxes: Tensor, movement: Tensor) -> Tensor:
    """Move the edges of boxes as a network says.

    Args:
        boxes: (N, 4) in pixels.
        movement: (N, 4), for each edge in sides of the box, positive to the right and down.

    Returns:
        The moved boxes (N, 4).
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + movement * sides.repeat(1, 2)


def squared(boxes: Tensor) -> Tensor:
    """Grow the shorter side of boxes (N, 4) to the longer one, about the same centre."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def strongest(scores: Tensor, owners: Tensor, limit: int) -> Tensor:
    """Pick the best-scored boxes of each image.

    Args:
        scores: (N,).
        owners: (N,) image of each box.
        limit: At most so many of one image.

    Returns:
        Indices of what stays, in the given order.
    """
    if len(scores) <= limit:
        return torch.arange(len(scores), device=scores.device)
    order = scores.argsort(descending=True, stable=True)
    order = order[owners[order].argsort(stable=True)]  # by image, and in each by score
    counts = owners.bincount()
    first = counts.cumsum(0) - counts
    rank = torch.arange(len(order), device=order.device) - first[owners[order]]
    return order[rank < limit].sort().values


def overlapping_removed(boxes: Tensor, scores: Tensor, owners: Tensor, threshold: float) -> Tensor:
    """Suppress each box that overlaps a better one of its image (non-maximum suppression).

    Args:
        boxes: (N, 4).
        scores: (N,).
        owners: (N,) image of each box.
        threshold: Intersection over union above which the weaker box goes.

    Returns:
        Indices of what stays, best first.
    """
    # In double precision: images are kept apart by large offsets, and rounding them would let the
    # result for one image depend on how many others share its batch.
    kept: Tensor = batched_nms(boxes.double(), scores.double(), owners, threshold)
    return kept


def nested_removed(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Suppress each box of one image that lies mostly inside a better one, or around it.

    Args:
        boxes: (N, 4) of a single image.
        scores: (N,).
        threshold: Intersection over the smaller area above which the weaker box goes.

    Returns:
        Indices of what stays, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    clashes = shared > threshold * torch.minimum(areas[:, None], areas)
    kept = torch.ones(len(order), dtype=torch.bool)
    for i in range(len(order)):
        if kept[i]:
            kept[i + 1 :] &= ~clashes[i, i + 1 :]
    return order[kept]
