"""Photographs as callers hand them in: read safely, named, and looked at in batches."""

import hashlib
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from PIL import Image

from data.errors import AppError, ImageError
from data.files import read_regular, sha256_of
from data.progress import Progress
from data.sources import Source, content_of, image_of, is_decoded, name_of, several

from .results import FailedImage

FaceT = TypeVar("FaceT")

MOST_IMAGES = 32
"""Photographs that are looked at together."""

MOST_PIXELS = 20_000_000
"""Their pixels: 80 MB in memory, whatever the photographs' sizes."""

_MOST_ITEMS = 8 * MOST_IMAGES  # counting those that are known or cannot be read


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """A photograph that could be read.

    Attributes:
        name: What to call it: its path, or its place among those given.
        image: Upright, mode RGB.
        sha256: Of the file; of the pixels where there is no file.
        warnings: What is odd about the file, a line each.
    """

    name: str
    image: Image.Image
    sha256: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Seen(Generic[FaceT]):
    """What is left of a photograph once its faces have been found: no pixels.

    Attributes:
        name: As `Photograph.name`.
        sha256: As `Photograph.sha256`.
        faces: The faces in it, largest first.
        warnings: As `Photograph.warnings`.
    """

    name: str
    sha256: str
    faces: tuple[FaceT, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A photograph that is known by its hash, and was not decoded.

    Attributes:
        name: As `Photograph.name`.
        sha256: As `Photograph.sha256`.
    """

    name: str
    sha256: str


Given = Source | Seen[Any] | FailedImage
"""A picture, or what was found when it was looked at before, which spares finding it again."""

ReadT = TypeVar("ReadT", bound=Photograph | Known | FailedImage)
UnseenT = TypeVar("UnseenT", bound=Known | FailedImage)


def read_photograph(source: Source, position: int) -> Photograph:
    """Read one photograph.

    Args:
        source: The photograph.
        position: Its place among those given, from 1: the name of one that has no path.

    Raises:
        AppError: As `data.images.load_image`.
    """
    if is_decoded(source):
        image = image_of(source)
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
        return Photograph(name=name_of(source, position), image=image, sha256=digest)
    from data.images import MAX_BYTES  # brings torch, which listing people does without

    if isinstance(source, str | os.PathLike):
        content, digest = _content_of(source)
        return _decoded(content, digest, source, os.fspath(source))
    content = content_of(source, most_bytes=MAX_BYTES)
    name = name_of(source, position)
    file = name if hasattr(source, "read") and name != f"image {position}" else None
    return _decoded(content, sha256_of(content), file, name)


def _decoded(
    content: bytes, digest: str, file: str | os.PathLike[str] | None, name: str
) -> Photograph:
    """A file's content as a photograph.

    Args:
        content: The bytes.
        digest: Their SHA-256.
        file: What the file is called, which says what it may hold; None: nothing says that.
        name: What to call the photograph.
    """
    from data.images import load_image

    warnings: list[str] = []
    image = load_image(content, name=file, warn=warnings.append)
    return Photograph(name=name, image=image, sha256=digest, warnings=tuple(warnings))


def read_unless_known(
    path: str | os.PathLike[str], known: Container[str]
) -> Photograph | Known | FailedImage:
    """Read a photograph's file, and decode it only if its SHA-256 is none of those known."""
    name = os.fspath(path)
    try:
        content, digest = _content_of(path)
        if digest in known:
            return Known(name=name, sha256=digest)
        return _decoded(content, digest, path, name)
    except AppError as error:
        return FailedImage(image=name, error=str(error))


def _content_of(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """A file's bytes and their SHA-256: read once, so that it is that of what is seen."""
    from data.images import MAX_BYTES

    content = read_regular(path, error=ImageError, most_bytes=MAX_BYTES)
    return content, sha256_of(content)


def read_in_batches(sources: Iterable[Source]) -> Iterator[list[Photograph | FailedImage]]:
    """Read photographs, in order, in batches that are neither too many nor too large.

    One that cannot be read does not stop the others.
    """

    def read(position: int, source: Source) -> Photograph | FailedImage:
        try:
            return read_photograph(source, position)
        except AppError as error:
            return FailedImage(image=name_of(source, position), error=str(error))

    return in_batches(read(*numbered) for numbered in enumerate(sources, start=1))


def in_batches(items: Iterable[ReadT]) -> Iterator[list[ReadT]]:
    """Photographs that were read, in batches that are neither too many nor too large.

    Which of them share a batch follows from their order and sizes alone.
    """
    batch: list[ReadT] = []
    pixels = images = 0
    for item in items:
        size = pixels_of(item)
        full = size and (images >= MOST_IMAGES or pixels + size > MOST_PIXELS)
        if batch and (full or len(batch) >= _MOST_ITEMS):
            yield batch
            batch, pixels, images = [], 0, 0
        batch.append(item)
        pixels += size
        images += size > 0
    if batch:
        yield batch


def pixels_of(item: Photograph | Known | FailedImage) -> int:
    """How many pixels are in memory because of it."""
    return item.image.width * item.image.height if isinstance(item, Photograph) else 0


def look_at(
    sources: Sequence[Source],
    find: Callable[[Sequence[Image.Image]], Sequence[Sequence[FaceT]]],
    progress: Progress | None,
) -> Iterator[Seen[FaceT] | FailedImage]:
    """Find the faces in photographs, in order and batch by batch.

    Args:
        sources: The photographs.
        find: Images → the faces in each of them.
        progress: Called after each photograph.
    """
    done = 0
    for batch in read_in_batches(sources):
        for item in look_at_batch(batch, find):
            yield item
            done += 1
            if progress is not None:
                progress(done, len(sources))


def given_photographs(images: Given | Iterable[Given]) -> list[Given]:
    """What was handed in as a list; a bare photograph is one photograph.

    Raises:
        ArgumentError: One of them is nothing that a picture can be made of.
    """
    return several(images, besides=(Seen, FailedImage))


def placed(
    found: "Seen[FaceT] | FailedImage", source: Given, position: int
) -> "Seen[FaceT] | FailedImage":
    """What was found in a photograph, called by its path or else by its place.

    Args:
        found: Now or before, when its place may have been another.
        source: The photograph.
        position: Its place among those given, from 1.
    """
    if isinstance(source, str | os.PathLike):
        return found
    name = f"image {position}"
    return (
        replace(found, image=name) if isinstance(found, FailedImage) else replace(found, name=name)
    )


def look_at_batch(
    batch: Sequence[Photograph | UnseenT],
    find: Callable[[Sequence[Image.Image]], Sequence[Sequence[FaceT]]],
) -> list[Seen[FaceT] | UnseenT]:
    """Find the faces of the photographs in a batch; what is none stays in its place."""
    images = [item.image for item in batch if isinstance(item, Photograph)]
    faces = iter(find(images) if images else ())
    return [
        Seen(
            name=item.name,
            sha256=item.sha256,
            faces=tuple(next(faces)),
            warnings=item.warnings,
        )
        if isinstance(item, Photograph)
        else item
        for item in batch
    ]
