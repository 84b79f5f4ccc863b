"""`train-detector`: boxed and unboxed photographs, and a teacher, make a detector of faces."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recognition.detection.methods.config import DetectorMethod
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
    from recognition.detection.training.trainer import DetectorReport


app = typer.Typer()


@command(
    app,
    "train-detector",
    example="likeness train-detector recipes/detector.toml",
    became=GOES_ON,
)
def train_detector(
    settings: Settings,
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file, such as recipes/detector.toml.")
    ],
    method: Annotated[
        DetectorMethod | None,
        typer.Option(metavar="NAME", help="The family of detectors, instead of the recipe's."),
    ] = None,
    out: RunOption = None,
    steps: StepsOption = None,
    seed: RecipeSeedOption = None,
    setting: SetOption = None,
    as_json: JsonOption = False,
    json_lines: JsonLinesOption = False,
) -> int:
    """Train a detector on mosaics of photographs that a teacher has labelled.

    The families are one_stage, sliding_window, localise, yolo_v1 to yolo_v4, rcnn, fast_rcnn and
    faster_rcnn; recipes/detectors has a recipe for each. The mosaics are made first, which takes a
    while. An interrupted run goes on where its last checkpoint left it. Its folder gets
    metrics.jsonl, best.safetensors, last.safetensors and a model card.
    """
    from recognition.detection.training.config import PREFIX, configure
    from recognition.detection.training.trainer import train

    keys = setting or []
    flags: dict[str, Any] = {"method": method, "steps": steps, "seed": seed}
    device = settings.device and str(settings.device)
    config = configure(
        recipe, environment=os.environ, settings=keys, out=out, device=device, **flags
    )
    line = step_command_line("train-detector", PREFIX, recipe, flags, keys)
    with output.progress_bar("training", shown=not json_lines) as advance:

        def making(done: int, total: int) -> None:
            advance(done, total, "mosaics")
            if json_lines:
                now = {"kind": "progress", "stage": "mosaics", "done": done, "total": total}
                output.print_json(now, compact=True)

        def report(now: "DetectorReport") -> None:
            figures = (
                f"AP {now.average_precision:.3f}",
                f"recall {now.recall:.3f} at precision 0.82",
                f"{now.mosaics_per_second:.0f} mosaics/s",
            )
            print_step(now, figures, as_json=as_json, json_lines=json_lines)

        result = train(config, report, making=making, progress=advance, command=line)
    found = {"average_precision": result.average_precision}
    print_run(result, found, as_json=as_json, json_lines=json_lines)
    return 0
