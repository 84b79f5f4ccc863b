"""`train-style-net`: photographs make a network for style, or a decoder of drafts."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.settings import Settings

from .. import output
from ..options import GOES_ON, MAX_SEED, JsonLinesOption, JsonOption, command
from .training_options import SetOption, given, variables

if TYPE_CHECKING:
    from style.training.trainer import Report


app = typer.Typer()


@command(
    app,
    "train-style-net",
    example="likeness train-style-net recipes/style-net.toml",
    became=GOES_ON,
)
def train_style_net(
    settings: Settings,
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file, such as those in recipes/.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Folder of the run, instead of the recipe's.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=10_000_000, help="Length of the run, instead of the recipe's."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=MAX_SEED, help="Instead of the recipe's.")
    ] = None,
    setting: SetOption = None,
    as_json: JsonOption = False,
    json_lines: JsonLinesOption = False,
) -> int:
    """Train the small network for style, or the decoder of drafts, on photographs.

    An interrupted run goes on where its last checkpoint left it. Its folder gets metrics.jsonl,
    best.safetensors, last.safetensors and a model card. A recipe gives way to the environment
    (LIKENESS_STYLE_TRAIN_STEPS=3, LIKENESS_STYLE_TRAIN_OPTIMIZER__RATE=0.01), and that to the
    options.
    """
    from style.training.config import PREFIX, configure
    from style.training.trainer import train

    keys = setting or []
    config = configure(
        recipe,
        environment=os.environ,
        settings=keys,
        out=out,
        steps=steps,
        seed=seed,
        device=settings.device and str(settings.device),
    )
    words = [*variables(PREFIX), "likeness", "train-style-net", str(recipe)]
    words += ["--steps", str(steps)] if steps is not None else []
    words += ["--seed", str(seed)] if seed is not None else []
    words += given(keys)
    with output.progress_bar("training") as advance:

        def report(now: "Report") -> None:
            if json_lines:
                _print_as_json(now)
            elif not as_json:
                _print(now)

        result = train(config, report, progress=advance, command=shlex.join(words))
    for path, reason in result.missed:
        output.print_warning(f"not used: {path}: {reason}")
    found = {
        "run": str(result.out),
        "weights": str(result.weights),
        "best_step": result.best_step,
        "distance": result.distance,
        "not_used": [{"image": str(path), "error": reason} for path, reason in result.missed],
    }
    if json_lines:
        output.print_json({"kind": "result", **found}, compact=True)
    elif as_json:
        output.print_json(found)
    else:
        output.print_line(f"{result.weights}: from step {result.best_step}")
    return 0


def _print_as_json(report: "Report") -> None:
    output.print_json({"kind": "checkpoint", **report.as_json()}, compact=True)


def _print(report: "Report") -> None:
    """One checkpoint in a line."""
    parts = [
        f"step {report.step} of {report.steps}: loss {report.losses['total']:.4f}",
        f"held-out distance {report.held_out['distance']:.4f}",
        f"{report.pictures_per_second:.0f} pictures/s",
        *(["the best so far"] if report.best else []),
    ]
    output.print_line(", ".join(parts))
