"""Photographs as callers hand them in: read safely, named, and looked at in batches."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from PIL import Image

from data.errors import AppError, ImageError
from data.files import read_regular, sha256_of
from data.modes import to_rgb

from .results import FailedImage

Source = str | os.PathLike[str] | bytes | Image.Image
"""A path, a picture file's content, or a decoded picture that stands upright."""

ProgressCallback = Callable[[int, int], None]
"""Called after each photograph with how many are done, and of how many."""

FaceT = TypeVar("FaceT")

_MOST_IMAGES = 32
_MOST_PIXELS = 20_000_000  # 60 MB of pixels, whatever the photographs' sizes


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """A photograph that could be read.

    Attributes:
        name: What to call it: its path, or its place among those given.
        image: Upright, mode RGB.
        sha256: Of the file; of the pixels where there is no file.
    """

    name: str
    image: Image.Image
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Seen(Generic[FaceT]):
    """What is left of a photograph once its faces have been found: no pixels.

    Attributes:
        name: As `Photograph.name`.
        sha256: As `Photograph.sha256`.
        faces: The faces in it, largest first.
    """

    name: str
    sha256: str
    faces: tuple[FaceT, ...]


def read_photograph(source: Source, position: int) -> Photograph:
    """Read one photograph.

    Args:
        source: The photograph.
        position: Its place among those given, from 1: the name of one that has no path.

    Raises:
        AppError: As `data.images.load_image`.
    """
    # These bring torch, which listing people does without.
    from data.images import MAX_BYTES, load_image

    if isinstance(source, Image.Image):
        image = source if source.mode == "RGB" else to_rgb(source)
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    elif isinstance(source, bytes):
        image, digest = load_image(source), sha256_of(source)
    else:  # read once, so that the digest is that of the picture that was seen
        content = read_regular(source, error=ImageError, most_bytes=MAX_BYTES)
        image, digest = load_image(content, name=source), sha256_of(content)
    return Photograph(name=_name(source, position), image=image, sha256=digest)


def read_in_batches(sources: Sequence[Source]) -> Iterator[list[Photograph | FailedImage]]:
    """Read photographs, in order, in batches that are neither too many nor too large.

    One that cannot be read does not stop the others.
    """
    batch: list[Photograph | FailedImage] = []
    pixels = 0
    for position, source in enumerate(sources, start=1):
        try:
            photograph = read_photograph(source, position)
        except AppError as error:
            batch.append(FailedImage(image=_name(source, position), error=str(error)))
            continue
        size = photograph.image.width * photograph.image.height
        if batch and (len(batch) >= _MOST_IMAGES or pixels + size > _MOST_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(photograph)
        pixels += size
    if batch:
        yield batch


def look_at(
    sources: Sequence[Source],
    find: Callable[[Sequence[Image.Image]], Sequence[Sequence[FaceT]]],
    progress: ProgressCallback | None,
) -> Iterator[Seen[FaceT] | FailedImage]:
    """Find the faces in photographs, in order and batch by batch.

    Args:
        sources: The photographs.
        find: Images → the faces in each of them.
        progress: Called after each photograph.
    """
    done = 0
    for batch in read_in_batches(sources):
        images = [item.image for item in batch if isinstance(item, Photograph)]
        faces = iter(find(images) if images else ())
        for item in batch:
            if isinstance(item, Photograph):
                yield Seen(name=item.name, sha256=item.sha256, faces=tuple(next(faces)))
            else:
                yield item
            done += 1
            if progress is not None:
                progress(done, len(sources))


def _name(source: Source, position: int) -> str:
    if isinstance(source, bytes | Image.Image):
        return f"image {position}"
    return os.fspath(source)
