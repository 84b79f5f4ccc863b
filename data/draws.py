"""The random numbers behind one augmented batch: one stream for each kind of change."""

import zlib

import torch
from torch import Tensor


class Draws:
    """What is drawn for the images of one batch.

    Every kind of change has a stream of its own, so that switching one on, or giving it another
    strength, leaves the draws of the others as they were.
    """

    def __init__(self, count: int, generator: torch.Generator) -> None:
        """Take one number from a generator; all streams follow from it.

        Args:
            count: B, how many images the batch has.
            generator: On the CPU.
        """
        self._count = count
        self._seed = int(torch.randint(2**32, (1,), generator=generator))

    def stream(self, kind: str) -> torch.Generator:
        """The generator of one kind of change, at its beginning."""
        # The CPU's generator looks at the low 32 bits of its seed alone.
        return torch.Generator().manual_seed(self._seed ^ zlib.crc32(kind.encode()))

    def shares(self, kind: str) -> Tensor:
        """(B,) float32, uniform in [0, 1)."""
        return torch.rand(self._count, generator=self.stream(kind))

    def around_zero(self, kind: str, most: float) -> Tensor:
        """(B,) float32, uniform between -most and most."""
        return (self.shares(kind) * 2 - 1) * most

    def chosen(self, kind: str, probability: float) -> Tensor:
        """(n,) int64, ascending: the images to which a change that has a probability happens."""
        return (self.shares(kind) < probability).nonzero()[:, 0]
