"""Many runs compared, or one run's rate changed as it goes."""

import math
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib.util import find_spec
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from backbones.weights import resolve_device
from data.config import changed, kind_of, parse, to_toml
from data.distribution import install_command
from data.errors import AppError, ArgumentError, TrainingError
from data.files import private_folder, sha256_of, write_atomic

from .batches import build_sampler
from .choices import Metric, SamplerName
from .config import TrainingConfig
from .distillation import TARGETS
from .reports import EpochReport, TrainingProgress
from .trainer import read_data, train

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


# The space of a search over hyperparameters: `optimizer.rate=1e-4..1e-1:log`.

_FIXED = ("data", "out", "device", "metric", "tensorboard")
"""Keys that may not be searched over: places, and what the trials are compared by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One hyperparameter and where it may lie: a range, or a few choices.

    Attributes:
        path: Of the key in a recipe.
        low: Least value, a whole number where the key takes one; None for choices.
        high: Most; None for choices.
        log: Whether the logarithm is drawn evenly, not the value.
        choices: The values to choose from; empty for a range.
    """

    path: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[object, ...] = ()

    @property
    def corners(self) -> tuple[object, ...]:
        """Values that are refused if any is: the ends, or every choice."""
        return self.choices or (self.low, self.high)


def read_dimension(text: str) -> Dimension:
    """Read `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log` or `KEY=A,B,C`.

    Raises:
        ArgumentError: It is written otherwise, there is no such key, or the range is empty.
    """
    source = f"the search {text!r}"
    path, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise ArgumentError(f"{source}: write it as KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B")
    if path.split(".")[0] in _FIXED:
        raise ArgumentError(f"{source}: {path} is the same in every trial")
    kind = kind_of(TrainingConfig, path, source=source)
    if ".." not in values:
        choices = tuple(
            parse(TrainingConfig, path, each.strip(), source=source) for each in values.split(",")
        )
        if len(set(map(str, choices))) < 2:
            raise ArgumentError(f"{source}: give two choices or more, or a range LOW..HIGH")
        return Dimension(path=path, choices=choices)
    values, _, scale = values.partition(":")
    if kind not in {int, float} or scale not in {"", "log"}:
        what = "only numbers have a range" if kind not in {int, float} else "the scale is log"
        raise ArgumentError(f"{source}: {what}")
    low, high = (_number(kind, end, source) for end in values.split("..", 1))
    if not low < high or (scale and low <= 0):
        above = ", above 0 on a log scale" if scale else ""
        raise ArgumentError(f"{source}: the range must rise{above}")
    return Dimension(path=path, low=low, high=high, log=bool(scale))


def _number(kind: type[int] | type[float], text: str, source: str) -> int | float:
    try:
        value = kind(text)
    except ValueError as error:
        wanted = "whole numbers" if kind is int else "numbers"
        raise ArgumentError(f"{source}: the ends of the range must be {wanted}") from error
    if not math.isfinite(value):
        raise ArgumentError(f"{source}: the ends of the range must be finite")
    return value


def read_space(texts: Iterable[str], config: TrainingConfig) -> tuple[Dimension, ...]:
    """Read the dimensions of a search over a run, and check their ends with it.

    Raises:
        ArgumentError: A dimension is written wrongly, given twice, or leaves a key's range.
    """
    space = tuple(read_dimension(text) for text in texts)
    paths = [dimension.path for dimension in space]
    if not space:
        raise ArgumentError("nothing to search: give --search optimizer.rate=1e-4..1e-1:log")
    if len(set(paths)) < len(paths):
        raise ArgumentError(f"each key may be searched once, not {', '.join(paths)}")
    for dimension in space:
        for value in dimension.corners:
            changed(config, {dimension.path: value})
    return space


# Runs side by side: in this process one after the other, or in processes of their own.

ProgressCallback = Callable[[TrainingProgress], None]

_stop: Event | None = None
"""Of a worker: set when the parent wants no more of it."""


