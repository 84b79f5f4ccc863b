"""Photographs → aligned faces, each searched for its face once and then kept.

A photograph of exactly 112×112 pixels counts as aligned at five points. Any other is searched, and
its aligned face is kept under the photograph's digest; so an interrupted alignment goes on where it
was. So it is with all of them where the network wants its faces aligned otherwise.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbones.registry import spec_of
from backbones.spec import Alignment
from data.errors import AppError, ArgumentError, ImageError, WriteError
from data.files import private_folder, sha256_of, write_atomic
from data.images import load_image, save_image, to_image

from ..faces.align import align_faces, crop_size
from ..faces.central import central_faces
from ..faces.detect import FaceDetector
from ..faces.geometry import CROP_SIZE
from ..faces.realign import BORDER as _BORDER
from ..faces.realign import REALIGNED, face_at, moved, realign, realign_beyond, with_border
from ..results import Face

_CHUNK = 32
_FIVE_POINT_SIZE = (CROP_SIZE, CROP_SIZE)
_NO_FACE = "no face found"

Landmarks = tuple[
    tuple[float, float],
    tuple[float, float],
    tuple[float, float],
    tuple[float, float],
    tuple[float, float],
]


@dataclass(frozen=True, slots=True)
class Missed:
    """A photograph that could not be used.

    Attributes:
        path: Where it is.
        reason: Why, in one line.
        corrupt: True where it could not be decoded; False where no face was found in it.
    """

    path: Path
    reason: str
    corrupt: bool


def alignment_for(backbone: str) -> Alignment:
    """How faces are aligned to train a network: as it wants them, or else at five points.

    Five points are for networks that have seen no faces yet, and for those that a five-point crop
    does not hold enough for: data sets come as such crops.

    Raises:
        ArgumentError: There is no network of that name.
    """
    own = spec_of(backbone).alignment
    return own if own in REALIGNED else Alignment.FIVE_POINT


class Aligner:
    """Turns photographs into aligned faces, with a cache."""

    def __init__(
        self,
        cache: Path,
        *,
        alignment: Alignment = Alignment.FIVE_POINT,
        device: str = "cpu",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Prepare; the detector is built when the first photograph needs it.

        Args:
            cache: Where aligned faces are kept; made when needed.
            alignment: Any. One that is none of `REALIGNED` reaches over a crop's border, which is
                repeated outwards, unless the photograph that it was cut from is there.
            device: For the detector.
            progress: Told how many photographs of how many are done.
        """
        self._cache = cache
        self._alignment = alignment
        self._side = crop_size(alignment)
        self._device = device
        self._progress = progress
        self._detector: FaceDetector | None = None
        self._unkept: dict[str, Tensor | None] = {}

    def load(
        self,
        paths: Sequence[Path],
        *,
        landmarks: Landmarks | None = None,
        originals: Callable[[Path], Path | None] | None = None,
    ) -> tuple[Tensor, list[Missed]]:
        """Decode and align photographs.

        Args:
            paths: The photographs.
            originals: Where the photograph lies that a crop was cut from, if it is at hand; asked
                only where the alignment reaches over the crop's border.
            landmarks: Where the five points lie in every one of them alike, in pixels; None: each
                that is not 112×112 is searched.

        Returns:
            Pixels (n, 3, S, S) uint8 of those that could be used, in order; and the others.
        """
        pixels = torch.empty((len(paths), 3, self._side, self._side), dtype=torch.uint8)
        kept, missed = 0, list[Missed]()
        beyond = None if self._alignment in REALIGNED else originals
        for start in range(0, len(paths), _CHUNK):
            for result in self._chunk(paths[start : start + _CHUNK], landmarks, beyond):
                if isinstance(result, Missed):
                    missed.append(result)
                else:
                    pixels[kept] = result
                    kept += 1
            if self._progress is not None:
                self._progress(min(start + _CHUNK, len(paths)), len(paths))
        return pixels[:kept], missed

    def _chunk(
        self,
        paths: Sequence[Path],
        landmarks: Landmarks | None,
        originals: Callable[[Path], Path | None] | None,
    ) -> Iterator[Tensor | Missed]:
        """The results for some photographs, in order."""
        results: dict[int, Tensor | Missed] = {}
        waiting: dict[int, Image.Image] = {}
        sources = list(paths)
        for index, path in enumerate(paths):
            try:
                image = load_image(path)
            except AppError as error:
                results[index] = Missed(path, str(error), corrupt=True)
                continue
            if originals and image.size == _FIVE_POINT_SIZE and (whole := originals(path)):
                image, sources[index] = load_image(whole), whole
            if image.size == _FIVE_POINT_SIZE and self._alignment is Alignment.FIVE_POINT:
                results[index] = _bytes_of(image)
            else:
                waiting[index] = image
        if landmarks is not None and waiting:
            faces, images = [face_at(landmarks)] * len(waiting), list(waiting.values())
            if self._alignment not in REALIGNED:
                faces = [moved(face, _BORDER, _BORDER) for face in faces]
                images = [with_border(image) for image in images]
            aligned = self._align(images, faces)
            results.update(zip(waiting, aligned, strict=True))
        else:
            digests = {index: sha256_of(sources[index]) for index in waiting}
            self._fill({digests[index]: image for index, image in waiting.items()})
            for index, digest in digests.items():
                results[index] = self._from_cache(paths[index], digest)
        return (results[index] for index in range(len(paths)))

    def _known(self, digest: str) -> bool:
        return self._face_file(digest).is_file() or self._faceless_file(digest).is_file()

    def _face_file(self, digest: str) -> Path:
        five_point = self._alignment is Alignment.FIVE_POINT
        return self._cache / f"{digest}{'' if five_point else f'.{self._alignment}'}.png"

    def _faceless_file(self, digest: str) -> Path:
        return self._cache / f"{digest}.faceless"

    def _fill(self, images: dict[str, Image.Image]) -> None:
        """Detect and align, of photographs by their digests, what the cache does not hold yet."""
        new = {digest: image for digest, image in images.items() if not self._known(digest)}
        if not new:
            return
        if self._detector is None:
            self._detector = FaceDetector(self._device)
        self._unkept.clear()
        with suppress(ArgumentError):  # a cache that cannot be is no reason to stop
            private_folder(self._cache)
        crops = {d: image for d, image in new.items() if image.size == _FIVE_POINT_SIZE}
        again = realign if self._alignment in REALIGNED else realign_beyond
        realigned = again(list(crops.values()), self._alignment, self._detector)
        for digest, pixels in zip(crops, realigned, strict=True):
            self._keep(digest, _rounded(pixels))
        others = {d: image for d, image in new.items() if d not in crops}
        found = central_faces(self._detector, list(others.values()))
        for digest, central in zip(others, found, strict=True):
            try:
                aligned = self._align([central[0]], [central[1]])[0] if central else None
            except ImageError:  # landmarks that coincide are no face
                aligned = None
            self._keep(digest, aligned)

    def _keep(self, digest: str, aligned: Tensor | None) -> None:
        """Write an aligned face (3, S, S) uint8 into the cache, or that there is none.

        Where it cannot be written it stays in memory for as long as it is needed.
        """
        try:
            if aligned is None:
                write_atomic(self._faceless_file(digest), b"")
            else:
                save_image(to_image(aligned.float() / 255), self._face_file(digest))
        except (OSError, WriteError):
            self._unkept[digest] = aligned

    def _align(self, images: list[Image.Image], faces: list[Face]) -> Tensor:
        """(n, 3, S, S) uint8, one face an image."""
        return _rounded(align_faces(images, [[face] for face in faces], self._alignment))

    def _from_cache(self, path: Path, digest: str) -> Tensor | Missed:
        if digest in self._unkept:
            found = self._unkept[digest]
            return Missed(path, _NO_FACE, corrupt=False) if found is None else found
        if self._faceless_file(digest).is_file():
            return Missed(path, _NO_FACE, corrupt=False)
        return _bytes_of(load_image(self._face_file(digest)))


def _bytes_of(image: Image.Image) -> Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _rounded(pixels: Tensor) -> Tensor:
    """0 … 1 → uint8."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
