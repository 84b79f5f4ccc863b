"""What recognition runs on: which network, where its weights are, and when it is loaded.

Networks, and with them torch, are imported when the first of them is needed: who only lists or
renames people does not wait for that.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from data.errors import GalleryError, WeightsError
from data.files import printable, sha256_of

from .gallery.templates import EmbeddingModel, way_to_re_embed
from .matching import Matching
from .results import Face

if TYPE_CHECKING:
    from backbones.pair_unit import PairUnit

    from .detection.detector import FaceDetector
    from .evaluation.embeddings import Finder
    from .evaluation.impostor_tail import ImpostorTail
    from .explanation import Embeds
    from .faces.pipeline import DetectedFace
    from .template_attention import Rule, TemplateAttention


DEFAULT_MODEL = "mobilefacenet"
"""The network that comes along, and serves where a better one is not at hand."""

PREFERRED_MODEL = "dlib_resnet"
"""The network of a gallery that does not exist yet, where none is named and this one is at hand.

Where its file is missing or damaged, the smaller network that comes along takes its place.
"""


class Pipeline(Protocol):
    """From photographs to embedded faces, and what is to be known of the model that embeds."""

    @property
    def embedder(self) -> "Embeds":
        """What embeds faces that are aligned already."""

    @property
    def model_id(self) -> str:
        """The network's name."""

    @property
    def weights_digest(self) -> str:
        """SHA-256 of its weights, hexadecimal."""

    @property
    def dimension(self) -> int:
        """How many numbers an embedding has, D."""

    @property
    def detector_id(self) -> str:
        """Name and version of what finds faces; see `FaceDetector.identity`."""

    @property
    def alignment_id(self) -> str:
        """Name and version of how faces are aligned; see `alignment_identity`."""

    @property
    def threshold(self) -> float | None:
        """Cosine similarity from which on two faces are one person's; None: not known."""

    @property
    def tail(self) -> str | None:
        """What the weights file itself says of strangers, as `ImpostorTail` writes it."""

    def faces(self, images: Sequence[Image.Image], /) -> "Sequence[Sequence[DetectedFace]]":
        """The faces of each image, largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which network is asked for, and where it shall run.

    Attributes:
        home: The data folder.
        model: The network's name; None leaves it to the weights, or else to the gallery.
        weights: A file of weights; None looks in the known places.
        device: `auto`, `cpu` or `cuda`.
        detector: What finds faces, by its name in `detection.detector`; None leaves it to the
            gallery, or else to the default.
        minimum_face: Side in pixels of the smallest face that is looked for; None: its own.
        minimum_score: From which score on a box is a face; None: its own.
    """

    home: Path
    model: str | None = None
    weights: Path | None = None
    device: str = "auto"
    detector: str | None = None
    minimum_face: float | None = None
    minimum_score: float | None = None


