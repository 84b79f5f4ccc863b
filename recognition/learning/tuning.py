"""A search over hyperparameters: many runs, each with its own draw, compared on people kept out.

Optuna draws the values and keeps the study in `study.db`; each trial is a run in a folder of its
own. A search that was killed goes on: trials under way go on from their last whole epoch.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backbones.weights import resolve_device
from data.distribution import install_command
from data.errors import AppError, ArgumentError, TrainingError
from data.files import private_folder, sha256_of, write_atomic
from data.recipes import to_toml

from .batches import build_sampler
from .choices import Metric, SamplerName
from .config import TrainingConfig
from .preparation import read_data
from .recipe import changed
from .reports import EpochReport
from .search import Dimension
from .workers import Job, ProgressCallback, Workers

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

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

    def _job(self, number: int) -> Job:
        earlier = tuple(self._run_folder(each) for each in range(number))
        return Job(config=self._trial_config(number), command=self._command, targets=earlier)

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
