"""How a face is compared with somebody who is enrolled by several photographs: the rules."""

from enum import StrEnum


class Matching(StrEnum):
    """By which of a person's photographs a face is compared with them. None is above `BEST`."""

    BEST = "best"
    """By the photograph that is closest."""

    MEAN = "mean"
    """By the mean over all photographs."""

    TRIMMED = "trimmed"
    """By the mean without the fifth that is closest and the fifth that is farthest."""

    ATTENTION = "attention"
    """By a mean that weighs each photograph as a trained query does, a `TemplateAttention`."""