class Engine:
    """Loads the pipeline when it is first needed, and keeps it. Safe for several threads.

    Better weights at hand change nothing by themselves, or a gallery would become unreadable: what
    the user asks for counts, then what the gallery was made with, then the default.

    Args:
        choice: What the user asks for.
        remembered: Tells the model of the gallery, or None where there is none; asked when the
            pipeline is loaded and by each search for faces alone, but not where a file of weights
            is asked for.
        pipeline: Taken instead of loading one.
    """

    def __init__(
        self,
        choice: Choice,
        remembered: Callable[[], EmbeddingModel | None],
        pipeline: Pipeline | None = None,
    ) -> None:
        self._choice = choice
        self._remembered = remembered
        self._lock = threading.RLock()
        self._given = pipeline
        self._pipeline = pipeline
        self._tail: tuple[ImpostorTail | None] | None = None  # once it was looked for
        self._attention: TemplateAttention | None = None
        self._weights_path: Path | None = None
        self._provenance: str | None = None
        self._detectors: dict[str, FaceDetector] = {}

    @property
    def threshold_provenance(self) -> str | None:
        """What the weights' file says of its threshold; None for what came with the application.

        Nobody checks what another file says: whoever relies on it should know whose word it is.

        Raises:
            WeightsError: No weights are at hand.
        """
        from backbones.places import is_bundled, weights_file

        _ = self.pipeline
        path = self._weights_path
        if path is None or is_bundled(path):
            return None
        with self._lock:
            if self._provenance is None:  # the file is read to its end for that
                said = weights_file(path, None).metadata.get("threshold_provenance")
                self._provenance = (
                    f"{printable(path.name)} says of it: {printable(said or 'nothing')}"
                )
            return self._provenance

    @property
    def pipeline(self) -> Pipeline:
        """Detector and network.

        Raises:
            WeightsError: No weights are at hand, those of the gallery are not, or they are damaged
                or of a network that was not trained on faces.
            ArgumentError: There is no such network, file or device.
        """
        with self._lock:
            if self._pipeline is None:
                self._pipeline = self._load()
            return self._pipeline

    @property
    def model(self) -> EmbeddingModel:
        """The network, as a gallery remembers it."""
        pipeline = self.pipeline
        return EmbeddingModel(
            model_id=pipeline.model_id,
            weights_digest=pipeline.weights_digest,
            dimension=pipeline.dimension,
            weights_path=None if self._weights_path is None else str(self._weights_path.absolute()),
            detector=pipeline.detector_id,
            alignment=pipeline.alignment_id,
        )

    @property
    def tail(self) -> "ImpostorTail | None":
        """What the weights say of people whom they never saw; None where nobody measured it.

        Raises:
            WeightsError: No weights are at hand, or what they say cannot be understood.
        """
        from .tail_cards import find_tail

        with self._lock:
            if self._tail is None:
                pipeline = self.pipeline
                home = self._choice.home
                tail = find_tail(pipeline.weights_digest, pipeline.tail, home=home)
                self._tail = (tail if _is_measured_with(pipeline.detector_id) else None,)
            return self._tail[0]

    def load(self) -> None:
        """Load the network, which otherwise is done when it is first needed.

        Raises:
            WeightsError: No weights are at hand, or what they say cannot be understood.
        """
        _ = self.pipeline, self.tail

    @property
    def attention(self) -> "TemplateAttention":
        """What was trained to weigh a person's photographs; one object, however often it is asked.

        Raises:
            WeightsError: No weights are at hand, or nothing was trained for them.
        """
        from .attention_file import find_attention

        with self._lock:
            if self._attention is None:
                pipeline = self.pipeline
                self._attention = find_attention(
                    pipeline.model_id,
                    pipeline.weights_digest,
                    pipeline.dimension,
                    home=self._choice.home,
                )
            return self._attention

    def rule(self, matching: Matching) -> "Rule":
        """A rule of matching as a gallery applies it.

        Raises:
            WeightsError: As `attention`, where that is asked for.
        """
        return self.attention if matching is Matching.ATTENTION else matching

    @property
    def pair(self) -> "PairUnit | None":
        """What verifies a pair of embeddings, where the weights keep it.

        Raises:
            WeightsError: No weights are at hand.
        """
        from .faces.embedding import FaceEmbedder
        from .faces.pipeline import FacePipeline

        pipeline = self.pipeline
        if isinstance(pipeline, FacePipeline) and isinstance(pipeline.embedder, FaceEmbedder):
            return pipeline.embedder.pair
        return None

    def finder(self, *, aligned: bool) -> "Finder":
        """What embeds the one face that counts in a photograph of a data set.

        Args:
            aligned: Whether the photographs are faces aligned at five points.

        Raises:
            WeightsError: No weights are at hand.
            ArgumentError: The network cannot take faces aligned so.
        """
        from .evaluation.embeddings import already_aligned, in_the_middle
        from .faces.pipeline import FacePipeline

        pipeline = self.pipeline
        if aligned and isinstance(pipeline, FacePipeline):
            return already_aligned(pipeline.embedder, self._choice.device)
        return in_the_middle(pipeline)

    def find_faces(self, images: Sequence[Image.Image]) -> Sequence[Sequence[Face]]:
        """Find the faces of each image, largest first, without the weights that embed them."""
        if self._given is not None:
            return [[found.face for found in faces] for faces in self._given.faces(images)]
        remembered = None if self._choice.weights else self._remembered()
        return self._face_detector(self._detector_name(remembered)).detect(images)

    def _face_detector(self, name: str | None) -> "FaceDetector":
        from .detection.detector import DEFAULT_DETECTOR, DetectorOptions, make_detector

        choice = self._choice
        options = DetectorOptions(
            minimum_face=choice.minimum_face,
            minimum_score=choice.minimum_score,
            home=choice.home,
        )
        with self._lock:
            name = name or DEFAULT_DETECTOR
            if name not in self._detectors:
                self._detectors[name] = make_detector(choice.device, name, options)
            return self._detectors[name]

    def _load(self) -> Pipeline:
        from backbones.spec import Alignment

        from .faces.embedding import load_recogniser, network_names
        from .faces.pipeline import FacePipeline

        choice = self._choice
        model = choice.model
        weights: tuple[Path, ...] = () if choice.weights is None else (choice.weights,)
        remembered = None if weights else self._remembered()
        if remembered is not None and (
            model is None or network_names(model) == network_names(remembered.model_id)
        ):
            model, weights = remembered.model_id, _find_again(remembered, choice.home)
        if model is None and not weights:
            model = default_model(choice.home)
        embedder = load_recogniser(model, weights=weights, home=choice.home, device=choice.device)
        if Alignment.NONE in embedder.alignments:
            place = "" if embedder.weights_path is None else printable(embedder.weights_path)
            raise WeightsError(
                f"{embedder.model_id} was not trained on faces: name another --model, or "
                f"weights that were{place and ', instead of '}{place}"
            )
        self._weights_path = embedder.weights_path
        return FacePipeline(self._face_detector(self._detector_name(remembered)), embedder)

    def _detector_name(self, remembered: EmbeddingModel | None) -> str | None:
        """The detector that is asked for, or else the gallery's; None: the default."""
        if self._choice.detector is not None or remembered is None:
            return self._choice.detector
        detector = detector_of(remembered)
        if detector is None:
            raise GalleryError(
                f"the faces of the gallery were found by {printable(remembered.detector)}, and "
                "there is no such detector here: use the Likeness that made it, or embed "
                f"everybody anew with `likeness gallery re-embed --model {remembered.model_id}`"
            )
        return detector


