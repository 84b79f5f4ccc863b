"""What a run tells, and where its error is: bias or variance."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from data.folders import Account

from .dataset import Missed
from .validation import ValidationFigures

# What a run tells while it goes on, and at its end.


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far one stage of a run is.

    Attributes:
        stage: `photographs`, `teacher`, or `epoch 3 of 20`.
        done: Photographs or steps done.
        total: Of how many.
        loss: Of the last step; None outside training.
        images_per_second: Of the epoch so far; None outside training.
        seconds_left: Of the whole run, as far as it can be told; None before the first step.
    """

    stage: str
    done: int
    total: int
    loss: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch; a line of `metrics.jsonl`.

    Attributes:
        epoch: Counted from 1.
        epochs: Of how many.
        train_loss: Mean of the weighted sum over the epoch's steps.
        losses: Mean of each term before its weight.
        val_auc: Area under the ROC curve, over pairs of held-out people; None where nobody of
            them has two photographs.
        val_tar: Share of their genuine pairs accepted at a FAR of 1 %; None where their impostor
            pairs are too few to support that.
        learning_rate: After the last step.
        seconds: Of the epoch with its validation.
        images_per_second: Of the training alone.
        best: Whether this epoch's weights are now `best.safetensors`.
    """

    epoch: int
    epochs: int
    train_loss: float
    losses: Mapping[str, float]
    val_auc: float | None
    val_tar: float | None
    learning_rate: float
    seconds: float
    images_per_second: float
    best: bool

    def as_json(self) -> dict[str, object]:
        """A dictionary for one line of JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came of a run.

    Attributes:
        out: The run's folder.
        weights: `best.safetensors`, usable as `--weights`.
        best_epoch: The epoch that it is from.
        epochs: Every epoch's report, those before a resumption too.
        measured: The best weights on people in `training`, `validation` and, if any, `test`.
        verdict: Where the error is, and what to try.
        missed: Photographs that could not be used.
        doubts: What is allowed and yet rarely meant, a line each.
        accounts: What was not taken from the folders of photographs.
    """

    out: Path
    weights: Path
    best_epoch: int
    epochs: tuple[EpochReport, ...]
    measured: Mapping[str, ValidationFigures]
    verdict: str
    missed: tuple[Missed, ...]
    doubts: tuple[str, ...]
    accounts: tuple[Account, ...] = ()


# Where the error is, bias or variance, and what to try: train error against dev error.

_SMALL = 0.02
_FEWEST = 10
"""People of whom two photographs are compared: with fewer, an error is one person's story."""


def verdict(
    training: ValidationFigures, validation: ValidationFigures, *, people: tuple[int, int]
) -> str:
    """Say which of the two errors to act on, where the people are enough to tell.

    Args:
        training: Measured on people in training, without augmentation.
        validation: On people kept out.
        people: How many people with two photographs or more each was measured on. Errors come by
            person, so the spread of both shares is taken from these, not from the pairs.

    Returns:
        One line.
    """
    measure, bias, dev = _errors(training, validation)
    if bias is None or dev is None:
        return "Where the error is cannot be told: nobody has two photographs to compare."
    numbers = f"{measure}: {bias:.1%} on people in training, {dev:.1%} on people kept out"
    if min(people) < _FEWEST or _is_within_chance(bias, dev, people):
        return (
            f"{numbers}. With {people[0]} and {people[1]} people of two photographs or more it "
            "cannot be told whether bias or variance is larger: keep more people out, or bring "
            "more photographs."
        )
    if max(bias, dev) <= _SMALL:
        return f"{numbers}. Both are small: measure with harder photographs."
    if bias >= dev - bias:
        return (
            f"{numbers}. Bias is the larger part: train longer, with a larger network or a "
            "better teacher, or with less augmentation."
        )
    return (
        f"{numbers}. Variance is the larger part: bring more people, stronger augmentation or "
        "weight decay, or photographs without names and a teacher."
    )


def _is_within_chance(bias: float, dev: float, people: tuple[int, int]) -> bool:
    """Whether bias and variance, dev less bias, differ by less than two standard errors."""
    spread = 4 * bias * (1 - bias) / people[0] + dev * (1 - dev) / people[1]
    return max(bias, dev) > _SMALL and abs(2 * bias - dev) < 2 * math.sqrt(spread)


def _errors(
    training: ValidationFigures, validation: ValidationFigures
) -> tuple[str, float | None, float | None]:
    """Both errors by the same measure: 1 − TAR at FAR 1 % where both sides support it."""
    if training.tar is not None and validation.tar is not None:
        return "1 − TAR at FAR 1 %", 1 - training.tar, 1 - validation.tar
    both = (training.auc, validation.auc)
    bias, dev = (None if value is None else 1 - value for value in both)
    return "1 − AUC", bias, dev
