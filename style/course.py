"""How far a painting is: what is done, what is left, what the user is to hear, what is kept."""

import time
from collections.abc import Sequence

from .elastic import ElasticObjective
from .painters import Painter
from .planning import Plan
from .unfinished import Position, Saved, Unfinished


class Course:
    """The course of one painting through its scales.

    Attributes:
        scale: Number of the scale that is being painted, from 0.
        taken: Steps done in it.
        done: Steps done in all.
        tiles: By scale, the longest side of the tiles, px; None: in one piece.
    """

    def __init__(
        self,
        schedule: Sequence[tuple[tuple[int, int], int]],
        plan: Plan | None,
        unfinished: Unfinished | None,
        saved: Saved | None,
    ) -> None:
        """Stand at the beginning, or where a saved painting stands.

        Args:
            schedule: ((H, W) in px, steps) of each scale.
            plan: What was planned; None: nothing.
            unfinished: Where a half-painted picture is kept.
            saved: What was found there.
        """
        self._steps = [steps for _, steps in schedule]
        # What a step of each scale takes; only the ratios matter.
        self._weights = (
            [float(height * width) for (height, width), _ in schedule]
            if plan is None
            else [max(scale.seconds, 1e-9) / scale.steps for scale in plan.scales]
        )
        self.tiles: list[int | None] = [None] * len(schedule)
        if plan is not None:
            self.tiles = [scale.tile for scale in plan.scales]
        self.scale = self.taken = self.done = 0
        self._elsewhere = 0.0  # seconds before the painting was gone on with
        self._unfinished = unfinished
        self._notes: list[str] = []
        self._gives_way = False
        if saved is not None:
            position = saved.position
            self.scale, self.taken, self.done = position.scale, position.taken, position.done
            self.tiles = list(position.tiles)
            self._elsewhere = position.elapsed
            self._notes.append(f"going on after step {self.done} of {sum(self._steps)}")
        self._started = self._scale_started = time.perf_counter()
        self._before = self.taken  # steps of this scale that were done elsewhere

    @property
    def elapsed(self) -> float:
        """Seconds of painting."""
        return self._elsewhere + time.perf_counter() - self._started

    @property
    def seconds_left(self) -> float | None:
        """By the speed of this scale, and by what the others were to take beside it."""
        here = self.taken - self._before
        if here == 0:
            return None
        speed = (time.perf_counter() - self._scale_started) / (here * self._weights[self.scale])
        left = (self._steps[self.scale] - self.taken) * self._weights[self.scale]
        later = range(self.scale + 1, len(self._steps))
        left += sum(self._steps[number] * self._weights[number] for number in later)
        return speed * left

    def begin(self, number: int) -> None:
        """Begin a scale, or go on with it."""
        if number != self.scale:
            self.scale, self.taken = number, 0
        self._scale_started, self._before = time.perf_counter(), self.taken

    def tell(self, line: str) -> None:
        """Hear from the objective that its tiles become smaller."""
        self._notes.append(line)
        self._gives_way = True

    def new_notes(self) -> tuple[str, ...]:
        """What the user has not heard yet, a line each."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def step(self, objective: ElasticObjective, brush: Painter) -> None:
        """A step is done; keep the picture if it is time to."""
        self.taken += 1
        self.done += 1
        if self._gives_way and objective.tile is not None:
            most = objective.tile
            self.tiles[self.scale :] = [min(it or most, most) for it in self.tiles[self.scale :]]
            self._gives_way = False
        if self._unfinished is not None and self._unfinished.is_due():
            self.keep(brush)

    def keep(self, brush: Painter) -> None:
        """Keep the picture as it is, unless it is finished: then it is the caller's to keep."""
        if self._unfinished is None or self.done == sum(self._steps):
            return
        position = Position(
            scale=self.scale,
            taken=self.taken,
            done=self.done,
            elapsed=self.elapsed,
            tiles=tuple(self.tiles),
        )
        try:
            self._unfinished.keep(position, brush.state())
        except OSError as error:
            self._notes.append(
                f"cannot keep the half-painted picture: {error.strerror}; make room on the disk"
            )
