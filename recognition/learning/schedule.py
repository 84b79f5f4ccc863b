"""The learning rate as a pure function of the step: nothing to save, nothing to resume."""

import math

from .choices import ScheduleName
from .config import ScheduleConfig

_WARMUP_START = 0.04
_CYCLE_END = 1e-3
_MOST_MOMENTUM, _LEAST_MOMENTUM = 0.95, 0.85


def rate_factor(config: ScheduleConfig, step: int, *, epochs: int, steps_per_epoch: int) -> float:
    """The factor on the largest learning rate at one optimiser step.

    Args:
        config: The curve.
        step: Steps done so far, 0 … epochs * steps_per_epoch - 1.
        epochs: Length of the run.
        steps_per_epoch: Length of an epoch.

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
            return _cosine(progress, 0.0)
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
