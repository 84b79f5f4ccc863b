"""Selective search: regions that might be objects, from the bottom up (Uijlings et al. 2013).

Felzenszwalb and Huttenlocher's segmentation, scikit-image's, gives the first regions. The two
neighbours that are most alike are joined, again and again, until one is left: alike in colour, in
texture, in being small, and in filling each other's gaps. Each region ever seen gives its box.
Where it departs from the paper: one colour space and one segmentation, not eight of them; textures
are counted from plain differences of pixels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.distribution import install_command
from data.errors import ArgumentError

Floats = npt.NDArray[np.float64]

MOST = 300
"""Boxes of a photograph."""

_SCALE, _SIGMA, _LEAST_REGION = 30.0, 0.6, 16  # of the segmentation; pixels of a region
_LEAST_SIDE = 7.0  # px of a box
_COLOURS, _STRENGTHS, _WAYS = 25, 10, 8  # bins of a colour, of a difference, and directions
_STRONGEST = 64.0  # difference of two neighbouring pixels from which on all are alike


@dataclass(slots=True)
class ImageRegion:
    """A part of a picture.

    Attributes:
        box: x1, y1, x2, y2 in pixels.
        size: Its pixels.
        colours: (75,) shares of each colour's bins, a third each.
        textures: (240,) shares of the strengths of differences, by colour and direction.
    """

    box: tuple[int, int, int, int]
    size: int
    colours: Floats
    textures: Floats


def selective_search(
    picture: npt.NDArray[np.uint8], *, scale: float = _SCALE, most: int = MOST
) -> npt.NDArray[np.float32]:
    """Boxes that might hold an object.

    Args:
        picture: (H, W, 3).
        scale: The larger, the larger the first regions are.
        most: At most so many boxes; those that are joined last come first.

    Returns:
        (N, 4): x1, y1, x2, y2 in pixels, no two alike.

    Raises:
        ArgumentError: scikit-image is not installed.
    """
    if min(picture.shape[:2]) < _LEAST_SIDE:
        return np.zeros((0, 4), np.float32)  # which has no neighbours to differ from either
    labels = segmented(picture, scale)
    regions = first_regions(picture, labels)
    boxes = [region.box for region in joined(regions, neighbours(labels), labels.size)]
    seen: dict[tuple[int, int, int, int], None] = {}
    for box in reversed(boxes):
        if min(box[2] - box[0], box[3] - box[1]) >= _LEAST_SIDE:
            seen.setdefault(box)
    return np.array(list(seen)[:most], np.float32).reshape(-1, 4)


def segmented(picture: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.int64]:
    """The first regions by number (H, W), from 0 on.

    Raises:
        ArgumentError: scikit-image is not installed.
    """
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError as error:
        raise ArgumentError(
            "selective search needs scikit-image, which is not installed: install it with "
            f"{install_command('regions')}"
        ) from error
    found = felzenszwalb(picture, scale=scale, sigma=_SIGMA, min_size=_LEAST_REGION)
    labels: npt.NDArray[np.int64] = np.asarray(found, np.int64)
    return labels


def first_regions(
    picture: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> list[ImageRegion]:
    """Count the pixels, colours and textures of each region of a segmentation."""
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    colours = [
        _shares(labels, picture[..., c].astype(np.int64) * _COLOURS // 256, _COLOURS, count)
        for c in range(3)
    ]
    textures = [
        _shares(labels, strengths, _STRENGTHS, count) for strengths in _differences(picture)
    ]
    rows, columns = np.indices(labels.shape)
    boxes = np.empty((count, 4), np.int64)
    for place, values, take, start in (
        (0, columns, np.minimum, labels.size),
        (1, rows, np.minimum, labels.size),
        (2, columns + 1, np.maximum, 0),
        (3, rows + 1, np.maximum, 0),
    ):
        edge = np.full(count, start, np.int64)
        take.at(edge, labels.ravel(), values.ravel())
        boxes[:, place] = edge
    return [
        ImageRegion(
            (int(x1), int(y1), int(x2), int(y2)),
            int(sizes[number]),
            np.concatenate([each[number] for each in colours]) / len(colours),
            np.concatenate([each[number] for each in textures]) / len(textures),
        )
        for number, (x1, y1, x2, y2) in enumerate(boxes)
    ]


def _shares(
    labels: npt.NDArray[np.int64], bins: npt.NDArray[np.integer], of: int, count: int
) -> Floats:
    """The shares (count, of) of each bin among a region's pixels."""
    places = labels.ravel() * of + bins.ravel().astype(np.int64)
    found = np.bincount(places, minlength=count * of).reshape(count, of).astype(float)
    shares: Floats = found / found.sum(1, keepdims=True).clip(min=1)
    return shares


