"""The unit that verifies a pair of faces: a logistic over |f(a) - f(b)|, kept with its network.

Taigman et al. 2014, DeepFace, section 5.3. The loss `pair` trains it together with the network. A
cosine counts every axis of an embedding alike; the unit has learnt which of them tell people apart.
It serves pairs alone: a gallery is searched by cosines.

A weights file holds it as the tensors `pair.weight` (D,) and `pair.bias` (1,), and in its metadata,
as `pair_limits`, from which value on a pair counts as one person's at some rates of false accepts:
`0.01 2.31; 0.001 4.02`. Both are fitted to people kept out, so that its sigmoid is the probability
where both answers are equally frequent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.errors import WeightsError

PREFIX = "pair."
"""Of the names of its tensors."""

LIMITS = "pair_limits"
"""Of its metadata: the field that says from which value on a pair counts."""

_LEAST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class PairUnit:
    """A linear function of |f(a) - f(b)|, whose sigmoid is the probability of one person.

    Attributes:
        slopes: (D,) float64.
        offset: The value of a photograph held against itself.
        limits: By rate of false accepts, the value from which on a pair counts as one person's.
    """

    slopes: npt.NDArray[np.float64]
    offset: float
    limits: Mapping[float, float]

    def value(self, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
        """How surely both are one person: the logarithm of the odds.

        Args:
            first: (D,), or (2 D,) where the mirrored face's embedding is appended; the mean over
                both faces counts then.
            second: The same of the other photograph.

        Raises:
            ValueError: They are of another length.
        """
        return float(self.values(first, second[None])[0])

    def values(
        self, first: npt.NDArray[np.floating], others: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float64]:
        """The same of one against several: (D,) and (N, D) → (N,)."""
        differences = np.abs(self._faces(first[None]) - self._faces(others))  # (N, 1 or 2, D)
        values: npt.NDArray[np.float64] = (differences @ self.slopes).mean(axis=1) + self.offset
        return values

    def _faces(self, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """(N, D) or (N, 2 D) → (N, 1 or 2, D), each of unit length."""
        faces = np.asarray(vectors, dtype=np.float64).reshape(len(vectors), -1, len(self.slopes))
        lengths = np.linalg.norm(faces, axis=2, keepdims=True)
        unit: npt.NDArray[np.float64] = faces / np.maximum(lengths, _LEAST)
        return unit

    def tensors(self) -> dict[str, Tensor]:
        """What a weights file holds of it."""
        return {
            f"{PREFIX}weight": torch.from_numpy(self.slopes.astype(np.float32)),
            f"{PREFIX}bias": torch.tensor([self.offset], dtype=torch.float32),
        }

    def metadata(self) -> dict[str, str]:
        """What its metadata says of it."""
        text = "; ".join(f"{rate!r} {value!r}" for rate, value in sorted(self.limits.items()))
        return {LIMITS: text}


def read_pair_unit(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, dimension: int, origin: str
) -> PairUnit | None:
    """The unit that a weights file keeps; None where it keeps none.

    Args:
        tensors: Of the file.
        metadata: Of the file.
        dimension: D of the network.
        origin: What the file is called, for messages.

    Raises:
        WeightsError: The unit is incomplete, damaged or of another network.
    """
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    if not kept:
        return None
    shapes = {name: tuple(tensor.shape) for name, tensor in kept.items()}
    wanted = {f"{PREFIX}weight": (dimension,), f"{PREFIX}bias": (1,)}
    if shapes != wanted or not all(bool(t.isfinite().all()) for t in kept.values()):
        raise WeightsError(
            f"{origin}: its pair unit has the shapes {shapes}, expected finite numbers of "
            f"{wanted}; take the file that the training wrote"
        )
    return PairUnit(
        slopes=kept[f"{PREFIX}weight"].double().numpy(),
        offset=float(kept[f"{PREFIX}bias"]),
        limits=_limits(metadata.get(LIMITS, ""), origin),
    )


def _limits(text: str, origin: str) -> dict[float, float]:
    found: dict[float, float] = {}
    for part in filter(None, (each.strip() for each in text.split(";"))):
        try:
            rate, value = map(float, part.split())
        except ValueError:
            rate = value = math.nan
        if not (0 < rate < 1 and math.isfinite(value)):
            raise WeightsError(
                f"{origin}: its {LIMITS} is {text[:80]!r}, expected a rate and a value, as in "
                "0.01 2.31"
            )
        found[rate] = value
    return found
