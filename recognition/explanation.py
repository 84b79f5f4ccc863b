"""Which regions of two faces carry the verdict about them, by covering them one after the other.

A soft square is laid over one face, region by region, in the places of the five-point template; how
much less alike the faces are then is the region's evidence (occlusion: Zeiler, Fergus 2014). Those
places are the template's whatever the network's own alignment is, so the maps of several networks
mean the same, also of several as one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment
from backbones.visualisation.sheet import Cell, SheetRow, overlay, sheet
from data.progress import Progress

from .faces.alignment import (
    CROP_SIZE,
    align_faces,
    crop_size,
    cut_out,
    inverted,
    transforms_to_crops,
)
from .results import Face

SIDE, STRIDE = 26, 12
"""Of the squares and from one to the next, in pixels of the template's 112: about an eye wide."""

_SHOWN = 3  # times the template's size, in which faces are shown
_DRAWN = 224
_SQUARES_PER_PASS = 16


class Embeds(Protocol):
    """What is asked of a recogniser."""

    def embed_aligned(self, aligned: Callable[[Alignment], Tensor]) -> npt.NDArray[np.float32]:
        """(F, D) unit vectors of faces that are at hand by any alignment."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What regions of one face contribute to the similarity of two.

    Attributes:
        face: (3, S, S) float32, 0 … 1: the face, aligned.
        loss: (112, 112) float32 in the template's places: how much less the cosine similarity is
            where the place is covered. Below 0: more.
    """

    face: Tensor
    loss: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why two faces are held for one person's, or not.

    Attributes:
        cosine_similarity: Of both as they are.
        faces: The evidence in each of them.
    """

    cosine_similarity: float
    faces: tuple[Evidence, Evidence]


def explain(
    embedder: Embeds,
    images: Sequence[Image.Image],
    faces: Sequence[Face],
    *,
    progress: Progress | None = None,
) -> Explanation:
    """Cover the regions of two faces.

    Args:
        embedder: What embeds them.
        images: The two photographs, RGB.
        faces: Where the face is in each.
        progress: Told how many squares of how many are done.

    Raises:
        ImageError: A face's landmarks coincide.
        WeightsError: The network's numbers are not finite.
    """
    sides = [_Covered(image, face) for image, face in zip(images, faces, strict=True)]
    vectors = [embedder.embed_aligned(side.plain)[0] for side in sides]
    similarity = float(vectors[0] @ vectors[1])
    centres = _centres()
    found = []
    for number, (side, other) in enumerate(zip(sides, reversed(vectors), strict=True)):
        losses: list[float] = []
        for first in range(0, len(centres), _SQUARES_PER_PASS):
            some = centres[first : first + _SQUARES_PER_PASS]
            covered = embedder.embed_aligned(partial(side, centres=some))
            losses += (similarity - covered @ other).tolist()
            if progress is not None:
                progress(number * len(centres) + len(losses), 2 * len(centres))
        found.append(Evidence(side.shown(), _spread(centres, losses)))
    return Explanation(min(1.0, max(-1.0, similarity)), (found[0], found[1]))


def laid_over(explanation: Explanation) -> list[tuple[Tensor, float]]:
    """Each face (3, S, S) under its evidence, and the similarity without the reddest place."""
    most = max(float(side.loss.abs().max()) for side in explanation.faces)
    found = []
    for side in explanation.faces:
        loss = torch.nn.functional.interpolate(
            side.loss[None, None], side.face.shape[1:], mode="bilinear", align_corners=False
        )[0, 0]
        over = overlay(side.face, loss, both_signs=True, most=most)
        found.append((over, explanation.cosine_similarity - float(side.loss.max())))
    return found


def draw(explanation: Explanation, verdict: str) -> Image.Image:
    """Both faces, each beside its evidence.

    Args:
        explanation: Of the verdict.
        verdict: What was found, in a line.
    """
    cells = []
    evidence = laid_over(explanation)
    for name, side, (over, without) in zip("AB", explanation.faces, evidence, strict=True):
        cells += [Cell(side.face, name), Cell(over, f"without the reddest place: {without:.2f}")]
    return sheet(
        verdict,
        [SheetRow(cells)],
        side=_DRAWN,
        columns=4,
        note="Red: where it is covered, the faces are less alike; it speaks for one person. "
        "Blue: they are more alike; it speaks against.",
    )


class _Covered:
    """One face, as it is and with squares over it, by any alignment."""

    def __init__(self, image: Image.Image, face: Face) -> None:
        self._image, self._face = image, face
        self._template = transforms_to_crops([face], [image.size], Alignment.FIVE_POINT)
        self._crops: dict[Alignment, Tensor] = {}
        upright = align_faces([image], [[face]])[0]
        middle = CROP_SIZE // 4
        self._colour = upright[:, middle:-middle, middle:-middle].mean(dim=(1, 2))

    def plain(self, alignment: Alignment) -> Tensor:
        """(1, 3, S, S): the face as it is."""
        if alignment not in self._crops:
            self._crops[alignment] = align_faces([self._image], [[self._face]], alignment)
        return self._crops[alignment]

    def __call__(self, alignment: Alignment, centres: Sequence[tuple[float, float]]) -> Tensor:
        """(F, 3, S, S): the face with a square of its mean colour at each of some centres."""
        x, y = self._places(alignment)
        masks = torch.stack([_square(x, y, centre) for centre in centres])[:, None]
        return self.plain(alignment) * (1 - masks) + self._colour.view(1, 3, 1, 1) * masks

    def _places(self, alignment: Alignment) -> tuple[Tensor, Tensor]:
        """Where in the template the pixels of a crop lie: x and y, each (S, S)."""
        size = crop_size(alignment)
        to_crop = transforms_to_crops([self._face], [self._image.size], alignment)
        back = inverted(to_crop)[0].double()
        there = self._template[0].double()
        steps = torch.arange(size, dtype=torch.float64) + 0.5
        down, across = torch.meshgrid(steps, steps, indexing="ij")
        crop = torch.stack([across.flatten(), down.flatten()])  # (2, S*S)
        image = back[:, :2] @ crop + back[:, 2:]
        x, y = there[:, :2] @ image + there[:, 2:]
        return x.view(size, size).float(), y.view(size, size).float()

    def shown(self) -> Tensor:
        """The face in the template's place, larger: (3, S, S)."""
        return cut_out([self._image], self._template * _SHOWN, CROP_SIZE * _SHOWN)[0]


def _centres() -> list[tuple[float, float]]:
    """X and y of the squares, which lie evenly over the template."""
    count = round(CROP_SIZE / STRIDE)
    steps = [CROP_SIZE / 2 + (n - (count - 1) / 2) * STRIDE for n in range(count)]
    return [(x, y) for y in steps for x in steps]


def _square(x: Tensor, y: Tensor, centre: tuple[float, float]) -> Tensor:
    """How far places are covered, 0 … 1; the edge is soft, for a sharp one would be seen itself."""
    share = torch.ones_like(x)
    for place, middle in zip((x, y), centre, strict=True):
        share = share * ((SIDE / 2 - (place - middle).abs()) / (SIDE / 2) + 0.5).clamp(0, 1)
    return share


def _spread(centres: Sequence[tuple[float, float]], losses: Sequence[float]) -> Tensor:
    """For each place of the template the mean loss of the squares over it, by how far they are."""
    steps = torch.arange(CROP_SIZE) + 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    total, weight = torch.zeros_like(x), torch.zeros_like(x)
    for centre, loss in zip(centres, losses, strict=True):
        share = _square(x, y, centre)
        total += share * loss
        weight += share
    return total / weight.clamp_min(1e-6)