def _differences(picture: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.int64]]:
    """For each colour and direction the bin of each pixel's difference from its neighbours."""
    made = []
    for channel in range(3):
        down, across = np.gradient(picture[..., channel].astype(float))
        for way in range(_WAYS):
            angle = 2 * np.pi * way / _WAYS
            strength = np.maximum(0, across * np.cos(angle) + down * np.sin(angle))
            bins = (strength * (_STRENGTHS / _STRONGEST)).astype(np.int64)
            made.append(np.minimum(bins, _STRENGTHS - 1))
    return made


def neighbours(labels: npt.NDArray[np.int64]) -> set[tuple[int, int]]:
    """Pairs of regions, the smaller number first, that share an edge of a pixel."""
    pairs = np.concatenate(
        [
            np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], 1),
            np.stack([labels[:-1].ravel(), labels[1:].ravel()], 1),
        ]
    )
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0)
    return {(int(a), int(b)) for a, b in pairs}


def likeness(one: ImageRegion, other: ImageRegion, pixels: int) -> float:
    """How alike two regions of a picture of so many pixels are: four parts of 0 … 1 each."""
    box = _around(one, other)
    gap = (box[2] - box[0]) * (box[3] - box[1]) - one.size - other.size
    colour = np.minimum(one.colours, other.colours).sum()
    texture = np.minimum(one.textures, other.textures).sum()
    return float(colour + texture + 1 - (one.size + other.size) / pixels + 1 - gap / pixels)


def _around(one: ImageRegion, other: ImageRegion) -> tuple[int, int, int, int]:
    return (
        min(one.box[0], other.box[0]),
        min(one.box[1], other.box[1]),
        max(one.box[2], other.box[2]),
        max(one.box[3], other.box[3]),
    )


def together(one: ImageRegion, other: ImageRegion) -> ImageRegion:
    """Two regions as one; its shares follow from theirs, no pixel is looked at again."""
    size = one.size + other.size
    return ImageRegion(
        _around(one, other),
        size,
        (one.colours * one.size + other.colours * other.size) / size,
        (one.textures * one.size + other.textures * other.size) / size,
    )


def joined(
    regions: list[ImageRegion], pairs: set[tuple[int, int]], pixels: int
) -> list[ImageRegion]:
    """Join the two neighbours that are most alike until none has a neighbour.

    Args:
        regions: The first ones.
        pairs: Numbers of those that touch.
        pixels: Of the picture.

    Returns:
        The first regions, and after them each that was made, in this order. Of equally alike pairs
        the one with the smallest numbers is joined.
    """
    found = list(regions)
    alike = {pair: likeness(found[pair[0]], found[pair[1]], pixels) for pair in sorted(pairs)}
    touching: dict[int, set[int]] = {}
    for one, other in pairs:
        touching.setdefault(one, set()).add(other)
        touching.setdefault(other, set()).add(one)
    while alike:
        one, other = min(alike, key=lambda pair: (-alike[pair], pair))
        number = len(found)
        found.append(together(found[one], found[other]))
        around = (touching.pop(one) | touching.pop(other)) - {one, other}
        touching[number] = around
        del alike[one, other]
        for each in sorted(around):
            for gone in (one, other):
                alike.pop((min(gone, each), max(gone, each)), None)
                touching[each].discard(gone)
            touching[each].add(number)
            alike[each, number] = likeness(found[each], found[number], pixels)
    return found
