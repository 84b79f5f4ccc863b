"""What a run tells while it goes on, and at its end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from data.folders import Account

from .aligned import Missed
from .validation import Verification


@dataclass(frozen=True, slots=True)
class Progress:
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
    measured: Mapping[str, Verification]
    verdict: str
    missed: tuple[Missed, ...]
    doubts: tuple[str, ...]
    accounts: tuple[Account, ...] = ()