class StoppedError(Exception):
    """A worker's run was given up, since its parent ended or failed; its folder goes on later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob:
    """One run among several.

    Attributes:
        config: Of the run.
        command: What the weights' metadata gives as the command that made them.
        begin: The folder of a run whose state this one begins with; None: random weights.
        targets: Folders of runs with the same photographs, whose teacher's answers will do.
    """

    config: TrainingConfig
    command: str
    begin: Path | None = None
    targets: tuple[Path, ...] = ()


class Workers:
    """Where jobs are done; leaving the block by an error stops those under way."""

    def __init__(self, parallel: int, progress: ProgressCallback | None = None) -> None:
        """Start nothing yet.

        Args:
            parallel: Jobs at a time; above 1 each is done in a process of its own.
            progress: Told about the steps of a job done in this process.
        """
        self.parallel = parallel
        self._progress = progress or (lambda _: None)
        self._pool: Executor | None = None
        if parallel > 1:
            context = multiprocessing.get_context("spawn")  # threads of torch survive no fork
            self._stop = context.Event()
            threads = max(1, torch.get_num_threads() // parallel)
            self._pool = ProcessPoolExecutor(
                parallel, mp_context=context, initializer=_begin, initargs=(self._stop, threads)
            )

    def submit(self, job: SearchJob) -> Future[tuple[EpochReport, ...]]:
        """Do a job, at once or as soon as a process is free; its result is its epochs."""
        if self._pool is not None:
            return self._pool.submit(_work, job)
        future: Future[tuple[EpochReport, ...]] = Future()
        try:
            future.set_result(_do(job, self._progress))
        except Exception as error:
            future.set_exception(error)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the processes to end, which they do at their next step if there is an error."""
        if self._pool is not None:
            if kind is not None:
                self._stop.set()
            self._pool.shutdown(cancel_futures=True)


def _begin(stop: Event, threads: int) -> None:
    global _stop
    _stop = stop
    torch.set_num_threads(threads)


def _work(job: SearchJob) -> tuple[EpochReport, ...]:
    return _do(job, _stop_if_alone)


def _stop_if_alone(_: TrainingProgress) -> None:
    """A worker whose parent was killed would go on, and meet the next one in the same folder."""
    parent = multiprocessing.parent_process()
    if (parent is not None and not parent.is_alive()) or (_stop is not None and _stop.is_set()):
        raise StoppedError


def _do(job: SearchJob, progress: ProgressCallback) -> tuple[EpochReport, ...]:
    _lend_targets(job)
    return train(job.config, progress=progress, command=job.command, begin=job.begin).epochs


def _lend_targets(job: SearchJob) -> None:
    """Give a run the teacher's answers of another by a link: to ask again takes long."""
    own = job.config.out / TARGETS
    if job.config.teacher is None or own.exists():
        return
    for folder in job.targets:
        if (folder / TARGETS).is_file():
            job.config.out.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(folder / TARGETS, own)
            return


# A search over hyperparameters: many runs, each with its own draw, compared on people kept out.
#
# Optuna draws the values and keeps the study in `study.db`; each trial is a run in a folder of
# its own. A search that was killed goes on: trials under way go on from their last whole epoch.

MOST_TRIALS = 10_000
MOST_WORKERS = 256
_STUDY = "likeness"
_SEARCH = "search"
_ENOUGH_FOR_IMPORTANCE = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a search.

    Attributes:
        number: Counted from 0.
        values: What was drawn, by key.
        metric: The best value of the run's metric; None where it failed.
        best_epoch: The epoch that it is from; None where it failed.
        epochs: Epochs done; None where it failed.
        error: Why it failed; None where it did not.
    """

    number: int
    values: Mapping[str, object]
    metric: float | None
    best_epoch: int | None
    epochs: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What came of a search.

    Attributes:
        trials: The best first, those that failed last.
        recipe: `best.toml`, which `train` takes.
        weights: Those of the best trial.
        importance: Share of each key in how much the metric differs between trials (PED-ANOVA,
            Watanabe et al. 2023); empty where the trials are too few to tell.
    """

    trials: tuple[Trial, ...]
    recipe: Path
    weights: Path
    importance: Mapping[str, float]


TrialCallback = Callable[[Trial], None]


