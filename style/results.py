"""What a stylisation reports while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PIL.Image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state after one step.

    Attributes:
        step: Steps done, from 1.
        total: Steps in all.
        losses: Unweighted "content", "style" and "total_variation" as measured in this step, and
            their weighted sum "total". Content and style are relative: 0 is the target itself, 1 is
            as far from it as it varies within itself.
        elapsed: Seconds since the painting began.
        size: (H, W) of the scale being painted, px.
        image: The picture so far, or None in steps that show none. The last step always does.
        render: Makes the picture so far, at its final size, at any moment until the next step
            begins or for good after the generator was closed: what a cancelled run saves.
        seconds_left: An estimate for the whole picture; None where there is none yet.
        notes: What the user is to hear before the next step, a line each: that memory ran out and
            tiles became smaller, for example.
    """

    step: int
    total: int
    losses: Mapping[str, float]
    elapsed: float
    size: tuple[int, int]
    image: Image | None
    render: Callable[[], Image] = field(repr=False, compare=False)
    seconds_left: float | None = None
    notes: tuple[str, ...] = ()
