"""Named settings: how much time a picture may take."""

from collections.abc import Mapping
from enum import StrEnum

from .config import StyleConfig


class Quality(StrEnum):
    """How well a picture is painted, and how long that takes."""

    DRAFT = "draft"
    BALANCED = "balanced"
    FINE = "fine"
    PRINT = "print"


_CHANGES: Mapping[Quality, Mapping[str, int | float]] = {
    Quality.DRAFT: {"size": 256, "steps": 100},
    Quality.BALANCED: {},
    Quality.FINE: {"size": 768, "steps": 800},
    Quality.PRINT: {"size": 2048, "steps": 800},
}
"""What each of them alters in the defaults of `StyleConfig`, which are the balanced ones."""


def settings_of(quality: Quality) -> dict[str, int | float]:
    """The fields of `StyleConfig` that a quality sets, among them always size and steps."""
    usual = StyleConfig()
    return {"size": usual.size, "steps": usual.steps, **_CHANGES[quality]}