def check_tuning(trials: int, parallel: int) -> None:
    """Refuse numbers out of range, and a search without the library that draws.

    Raises:
        ArgumentError: Either is the case.
    """
    for name, value, most in (
        ("trials", trials, MOST_TRIALS),
        ("parallel", parallel, MOST_WORKERS),
    ):
        if not 1 <= value <= most:
            raise ArgumentError(f"{name} is {value}: give a whole number from 1 to {most}")
    if find_spec("optuna") is None:
        raise ArgumentError(
            f"a search needs Optuna, which is not installed: {install_command('tune')}"
        )


def tune(
    config: TrainingConfig,
    space: Sequence[Dimension],
    *,
    trials: int,
    sampler: SamplerName = SamplerName.RANDOM,
    parallel: int = 1,
    report: TrialCallback | None = None,
    progress: ProgressCallback | None = None,
    command: str = "",
) -> TuningResult:
    """Search, or go on with a search that was interrupted.

    The same seed draws the same trials, however many at a time; with `tpe` only one at a time.

    Args:
        config: What all trials share; `out` is the search's folder.
        space: What differs between them.
        trials: How many, those of an interrupted search counted in.
        sampler: How values are drawn.
        parallel: Trials at a time.
        report: Told about each trial as it ends.
        progress: Told about steps; only where one trial goes at a time.
        command: What the weights' metadata gives as the command that made them.

    Raises:
        ArgumentError: Numbers out of range, a missing library, photographs that cannot be used.
        TrainingError: The folder holds another search, or every trial failed.
    """
    check_tuning(trials, parallel)
    # Read here too: what is wrong with it is said once, and faces are not searched for twice.
    data = read_data(config, resolve_device(config.device), progress or (lambda _: None))
    if not any(dimension.path.startswith(("batch", "data")) for dimension in space):
        build_sampler(data.training, config)
    search = _Search(config, space, sampler, command)
    with Workers(parallel, progress) as workers:
        search.run(trials, workers, report or (lambda _: None))
    return search.result()


def value_of(report: EpochReport, metric: Metric) -> float | None:
    """The run's metric after an epoch."""
    return report.val_tar if metric is Metric.TAR else report.val_auc


def _best(reports: Sequence[EpochReport], metric: Metric) -> tuple[EpochReport, float]:
    """The epoch that the run kept as its best, and its metric."""
    best = [report for report in reports if report.best][-1]
    value = value_of(best, metric)
    if value is None:
        raise TrainingError(f"{metric} cannot be measured: nobody kept out has two photographs")
    return best, value


