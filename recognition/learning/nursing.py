"""One run, watched: its learning rate is changed as it goes, by what helps on people kept out.

The run goes on in rounds of some epochs. At each round's beginning the rate as it is, half of it
and twice of it go on from the same checkpoint, each in a folder of its own; at the round's end the
one that does best goes on, and the others are left. Between the changes the rate is constant.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from backbones.weights import resolve_device
from data.errors import AppError, ArgumentError, TrainingError

from .choices import Metric
from .config import TrainingConfig
from .preparation import read_data
from .recipe import changed
from .reports import EpochReport
from .tuning import MOST_WORKERS, value_of
from .workers import Job, ProgressCallback, Workers

FACTORS = (1.0, 0.5, 2.0)
"""On the rate; of equally good ones the rate stays as it is."""
_MOST_RATE = 100.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rate in one round.

    Attributes:
        round: Counted from 1.
        rate: The learning rate.
        metric: The run's metric after the round's last epoch; None where it failed.
        chosen: Whether the run went on with it.
        error: Why it failed; None where it did not.
    """

    round: int
    rate: float
    metric: float | None
    chosen: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class NursingResult:
    """What came of a watched run.

    Attributes:
        candidates: Of every round, in order.
        folder: Of the run that was chosen last; its metrics are those of all epochs.
        weights: The best weights of the whole run.
        best_epoch: The epoch that they are from.
        metric: Theirs.
    """

    candidates: tuple[Candidate, ...]
    folder: Path
    weights: Path
    best_epoch: int
    metric: float | None


CandidateCallback = Callable[[Candidate], None]


def nurse(
    config: TrainingConfig,
    *,
    every: int,
    parallel: int = 1,
    report: CandidateCallback | None = None,
    progress: ProgressCallback | None = None,
    command: str = "",
) -> NursingResult:
    """Train one run under watch, or go on with one that was interrupted.

    Args:
        config: Of the run; its schedule and its patience are not used.
        every: Epochs of a round.
        parallel: Candidates at a time.
        report: Told about each round's candidates at its end.
        progress: Told about steps; only where one candidate goes at a time.
        command: What the weights' metadata gives as the command that made them.

    Raises:
        ArgumentError: A number out of range, photographs that cannot be used.
        TrainingError: Every candidate of a round failed, or the folder holds another run.
    """
    for name, value, most in (
        ("every", every, config.epochs),
        ("parallel", parallel, MOST_WORKERS),
    ):
        if not 1 <= value <= most:
            raise ArgumentError(f"{name} is {value}: give a whole number from 1 to {most}")
    read_data(config, resolve_device(config.device), progress or (lambda _: None))
    values = {"schedule.name": "constant", "schedule.warmup": 0.0}
    steady = replace(changed(config, values), patience=None)
    candidates: list[Candidate] = []
    done: _Round | None = None
    rate = config.optimizer.peak_rate
    with Workers(parallel, progress) as workers:
        for number in range(1, -(-config.epochs // every) + 1):
            optimizer = replace(steady.optimizer, rate=rate)
            epochs = min(number * every, config.epochs)
            now = replace(steady, optimizer=optimizer, epochs=epochs)
            done = _round(now, number, None if done is None else done.folder, workers, command)
            candidates += done.candidates
            [rate] = [each.rate for each in done.candidates if each.chosen]
            for each in done.candidates:
                (report or (lambda _: None))(each)
    assert done is not None  # there is an epoch, so there is a round
    best = [epoch for epoch in done.epochs if epoch.best][-1]
    return NursingResult(
        candidates=tuple(candidates),
        folder=done.folder,
        weights=done.folder / "best.safetensors",
        best_epoch=best.epoch,
        metric=value_of(best, config.metric),
    )


@dataclass(frozen=True, slots=True)
class _Round:
    """How a round ended: its candidates, and the folder and the epochs of the one that goes on."""

    candidates: tuple[Candidate, ...]
    folder: Path
    epochs: tuple[EpochReport, ...]


def _round(
    config: TrainingConfig, number: int, begin: Path | None, workers: Workers, command: str
) -> _Round:
    """Go on from one checkpoint with each candidate, and choose."""
    futures: dict[float, Future[tuple[EpochReport, ...]]] = {}
    folders: dict[float, Path] = {}
    for rate in sorted({min(config.optimizer.peak_rate * each, _MOST_RATE) for each in FACTORS}):
        out = folders[rate] = config.out / f"round-{number:02}" / f"rate-{rate:.4g}"
        optimizer = replace(config.optimizer, rate=rate)
        own = replace(config, out=out, optimizer=optimizer)
        targets = (begin, *folders.values()) if begin else tuple(folders.values())
        job = Job(config=own, command=command, begin=begin, targets=targets)
        futures[rate] = workers.submit(job)
    values: dict[float, float] = {}
    errors: dict[float, str] = {}
    for rate, future in futures.items():
        try:
            values[rate] = _value(future.result()[-1], config.metric)
        except AppError as error:
            errors[rate] = str(error)
    if not values:
        raise TrainingError(f"no rate goes on in round {number}: {next(iter(errors.values()))}")
    chosen = max(values, key=lambda rate: (values[rate], rate == config.optimizer.peak_rate))
    candidates = tuple(
        Candidate(number, rate, values.get(rate), rate == chosen, errors.get(rate))
        for rate in futures
    )
    return _Round(candidates, folders[chosen], futures[chosen].result())


def _value(report: EpochReport, metric: Metric) -> float:
    value = value_of(report, metric)
    if value is None:
        raise TrainingError(f"{metric} cannot be measured: nobody kept out has two photographs")
    return value
