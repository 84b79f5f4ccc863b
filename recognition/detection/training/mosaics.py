"""Mosaics of photographs, each labelled by the teacher once, and batches of them.

A mosaic is cut into tiles, and these into smaller ones, so that faces of many sizes lie beside one
another. The teacher sees it as it is composed; the network that learns may see it darkened, blurred
and with masks over mouths, and still has to say what the teacher said.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torchvision.ops import box_iou, nms

from data.datasets import listed_names
from data.errors import DatasetError, ImageError, WeightsError
from data.files import printable, private_folder, sha256_of
from data.images import find_images, load_image
from data.progress import Progress
from data.tensors import read_metadata, write_tensors

from ...results import Box
from ..annotations import BoxedPhotograph, read_boxed
from ..one_stage_network import (
    STRIDES,
    cells,
    decode_boxes,
    decode_landmarks,
    encode,
    flattened,
)
from .config import DetectorTrainingConfig, MosaicConfig, MosaicSourceConfig
from .teacher import Yunet

TARGETS = 16
"""Numbers a cell is told: the score, the box, the landmarks, and the weight of the landmarks."""

_A_FILE = 48  # mosaics in one file
_A_PASS = 8  # mosaics that the teacher sees at once

_Pixels = npt.NDArray[np.uint8]
_Draws = np.random.Generator


# Which photographs there are.


@dataclass(frozen=True, slots=True)
class SourcePhotograph:
    """One photograph that tiles are cut from, with the boxes of its faces where there are any."""

    path: Path
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class MosaicSource:
    """What a `MosaicSourceConfig` stands for."""

    photographs: tuple[SourcePhotograph, ...]
    share: float
    scene: bool


def read_source(config: MosaicSourceConfig) -> MosaicSource:
    """List a source's photographs; they are read when a tile needs them.

    Raises:
        ArgumentError: A folder or a list is missing.
        DatasetError: There is no photograph, or an annotation is missing or damaged.
    """
    if config.annotations is not None:
        boxed = read_boxed(config.photographs, config.annotations)
        found = [SourcePhotograph(each.path, each.boxes) for each in boxed]
    else:
        paths = sorted(find_images([config.photographs]))
        found = [SourcePhotograph(path) for path in paths]
    return MosaicSource(tuple(selected(found, config)), config.share, config.scene)


_Photograph = TypeVar("_Photograph", SourcePhotograph, BoxedPhotograph)


def selected(found: list[_Photograph], config: MosaicSourceConfig) -> list[_Photograph]:
    """Those of a source's photographs that its lists, and then its numbers, let through.

    Raises:
        ArgumentError: A list is missing.
        DatasetError: Nothing is left.
    """
    if config.only:
        listed = listed_names(config.only)
        found = [each for each in found if {each.path.name, each.path.parent.name} & listed]
    if config.excluded:
        left = listed_names(config.excluded)
        found = [each for each in found if not {each.path.name, each.path.parent.name} & left]
    found = found[config.skip :]
    found = found[: config.count] if config.count else found
    if not found:
        raise DatasetError(
            f"no photograph is left of {printable(config.photographs)}: look at the source's "
            "lists, and at its `skip`"
        )
    return found


# How a mosaic is composed.

_SPLITS = ((1.0, 0.75), (0.5, 0.6), (0.25, 0.35), (0.12, 0.2))
"""For tiles from this share of a mosaic's side on, how often one is cut into smaller ones."""

_LEAST_TILE = 20  # px
_LEAST_SCENE = 0.5  # of a mosaic's side
_QUARTER_TURNS = 0.06  # of the portraits lie on a side
_TURNED = 0.5  # of the others are turned by less
_COARSE = 0.15  # of the tiles had been smaller


@dataclass(frozen=True, slots=True)
class _Composed:
    """A mosaic as the teacher sees it, and the boxes that people have drawn in it (N, 4)."""

    picture: Image.Image
    boxes: Tensor