def _is_measured_with(detector: str) -> bool:
    """Whether what weights say of strangers holds for the faces that a detector finds.

    It was measured on those of the first one: with another one's landmarks they are aligned
    otherwise, and strangers are alike by other numbers.
    """
    from .detection.detector import DEFAULT_DETECTOR, detector_names

    name = detector.partition("/")[0]
    return name == DEFAULT_DETECTOR or name not in detector_names()


def detector_of(model: EmbeddingModel) -> str | None:
    """The name of the detector that found a gallery's faces; None where there is none so called."""
    from .detection.detector import detector_names

    name, _, _ = model.detector.partition("/")
    return name if name in detector_names() else None


def default_model(home: Path | None) -> str:
    """The network where nobody names one: the preferred one, or else the one that comes along.

    Args:
        home: The application's data folder; None takes the user's.
    """
    from backbones.weights import find_weights

    try:
        found = find_weights(PREFERRED_MODEL, home=home)
    except WeightsError:  # another file than the one known here
        found = None
    return DEFAULT_MODEL if found is None else PREFERRED_MODEL


def way_to_move(
    model: EmbeddingModel, home: Path | None = None, *, in_folder: bool = True
) -> str | None:
    """How a gallery comes to the network that a new one gets; None where it has it already.

    Args:
        model: Whose embeddings the gallery holds.
        home: The application's data folder; None takes the user's.
        in_folder: Whether the gallery is kept in a folder of this machine.
    """
    from backbones.weights import find_weights

    name = default_model(home)
    file = find_weights(name, home=home)
    if model.model_id == name and (file is None or file.sha256 == model.weights_digest):
        return None
    what = "by now other weights of " if model.model_id == name else ""
    return (
        f"it works as before; a new gallery gets {what}{name}, to which it moves by "
        + way_to_re_embed(name, in_folder=in_folder)
    )


def _find_again(model: EmbeddingModel, home: Path) -> tuple[Path, ...]:
    """Find the very weights that a gallery was made with: where they last were, or at hand."""
    from backbones.dlib_file import INSTALL

    from .faces.embedding import network_names, weights_of

    last_seen = Path(model.weights_path) if model.weights_path else None
    if last_seen and last_seen.is_file() and sha256_of(last_seen) == model.weights_digest:
        return (last_seen,)
    at_hand = weights_of(model.model_id, model.weights_digest, home)
    if at_hand is not None:
        return at_hand
    place = f" (they were at {printable(last_seen)})" if last_seen else ""
    if PREFERRED_MODEL in network_names(model.model_id):
        place += f"; if they were dlib's own, `{INSTALL}` brings them"
    raise WeightsError(
        f"the gallery was made with {model}, and those weights are not at hand{place}: "
        "give them with --weights FILE, or move the gallery to another network with "
        "`likeness gallery re-embed --model NAME`"
    )
