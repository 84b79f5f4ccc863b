"""`tune`: many runs search for the settings of one, or one run is watched as it goes."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError
from recognition.learning.choices import SamplerName
from ui.settings import Settings

from ... import wording
from .. import output
from ..options import GOES_ON, MOST_EPOCHS, JsonOption, command
from .training_options import (
    CorruptOption,
    DataOption,
    EpochsOption,
    RecipeArgument,
    SeedOption,
    SetOption,
    command_line,
    configured,
    note,
)

if TYPE_CHECKING:
    from recognition.learning.config import TrainingConfig
    from recognition.learning.hyperparameter_search import (
        Candidate,
        NursingResult,
        Trial,
        TuningResult,
    )
    from recognition.learning.reports import TrainingProgress


app = typer.Typer()

_EVERY = 2


@command(
    app,
    "tune",
    example="likeness tune recipe.toml --search optimizer.rate=1e-4..1e-1:log --trials 20",
    became=GOES_ON,
)
def tune(
    settings: Settings,
    recipe: RecipeArgument = None,
    data: DataOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder of the search; an unfinished one goes on."
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="What differs: LOW..HIGH, LOW..HIGH:log, or choices A,B,C; may be given again.",
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="How many runs.")
    ] = 20,
    sampler: Annotated[
        SamplerName, typer.Option(help="At random, or from what earlier runs taught.")
    ] = SamplerName.RANDOM,
    nurse: Annotated[
        bool, typer.Option("--nurse", help="One run instead, whose rate is changed as it goes.")
    ] = False,
    every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=MOST_EPOCHS,
            help=f"With --nurse: epochs of a round, otherwise {_EVERY}.",
        ),
    ] = None,
    parallel: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Runs at a time.")] = 1,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    set_: SetOption = None,
    allow_corrupt: CorruptOption = False,
    as_json: JsonOption = False,
) -> int:
    """Search for the settings of a run, on people kept out.

    Each trial is a run in a folder of its own; best.toml is the best one's recipe, for train. With
    --nurse, one run goes on in rounds: the rate as it is, half of it and twice of it are tried
    from the same checkpoint, and what does best goes on. An interrupted search goes on.
    """
    flags = {"data": data, "out": out, "epochs": epochs, "seed": seed}
    if nurse and search:
        raise ArgumentError("--nurse changes the rate of one run: it takes no --search")
    if every is not None and not nurse:
        raise ArgumentError("--every is the length of a round: it needs --nurse")
    keys = set_ or ()
    config = configured(settings, recipe, flags, keys, allow_corrupt=allow_corrupt)
    words = command_line("tune", settings, recipe, flags, keys)
    if nurse:
        _nurse(config, every or _EVERY, parallel, f"{words} --nurse", as_json=as_json)
        return 0
    from recognition.learning.hyperparameter_search import read_space
    from recognition.learning.hyperparameter_search import tune as run

    space = read_space(search or (), config)
    with output.progress_bar("tuning") as advance:

        def report(trial: "Trial") -> None:
            if parallel > 1:  # their steps are told to nobody
                advance(trial.number + 1, trials, "trials")
            if not as_json:
                _print_trial(trial)

        result = run(
            config,
            space,
            trials=trials,
            sampler=sampler,
            parallel=parallel,
            report=report,
            progress=lambda now: advance(now.done, now.total, now.stage, note(now)),
            command=words,
        )
    if as_json:
        output.print_json(_search_as_json(result))
    else:
        _print_search(result, config)
    return 0


def _print_trial(trial: "Trial") -> None:
    """One trial in a line, as it ends."""
    values = ", ".join(f"{key} {_shown(value)}" for key, value in trial.values.items())
    outcome = trial.error or wording.percent(trial.metric, 2)
    output.print_line(f"trial {trial.number}: {values}: {outcome}")


def _print_search(result: "TuningResult", config: "TrainingConfig") -> None:
    """All trials, the best first, and what the search came to."""
    keys = list(result.trials[0].values)
    output.print_table(
        ("trial", str(config.metric), *keys, "best epoch", "error"),
        [
            (
                str(trial.number),
                wording.percent(trial.metric, 2),
                *(_shown(trial.values[key]) for key in keys),
                "–" if trial.best_epoch is None else f"{trial.best_epoch} of {trial.epochs}",
                trial.error or "",
            )
            for trial in result.trials
        ],
    )
    if result.importance:
        shares = ", ".join(
            f"{key} {wording.percent(share, 0)}" for key, share in result.importance.items()
        )
        output.print_line(f"how much of the difference each makes: {shares}")
    output.print_line(f"{result.recipe}: the best trial's recipe; {result.weights}: its weights")


def _search_as_json(result: "TuningResult") -> dict[str, object]:
    return {
        "trials": [{"name": f"trial-{each.number:03}", **asdict(each)} for each in result.trials],
        "importance": dict(result.importance),
        "recipe": str(result.recipe),
        "weights": str(result.weights),
    }


def _nurse(
    config: "TrainingConfig", every: int, parallel: int, words: str, *, as_json: bool
) -> None:
    """Train one run under watch, and print what was tried in each round."""
    from recognition.learning.hyperparameter_search import nurse as run

    with output.progress_bar("nursing") as advance:

        def tell(now: "TrainingProgress") -> None:
            advance(now.done, now.total, now.stage, note(now))

        report = None if as_json else _print_candidate
        result = run(
            config, every=every, parallel=parallel, report=report, progress=tell, command=words
        )
    if as_json:
        output.print_json(_nursing_as_json(result))
        return
    shown = wording.percent(result.metric, 2)
    output.print_line(f"{result.weights}: from epoch {result.best_epoch}, {config.metric} {shown}")


def _print_candidate(candidate: "Candidate") -> None:
    outcome = candidate.error or wording.percent(candidate.metric, 2)
    chosen = ", goes on" if candidate.chosen else ""
    output.print_line(f"round {candidate.round}, rate {_shown(candidate.rate)}: {outcome}{chosen}")


def _nursing_as_json(result: "NursingResult") -> dict[str, object]:
    return {
        "candidates": [asdict(each) for each in result.candidates],
        "run": str(result.folder),
        "weights": str(result.weights),
        "best_epoch": result.best_epoch,
        "metric": result.metric,
    }


def _shown(value: object) -> str:
    """A drawn value with as many digits as mean something."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
