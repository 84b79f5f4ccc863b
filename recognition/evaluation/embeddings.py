"""From photographs on disk to one embedding each, for every protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from backbones.spec import Alignment
from data.datasets import check_corrupt
from data.errors import ArgumentError, DatasetError
from data.files import printable
from data.images import to_tensor
from data.progress import Progress

from ..detection.detector import distance_from_centre, make_detector
from ..faces.alignment import CROP_SIZE, by_template, realign
from ..faces.embedding import Recogniser
from ..photographs import look_at
from ..results import Face, FailedImage

Embedding = npt.NDArray[np.float32]
"""A unit vector, (D,)."""

Finder = Callable[[Sequence[Image.Image]], Sequence[Sequence[Embedding]]]
"""Photographs → for each the embedding of the one face that counts, or an empty list."""


class _EmbeddedFace(Protocol):
    @property
    def face(self) -> Face: ...

    @property
    def embedding(self) -> Embedding: ...


class _Pipeline(Protocol):
    def faces(self, images: Sequence[Image.Image], /) -> Sequence[Sequence[_EmbeddedFace]]: ...


@dataclass(frozen=True, slots=True, eq=False)
class PhotographEmbeddings:
    """The embeddings of some photographs.

    Attributes:
        vectors: One for each photograph, in order; None where no face was found, or the file could
            not be read.
        unreadable: The files that could not be read, and why.
    """

    vectors: tuple[Embedding | None, ...]
    unreadable: tuple[FailedImage, ...]


def in_the_middle(pipeline: _Pipeline) -> Finder:
    """Return a finder that takes, of several faces, the one nearest to the photograph's centre.

    Args:
        pipeline: Detects, aligns and embeds.
    """

    def find(images: Sequence[Image.Image]) -> list[list[Embedding]]:
        chosen: list[list[Embedding]] = []
        for image, faces in zip(images, pipeline.faces(images), strict=True):
            nearest = sorted(faces, key=lambda f: distance_from_centre(f.face, image.size))[:1]
            chosen.append([detected.embedding for detected in nearest])
        return chosen

    return find


def already_aligned(embedder: Recogniser, device: str = "cpu") -> Finder:
    """Return a finder for crops of 112×112 that are aligned to the five-point template.

    Args:
        embedder: Embeds what it is given. Only for a network that wants the eyes elsewhere are
            they looked for in the crops.
        device: Where they are looked for.

    Raises:
        ArgumentError: The network wants its faces aligned otherwise.
    """
    if Alignment.BOX in embedder.alignments:
        raise ArgumentError(
            f"{embedder.model_id} is not made for faces aligned at five points; "
            "evaluate it with whole photographs, or take another model"
        )

    as_they_are = frozenset({Alignment.FIVE_POINT, Alignment.NONE, Alignment.DLIB})
    detector = None if as_they_are.issuperset(embedder.alignments) else make_detector(device)

    def find(images: Sequence[Image.Image]) -> list[list[Embedding]]:
        for width, height in {image.size for image in images}:
            if (width, height) != (CROP_SIZE, CROP_SIZE):
                raise DatasetError(
                    f"expected aligned faces of {CROP_SIZE}×{CROP_SIZE} pixels, got "
                    f"{width}×{height}; evaluate whole photographs as such"
                )

        def aligned(alignment: Alignment) -> Tensor:
            if alignment is Alignment.DLIB:
                return by_template(images, alignment)  # (F, 3, 150, 150)
            if detector is None or alignment in as_they_are:
                return torch.stack([to_tensor(image) for image in images])  # (F, 3, 112, 112)
            return realign(images, alignment, detector)  # (F, 3, S, S)

        return [[vector] for vector in embedder.embed_aligned(aligned)]

    return find


def in_grey(find: Finder) -> Finder:
    """Return a finder that sees photographs without their colours (ITU-R 601 luma)."""

    def find_grey(images: Sequence[Image.Image]) -> Sequence[Sequence[Embedding]]:
        return find([image.convert("L").convert("RGB") for image in images])

    return find_grey


def averaged(finders: Sequence[Finder]) -> Finder:
    """Return a finder whose cosine similarity is the mean of the others'.

    It joins their unit vectors end to end. A face that one of them does not find is not found.

    Args:
        finders: At least one.
    """
    if len(finders) == 1:
        return finders[0]

    def find(images: Sequence[Image.Image]) -> list[list[Embedding]]:
        by_finder = [finder(images) for finder in finders]
        found: list[list[Embedding]] = []
        for of_image in zip(*by_finder, strict=True):
            whole = _joined([embeddings[0] if embeddings else None for embeddings in of_image])
            found.append([] if whole is None else [whole])
        return found

    return find


def _joined(parts: Sequence[Embedding | None]) -> Embedding | None:
    """Join unit vectors to one; None where one of them is missing."""
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return None
    whole: Embedding = (np.concatenate(present) / np.sqrt(len(parts))).astype(np.float32)
    return whole


def embed_photographs(
    paths: Sequence[Path],
    find: Finder,
    *,
    root: Path,
    progress: Progress | None = None,
) -> PhotographEmbeddings:
    """Embed the one face that counts in each photograph, batch by batch.

    Args:
        paths: The photographs.
        find: What finds and embeds the face.
        root: The data set, for messages.
        progress: Called after each photograph.

    Raises:
        DatasetError: A photograph does not exist, or over a fifth of them cannot be read.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(paths)} photographs are not in {printable(root)}, as "
            f"{printable(missing[0])}; fetch the whole data set, or name its folder"
        )
    vectors: list[Embedding | None] = []
    unreadable: list[FailedImage] = []
    for seen in look_at(paths, find, progress):
        if isinstance(seen, FailedImage):
            unreadable.append(seen)
            vectors.append(None)
        else:
            vectors.append(seen.faces[0] if seen.faces else None)
    check_corrupt(len(unreadable), len(paths), root=root)
    return PhotographEmbeddings(tuple(vectors), tuple(unreadable))


def embed_with_each(
    paths: Sequence[Path],
    finders: Sequence[Finder],
    *,
    root: Path,
    progress: Progress | None = None,
) -> tuple[PhotographEmbeddings, PhotographEmbeddings]:
    """Embed photographs with the first finder, and with all finders averaged.

    Args:
        paths: The photographs.
        finders: At least one.
        root: The data set, for messages.
        progress: Called after each photograph of each finder.

    Returns:
        What the first gives, and what `averaged` would give.

    Raises:
        DatasetError: As `embed_photographs`.
    """
    by_finder = []
    for number, find in enumerate(finders):

        def advance(done: int, total: int, before: int = number) -> None:
            if progress is not None:
                progress(before * total + done, len(finders) * total)

        by_finder.append(embed_photographs(paths, find, root=root, progress=advance))
    rows = zip(*(embedded.vectors for embedded in by_finder), strict=True)
    first = by_finder[0]
    return first, PhotographEmbeddings(tuple(_joined(row) for row in rows), first.unreadable)
