"""Embeddings decorrelated and brought to equal variance, as people that are not tested have them.

PCA whitening turns the embeddings to their principal axes, and scales each axis by the standard
deviation along it; it may keep only the first of them. ZCA whitening turns back afterwards, which
leaves the embeddings as near to what they were as white ones can be (Bell and Sejnowski, "The
independent components of natural scenes are edge filters", Vision Research 37, 1997). A turn leaves
cosine similarities alone: the two differ only where PCA drops axes.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.datasets import only_listed, read_identities
from data.errors import ArgumentError, DatasetError
from data.files import printable
from data.progress import Progress

from .choices import Whitening
from .embeddings import Embedding, Finder, embed_photographs

REGULARISATION = 0.1
"""Share of the mean variance that every axis gets besides, or noise on weak axes would decide."""

FEWEST_AN_AXIS = 4
"""Photographs an axis. The variances of D axes estimated from N photographs spread, where all are
one, over (1 ± √(D/N))² (Marchenko and Pastur 1967): with four an axis from a quarter to 2.25, with
one from nothing to four."""


@dataclass(frozen=True, slots=True, eq=False)
class Whitener:
    """A shift and a linear map that whiten.

    Attributes:
        mean: (D,) float64.
        matrix: (K, D) float64; symmetric for ZCA, its rows sorted by falling variance for PCA.
        doubt: Why it may make embeddings worse, in a line; None: there is no reason to think so.
    """

    mean: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float64]
    doubt: str | None = None

    def apply(self, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Whiten embeddings: (N, D) → (N, K), of any length."""
        white: npt.NDArray[np.float64] = (vectors - self.mean) @ self.matrix.T
        return white

    def apply_unit(self, vector: Embedding) -> Embedding:
        """Whiten an embedding, (D,) → (K,), and bring it to unit length."""
        white = self.apply(vector)
        length = np.linalg.norm(white)
        unit: Embedding = (white / length if length > 0 else white).astype(np.float32)
        return unit


def fit_whitener(
    vectors: npt.NDArray[np.floating],
    kind: Whitening,
    *,
    dimension: int | None = None,
    regularisation: float = REGULARISATION,
) -> Whitener:
    """Fit to embeddings.

    Args:
        vectors: (N, D), at least two.
        kind: PCA or ZCA.
        dimension: How many axes PCA keeps, those of the largest variance; None keeps all.
        regularisation: Added to the variance of every axis, as a share of their mean.

    Raises:
        ArgumentError: ZCA is asked to drop axes, or PCA to keep more than there are.
        DatasetError: The embeddings are fewer than two, or all alike.
    """
    check_dimension(kind, dimension)
    if len(vectors) < 2:
        raise DatasetError(
            f"whitening needs at least 2 photographs with a face, got {len(vectors)}"
        )
    size = vectors.shape[1]
    if dimension is not None and dimension > size:
        raise ArgumentError(
            f"embeddings of {size} numbers cannot be whitened to {dimension}: "
            f"ask for at most {size}"
        )
    covariance = np.cov(vectors.astype(np.float64), rowvar=False).reshape(size, size)
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1], axes[:, ::-1]  # falling
    mean_variance = variances.mean()
    if not mean_variance > 0:
        raise DatasetError("whitening needs photographs that differ; got embeddings all alike")
    # Rounding makes what has no variance a little negative.
    scaled = variances.clip(min=0) + max(regularisation, 1e-12) * mean_variance
    matrix = axes.T / np.sqrt(scaled)[:, None]
    matrix = axes @ matrix if kind is Whitening.ZCA else matrix[:dimension]
    return Whitener(
        vectors.mean(axis=0, dtype=np.float64), matrix, _doubt(len(vectors), len(matrix), kind)
    )


def _doubt(photographs: int, axes: int, kind: Whitening) -> str | None:
    """A line where so few photographs leave the axes' variances to chance."""
    if photographs >= FEWEST_AN_AXIS * axes:
        return None
    advice = f"whiten on {FEWEST_AN_AXIS * axes:,} or more, or not at all"
    if kind is Whitening.PCA and photographs >= 2 * FEWEST_AN_AXIS:
        advice += f", or keep {photographs // FEWEST_AN_AXIS} axes with --whiten-dimension"
    return (
        f"{photographs:,} photographs to whiten {axes} axes on: the variances of most are left to "
        f"chance, and whitening by them may do harm; {advice}"
    )


def check_dimension(kind: Whitening, dimension: int | None) -> None:
    """Refuse a number of axes that nothing can be whitened to.

    Raises:
        ArgumentError: ZCA is asked to drop axes, or PCA to drop all.
    """
    if dimension is None:
        return
    if kind is Whitening.ZCA:
        raise ArgumentError("zca keeps every axis: leave the dimension out, or whiten by pca")
    if dimension < 1:
        raise ArgumentError(f"cannot whiten to {dimension} numbers: ask for at least 1")


def fit_on_folder(
    root: Path,
    find: Finder,
    kind: Whitening,
    *,
    tested: Collection[str],
    listing: Path | None = None,
    dimension: int | None = None,
    progress: Progress | None = None,
) -> Whitener:
    """Fit to the photographs `root/<person>/<photograph>`.

    Args:
        root: The folder of people.
        find: What finds and embeds the face that counts.
        kind: PCA or ZCA.
        tested: Names of the people on whom the recogniser will be measured.
        listing: A text file of whom to use, a name a line; None uses everybody.
        dimension: As in `fit_whitener`.
        progress: Called after each photograph.

    Raises:
        ArgumentError: As `fit_whitener`.
        DatasetError: Somebody is tested too; the folder or the list is unusable; see
            `read_identities`, `only_listed` and `embed_photographs`.
    """
    check_dimension(kind, dimension)
    everybody = read_identities(root)
    people = everybody if listing is None else only_listed(everybody, listing)
    names = {_plain(name) for name in tested}
    both = [person.name for person in people if _plain(person.name) in names]
    if both:
        raise DatasetError(
            f"{len(both)} of the {len(people)} people in {printable(root)} to whiten on are in the "
            f"test too, as {printable(both[0])}: list others with --whiten-identities"
        )
    paths = [path for person in people for path in person.photographs]
    embedded = embed_photographs(paths, find, root=root, progress=progress)
    found = [vector for vector in embedded.vectors if vector is not None]
    vectors = np.stack(found) if found else np.zeros((0, 1), np.float32)
    return fit_whitener(vectors, kind, dimension=dimension)


def whitened(find: Finder, whitener: Whitener) -> Finder:
    """Return a finder that whitens what another finds."""

    def find_white(images: Sequence[Image.Image]) -> list[list[Embedding]]:
        return [[whitener.apply_unit(vector) for vector in found] for found in find(images)]

    return find_white


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
