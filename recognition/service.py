"""Recognition for both front doors: one call for each thing that a user wants done."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from data.errors import ImageError
from data.files import printable
from data.progress import Progress
from data.sources import Source, check_source, several

from .access import GalleryAccess
from .bulk_enrolment import EnrolmentQueue, enrol_people
from .calibration import probability_of
from .enrolment import (
    EnrolmentTerms,
    Watch,
    check_face,
    enrol,
    face_meant,
    joined,
    photographs_in,
    template_of,
)
from .faces.quality import measure
from .gallery.gallery import Gallery, nobody_enrolled
from .gallery.names import person_name
from .gallery.storage.people import Who, group_names
from .identification import Question, name_faces
from .matching import Matching
from .models import Choice, Engine, Pipeline
from .people import EnrolledPeople
from .photographs import (
    Given,
    Photograph,
    Seen,
    given_photographs,
    look_at,
    placed,
    read_photograph,
)
from .results import (
    Compared,
    Consent,
    Decision,
    Detection,
    Enrolment,
    FailedImage,
    Identification,
    Use,
    Verification,
)
from .secrets import Ask, Warn
from .template_attention import combined
from .thresholds import Thresholds, pair_limit, sigmoid

if TYPE_CHECKING:
    from .explanation import Explanation
    from .faces.pipeline import DetectedFace


class RecognitionService:
    """Enrols, identifies and verifies, in one data folder and with one network.

    Nothing is loaded before it is needed; the network and the gallery then stay. Safe for several
    threads. Close it, or use it in a `with` statement.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address; None takes LIKENESS_GALLERY, or else the data folder's
            own.
        model: The network's name. None takes the gallery's; without a gallery, the weights' or the
            default one.
        weights: A file of weights; None looks in the known places.
        device: `auto`, `cpu` or `cuda`.
        detector: What finds faces, by its name; None takes the gallery's, or the default one.
        minimum_face: Side in pixels of the smallest face that is looked for; None: the detector's.
        minimum_score: From which score on a box is a face, 0 … 1; None: the detector's.
        pipeline: Takes the place of detector and network.
        ask: See `GalleryAccess`.
        warn: The same.
        index: The same.

    Attributes:
        gallery: The way to the gallery: opened, locked, encrypted, tidied.
        people: Who is enrolled, and how that is changed by hand.
        models: Which detector and network it runs on, and when they are loaded.
        thresholds: From which similarity on two faces are one person's.
    """

    def __init__(
        self,
        *,
        home: Path | None = None,
        gallery: str | None = None,
        model: str | None = None,
        weights: Path | None = None,
        device: str = "auto",
        detector: str | None = None,
        minimum_face: float | None = None,
        minimum_score: float | None = None,
        pipeline: Pipeline | None = None,
        ask: Ask = lambda: None,
        warn: Warn = lambda _: None,
        index: str | None = None,
    ) -> None:
        self.gallery = GalleryAccess(home, gallery, ask, warn, index)
        choice = Choice(
            home=self.gallery.home,
            model=model,
            weights=weights,
            device=device,
            detector=detector,
            minimum_face=minimum_face,
            minimum_score=minimum_score,
        )
        self.models = Engine(choice, self.gallery.remembered_model, pipeline)
        self.people = EnrolledPeople(self.gallery)
        self.thresholds = Thresholds(self.gallery, self.models)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gallery, and keep its index for the next process."""
        self.gallery.close()

    def enroll(
        self,
        person: str,
        images: Given | Iterable[Given],
        *,
        face: int | None = None,
        any_quality: bool = False,
        consent: Consent | None = None,
        groups: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Enrolment:
        """Enrol photographs of one person; those that cannot be used are skipped with a reason.

        What is odd about one that was enrolled is told beside it.

        Args:
            person: The name, known or new.
            images: The photographs, or a single one; see `data.sources.Source`.
            face: Which face to take of each photograph, 1 being the largest; None takes the only
                one and skips photographs of several people.
            any_quality: Whether to take faces that are too small, blurred, turned, dark or bright.
            consent: What the person agreed to, and until when.
            groups: What the person is put into, if any photograph is new.
            progress: Called after each photograph.

        Raises:
            ArgumentError: The name, or a group's, cannot be one; `face` is less than 1; or
                something is given that no picture can be made of.
            WeightsError: No weights are at hand.
            GalleryError: The gallery is another model's, or cannot be written.
        """
        name = person_name(person)
        check_face(face)
        photographs = self._look_at(given_photographs(images), progress)
        self._search_in_vain()
        enrolment = enrol(
            self._to_enrol_in, name, photographs, self._terms(face, any_quality, consent, groups)
        )
        alike = self.people.spelled_alike([one.person for one in enrolment.enrolled])
        return replace(enrolment, notes=(*alike, *self.thresholds.measure_anew()))

    def enroll_folder(
        self,
        root: Path,
        *,
        face: int | None = None,
        any_quality: bool = False,
        consent: Consent | None = None,
        groups: Sequence[str] = (),
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> Enrolment:
        """Enrol a folder of folders, each named like the person on its photographs.

        Photographs are enrolled some hundred at a time, and those that are enrolled already under
        the name are not looked at again: a run that was interrupted is gone on with by the same
        call. What is enrolled does not depend on the number of workers. People are not compared
        with everybody else: `thresholds.look_alikes` does that once for all.

        Args:
            root: The folder.
            face: As in `enroll`.
            any_quality: As in `enroll`.
            consent: What all of them agreed to, and until when.
            groups: What each of them is put into.
            workers: Processes that decode; None: one a core, at most 8.
            progress: Called after each transaction, with how many are settled for good.

        Raises:
            ArgumentError: A group's name cannot be one, or `face` is less than 1.
            DatasetError: The folder is not one of people's photographs.
            WeightsError: No weights are at hand.
            GalleryError: The gallery is another model's, or cannot be written.
        """
        check_face(face)
        people, left_out = photographs_in(root)
        queue = EnrolmentQueue(
            self._to_enrol_in,
            people,
            self._terms(face, any_quality, consent, groups, others=False),
            progress or (lambda done, total: None),
        )
        there = self.gallery.is_there
        self._check_model()
        enrol_people(
            queue,
            self.models.pipeline.faces,
            lambda name: self.gallery.open().photographs_known(name) if there else frozenset(),
            workers,
        )
        done = joined(queue.done)
        alike = self.people.spelled_alike([one.person for one in done.enrolled])
        return joined([done, replace(left_out, notes=(*alike, *self.thresholds.measure_anew()))])

    def identify(
        self,
        images: Given | Iterable[Given],
        *,
        top_k: int = 5,
        threshold: float | None = None,
        fpir: float | None = None,
        matching: Matching = Matching.BEST,
        repeats: bool = False,
        groups: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> list[Identification | FailedImage]:
        """Say who is in photographs, among the people enrolled.

        Args:
            images: The photographs, or a single one; see `data.sources.Source`.
            top_k: How many of the closest people to name for each face.
            threshold: Cosine similarity from which on a face is taken for the closest person's;
                None derives it, see `Thresholds.decision`.
            fpir: The part of strangers who may be given a name; None takes the gallery's, or else
                one in a hundred.
            matching: How a face is compared with a person of several photographs. No rule is above
                the default, so that a threshold lets no more strangers pass by another one.
            repeats: Whether a person may be named twice in one photograph, as in a collage.
            groups: Name only who is in one of these; everybody else is nobody known. Empty:
                everybody.
            progress: Called after each photograph.

        Returns:
            One entry for each photograph, in order; `FailedImage` for those that cannot be read.

        Raises:
            ArgumentError: `top_k`, `threshold` or `fpir` is out of range, or nothing tells from
                where on two faces are one person's.
            WeightsError: No weights are at hand.
            GalleryError: Nobody is enrolled, or nobody is in one of the groups, or the gallery is
                another model's.
        """
        given = given_photographs(images)
        gallery = self.gallery.open()
        if gallery.is_empty:
            raise nobody_enrolled(self.gallery.place)
        decision = self.thresholds.decision(
            Use.IDENTIFY, threshold=threshold, rate=fpir, matching=matching, groups=groups
        )
        question = Question(
            top_k=top_k,
            decision=decision,
            calibration=self.thresholds.calibration(Use.IDENTIFY),
            matching=self.models.rule(matching),
            repeats=repeats,
            among=gallery.members(groups) if groups else None,
        )
        return [
            item if isinstance(item, FailedImage) else name_faces(gallery, item, question)
            for item in self._look_at(given, progress)
        ]

    def not_this_person(self, person: Who, image: Given, *, face: int | None = None) -> None:
        """Remember of a photograph's face that it is not a person's; see `Editor.exclude`.

        Args:
            person: Who it is not, by their id or name.
            image: The photograph.
            face: Which face of it, 1 being the largest; None takes the only one.

        Raises:
            ImageError: The photograph cannot be read, or the face that is meant is not in it.
            GalleryError: Nobody has that name, or this very face is enrolled under it.
            WeightsError: No weights are at hand.
        """
        check_face(face)
        [seen] = self._look_at(given_photographs(image), None)
        chosen = face_meant(seen, face)
        if isinstance(chosen, str):
            raise ImageError(chosen if isinstance(seen, FailedImage) else f"{seen.name}: {chosen}")
        if not isinstance(seen, FailedImage):
            self.people.edit.exclude(person, template_of(seen, chosen))

    def verify(
        self,
        a: Source,
        b: Source,
        *,
        threshold: float | None = None,
        far: float | None = None,
        decision: Decision | None = None,
    ) -> Verification:
        """Compare the largest faces of two photographs.

        Args:
            a: One photograph.
            b: The other.
            threshold: Cosine similarity from which on they are one person's; None derives it, see
                `Thresholds.decision`.
            far: The part of pairs of two people who may pass for one; None takes the gallery's, or
                else one in a thousand.
            decision: What `Thresholds.decision` said before, to decide by just that; None asks it,
                with `threshold` and `far`, which do not count otherwise.

        Raises:
            ImageError: A photograph cannot be read, or there is no face in it.
            ArgumentError: A path does not exist, `threshold` or `far` is out of range, or nothing
                tells from where on two faces are one person's.
            WeightsError: No weights are at hand.
        """
        for source in (a, b):
            check_source(source)
        photographs = [read_photograph(a, 1), read_photograph(b, 2)]
        if decision is None:
            decision = self.thresholds.decision(Use.VERIFY, threshold=threshold, rate=far)
        (first, one), (second, other) = self._largest_faces(photographs)
        similarity = min(1.0, max(-1.0, float(first @ second)))
        judged = self._judge_pair(first, second, decision, similarity)
        return replace(judged, photographs=(one, other))

    def explain(self, a: Source, b: Source, *, progress: Progress | None = None) -> "Explanation":
        """Find which regions of the largest faces of two photographs carry the verdict.

        Args:
            a: One photograph.
            b: The other.
            progress: Told how many covered faces of how many are done.

        Raises:
            ImageError: A photograph cannot be read, or there is no face in it.
            ArgumentError: A path does not exist.
            WeightsError: No weights are at hand.
        """
        from .explanation import explain

        for source in (a, b):
            check_source(source)
        photographs = [read_photograph(a, 1), read_photograph(b, 2)]
        faces = [compared.face for _, compared in self._largest_faces(photographs)]
        images = [photograph.image for photograph in photographs]
        return explain(self.models.pipeline.embedder, images, faces, progress=progress)

    def _judge_pair(
        self,
        first: npt.NDArray[np.float32],
        second: npt.NDArray[np.float32],
        decision: Decision,
        similarity: float,
    ) -> Verification:
        """Decide about two embeddings: by the weights' pair unit where they keep one, or cosine."""
        pair, likely = (
            self.models.pair,
            probability_of(self.thresholds.calibration(Use.VERIFY), similarity),
        )
        value = None if pair is None else pair.value(first, second)
        limit = pair_limit(pair, decision)
        by_cosine = similarity >= decision.threshold
        return Verification(
            same_person=by_cosine if value is None or limit is None else value >= limit,
            cosine_similarity=similarity,
            threshold=decision.threshold,
            probability=likely if likely is not None or value is None else sigmoid(value),
            pair_value=value,
            pair_limit=limit,
            decision=decision,
        )

    def verify_person(
        self,
        image: Source,
        name: str | None,
        *,
        person_id: int | None = None,
        threshold: float | None = None,
        far: float | None = None,
        matching: Matching = Matching.BEST,
        decision: Decision | None = None,
    ) -> Verification:
        """Say whether a photograph's largest face is somebody's who is enrolled.

        It is compared with all of their photographs, and by default the closest counts: a stranger
        has as many chances as there are photographs.

        Args:
            image: The photograph.
            name: Whose face it may be; None: `person_id` says it.
            person_id: Whom of that name, by the id that `people.summaries` tells.
            threshold: Cosine similarity from which on it is theirs; None derives it, see
                `Thresholds.decision`.
            far: The part of strangers who may pass for the person; None takes the gallery's for
                comparisons, or else one in a thousand.
            matching: How the face is compared with the person's photographs.
            decision: As in `verify`.

        Raises:
            ArgumentError: Nobody is meant, or more than one person may be; a path does not exist;
                `threshold` or `far` is out of range, or nothing tells from where on two faces are
                one person's.
            ImageError: The photograph cannot be read, or there is no face in it.
            WeightsError: No weights are at hand.
            GalleryError: The gallery is another model's, or cannot be read.
        """
        check_source(image)
        person = self.people.meant(name, person_id)
        photograph = read_photograph(image, 1)
        self._check_model()
        calibration = self.thresholds.calibration(Use.VERIFY)
        if decision is None:
            decision = self.thresholds.decision(
                Use.VERIFY, threshold=threshold, rate=far, matching=matching, person=person
            )
        rule = self.models.rule(matching)
        [(embedding, taken)] = self._largest_faces([photograph])
        gallery = self.gallery.open()
        found = gallery.search(embedding[None], 1, rule, among=[person.person_id])[0]
        # As they are now: others may have enrolled or deleted some since the person was looked up.
        _, embeddings = gallery.templates_of(person.person_id)
        if found:
            similarity = found[0].cosine_similarity
        else:  # whoever is known not to have this face is not found by it
            similarity = combined(embeddings @ embedding, rule, embeddings)
        judged = Verification(
            same_person=bool(found) and similarity >= decision.threshold,
            cosine_similarity=similarity,
            threshold=decision.threshold,
            probability=probability_of(calibration, similarity) if found else None,
            decision=decision,
        )
        if found and len(embeddings) == 1:  # the pair unit's figures are those of one pair
            judged = self._judge_pair(embedding, embeddings[0], decision, similarity)
        return replace(
            judged,
            person=person.name,
            person_id=person.person_id,
            excluded=not found,
            photographs=(taken,),
        )

    def look(
        self, images: Source | Iterable[Source], *, progress: Progress | None = None
    ) -> "list[Seen[DetectedFace] | FailedImage]":
        """Find and embed the faces in photographs, which takes nearly all the time of what follows.

        What comes back may be handed to `identify`, `enroll` and `not_this_person` in the place of
        the photographs, as often as wanted.

        Args:
            images: The photographs.
            progress: Called after each photograph.

        Returns:
            One entry for each photograph, in order; `FailedImage` for those that cannot be read.

        Raises:
            WeightsError: No weights are at hand.
            GalleryError: The gallery is another model's.
        """
        return list(self._look_at(several(images), progress))

    def detect(
        self, images: Source | Iterable[Source], *, progress: Progress | None = None
    ) -> list[Detection | FailedImage]:
        """Find the faces in photographs; this needs no weights but the detector's own.

        Args:
            images: The photographs, or a single one; see `data.sources.Source`.
            progress: Called after each photograph.

        Returns:
            One entry for each photograph, in order; `FailedImage` for those that cannot be read.
        """
        return [
            item
            if isinstance(item, FailedImage)
            else Detection(image=item.name, faces=item.faces, warnings=item.warnings)
            for item in look_at(several(images), self.models.find_faces, progress)
        ]

    def _largest_faces(
        self, photographs: Sequence[Photograph]
    ) -> list[tuple[npt.NDArray[np.float32], Compared]]:
        """The embedding of each photograph's largest face, and which face that is.

        Raises:
            ImageError: There is no face in one of them.
        """
        found = self.models.pipeline.faces([photograph.image for photograph in photographs])
        taken = []
        for photograph, faces in zip(photographs, found, strict=True):
            if not faces:
                raise ImageError(
                    f"no face found in {printable(photograph.name)}: take another photograph"
                )
            face = Compared(
                image=photograph.name,
                faces=len(faces),
                face=faces[0].face,
                quality=measure(faces[0].face, faces[0].crop),
                warnings=photograph.warnings,
            )
            taken.append((faces[0].embedding, face))
        return taken

    def _terms(
        self,
        face: int | None,
        any_quality: bool,
        consent: Consent | None,
        groups: Sequence[str],
        *,
        others: bool = True,
    ) -> EnrolmentTerms:
        return EnrolmentTerms(
            face=face,
            any_quality=any_quality,
            watch=Watch(threshold=self.thresholds.odd_from, others=others),
            consent=consent,
            groups=group_names(groups),
        )

    def _search_in_vain(self) -> None:
        """Meet now what a search would complain of; enrolling ends with one, which is too late."""
        if self.gallery.is_there and not self.gallery.open().is_empty:
            somebody = np.eye(1, self.models.model.dimension, dtype=np.float32)
            self.gallery.open().search(somebody, 1)

    def _to_enrol_in(self) -> Gallery:
        # The model comes before the gallery's lock: the engine takes both in this order.
        return self.gallery.open_for(self.models.model)

    def _check_model(self) -> None:
        """Make sure that a gallery that is there takes this network's embeddings."""
        if self.gallery.is_there:
            self.gallery.open().require(self.models.model, adopt=True)

    def _look_at(
        self, images: Sequence[Given], progress: Progress | None
    ) -> "Iterator[Seen[DetectedFace] | FailedImage]":
        """Find and embed the faces in photographs, after a look whether the gallery takes them."""
        self._check_model()
        pictures = [image for image in images if not isinstance(image, Seen | FailedImage)]
        found = look_at(pictures, self.models.pipeline.faces, progress) if pictures else iter(())
        if len(pictures) == len(images):
            return found
        others = iter(list(found))
        return (
            placed(
                image if isinstance(image, Seen | FailedImage) else next(others), image, position
            )
            for position, image in enumerate(images, start=1)
        )
