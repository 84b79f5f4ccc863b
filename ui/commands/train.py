"""`train`: photographs of people make a better embedding."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError
from recognition.learning.choices import LossName

from .. import output
from ..options import Settings, command
from ..outputs import check_folder

if TYPE_CHECKING:
    from recognition.learning.config import TrainingConfig
    from recognition.learning.reports import EpochReport, TrainingResult

app = typer.Typer()


@command(app, "train", example="likeness train --data photographs --loss triplet --out runs/first")
def train(
    settings: Settings,
    recipe: Annotated[
        Path | None,
        typer.Argument(metavar="RECIPE", help="A TOML file of settings; options win over it."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder with a folder for each person."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", help="Folder of the run; an unfinished one goes on."),
    ] = None,
    loss: Annotated[
        LossName | None, typer.Option(help="What the embedding is trained for.")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights whose embeddings the distillation aims at."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="How often to go through the data.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="X", help="Largest learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of everything random.")] = None,
    allow_corrupt: Annotated[
        bool,
        typer.Option("--allow-corrupt", help="Go on where over a fifth cannot be read."),
    ] = False,
) -> int:
    """Train an embedding on photographs of people.

    An interrupted run goes on where it was. Its folder gets metrics.jsonl, best.safetensors and
    last.safetensors; either file serves as --weights. Some of the people are kept out, to choose
    the best and to set its threshold.
    """
    if settings.weights is not None:
        raise ArgumentError("training begins with random weights: --weights has no use here")
    from recognition.learning.distributed import leads
    from recognition.learning.recipe import configure

    flags = {
        "data": data,
        "out": out,
        "loss": loss,
        "teacher": teacher,
        "epochs": epochs,
        "rate": rate,
        "seed": seed,
        "backbone": settings.model,
        "device": settings.device and str(settings.device),
    }
    config = _adapted(configure(recipe, **flags), settings, allow_corrupt=allow_corrupt)
    check_folder(config.out)
    result = _run(config, _command_line(recipe, flags))
    if not leads():
        return 0
    for doubt in result.doubts:
        output.print_warning(doubt)
    for missed in result.missed:
        output.print_warning(f"not used: {missed.path}: {missed.reason}")
    output.print_line(result.verdict)
    output.print_line(f"{result.weights}: from epoch {result.best_epoch}")
    return 0


def _adapted(
    config: "TrainingConfig", settings: Settings, *, allow_corrupt: bool
) -> "TrainingConfig":
    """The same with what the command line says of the data: a recipe has no flags for it."""
    data = config.data
    if allow_corrupt:
        data = replace(data, allow_corrupt=True)
    if settings.home is not None and data.cache is None:
        data = replace(data, cache=settings.home.absolute() / "aligned")
    return replace(config, data=data)


def _command_line(recipe: Path | None, flags: Mapping[str, object]) -> str:
    """What the weights will say about their making: paths by their last name alone."""
    words = ["likeness", "train", *([recipe.name] if recipe else [])]
    for name, value in flags.items():
        if value is not None:
            words += [f"--{name}", value.name if isinstance(value, Path) else str(value)]
    return shlex.join(words)


def _run(config: "TrainingConfig", command_line: str) -> "TrainingResult":
    """Train with a progress bar for each stage and a line for each epoch."""
    from recognition.learning.distributed import leads
    from recognition.learning.trainer import train as run

    if not leads():
        return run(config, command=command_line)
    with output.progress_bar("training") as advance:
        return run(
            config,
            _print_epoch,
            progress=lambda now: advance(now.done, now.total, now.stage),
            command=command_line,
        )


def _print_epoch(epoch: "EpochReport") -> None:
    """One epoch in a line."""
    parts = [
        f"epoch {epoch.epoch} of {epoch.epochs}: loss {epoch.train_loss:.3f}",
        f"held-out AUC {output.percent(epoch.val_auc)}",
        f"TAR at FAR 1 % {output.percent(epoch.val_tar)}",
        f"{epoch.images_per_second:.0f} photographs/s",
        *(["the best so far"] if epoch.best else []),
    ]
    output.print_line(", ".join(parts))