def _distribution(dimension: Dimension) -> "BaseDistribution":
    """A dimension in Optuna's words."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.low is None or dimension.high is None:
        return CategoricalDistribution(dimension.choices)  # type: ignore[arg-type]
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


class _Search:
    """A study of Optuna's, and the runs that belong to it; the only one to touch the study."""

    def __init__(
        self,
        config: TrainingConfig,
        space: Sequence[Dimension],
        sampler: SamplerName,
        command: str,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._config, self._sampler, self._command = config, sampler, command
        self._space = {dimension.path: _distribution(dimension) for dimension in space}
        self._folder = private_folder(config.out)
        self._study = optuna.create_study(
            storage=f"sqlite:///{self._folder / 'study.db'}",
            study_name=_STUDY,
            direction="maximize",
            load_if_exists=True,
        )
        shared = replace(config, out=Path("out"), device="auto")
        digest = sha256_of(f"{to_toml(shared)}{sorted(map(str, space))}{sampler}".encode())
        if self._study.user_attrs.get(_SEARCH, digest) != digest:
            raise TrainingError(
                f"{self._folder} holds a search with other settings: give another folder for this "
                "one, or repeat that one's settings to go on with it"
            )
        self._study.set_user_attr(_SEARCH, digest)

    def run(self, trials: int, workers: Workers, report: TrialCallback) -> None:
        """Do the trials that are left, first those that were interrupted."""
        left = [trial.number for trial in self._usable() if not trial.state.is_finished()]
        running: dict[Future[tuple[EpochReport, ...]], int] = {}
        while True:
            while len(running) < workers.parallel:
                if not left and len(self._usable()) < trials:
                    left.append(self._ask())
                if not left:
                    break
                number = left.pop(0)
                running[workers.submit(self._job(number))] = number
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                report(self._tell(running.pop(future), future))

    def result(self) -> TuningResult:
        """Sort the trials, and write the best one's recipe."""
        trials = [self._as_trial(each) for each in self._usable() if each.state.is_finished()]
        done = [trial for trial in trials if trial.metric is not None]
        if not done:
            raise TrainingError(f"every trial failed, the first one so: {trials[0].error}")
        best = max(done, key=lambda trial: (trial.metric, -trial.number))
        # Another folder, so that to train with it makes a run, and does not find the trial's.
        config = replace(self._trial_config(best.number), out=self._folder / "best")
        write_atomic(self._folder / "best.toml", to_toml(config).encode())
        order = sorted(trials, key=lambda trial: (trial.metric is None, -(trial.metric or 0)))
        return TuningResult(
            trials=tuple(order),
            recipe=self._folder / "best.toml",
            weights=self._run_folder(best.number) / "best.safetensors",
            importance=self._importance(len(done)),
        )

    def _ask(self) -> int:
        """Draw a trial; what is drawn follows from the seed and the trial's place alone."""
        from optuna.samplers import RandomSampler, TPESampler

        place = np.random.SeedSequence([self._config.seed, len(self._usable())])
        seed = int(place.generate_state(1)[0])
        kind = RandomSampler if self._sampler is SamplerName.RANDOM else TPESampler
        self._study.sampler = kind(seed=seed)
        return self._study.ask(self._space).number

    def _job(self, number: int) -> SearchJob:
        earlier = tuple(self._run_folder(each) for each in range(number))
        return SearchJob(config=self._trial_config(number), command=self._command, targets=earlier)

    def _tell(self, number: int, future: Future[tuple[EpochReport, ...]]) -> Trial:
        """Keep what came of a trial; one that cannot be trained fails alone."""
        from optuna.trial import TrialState

        try:
            best, value = _best(future.result(), self._config.metric)
            self._note(number, best_epoch=best.epoch, epochs=len(future.result()))
            self._study.tell(number, value)
        except BrokenProcessPool as error:
            raise TrainingError(
                "the process of a trial was killed, perhaps for lack of memory: run fewer in "
                "parallel; the same command goes on"
            ) from error
        except AppError as error:
            self._note(number, error=str(error))
            self._study.tell(number, state=TrialState.FAIL)
        return self._as_trial(self._study.trials[number])

    def _note(self, number: int, **values: object) -> None:
        self._study.set_user_attr(f"trial {number}", values)

    def _as_trial(self, trial: "FrozenTrial") -> Trial:
        noted = self._study.user_attrs.get(f"trial {trial.number}", {})
        return Trial(
            number=trial.number,
            values=trial.params,
            metric=trial.value if trial.state.name == "COMPLETE" else None,
            best_epoch=noted.get("best_epoch"),
            epochs=noted.get("epochs"),
            error=noted.get("error"),
        )

    def _usable(self) -> list["FrozenTrial"]:
        """The trials whose values are all drawn: a kill may have come in between."""
        return [trial for trial in self._study.trials if len(trial.params) == len(self._space)]

    def _trial_config(self, number: int) -> TrainingConfig:
        values = self._study.trials[number].params
        return replace(changed(self._config, values), out=self._run_folder(number))

    def _run_folder(self, number: int) -> Path:
        return self._folder / f"trial-{number:03}"

    def _importance(self, done: int) -> dict[str, float]:
        import optuna
        from optuna.importance import PedAnovaImportanceEvaluator

        if done < _ENOUGH_FOR_IMPORTANCE or len(self._space) < 2:
            return {}
        shares = optuna.importance.get_param_importances(
            self._study, evaluator=PedAnovaImportanceEvaluator()
        )
        return dict(shares)


# One run, watched: its learning rate is changed as it goes, by what helps on people kept out.
#
# The run goes on in rounds of some epochs. At each round's beginning the rate as it is, half of
# it and twice of it go on from the same checkpoint, each in a folder of its own; at the round's
# end the one that does best goes on, and the others are left. Between the changes the rate is
# constant.

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
        job = SearchJob(config=own, command=command, begin=begin, targets=targets)
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
