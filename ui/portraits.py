"""Portraits: the recognition wing's eyes for the style wing's hand; neither knows the other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ui.settings import Settings

from .wording import against

if TYPE_CHECKING:
    from PIL.Image import Image

    from recognition.portraits import PortraitRecogniser
    from style.portraits import Portrait
    from style.results import Resemblance

    from .jobs.store import Job


class PortraitFinder:
    """Finds the faces of photographs, for `StyleService.stylize`; loads its networks only then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recogniser: PortraitRecogniser | None = None

    def __call__(self, photograph: "Image") -> "Portrait":
        """What is known of the faces of a photograph.

        Raises:
            ArgumentError: There is no face.
            WeightsError: The recognisers' weights are not at hand, or carry no threshold.
        """
        from recognition.portraits import PortraitRecogniser
        from style.portraits import Portrait
        from style.results import Resemblance

        if self._recogniser is None:
            chosen = self._settings
            self._recogniser = PortraitRecogniser(home=chosen.home, device=chosen.chosen_device)
        found = self._recogniser.look_at(photograph)

        def judge(picture: "Image") -> list[Resemblance]:
            similarities = found.similarities(picture)
            return [
                Resemblance(similarity=each, threshold=found.threshold) for each in similarities
            ]

        return Portrait(
            size=(photograph.height, photograph.width),
            faces=[face.landmarks for face in found.faces],
            embed=found.embed,
            judge=judge,
        )


def verdict(face: "Resemblance") -> str:
    """What became of a face, in words."""
    if face.similarity is None:
        return "no face found in the picture any more"
    numbers = against(face.similarity, face.threshold)
    return (
        f"same person, {numbers}"
        if face.same_person
        else f"not the same person any more: {numbers}"
    )


def verdicts(faces: Sequence["Resemblance"]) -> str:
    """What became of each face, in one line; they are numbered where there are several."""
    if len(faces) == 1:
        return verdict(faces[0])
    return "; ".join(f"face {number}: {verdict(face)}" for number, face in enumerate(faces, 1))


def as_json(faces: Sequence["Resemblance"]) -> list[dict[str, object]]:
    """The faces for a program, the largest first; `told_by` reads them."""
    return [
        {
            "same_person": face.same_person,
            "cosine_similarity": face.similarity,
            "threshold": face.threshold,
        }
        for face in faces
    ]


def told_by(job: "Job") -> list["Resemblance"]:
    """The faces in a job's last line of progress; none where it keeps none, or has not ended."""
    from style.results import Resemblance

    from .jobs.reports import faces

    return [
        Resemblance(similarity=face.similarity, threshold=face.threshold) for face in faces(job)
    ]
