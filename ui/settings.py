"""What the command line and the page are set to: data folder, gallery, network, device."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.threads import share_processors

from .cli import output, passphrase

if TYPE_CHECKING:
    from recognition.faces.embedding import Recogniser
    from recognition.service import RecognitionService


class Device(StrEnum):
    """Where networks run; `auto` takes the first CUDA device, if there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How faces are found in photographs.

    Attributes:
        detector: By its name; None takes the gallery's, or the default one.
        min_face: Side in pixels of the smallest face that is looked for; None: the detector's own.
        min_score: From which score on a box is a face; None: the detector's own.
    """

    detector: str | None = None
    min_face: float | None = None
    min_score: float | None = None


AS_USUAL = Finding()
"""As the gallery and the detector have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the shared options ask for.

    Attributes:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address, `postgresql://…`; None takes LIKENESS_GALLERY, or else the
            data folder's own.
        index: An address, `milvus://…`, where the gallery's vectors are searched; None takes
            LIKENESS_INDEX, or else an index of this machine's own.
        model: The network's name; None takes the one that the weights name.
        weights: The weights file; None looks in the known places.
        device: Where networks run; None takes `auto`, or what a recipe says.
    """

    home: Path | None = None
    gallery: str | None = None
    index: str | None = None
    model: str | None = None
    weights: Path | None = None
    device: Device | None = None

    def overridden_by(self, given: dict[str, Any]) -> "Settings":
        """These settings with every value that is not None in `given` in their place."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @property
    def chosen_device(self) -> Device:
        """Where networks run."""
        return self.device or Device.AUTO

    def recognition_service(
        self, *, on_terminal: bool = True, finding: Finding = AS_USUAL
    ) -> "RecognitionService":
        """The recognition service with these settings; this imports torch.

        Args:
            on_terminal: Whether the passphrase of an encrypted gallery is asked for there, and said
                to be weak there if it is; the page does both by itself.
            finding: How faces are found.
        """
        share_processors()
        from recognition.service import RecognitionService

        service = RecognitionService(
            home=self.home,
            gallery=self.gallery,
            index=self.index,
            model=self.model,
            weights=self.weights,
            device=self.chosen_device,
            detector=finding.detector,
            minimum_face=finding.min_face,
            minimum_score=finding.min_score,
            ask=passphrase.ask if on_terminal else lambda: None,
            warn=output.print_warning if on_terminal else lambda _: None,
        )
        for warning in service.gallery.exposed:
            output.print_warning(warning)
        return service

    def face_embedder(self, *, mirror: bool | None = None, crops: int = 1) -> "Recogniser":
        """The network that embeds faces: the one asked for, else the default one.

        Unlike a gallery, this takes networks that were not trained on faces: to measure how badly
        they do harms nobody.

        Args:
            mirror: Whether the mirrored face's embedding is appended; None does what the weights
                ask for.
            crops: How often each face is cut out, to average the crops' embeddings.

        Raises:
            AppError: There is no such network, no weights for it, or no set of so many crops.
        """
        share_processors()
        from recognition.faces.embedding import load_recogniser
        from recognition.models import default_model

        return load_recogniser(
            self.model if self.model or self.weights else default_model(self.home),
            weights=() if self.weights is None else (self.weights,),
            home=self.home,
            device=self.chosen_device,
            mirror=mirror,
            crops=crops,
        )
