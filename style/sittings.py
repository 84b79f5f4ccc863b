"""A portrait takes several sittings: paint, judge, and paint on while it is not the person."""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

from PIL.Image import Image

from .config import InitialImage, StyleConfig
from .portraits import Care, Portrait, care_for
from .results import Progress, Resemblance


class Paint(Protocol):
    """Paints the photograph as a config says, over a draft where one is handed in."""

    def __call__(
        self, config: StyleConfig, care: Care, draft: Image | None
    ) -> Generator[Progress, None, None]:
        """Check everything at once, and paint as the generator is asked for steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How firmly faces are held, and how much more firmly from sitting to sitting.

    Attributes:
        weight: Weight of a face's identity loss in the first sitting.
        relief: Share of the strength that is taken away in a face in the first sitting, 0 … 1.
        raised: By what the weight of a face that failed is multiplied.
        lowered: By what the strength that is left in it is multiplied.
        more: Sittings after the first, at most.
        steps: Of each of them, as a share of the first one's.
    """

    weight: float = 0.3
    relief: float = 0.3
    raised: float = 3.0
    lowered: float = 0.6
    more: int = 4
    steps: float = 0.2


def sit(
    portrait: Portrait, config: StyleConfig, paint: Paint, terms: Terms | None = None
) -> Generator[Progress, None, None]:
    """Paint a portrait until each face is judged to be the person's, or the sittings are over.

    A later sitting goes on from the picture as it is, in its full size, and holds the faces that
    failed more firmly, in place and by identity.

    Args:
        portrait: The faces of the photograph.
        config: What to paint; its steps are those of the first sitting.
        paint: Paints.
        terms: How firmly.

    Returns:
        A generator of one `Progress` a step. Its total grows with each sitting that is needed, and
        the last one carries what was found of each face.

    Raises:
        What `paint` raises, in the call or while painting.
    """
    hold = _Hold(portrait, terms or Terms())
    return _sit(config, paint, hold, paint(config, hold.care(), None))


class _Hold:
    """How firmly each face is held at the moment."""

    def __init__(self, portrait: Portrait, terms: Terms) -> None:
        self.portrait = portrait
        self.terms = terms
        self._weights = [terms.weight] * len(portrait.faces)
        self._reliefs = [terms.relief] * len(portrait.faces)

    def care(self) -> Care:
        """What this asks of a painting."""
        return care_for(self.portrait, self._weights, self._reliefs)

    def tighten(self, faces: Sequence[Resemblance]) -> None:
        """Hold those that failed more firmly."""
        for number, face in enumerate(faces):
            if not face.same_person:
                self._weights[number] *= self.terms.raised
                left = (1 - self._reliefs[number]) * self.terms.lowered
                self._reliefs[number] = 1 - left


def _sit(
    config: StyleConfig, paint: Paint, hold: _Hold, painting: Generator[Progress, None, None]
) -> Generator[Progress, None, None]:
    """All sittings; `painting` is the first, which has been checked."""
    started = time.perf_counter()
    steps = max(1, round(config.steps * hold.terms.steps))
    later = replace(config, steps=steps, first_scale=config.size, initial_image=InitialImage.DRAFT)
    done = 0
    faces: tuple[Resemblance, ...] = ()
    for left in range(hold.terms.more, -1, -1):
        with closing(painting):
            for progress in painting:
                again = False
                if progress.step == progress.total:
                    picture = progress.image or progress.render()
                    faces = tuple(hold.portrait.judge(picture))
                    again = left > 0 and not all(face.same_person for face in faces)
                yield replace(
                    progress,
                    step=done + progress.step,
                    total=done + progress.total + (steps if again else 0),
                    elapsed=time.perf_counter() - started,
                    faces=faces,
                )
        if not again:
            return
        done += progress.total
        hold.tighten(faces)
        painting = paint(later, hold.care(), picture)
