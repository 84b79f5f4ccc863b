"""How well a detector finds the faces that people have boxed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data.errors import DatasetError, ImageError
from data.files import private_folder
from data.images import load_image, save_image
from data.progress import Progress

from ..detection.annotations import BoxedPhotograph
from ..detection.average_precision import BoxMatches, PrecisionCurve, match, precision_curve
from ..detection.detector import FaceDetector
from ..results import Face, FailedImage

LENIENT, STRICT = 0.4, 0.5
"""The overlaps from which on a box is right. The lenient one suits faces that are partly covered:
people do not agree where a masked face ends."""

SIZES = (0.0, 16.0, 32.0, 64.0, 128.0)
"""From which side in pixels on a face belongs to each group of sizes."""

_REPLICATES = 500
_SEED = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class FacesOfSize:
    """What became of faces of one size, at the score in force.

    Attributes:
        least: Their least side in pixels: the square root of a box's area.
        most: Below which it lies; None for the largest ones.
        faces: How many there are.
        recall: Share of them that was found; None without any.
        boxes: How many boxes of this size were found.
        precision: Share of these that are faces; None without any.
    """

    least: float
    most: float | None
    faces: int
    recall: float | None
    boxes: int
    precision: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure with its interval of 95 %, for other photographs of this kind."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionResult:
    """The figures of one detector.

    Attributes:
        detector: Its identity.
        photographs: How many were searched.
        faces: How many faces had to be found.
        score: The score in force.
        average_precision: By the overlap asked for, 0.4 and 0.5: over all scores.
        recall: Share of the faces found at the score in force and an overlap of 0.4.
        precision: Share of the boxes that are right there.
        false_boxes: How many are wrong there, a photograph.
        wanted_precision: What was asked for.
        recall_at_precision: The highest recall at that precision; None where it is never reached.
        score_at_precision: The score that it takes.
        sizes: Faces of each size apart.
        images_per_second: Of the search alone, without reading files.
        failed: Photographs that could not be read.
    """

    detector: str
    photographs: int
    faces: int
    score: float
    average_precision: dict[str, Measure]
    recall: Measure
    precision: Measure
    false_boxes: float
    wanted_precision: float
    recall_at_precision: Measure
    score_at_precision: float | None
    sizes: tuple[FacesOfSize, ...]
    images_per_second: float
    failed: tuple[FailedImage, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The figures as JSON's own types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Searched:
    """A photograph, and what was found in it at any score."""

    photograph: BoxedPhotograph
    faces: tuple[Face, ...]

    def matches(self, overlap: float, score: float = 0.0) -> BoxMatches:
        found = [face for face in self.faces if face.detection_score >= score]
        return match(
            [face.box for face in found],
            [face.detection_score for face in found],
            self.photograph.boxes,
            self.photograph.difficult,
            overlap,
        )

    @property
    def wanted(self) -> int:
        """How many faces must be found."""
        return len(self.photograph.boxes) - sum(self.photograph.difficult)


def evaluate_detector(
    detector: FaceDetector,
    photographs: Sequence[BoxedPhotograph],
    *,
    score: float,
    wanted_precision: float = 0.82,
    misses: Path | None = None,
    progress: Progress | None = None,
) -> DetectionResult:
    """Search photographs one at a time, and compare what is found with their boxes.

    Args:
        detector: Finds faces, also with scores far below the one in force.
        photographs: With their boxes.
        score: The score in force.
        wanted_precision: At which the recall is told as well.
        misses: A folder for pictures of what was missed, or taken for a face; None draws none.
        progress: Told after each photograph, also one that cannot be read, how many of how many
            are done.

    Raises:
        DatasetError: No photograph could be read, or no face must be found in any of them.
    """
    searched: list[_Searched] = []
    failed: list[FailedImage] = []
    seconds = 0.0
    for number, photograph in enumerate(photographs, start=1):
        try:
            image = load_image(photograph.path)
        except ImageError as error:
            failed.append(FailedImage(image=str(photograph.path), error=str(error)))
        else:
            started = time.perf_counter()
            [faces] = detector.detect([image])
            seconds += time.perf_counter() - started
            searched.append(_Searched(photograph, tuple(faces)))
            if misses is not None:
                _draw(image, searched[-1], score, misses)
        if progress is not None:
            progress(number, len(photographs))
    faces_wanted = sum(each.wanted for each in searched)
    if not faces_wanted:
        raise DatasetError(
            f"no face is boxed in {len(searched)} photographs that could be read: expected at "
            "least one"
        )
    return _result(
        detector.identity, searched, faces_wanted, score, wanted_precision, seconds, failed
    )


def _result(
    identity: str,
    searched: Sequence[_Searched],
    wanted: int,
    score: float,
    wanted_precision: float,
    seconds: float,
    failed: Sequence[FailedImage],
) -> DetectionResult:
    lenient = [each.matches(LENIENT) for each in searched]
    strict = [each.matches(STRICT) for each in searched]
    needed = [each.wanted for each in searched]

    def recall_there(curve: PrecisionCurve) -> float | None:
        reached = curve.at_precision(wanted_precision)
        return None if reached is None else reached[0]

    curve = precision_curve(lenient, wanted)
    reached = curve.at_precision(wanted_precision)
    wrong = sum(
        not right
        for each in lenient
        for right, its in zip(each.right, each.scores, strict=True)
        if its >= score
    )
    return DetectionResult(
        detector=identity,
        photographs=len(searched),
        faces=wanted,
        score=score,
        average_precision={
            str(LENIENT): _measure(lenient, needed, lambda c: c.average_precision),
            str(STRICT): _measure(strict, needed, lambda c: c.average_precision),
        },
        recall=_measure(lenient, needed, lambda c: c.at_score(score)[0]),
        precision=_measure(lenient, needed, lambda c: c.at_score(score)[1]),
        false_boxes=wrong / len(searched),
        wanted_precision=wanted_precision,
        recall_at_precision=_measure(lenient, needed, recall_there),
        score_at_precision=None if reached is None else reached[1],
        sizes=_by_size(searched, score),
        images_per_second=len(searched) / max(seconds, 1e-9),
        failed=tuple(failed),
    )


def _measure(
    matches: Sequence[BoxMatches],
    wanted: Sequence[int],
    figure: Callable[[PrecisionCurve], float | None],
) -> Measure:
    """A figure and the middle 95 % of what it is on photographs drawn from these."""
    value = figure(precision_curve(matches, sum(wanted)))
    rng = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(_REPLICATES):
        chosen = rng.integers(len(matches), size=len(matches)).tolist()
        faces = sum(wanted[index] for index in chosen)
        if faces:
            found = figure(precision_curve([matches[index] for index in chosen], faces))
            drawn.append(0.0 if found is None else found)
    if value is None or len(matches) < 2:
        return Measure(value=value, low=None, high=None)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measure(value=value, low=float(low), high=float(high))


def _by_size(searched: Sequence[_Searched], score: float) -> tuple[FacesOfSize, ...]:
    """Recall and precision of each size apart, at a score."""
    faces: list[tuple[float, bool]] = []
    boxes: list[tuple[float, bool]] = []
    for each in searched:
        matches = each.matches(LENIENT, score)
        boxes += zip(matches.sides, matches.right, strict=True)
        for (x1, y1, x2, y2), hard, found in zip(
            each.photograph.boxes, each.photograph.difficult, matches.found, strict=True
        ):
            if not hard:
                faces.append((((x2 - x1) * (y2 - y1)) ** 0.5, found is not None))
    groups = []
    for least, most in zip(SIZES, (*SIZES[1:], float("inf")), strict=True):
        of_faces = [found for side, found in faces if least <= side < most]
        of_boxes = [right for side, right in boxes if least <= side < most]
        groups.append(
            FacesOfSize(
                least=least,
                most=None if most == float("inf") else most,
                faces=len(of_faces),
                recall=sum(of_faces) / len(of_faces) if of_faces else None,
                boxes=len(of_boxes),
                precision=sum(of_boxes) / len(of_boxes) if of_boxes else None,
            )
        )
    return tuple(groups)


_FOUND, _MISSED, _WRONG = (0, 170, 60), (230, 30, 30), (255, 160, 0)


def _draw(image: Image.Image, searched: _Searched, score: float, folder: Path) -> None:
    """Draw a photograph in which something was missed (red) or wrongly found (orange).

    A difficult face that was not found is not missed: it is not drawn.
    """
    matches = searched.matches(LENIENT, score)
    boxed = searched.photograph
    judged = [
        (box, found is not None)
        for box, hard, found in zip(boxed.boxes, boxed.difficult, matches.found, strict=True)
        if found is not None or not hard
    ]
    faces = sorted(searched.faces, key=lambda face: -face.detection_score)
    wrong = [
        face
        for face in faces
        if face.detection_score >= score and not _is_right(face, searched.photograph)
    ]
    if all(found for _, found in judged) and not wrong:
        return
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    for box, was_found in judged:
        pen.rectangle(box, outline=_FOUND if was_found else _MISSED, width=2)
    for face in wrong:
        pen.rectangle(face.box, outline=_WRONG, width=2)
    private_folder(folder)
    save_image(drawn, folder / f"{searched.photograph.path.stem}.png")


def _is_right(face: Face, photograph: BoxedPhotograph) -> bool:
    alone = match([face.box], [1.0], photograph.boxes, photograph.difficult, LENIENT)
    return all(alone.right)
