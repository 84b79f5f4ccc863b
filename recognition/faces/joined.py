"""Several networks as one: each sees the face by its own alignment, and their vectors are joined.

Networks that were trained on other photographs, by other people, err elsewhere. Of unit vectors,
each scaled by the root of its share and set end to end, the cosine similarity is the mean of the
networks' own, weighted by these shares.
"""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from backbones.places import every_weights
from backbones.spec import Alignment
from backbones.weights import load_backbone
from data.errors import ArgumentError

from .embed import FaceEmbedder

BOTH = "both"
"""What users may call the two networks that come along."""

_BOTH = ("dlib_resnet", "mobilefacenet")
_JOINT = "+"
_WEIGHT = {"dlib_resnet": 19.0}
"""How much a network's similarities count beside those of others, 1 where nothing is said. Those of
dlib's network lie close together. On fold 9 of LFW, joined with the bundled network, fewest known
people were missed at FPIR 1 % and 10 % with 0.95 of the whole, of shares from 0.3 to 0.95."""

Aligned = Callable[[Alignment], Tensor]
"""The same faces by any alignment, (F, 3, S, S) float32, 0 … 1."""


class JoinedEmbedder:
    """Embeds faces with several networks, and joins what they give.

    Args:
        parts: One for each network, two or more, in the order of their names.

    Raises:
        ValueError: There are fewer than two, or they are not in that order.
    """

    def __init__(self, parts: Sequence[FaceEmbedder]) -> None:
        names = [part.model_id for part in parts]
        if len(names) < 2 or names != sorted(set(names)):
            raise ValueError(f"expected two or more networks in the order of their names: {names}")
        self._parts = tuple(parts)
        weights = [_WEIGHT.get(name, 1.0) for name in names]
        self._shares = tuple(weight / sum(weights) for weight in weights)

    @property
    def model_id(self) -> str:
        """The networks' names."""
        return _JOINT.join(part.model_id for part in self._parts)

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the digests and shares of all weights: another network, or share, another."""
        return joined_digest([part.weights_digest for part in self._parts], self._shares)

    @property
    def threshold(self) -> None:
        """No file of weights knows from which similarity on two faces are one person's."""
        return None

    @property
    def tail(self) -> None:
        """No file of weights knows how alike several networks find strangers; a card may."""
        return None

    @property
    def is_mirrored(self) -> bool:
        """Whether any network's mirrored face's embedding is appended."""
        return any(part.is_mirrored for part in self._parts)

    @property
    def is_as_measured(self) -> bool:
        """Whether embeddings are such as a card's figures hold for."""
        return all(part.is_as_measured for part in self._parts)

    @property
    def alignments(self) -> tuple[Alignment, ...]:
        """How the networks want the faces aligned."""
        return tuple(alignment for part in self._parts for alignment in part.alignments)

    @property
    def weights_path(self) -> None:
        """There is no single file of weights."""
        return None

    @property
    def dimension(self) -> int:
        """D, how many numbers an embedding has."""
        return sum(part.dimension for part in self._parts)

    def embed_aligned(self, aligned: Aligned) -> npt.NDArray[np.float32]:
        """Embed faces.

        Args:
            aligned: Gives the faces by each of `alignments`.

        Returns:
            (F, D) float32, each of unit length.

        Raises:
            WeightsError: A network gives numbers that are not finite, or nothing but zeros.
        """
        scaled = [
            part.embed_aligned(aligned) * np.float32(share**0.5)
            for part, share in zip(self._parts, self._shares, strict=True)
        ]
        return np.concatenate(scaled, axis=1)


Recogniser = FaceEmbedder | JoinedEmbedder
"""What embeds faces, of one network or several."""


def joined_digest(digests: Sequence[str], shares: Sequence[float]) -> str:
    """What stands for the digest of several files of weights.

    Args:
        digests: SHA-256 of each, hexadecimal, in the order of the networks' names.
        shares: How much each counts; they sum to 1.

    Returns:
        SHA-256, hexadecimal.
    """
    lines = [f"{digest} {share:.6f}\n" for digest, share in zip(digests, shares, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def network_names(model: str) -> tuple[str, ...]:
    """The networks that a name means, in the order of their own names.

    Args:
        model: A network's name, several joined by `+`, or `both`.

    Raises:
        ArgumentError: A network is named twice.
    """
    names = _BOTH if model == BOTH else tuple(sorted(model.split(_JOINT)))
    if len(set(names)) < len(names):
        raise ArgumentError(f"{model!r} names a network twice: join different ones")
    return names


def load_recogniser(
    model: str | None,
    *,
    weights: Sequence[Path] = (),
    home: Path | None = None,
    device: str = "auto",
    mirror: bool | None = None,
    crops: int = 1,
) -> Recogniser:
    """Load what embeds faces.

    Args:
        model: As `network_names` understands it; None takes what the weights say.
        weights: A file for each network, in the order of their names; empty looks for them.
        home: The application's data folder; None takes the user's.
        device: `auto`, `cpu` or `cuda`.
        mirror: As in `FaceEmbedder`.
        crops: As in `FaceEmbedder`.

    Returns:
        One network's embedder, or that of several.

    Raises:
        ArgumentError: There is no such network, file, device or set of crops; a network is named
            twice; or the number of files is not that of the networks.
        WeightsError: Weights are not at hand, or damaged.
    """
    names: Sequence[str | None] = [None] if model is None else network_names(model)
    files: Sequence[Path | None] = weights or [None] * len(names)
    if len(files) != len(names):
        raise ArgumentError(
            f"{model} joins {len(names)} networks, each with its own weights: leave --weights away "
            "and put files where they are looked for, as LIKENESS_WEIGHTS says"
        )
    parts = [
        FaceEmbedder(
            load_backbone(name, weights=file, home=home, device=device), mirror=mirror, crops=crops
        )
        for name, file in zip(names, files, strict=True)
    ]
    return parts[0] if len(parts) == 1 else JoinedEmbedder(parts)


def weights_of(model_id: str, weights_digest: str, home: Path | None) -> tuple[Path, ...] | None:
    """Find, among all weights at hand, the very ones that a digest stands for.

    Args:
        model_id: A network's name, or several joined by `+`.
        weights_digest: As `FaceEmbedder` or `JoinedEmbedder` gives it.
        home: The application's data folder; None takes the user's.

    Returns:
        A file for each network; None where they are not at hand.

    Raises:
        ArgumentError: There is no network of that name.
    """
    names = network_names(model_id)
    weights = [_WEIGHT.get(name, 1.0) for name in names]
    shares = [weight / sum(weights) for weight in weights]
    for files in itertools.product(*(every_weights(name, home) for name in names)):
        digests = [file.sha256 for file in files]
        found = digests[0] if len(digests) == 1 else joined_digest(digests, shares)
        if found == weights_digest:
            return tuple(file.path for file in files)
    return None