def _tiles(side: int, draws: _Draws) -> Iterator[tuple[int, int, int, int]]:
    """Cut a square into tiles: left, top, right and bottom of each."""
    waiting = [(0, 0, side, side)]
    while waiting:
        left, top, right, bottom = waiting.pop()
        share = min(right - left, bottom - top) / side
        often = next((often for least, often in _SPLITS if share >= least * 0.9), 0.0)
        parts = int(draws.choice([2, 2, 3]))
        small = min(right - left, bottom - top) < parts * _LEAST_TILE
        if draws.random() >= often or small:
            yield left, top, right, bottom
            continue
        xs = np.linspace(left, right, parts + 1).round().astype(int).tolist()
        ys = np.linspace(top, bottom, parts + 1).round().astype(int).tolist()
        waiting += [
            (xs[i], ys[j], xs[i + 1], ys[j + 1]) for j in range(parts) for i in range(parts)
        ]


_AT_HAND = 160
"""So many photographs, by the sources' shares, serve the mosaics of one file and are
decoded once for them."""


class Composer:
    """Draws mosaics by number."""

    def __init__(self, config: MosaicConfig, sources: Sequence[MosaicSource], seed: int) -> None:
        self._config, self._sources, self._seed = config, sources, seed
        scenes = [source.scene for source in sources]
        shares = np.array([source.share for source in sources], dtype=float)
        self._any = shares / shares.sum()
        self._at_hand: list[list[tuple[Image.Image, tuple[Box, ...]]]] = []
        portraits = np.where(scenes, 0.0, shares)
        self._portraits = portraits / portraits.sum() if portraits.sum() else self._any

    def draws(self, *place: int) -> _Draws:
        """The generator of one mosaic, or file: it follows from the seed and its number alone."""
        return np.random.default_rng([self._seed, *place])

    def gather(self, draws: _Draws) -> None:
        """Read the photographs that the next mosaics are made of.

        Raises:
            ImageError: One cannot be read.
        """
        self._at_hand = []
        for source, share in zip(self._sources, self._any, strict=True):
            count = min(len(source.photographs), max(1, round(share * _AT_HAND)))
            chosen = draws.choice(len(source.photographs), count, replace=False)
            photographs = [source.photographs[number] for number in chosen]
            self._at_hand.append([(load_image(each.path), each.boxes) for each in photographs])

    def compose(self, draws: _Draws) -> _Composed:
        """Put one together of what was gathered."""
        side = self._config.side
        canvas, boxes = Image.new("RGB", (side, side)), []
        for left, top, right, bottom in _tiles(side, draws):
            size = (right - left, bottom - top)
            tile, found = self._tile(size, draws)
            canvas.paste(tile, (left, top))
            boxes += [(x1 + left, y1 + top, x2 + left, y2 + top) for x1, y1, x2, y2 in found]
        return _Composed(canvas, torch.tensor(boxes, dtype=torch.float32).view(-1, 4))

    def _tile(self, size: tuple[int, int], draws: _Draws) -> tuple[Image.Image, list[Box]]:
        large = min(size) >= _LEAST_SCENE * self._config.side * 0.9
        number = draws.choice(len(self._sources), p=self._any if large else self._portraits)
        scene = self._sources[number].scene
        image, boxes = self._at_hand[number][draws.integers(len(self._at_hand[number]))]
        if scene:
            region = _region_of_scene(image.size, size, draws)
        else:
            if (finer := min(image.size) // (3 * max(size))) > 1:
                image = image.reduce(finer)
            image = self._turned(image, draws)
            region = _region_of_portrait(image.size, draws)
        way = draws.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
        if draws.random() < _COARSE:
            small = (max(1, size[0] // 2), max(1, size[1] // 2))
            image, region = image.resize(small, way, box=region), (0.0, 0.0, *small)
        tile = image.resize(size, Image.Resampling(way), box=region)
        return tile, [_in_tile(box, region, size) for box in boxes] if scene else []

    def _turned(self, image: Image.Image, draws: _Draws) -> Image.Image:
        if draws.random() < _QUARTER_TURNS:
            return image.transpose(
                Image.Transpose.ROTATE_90 if draws.random() < 0.5 else Image.Transpose.ROTATE_270
            )
        if draws.random() >= _TURNED:
            return image
        mean = np.asarray(image.resize((1, 1)))[0, 0]
        colour = (int(mean[0]), int(mean[1]), int(mean[2]))
        degrees = draws.uniform(-self._config.turned, self._config.turned)
        return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=colour)

    # What the network that learns sees in its place.

    def worn(self, picture: Image.Image, landmarks: Tensor, draws: _Draws) -> _Pixels:
        """Cover mouths, darken, blur and compress a mosaic.

        Args:
            picture: As it was composed.
            landmarks: (F, 5, 2) of its faces.
            draws: Of this mosaic.

        Returns:
            (S, S, 3)
        """
        config, picture = self._config, picture.copy()
        for points in landmarks[draws.random(len(landmarks)) < config.masked].tolist():
            _cover_mouth(picture, points, draws)
        if draws.random() < config.blurred:
            picture = picture.filter(ImageFilter.GaussianBlur(draws.uniform(0.3, 1.0)))
        pixels: npt.NDArray[np.floating] = np.asarray(picture, dtype=np.float32)
        if draws.random() < config.darkened:
            gamma, most = draws.uniform(0.9, 1.8), draws.uniform(0.15, 0.8)
            pixels = 255 * most * (pixels / 255) ** gamma
        if draws.random() < config.noisy:
            pixels = pixels + draws.normal(0, draws.uniform(2, 12), pixels.shape)
        whole: _Pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        if draws.random() < config.noisy:
            encoded = io.BytesIO()
            Image.fromarray(whole).save(encoded, "JPEG", quality=int(draws.integers(25, 75)))
            whole = np.array(Image.open(encoded))
        return whole


_Region = tuple[float, float, float, float]


def _region_of_portrait(image: tuple[int, int], draws: _Draws) -> _Region:
    """Which part of a portrait fills a tile."""
    side = min(image) * draws.uniform(0.55, 1.0)
    stretch = draws.uniform(0.87, 1.15)
    width, height = min(image[0], side * stretch), min(image[1], side / stretch)
    left, top = _place(image[0] - width, draws), _place(image[1] - height, draws)
    return left, top, min(left + width, image[0]), min(top + height, image[1])


def _region_of_scene(image: tuple[int, int], tile: tuple[int, int], draws: _Draws) -> _Region:
    """Which part of a view fills a tile, enlarged at most twice and shrunk at most to 0.4."""
    scale = 2 ** draws.uniform(-1.3, 1.0)
    scale = max(scale, tile[0] / image[0], tile[1] / image[1])
    width, height = tile[0] / scale, tile[1] / scale
    left, top = _place(image[0] - width, draws), _place(image[1] - height, draws)
    return left, top, min(left + width, image[0]), min(top + height, image[1])


def _place(room: float, draws: _Draws) -> float:
    """Anywhere from 0 to what is left over, which rounding may put below 0."""
    return draws.uniform(0, max(0.0, room))


def _in_tile(box: Box, region: _Region, size: tuple[int, int]) -> Box:
    """A box of a photograph, in pixels of the tile that a region of it fills."""
    across = size[0] / (region[2] - region[0])
    down = size[1] / (region[3] - region[1])
    x1, y1, x2, y2 = box
    return (
        (x1 - region[0]) * across,
        (y1 - region[1]) * down,
        (x2 - region[0]) * across,
        (y2 - region[1]) * down,
    )


_USUAL_MASKS = ((225, 228, 230), (120, 165, 200), (25, 25, 30), (200, 220, 235))
# Corners of a mask: in distances of the eyes to the side, and of eyes and mouth downwards.
_MASK = (
    (-0.85, 0.4),
    (0, 0.3),
    (0.85, 0.4),
    (0.75, 1.2),
    (0.25, 1.75),
    (-0.25, 1.75),
    (-0.75, 1.2),
)


def _cover_mouth(picture: Image.Image, points: Sequence[Sequence[float]], draws: _Draws) -> None:
    """Paint a mask over the lower half of a face, in place."""
    left, right, _, left_mouth, right_mouth = (np.array(point) for point in points)
    eyes, mouth = (left + right) / 2, (left_mouth + right_mouth) / 2
    across, down = right - left, mouth - eyes
    jitter = draws.uniform(-0.08, 0.08, (len(_MASK), 2))
    corners = [
        tuple((eyes + (x + jx) * across + (y + jy) * down).tolist())
        for (x, y), (jx, jy) in zip(_MASK, jitter, strict=True)
    ]
    colour = np.array(_USUAL_MASKS[draws.integers(len(_USUAL_MASKS))])
    if draws.random() < 0.3:
        colour = draws.integers(0, 256, 3)
    colour = np.clip(colour * draws.uniform(0.6, 1.1), 0, 255).astype(int)
    ImageDraw.Draw(picture).polygon(corners, fill=tuple(colour.tolist()))


# What the network is told.


def targets(
    judged: Tensor, boxes: Tensor, middles: Tensor, strides: Tensor, label: float
) -> Tensor:
    """What the teacher says of a mosaic, and what people have said where it is silent.

    Args:
        judged: (cells, 15) as the teacher gives them.
        boxes: (N, 4) that people have drawn, in pixels of the mosaic.
        middles: (cells, 2) of the cells, in pixels.
        strides: (cells, 1) of the cells, in pixels.
        label: The score that an overlooked face gets.

    Returns:
        (cells, 16): score, box, landmarks, weight of the landmarks.
    """
    told = torch.cat([judged, torch.ones_like(judged[:, :1])], 1)
    sure = judged[:, 0] > 0.5
    overlaps = box_iou(boxes, decode_boxes(judged[sure], middles[sure], strides[sure]))
    side = float(middles.max()) + STRIDES[0] / 2
    for box, found in zip(boxes, overlaps, strict=True):
        if bool((found > 0.45).any()) or not _is_visible(box, side):
            continue
        size = float((box[2:] - box[:2]).prod().sqrt())
        stride = next(
            (each for each, most in zip(STRIDES, _MOST_SIDES, strict=True) if size < most)
        )
        centre = (box[:2] + box[2:]) / 2
        near = (middles - centre).abs() <= torch.maximum(0.15 * (box[2:] - box[:2]), strides / 2)
        mine = near.all(1) & (strides[:, 0] == stride)
        no_points = torch.zeros(int(mine.sum()), 5, 2)
        values = encode(box.expand(len(no_points), 4), no_points, middles[mine], strides[mine])
        told[mine, 0] = told[mine, 0].clamp(min=label)
        told[mine, 1:15], told[mine, 15] = values, 0.0
    return told


_MOST_SIDES = (48, 112, float("inf"))
"""Up to which side in pixels a boxed face belongs to the map of each stride."""


def _is_visible(box: Tensor, side: float) -> bool:
    """Whether most of a box lies in a mosaic, and it is large enough to be learnt from."""
    inside = (box.clamp(0, side)[2:] - box.clamp(0, side)[:2]).prod()
    whole = (box[2:] - box[:2]).prod()
    return bool(inside >= 0.6 * whole) and bool(whole >= 8**2)


def faces_in(
    judged: Tensor, middles: Tensor, strides: Tensor, score: float = 0.6
) -> tuple[Tensor, Tensor]:
    """Boxes (F, 4) and landmarks (F, 5, 2) of the faces that the teacher is sure of."""
    sure = judged[:, 0] > score
    boxes = decode_boxes(judged[sure], middles[sure], strides[sure])
    kept = nms(boxes, judged[sure, 0], 0.3)
    points = decode_landmarks(judged[sure], middles[sure], strides[sure])
    return boxes[kept], points[kept]


# All mosaics of a run, on disk.


class Mosaics:
    """Mosaics on disk; `make` makes those that are missing.

    Attributes:
        digest: Of all that decides them.
        photographs: How many each source has.
    """

    def __init__(self, config: DetectorTrainingConfig, teacher: Yunet) -> None:
        """List the photographs; nothing is written.

        Args:
            config: Of the run, in whose folder they are kept unless it names another.
            teacher: Labels them.

        Raises:
            ArgumentError: A folder or a list is missing.
            DatasetError: A source has no photographs, or damaged annotations.
        """
        self._config = config.mosaics
        self._folder = config.mosaic_folder or config.out / "mosaics"
        sources = [read_source(each) for each in config.sources]
        self.digest = _digest(config, sources, teacher)
        self.photographs = tuple(len(source.photographs) for source in sources)
        self._composer = Composer(config.mosaics, sources, config.seed)
        self._teacher = teacher
        self._middles, self._strides = cells(config.mosaics.side, config.mosaics.side)
        self._open: list[Any] = []

    def make(self, progress: Progress | None = None) -> None:
        """Make the files that are missing, or not of these settings, and open all.

        Args:
            progress: Told how many mosaics of how many there are, while any are made.

        Raises:
            ImageError: A photograph cannot be read.
        """
        private_folder(self._folder)
        missing = [number for number in range(self._files) if not self._is_whole(number)]
        there = len(self) - sum(len(self._numbers(number)) for number in missing)
        for number in missing:
            self._make(number)
            there += len(self._numbers(number))
            if progress is not None:
                progress(there, len(self))
        self._open = [
            safetensors.safe_open(self._path(number), framework="pt", device="cpu")
            for number in range(self._files)
        ]

    def __len__(self) -> int:
        return self._config.count

    @property
    def _files(self) -> int:
        return -(-len(self) // _A_FILE)

    def _path(self, number: int) -> Path:
        return self._folder / f"mosaics-{number:04d}.safetensors"

    def _numbers(self, file: int) -> range:
        """Which mosaics a file holds."""
        return range(file * _A_FILE, min((file + 1) * _A_FILE, len(self)))

    def batch(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Some mosaics by number, once they are made.

        Returns:
            Pictures (B, 3, S, S) uint8 in channels-last order, and targets (B, cells, 16) float32.
        """
        pictures, told = [], []
        for number in numbers:
            file, at = self._open[number // _A_FILE], number % _A_FILE
            pictures.append(file.get_slice("pictures")[at : at + 1])
            told.append(file.get_slice("targets")[at : at + 1])
        return torch.cat(pictures).permute(0, 3, 1, 2), torch.cat(told).float()

    def _is_whole(self, number: int) -> bool:
        """Whether a file is there, is of these settings, and holds all the mosaics that it should.

        The digest leaves the count out, and the last file of a shorter series is filled in part.
        """
        path = self._path(number)
        if not path.is_file():
            return False
        try:
            if read_metadata(path).get("digest") != self.digest:
                return False
            with safetensors.safe_open(path, framework="pt", device="cpu") as file:
                held: int = file.get_slice("pictures").get_shape()[0]
        except (WeightsError, safetensors.SafetensorError):  # cut off: it is made anew as well
            return False
        return held >= len(self._numbers(number))

    def _make(self, number: int) -> None:
        """Make one file of mosaics."""
        wanted = self._numbers(number)
        try:
            self._composer.gather(self._composer.draws(number))
        except ImageError as error:
            raise ImageError(f"{error}; take the photograph out of the source's folder") from error
        pictures, told = [], []
        for start in range(wanted.start, wanted.stop, _A_PASS):
            for picture, target in self._labelled(wanted[start - wanted.start :][:_A_PASS]):
                pictures.append(torch.from_numpy(picture))
                told.append(target.half())
        tensors = {"pictures": torch.stack(pictures), "targets": torch.stack(told)}
        write_tensors(self._path(number), tensors, {"digest": self.digest})

    def _labelled(self, numbers: Sequence[int]) -> Iterator[tuple[_Pixels, Tensor]]:
        draws = [self._composer.draws(number // _A_FILE, number) for number in numbers]
        composed = [self._composer.compose(each) for each in draws]
        pixels = torch.stack([torch.from_numpy(np.array(each.picture)) for each in composed])
        judged = flattened(self._teacher(pixels.permute(0, 3, 1, 2).float() / 255)).clone()
        for each, said, source in zip(composed, judged, draws, strict=True):
            boxes = each.boxes if self._config.label else each.boxes[:0]
            target = targets(said, boxes, self._middles, self._strides, self._config.label)
            _, points = faces_in(said, self._middles, self._strides)
            yield self._composer.worn(each.picture, points, source), target


def _digest(config: DetectorTrainingConfig, sources: Sequence[MosaicSource], teacher: Yunet) -> str:
    """Of the settings, the photographs' names, sizes and boxes, and the teacher."""
    # Not of how many there are: a longer series begins as a shorter one does.
    parts: list[object] = [asdict(replace(config.mosaics, count=1)), config.seed, teacher.sha256]
    for source in sources:
        parts.append([source.share, source.scene])
        parts += [
            [each.path.name, each.path.stat().st_size, each.boxes] for each in source.photographs
        ]
    return sha256_of(json.dumps(parts).encode())
