"""`train-style-net`: photographs make a network for style, or a decoder of drafts."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.settings import Settings

from .. import output
from ..options import GOES_ON, JsonLinesOption, JsonOption, command
from .training_options import (
    RecipeSeedOption,
    RunOption,
    SetOption,
    StepsOption,
    print_run,
    print_step,
    step_command_line,
)

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
    out: RunOption = None,
    steps: StepsOption = None,
    seed: RecipeSeedOption = None,
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
    flags: dict[str, Any] = {"steps": steps, "seed": seed}
    device = settings.device and str(settings.device)
    config = configure(
        recipe, environment=os.environ, settings=keys, out=out, device=device, **flags
    )
    line = step_command_line("train-style-net", PREFIX, recipe, flags, keys)
    with output.progress_bar("training", shown=not json_lines) as advance:

        def report(now: "Report") -> None:
            figures = (
                f"held-out distance {now.held_out['distance']:.4f}",
                f"{now.pictures_per_second:.0f} pictures/s",
            )
            print_step(now, figures, as_json=as_json, json_lines=json_lines)

        result = train(config, report, progress=advance, command=line)
    for path, reason in result.missed:
        output.print_warning(f"not used: {path}: {reason}")
    found = {
        "distance": result.distance,
        "not_used": [{"image": str(path), "error": reason} for path, reason in result.missed],
    }
    print_run(result, found, as_json=as_json, json_lines=json_lines)
    return 0
