"""Photographs mixed in pairs: the network should answer a mixture by the same mixture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .choices import MixupPlace
from .config import MixupConfig


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """How the photographs of one batch are mixed.

    Attributes:
        share: λ, what is kept of each photograph, 0 … 1.
        partner: (B,) int64, whose photograph takes the rest.
        tap: Whose feature maps are mixed; None: the images.
    """

    share: float
    partner: Tensor
    tap: str | None

    def __call__(self, x: Tensor) -> Tensor:
        """(B, …) → (B, …)."""
        return self.share * x + (1 - self.share) * x[self.partner]


class Mixer:
    """Draws how to mix, one batch after the other.

    λ ~ Beta(α, α) once a batch (Zhang et al. 2018, *mixup: Beyond Empirical Risk Minimization*);
    the place is the input or one of the taps, with equal chance (Verma et al. 2019, *Manifold
    Mixup*).
    """

    def __init__(self, config: MixupConfig, taps: Sequence[str], *, seed: int) -> None:
        """Prepare.

        Args:
            config: Where, and α.
            taps: The places inside the network.
            seed: Of all draws.
        """
        self._config = config
        self._places = [None, *taps] if config.where is MixupPlace.HIDDEN else [None]
        self._rng = np.random.default_rng(seed)

    def draw(self, count: int, device: torch.device) -> Mixture | None:
        """Draw for a batch of `count` photographs on a device; None where nothing is mixed."""
        if self._config.where is MixupPlace.NONE:
            return None
        return Mixture(
            share=float(self._rng.beta(self._config.alpha, self._config.alpha)),
            partner=torch.from_numpy(self._rng.permutation(count)).to(device),
            tap=self._places[int(self._rng.integers(len(self._places)))],
        )
