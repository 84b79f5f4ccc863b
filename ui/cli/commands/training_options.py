"""The options of the commands that train, and the run that they ask for."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.spec import (
    LEAST_RESOLUTION,
    LEAST_WIDTH,
    MOST_GROUPS,
    MOST_WIDTH,
    Activation,
    Attention,
    Convolution,
    HeadPooling,
    Norm,
    WeightInit,
)
from backbones.training.optimizers import OptimizerName
from backbones.training.schedule import ScheduleName
from data.errors import ArgumentError
from recognition.learning.choices import LossName, Metric, Precision
from ui.settings import Settings

from ... import wording
from .. import output
from ..destinations import check_folder
from ..options import MAX_SEED, MOST_EPOCHS

if TYPE_CHECKING:
    from backbones.training.steps import StepReport, StepResult
    from recognition.learning.config import TrainingConfig
    from recognition.learning.reports import TrainingProgress


RecipeArgument = Annotated[
    Path | None,
    typer.Argument(metavar="RECIPE", help="A TOML file of settings; options win over it."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder with a folder for each person."),
]
EpochsOption = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=MOST_EPOCHS, help="How often to go through the data."),
]
SeedOption = Annotated[
    int | None, typer.Option(metavar="N", min=0, max=MAX_SEED, help="Of everything random.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any key of a recipe, such as optimizer.rate=0.01."
    ),
]
CorruptOption = Annotated[
    bool, typer.Option("--allow-corrupt", help="Go on where over a fifth cannot be read.")
]

TRAINING: dict[str, Any] = {
    "data": DataOption,
    "out": Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", help="Folder of the run; an unfinished one goes on."),
    ],
    "loss": Annotated[LossName | None, typer.Option(help="What the embedding is trained for.")],
    "teacher": Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights whose embeddings the distillation aims at."),
    ],
    "init": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Weights to begin with, or the backbone's name; else random ones."
        ),
    ],
    "freeze": Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=MOST_EPOCHS,
            help="With --init: let one stage more learn every N epochs, the head first.",
        ),
    ],
    "epochs": EpochsOption,
    "rate": Annotated[
        float | None,
        typer.Option(
            metavar="X", min=0, max=100, help="Largest learning rate; else the optimizer's own."
        ),
    ],
    "optimizer": Annotated[
        OptimizerName | None, typer.Option(help="How a gradient becomes a step.")
    ],
    "schedule": Annotated[ScheduleName | None, typer.Option(help="How the learning rate changes.")],
    "warmup": Annotated[
        float | None,
        typer.Option(metavar="X", min=0, max=1, help="Share of the run in which the rate climbs."),
    ],
    "precision": Annotated[Precision | None, typer.Option(help="Of the forward pass.")],
    "metric": Annotated[Metric | None, typer.Option(help="What is best, on people kept out.")],
    "patience": Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=MOST_EPOCHS, help="Epochs without a better metric to wait."
        ),
    ],
    "seed": SeedOption,
    "attention": Annotated[
        Attention | None, typer.Option(help="What stands behind each stage of the network.")
    ],
    "norm": Annotated[
        Norm | None,
        typer.Option(help="What its layers normalise over, in the place of batch norm."),
    ],
    "conv": Annotated[
        Convolution | None, typer.Option("--conv", help="In the place of its dense convolutions.")
    ],
    "pool": Annotated[
        HeadPooling | None,
        typer.Option("--pool", help="How its last feature map becomes one vector."),
    ],
    "activation": Annotated[
        Activation | None, typer.Option(help="In the place of its own activations.")
    ],
    "weight_init": Annotated[
        WeightInit | None, typer.Option(help="What random weights are drawn from.")
    ],
    "dropout": Annotated[
        float | None,
        typer.Option(
            metavar="X", min=0, max=0.99, help="Share of the last map's numbers that are left out."
        ),
    ],
    "stn": Annotated[
        bool | None,
        typer.Option(
            "--stn", help="A spatial transformer before it learns how faces are best aligned."
        ),
    ],
    "width": Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=LEAST_WIDTH,
            max=MOST_WIDTH,
            help="MobileNet's α: how many times as wide as it is.",
        ),
    ],
    "resolution": Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=LEAST_RESOLUTION,
            max=1,
            help="MobileNet's ρ: share of each side that it looks at.",
        ),
    ],
    "cardinality": Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=MOST_GROUPS, help="ResNeXt's groups; else 32."),
    ],
}
"""The options of `train` that are keys of a recipe, by their names there."""

RunOption = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Folder of the run, instead of the recipe's.")
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, max=10_000_000, help="Length of the run, instead of the recipe's."
    ),
]
RecipeSeedOption = Annotated[
    int | None, typer.Option(metavar="N", min=0, max=MAX_SEED, help="Instead of the recipe's.")
]
"""Of the commands whose recipe has to be given, and whose runs count steps."""


def configured(
    settings: Settings,
    recipe: Path | None,
    flags: Mapping[str, Any],
    keys: Sequence[str],
    *,
    allow_corrupt: bool,
) -> "TrainingConfig":
    """The run that recipe, environment and options ask for, its folder writable."""
    if settings.weights is not None:
        raise ArgumentError("--weights has no use here: --init FILE gives weights to begin with")
    from recognition.learning.config import configure

    config = configure(
        recipe,
        environment=os.environ,
        settings=keys,
        backbone=settings.model,
        device=settings.device and str(settings.device),
        **flags,
    )
    data = config.data
    if allow_corrupt:
        data = replace(data, allow_corrupt=True)
    if settings.home is not None and data.cache is None:
        data = replace(data, cache=settings.home.absolute() / "aligned")
    check_folder(config.out)
    return replace(config, data=data)


def command_line(
    name: str,
    settings: Settings,
    recipe: Path | None,
    flags: Mapping[str, object],
    keys: Sequence[str],
) -> str:
    """What the weights will say about their making: paths by their last name alone."""
    from recognition.learning.config import PREFIX

    words = [*variables(PREFIX), "likeness", name, *([recipe.name] if recipe else [])]
    shared = {"backbone": settings.model, "device": settings.device}
    for option, value in {**flags, **shared}.items():
        if value is not None:
            option = option.replace("_", "-")
            if value is True:
                words.append(f"--{option}")
                continue
            words += [f"--{option}", value.name if isinstance(value, Path) else str(value)]
    return shlex.join([*words, *given(keys)])


def step_command_line(
    name: str, prefix: str, recipe: Path, flags: Mapping[str, object], keys: Sequence[str]
) -> str:
    """The same for a run of steps; its recipe is said as it was given."""
    words = [*variables(prefix), "likeness", name, str(recipe)]
    for option, value in flags.items():
        if value is not None:
            words += [f"--{option}", str(value)]
    return shlex.join([*words, *given(keys)])


def print_step(
    report: "StepReport", figures: Sequence[str], *, as_json: bool, json_lines: bool
) -> None:
    """One checkpoint in a line, for people or as JSON; nothing beside one document of JSON."""
    if json_lines:
        output.print_json({"kind": "checkpoint", **report.as_json()}, compact=True)
    elif not as_json:
        parts = [
            f"step {report.step} of {report.steps}: loss {report.losses['total']:.4f}",
            *figures,
            *(["the best so far"] if report.best else []),
        ]
        output.print_line(", ".join(parts))


def print_run(
    result: "StepResult", figures: Mapping[str, object], *, as_json: bool, json_lines: bool
) -> None:
    """What came of a run of steps."""
    weights, best = str(result.weights), result.best_step
    found = {"run": str(result.out), "weights": weights, "best_step": best, **figures}
    if json_lines:
        output.print_json({"kind": "result", **found}, compact=True)
    elif as_json:
        output.print_json(found)
    else:
        output.print_line(f"{weights}: from step {best}")


def variables(prefix: str) -> list[str]:
    """The settings in the environment, as words of a command line."""
    return [
        f"{variable}={_last_name(text)}"
        for variable, text in sorted(os.environ.items())
        if variable.startswith(prefix) and text
    ]


def given(keys: Sequence[str]) -> list[str]:
    """What `--set` was given, as words of a command line."""
    words = []
    for setting in keys:
        key, _, text = setting.partition("=")
        words += ["--set", f"{key}={_last_name(text)}"]
    return words


def _last_name(text: str) -> str:
    """A value that may be a path, without the folders above it."""
    bare = text.strip("\"'")
    return Path(bare).name if Path(bare).is_absolute() or ".." in Path(bare).parts else text


def note(now: "TrainingProgress") -> str:
    """Speed and time left of the whole run, where they are known."""
    parts = []
    if now.images_per_second is not None:
        parts.append(f"{now.images_per_second:.0f} photographs/s")
    if now.seconds_left is not None:
        parts.append(f"{wording.clock(now.seconds_left)} to the end")
    return ", ".join(parts)
