"""Whether the people of a photograph are still themselves in a painting of it."""

from typing import TYPE_CHECKING

from data.errors import ArgumentError

from .options import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

    from recognition.portraits import PortraitFaces, PortraitRecogniser
    from style.results import Resemblance


class FacesKept:
    """Looks what became of faces, for `judge_paintings`; loads its networks only then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recogniser: PortraitRecogniser | None = None
        self._photograph: Image | None = None
        self._faces: PortraitFaces | None = None

    def __call__(self, photograph: "Image", picture: "Image") -> "list[Resemblance]":
        """What became of each face of a photograph, of the picture's size; none where it has none.

        Raises:
            WeightsError: The recognisers' weights are not at hand, or carry no threshold.
        """
        from style.results import Resemblance

        if self._photograph != photograph:  # pictures of one photograph often come together
            self._photograph, self._faces = photograph, self._look_at(photograph)
        if (known := self._faces) is None:
            return []
        return [
            Resemblance(similarity=each, threshold=known.threshold)
            for each in known.similarities(picture)
        ]

    def _look_at(self, photograph: "Image") -> "PortraitFaces | None":
        """The faces of a photograph; None where there is none."""
        from recognition.portraits import PortraitRecogniser

        if self._recogniser is None:
            chosen = self._settings
            self._recogniser = PortraitRecogniser(home=chosen.home, device=chosen.chosen_device)
        try:
            return self._recogniser.look_at(photograph)
        except ArgumentError:  # it holds no face
            return None
