"""The learning rate as a pure function of the step: nothing to save, nothing to resume."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from data.config import Configuration, Within


class ScheduleName(StrEnum):
    """How the learning rate changes over the run."""

    CONSTANT = "constant"
    INVERSE = "inverse"
    EXPONENTIAL = "exponential"
    STEP = "step"
    COSINE = "cosine"
    ONE_CYCLE = "one-cycle"


DEFAULT_DECAYS = {
    ScheduleName.INVERSE: 0.1,
    ScheduleName.EXPONENTIAL: 0.9,
    ScheduleName.STEP: 0.3,
}
"""How fast a curve falls: by each, a run of 20 epochs ends at a tenth to a third of its rate.
Halved in each epoch, a rate would be a thousandth after ten, and the other ten would teach
nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig(Configuration):
    """How the learning rate changes, as a factor on `optimizer.rate`.

    Attributes:
        name: The curve.
        warmup: The share of the run in which the rate climbs from 4 % of its value (one-cycle:
            the rising part of the cycle).
        decay: k of 1/(1 + k·epoch); the factor per epoch of `exponential`, and per drop of `step`.
            None: `DEFAULT_DECAYS`.
        every: Epochs between two drops of `step`.
    """

    name: ScheduleName = ScheduleName.ONE_CYCLE
    warmup: Annotated[float, Within(0, 0.9)] = 0.2
    decay: Annotated[float, Within(0, 1000)] | None = None
    every: Annotated[int, Within(1, 100_000)] = 10

    def _check(self) -> None:
        if self.name in {ScheduleName.EXPONENTIAL, ScheduleName.STEP}:
            Within(0, 1, above=True).check("schedule.decay", self.factor)

    @property
    def factor(self) -> float:
        """`decay`, or the curve's default."""
        return DEFAULT_DECAYS.get(self.name, 0.0) if self.decay is None else self.decay


_WARMUP_START = 0.04
_CYCLE_END = 1e-3
_MOST_MOMENTUM, _LEAST_MOMENTUM = 0.95, 0.85


def rate_factor(
    config: ScheduleConfig, step: int, *, epochs: int, steps_per_epoch: int, end: float = 0.0
) -> float:
    """The factor on the largest learning rate at one optimiser step.

    Args:
        config: The curve.
        step: Steps done so far, 0 … epochs * steps_per_epoch - 1.
        epochs: Length of the run.
        steps_per_epoch: Length of an epoch.
        end: Where the cosine curve ends, as a factor.

    Returns:
        A number in (0, 1].
    """
    total = epochs * steps_per_epoch
    warmup = round(config.warmup * total)
    if step < warmup and config.name is ScheduleName.ONE_CYCLE:
        return _cosine(1 - (step + 1) / warmup, _WARMUP_START)
    if step < warmup:
        return _WARMUP_START + (1 - _WARMUP_START) * (step + 1) / warmup
    epoch = step // steps_per_epoch
    progress = (step - warmup) / max(1, total - warmup)
    match config.name:
        case ScheduleName.CONSTANT:
            return 1.0
        case ScheduleName.INVERSE:
            return 1 / (1 + config.factor * epoch)
        case ScheduleName.EXPONENTIAL:
            return float(config.factor**epoch)
        case ScheduleName.STEP:
            return float(config.factor ** (epoch // config.every))
        case ScheduleName.COSINE:
            return _cosine(progress, end)
        case ScheduleName.ONE_CYCLE:
            return _cosine(progress, _CYCLE_END)


def momentum_at(config: ScheduleConfig, factor: float) -> float | None:
    """The momentum that goes with a rate; None where it stays as it is.

    One-cycle (Smith 2018, *A disciplined approach to neural network hyper-parameters*, section 4.2)
    lets momentum fall where the rate rises, and rise where it falls: long steps need no run-up.

    Args:
        config: The curve.
        factor: As `rate_factor` gives it.
    """
    if config.name is not ScheduleName.ONE_CYCLE:
        return None
    return _MOST_MOMENTUM - (_MOST_MOMENTUM - _LEAST_MOMENTUM) * factor


def _cosine(progress: float, end: float) -> float:
    """Half a cosine wave from 1 to `end` (Loshchilov and Hutter 2017, SGDR, without restarts)."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * progress))
