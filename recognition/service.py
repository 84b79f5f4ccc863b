"""Recognition for both front doors: one call for each thing that a user wants done."""

import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from data.errors import ArgumentError, ImageError
from data.files import data_home, printable

from .engine import Choice, Engine, Pipeline
from .enrolment import enrol, joined
from .gallery.gallery import Gallery, nobody_enrolled
from .gallery.names import person_name
from .gallery.templates import EmbeddingModel
from .photographs import ProgressCallback, Seen, Source, look_at, read_photograph
from .results import (
    Detection,
    Enrolment,
    FailedImage,
    Identification,
    IdentifiedFace,
    PersonSummary,
    Skipped,
    Verification,
)

if TYPE_CHECKING:
    from .faces.pipeline import DetectedFace


class RecognitionService:
    """Enrols, identifies and verifies, in one data folder and with one network.

    Nothing is loaded before it is needed; the network and the gallery then stay. Safe for several
    threads.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        model: The network's name. None takes the gallery's; without a gallery, the weights' or the
            default one.
        weights: A file of weights; None looks in the known places.
        device: `auto`, `cpu` or `cuda`.
        pipeline: Takes the place of detector and network.
    """

    def __init__(
        self,
        *,
        home: Path | None = None,
        model: str | None = None,
        weights: Path | None = None,
        device: str = "auto",
        pipeline: Pipeline | None = None,
    ) -> None:
        home = data_home(home)
        self._folder = home / "gallery"
        self._lock = threading.RLock()
        self._open_gallery: Gallery | None = None
        choice = Choice(home=home, model=model, weights=weights, device=device)
        self._engine = Engine(choice, self._remembered_model, pipeline)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gallery, and keep its index for the next process."""
        with self._lock:
            if self._open_gallery is not None:
                self._open_gallery.close()
                self._open_gallery = None

    @property
    def threshold(self) -> float | None:
        """From which cosine similarity on two faces are one person's; None: the weights have none.

        Raises:
            WeightsError: No weights are at hand.
        """
        return self._engine.pipeline.threshold

    def people(self, *, deleted: bool = False) -> tuple[PersonSummary, ...]:
        """Everybody enrolled, by name; or those who were deleted and can be restored."""
        if not Gallery.exists(self._folder):
            return ()
        return self._gallery().people(deleted=deleted)

    def rename(self, old: str, new: str) -> None:
        """Give a person another name; see `Gallery.rename`."""
        self._gallery().rename(old, new)

    def delete(self, name: str) -> None:
        """Hide a person for 30 days, in which `restore` undoes it, then erase them."""
        self._gallery().delete(name)

    def restore(self, name: str) -> None:
        """Bring back whoever was deleted last under a name; see `Gallery.restore`."""
        self._gallery().restore(name)

    def erase(self, name: str) -> None:
        """Remove a person, enrolled or deleted, for good; see `Gallery.erase`."""
        self._gallery().erase(name)

    def thumbnail(self, person: str) -> bytes | None:
        """The aligned face of a person's first photograph as a PNG; None if none was kept."""
        return self._gallery().crop(person)

    def enroll(
        self,
        person: str,
        images: Sequence[Source],
        *,
        face: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Enrolment:
        """Enrol photographs of one person; those that cannot be used are skipped with a reason.

        Args:
            person: The name, known or new.
            images: The photographs.
            face: Which face to take of each photograph, 1 being the largest; None takes the only
                one and skips photographs of several people.
            progress: Called after each photograph.

        Raises:
            ArgumentError: The name cannot be one, or `face` is less than 1.
            WeightsError: No weights are at hand.
            GalleryError: The gallery is another model's, or cannot be written.
        """
        name = person_name(person)
        if face is not None and face < 1:
            raise ArgumentError(f"face {face}: faces are counted from 1, the largest")
        return enrol(self._gallery_to_enrol_in, name, self._look_at(images, progress), face)

    def enroll_folder(self, root: Path, *, progress: ProgressCallback | None = None) -> Enrolment:
        """Enrol a folder of folders, each named like the person on its photographs.

        Each person is enrolled as soon as their photographs have been seen.

        Raises:
            DatasetError: The folder is not one of people's photographs.
            WeightsError: No weights are at hand.
            GalleryError: The gallery is another model's, or cannot be written.
        """
        from data.datasets import read_identities  # brings torch

        owners: list[str] = []
        images: list[Path] = []
        skipped: list[Skipped] = []
        for identity in read_identities(root, minimum_people=1):
            try:
                owners += [person_name(identity.name)] * len(identity.photographs)
                images += identity.photographs
            except ArgumentError as error:
                skipped += [Skipped(str(path), str(error)) for path in identity.photographs]
        seen = zip(owners, self._look_at(images, progress), strict=True)
        done = [
            enrol(self._gallery_to_enrol_in, name, (item for _, item in group), face=None)
            for name, group in groupby(seen, key=itemgetter(0))
        ]
        return joined([*done, Enrolment(enrolled=(), skipped=tuple(skipped))])

    def identify(
        self,
        images: Sequence[Source],
        *,
        top_k: int = 5,
        threshold: float | None = None,
        progress: ProgressCallback | None = None,
    ) -> list[Identification | FailedImage]:
        """Say who is in photographs, among the people enrolled.

        Args:
            images: The photographs.
            top_k: How many of the closest people to name for each face.
            threshold: Cosine similarity from which on a face is taken for the closest person's;
                None takes the weights'.
            progress: Called after each photograph.

        Returns:
            One entry for each photograph, in order; `FailedImage` for those that cannot be read.

        Raises:
            ArgumentError: `top_k` or `threshold` is out of range, or the weights have no threshold.
            WeightsError: No weights are at hand.
            GalleryError: Nobody is enrolled, or the gallery is another model's.
        """
        gallery = self._gallery()
        if gallery.is_empty:
            raise nobody_enrolled(self._folder)
        limit = self._engine.threshold(threshold)
        return [
            item if isinstance(item, FailedImage) else _identify(gallery, item, top_k, limit)
            for item in self._look_at(images, progress)
        ]

    def verify(self, a: Source, b: Source, *, threshold: float | None = None) -> Verification:
        """Compare the largest faces of two photographs.

        Args:
            a: One photograph.
            b: The other.
            threshold: Cosine similarity from which on they are one person's; None takes the
                weights'.

        Raises:
            ImageError: A photograph cannot be read, or there is no face in it.
            ArgumentError: A path does not exist, `threshold` is out of range, or the weights have
                none.
            WeightsError: No weights are at hand.
        """
        photographs = [read_photograph(a, 1), read_photograph(b, 2)]
        limit = self._engine.threshold(threshold)
        found = self._engine.pipeline.faces([photograph.image for photograph in photographs])
        for photograph, faces in zip(photographs, found, strict=True):
            if not faces:
                raise ImageError(
                    f"no face found in {printable(photograph.name)}: take another photograph"
                )
        first, second = (faces[0].embedding for faces in found)
        similarity = min(1.0, max(-1.0, float(first @ second)))
        return Verification(
            same_person=similarity >= limit, cosine_similarity=similarity, threshold=limit
        )

    def detect(
        self, images: Sequence[Source], *, progress: ProgressCallback | None = None
    ) -> list[Detection | FailedImage]:
        """Find the faces in photographs; this needs no weights but the detector's own.

        Args:
            images: The photographs.
            progress: Called after each photograph.

        Returns:
            One entry for each photograph, in order; `FailedImage` for those that cannot be read.
        """
        return [
            item if isinstance(item, FailedImage) else Detection(image=item.name, faces=item.faces)
            for item in look_at(images, self._engine.find_faces, progress)
        ]

    def _look_at(
        self, images: Sequence[Source], progress: ProgressCallback | None
    ) -> "Iterator[Seen[DetectedFace] | FailedImage]":
        """Find and embed the faces in photographs, after a look whether the gallery takes them."""
        if Gallery.exists(self._folder):
            self._gallery().require(self._engine.model, adopt=True)
        return look_at(images, self._engine.pipeline.faces, progress)

    def _remembered_model(self) -> EmbeddingModel | None:
        return self._gallery().model if Gallery.exists(self._folder) else None

    def _gallery(self) -> Gallery:
        """The gallery, opened when it is first needed, and anew when it has been replaced."""
        with self._lock:
            if self._open_gallery is not None and not self._open_gallery.is_in_place:
                self.close()
            if self._open_gallery is None:
                self._open_gallery = Gallery.open(self._folder)
            return self._open_gallery

    def _gallery_to_enrol_in(self) -> Gallery:
        """The gallery, made where there is none."""
        model = self._engine.model  # before the lock: the engine takes both the other way round
        with self._lock:
            if not Gallery.exists(self._folder):
                self.close()
                self._open_gallery = Gallery.open(self._folder, model=model, create=True)
            return self._gallery()


def _identify(
    gallery: Gallery, photograph: "Seen[DetectedFace]", top_k: int, threshold: float
) -> Identification:
    """Name every face of a photograph, or say that nobody enrolled is close enough."""
    if not photograph.faces:
        return Identification(image=photograph.name, faces=())
    found = gallery.search(np.stack([face.embedding for face in photograph.faces]), top_k)
    faces = []
    for face, matches in zip(photograph.faces, found, strict=True):
        known = bool(matches) and matches[0].cosine_similarity >= threshold
        person = matches[0].person if known else None
        faces.append(IdentifiedFace(face=face.face, person=person, matches=tuple(matches)))
    return Identification(image=photograph.name, faces=tuple(faces))
