"""A run that counts steps: validation, weights, metrics and a checkpoint every so many of them.

What is drawn at random follows from the seed and the step's number, so no generator has a state to
keep, and a run that goes on ends with the same bytes.
"""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from data.progress import Progress

from .averaging import WeightAverage
from .checkpoint import Position, TrainingState
from .optimizers import check_finite, parameter_groups
from .run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What every run of steps tells of a checkpoint; each adds its own figures.

    Attributes:
        step: Steps done.
        steps: Length of the run.
        losses: Means since the checkpoint before, by name.
        rate: The last learning rate.
        seconds: Since the checkpoint before.
        best: Whether these weights are the best so far.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    rate: float
    seconds: float
    best: bool

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What came of a run of steps.

    Attributes:
        out: Its folder.
        weights: The best weights.
        best_step: After which step.
    """

    out: Path
    weights: Path
    best_step: int


AnyStepReport = TypeVar("AnyStepReport", bound=StepReport)


class Lesson(Protocol):
    """Something to learn: what changes, what it is judged by, and what is kept of it."""

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
            module: With averaged weights, in eval mode.

        Returns:
            Figures by name, among them the one that decides what is best.
        """

    def weights(self, module: nn.Module) -> tuple[Mapping[str, Tensor], dict[str, str]]:
        """What is kept of a module: tensors by name, and the text fields of the file's header."""


class StepRun(Generic[AnyStepReport]):
    """AdamW, step after step, over the parameters of a lesson."""

    def __init__(
        self,
        lesson: Lesson,
        folder: RunFolder[AnyStepReport],
        digest: str,
        *,
        part: str,
        steps: int,
        every: int,
        rate: Callable[[int], float],
        weight_decay: float,
        clip: float,
        averaging: float,
        metric: str,
        larger: bool,
        report: Callable[[dict[str, Any], dict[str, float], float], AnyStepReport],
    ) -> None:
        """Put a run together; nothing is written.

        Args:
            lesson: What is learnt.
            folder: Of the run.
            digest: Of what decides its result.
            part: What the state calls the module.
            steps: Length of the run.
            every: Steps between two checkpoints.
            rate: The learning rate of a step, counted from 0.
            weight_decay: Of kernels.
            clip: Largest norm of the gradient.
            averaging: Decay of the weights' moving average that is validated and saved.
            metric: The figure of a validation that decides what is best.
            larger: Whether more of it is better.
            report: Makes a report of the fields of `StepReport`, the figures of a validation, and
                how many steps a second were taken.
        """
        self._lesson, self._folder, self._rate, self._report = lesson, folder, rate, report
        self._steps, self._every, self._clip = steps, every, clip
        self._metric, self._larger = metric, larger
        self._optimizer = torch.optim.AdamW(parameter_groups([lesson.module], weight_decay))
        self._average = WeightAverage(lesson.module, averaging)
        self._state = TrainingState({part: lesson.module}, self._optimizer, self._average)
        self._checkpoint = folder.checkpoint(digest)

    def load(self) -> Position:
        """Go back to the last checkpoint, and write nothing.

        Raises:
            TrainingError: It is another run's.
        """
        return self._checkpoint.load(self._state)

    def go(
        self, position: Position, report: Callable[[AnyStepReport], None], progress: Progress
    ) -> Position:
        """Take the steps that are left.

        Args:
            position: Of `load`.
            report: Told about each checkpoint.
            progress: Told how many steps of how many are done.

        Raises:
            TrainingError: A loss or the gradient is no finite number.
        """
        while position.done < self._steps:
            until = min(self._steps, (position.done // self._every + 1) * self._every)
            started = time.perf_counter()
            sums: dict[str, float] = {}
            for step in range(position.done, until):
                for name, value in self._step(step).items():
                    sums[name] = sums.get(name, 0.0) + value
                progress(step + 1, self._steps)
            means = {name: value / (until - position.done) for name, value in sums.items()}
            position, done = self._complete(position, until, means, started)
            report(done)
        return position

    def _step(self, step: int) -> dict[str, float]:
        """One step; the losses before it."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step)
        self._optimizer.zero_grad()
        losses = self._lesson.losses(step)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        check_finite(values, step)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._lesson.module.parameters(), self._clip)
        check_finite({"gradient": float(norm)}, step)
        self._optimizer.step()
        self._average.update(self._lesson.module)
        return values

    def _complete(
        self, before: Position, step: int, losses: dict[str, float], started: float
    ) -> tuple[Position, AnyStepReport]:
        """Validate, then write weights, metrics and state, in this order: the state comes last."""
        steps_per_second = (step - before.done) / (time.perf_counter() - started)
        module = deepcopy(self._lesson.module).eval()
        module.load_state_dict(self._average.averaged(self._lesson.module))
        figures = self._lesson.validate(module)
        value = figures[self._metric]
        best = before.best is None or (value > before.best if self._larger else value < before.best)
        tensors, metadata = self._lesson.weights(module)
        self._folder.write_weights(tensors, metadata | {"step": str(step)}, best=best)
        facts = {
            "step": step,
            "steps": self._steps,
            "losses": losses,
            "rate": self._optimizer.param_groups[0]["lr"],
            "seconds": time.perf_counter() - started,
            "best": best,
        }
        done = self._report(facts, figures, steps_per_second)
        self._folder.append(done, after=before.done)
        position = Position(step, value, step) if best else replace(before, done=step)
        self._checkpoint.save(self._state, position)
        return position, done
