"""What a stylisation reports while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PIL.Image import Image
from torch import Tensor

from data.images import to_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Resemblance:
    """How much a face of the picture is still that of the photograph.

    Attributes:
        similarity: Cosine similarity, −1 … 1; higher is closer. None where no face is found any
            more in that place.
        threshold: From which similarity on they are one person's.
    """

    similarity: float | None
    threshold: float

    @property
    def same_person(self) -> bool:
        """Whether there is a face, and its similarity reaches the threshold."""
        return self.similarity is not None and self.similarity >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintingProgress:
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
        render_tensor: Makes the picture so far, (1, 3, H, W) float32 in [0, 1] at its final size,
            at any moment until the next step begins or for good after the generator was closed:
            what is saved, also of a cancelled run.
        faces: Where faces are kept, what was found of each when the picture was last judged, the
            largest first; empty before that, and where none are kept.
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
    render_tensor: Callable[[], Tensor] = field(repr=False, compare=False)
    seconds_left: float | None = None
    notes: tuple[str, ...] = ()
    faces: tuple[Resemblance, ...] = ()

    def render(self) -> Image:
        """The picture so far, as `render_tensor` makes it, cut to 8 bit."""
        return to_image(self.render_tensor())
