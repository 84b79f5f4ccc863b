"""What the trainer asks of whatever is trained."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn

from .config import ConvolutionPrecision, StyleTrainingConfig


class Lesson(Protocol):
    """Something to learn: what changes, what it is judged by, and what is kept of it.

    Attributes:
        seen: Pictures that a step looks at.
    """

    seen: int

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    def losses(self, step: int) -> dict[str, Tensor]:
        """The losses of one step, all scalars; `total` is the one to differentiate.

        Args:
            step: Counted from 0; what is drawn at random follows from it and from the seed alone.
        """

    def validate(self, module: nn.Module) -> dict[str, float]:
        """How well a module of the same kind does on pictures kept out of training.

        Args:
            module: As trained, or with averaged weights.

        Returns:
            Figures by name; `distance` is the one that `best` means: less is better.
        """

    def weights(self, module: nn.Module) -> tuple[Mapping[str, Tensor], dict[str, str]]:
        """What is kept of a module: tensors by name, and the text fields of the file's header."""


def convolutions(config: StyleTrainingConfig, device: torch.device) -> AbstractContextManager[None]:
    """The block in which networks run in the precision that the config asks for."""
    enabled = config.precision is ConvolutionPrecision.BF16
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
