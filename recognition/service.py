"""Recognition for both front doors: one call for each thing that a user wants done."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ArgumentError, ImageError
from data.files import printable

from .calibrating import (
    calibrate,
    check_wanted,
    embed_strangers,
    probability_of,
    still_holds,
)
from .engine import Choice, Engine, Pipeline
from .enrolment import enrol, joined, photographs_in
from .evaluation.probability import PRIOR
from .gallery.gallery import Gallery, nobody_enrolled
from .gallery.names import person_name
from .identifying import name_faces
from .keeper import PeopleKeeper
from .photographs import ProgressCallback, Seen, Source, look_at, read_photograph
from .results import (
    Calibration,
    Detection,
    Enrolment,
    FailedImage,
    Identification,
    Use,
    Verification,
)

if TYPE_CHECKING:
    from .calibrating import Calibrated
    from .faces.pipeline import DetectedFace


class RecognitionService(PeopleKeeper):
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
        super().__init__(home)
        choice = Choice(home=self._home, model=model, weights=weights, device=device)
        self._engine = Engine(choice, self._remembered_model, pipeline)

    @property
    def threshold(self) -> float | None:
        """From which cosine similarity on two faces are one person's, as the weights say.

        None: they have none. A calibrated gallery has its own; see `calibration`.

        Raises:
            WeightsError: No weights are at hand.
        """
        return self._engine.pipeline.threshold

    def calibration(self, use: Use) -> Calibration | None:
        """The gallery's own threshold for a use; None if there is none for this network.

        Where the gallery has outgrown it, its `doubt` says so.

        Raises:
            WeightsError: No weights are at hand.
            GalleryError: The gallery cannot be read.
        """
        if not Gallery.exists(self._folder):
            return None
        gallery = self._gallery()
        found = gallery.calibration(use)
        if found is None or found.weights_digest != self._engine.model.weights_digest:
            return None
        return still_holds(found, gallery.size[1])

    def calibrate(
        self,
        *,
        fpir: float | None = None,
        far: float | None = None,
        data: Path | None = None,
        identities: Path | None = None,
        aligned: bool = False,
        prior: float = PRIOR,
        progress: ProgressCallback | None = None,
    ) -> "Calibrated":
        """Give the gallery its own thresholds and probabilities.

        Args:
            fpir: The part of strangers who may be given a name; None leaves `identify` alone.
            far: The part of pairs of two people who may pass for one; None leaves `verify` alone.
            data: A folder of people whom the network was not trained on; None takes those who are
                enrolled.
            identities: A list of whom of them to take; None takes all.
            aligned: Whether they are aligned at five points already.
            prior: How likely it is before looking that a face is of somebody enrolled, or that two
                photographs show one person.
            progress: Called after each photograph.

        Raises:
            ArgumentError: A rate or the prior is out of range, or there is nothing to do.
            DatasetError: The people cannot support a rate.
            WeightsError: No weights are at hand.
            GalleryError: Nobody is enrolled, or the gallery is another model's.
        """
        wanted = check_wanted(fpir, far, prior)
        if data is None and (identities is not None or aligned):
            raise ArgumentError("--identities and --aligned say how to read --data DIR: give it")
        gallery = self._gallery()
        if gallery.is_empty:
            raise nobody_enrolled(self._folder)
        gallery.require(self._engine.model)
        strangers = None
        if data is not None:
            from .evaluation.people import people_to_draw_from  # brings torch

            people = people_to_draw_from(data, identities)
            find = self._engine.finder(aligned=aligned)
            strangers = embed_strangers(data, people, gallery, find, progress)
        return calibrate(gallery, wanted, strangers, prior)

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
        return enrol(self._to_enrol_in, name, self._look_at(images, progress), face)

    def enroll_folder(self, root: Path, *, progress: ProgressCallback | None = None) -> Enrolment:
        """Enrol a folder of folders, each named like the person on its photographs.

        Each person is enrolled as soon as their photographs have been seen.

        Raises:
            DatasetError: The folder is not one of people's photographs.
            WeightsError: No weights are at hand.
            GalleryError: The gallery is another model's, or cannot be written.
        """
        owners, images, skipped = photographs_in(root)
        seen = zip(owners, self._look_at(images, progress), strict=True)
        done = [
            enrol(self._to_enrol_in, name, (item for _, item in group), face=None)
            for name, group in groupby(seen, key=itemgetter(0))
        ]
        return joined([*done, Enrolment(enrolled=(), skipped=skipped)])

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
                None takes the gallery's own, or else the weights'.
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
        calibration = self.calibration(Use.IDENTIFY)
        limit = self._limit(threshold, calibration)
        return [
            item
            if isinstance(item, FailedImage)
            else name_faces(gallery, item, top_k, limit, calibration)
            for item in self._look_at(images, progress)
        ]

    def verify(self, a: Source, b: Source, *, threshold: float | None = None) -> Verification:
        """Compare the largest faces of two photographs.

        Args:
            a: One photograph.
            b: The other.
            threshold: Cosine similarity from which on they are one person's; None takes the
                gallery's own, or else the weights'.

        Raises:
            ImageError: A photograph cannot be read, or there is no face in it.
            ArgumentError: A path does not exist, `threshold` is out of range, or the weights have
                none.
            WeightsError: No weights are at hand.
        """
        photographs = [read_photograph(a, 1), read_photograph(b, 2)]
        calibration = self.calibration(Use.VERIFY)
        limit = self._limit(threshold, calibration)
        found = self._engine.pipeline.faces([photograph.image for photograph in photographs])
        for photograph, faces in zip(photographs, found, strict=True):
            if not faces:
                raise ImageError(
                    f"no face found in {printable(photograph.name)}: take another photograph"
                )
        first, second = (faces[0].embedding for faces in found)
        similarity = min(1.0, max(-1.0, float(first @ second)))
        return Verification(
            same_person=similarity >= limit,
            cosine_similarity=similarity,
            threshold=limit,
            probability=probability_of(calibration, similarity),
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

    def _limit(self, threshold: float | None, calibration: Calibration | None) -> float:
        """What to decide by: what is asked for, the gallery's own, or else the weights'."""
        if threshold is None and calibration is not None:
            threshold = calibration.threshold
        return self._engine.threshold(threshold)

    def _to_enrol_in(self) -> Gallery:
        # The model comes before the gallery's lock: the engine takes both in this order.
        return self._gallery_for(self._engine.model)

    def _look_at(
        self, images: Sequence[Source], progress: ProgressCallback | None
    ) -> "Iterator[Seen[DetectedFace] | FailedImage]":
        """Find and embed the faces in photographs, after a look whether the gallery takes them."""
        if Gallery.exists(self._folder):
            self._gallery().require(self._engine.model, adopt=True)
        return look_at(images, self._engine.pipeline.faces, progress)
