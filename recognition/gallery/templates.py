"""What is kept of a face, and which model's it is."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from data.errors import GalleryError

from ..results import Quality

Embeddings = npt.NDArray[np.float32]
"""Unit vectors, one a row: (N, D) float32."""

Ids = npt.NDArray[np.int64]
"""Ids of templates, or of people: (n,)."""

SAME_FACE = 0.99
"""Cosine similarity from which on two faces of one photograph are one and the same."""

FIRST_DETECTOR = "mtcnn/1"
"""Name and version of what found the faces of galleries that do not say it: there was no other."""

UNSAID_ALIGNMENT = ""
"""The alignment of galleries that do not say it: what their weights ask for, as it was at first."""

_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What made a gallery's embeddings; those of two that do not fit cannot be compared.

    Attributes:
        model_id: The network's name.
        weights_digest: SHA-256 of its weights, hexadecimal.
        dimension: How many numbers an embedding has, D.
        weights_path: Where the weights were last seen: a hint for finding them again, to be
            believed only when the digest agrees. Two models that differ in it alone are equal.
        detector: Name and version of what found the faces, as `NAME/VERSION`.
        alignment: The same of how they were aligned, several joined by `+`; `UNSAID_ALIGNMENT`
            where nobody noted it.
    """

    model_id: str
    weights_digest: str
    dimension: int
    weights_path: str | None = field(default=None, compare=False)
    detector: str = FIRST_DETECTOR
    alignment: str = UNSAID_ALIGNMENT

    def __str__(self) -> str:
        return f"{self.model_id} (weights {self.weights_digest[:12]}, {self.dimension} numbers)"

    @property
    def is_first_of_its_weights(self) -> bool:
        """Whether faces were found and aligned as they were before galleries said it."""
        parts = self.alignment.split("+") if self.alignment else []
        return self.detector == FIRST_DETECTOR and all(part.endswith("/1") for part in parts)

    def is_same_network(self, other: "EmbeddingModel") -> bool:
        """Whether another's embeddings come from the same weights of the same network."""
        own, theirs = ((one.model_id, one.weights_digest, one.dimension) for one in (self, other))
        return own == theirs

    def fits(self, other: "EmbeddingModel") -> bool:
        """Whether another's embeddings may be compared with these.

        Weights ask for one alignment. So one that does not say its alignment fits whatever the same
        weights ask for, as long as that is cut out as it was then.
        """
        if UNSAID_ALIGNMENT not in (self.alignment, other.alignment):
            return self == other
        return (
            self.is_same_network(other)
            and self.is_first_of_its_weights
            and other.is_first_of_its_weights
        )


def way_to_re_embed(model_id: str | None = None, *, in_folder: bool) -> str:
    """What embeds a gallery anew, in words; one that is kept elsewhere takes a copy in a folder.

    Args:
        model_id: By which network; None leaves it open.
        in_folder: Whether the gallery is kept in a folder of this machine.
    """
    network = "" if model_id is None else f" --model {model_id}"
    command = f"`likeness gallery re-embed{network}`"
    return command if in_folder else f"{command} of a copy in a folder (`likeness gallery copy`)"


def preprocessing_of(model: EmbeddingModel) -> dict[str, str]:
    """What found the faces of a gallery and how they were aligned, as its facts tell it."""
    alignment = model.alignment or "as its weights ask for"
    return {"detector": model.detector, "alignment": alignment}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One face of one photograph, ready to be enrolled.

    Attributes:
        embedding: (D,) float32, a unit vector.
        photograph_sha256: SHA-256 of the photograph it was seen in, hexadecimal.
        crop: The aligned face as a PNG or JPEG file, or None to keep none.
        quality: How well the face can be recognised, where that was measured.
    """

    embedding: npt.NDArray[np.float32]
    photograph_sha256: str
    crop: bytes | None = None
    quality: Quality | None = None


def is_same_face(embedding: Embeddings, template: Template) -> bool:
    """Whether a face of a photograph, (1, D), is a template's of the same photograph."""
    return float(embedding[0] @ template.embedding) >= SAME_FACE


def unit_vectors(vectors: npt.NDArray[np.floating], dimension: int) -> Embeddings:
    """Check that an array holds embeddings, so that FAISS and SQLite see nothing else.

    Args:
        vectors: (N, D) of any floating type.
        dimension: The D that is expected.

    Returns:
        The same as contiguous float32.

    Raises:
        GalleryError: Another shape or type, a number that is not finite, or a row whose length is
            not 1 to within 0.001.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension or vectors.dtype.kind != "f":
        raise GalleryError(
            f"expected embeddings of {dimension} floating-point numbers each, got an array of "
            f"shape {vectors.shape} and type {vectors.dtype}: use the gallery's own model"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    if not np.isfinite(lengths).all():
        raise GalleryError("an embedding holds NaN or infinity: check the weights that made it")
    if (np.abs(lengths - 1) > _NORM_TOLERANCE).any():
        worst = float(lengths[np.argmax(np.abs(lengths - 1))])
        raise GalleryError(
            f"an embedding has length {worst:.4g}, expected 1: divide it by its length"
        )
    return rows


def to_blob(embedding: npt.NDArray[np.floating], dimension: int) -> bytes:
    """Turn one embedding (D,) into bytes: float32, little-endian.

    Raises:
        GalleryError: As for `unit_vectors`.
    """
    return unit_vectors(embedding[np.newaxis], dimension).astype("<f4").tobytes()


def from_blob(blob: bytes, dimension: int) -> Embeddings:
    """Read one embedding back as (1, D).

    Raises:
        GalleryError: The bytes are not one unit vector of that dimension.
    """
    if len(blob) != 4 * dimension:
        raise GalleryError(
            f"a template of {len(blob)} bytes, expected {4 * dimension}: "
            "restore the gallery from a backup"
        )
    return unit_vectors(np.frombuffer(blob, dtype="<f4").reshape(1, dimension), dimension)
